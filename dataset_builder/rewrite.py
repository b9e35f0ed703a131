"""Dialogues of a story, rebuilt as chats with somebody outside of it.

A line of a script answers what happens in a scene that a reader sees and a chat does not. A model rewrites
each dialogue: what was said to her becomes what a person would write to her, her answers stay hers. Models
that learned from raw script lines scored half of their base's (RoleLLM, arXiv 2310.00746).

What comes back is checked, never believed. `<out>.failed.jsonl` has what did not pass, with the reason, and
`<out>.answers.jsonl` every answer as it came, so checks can be changed without asking again.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict

from dataset_builder.asking.cost import Budget, Estimate, Price
from dataset_builder.asking.journal import Journal
from dataset_builder.asking.llm import Asked, Asking, ask, estimate
from dataset_builder.asking.question import Garbage, Question
from dataset_builder.checks import (
    TAKEN_OUT,
    another_speaker,
    assistant_phrase,
    leaked_term,
    stage_direction,
    wrong_language,
    wrong_length,
)
from dataset_builder.filtering.terms import Matcher, Term
from dataset_builder.languages import tokens
from dataset_builder.report import Losses
from dataset_builder.rewrite_prompt import PROMPT, system_text, user_text
from dataset_builder.rows import read_rows, write_rows
from dataset_builder.schema import DIALOGUES, Dialogue, Turn, Utterance

LONGEST = 12_000  # letters of a dialogue with its context; more is no dialogue
NOT_ASKED = "not asked yet"  # the reason of rows that a budget or a stopped run did not reach
_MESSAGE = 400  # letters of a person's message: people in a chat write less


class ChatTurn(BaseModel):
    """One turn of a rebuilt dialogue; `turn` is the number of the original one, from 1."""

    model_config = ConfigDict(extra="forbid")

    turn: int
    user: str
    answer: str


class Chat(BaseModel):
    """What a model is asked for. No turns: nothing in the dialogue makes sense outside of its scene."""

    model_config = ConfigDict(extra="forbid")

    turns: list[ChatTurn]


@dataclass(frozen=True)
class RewriteOptions:
    """`language`: of the rows, where dialogues have translations ("" takes their own). `terms`: names and
    terms of the work, as `filter` lists them; those that it takes out must not come up."""

    language: str = ""
    terms: tuple[Term, ...] = ()


@dataclass(slots=True)
class Provenance:
    """Where a rebuilt dialogue comes from: the `id` of the original, the model, the prompt's version."""

    original: str
    model: str
    prompt: str


@dataclass(slots=True)
class Rewritten(Dialogue):
    """A rebuilt dialogue, which reads as any other `Dialogue`. What a person says has no speaker."""

    rewritten: Provenance | None = None


@dataclass(slots=True)
class Failed:
    """A dialogue that was not rebuilt, why, and what the model said last."""

    original: str
    file: str
    scene: str
    branch: str
    reason: str
    detail: str = ""
    answer: str = ""


def estimate_rewrite(
    dialogues: Path,
    out: Path,
    asking: Asking,
    options: RewriteOptions = RewriteOptions(),
    price: Price | None = None,
) -> Estimate:
    """What `rewrite` will cost; nothing is asked. Raises `DatasetError` for a file that is wrong anywhere."""
    with Journal(_answers(out)) as journal:
        return estimate(_questions(dialogues, options, Matcher(options.terms)), journal, asking, price)


async def rewrite(
    dialogues: Path,
    out: Path,
    asking: Asking,
    options: RewriteOptions = RewriteOptions(),
    losses: Losses | None = None,
    *,
    budget: Budget | None = None,
    advance: Callable[[int], None] | None = None,
) -> Asked:
    """Rebuilds the dialogues of a file, in their order. What an earlier run was answered is not asked again.

    Raises `DatasetError` (`BudgetSpent` among them) and `InferenceError`, both after everything that is
    finished was written to `out`. `advance` is told how many of the rows that `estimate_rewrite` counts are
    done with.
    """
    losses = losses if losses is not None else Losses()
    terms = Matcher(options.terms)
    for _ in read_rows(dialogues, DIALOGUES):
        pass  # a wrong row is found before anything is paid for
    failed: list[Failed] = []

    def finished(results: Iterable[Rewritten | Failed]) -> Iterator[Rewritten]:
        for result in results:
            if isinstance(result, Rewritten):
                yield result
                continue
            losses.skip(result.reason)
            if result.reason != NOT_ASKED:  # too many to list, and they come in the next run
                failed.append(result)

    with Journal(_answers(out)) as journal:
        asked = await ask(_questions(dialogues, options, terms), journal, asking, budget, advance)
        if journal.torn:
            losses.warn(journal.path.name, f"{journal.torn} torn lines were stepped over")
        results = _results(dialogues, journal, asked, asking.model, options, terms)
        losses.emit(write_rows(finished(results), out))
    write_rows(failed, out.with_suffix(".failed.jsonl"))
    if asked.stopped:
        raise asked.stopped
    return asked


def _answers(out: Path) -> Path:
    return out.with_suffix(".answers.jsonl")


def _questions(dialogues: Path, options: RewriteOptions, terms: Matcher) -> Iterator[Question[Chat]]:
    for dialogue in read_rows(dialogues, DIALOGUES):
        localized = in_language(dialogue, options.language)
        if localized is not None and _size(localized) <= LONGEST:
            yield question(localized, terms)


