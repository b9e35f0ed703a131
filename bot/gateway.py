"""What the rest of the bot needs of a connection to a chat platform."""

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from bot.messages import Part, Person, Place

if TYPE_CHECKING:
    import asyncio

    from bot.chat import ChatService


class Gateway(Protocol):
    """One chat platform. It hands what people do to `ChatService` and shows what comes back."""

    @property
    def platform(self) -> str:
        """The platform's name, as in `Place.platform`."""

    @property
    def limit(self) -> int:
        """Characters that one message may hold."""

    @property
    def idempotent(self) -> bool:
        """Publishing a part with the same nonce again shows no second message, so it may be repeated after a
        crash.
        """

    @property
    def stream_every(self) -> float | None:
        """Seconds between two edits of a reply being written; None: only the finished one is shown."""

    @property
    def burst(self) -> float:
        """Seconds of silence that end a burst: what people send within them is answered together."""

    def accounts(self) -> Collection[str]:
        """The accounts that can send right now. Replies for others wait."""

    async def run(self, chat: "ChatService", stop: "asyncio.Event") -> None:
        """Serve until `stop` is set. Raises `BotError` when it can never work."""

    async def send(self, part: Part) -> str:
        """Publish a part, or edit the message that shows it (`part.edits`). Returns the message's platform
        id.

        Raises `DeliveryFailed`.
        """

    async def hand(self, place: Place, person: Person, name: str, data: bytes) -> None:
        """Give a file to a person of a place, so that nobody else sees it. Raises `DeliveryFailed`."""

    def typing(self, place: Place) -> AbstractAsyncContextManager[None]:
        """Shown to people while the model thinks. Never raises for the platform's sake."""
