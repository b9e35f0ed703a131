"""General ability, which fine-tuning costs unless one looks: questions of school level and plain texts.

Questions are asked without a card, as anybody would ask the bare model, and answered with the adapter on.
Each item keeps its own figure, so that two systems can be compared item by item.
"""

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dataset_builder.schema import Message
from inference.characters import Sampling
from inference.prompt import LANGUAGES
from training.voice import Score, Voice, together

PROBES = Path(__file__).parent / "probes"
# Answers are a word, a number or a line; what a model says behind that counts against it anyway.
GREEDY = Sampling(temperature=0, repetition_penalty=1, max_tokens=16)
FAST = 4  # the fast subset is every fourth item
TEXTS = 2  # every second text: half of them tell two systems apart as well as all, and a text is long


class _Item(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str  # begins with its language: `en-choice-01`
    question: str

    @property
    def asked(self) -> tuple[Message, ...]:
        return (Message(role="user", content=self.question),)


class Choice(_Item):
    """The option that the model finds most probable is its answer; `answer` is the right one's place."""

    kind: Literal["choice"]
    options: tuple[str, ...]
    answer: int


class Exact(_Item):
    """The reply names one of `answers`, as a word of its own where it is of letters or digits. How the answer
    is dressed up is not asked here; `Pattern` is for that."""

    kind: Literal["exact"]
    answers: tuple[str, ...]

    def right(self, reply: str) -> bool:
        said = _plain(reply)
        return any(re.search(_ALONE.format(re.escape(_plain(answer))), said) for answer in self.answers)


class Pattern(_Item):
    """The reply holds what the regular expression finds."""

    kind: Literal["pattern"]
    pattern: str
    example: str

    def right(self, reply: str) -> bool:
        return re.search(self.pattern, reply) is not None


class _Line(BaseModel):
    item: Annotated[Choice | Exact | Pattern, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Ability:
    """What each item came to. Ids begin with the item's language: `en-exact-03`, `en-text-1`."""

    right: dict[str, bool]
    texts: dict[str, Score]

    @property
    def share(self) -> float:
        """Of the questions answered right, 0 to 1."""
        return sum(self.right.values()) / max(1, len(self.right))

    @property
    def perplexity(self) -> float:
        """Of the plain texts, a token."""
        return math.exp(together(list(self.texts.values())).loss)

    def of(self, language: str) -> "Ability":
        """What came of one language's items alone."""
        return replace(
            self,
            right={id_: right for id_, right in self.right.items() if id_.startswith(language)},
            texts={id_: score for id_, score in self.texts.items() if id_.startswith(language)},
        )


def has_lost(before: Ability, now: Ability, share: float) -> bool:
    """Whether `now` answers fewer of the same questions than `before` did, by more than `share` of them and
    by more than chance: of the answers that differ, every second one is worse by chance alone (McNemar 1947,
    one-sided, 5 %)."""
    lost = sum(right and not now.right[id_] for id_, right in before.right.items())
    gained = sum(now.right[id_] and not right for id_, right in before.right.items())
    return lost - gained > share * sum(before.right.values()) + 1.645 * math.sqrt(lost + gained)


def read_items(language: str) -> list[Choice | Exact | Pattern]:
    """The questions of one language."""
    path = PROBES / f"ability.{language}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_Line.model_validate({"item": json.loads(line)}).item for line in lines]


def read_texts(language: str) -> dict[str, str]:
    """The plain texts of one language, by id; in the file an empty line stands between two."""
    whole = (PROBES / f"text.{language}.txt").read_text(encoding="utf-8")
    texts = [text.strip() for text in re.split(r"\n\s*\n", whole) if text.strip()]
    return {f"{language}-text-{number}": text for number, text in enumerate(texts, 1)}


def ability(voice: Voice, languages: Sequence[str] = LANGUAGES, *, fast: bool = False) -> Ability:
    """How `voice` does in each of `languages`; `fast` asks a quarter, for a look while training goes on."""
    step = FAST if fast else 1
    items = [item for language in languages for item in read_items(language)[::step]]
    texts = dict(
        pair for language in languages for pair in list(read_texts(language).items())[:: TEXTS * step]
    )
    right = dict(_choices(voice, [item for item in items if isinstance(item, Choice)]))
    right |= _replies(voice, [item for item in items if not isinstance(item, Choice)])
    scores = voice.text_scores(list(texts.values()))
    return Ability({item.id: right[item.id] for item in items}, dict(zip(texts, scores, strict=True)))


def _choices(voice: Voice, items: Sequence[Choice]) -> Iterator[tuple[str, bool]]:
    """By the log-probability a byte. The sum alone prefers short options, and the mean a token those
    whose last tokens follow from the first."""
    pairs = [(item.asked, option) for item in items for option in item.options]
    scores = iter(voice.answer_scores(pairs))
    for item in items:
        each = [next(scores).log_probability / len(option.encode()) for option in item.options]
        yield item.id, each.index(max(each)) == item.answer


def _replies(voice: Voice, items: Sequence[Exact | Pattern]) -> dict[str, bool]:
    replies = voice.replies([item.asked for item in items], GREEDY)
    return {item.id: item.right(reply) for item, reply in zip(items, replies, strict=True)}


# Chinese and Japanese set no spaces: only a longer Latin word or number is another one.
_ALONE = r"(?<![0-9a-z]){}(?![0-9a-z])"


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
