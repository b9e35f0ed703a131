"""A version as its own files tell it: manifest, curves, evaluation, and the two figures that are weighed.

A report and a sweep ask the same: how much style was gained, and how much general ability it cost.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from inference.manifest import Manifest
from training.errors import TrainingError
from training.evaluate import EVALUATION
from training.evaluation import ABILITY_LOSS, PERPLEXITY_DROP, STYLE_GAIN, Evaluation
from training.exam import ADAPTER, BARE, BASE, CARD
from training.version import HISTORY, read_manifest, served_as

# What stages log when they look at the model during training.
ABILITY_PROBES = ("eval_ability", "probe_ability")
STYLE_PROBES = ("eval_style", "probe_style")


class Change(NamedTuple):
    """Between two systems, in %. The interval is that of the pairs, which only a goal tells."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def negated(self) -> "Change":
        """A drop as the change that it is."""
        low, high = (None if each is None else -each for each in (self.high, self.low))
        return Change(-self.value, low, high)


class Point(NamedTuple):
    """A place on the frontier: general ability lost and style gained, both in %."""

    lost: Change
    gained: Change


@dataclass(frozen=True)
class Version:
    """A version folder, read."""

    folder: Path
    manifest: Manifest
    evaluation: Evaluation | None = None
    history: tuple[dict[str, float], ...] = ()

    @property
    def name(self) -> str:
        return served_as(self.folder)

    @property
    def character(self) -> str:
        return self.folder.absolute().parents[2].name

    def curve(self, *keys: str) -> list[tuple[float, float]]:
        """(step, value) wherever the run logged one of `keys`."""
        return [
            (entry["step"], entry[key])
            for entry in self.history
            for key in keys
            if "step" in entry and key in entry
        ]

    @property
    def gained(self) -> Change | None:
        """Style: ROUGE-1 to her own lines, over the base model with the card."""
        return self._change("rouge1", CARD, ADAPTER, STYLE_GAIN)

    @property
    def dropped(self) -> Change | None:
        """Perplexity of her held-out lines, below that of the base model with the card."""
        return self._change("heldout_perplexity", CARD, ADAPTER, PERPLEXITY_DROP, falls=True)

    @property
    def lost(self) -> Change | None:
        """General ability, asked without a card, below the base model's; negative: gained."""
        return self._change("ability", BASE, BARE, ABILITY_LOSS, falls=True)

    @property
    def point(self) -> Point | None:
        return Point(self.lost, self.gained) if self.lost and self.gained else None

    @property
    def goals(self) -> dict[str, bool]:
        """What was wanted, and whether it is met. Style and perplexity are one goal, which either meets."""
        goals = self.evaluation.goals if self.evaluation else ()
        either = [goal for goal in goals if goal.goal in (STYLE_GAIN, PERPLEXITY_DROP)]
        met = {" or ".join(goal.text for goal in either): any(goal.met for goal in either)} if either else {}
        return met | {goal.text: goal.met for goal in goals if goal not in either}

    def _change(
        self, metric: str, before: str, after: str, threshold: float, *, falls: bool = False
    ) -> Change | None:
        """None unless both systems were measured, and the first is above nothing."""
        if self.evaluation is None:
            return None
        old, new = (self.evaluation.figure(metric, system) for system in (before, after))
        if old is None or new is None or not old.value > 0 or not math.isfinite(new.value):
            return None
        change = 100 * (new.value / old.value - 1) * (-1 if falls else 1)
        for goal in self.evaluation.goals:
            if goal.goal == threshold and math.isclose(goal.value, change, abs_tol=0.05):
                return Change(change, goal.low, goal.high)
        return Change(change)


def read_version(folder: Path) -> Version:
    """A version and what stands beside it; evaluation and history may be missing. Raises `TrainingError`."""
    return Version(folder, read_manifest(folder), _evaluation(folder), tuple(_history(folder)))


def _evaluation(folder: Path) -> Evaluation | None:
    path = folder / EVALUATION
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrainingError(f"`{path}` cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise TrainingError(
            f"`{path}`: `{place}` is wrong: {first['msg']}; run `python -m training evaluate` again"
        ) from error


def _history(folder: Path) -> Iterator[dict[str, float]]:
    path = folder / HISTORY
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"`{path}` cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise TrainingError(f"`{path}`, line {number}: it is no JSON: {error}") from error
        if not isinstance(entry, dict):
            raise TrainingError(f"`{path}`, line {number}: it is no JSON object")
        yield {name: value for name, value in entry.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
