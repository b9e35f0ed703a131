"""Discord, by discord.py: direct messages, mentions, replies, slash commands, streamed edits, thumbs.

Here is the bot's side: connecting, sending, keeping quiet. People's side is `bot.gateways.discord_client`.
"""

import asyncio
import contextlib
import io
import logging
import random
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import aiohttp
import discord

from bot.errors import ConfigurationError, DeliveryFailed
from bot.gateways import discord_words as words
from bot.gateways.discord_client import PLATFORM, TROUBLE, DiscordClient, buttons
from bot.messages import Part, Person, Place

if TYPE_CHECKING:
    from bot.chat import ChatService

ATTEMPTS = 3  # to publish a part, always with the same nonce
TYPING = 120.0  # seconds that "is typing" is shown at most
INVALID_WINDOW = 600.0  # seconds; Discord bans an address after 10,000 refused requests in them
CLOSED_FOR_GOOD = {4010: "the shard", 4011: "sharding", 4012: "the API version", 4013: "the intents"}

log = logging.getLogger(__name__)


class DiscordGateway:
    """One bot account. discord.py keeps the session, the pace and the caches; this is what it leaves open."""

    platform = PLATFORM
    limit = words.LIMIT
    idempotent = True  # Discord shows a nonce once, for some minutes
    stream_every: float | None = 1.2
    burst = 1.2

    def __init__(
        self, token: str, *, patience: float = 30.0, refusals: int = 1000, pause: float = 600.0
    ) -> None:
        """`patience`: seconds for one send. After `refusals` refused requests in ten minutes nothing is sent
        for `pause` seconds."""
        token = token.strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigurationError(_no_token("is not a token"))
        self._token = token
        self._patience = patience
        self._refusals = refusals
        self._pause = pause
        self._refused: deque[float] = deque()
        self._silent_until = 0.0
        self._client: DiscordClient | None = None
        self._typings: set[asyncio.Task[None]] = set()

    @property
    def silent(self) -> bool:
        """Whether Discord has had enough of us for now."""
        return time.monotonic() < self._silent_until

    def accounts(self) -> Collection[str]:
        client = self._client
        if client is None or not client.ready or client.user is None or self.silent:
            return ()
        return (str(client.user.id),)

    async def run(self, chat: "ChatService", stop: asyncio.Event) -> None:
        """Serve until `stop`. A lost line is discord.py's business; a failed start is tried again here."""
        failures = 0
        while not stop.is_set():
            client = self.connect(chat)
            try:
                await self._serve(client, stop)
            except (
                discord.LoginFailure,
                discord.PrivilegedIntentsRequired,
                discord.ConnectionClosed,
            ) as error:
                if reason := _hopeless(error):
                    raise ConfigurationError(reason) from error
                problem: BaseException = error
            except TROUBLE as error:
                problem = error
            except AttributeError as error:
                # discord.py 2.7.1 asks the missing first connection for its sequence: the line was never up.
                if client.ws is not None or error.__context__ is None:
                    raise
                problem = error.__context__
            else:
                problem = ConnectionError("the connection was closed")
            finally:
                self._client = None
            if stop.is_set():
                return
            failures = 0 if client.ready else failures + 1
            delay = max(
                min(120.0, 2.0**failures) * random.uniform(0.5, 1), self._silent_until - time.monotonic()
            )
            log.warning(
                "Discord cannot be reached (%s); trying again in %.0f s", words.outline(problem), delay
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await stop.wait()

    def connect(self, chat: "ChatService") -> DiscordClient:
        """A client that has yet to be started."""
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._answered)
        self._client = DiscordClient(self, chat, trace)
        return self._client

    async def _serve(self, client: DiscordClient, stop: asyncio.Event) -> None:
        async with client:
            tasks = asyncio.create_task(client.start(self._token)), asyncio.create_task(stop.wait())
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if tasks[0].done():
                    await tasks[0]
            finally:
                for task in (*tasks, *self._typings):
                    task.cancel()
                await asyncio.gather(*tasks, *self._typings, return_exceptions=True)

    async def _answered(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, end: aiohttp.TraceRequestEndParams
    ) -> None:
        """Count what Discord refuses, whichever request it was."""
        response, now = end.response, time.monotonic()
        banned = response.status == 429 and "Via" not in response.headers  # not Discord: the proxy before it
        if response.status not in (401, 403, 429) or response.headers.get("X-RateLimit-Scope") == "shared":
            return
        self._refused.append(now)
        while self._refused[0] < now - INVALID_WINDOW:
            self._refused.popleft()
        if (banned or len(self._refused) >= self._refusals) and not self.silent:
            asked = response.headers.get("Retry-After", "")
            pause = min(max(self._pause, float(asked) if asked.isdecimal() else 0.0), 3600.0)
            log.error(
                "Discord refuses our requests (%d lately); nothing is sent for %.0f s",
                len(self._refused),
                pause,
            )
            self._silent_until = now + pause
            self._refused.clear()
            asyncio.get_running_loop().call_later(pause + 0.01, self._speak_again)

    def _speak_again(self) -> None:
        if self._client is not None and self.accounts():
            self._client.announce()

    async def send(self, part: Part) -> str:
        client = self._client
        if client is None or part.place.account not in self.accounts():
            raise DeliveryFailed(PLATFORM, "not connected")
        nonce = part.nonce or secrets.token_hex(8)
        failure = DeliveryFailed(PLATFORM, "not tried")
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(0.5 * attempt)
            try:
                async with asyncio.timeout(self._patience):
                    return await self._publish(client, part, nonce)
            except TROUBLE as error:
                failure = _failure(error)
                # discord.py tries again after 500, 502, 504, 524; not after 503, nor when the line breaks.
                broken = isinstance(error, aiohttp.ClientError | OSError) and not isinstance(
                    error, TimeoutError
                )
                if client.is_closed() or not (
                    broken or (isinstance(error, discord.HTTPException) and error.status == 503)
                ):
                    raise failure from error
        raise failure

    async def hand(self, place: Place, person: Person, name: str, data: bytes) -> None:
        client = self._client
        if client is None or place.account not in self.accounts():
            raise DeliveryFailed(PLATFORM, "not connected")
        try:
            async with asyncio.timeout(self._patience):
                channel = await client.create_dm(discord.Object(int(person.id)))
                await channel.send(file=discord.File(io.BytesIO(data), filename=name))
        except TROUBLE as error:
            raise _failure(error) from error

    def typing(self, place: Place) -> AbstractAsyncContextManager[None]:
        return self._typing(place)

    @contextlib.asynccontextmanager
    async def _typing(self, place: Place) -> AsyncIterator[None]:
        client = self._client
        if client is None or place.account not in self.accounts():
            yield
            return
        # A task of its own, for a slow line must not hold up the reply; and told to end, not cancelled: in a
        # wrong moment that would leave discord.py's pacing of a route blocked for half a minute.
        done = asyncio.Event()
        task = asyncio.create_task(self._type(client, place, done))
        self._typings.add(task)
        task.add_done_callback(self._typings.discard)
        try:
            yield
        finally:
            done.set()

    async def channel_at(
        self, client: DiscordClient, place: Place
    ) -> discord.DMChannel | discord.PartialMessageable:
        if place.kind == "private":
            return await client.create_dm(
                discord.Object(int(place.id))
            )  # asks Discord only when it is not known
        return client.get_partial_messageable(int(place.id))

    async def _publish(self, client: DiscordClient, part: Part, nonce: str) -> str:
        """One attempt; raises what discord.py raises."""
        channel = await self.channel_at(client, part.place)
        # Rating begins when she has finished: votes on half a sentence say nothing.
        view = buttons(part.reply) if part.reply and part.final and part.last else None
        edits = part.edits
        if edits is None:
            reference = None
            if part.quotes and part.place.kind == "group":
                reference = discord.MessageReference(
                    message_id=int(part.quotes), channel_id=channel.id, fail_if_not_exists=False
                )
            kept = await channel.send(part.text, nonce=nonce, reference=reference, view=view)  # type: ignore[arg-type]
            edits = str(kept.id)
            if kept.content == part.text.strip() and bool(kept.components) == bool(view):
                return edits
            # Discord knew the nonce: this is what an earlier attempt said, perhaps of a process that died.
        await channel.get_partial_message(int(edits)).edit(content=part.text, view=view)
        return edits

    async def _type(self, client: DiscordClient, place: Place, done: asyncio.Event) -> None:
        try:
            channel = await self.channel_at(client, place)
            if not done.is_set():
                async with asyncio.timeout(TYPING), channel.typing():
                    await done.wait()
        except TROUBLE as error:
            log.debug("typing is not shown at %s: %s", place, words.outline(error))


