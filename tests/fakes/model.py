"""A model server: vLLM's OpenAI routes on a real socket, without a model.

The shapes of its answers are those in `streams/`, recorded from vLLM 0.32 by `streams/record.py`; only ids,
names, words and counts are put in.

    async with FakeModel() as model:
        client = InferenceClient(model.base_url, model.api_key)
        model.reply = lambda body: "Hello."
        model.fault = "cut"
"""

import asyncio
import json
import os
import re
import signal
import sys
import time
import uuid
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from aiohttp import web

STREAMS = Path(__file__).parent / "streams"
BLOCK = 32  # tokens of a block of the prefix cache
FAULTS = (
    "refuse",  # the connection is dropped before an answer
    "500",  # what vLLM says when its engine has died
    "404",  # as for an unknown model
    "400-length",  # as for a prompt that is too long
    "hang",  # no answer at all, until the client goes away
    "hang-midway",  # silence after the first words
    "cut",  # the stream ends without finish_reason, usage and [DONE]
    "half-line",  # the connection breaks inside a line
    "garbage",  # a line that is not JSON
    "error-in-stream",  # an error object after the first words
    "empty",  # finish_reason "stop" without a word
    "none-finish",  # [DONE] is sent, but no finish_reason ever was
)

MIDWAY = ("hang-midway", "cut", "half-line", "garbage", "error-in-stream")


def recorded(name: str) -> tuple[int, bytes]:
    """A recorded answer: status and body."""
    status, _, body = (STREAMS / f"{name}.http").read_bytes().partition(b"\n")
    return int(status), body


def recorded_chunks(name: str) -> list[Any]:
    """The objects of a recorded stream, without the closing `[DONE]`."""
    lines = recorded(name)[1].split(b"\n\n")
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]


def echo(body: dict[str, Any]) -> str:
    """The default answer: which model was asked what, so that two models or two questions never agree."""
    said = body["messages"][-1]["content"]
    return f"{body['model']} heard: {said}"


