"""Trials of a sweep: in which order they are made, which is the best, and why, in words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.evaluation import ABILITY_LOSS
from training.findings import Change, Point, Version
from training.wording import duration, signed, span

Settings = dict[str, Any]  # the grid's keys by their whole names, and a value of each


@dataclass(frozen=True)
class Trial:
    """Settings and the version that they made. `than` is the best before it, which differs in `key` alone."""

    settings: Settings
    version: Version
    point: Point
    than: "Trial | None" = None
    key: str = ""

    @property
    def seconds(self) -> float:
        """Of training and measuring."""
        measured = self.version.evaluation.seconds if self.version.evaluation else 0.0
        return self.version.manifest.figures.get("seconds", 0.0) + measured

    @property
    def kept(self) -> bool:
        """Whether it is as able as before, within the limit."""
        return self.point.lost.value <= ABILITY_LOSS


def choose(trials: Sequence[Trial]) -> Trial:
    """The best: among those that lost 3 % of ability at most, the one with the most style; if none did, the
    one that lost least. Of equal ones it is the earlier."""
    kept = [trial for trial in trials if trial.kept]
    if kept:
        return max(kept, key=lambda trial: (trial.point.gained.value, -trial.point.lost.value))
    return min(trials, key=lambda trial: (trial.point.lost.value, -trial.point.gained.value))


Attempt = Callable[[Settings, Trial | None, str], Trial | None]


def search(start: Settings, grid: Mapping[str, Sequence[Any]], most: int, attempt: Attempt) -> list[Trial]:
    """The trials, in order: `start`, then one key at a time from the best so far, until nothing is new.

    `attempt` makes a trial of settings, from which trial they come and by which key; None if it came to
    nothing, which counts as one of `most`.
    """
    tried: dict[str, Trial | None] = {}

    def look(settings: Settings, than: Trial | None = None, key: str = "") -> None:
        if repr(settings) not in tried and len(tried) < most:
            tried[repr(settings)] = attempt(settings, than, key)

    def trials() -> list[Trial]:
        return [trial for trial in tried.values() if trial]

    look(start)
    before = 0
    while before < len(tried):
        before = len(tried)
        for key, values in grid.items():
            best = choose(trials())
            for value in values:
                look({**best.settings, key: value}, best, key)
    return trials()


def explain(trials: Sequence[Trial], best: Trial) -> list[str]:
    """Why it is `best`, and what each key did."""
    tried = "1 setting was" if len(trials) == 1 else f"{len(trials)} settings were"
    kept = sum(trial.kept for trial in trials)
    name = f"{best.version.name} ({told(best.settings, trials[0].settings) or 'the settings as they stood'})"
    if kept:
        first = (
            f"{tried} tried, and {kept} lost {ABILITY_LOSS:g} % of general ability at most. Of those {name} "
            f"gained the most style: {outcome(best)}."
        )
    else:
        first = (
            f"{tried} tried, and none kept the loss of general ability at {ABILITY_LOSS:g} %. {name} lost "
            f"least: {outcome(best)}. A larger `replay_share` or a lower `learning_rate` keeps more."
        )
    return [first, *_chance(trials, best), *(_step(trial) for trial in trials if trial.than)]


def _chance(trials: Sequence[Trial], best: Trial) -> Iterator[str]:
    """Where the next one is as good, as far as anybody can tell."""
    others = [trial for trial in trials if trial is not best and trial.kept]
    low = best.point.gained.low
    if not best.kept or not others or low is None:
        return
    second = choose(others)
    if second.point.gained.value >= low:
        yield (
            f"{second.version.name} ({outcome(second)}) is within the interval of the best: which of the two "
            "is ahead may be chance."
        )


def _step(trial: Trial) -> str:
    assert trial.than is not None
    if choose([trial.than, trial]) is trial:
        verdict = "better"
    elif trial.than.kept and not trial.kept:
        verdict = f"not taken, as it lost more than {ABILITY_LOSS:g} %"
    elif trial.than.kept:
        verdict = "not taken, as it gained no more style"
    else:
        verdict = "not taken, as it lost no less"
    now, was = (text_of(each.settings[trial.key]) for each in (trial, trial.than))
    return (
        f"`{trial.key}` {now} instead of {was}: {outcome(trial)}; before, {outcome(trial.than)}: {verdict}."
    )


def table(trials: Sequence[Trial], best: Trial) -> Any:
    """A row for each trial with what was other, as a table of rich's."""
    from rich.table import Table

    start = trials[0].settings
    differing = [key for key in start if len({repr(trial.settings[key]) for trial in trials}) > 1]
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("", "trial", *differing, "style gained", "ability lost", "time"):
        shown.add_column(column)
    for trial in trials:
        shown.add_row(
            "best" if trial is best else "",
            trial.version.name,
            *(text_of(trial.settings[key]) for key in differing),
            _change(trial.point.gained),
            _change(trial.point.lost),
            duration(trial.seconds),
        )
    return shown


def outcome(trial: Trial) -> str:
    """Its two figures."""
    return f"style {_change(trial.point.gained)}, ability lost {_change(trial.point.lost)}"


def _change(change: Change) -> str:
    return f"{signed(change.value)} %" + (f" ({span(change)})" if span(change) else "")


def told(settings: Settings, start: Settings) -> str:
    """What is other than at `start`: `lora.rank 32, epochs 5`."""
    return ", ".join(f"{key} {text_of(value)}" for key, value in settings.items() if value != start[key])


def text_of(value: Any) -> str:
    """A setting as a person writes it."""
    if isinstance(value, tuple | list):
        return " ".join(map(str, value)) or "all"
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
