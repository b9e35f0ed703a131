"""Questions and answers about a character, each with the lines that prove it.

Without a model: what lines say outright (`facts`) and what can be counted (`manner`). With one: it is shown
the lines that may tell about a topic and answers from them alone (`interview`); an answer that cites no line,
or says what stands in none of those it cites, is not taken.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builder.asking.cost import Budget, Estimate, Price
from dataset_builder.asking.journal import Answered, Journal
from dataset_builder.asking.question import Garbage
from dataset_builder.profiling.evidence import Dossier, Evidence, Record, gather
from dataset_builder.profiling.facts import Finding, find_facts
from dataset_builder.profiling.interview import Reply, TopicQuestion, questions, unproven
from dataset_builder.profiling.manner import find_manner
from dataset_builder.profiling.topics import TOPICS, Wording, base_language, told
from dataset_builder.report import Losses
from dataset_builder.rows import read_rows, write_rows
from dataset_builder.schema import SCENES

if TYPE_CHECKING:
    from dataset_builder.asking.llm import Asking

CERTAIN = 0.8  # of a finding: a model is not asked again for what a line says outright


@dataclass(frozen=True)
class ProfileOptions:
    """`names`: the character's, the one over her lines first. `language`: of lines and answers ("" takes that
    of her lines)."""

    names: tuple[str, ...]
    language: str = ""


@dataclass(slots=True)
class ProfileRow:
    """One question and its answer. `source` is `lines`, or the model that read them."""

    question: str
    answer: str
    language: str
    evidence: tuple[Evidence, ...]
    confidence: float
    topic: str
    values: tuple[str, ...]
    source: str


@dataclass(slots=True)
class Contradiction:
    """Lines that cannot all be true; `values` what they say, or what a model says is wrong with them."""

    topic: str
    values: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    source: str


def rows_of_lines(dossier: Dossier) -> tuple[list[ProfileRow], list[Contradiction]]:
    """The profile that needs no model, in the order of the topics."""
    facts, contradictions = find_facts(dossier)
    findings = {finding.topic: finding for finding in (*facts, *find_manner(dossier))}
    wordings = TOPICS[base_language(dossier.language)]
    rows = [
        _row(dossier, topic, wording, findings[topic])
        for topic, wording in wordings.items()
        if topic in findings
    ]
    return rows, [
        Contradiction(each.topic, each.values, _evidence(each.records), "lines") for each in contradictions
    ]


async def profile(
    scenes: Path,
    out: Path,
    options: ProfileOptions,
    losses: Losses | None = None,
    *,
    asking: "Asking | None" = None,
    budget: Budget | None = None,
    advance: Callable[[int], None] | None = None,
) -> list[ProfileRow]:
    """Writes the profile to `out` and what contradicts itself to `<out>.contradictions.jsonl`.

    With `asking`, a model is asked for what the lines do not say outright. Raises `DatasetError`
    (`BudgetSpent` among them) and `InferenceError`, both after what is finished was written.
    """
    losses = losses if losses is not None else Losses()
    dossier = gather(list(read_rows(scenes, SCENES)), options.names, options.language)
    rows, contradictions = rows_of_lines(dossier)
    stopped: Exception | None = None
    if asking is not None:
        from dataset_builder.asking.llm import ask  # a profile without a model needs no client

        asked_for = questions(dossier, _certain(rows))
        with Journal(_answers(out)) as journal:
            asked = await ask((each.question for each in asked_for), journal, asking, budget, advance)
            stopped = asked.stopped
            if journal.torn:
                losses.warn(journal.path.name, f"{journal.torn} torn lines were stepped over")
            for each in asked_for:
                key = each.question.key(asking.model)
                if (reply := _reply(each, journal.get(key), asked.unanswered.get(key), losses)) is None:
                    continue
                contradictions += _conflicts(each, reply, asking.model)
                if problem := unproven(each, reply, dossier):
                    _leave_out(each, *problem, losses)
                    continue
                rows = [row for row in rows if row.topic != each.topic]
                rows.append(_answered(each, reply, dossier, asking.model))
    order = list(TOPICS[base_language(dossier.language)])
    rows.sort(key=lambda row: order.index(row.topic))
    losses.emit(write_rows(rows, out))
    write_rows(contradictions, out.with_suffix(".contradictions.jsonl"))
    if stopped is not None:
        raise stopped
    return rows


def estimate_profile(
    scenes: Path, out: Path, options: ProfileOptions, asking: "Asking", price: Price | None = None
) -> Estimate:
    """What asking a model for the rest of a profile will cost. Raises `DatasetError`."""
    from dataset_builder.asking.llm import estimate

    dossier = gather(list(read_rows(scenes, SCENES)), options.names, options.language)
    asked_for = questions(dossier, _certain(rows_of_lines(dossier)[0]))
    with Journal(_answers(out)) as journal:
        return estimate((each.question for each in asked_for), journal, asking, price)


def _certain(rows: Sequence[ProfileRow]) -> set[str]:
    return {row.topic for row in rows if row.confidence >= CERTAIN}


def _reply(asked: TopicQuestion, answered: Answered | None, why: str | None, losses: Losses) -> Reply | None:
    """The model's answer, if there is one that can be read."""
    if answered is None:
        _leave_out(asked, "not asked yet" if why is None else "no answer", why or "", losses)
        return None
    try:
        return asked.question.read(answered.texts[-1], answered.finish)
    except Garbage as garbage:
        _leave_out(asked, "garbage", str(garbage), losses)
        return None


def _leave_out(asked: TopicQuestion, reason: str, detail: str, losses: Losses) -> None:
    losses.skip(reason)
    losses.warn(asked.topic, f"{reason}: {detail}" if detail else reason)


def _answered(asked: TopicQuestion, reply: Reply, dossier: Dossier, model: str) -> ProfileRow:
    cited = tuple(asked.shown[number - 1] for number in dict.fromkeys(reply.lines))
    return ProfileRow(
        question=asked.words,
        answer=reply.answer.strip(),
        language=dossier.language,
        evidence=tuple(record.evidence for record in cited),
        confidence=0.75 if len(cited) > 1 else 0.65,
        topic=asked.topic,
        values=(),
        source=model,
    )


def _conflicts(asked: TopicQuestion, reply: Reply, model: str) -> Iterator[Contradiction]:
    for each in reply.contradictions:
        numbers = list(dict.fromkeys(each.lines))
        if len(numbers) > 1 and each.what.strip():
            evidence = tuple(asked.shown[number - 1].evidence for number in numbers)
            yield Contradiction(asked.topic, (each.what.strip(),), evidence, model)


def _row(dossier: Dossier, topic: str, wording: Wording, finding: Finding) -> ProfileRow:
    return ProfileRow(
        question=wording.question.replace("{name}", dossier.name),
        answer=told(wording, dossier.language, dossier.name, finding.values),
        language=dossier.language,
        evidence=_evidence(finding.records),
        confidence=finding.confidence,
        topic=topic,
        values=finding.values,
        source="lines",
    )


def _evidence(records: Sequence[Sequence[Record]]) -> tuple[Evidence, ...]:
    return tuple(dict.fromkeys(record.evidence for each in records for record in each))


def _answers(out: Path) -> Path:
    return out.with_suffix(".answers.jsonl")
