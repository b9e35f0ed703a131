"""Every row that crosses a folder border. Imports pydantic and nothing of ours, so that anyone may import it.

Scenes, lines and dialogues come by the hundred thousand and are plain slotted dataclasses: making one costs a
tenth of a pydantic model. Read from a file they are checked all the same, by `SCENES` and `DIALOGUES`. Row
types for training and their column names are TRL's (https://huggingface.co/docs/trl/dataset_formats).
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Kind = Literal["speech", "thought", "narration", "choice", "title"]


# --- a work: what a script says


@dataclass(slots=True)
class Source:
    """Where a line stands: `line` counts from 1 (0: the file has no lines); `path` leads to a value inside a
    structured file, such as `scenes/3/texts/12`."""

    file: str
    line: int = 0
    path: str = ""


@dataclass(slots=True)
class Ruby:
    """A reading above a word: `text` stands over `base`, which is part of the line's text."""

    base: str
    text: str


@dataclass(slots=True)
class Line:
    """One line of a script, as somebody reads it.

    `speaker` is who really speaks, where the script knows; `display_name` what the name plate shows
    (`？？？`). `speakers` holds everybody in a chorus, and one name otherwise. `text` has no markup and no
    brackets of speech or thought around it; `raw` is what the script says. `branch` tells alternatives
    apart: "" is the main line, "2.1" the first arm of the scene's second choice or condition, "2.1/1.3" an
    arm inside that one; lines of sibling arms never follow one another in a play.
    """

    index: int  # in its scene, from 0
    kind: Kind
    speaker: str | None
    display_name: str | None
    speakers: tuple[str, ...]
    text: str
    raw: str
    source: Source
    ruby: tuple[Ruby, ...] = ()
    voice: tuple[str, ...] = ()  # files or ids of recordings, without folders where the script names none
    translations: dict[str, str] = field(default_factory=dict)  # language -> text, treated like `text`
    branch: str = ""


@dataclass(slots=True)
class Choice:
    """What a player may choose at the scene's end; `target` is a scene's name, "" when it is not known."""

    text: str
    target: str = ""


@dataclass(slots=True)
class Scene:
    """A stretch of one file that is played in one go. A name in `next` or a choice's `target` is a `scene`
    of the same file, or `file#scene`."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # a dialogue is no scene without lines

    work: str
    file: str
    scene: str
    title: str = ""
    language: str = ""  # zh, ja, en or another BCP 47 tag; "" when unknown
    lines: list[Line] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    next: list[str] = field(default_factory=list)


# --- a character's dialogues


@dataclass(slots=True)
class Utterance:
    """One thing in front of her answer. `speaker` is None for narration and for a choice of the player's."""

    kind: Kind
    speaker: str | None
    text: str
    translations: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Turn:
    """What was said to her, and what she answered. `said` may be empty in a dialogue's first turn only."""

    said: tuple[Utterance, ...]
    answered: str
    translations: dict[str, str] = field(default_factory=dict)  # of the answer
    thought: str = ""  # what she thought meanwhile; not said aloud
    lines: tuple[int, ...] = ()  # indexes of her lines in the scene


@dataclass(slots=True)
class Dialogue:
    """A character's dialogue before it is rendered; the card is not in it, since `inference.prompt` writes
    that.

    `id` is a hash of its content; `context` what happened just before, for reading and for a prompt.
    """

    character: str
    turns: tuple[Turn, ...]
    id: str = ""
    work: str = ""
    file: str = ""
    scene: str = ""
    branch: str = ""
    language: str = ""
    context: tuple[Utterance, ...] = ()


SCENES = TypeAdapter(Scene)
DIALOGUES = TypeAdapter(Dialogue)


# --- rows that train


class Message(BaseModel):
    """One chat message, as OpenAI's routes and every chat template take it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str


class LanguageModelingRow(BaseModel):
    """TRL's *language modeling* row: a whole conversation, rendered as it is served."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: tuple[Message, ...]


class PromptCompletionRow(BaseModel):
    """TRL's *prompt-completion* row: only `completion` is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: tuple[Message, ...]
    completion: tuple[Message, ...]


# --- feedback: what people were shown and what they thought of it
#
# `bot` appends these to `data/feedback/*.jsonl`, one JSON object a line, in the order in which they happened;
# everybody else reads them. People and places are keyed hashes: who they are is known to the bot alone. Words
# stand in an event only where everybody whose words they are had consented at that moment.

Thumb = Literal["up", "down"]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str  # of the event: no two lines of the files have the same
    time: float  # unix seconds
    place: str  # `p…`: a private chat, a group, a page's visitor
    character: str  # her id; "" where it is about all of them


class SaidRow(BaseModel):
    """One message of a person, as the prompt shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    name: str = ""  # set in groups
    quoted: str = ""


