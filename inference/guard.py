"""Stands in front of vLLM's routes: only ours, only with the key, only fields that are known to be harmless.

vLLM checks its key below `/v1` only: `/adapters` loads any local folder and `/invocations` answers without
one. And a request with `prompt_logprobs` next to an adapter ends the engine for everybody. vLLM takes this
class by `--middleware`.
"""

import hmac
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

KEY_VARIABLE = "VLLM_API_KEY"
BODY_LIMIT = 8 * 2**20
UNLOAD = "/v1/unload_lora_adapter"
ROUTES = {
    ("GET", "/v1/models"),
    ("GET", "/metrics"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/tokenize"),
    ("POST", "/v1/load_lora_adapter"),
    ("POST", UNLOAD),
}
CHAT_FIELDS = frozenset(
    (
        *("model", "messages", "stream", "stream_options", "n", "seed", "user", "priority", "cache_salt"),
        *("max_tokens", "max_completion_tokens", "min_tokens", "stop", "stop_token_ids", "ignore_eos"),
        *("temperature", "top_p", "top_k", "min_p", "logit_bias", "logprobs", "top_logprobs"),
        *("repetition_penalty", "presence_penalty", "frequency_penalty"),
        *("response_format", "structured_outputs", "continue_final_message", "add_generation_prompt"),
        *("include_stop_str_in_output", "skip_special_tokens"),
        *("return_token_ids", "return_tokens_as_token_ids"),
    )
)
FIELDS = {
    "/v1/chat/completions": CHAT_FIELDS,
    "/tokenize": frozenset(
        (
            "model",
            "messages",
            "prompt",
            "add_generation_prompt",
            "continue_final_message",
            "add_special_tokens",
        )
    ),
    "/v1/load_lora_adapter": frozenset(("lora_name", "lora_path")),
    UNLOAD: frozenset(("lora_name",)),
}


class Guard:
    """ASGI middleware. The key comes from the environment, where other users of the machine do not see it."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.key = os.environ[KEY_VARIABLE]

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        if (method, path) == ("GET", "/health"):
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(given, f"Bearer {self.key}".encode()):
            await refuse(send, 401, "this server wants its key")
        elif (method, path) not in ROUTES:
            await refuse(send, 404, f"there is no route `{method} {path}`")
        elif path not in FIELDS:
            await self.app(scope, receive, send)
        else:
            await self._with_body(scope, receive, send, FIELDS[path])

    async def _with_body(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send, fields: frozenset[str]
    ) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > BODY_LIMIT:
                await refuse(send, 413, f"the request has more than {BODY_LIMIT:,} bytes")
                return
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            await refuse(send, 400, "the request is not JSON")
            return
        if not isinstance(found, dict):
            await refuse(send, 400, "the request is not an object")
            return
        if unknown := sorted(found.keys() - fields):
            await refuse(send, 400, f"the field `{unknown[0]}` is not allowed here")
            return
        if "/" in str(found.get("model", "")) or "\\" in str(found.get("model", "")):
            await refuse(send, 404, f"The model `{found['model']}` does not exist.")
            return
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()  # the next thing is that the client goes away
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        if scope["path"] == UNLOAD and "app" in scope:
            send = _freeing(scope["app"].state, found.get("lora_name"), send)
        await self.app(scope, again, send)


def _freeing(state: Any, name: object, send: Send) -> Send:
    """Has vLLM's engine give up the weights before the answer says that they are unloaded.

    The route only forgets the name. The weights would keep their slot, the next adapter would get another
    one, and once the last slot is filled, requests to the base model are answered with what is in it.
    """
    known = state.openai_serving_models.lora_requests.get(str(name))

    async def answer(message: Message) -> None:
        if known is not None and message.get("status") == 200:
            await state.engine_client.remove_lora(known.lora_int_id)
        await send(message)

    return answer


async def refuse(send: Send, status: int, message: str) -> None:
    """An error in the shape of vLLM's own."""
    kind = {401: "Unauthorized", 404: "NotFoundError"}.get(status, "BadRequestError")
    error = {"message": message, "type": kind, "param": None, "code": status}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
