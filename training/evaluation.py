"""What the answers come to: each metric in each system, the goals, and conversations side by side."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from inference.prompt import LANGUAGES
from training.ability import PROBES
from training.data import Row
from training.exam import ADAPTER, BARE, BASE, CARD, Answers, Exam, Fact, Probe
from training.metrics import (
    ENOUGH_LINES,
    Figure,
    Speaker,
    assistant_phrases,
    bleu4,
    catch_phrases,
    chrf,
    gain,
    loss,
    mean,
    perplexity,
    perplexity_drop,
    phrases_in,
    purity,
    repetition,
    rouge1,
    rouge_l,
    rouge_n,
    share,
    units,
    usual_length,
    words,
)
from training.voice import Score

STYLE_GAIN = 24.0  # % of ROUGE-1 over the base with the card
PERPLEXITY_DROP = 30.0  # % below the base with the card; this or the one above
ABILITY_LOSS = 3.0  # % of the base's
SPEAKER = 80.0  # % of replies taken for hers
PERSONA, PERSONA_BASE = 90.0, 20.0  # % right, where the base without a card has fewer than so many


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True)


class System(_Written):
    id: str
    label: str


class Metric(_Written):
    """One thing that was measured, in each system that was asked. `%` counts to 100."""

    name: str
    group: str
    label: str
    better: str
    unit: str
    values: dict[str, Figure]


class Goal(_Written):
    text: str
    value: float
    low: float
    high: float
    goal: float
    met: bool


class Sample(_Written):
    """A conversation, her own line behind it, and what each system replied."""

    said: tuple[str, ...]
    own: str
    replies: dict[str, str]


class Evaluation(_Written):
    """`evaluation.json`."""

    character: str
    version: str
    base: str
    card_sha256: str
    seconds: float
    settings: dict[str, Any]
    systems: tuple[System, ...]
    metrics: tuple[Metric, ...]
    goals: tuple[Goal, ...]
    samples: tuple[Sample, ...]

    def figure(self, name: str, system: str = ADAPTER) -> Figure | None:
        """A metric's figure, None where it was not measured."""
        return next((each.values.get(system) for each in self.metrics if each.name == name), None)


