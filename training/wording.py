"""A version in words, for people who never trained one: the figures to look at first, and sentences."""

from collections.abc import Iterator
from typing import NamedTuple

from training.charts import number
from training.evaluation import ABILITY_LOSS, STYLE_GAIN, Goal
from training.exam import ADAPTER, CARD
from training.findings import Change, Version
from training.metrics import Figure

STAGES = {
    "sft": "learned from dialogues",
    "preference": "learned from what people preferred",
    "rlhf": "learned from a reward model",
}


class Tile(NamedTuple):
    """A figure to look at first. `state` is `met` or `missed` where there is a goal."""

    label: str
    value: str
    under: str
    state: str = ""


def tiles(it: Version) -> Iterator[Tile]:
    """The few figures to look at first."""
    if it.gained:
        good = it.gained.value >= STYLE_GAIN
        yield Tile("style gained", f"{signed(it.gained.value)} %", f"goal: +{STYLE_GAIN:g} %", _state(good))
    if it.lost:
        good = it.lost.value <= ABILITY_LOSS
        yield Tile("ability lost", f"{signed(it.lost.value)} %", f"limit: +{ABILITY_LOSS:g} %", _state(good))
    if it.evaluation is None:
        return
    for name, label in (
        ("persona_right", "persona questions right"),
        ("who_said_it", "replies told from others'"),
    ):
        if value := it.evaluation.figure(name):
            yield Tile(label, f"{number(value.value)} %", interval(value))
    if it.goals:
        yield Tile("goals met", met(it), "", _state(all(it.goals.values())))


def met(version: Version) -> str:
    """How many goals, of how many."""
    return f"{sum(version.goals.values())} of {len(version.goals)}" if version.goals else "–"


def _state(good: bool) -> str:
    return "met" if good else "missed"


# What a metric says, from the base model with the card to the adapter.
_SAYS = {
    "rouge1": "It sounds {more} like the character: the words that replies share with the character's own "
    "lines went from {before} to {after}, {change}.",
    "heldout_perplexity": "Lines of the character that it never saw surprise it {less}: perplexity went from "
    "{before} to {after}, {change}.",
    "who_said_it": "A classifier takes {after} % of the replies for the character's; of the base model's "
    "with the card it takes {before} %.",
    "persona_right": "Questions about the character are answered rightly in {after} % of the cases instead "
    "of {before} %.",
}


def better(it: Version) -> Iterator[str]:
    """What changed against the base model with the card, in sentences."""
    figure = it.evaluation.figure if it.evaluation else lambda *_: None
    changes = {"rouge1": it.gained, "heldout_perplexity": it.dropped and it.dropped.negated}
    for name, sentence in _SAYS.items():
        before, after = figure(name, CARD), figure(name, ADAPTER)
        if before is None or after is None:
            continue
        change = changes.get(name)
        up = after.value >= before.value
        yield sentence.format(
            before=number(before.value),
            after=number(after.value),
            change=_change(change) if change else "from nothing",
            more="more" if up else "less",
            less="more" if up else "less",
        )


def cost(it: Version) -> Iterator[str]:
    """General ability and time, in sentences."""
    if it.lost:
        lost = round(it.lost.value, 1)
        sure = f" (95 % interval {span(it.lost)})" if span(it.lost) else ""
        if lost > 0:
            yield f"It lost {lost:.1f} % of its general ability{sure}."
        else:
            yield f"It lost none of its general ability: the loss measured is {signed(lost)} %{sure}."
    figures, hardware = it.manifest.figures, it.manifest.hardware
    if "seconds" in figures:
        where = hardware.get("gpu") or hardware.get("cpu")
        on = f" on {where}" if where else ""
        tokens = f", over {figures['tokens']:,.0f} tokens" if "tokens" in figures else ""
        yield f"Training took {duration(figures['seconds'])}{on}{tokens}."


def interval(figure: Figure | Goal) -> str:
    """Its 95 % interval."""
    return f"{number(figure.low)} … {number(figure.high)}"


def duration(seconds: float) -> str:
    """The two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{number(round(seconds, 1))} s"


def _change(change: Change) -> str:
    sure = f" (95 % interval {span(change)})" if span(change) else ""
    return f"{signed(change.value)} %{sure}"


def span(change: Change) -> str:
    """Its interval; empty if none is known."""
    return (
        "" if change.low is None or change.high is None else f"{signed(change.low)} … {signed(change.high)}"
    )


def signed(value: float) -> str:
    """A change, with its sign."""
    # A zero added takes the minus from what is rounded to nothing.
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")
