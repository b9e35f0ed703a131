"""The way to the model: chat completions over `openai.AsyncOpenAI`, used low.

`chat.completions.create` walks every message and builds a pydantic object a chunk: 17 ms of CPU for a
streamed reply with a history of 40 messages. The client's own `post(..., cast_to=Response)` with the raw
bytes and orjson costs a tenth. Always streamed, since vLLM stops generating when the stream is closed, and
only then.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
import openai
import orjson
from pydantic import BaseModel, ConfigDict, SecretStr

from dataset_builder.schema import Message
from inference.characters import Character, Sampling, parse_served_name, served_name
from inference.errors import InferenceError, InferenceRejected, InferenceUnavailable
from inference.release import Chosen, Release, Releases, version_for

ENDPOINT_FILE = "inference.json"  # in the data folder, written by `python -m inference serve`
_LINE_LIMIT = 2**20  # bytes of one server-sent event: more is not a model talking
_PATIENCE_STEP = 0.2  # seconds: setting the timer anew for every word would cost more than the word
_SHORT_SECONDS = 10.0  # for what needs no thinking: the list of versions, the length of a prompt
_FRESH = 5.0  # seconds for which the list of served versions is believed
_RAW = {"X-Stainless-Raw-Response": "stream"}  # the openai package's documented switch: do not read the body

log = logging.getLogger(__name__)


class Endpoint(BaseModel):
    """Where the model is."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    base_url: str | None = None
    """An OpenAI-compatible server, such as `http://gpu-box:8000/v1`. Unset: the one that `python -m inference
    serve` started here.
    """
    api_key: SecretStr | None = None
    """Its key, if it wants one."""
    first_token_seconds: float = 120.0
    """How long the first word may take (a busy CPU is slow to start)."""
    idle_seconds: float = 30.0
    """How long the stream may be silent between two words."""
    total_seconds: float = 300.0
    """How long a whole reply may take."""


class Usage(BaseModel):
    """Tokens of one completion, as the server counted them."""

    model_config = ConfigDict(frozen=True)

    prompt: int = 0
    cached: int = 0
    completion: int = 0