class Judgement:
    """Figures out of answers; no model is asked any more."""

    def __init__(
        self,
        language: str,
        exam: Exam,
        answers: Mapping[str, Answers],
        learned: Sequence[Row],
        others: Sequence[str],
    ) -> None:
        self._language = language
        self._exam = exam
        self._answers = answers
        self._hers = [line for row in learned for line in row.answers]
        self._others = [line for line in others if line]
        self._dialogues = [prompt.dialogue for prompt in exam.prompts]
        self._speaker = (
            Speaker(self._hers, self._others)
            if min(len(self._hers), len(self._others)) >= ENOUGH_LINES
            else None
        )

    def about(self) -> dict[str, Any]:
        """How far who-said-it can be trusted, and what it learned from."""
        if self._speaker is None:
            return {"who_said_it": "left out: too few lines"}
        checks = {name: figure.model_dump() for name, figure in self._speaker.checks().items()}
        return {"who_said_it": {"lines": len(self._hers), "others": len(self._others)} | checks}

    def metrics(self) -> Iterator[Metric]:
        yield from self._style()
        yield from self._persona()
        yield from self._ability()
        yield from self._probes()
        yield from self._manner()

    def goals(self) -> Iterator[Goal]:
        """Style is reached by the first or the second; the others stand for themselves."""
        card, adapter, base, bare = (self._answers[each] for each in (CARD, ADAPTER, BASE, BARE))
        yield _goal(
            "ROUGE-1 to her own lines above the base with the card, in % of it (or the next)",
            gain(self._nearness("rouge1", adapter), self._nearness("rouge1", card), self._dialogues),
            STYLE_GAIN,
        )
        pairs = [(adapter.lines[row.id], card.lines[row.id]) for row in self._exam.rows]
        yield _goal(
            "Perplexity of her held-out lines below the base with the card, in % of it",
            perplexity_drop(
                [new.log_probability for new, _ in pairs],
                [old.log_probability for _, old in pairs],
                [new.tokens for new, _ in pairs],
            ),
            PERPLEXITY_DROP,
        )
        if base.ability and bare.ability:
            lost = loss(
                [float(hit) for hit in bare.ability.right.values()],
                [float(hit) for hit in base.ability.right.values()],
            )
            yield _goal("General ability lost, in % of the base's", lost, ABILITY_LOSS, most=True)
        if self._speaker:
            yield _goal("Replies taken for hers, in %", self._who(adapter), SPEAKER)
        if self._exam.facts:
            without = self._facts(base, Fact.is_right).value
            yield _goal(
                f"Questions about her answered right, in %, where the base without a card has {without:.0f} "
                f"(and should have less than {PERSONA_BASE:.0f})",
                self._facts(adapter, Fact.is_right),
                PERSONA,
                given=without < PERSONA_BASE,
            )

    def samples(self) -> Iterator[Sample]:
        """Every prompt, with the most probable replies."""
        for prompt in self._exam.prompts:
            yield Sample(
                said=tuple(message.content for message in prompt.said),
                own=prompt.own,
                replies={system: each.greedy[prompt.id] for system, each in self._answers.items()},
            )

    # Each of these answers with the metrics of one group.

    def _style(self) -> Iterator[Metric]:
        values = {system: _perplexity(each.lines) for system, each in self._answers.items()}
        label = "Perplexity of her held-out lines"
        yield _metric("heldout_perplexity", "style", label, values, better="lower", unit="")
        for name, label in NEARNESS.items():
            values = {
                system: mean(self._nearness(name, each), self._dialogues, scale=100)
                for system, each in self._answers.items()
            }
            yield _metric(name, "style", f"{label} to her own lines", values, unit="")
        if self._speaker:
            values = {system: self._who(each) for system, each in self._answers.items()}
            yield _metric("who_said_it", "speaker", "Replies taken for hers", values)

    def _nearness(self, name: str, answers: Answers) -> list[float]:
        measure = _MEASURES[name]
        return [
            measure(answers.greedy[prompt.id], prompt.own, self._language) for prompt in self._exam.prompts
        ]

    def _who(self, answers: Answers) -> Figure:
        assert self._speaker is not None
        return share(self._speaker.hers(self._replies(answers.greedy)), self._dialogues)

    def _replies(self, part: Mapping[str, str]) -> list[str]:
        return [part[prompt.id] for prompt in self._exam.prompts]

    def _persona(self) -> Iterator[Metric]:
        facts, asked = self._exam.facts, self._answers.items()
        if not facts:
            return
        for name, label, better, verdict in (
            ("persona_right", "Questions about her answered right", "higher", Fact.is_right),
            ("persona_wrong", "Questions about her answered wrong", "lower", Fact.is_wrong),
            ("persona_refused", "Questions about her not answered", "lower", Fact.is_open),
        ):
            values = {system: self._facts(each, verdict) for system, each in asked}
            yield _metric(name, "persona", label, values, better=better)
        values = {
            system: share([all(self._verdicts(each, fact, Fact.is_right)) for fact in facts])
            for system, each in asked
            if len(each.persona) > len(facts)
        }
        if values:
            yield _metric("persona_consistent", "persona", "Facts that are right in every wording", values)
        values = {
            system: share([fact.is_right(each.later[fact.id]) for fact in facts])
            for system, each in asked
            if each.later
        }
        if values:
            label = f"Answered right after {len(self._exam.smalltalk)} turns of small talk"
            yield _metric("persona_after_smalltalk", "persona", label, values)

    def _facts(self, answers: Answers, verdict: Callable[[Fact, str], bool]) -> Figure:
        hits = [(hit, fact.id) for fact in self._exam.facts for hit in self._verdicts(answers, fact, verdict)]
        return share([hit for hit, _ in hits], [fact for _, fact in hits])

    @staticmethod
    def _verdicts(answers: Answers, fact: Fact, verdict: Callable[[Fact, str], bool]) -> list[bool]:
        asked = (f"{fact.id}.{number}" for number in range(1 + len(fact.paraphrases)))
        return [verdict(fact, answers.persona[id_]) for id_ in asked if id_ in answers.persona]

    def _ability(self) -> Iterator[Metric]:
        asked = {system: each.ability for system, each in self._answers.items() if each.ability}
        for language in ("", *LANGUAGES):
            parts = {system: each.of(language) for system, each in asked.items()}
            if not all(part.right for part in parts.values()):
                continue
            end, of = (f"_{language}", f", {language}") if language else ("", "")
            label = f"Questions of general ability, without a card{of}"
            values = {system: share(list(part.right.values())) for system, part in parts.items()}
            yield _metric(f"ability{end}", "ability", label, values)
            values = {system: _perplexity(part.texts) for system, part in parts.items()}
            label = f"Perplexity of general text{of}"
            yield _metric(f"text_perplexity{end}", "ability", label, values, better="lower", unit="")

    def _probes(self) -> Iterator[Metric]:
        for name, label in (
            ("safety", "Safe replies to dangerous questions"),
            ("identity", "Replies that stay her, and honest, when asked what she is"),
        ):
            probes: tuple[Probe, ...] = getattr(self._exam, name)
            said = {system: getattr(each, name) for system, each in self._answers.items()}
            values = {
                system: share([probe.passes(replies[probe.id]) for probe in probes])
                for system, replies in said.items()
                if replies
            }
            yield _metric(name, "safety", label, values)

    def _manner(self) -> Iterator[Metric]:
        for name, label, better, unit, count in self._counted():
            values = {}
            for system, answers in self._answers.items():
                counts = [count(reply) for reply in self._replies(answers.drawn)] if answers.drawn else []
                if counts:
                    of = share if isinstance(counts[0], bool) else mean
                    values[system] = of(counts, self._dialogues)
            yield _metric(name, "manner", label, values, better=better, unit=unit)

    def _counted(self) -> Iterator[tuple[str, str, str, str, Callable[[str], float | bool]]]:
        """What is counted in a drawn reply: name, label, which is better, unit, and how."""
        language, hers = self._language, self._hers
        label = "4-grams of a reply that it has said before"
        yield "repetition", label, "lower", "%", lambda reply: 100 * repetition(reply, language)
        shortest, longest = usual_length(hers)
        label = f"Replies of {shortest} to {longest} characters, as nine of ten of hers"
        yield "length", label, "higher", "%", lambda reply: shortest <= len(reply) <= longest
        label = "Letters of her language's script"
        yield "language", label, "higher", "%", lambda reply: 100 * purity(reply, language)
        assistant = assistant_phrases(PROBES / "assistant_phrases.json")[language]
        label = "Replies with an assistant's phrase"
        yield "assistant_phrases", label, "lower", "%", lambda reply: assistant.search(reply) is not None
        known = set(hers)
        label = "Replies that are a learned line, word for word"
        yield "copied", label, "lower", "%", lambda reply: reply in known
        phrases = catch_phrases(hers, self._others, language)

        def told(line: str) -> int:
            return phrases_in(line, phrases, language)

        usual = sum(map(told, hers)) / len(hers)
        if usual:
            label = "Her catch phrases, times as often as she says them"
            yield "catch_phrases", label, "lower", "", lambda reply: told(reply) / usual