def _results(
    dialogues: Path, journal: Journal, asked: Asked, model: str, options: RewriteOptions, terms: Matcher
) -> Iterator[Rewritten | Failed]:
    """What became of each dialogue: of the input and the journal alone, so it is the same every time."""
    for dialogue in read_rows(dialogues, DIALOGUES):
        failed = partial(Failed, dialogue.id, dialogue.file, dialogue.scene, dialogue.branch)
        localized = in_language(dialogue, options.language)
        if localized is None:
            yield failed("no text in the language")
            continue
        if _size(localized) > LONGEST:
            yield failed("too long")
            continue
        asked_for = question(localized, terms)
        key = asked_for.key(model)
        answered = journal.get(key)
        if answered is None:
            why = asked.unanswered.get(key)
            yield failed(NOT_ASKED) if why is None else failed("no answer", why)
            continue
        text = answered.texts[-1]
        try:
            chat = asked_for.read(text, answered.finish)
        except Garbage as garbage:
            yield failed("garbage", str(garbage), text)
            continue
        if problem := wrong(localized, chat, terms):
            yield failed(*problem, text)
        else:
            yield rebuilt(localized, chat, model)


def question(dialogue: Dialogue, terms: Matcher) -> Question[Chat]:
    """What is asked about one dialogue. Terms that stand in it are named as forbidden."""
    found = (term for text in _texts(dialogue) for _, _, term in terms.find(text))
    present = {term.text for term in found if term.action in TAKEN_OUT}
    expected = sum(tokens(turn.answered) + 48 for turn in dialogue.turns)
    return Question(
        task=PROMPT,
        system=system_text(dialogue.character, dialogue.language, sorted(present)),
        text=user_text(dialogue),
        shape=Chat,
        answer_tokens=expected,
        check=partial(_check_numbers, len(dialogue.turns)),
    )


def _check_numbers(count: int, chat: Chat) -> None:
    numbers = [turn.turn for turn in chat.turns]
    if any(not 1 <= number <= count for number in numbers):
        raise Garbage(f"`turn` must be from 1 to {count}")
    if sorted(set(numbers)) != numbers:
        raise Garbage("each `turn` may come once, in order")


def wrong(dialogue: Dialogue, chat: Chat, terms: Matcher) -> tuple[str, str] | None:
    """Why a rebuilt dialogue cannot be used, one of few reasons, and what of it."""
    if not chat.turns:
        return "nothing to keep", ""
    originals = [dialogue.turns[turn.turn - 1].answered for turn in chat.turns]
    everything = "\n".join(_texts(dialogue))
    others = {each.speaker for each in _utterances(dialogue) if each.speaker} | {dialogue.character}
    for turn, original in zip(chat.turns, originals, strict=True):
        said = turn.user.strip()
        if not said or len(said) > _MESSAGE:
            return "length", f"a message of {len(said)} letters"
        if problem := wrong_length(turn.answer, original):
            return "length", problem
        if said == turn.answer.strip():
            return "another speaker", f"both say the same: {said}"
        for text in (said, turn.answer):
            if problem := wrong_language(text, dialogue.language):
                return "language", problem
            if problem := assistant_phrase(text, everything):
                return "assistant phrase", problem
            if problem := stage_direction(text, everything):
                return "stage direction", problem
    if problem := leaked_term((text for turn in chat.turns for text in (turn.user, turn.answer)), terms):
        return "leaked term", problem
    if problem := another_speaker([turn.answer for turn in chat.turns], originals, others):
        return "another speaker", problem
    return None


def rebuilt(dialogue: Dialogue, chat: Chat, model: str) -> Rewritten:
    """The dialogue with new words; `lines` still tell which of the script's lines an answer was made from."""
    turns = tuple(
        Turn(
            said=(Utterance("speech", None, turn.user.strip()),),
            answered=turn.answer.strip(),
            lines=dialogue.turns[turn.turn - 1].lines,
        )
        for turn in chat.turns
    )
    made = Rewritten(
        character=dialogue.character,
        turns=turns,
        work=dialogue.work,
        file=dialogue.file,
        scene=dialogue.scene,
        branch=dialogue.branch,
        language=dialogue.language,
        rewritten=Provenance(dialogue.id, model, PROMPT),
    )
    return replace(made, id=hashlib.sha256(orjson.dumps(made)).hexdigest()[:16])


def in_language(dialogue: Dialogue, language: str) -> Dialogue | None:
    """The dialogue in one of its languages; None where a turn is not wholly in it."""
    if not language or language == dialogue.language:
        return dialogue
    turns = []
    for turn in dialogue.turns:
        said = [each.translations.get(language) for each in turn.said]
        answered = turn.translations.get(language)
        if not answered or not all(said):
            return None
        translated = tuple(
            replace(each, text=text, translations={})
            for each, text in zip(turn.said, said, strict=True)
            if text
        )
        turns.append(Turn(translated, answered, lines=turn.lines))
    context = tuple(
        replace(each, text=text, translations={})
        for each in dialogue.context
        if (text := each.translations.get(language))
    )
    return replace(dialogue, turns=tuple(turns), context=context, language=language)


def _utterances(dialogue: Dialogue) -> Iterator[Utterance]:
    yield from dialogue.context
    for turn in dialogue.turns:
        yield from turn.said


def _texts(dialogue: Dialogue) -> Iterator[str]:
    yield from (each.text for each in _utterances(dialogue))
    yield from (turn.answered for turn in dialogue.turns)


def _size(dialogue: Dialogue) -> int:
    return sum(map(len, _texts(dialogue)))