class CandidateRow(BaseModel):
    """A reply that was drawn to the same prompt and not shown at first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    reward: float | None = None


class Grant(BaseModel):
    """Discord's written permission to train on message content (developer policy, rule 21). Without it
    nothing that is said there is written down for training; votes count all the same."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: str
    """What Discord calls the permission to train on message content that it granted in writing. Without one,
    nothing that is said there is kept for training; votes count all the same. Data sets print it."""
    date: str
    """When it was granted."""
    scope: str
    """What it allows, in its own words."""


class ReplyEvent(_Event):
    """A reply was committed, and is about to be shown."""

    kind: Literal["reply"] = "reply"
    reply: str
    turn: str  # all answers to the same message have the same
    swipe: int = 0  # which of them it is
    people: tuple[str, ...]  # `u…`: who spoke in the turn
    platform: str
    card: str  # sha256 of her card
    base: str = ""
    version: str  # as it is served: `maeve.v7`
    sha256: str = ""  # of the adapter's weights
    arm: Literal["", "stable", "canary"] = ""  # "": no trial was on
    probability: float = 1.0  # with which a conversation comes into this arm
    prompt: str  # sha256 of the messages, see `turns`
    turns: tuple[str, ...] = ()  # that stand in the prompt before this one, oldest first
    sampling: dict[str, float] = {}
    seed: int = 0
    finish_reason: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    first_token_ms: float = 0.0
    total_ms: float = 0.0
    software: str = ""  # our own version
    consent: bool = False  # of everybody in `people`; without it the fields below are empty
    grant: Grant | None = None  # under which Discord's content may be used
    said: tuple[SaidRow, ...] = ()
    text: str = ""
    candidates: tuple[CandidateRow, ...] = ()


class VoteEvent(_Event):
    """A person's vote on a reply is another one now. The votes of a version are the sum of all changes."""

    kind: Literal["vote"] = "vote"
    reply: str
    version: str
    arm: Literal["", "stable", "canary"] = ""
    person: str
    old: Thumb | None
    new: Thumb | None
    weight: float = 1.0  # 0 to 1, fixed at the person's first vote on the reply
    reasons: tuple[str, ...] = ()  # why it is less than 1: `bystander`, `newcomer`, `daily-cap`


class ChoiceEvent(_Event):
    """Of the answers to a message, another one is the kept one now."""

    kind: Literal["choice"] = "choice"
    turn: str
    reply: str  # that is kept
    person: str
    how: Literal["flip", "edit"]  # chosen among the answers; or written by the person herself
    text: str = ""  # of an edit, with consent


class ConsentEvent(_Event):
    """A person allowed training on what she says at a place from now on, or forbade it, also for before."""

    kind: Literal["consent"] = "consent"
    person: str
    on: bool
    terms: str  # version of the text that she was shown


class ForgetEvent(_Event):
    """What a person said at a place, and what answered her, is to be deleted everywhere."""

    kind: Literal["forget"] = "forget"
    person: str
    alone: bool  # a private chat: everything at the place


class QuarantineEvent(_Event):
    """Votes for a character within a span do not count, or count again. `place` is empty."""

    kind: Literal["quarantine"] = "quarantine"
    since: float
    until: float
    persons: tuple[str, ...] = ()  # whose votes; empty: everybody's
    reason: str
    released: bool = False


FeedbackEvent = Annotated[
    ReplyEvent | VoteEvent | ChoiceEvent | ConsentEvent | ForgetEvent | QuarantineEvent,
    Field(discriminator="kind"),
]
FEEDBACK: TypeAdapter[FeedbackEvent] = TypeAdapter(FeedbackEvent)


class VersionTally(BaseModel):
    """What people thought of one version in one arm on one day. Votes that are quarantined are left out of
    all but `quarantined`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    character: str
    version: str
    arm: Literal["", "stable", "canary"] = ""
    day: str  # UTC, `2026-11-27`
    shown: int = 0
    up: int = 0
    down: int = 0
    weighted_up: float = 0.0
    weighted_down: float = 0.0
    regenerated: int = 0
    quarantined: int = 0


class Tally(BaseModel):
    """`data/feedback/tally.json`: the sum of the files beside it, kept by the bot."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: float
    versions: tuple[VersionTally, ...] = ()
