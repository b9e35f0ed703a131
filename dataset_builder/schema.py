"""Every row that crosses a folder border. Imports pydantic and nothing of ours, so that anyone may import it.

Scenes, lines and dialogues come by the hundred thousand and are plain slotted dataclasses: making one costs a
tenth of a pydantic model. Read from a file they are checked all the same, by `SCENES` and `DIALOGUES`. Row
types for training and their column names are TRL's (https://huggingface.co/docs/trl/dataset_formats).
"""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

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
