"""The frozen values that cross the border between a gateway and the rest of the bot.

Ids are `str` here, whatever the platform calls them (QQ sends integers, Discord snowflakes).
"""

from dataclasses import dataclass
from typing import Literal

Language = Literal["zh", "en"]
Vote = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where people talk: one private chat, one group, one channel or thread, one page visitor."""

    platform: str  # "qq", "discord", "web", "terminal", or a NoneBot adapter's name
    account: str  # the bot's own id there: one process may serve several
    kind: Literal["private", "group"]
    id: str  # the other person's id in private, the group's or channel's id otherwise

    def __str__(self) -> str:
        return f"{self.platform}:{self.account}:{self.kind}:{self.id}"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A place and the character who is spoken to there: the unit of memory and of locking."""

    place: Place
    character: str

    def __str__(self) -> str:
        return f"{self.place}:{self.character}"


@dataclass(frozen=True, slots=True)
class Person:
    """Who wrote; `id` is the platform's, `name` what people see there (untrusted text)."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """What a person sent, mentions of the bot already cut out of `text`."""

    place: Place
    id: str  # the platform's message id: the key by which a message delivered twice is answered once
    person: Person
    text: str
    time: float  # unix seconds, the platform's
    addressed: bool = True  # private, or the bot was mentioned or replied to; others are ignored
    quotes: str | None = None  # platform id of the message it replies to
    quoted_text: str = ""  # what that message said, when the gateway knows
    character: str | None = None  # None: whoever the place is talking to
    language: Language | None = None  # of notices, when the platform knows; None: the character's


@dataclass(frozen=True, slots=True)
class Part:
    """One bubble of a reply (or a notice) on its way out.

    A reply longer than the gateway's `limit` has several parts. While the model still writes, a gateway that
    streams gets the same part again and again with `edits` set; `final` is True once, at the end.
    """

    place: Place
    reply: str  # reply id, [a-z0-9]{1,20}; the same when a crashed turn is answered again. "" for a notice
    index: int
    text: str
    quotes: str | None  # platform id of the message answered; only for index 0
    character: str  # her id; "" for a notice that nobody says
    version: str = ""  # the adapter version that wrote it
    edits: str | None = None  # platform id of the message that shows this part already
    final: bool = True
    last: bool = True  # of the reply's parts, as far as it is written

    @property
    def nonce(self) -> str:
        """At most 25 characters, equal for every attempt to publish this part; "" for a notice."""
        return f"{self.reply}-{self.index}" if self.reply else ""


@dataclass(frozen=True, slots=True)
class Reaction:
    """A thumb on a reply: an emoji, a button or a command, put or taken away."""

    place: Place
    message: str  # platform id of the message that carries it (any part of the reply)
    person: Person
    vote: Vote
    added: bool
    mark: str  # which emoji or button it was: one person may put several
    time: float


@dataclass(frozen=True, slots=True)
class Answer:
    """One of several answers to the same message."""

    reply: str  # reply id
    text: str
    version: str  # "" where a person wrote it
    mine: Vote | None = None


@dataclass(frozen=True, slots=True)
class Utterance:
    """One line of a conversation as it is shown again later."""

    reply: str  # reply id; "" for a person's message
    name: str
    text: str
    time: float
    mine: Vote | None = None  # how the asking person voted on it
    version: str = ""  # the adapter version that said it
    message: str = ""  # of a person's message: the platform's id
    answers: tuple[Answer, ...] = ()  # of the last reply, where there are several: all of them, oldest first
