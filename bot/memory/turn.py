"""What a turn is made of, from the message that waits to the reply on its way out."""

from dataclasses import dataclass, field, replace
from typing import Literal

import orjson

from bot import keys
from bot.messages import Conversation, Place
from inference.prompt import Exchange, Said


@dataclass(frozen=True, slots=True)
class Item:
    """What waits in an inbox: a message, or the wish for another answer to the last turn."""

    id: str  # the platform's message id
    kind: Literal["message", "regenerate"]
    person: str
    name: str
    text: str
    quoted: str
    time: float

    def said(self, *, named: bool) -> Said:
        return Said(text=self.text, name=self.name if named else "", quoted=self.quoted)


@dataclass(frozen=True, slots=True)
class Swipe:
    """One answer to a turn. `version` is empty where a person wrote it instead of her."""

    reply: str
    text: str
    version: str
    time: float


@dataclass(frozen=True, slots=True)
class Turn:
    """A complete pair: what was said, and what she answered. `chosen` is the kept answer's place."""

    id: str
    said: tuple[Item, ...]
    swipes: tuple[Swipe, ...]
    chosen: int = -1

    @property
    def kept(self) -> Swipe:
        return self.swipes[self.chosen]

    def exchange(self, *, named: bool) -> Exchange:
        return Exchange(said=tuple(item.said(named=named) for item in self.said), reply=self.kept.text)


@dataclass(slots=True)
class Delivery:
    """How far a committed reply has come: `sent` are the platform's ids of its parts, `trying` the part under
    way.
    """

    reply: str
    text: str
    version: str
    quotes: str | None
    time: float  # of the commit, unix seconds
    drafts: list[str] = field(default_factory=list)  # platform ids that show its parts already, unfinished
    sent: list[str] = field(default_factory=list)
    trying: int | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a conversation, and all that is needed for it."""

    conversation: Conversation
    fence: int
    inbox: tuple[Item, ...]
    start: int  # index in the list of turns where the window begins
    window: tuple[Turn, ...]
    outbox: tuple[Delivery, ...]
    drafts: dict[
        str, list[str]
    ]  # reply id -> platform ids that show an unfinished reply of an earlier attempt


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else works on it for at most this long."""

    seconds: float


def turn_id(place: Place, character: str, first: Item) -> str:
    """16 characters, the same for every attempt to answer the same message."""
    return keys.digest(str(place), character, first.id)


def with_swipe(turn: Turn, swipe: Swipe) -> Turn:
    """The turn with another answer, which is the kept one now."""
    return replace(turn, swipes=(*turn.swipes, swipe), chosen=-1)


def read_turn(raw: str) -> Turn:
    """A turn as `Turns` writes it."""
    body = orjson.loads(raw)
    return Turn(
        body["id"],
        tuple(Item(**item) for item in body["said"]),
        tuple(Swipe(**swipe) for swipe in body["swipes"]),
        body.get("chosen", -1),
    )