class FakeModel:
    """`async with FakeModel() as model`; `stop()` and `start()` take it down and up on the same port"""

    def __init__(
        self,
        served: Iterable[str] = ("zhiwei.v1", "maeve.v1"),
        base: str = "qwen2.5-coder-0.5b",
        max_model_len: int = 4096,
        api_key: str = "fake-key",
    ) -> None:
        self.served = list(served)
        self.base = base
        self.max_model_len = max_model_len
        self.api_key = api_key
        self.requests: list[
            dict[str, Any]
        ] = []  # bodies of chat requests, also of those that a fault then hit
        self.tokenized: list[dict[str, Any]] = []  # bodies of /tokenize
        self.loaded: dict[str, str] = {}  # what /v1/load_lora_adapter brought: name -> folder
        self.reply: Callable[[dict[str, Any]], str | list[str]] = echo
        self.delay = 0.0  # seconds before each chunk
        self.fault: str | None = None  # hits the next chat request, then is gone
        self.faults: list[str] = []  # hit the requests after that, one each
        self.aborted = 0  # answers that the client did not wait for
        self.port = 0
        self._cached: dict[str, list[list[int]]] = {}
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/v1/load_lora_adapter", self._load)
        app.router.add_post("/v1/unload_lora_adapter", self._unload)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # Routes

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _models(self, request: web.Request) -> web.Response:
        if not self._authorized(request):
            return self._unauthorized()
        listing = json.loads(recorded("models")[1])
        base_card, adapter_card = listing["data"]
        now = int(time.time())
        listing["data"] = [
            base_card | {"id": self.base, "max_model_len": self.max_model_len, "created": now},
            *(adapter_card | {"id": name, "parent": self.base, "created": now} for name in self.served),
        ]
        return web.json_response(listing)

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.tokenized.append(body)
        if not self._knows(body):
            return self._unknown_model(body)
        tokens = self.tokens(body["messages"], body.get("add_generation_prompt", True))
        shape = json.loads(recorded("tokenize")[1])
        return web.json_response(
            shape | {"count": len(tokens), "max_model_len": self.max_model_len, "tokens": tokens}
        )

    async def _load(self, request: web.Request) -> web.Response:
        if not self._authorized(request):
            return self._unauthorized()
        body = await request.json()
        name, path = body["lora_name"], body["lora_path"]
        if name in self.served:
            return self._recorded_error("load-twice", "maeve.v1", name)
        if not (Path(path) / "adapter_config.json").is_file():
            return self._recorded_error("load-missing", "/nonexistent/x", path)
        self.served.append(name)
        self.loaded[name] = path
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: web.Request) -> web.Response:
        if not self._authorized(request):
            return self._unauthorized()
        name = (await request.json())["lora_name"]
        if name not in self.served:
            return self._recorded_error("unload-unknown", "nobody.v1", name)
        self.served.remove(name)
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if not self._authorized(request):
            return self._unauthorized()
        body = await request.json()
        self.requests.append(body)
        fault, self.fault = self.fault, None
        if fault is None and self.faults:
            fault = self.faults.pop(0)
        if fault is not None and fault not in FAULTS:
            raise ValueError(f"no fault `{fault}`; there are {', '.join(FAULTS)}")
        if fault == "refuse":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault == "500":
            return self._error(
                500, "EngineCore encountered an issue. See stack trace (above) for the root cause."
            )
        if fault == "404" or not self._knows(body):
            return self._unknown_model(body)
        tokens = self.tokens(body["messages"])
        if fault == "400-length" or len(tokens) >= self.max_model_len:
            return self._recorded_error(
                "too-long", "2049", str(self.max_model_len + 1), "2048", str(self.max_model_len)
            )
        if body.get("max_tokens", 0) > self.max_model_len:
            return self._recorded_error(
                "max-tokens-too-large", "99999", str(body["max_tokens"]), "2048", str(self.max_model_len)
            )
        if not body["messages"]:
            return self._recorded_error("no-messages", "", "")
        try:
            if fault == "hang":
                await asyncio.Event().wait()
            pieces = [] if fault == "empty" else self._pieces(body)
            if fault in MIDWAY and len(pieces) < 2:
                pieces = [*pieces, " ..."]  # something for the fault to come after
            pieces, finish = self._limited(pieces, body)
            usage = self._usage(body["model"], tokens, len(pieces) + 1)
            if not body.get("stream"):
                await asyncio.sleep(self.delay * len(pieces))
                return self._whole(body, "".join(pieces), finish, usage)
            return await self._stream(request, body, pieces, finish, usage, fault)
        except (asyncio.CancelledError, ConnectionResetError):
            self.aborted += 1
            raise

    # What it says

    def _pieces(self, body: dict[str, Any]) -> list[str]:
        answer = self.reply(body)
        return (
            answer if isinstance(answer, list) else re.findall(r"\s*[A-Za-z0-9'.]+|\s+|.", answer, re.DOTALL)
        )

    def _limited(self, pieces: list[str], body: dict[str, Any]) -> tuple[list[str], str]:
        limit = body.get("max_tokens") or self.max_model_len
        return (pieces[:limit], "length") if len(pieces) > limit else (pieces, "stop")

    def tokens(self, messages: list[dict[str, Any]], add_generation_prompt: bool = True) -> list[int]:
        """Stable token ids of a ChatML rendering: a word or a single other character is one token."""
        text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
        if add_generation_prompt:
            text += "<|im_start|>assistant\n"
        words = re.findall(r"<\|im_start\|>|<\|im_end\|>| ?[A-Za-z0-9]+|.", text, re.DOTALL)
        return [zlib.crc32(word.encode()) % 150_000 for word in words]

    def _usage(self, model: str, tokens: list[int], written: int) -> dict[str, Any]:
        """As vLLM counts: whole blocks of the start that this model has read before; never the last token."""
        seen = self._cached.setdefault(model, [])
        best = 0
        for earlier in seen:
            same = 0
            for a, b in zip(earlier, tokens[:-1], strict=False):
                if a != b:
                    break
                same += 1
            best = max(best, same)
        seen.append(tokens)
        del seen[:-64]
        cached = best // BLOCK * BLOCK
        shape = recorded_chunks("stream")[-1]["usage"]
        return shape | {
            "prompt_tokens": len(tokens),
            "completion_tokens": written,
            "total_tokens": len(tokens) + written,
            "prompt_tokens_details": {
                "cached_tokens": cached,
                "created_cache_tokens": len(tokens) // BLOCK * BLOCK - cached,
            },
        }

    def _whole(self, body: dict[str, Any], text: str, finish: str, usage: dict[str, Any]) -> web.Response:
        answer = json.loads(recorded("chat")[1])
        answer |= {"id": _id(), "created": int(time.time()), "model": body["model"], "usage": usage}
        choice = answer["choices"][0]
        choice["message"]["content"] = text
        choice["finish_reason"] = finish
        return web.json_response(answer)

    async def _stream(
        self,
        request: web.Request,
        body: dict[str, Any],
        pieces: list[str],
        finish: str,
        usage: dict[str, Any],
        fault: str | None,
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        sent = 0
        async for chunk in self._chunks(body, pieces, finish, usage, fault):
            line = b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
            content = sum(bool(choice["delta"].get("content")) for choice in chunk["choices"])
            if content and sent and fault == "half-line":
                await response.write(line[: len(line) // 2])
                assert request.transport is not None
                await asyncio.sleep(0.05)  # let the half be on its way
                request.transport.abort()
                return response
            if content and sent and fault == "cut":
                await response.write_eof()
                return response
            if content and sent and fault == "hang-midway":
                await asyncio.Event().wait()
            if content and sent and fault == "garbage":
                await response.write(b"data: {this is not JSON\n\n")
            if content and sent and fault == "error-in-stream":
                error = {"message": "EngineCore encountered an issue.", "type": "InternalServerError"}
                broken = {"error": error | {"param": None, "code": 500}}
                await response.write(b"data: " + json.dumps(broken).encode() + b"\n\n")
                break
            await response.write(line)
            sent += content
        await response.write(b"data: [DONE]\n\n")
        with suppress(ConnectionResetError):
            await response.write_eof()
        return response

    async def _chunks(
        self, body: dict[str, Any], pieces: list[str], finish: str, usage: dict[str, Any], fault: str | None
    ) -> AsyncIterator[dict[str, Any]]:
        """The objects of one answer in vLLM's order: role, words, the end, and usage if asked for."""
        role, word, *_, last, counts = recorded_chunks("stream-eos")
        common = {"id": _id(), "created": int(time.time()), "model": body["model"]}
        yield role | common
        for piece in pieces:
            if self.delay:
                await asyncio.sleep(self.delay)
            yield word | common | {"choices": [word["choices"][0] | {"delta": {"content": piece}}]}
        if fault != "none-finish":
            end = last["choices"][0] | {"finish_reason": finish, "stop_reason": None}
            yield last | common | {"choices": [end]}
        if (body.get("stream_options") or {}).get("include_usage"):
            yield counts | common | {"usage": usage}

    # Refusals

    def _authorized(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {self.api_key}"

    def _unauthorized(self) -> web.Response:
        status, body = recorded("unauthorized")
        return web.Response(status=status, body=body, content_type="application/json")

    def _knows(self, body: dict[str, Any]) -> bool:
        return body.get("model") in (self.base, *self.served)

    def _unknown_model(self, body: dict[str, Any]) -> web.Response:
        return self._recorded_error(
            "unknown-model", "nobody.v1", str(body.get("model")), "smollm2-135m", self.base
        )

    def _recorded_error(self, name: str, *replace: str) -> web.Response:
        status, body = recorded(name)
        answer = json.loads(body)
        for old, new in zip(replace[::2], replace[1::2], strict=True):
            if old:
                answer["error"]["message"] = answer["error"]["message"].replace(old, new)
        return web.json_response(answer, status=status)

    def _error(self, status: int, message: str) -> web.Response:
        error = {"message": message, "type": "InternalServerError", "param": None, "code": status}
        return web.json_response({"error": error}, status=status)


def _id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex[:16]}"


async def _serve(port: int, base: str, served: list[str]) -> None:
    model = FakeModel(served, base, api_key=os.environ["FAKE_KEY"])
    model.port = port
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with model:
        await stop.wait()


if (
    __name__ == "__main__"
):  # python -m tests.fakes.model PORT BASE SERVED...: the server as a process of its own
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
