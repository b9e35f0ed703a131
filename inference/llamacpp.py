"""Where vLLM does not run: llama.cpp (`xllamacpp`, one prebuilt wheel) behind the same routes.

llama.cpp knows adapters by number and takes any model name. So a small front stands before it: a served
name becomes a
number, an unknown name is refused with the list, and vLLM's names for sampling become llama.cpp's.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import MutableMapping
from importlib import util
from pathlib import Path
from typing import Any

from inference.errors import InferenceError, ModelError
from inference.guard import KEY_VARIABLE, Guard, Receive, Send, refuse
from inference.progress import say
from inference.settings import ServeSettings, WrongSetting
from inference.vllm import Launch, usable_cores

LAUNCH_VARIABLE = "CHATNVL_LAUNCH"
SLOTS = 4  # replies written at the same time
# llama.cpp's own defaults differ from vLLM's: what is not asked for is off, as there.
_SAMPLING = {
    "top_k": 0,
    "min_p": 0.0,
    "top_p": 1.0,
    "temperature": 1.0,
    "repeat_penalty": 1.0,
    "repeat_last_n": -1,
}
_RENAMED = {"repetition_penalty": "repeat_penalty"}
_NOT_HERE = ("structured_outputs", "priority", "cache_salt", "stop_token_ids", "min_tokens", "n")


class LlamaCpp:
    """llama.cpp. It reads adapters at its start only, which takes about a second."""

    name = "llama.cpp"
    log = "llamacpp.log"
    adds_while_running = False

    def __init__(self, settings: ServeSettings, cache: Path) -> None:
        self.settings = settings
        self.cache = cache

    def command(self, launch: Launch) -> list[str]:
        return [sys.executable, "-m", "inference.llamacpp"]

    def environment(self, launch: Launch) -> dict[str, str]:
        root = str(Path(__file__).parent.parent)
        threads = self.settings.threads or usable_cores()
        return {
            KEY_VARIABLE: launch.key,
            LAUNCH_VARIABLE: json.dumps(
                {
                    "launch": launch.model_dump(mode="json"),
                    "context": min(self.settings.context, launch.base.context or self.settings.context),
                    "threads": threads,
                    "cache": str(self.cache),
                }
            ),
            "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
            "OMP_NUM_THREADS": str(threads),
            # Else threads spin while another process has the core: ten times slower.
            "OMP_WAIT_POLICY": "PASSIVE",
        }


def find_llamacpp(settings: ServeSettings, cache: Path) -> LlamaCpp:
    """llama.cpp as it is installed here. Raises `WrongSetting` if it is not."""
    if util.find_spec("xllamacpp") is None:
        raise WrongSetting(
            "no model server is installed here: `make install` (vLLM on Linux, llama.cpp elsewhere), "
            "`pip install xllamacpp`, or a server elsewhere by `CHATNVL_INFERENCE__BASE_URL`"
        )
    return LlamaCpp(settings, cache)


class Front:
    """The routes, as an ASGI application. `Guard` stands before it, as it does before vLLM."""

    def __init__(self, launch: Launch, context: int, root: str, key: str) -> None:
        import httpx2

        self.launch = launch
        self.context = context
        self.numbers = {adapter.name: number for number, adapter in enumerate(launch.adapters)}
        # llama.cpp closes a connection after a stream without saying so: each request has its own.
        headers = {"Authorization": f"Bearer {key}", "Connection": "close"}
        self.inner = httpx2.AsyncClient(base_url=root, headers=headers, timeout=None, trust_env=False)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await self.inner.aclose()
            await send({"type": "lifespan.shutdown.complete"})
            return
        match scope["path"]:
            case "/health":
                await _answer(send, {})
            case "/v1/models":
                await _answer(send, {"object": "list", "data": self._models()})
            case "/tokenize":
                await self._tokenize(await _body(receive), send)
            case "/v1/chat/completions":
                await self._chat(await _body(receive), receive, send)
            case path:
                await refuse(send, 404, f"there is no route `{path}`")

    def _models(self) -> list[dict[str, Any]]:
        common = {"object": "model", "created": int(time.time()), "owned_by": "llama.cpp"}
        base = self.launch.base.id
        first = {"id": base, "parent": None, "max_model_len": self.context}
        return [
            common | first,
            *(common | {"id": n, "parent": base, "max_model_len": None} for n in self.numbers),
        ]

    def _refusal(self, body: dict[str, Any]) -> str | None:
        name = body.get("model")
        if name == self.launch.base.id or name in self.numbers:
            return None
        known = ", ".join((self.launch.base.id, *self.numbers))
        return f"The model `{name}` does not exist. Valid aliases: {known}."

    async def _tokenize(self, body: dict[str, Any], send: Send) -> None:
        if refusal := self._refusal(body):
            await refuse(send, 404, refusal)
            return
        text = body.get("prompt")
        if text is None:
            template = {"messages": body["messages"]}
            if not body.get("add_generation_prompt", True):
                template["add_generation_prompt"] = False
            status, rendered = await self._ask("/apply-template", template)
            if status != 200:
                await _answer(send, rendered, status)
                return
            text = rendered["prompt"]
        status, found = await self._ask(
            "/tokenize", {"content": text, "parse_special": True, "add_special": False}
        )
        if status == 200:
            tokens = found["tokens"]
            found = {
                "count": len(tokens),
                "max_model_len": self.context,
                "tokens": tokens,
                "token_strs": None,
            }
        await _answer(send, found, status)

    async def _ask(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        answer = await self.inner.post(path, json=body)
        return answer.status_code, answer.json()

    async def _chat(self, body: dict[str, Any], receive: Receive, send: Send) -> None:
        if refusal := self._refusal(body):
            await refuse(send, 404, refusal)
            return
        if field := next((name for name in _NOT_HERE if name in body), None):
            await refuse(send, 400, f"llama.cpp does not know the field `{field}`")
            return
        chosen = self.numbers.get(body["model"])
        # Every number is named: llama.cpp takes one that it does not have without a word, and none as the
        # last ones.
        lora = [{"id": n, "scale": 1.0 if n == chosen else 0.0} for n in self.numbers.values()]
        asked = _SAMPLING | {_RENAMED.get(name, name): value for name, value in body.items()}
        asked |= {"lora": lora, "repeat_last_n": self.context}  # a penalty looks at everything, as in vLLM
        request = self.inner.build_request("POST", "/v1/chat/completions", json=asked)
        answering = asyncio.create_task(self._pass_on(request, send))
        leaving = asyncio.create_task(_until_left(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
        finally:
            for task in (answering, leaving):  # closing the stream stops llama.cpp
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _pass_on(self, request: Any, send: Send) -> None:
        response = await self.inner.send(request, stream=True)
        try:
            kind = response.headers.get("content-type", "application/json")
            headers = [(b"content-type", kind.encode())]
            await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
            async for data in response.aiter_bytes():
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await response.aclose()


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await receive())["body"])  # `Guard` has read and checked it
    return found


async def _answer(send: Send, found: Any, status: int = 200) -> None:
    body = json.dumps(found).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def start_inner(launch: Launch, context: int, threads: int, cache: Path, key: str) -> Any:
    """llama.cpp's own server on a free port of 127.0.0.1, in this process."""
    import xllamacpp

    from inference.gguf import adapter_gguf

    base = launch.base
    if base.gguf is None or not base.gguf.is_file():
        raise ModelError(
            f"llama.cpp needs `{base.id}` as GGUF: put a file `{base.id}.gguf` into `{base.folder}`"
        )
    params = xllamacpp.CommonParams()
    params.model.path = str(base.gguf)
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.ui = False
    params.endpoint_slots = False
    params.n_parallel = SLOTS
    params.n_ctx = context * SLOTS  # it is divided among the slots
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.lora_init_without_apply = True
    adapters = []
    for adapter in launch.adapters:
        lora = xllamacpp.CommonAdapterLoraInfo()
        lora.path = str(adapter_gguf(adapter, base, cache))
        lora.scale = 0.0
        adapters.append(lora)
    params.lora_adapters = adapters
    return xllamacpp.Server(params)


async def _main() -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    given = json.loads(os.environ[LAUNCH_VARIABLE])
    launch = Launch.model_validate(given["launch"])
    key = secrets.token_urlsafe(32)
    inner = await asyncio.to_thread(
        start_inner, launch, given["context"], given["threads"], Path(given["cache"]), key
    )
    stop = asyncio.Event()
    if sys.platform != "win32":
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = Config()
    config.bind = [f"127.0.0.1:{launch.port}"]
    config.graceful_timeout = launch.drain_seconds
    app: Any = Guard(Front(launch, given["context"], inner.listening_address, key))
    await serve(app, config, shutdown_trigger=stop.wait)


if __name__ == "__main__":
    try:
        asyncio.run(_main())
    except InferenceError as error:
        say(f"Error: {error}")
        os._exit(1)
    os._exit(0)  # llama.cpp's threads are not waited for