class Completion:
    """One reply being written: iterate over its pieces of text, then read what is known about it.

    `finish_reason`, `usage` and `seconds` hold after the last piece; `first_token_seconds` after the first.
    Leaving the `async with` closes the stream, and the server stops.
    """

    def __init__(self, client: "InferenceClient", body: dict[str, Any]) -> None:
        self.model: str = body["model"]
        self.finish_reason: str | None = None
        self.usage = Usage()
        self.first_token_seconds = 0.0
        self.seconds = 0.0
        self._client = client
        self._body = body
        self._response: httpx2.Response | None = None
        self._began = 0.0

    async def __aenter__(self) -> Self:
        self._began = time.monotonic()
        limits = self._client.endpoint
        try:
            async with asyncio.timeout(limits.first_token_seconds):
                self._response = await self._client.post("/chat/completions", self._body)
        except TimeoutError as error:
            raise InferenceUnavailable(f"no answer within {limits.first_token_seconds:.0f} s") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._response is not None:
            await self._response.aclose()

    async def __aiter__(self) -> AsyncIterator[str]:
        assert self._response is not None, "`async with` comes first"
        limits = self._client.endpoint
        deadline = self._began + limits.total_seconds
        rest, since = b"", 0.0
        done = False
        try:
            # Nothing of the consumer's may be awaited inside: its own waiting would count as the server's.
            async with asyncio.timeout_at(self._began + limits.first_token_seconds) as timer:
                async for data in self._response.aiter_bytes():
                    *lines, rest = (rest + data).split(b"\n")
                    if len(rest) > _LINE_LIMIT:
                        raise InferenceUnavailable("the server sends something that is no stream of words")
                    for line in lines:
                        if not line.startswith(b"data:"):
                            continue
                        event = line[5:].strip()
                        if event == b"[DONE]":
                            done = True
                        elif text := self._read(event):
                            if not self.first_token_seconds:
                                self.first_token_seconds = time.monotonic() - self._began
                            yield text
                    if (now := time.monotonic()) - since > _PATIENCE_STEP:
                        since = now
                        timer.reschedule(min(deadline, now + limits.idle_seconds))
        except TimeoutError as error:
            raise InferenceUnavailable(
                "the server stopped in the middle of a reply and said nothing more"
            ) from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise InferenceUnavailable(f"the stream broke: {error!r}") from error
        if self.finish_reason is None:
            # A server that is being stopped may end the stream as if all were well.
            raise InferenceUnavailable(
                f"the reply was cut off ({'no finish reason' if done else 'no end mark'})"
            )
        self.seconds = time.monotonic() - self._began

    def _read(self, event: bytes) -> str:
        try:
            chunk = orjson.loads(event)
            if failure := chunk.get("error"):
                raise _failure(failure)
            if usage := chunk.get("usage"):
                details = usage.get("prompt_tokens_details") or {}
                self.usage = Usage(
                    prompt=usage["prompt_tokens"],
                    cached=details.get("cached_tokens") or 0,
                    completion=usage.get("completion_tokens") or 0,
                )
            if not (choices := chunk.get("choices")):
                return ""
            choice = choices[0]
            if choice.get("finish_reason"):
                self.finish_reason = choice["finish_reason"]
            text = (choice.get("delta") or {}).get("content") or ""
            if not isinstance(text, str):
                raise TypeError(f"content is {text!r}")
        except (ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
            raise InferenceUnavailable(
                f"the server sent something that cannot be read: {event[:80]!r}"
            ) from error
        return text


class InferenceClient:
    """One server, its versions and its words. Use as an async context manager.

    `data` is the folder where a server started on this machine leaves its address and key.
    """

    def __init__(self, endpoint: Endpoint, data: Path) -> None:
        self.endpoint = endpoint
        self._file = data / ENDPOINT_FILE
        self._openai: openai.AsyncOpenAI | None = None
        self._address: tuple[str, str] | None = None
        self._old: list[openai.AsyncOpenAI] = []
        self._served: dict[str, int | None] = {}  # served name -> context length
        self._releases = Releases(log.error)
        self._asked = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._asking is not None:
            self._asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asking
        for client in (*self._old, self._openai):
            if client is not None:
                await client.close()

    # --- versions -------------------------------------------------------------------------------------------

    async def served(self, *, fresh: bool = False) -> list[str]:
        """The names that can be asked for now. Raises `InferenceUnavailable`."""
        if fresh or not self._served:
            await self._refresh()
        elif time.monotonic() - self._asked > _FRESH and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._refresh_quietly())  # a reply does not wait for it
        return sorted(self._served)

    async def version_of(
        self, character: Character, conversation: str | None = None, under_way: str | None = None
    ) -> Chosen:
        """The served name that speaks for her: the one her card names, else what her release says for
        `conversation`, else her newest version.

        `under_way` is the version of the conversation's last turn if that was lately (`UNDER_WAY_SECONDS`).
        Without a conversation her stable version speaks. Where the one that should is not served yet, the
        stable one stands in, and for that the one before. Raises `InferenceRejected` (404, with what there
        is) when there is none of these: the base model never stands in.
        """
        for fresh in (False, True):
            served = await self.served(fresh=fresh)
            release = self._release(character) if character.model is None else None
            if release is not None:
                chosen = _released(release, served, conversation, under_way, waiting=fresh)
            else:
                chosen = _unreleased(character, served)
            if chosen is not None:
                return chosen
        wanted = release.stable if release is not None else character.model or f"{character.id}.v<n>"
        raise InferenceRejected(
            f"no `{wanted}` is served; there are: {', '.join(f'`{name}`' for name in served) or 'none'}",
            status=404,
            known=served,
        )

    @property
    def bases(self) -> list[str]:
        """The base models that are served: the names that are no version's."""
        return [name for name in self._served if parse_served_name(name) is None]

    def _release(self, character: Character) -> Release | None:
        """Hers on the base that is served."""
        found = (
            self._releases.of(character.adapters / name)
            for name in self.bases
            if Path(name).name == name and not name.startswith(".")
        )
        return next(filter(None, found), None)

    async def _refresh(self) -> None:
        body = await self._ask("/models", None)
        try:
            self._served = {card["id"]: card.get("max_model_len") for card in body["data"]}
        except (KeyError, TypeError) as error:
            raise InferenceUnavailable(
                "the list of models cannot be read; is this an OpenAI-compatible server?"
            ) from error
        self._asked = time.monotonic()

    async def _refresh_quietly(self) -> None:
        try:
            await self._refresh()
        except InferenceError as error:
            log.debug("could not ask for the versions: %s", error)

    # --- words ----------------------------------------------------------------------------------------------

    def chat(
        self, model: str, messages: Sequence[Message], sampling: Sampling, *, seed: int | None = None
    ) -> Completion:
        """A reply by the served version `model`. Only these fields ever reach the server.

        `prompt_logprobs` in particular must not: together with adapters it takes vLLM's engine down.
        """
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            **sampling.model_dump(),
        }
        if seed is not None:
            body["seed"] = seed
        return Completion(self, body)

    async def count_tokens(self, model: str, messages: Sequence[Message]) -> int:
        """How long the prompt is for the server's own tokenizer and chat template.

        A server without `/tokenize` (it is vLLM's, not OpenAI's) gets an upper bound: a byte is at least a
        token.
        """
        body = {
            "model": model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "add_generation_prompt": True,
        }
        try:
            return int((await self._ask("/tokenize", body, root=True))["count"])
        except InferenceRejected as error:
            if error.status not in (404, 405, 501) or model not in self._served:
                raise
        except (KeyError, TypeError, ValueError):
            pass  # llama.cpp has a route of that name, which does something else
        return sum(token_bound(message.content) for message in messages)

    def context_of(self, model: str) -> int | None:
        """How many tokens prompt and reply may have together, as far as the server says."""
        return self._served.get(model) or next((length for length in self._served.values() if length), None)

    # --- the wire -------------------------------------------------------------------------------------------

    async def _ask(self, path: str, body: dict[str, Any] | None, *, root: bool = False) -> Any:
        """The JSON of a short answer. Raises our two errors."""
        try:
            async with asyncio.timeout(_SHORT_SECONDS):
                return await self.answer(path, body, root=root)
        except (TimeoutError, httpx2.HTTPError, orjson.JSONDecodeError) as error:
            raise InferenceUnavailable(f"the server did not answer `{path}` properly: {error!r}") from error

    async def answer(self, path: str, body: dict[str, Any] | None, *, root: bool = False) -> Any:
        """The JSON of an answer that comes in one piece, however long it takes. Raises our two errors, and
        those of httpx and orjson for an answer that breaks off."""
        response = await self.post(path, body, root=root)
        try:
            return orjson.loads(await response.aread())
        finally:
            await response.aclose()

    async def post(self, path: str, body: dict[str, Any] | None, *, root: bool = False) -> httpx2.Response:
        """The open response to a POST (a GET without `body`). The caller closes it. Raises our two errors."""
        client = self._connect()
        if root:
            path = str(client.base_url).rstrip("/").removesuffix("/v1") + path
        send: Callable[..., Any] = client.get if body is None else client.post
        options: dict[str, Any] = {} if body is None else {"body": body}
        try:
            raw = await send(path, cast_to=httpx2.Response, options={"headers": _RAW}, **options)
        except openai.APIStatusError as error:
            raise _failure(error.body, error.status_code) from error
        except openai.APIConnectionError as error:
            where = str(client.base_url)
            raise InferenceUnavailable(
                f"no model server answers at {where} ({error.__cause__ or error})"
            ) from error
        response: httpx2.Response = getattr(raw, "http_response", raw)
        return response

    def _connect(self) -> openai.AsyncOpenAI:
        address = self._find()
        if self._openai is None or address != self._address:
            # The old one is kept until the end: replies may still be running on it, and it would close them.
            self._address = address
            self._served = {}
            if self._openai is not None:
                self._old.append(self._openai)
            self._openai = openai.AsyncOpenAI(
                base_url=address[0],
                api_key=address[1],
                max_retries=0,  # a turn is tried again by the turn machine, with its notice to the person
                timeout=httpx2.Timeout(None, connect=5.0),
                # A proxy of the environment is for the world outside, not for this machine.
                http_client=openai.DefaultAsyncHttpxClient(trust_env=not _is_here(address[0])),
            )
        return self._openai

    def _find(self) -> tuple[str, str]:
        key = self.endpoint.api_key.get_secret_value() if self.endpoint.api_key else ""
        if self.endpoint.base_url:
            return self.endpoint.base_url, key or "none"
        try:
            found = orjson.loads(self._file.read_bytes())
            return found["base_url"], key or found["api_key"]
        except FileNotFoundError as error:
            raise InferenceUnavailable(
                "no model server was started here: `python -m inference serve`, "
                "or set `CHATNVL_INFERENCE__BASE_URL`"
            ) from error
        except (OSError, ValueError, KeyError) as error:
            raise InferenceUnavailable(f"`{self._file}` cannot be read: {error!r}") from error


