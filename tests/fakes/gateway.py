"""A chat platform on paper: the smallest real `Gateway`, for tests of what no platform matters to."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from bot.chat import ChatService
from bot.errors import DeliveryFailed
from bot.messages import IncomingMessage, Part, Person, Place, Reaction, Vote

ANNA = Person("anna", "Anna")
BEN = Person("ben", "Ben")


class PaperGateway:
    """Everything sent is in `parts`; what people see is in `shown`, by platform id."""

    def __init__(
        self,
        platform: str = "paper",
        *,
        limit: int = 2000,
        idempotent: bool = True,
        stream_every: float | None = None,
        burst: float = 0.0,
    ) -> None:
        self.platform = platform
        self.limit = limit
        self.idempotent = idempotent
        self.stream_every = stream_every
        self.burst = burst
        self.online = True
        self.parts: list[Part] = []
        self.shown: dict[str, str] = {}
        self.failures: list[DeliveryFailed | None] = []  # what happens to the next sends
        self.handed: list[tuple[str, str, bytes]] = []  # files: to whom, name, what
        self.typed = 0
        self._nonces: dict[str, str] = {}
        self._ids = itertools.count(1)
        self._changed = asyncio.Event()

    def accounts(self) -> Collection[str]:
        return ("bot",) if self.online else ()

    async def run(self, chat: ChatService, stop: asyncio.Event) -> None:
        await stop.wait()

    async def send(self, part: Part) -> str:
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        self.parts.append(part)
        if part.edits is not None:
            shown = part.edits
        elif self.idempotent and part.nonce in self._nonces:
            shown = self._nonces[part.nonce]
        else:
            shown = f"m{next(self._ids)}"
            if part.nonce:
                self._nonces[part.nonce] = shown
        self.shown[shown] = part.text
        self._changed.set()
        return shown

    async def hand(self, place: Place, person: Person, name: str, data: bytes) -> None:
        self.handed.append((person.id, name, data))

    @asynccontextmanager
    async def typing(self, place: Place) -> AsyncIterator[None]:
        self.typed += 1
        yield

    @property
    def replies(self) -> list[str]:
        """The finished replies (and late notices), in the order in which they were finished."""
        return [part.text for part in self.parts if part.final]

    async def wait(self, count: int, seconds: float = 60) -> list[str]:
        """Until so many replies are there."""
        async with asyncio.timeout(seconds):
            while len(self.replies) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.replies


class Talk:
    """A person's side of a conversation on paper."""

    def __init__(self, chat: ChatService, gateway: PaperGateway, place: Place | None = None) -> None:
        self.chat = chat
        self.gateway = gateway
        self.place = place or Place(gateway.platform, "bot", "private", "anna")
        self._ids = itertools.count(1)

    def message(self, text: str, person: Person = ANNA, **more: object) -> IncomingMessage:
        fields = {"id": f"in{next(self._ids)}", "time": time.time(), **more}
        return IncomingMessage(self.place, person=person, text=text, **fields)  # type: ignore[arg-type]

    async def send(self, text: str, person: Person = ANNA, **more: object) -> str | None:
        return await self.chat.receive(self.message(text, person, **more))

    async def say(self, text: str, person: Person = ANNA, **more: object) -> str:
        """Say something and wait for the reply to it."""
        before = len(self.gateway.replies)
        notice = await self.send(text, person, **more)
        assert notice is None, notice
        reply = (await self.gateway.wait(before + 1))[before]
        # It is shown a moment before it is known which message shows it; no person is as quick as a test.
        for _ in range(100):
            if await self.chat.is_ours(self.place, next(reversed(self.gateway.shown))):
                break
            await asyncio.sleep(0.01)
        return reply

    async def react(
        self,
        message: str,
        vote: Vote,
        added: bool = True,
        person: Person = ANNA,
        mark: str = "",
        time_: float = 0,
    ) -> bool:
        return await self.chat.react(
            Reaction(self.place, message, person, vote, added, mark or vote, time_ or time.time())
        )
