"""Whether a version is good enough to be put before people: its evaluation beside that of the stable one.

A figure counts as lost when its whole interval lies on the worse side of the stable version's.
"""

from collections.abc import Iterator
from typing import NamedTuple

from inference.versions import Evaluation, Figure, Metric, interval, number

GROUPS = ("style", "speaker", "persona", "ability", "safety")  # of metrics that must not be lost
MUST = ("General ability", "Safe")  # how the texts of the goals begin that must be met
# What an exam asks, and of whom: figures can be compared where all of it is the same.
_EXAM = (
    *("rows", "prompts", "facts", "wordings", "questions", "smalltalk", "foils", "languages"),
    *("fast_ability", "seed", "held_out_rows"),
)


class Beside(NamedTuple):
    """A metric of two versions."""

    metric: Metric
    new: Figure | None
    old: Figure | None

    @property
    def lost(self) -> bool:
        if self.new is None or self.old is None:
            return False
        if self.metric.better == "higher":
            return self.new.high < self.old.low
        return self.new.low > self.old.high

    @property
    def won(self) -> bool:
        if self.new is None or self.old is None:
            return False
        return Beside(self.metric, self.old, self.new).lost


def side_by_side(new: Evaluation | None, old: Evaluation | None) -> list[Beside]:
    """All metrics of both, in their order."""
    metrics = {each.name: each for found in (new, old) if found for each in found.metrics}
    return [Beside(each, _own(new, name), _own(old, name)) for name, each in metrics.items()]


def refusals(new: Evaluation, old: Evaluation | None) -> Iterator[str]:
    """Why `new` must not take the place of `old`, with the figures; nothing if it may."""
    if old is not None:
        if other := list(_other_questions(new, old)):
            yield (
                f"it was asked other questions than `{old.version}` ({'; '.join(other)}): evaluate both "
                "alike by `python -m training evaluate`"
            )
        else:
            yield from _lost(new, old)
    for goal in new.goals:
        if goal.text.startswith(MUST) and not goal.met:
            yield f"{goal.text}: {interval(goal)}, and the goal is {number(goal.goal)}"


def _lost(new: Evaluation, old: Evaluation) -> Iterator[str]:
    for metric in old.metrics:
        if metric.group not in GROUPS or metric.own is None or not _same_speakers(metric, new, old):
            continue
        beside = Beside(metric, _own(new, metric.name), metric.own)
        if beside.new is None:
            yield f"{metric.label}: not measured, and `{old.version}` has {interval(metric.own)}"
        elif beside.new.n != metric.own.n:
            yield f"{metric.label}: measured on {beside.new.n} items, and `{old.version}` on {metric.own.n}"
        elif beside.lost:
            yield f"{metric.label}: {interval(beside.new)}, and `{old.version}` has {interval(metric.own)}"


def _other_questions(new: Evaluation, old: Evaluation) -> Iterator[str]:
    if new.base != old.base:
        yield f"base `{new.base}` and `{old.base}`"
    if new.card_sha256 != old.card_sha256:
        yield "the card has changed in between"
    for key in _EXAM:
        if (mine := new.settings.get(key)) != (theirs := old.settings.get(key)):
            yield f"`{key}` {mine} and {theirs}"


def _same_speakers(metric: Metric, new: Evaluation, old: Evaluation) -> bool:
    """Who said it is told by what was learned from her lines: other lines make it another measure."""
    key = "who_said_it"
    return metric.name != key or new.settings.get(key) == old.settings.get(key)


def _own(evaluation: Evaluation | None, name: str) -> Figure | None:
    metric = evaluation.metric(name) if evaluation else None
    return metric.own if metric else None
