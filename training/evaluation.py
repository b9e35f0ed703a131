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
        card, adapter, base, bare = (self._answers[each] for each in (CARD, ADAPTER, BASE, BARE))
        yield _goal(
            "ROUGE-1 to her own lines over the base with the card, or else the next",
            gain(self._nearness("rouge1", adapter), self._nearness("rouge1", card), self._dialogues),
            at_least=STYLE_GAIN,
        )
        new, old = ([lines[row.id] for row in self._exam.rows] for lines in (adapter.lines, card.lines))
        yield _goal(
            "Perplexity of her held-out lines below that of the base with the card",
            perplexity_drop(
                *([each.log_probability for each in side] for side in (new, old)),
                [each.tokens for each in new],
            ),
            at_least=PERPLEXITY_DROP,
        )
        if base.ability and bare.ability:
            after, before = (
                [float(hit) for hit in each.right.values()] for each in (bare.ability, base.ability)
            )
            lost = gain(after, before)
            lost = Figure(value=-lost.value, low=-lost.high, high=-lost.low, n=lost.n)
            yield _goal("General ability lost, of the base's", lost, at_most=ABILITY_LOSS)
        if self._speaker:
            yield _goal("Replies taken for hers", self._who(adapter), at_least=SPEAKER)
        if self._exam.facts:
            without = self._facts(base, Fact.is_right).value
            yield _goal(
                f"Questions about her answered right, where the base without a card has {without:.0f} % "
                f"(below {PERSONA_BASE:.0f} %)",
                self._facts(adapter, Fact.is_right),
                at_least=PERSONA,
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
        values = {
            system: perplexity(
                *zip(*((s.log_probability, s.tokens) for s in each.lines.values()), strict=True)
            )
            for system, each in self._answers.items()
        }
        label = "Perplexity of her held-out lines"
        yield Metric(
            name="heldout_perplexity", group="style", label=label, better="lower", unit="", values=values
        )
        for name, label in NEARNESS.items():
            values = {
                system: mean(self._nearness(name, each), self._dialogues, scale=100)
                for system, each in self._answers.items()
            }
            yield _higher(name, "style", f"{label} to her own lines", values, unit="")
        if self._speaker:
            values = {system: self._who(each) for system, each in self._answers.items()}
            yield _higher("who_said_it", "speaker", "Replies taken for hers", values)

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
        if not self._exam.facts:
            return
        verdicts = {
            "persona_right": ("Questions about her answered right", Fact.is_right),
            "persona_wrong": ("Questions about her answered wrong", Fact.is_wrong),
            "persona_refused": ("Questions about her not answered", Fact.is_open),
        }
        for name, (label, verdict) in verdicts.items():
            values = {system: self._facts(each, verdict) for system, each in self._answers.items()}
            better = _higher if name == "persona_right" else _lower
            yield better(name, "persona", label, values)
        values = {
            system: share([all(self._verdicts(each, fact, Fact.is_right)) for fact in self._exam.facts])
            for system, each in self._answers.items()
            if len(each.persona) > len(self._exam.facts)
        }
        if values:
            yield _higher("persona_consistent", "persona", "Facts that are right in every wording", values)
        values = {
            system: share([fact.is_right(each.later[fact.id]) for fact in self._exam.facts])
            for system, each in self._answers.items()
            if each.later
        }
        if values:
            label = f"Answered right after {len(self._exam.smalltalk)} turns of small talk"
            yield _higher("persona_after_smalltalk", "persona", label, values)

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
            end, label = (f"_{language}", f", {language}") if language else ("", "")
            values = {system: share(list(part.right.values())) for system, part in parts.items()}
            yield _higher(
                f"ability{end}", "ability", f"Questions of general ability, without a card{label}", values
            )
            values = {
                system: perplexity(
                    [text.log_probability for text in part.texts.values()],
                    [text.tokens for text in part.texts.values()],
                )
                for system, part in parts.items()
            }
            yield _lower(
                f"text_perplexity{end}", "ability", f"Perplexity of general text{label}", values, unit=""
            )

    def _probes(self) -> Iterator[Metric]:
        for name, label in (
            ("safety", "Safe replies to dangerous questions"),
            ("identity", "Replies that stay her, and honest, when asked what she is"),
        ):
            probes: tuple[Probe, ...] = getattr(self._exam, name)
            values = {
                system: share([probe.passes(getattr(each, name)[probe.id]) for probe in probes])
                for system, each in self._answers.items()
                if getattr(each, name)
            }
            yield _higher(name, "safety", label, values)

    def _manner(self) -> Iterator[Metric]:
        language, hers = self._language, self._hers
        shortest, longest = usual_length(hers)
        phrases = catch_phrases(hers, self._others, language)
        usual = sum(phrases_in(line, phrases, language) for line in hers) / len(hers)
        assistant = assistant_phrases(PROBES / "assistant_phrases.json")[language]
        known = set(hers)

        def each(figure: Callable[[list[str]], Figure]) -> dict[str, Figure]:
            return {
                system: figure(self._replies(answers.drawn))
                for system, answers in self._answers.items()
                if answers.drawn
            }

        def of_all(count: Callable[[str], float], scale: float = 1) -> dict[str, Figure]:
            return each(
                lambda replies: mean([count(reply) for reply in replies], self._dialogues, scale=scale)
            )

        def of_those(hit: Callable[[str], bool]) -> dict[str, Figure]:
            return each(lambda replies: share([hit(reply) for reply in replies], self._dialogues))

        def metric(
            better: Callable[..., Metric], name: str, label: str, values: Any, unit: str = "%"
        ) -> Metric:
            return better(name, "manner", label, values, unit=unit)

        again = of_all(lambda reply: repetition(reply, language), 100)
        yield metric(_lower, "repetition", "Four words running that were said before in the reply", again)
        usual_ones = of_those(lambda reply: shortest <= len(reply) <= longest)
        yield metric(
            _higher, "length", f"Replies of {shortest} to {longest} characters, as 90 % of hers", usual_ones
        )
        fitting = of_all(lambda reply: purity(reply, language), 100)
        yield metric(_higher, "language", "Letters of her language's script", fitting)
        served = of_those(lambda reply: assistant.search(reply) is not None)
        yield metric(_lower, "assistant_phrases", "Replies with an assistant's phrase", served)
        copied = of_those(lambda reply: reply in known)
        yield metric(_lower, "copied", "Replies that are a learned line, word for word", copied)
        if usual:
            often = of_all(lambda reply: phrases_in(reply, phrases, language) / usual)
            yield metric(
                _lower, "catch_phrases", "Her catch phrases in a reply, times as often as hers", often, ""
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


def _higher(name: str, group: str, label: str, values: dict[str, Figure], unit: str = "%") -> Metric:
    return Metric(name=name, group=group, label=label, better="higher", unit=unit, values=values)


def _lower(name: str, group: str, label: str, values: dict[str, Figure], unit: str = "%") -> Metric:
    return Metric(name=name, group=group, label=label, better="lower", unit=unit, values=values)


def _goal(
    text: str,
    figure: Figure,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    given: bool = True,
) -> Goal:
    met = figure.value >= at_least if at_least is not None else figure.value <= (at_most or 0)
    return Goal(
        text=text,
        value=figure.value,
        low=figure.low,
        high=figure.high,
        goal=at_least if at_least is not None else at_most or 0,
        met=bool(figure.n and met and given),
    )
