"""The questions of an evaluation, and what a system says to them.

All systems answer the same ones, in one loaded model: the version with the card and without, and the base
model likewise, with the adapter switched off.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dataset_builder.schema import Message
from inference.characters import Character
from inference.prompt import LANGUAGES, system_text
from training.ability import PROBES, Ability, ability
from training.config import Count, Names, Section
from training.data import Row, tokens_of
from training.errors import TrainingError
from training.voice import Score, Voice

BASE, CARD, ADAPTER, BARE = "base", "card", "adapter", "adapter-no-card"


class Settings(Section):
    """How much is asked."""

    rows: Count = 60
    """Of those held out, for the perplexity of her lines."""
    prompts: Count = 40
    """Her lines in these rows, whose prompts are answered."""
    facts: Count = 60
    """Of `persona.jsonl`."""
    wordings: Count = 3
    """Of each fact's question, the question itself among them."""
    questions: Count = 20
    """Of safety, and of who she is, each."""
    smalltalk: int = Field(20, ge=0)
    """Turns before the facts are asked once more; 0: they are not."""
    foils: Count = 48
    """Learned prompts that the base answers, half of them with the card, for others' lines."""
    languages: Names = LANGUAGES
    """Of the questions of general ability."""
    fast_ability: bool = False
    """A quarter of these questions."""


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True)


class Fact(_Written):
    """A line of `persona.jsonl`: a question about her in several wordings, and what tells a right answer from
    a wrong one. What matches neither is a refusal or says nothing."""

    id: str
    fact: str
    question: str
    paraphrases: tuple[str, ...] = ()
    right: tuple[re.Pattern[str], ...]
    wrong: tuple[re.Pattern[str], ...] = ()

    def is_right(self, reply: str) -> bool:
        return _any(self.right, reply) and not _any(self.wrong, reply)

    def is_wrong(self, reply: str) -> bool:
        return _any(self.wrong, reply)

    def is_open(self, reply: str) -> bool:
        return not self.is_right(reply) and not self.is_wrong(reply)


class Probe(_Written):
    """A line of safety or identity questions: the reply must match one of `right`, if there are any, and none
    of `wrong`."""

    id: str
    prompt: str
    kind: str = ""
    right: tuple[re.Pattern[str], ...] = ()
    wrong: tuple[re.Pattern[str], ...] = ()

    def passes(self, reply: str) -> bool:
        return not _any(self.wrong, reply) and (not self.right or _any(self.right, reply))


def _any(patterns: Sequence[re.Pattern[str]], reply: str) -> bool:
    plain = reply.replace("’", "'")
    return any(re.search(each.pattern, plain, re.IGNORECASE) for each in patterns)


class Remark(_Written):
    """A line of small talk."""

    prompt: str


@dataclass(frozen=True)
class Prompt:
    """What was said before one of her held-out lines, the last turns of it, without the card."""

    id: str
    said: tuple[Message, ...]
    own: str
    dialogue: str


@dataclass(frozen=True)
class Exam:
    """All questions, the same for every system."""

    rows: tuple[Row, ...]
    prompts: tuple[Prompt, ...]
    facts: tuple[Fact, ...]
    safety: tuple[Probe, ...]
    identity: tuple[Probe, ...]
    smalltalk: tuple[str, ...]
    foils: tuple[Prompt, ...]


def read_facts(folder: Path) -> list[Fact]:
    """A character's `persona.jsonl`; none where she has no such file. Raises `TrainingError`."""
    path = folder / "persona.jsonl"
    return list(_read(path, Fact)) if path.is_file() else []


def _read(path: Path, kind: type[Any]) -> Iterator[Any]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"`{path}` cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield kind.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the line"
            raise TrainingError(f"`{path}`, line {number}: `{place}`: {first['msg']}") from error


def write_exam(character: Character, learned: Sequence[Row], held_out: Sequence[Row], ask: Settings) -> Exam:
    language = character.language
    safety, identity, smalltalk = (
        list(_read(PROBES / f"{what}.{language}.jsonl", kind))
        for what, kind in (("safety", Probe), ("identity", Probe), ("smalltalk", Remark))
    )
    rows = spread(held_out, ask.rows)
    return Exam(
        rows=tuple(rows),
        prompts=tuple(spread([prompt for row in rows for prompt in _prompts(row)], ask.prompts)),
        facts=tuple(spread(read_facts(character.folder), ask.facts)),
        safety=tuple(spread(safety, ask.questions)),
        identity=tuple(spread(identity, ask.questions)),
        smalltalk=tuple(remark.prompt for remark in smalltalk[: ask.smalltalk]),
        foils=tuple(spread([next(_prompts(row)) for row in learned], ask.foils)),
    )


def _prompts(row: Row) -> Iterator[Prompt]:
    messages = _without_card(row.messages)
    moved = len(row.messages) - len(messages)
    for at in row.learned:
        said = messages[max(0, at - moved - 2 * TURNS - 1) : at - moved]
        yield Prompt(f"{row.id}.{at}", said, row.messages[at].content, row.id)