def _perplexity(scores: Mapping[str, Score]) -> Figure:
    return perplexity(
        [each.log_probability for each in scores.values()], [each.tokens for each in scores.values()]
    )


def _rouge2(reply: str, own: str, language: str) -> float:
    return rouge_n(words(reply, language), words(own, language), 2)


def _rougel(reply: str, own: str, language: str) -> float:
    return rouge_l(words(reply, language), words(own, language))


def _bleu4(reply: str, own: str, language: str) -> float:
    return bleu4(units(reply, language), units(own, language))


def _chrf(reply: str, own: str, language: str) -> float:
    return chrf(reply, own)


_MEASURES = {"rouge1": rouge1, "rouge2": _rouge2, "rougel": _rougel, "bleu4": _bleu4, "chrf": _chrf}
NEARNESS = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougel": "ROUGE-L", "bleu4": "BLEU-4", "chrf": "chrF"}


def _metric(
    name: str, group: str, label: str, values: dict[str, Figure], *, better: str = "higher", unit: str = "%"
) -> Metric:
    return Metric(name=name, group=group, label=label, better=better, unit=unit, values=values)


def _goal(text: str, figure: Figure, goal: float, *, most: bool = False, given: bool = True) -> Goal:
    """A goal that is reached from `goal` on, or with `most` up to it, if `given` is true as well."""
    reached = figure.value <= goal if most else figure.value >= goal
    met = bool(figure.n) and reached and given
    return Goal(text=text, value=figure.value, low=figure.low, high=figure.high, goal=goal, met=met)