def _released(
    release: Release,
    served: Sequence[str],
    conversation: str | None,
    under_way: str | None,
    *,
    waiting: bool,
) -> Chosen | None:
    chosen = Chosen(release.stable) if conversation is None else version_for(release, conversation, under_way)
    if chosen.version in served:
        return chosen
    # What it falls back to is no arm of a trial: it was not chosen by chance.
    stand_ins = (release.stable, release.previous) if waiting else (release.stable,)
    return next((Chosen(name) for name in stand_ins if name is not None and name in served), None)


def _unreleased(character: Character, served: Sequence[str]) -> Chosen | None:
    if character.model is not None:
        return Chosen(character.model) if character.model in served else None
    parsed = filter(None, map(parse_served_name, served))
    mine = [number for name, number in parsed if name == character.id]
    return Chosen(served_name(character.id, f"v{max(mine)}")) if mine else None


def _is_here(url: str) -> bool:
    return httpx2.URL(url).host in ("127.0.0.1", "localhost", "::1")


def token_bound(text: str) -> int:
    """At least as many tokens as `text` can have with a byte-level tokenizer, with room for a message's own
    marks.
    """
    return len(text.encode("utf-8", "replace")) + 8


def _failure(body: object, status: int | None = None) -> InferenceError:
    """Our error for a server's error body, `{"message": …, "code": …}` in or out of `{"error": …}`."""
    if isinstance(body, dict):
        body = body.get("error", body)
    message = str(body.get("message") or body) if isinstance(body, dict) else str(body)
    code = status if status is not None else body.get("code") if isinstance(body, dict) else None
    if code in (401, 403):  # for the owner to mend; what people said meanwhile is kept
        return InferenceUnavailable(
            f"the model server refuses our key (`CHATNVL_INFERENCE__API_KEY`): {message}"
        )
    if isinstance(code, int) and 400 <= code < 500 and code not in (408, 409, 425, 429):
        return InferenceRejected(message, status=code)
    return InferenceUnavailable(f"the model server failed: {message}")