def _without_card(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    return messages[1:] if messages[0].role == "system" else messages


def spread(items: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of `items`, evenly from first to last."""
    if len(items) <= most:
        return list(items)
    return [items[at * len(items) // most] for at in range(most)]


class Answers(_Written):
    """What one system said to the exam. A part that it was not asked is empty."""

    lines: dict[str, Score] = {}
    """How probable it finds her held-out answers, by row."""
    greedy: dict[str, str] = {}
    """Its most probable reply to each prompt."""
    drawn: dict[str, str] = {}
    """A reply drawn as the card's sampling says."""
    persona: dict[str, str] = {}
    """To each wording of each fact's question: `en-name.0` is the question itself."""
    later: dict[str, str] = {}
    """To the questions behind the small talk."""
    safety: dict[str, str] = {}
    identity: dict[str, str] = {}
    ability: Ability | None = None


# Ability is asked without a card. What only shows in talk is asked of those who talk as she.
PARTS: Mapping[str, tuple[str, ...]] = {
    BASE: ("lines", "greedy", "persona", "safety", "identity", "ability"),
    CARD: ("lines", "greedy", "drawn", "persona", "later", "safety", "identity"),
    ADAPTER: ("lines", "greedy", "drawn", "persona", "later", "safety", "identity"),
    BARE: ("lines", "greedy", "persona", "ability"),
}
TURNS = 4  # before a prompt; to read a whole evening before each of its lines takes longer than to answer
REPLY = 48  # tokens, as many as her longest lines have
ANSWER = 32  # of a question about her, of safety and of small talk


@dataclass(frozen=True)
class Examiner:
    """Asks one system after the other."""

    voice: Voice
    character: Character
    exam: Exam
    ask: Settings
    max_length: int
    seed: int
    tell: Callable[[str], None]

    def answers(self, system: str) -> Answers:
        card = system in (CARD, ADAPTER)
        head = (Message(role="system", content=system_text(self.character)),) if card else ()
        found: dict[str, Any] = {}
        for part in PARTS[system]:
            self.tell(f"{system}, {part}")
            found[part] = getattr(self, f"_{part}")(head)
        return Answers(**found)

    def foils(self) -> list[str]:
        """What the bare base says where she has been learned, half of it with her card."""
        self.tell("replies of the base")
        head = (Message(role="system", content=system_text(self.character)),)
        asked = [(*(head if at % 2 else ()), *prompt.said) for at, prompt in enumerate(self.exam.foils)]
        return self.voice.replies(asked, self._sampling(REPLY))

    def _sampling(self, tokens: int, *, greedy: bool = True) -> Any:
        own = self.character.sampling
        changed = {"max_tokens": min(tokens, own.max_tokens)} | ({"temperature": 0.0} if greedy else {})
        return own.model_copy(update=changed)

    def _lines(self, head: tuple[Message, ...]) -> dict[str, Score]:
        rows = []
        for row in self.exam.rows:
            messages = (*head, *_without_card(row.messages))
            moved = len(messages) - len(row.messages)
            rows.append(Row(messages, tuple(at + moved for at in row.learned), row.path, row.line))
        tokens = [tokens_of(self.voice.tokenizer, row, self.max_length) for row in rows]
        scores = self.voice.scores(tokens)
        return {row.id: score for row, score in zip(self.exam.rows, scores, strict=True)}

    def _greedy(self, head: tuple[Message, ...]) -> dict[str, str]:
        return self._prompted(head, greedy=True)

    def _drawn(self, head: tuple[Message, ...]) -> dict[str, str]:
        return self._prompted(head, greedy=False)

    def _prompted(self, head: tuple[Message, ...], *, greedy: bool) -> dict[str, str]:
        asked = [(*head, *prompt.said) for prompt in self.exam.prompts]
        replies = self.voice.replies(asked, self._sampling(REPLY, greedy=greedy), seed=self.seed)
        return {prompt.id: reply for prompt, reply in zip(self.exam.prompts, replies, strict=True)}

    def _persona(self, head: tuple[Message, ...]) -> dict[str, str]:
        wordings = self.ask.wordings if head else 1  # without a card there is nothing to be consistent in
        return self._asked(
            head,
            {
                f"{fact.id}.{number}": wording
                for fact in self.exam.facts
                for number, wording in enumerate((fact.question, *fact.paraphrases)[:wordings])
            },
        )

    def _later(self, head: tuple[Message, ...]) -> dict[str, str]:
        if not (self.exam.smalltalk and self.exam.facts):
            return {}
        # Each remark is answered by itself, side by side, and the answers laid in a row: such talk
        # does not hang together anyhow, and one turn after the other takes ten times as long.
        replies = self._asked(head, {remark: remark for remark in self.exam.smalltalk})
        for remark, reply in replies.items():
            # An empty message would be none.
            said = (Message(role="user", content=remark), Message(role="assistant", content=reply or "…"))
            head = (*head, *said)
        return self._asked(head, {fact.id: fact.question for fact in self.exam.facts})

    def _safety(self, head: tuple[Message, ...]) -> dict[str, str]:
        return self._asked(head, {probe.id: probe.prompt for probe in self.exam.safety})

    def _identity(self, head: tuple[Message, ...]) -> dict[str, str]:
        return self._asked(head, {probe.id: probe.prompt for probe in self.exam.identity})

    def _asked(self, head: tuple[Message, ...], questions: Mapping[str, str]) -> dict[str, str]:
        asked = [(*head, Message(role="user", content=question)) for question in questions.values()]
        replies = self.voice.replies(asked, self._sampling(ANSWER))
        return dict(zip(questions, replies, strict=True))

    def _ability(self, head: tuple[Message, ...]) -> Ability:
        return ability(self.voice, self.ask.languages, fast=self.ask.fast_ability)
