"""A model is asked about a character, topic by topic, from numbered lines; and do those lines say so?"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import BaseModel, ConfigDict

from dataset_builder.asking.question import Garbage, Question
from dataset_builder.checks import assistant_phrase, words, wrong_language
from dataset_builder.profiling.evidence import Dossier, Record
from dataset_builder.profiling.profile_prompt import PROMPT, lines_text, system_text
from dataset_builder.profiling.retrieval import Index
from dataset_builder.profiling.topics import TOPICS, Wording, base_language

SHOWN_LINES = 24  # that a model sees for a topic
SHOWN_LETTERS = 2400
_ANSWER_TOKENS = 160
_PROVEN = 0.5  # of an answer's words, those that must stand in the lines that it cites
# Letters of Chinese and Japanese grammar: two letters with one of them carry little.
_GRAMMAR = frozenset(
    "的了是在和有她他很也都就不个这那会说最为与及把被让于而且但或我你一又还从到对给用着过"
    "がのをにはへともやでだなよねか"
)


class Conflict(BaseModel):
    """Numbers of lines that contradict one another, and in what."""

    model_config = ConfigDict(extra="forbid")

    lines: list[int]
    what: str


class Reply(BaseModel):
    """A model's answer from numbered lines. `known` false: they do not tell."""

    model_config = ConfigDict(extra="forbid")

    known: bool
    answer: str
    lines: list[int]
    contradictions: list[Conflict]


@dataclass(frozen=True)
class TopicQuestion:
    """A question to a model, and the lines it is shown, which it cites by their number from 1."""

    topic: str
    words: str  # the question as it stands in the profile
    shown: tuple[Record, ...]
    question: Question[Reply]


def questions(dossier: Dossier, without: Collection[str]) -> list[TopicQuestion]:
    """A question for each topic for which there are lines, `without` those that need none."""
    telling = [record for record in dossier.records if record.hers or record.names_her]
    index = Index([record.text for record in telling])
    asked = []
    for topic, wording in TOPICS[base_language(dossier.language)].items():
        if not wording.query or topic in without:
            continue
        shown = _shown(telling, index, wording)
        if not shown:
            continue
        text = wording.question.replace("{name}", dossier.name)
        question = Question(
            task=PROMPT,
            system=system_text(dossier.name, dossier.language),
            text=lines_text(text, shown, dossier.language),
            shape=Reply,
            answer_tokens=_ANSWER_TOKENS,
            check=partial(_check_lines, len(shown)),
        )
        asked.append(TopicQuestion(topic, text, shown, question))
    return asked


def _shown(telling: Sequence[Record], index: Index, wording: Wording) -> tuple[Record, ...]:
    """The lines that may tell about a topic, then those in which others name her.

    Each text once, as far as there is room, in the order of the story.
    """
    chosen: dict[str, int] = {}
    room = SHOWN_LETTERS
    about_her = (number for number, record in enumerate(telling) if record.names_her)
    for number in (*index.search(wording.query, SHOWN_LINES), *about_her):
        text = telling[number].text
        if text in chosen or len(text) > room:
            continue
        room -= len(text)
        chosen[text] = number
        if len(chosen) == SHOWN_LINES:
            break
    return tuple(telling[number] for number in sorted(chosen.values()))


def _check_lines(count: int, reply: Reply) -> None:
    numbers = [*reply.lines, *(number for each in reply.contradictions for number in each.lines)]
    if any(not 1 <= number <= count for number in numbers):
        raise Garbage(f"numbers of lines are from 1 to {count}")
    if reply.known and not reply.lines:
        raise Garbage("`lines` must name the lines that prove the answer")


def unproven(asked: TopicQuestion, reply: Reply, dossier: Dossier) -> tuple[str, str] | None:
    """Why an answer is not taken, one of few reasons, and what of it."""
    if not reply.known or not reply.answer.strip():
        return "not in the lines", ""
    cited = "\n".join(asked.shown[number - 1].text for number in reply.lines)
    if problem := wrong_language(reply.answer, dossier.language):
        return "language", problem
    if problem := assistant_phrase(reply.answer, cited):
        return "assistant phrase", problem
    claimed = key_words(reply.answer) - key_words(f"{asked.words} {' '.join(dossier.called)}")
    proven = claimed & key_words(f"{cited} {' '.join(_speakers(asked, reply))}")
    if not claimed or len(proven) < _PROVEN * len(claimed):
        return "not proven by its lines", ", ".join(sorted(claimed - proven)) or reply.answer
    return None


def key_words(text: str) -> set[str]:
    """The words of a text that carry what it says: no grammar, and English without endings."""
    found = set()
    for word in words(text):
        if word.isascii():
            if len(word) > 3:
                found.add(word.removesuffix("s")[:5])  # `map` and `maps`, `practise` and `practising`
        elif not _GRAMMAR.isdisjoint(word) or all("\u3041" <= c <= "\u3096" for c in word):
            continue
        else:
            found.add(word)
    return found


def _speakers(asked: TopicQuestion, reply: Reply) -> Iterator[str]:
    return (asked.shown[number - 1].speaker or "" for number in reply.lines)