def _failure(error: Exception) -> DeliveryFailed:
    """What is known of a message after an exception."""
    refused: bool | None = None
    gone = False
    if isinstance(error, discord.HTTPException) and error.status < 500:
        refused, gone = False, error.status in (400, 403, 404)
    elif isinstance(error, discord.RateLimited | aiohttp.ClientConnectorError):
        refused = False
    return DeliveryFailed(PLATFORM, words.outline(error), sent=refused, gone=gone)


def _no_token(problem: str) -> str:
    return (
        f"`CHATNVL_DISCORD__TOKEN` {problem}: copy it again from https://discord.com/developers/applications "
        "(your application, Bot, Reset Token)"
    )


def _hopeless(error: Exception) -> str | None:
    """What the owner must do when trying again cannot help."""
    if isinstance(error, discord.LoginFailure):
        return _no_token("is refused by Discord")
    if isinstance(error, discord.PrivilegedIntentsRequired):
        return (
            "Discord refuses the intents of this bot, though none is privileged: look at the application of "
            "`CHATNVL_DISCORD__TOKEN` on https://discord.com/developers/applications (Bot)"
        )
    code = getattr(error, "code", None)
    if code == 4004:
        return _no_token("is refused by Discord")
    if code in CLOSED_FOR_GOOD:
        return f"Discord refuses {CLOSED_FOR_GOOD[code]} of this bot (close code {code}): update ChatNVL"
    return None
