"""What a version folder tells of itself: what it learned from (`version.json`), and how it did
(`evaluation.json`). Both are written by `python -m training`.

Whether a version may be served is checked by `inference.adapters`.
"""

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from inference.adapters import VERSION_FILE
from inference.errors import AdapterError
from inference.manifest import Manifest, Number

EVALUATION_FILE = "evaluation.json"
OWN = (
    "adapter",
    "adapter-no-card",
)  # the version itself among an evaluation's systems: with the card, or bare
BASES = ("base", "card")  # the base model without the card, and with it

_Model = TypeVar("_Model", bound=BaseModel)


class _Read(BaseModel):
    """Another program's file: what is not named here is left out."""

    model_config = ConfigDict(frozen=True)


class Figure(_Read):
    """A value and its 95 % interval, over `n` items."""

    value: Number
    low: Number
    high: Number
    n: int = 0


class Metric(_Read):
    """One thing that was measured, by system. `%` counts to 100."""

    name: str
    group: str = ""
    label: str = ""
    better: Literal["higher", "lower"] = "higher"
    unit: str = ""
    values: dict[str, Figure]

    @property
    def own(self) -> Figure | None:
        """The version's own figure; general ability is measured without the card."""
        found = (self.values.get(system) for system in OWN)
        return next((figure for figure in found if figure is not None and figure.n), None)


class Goal(_Read):
    text: str
    value: Number
    low: Number
    high: Number
    goal: Number
    met: bool


class Evaluation(_Read):
    """`evaluation.json`."""

    character: str
    version: str
    base: str
    card_sha256: str
    settings: dict[str, Any] = {}
    metrics: tuple[Metric, ...]
    goals: tuple[Goal, ...] = ()

    def metric(self, name: str) -> Metric | None:
        return next((each for each in self.metrics if each.name == name), None)


def read_manifest(folder: Path) -> Manifest:
    """Raises `AdapterError`."""
    found = _read(folder, VERSION_FILE, Manifest, "it cannot be told where the version comes from")
    if found is None:
        raise AdapterError(folder, f"no `{VERSION_FILE}` in it")
    return found


def read_evaluation(folder: Path) -> Evaluation | None:
    """None where the version was not evaluated. Raises `AdapterError`."""
    again = f"run `python -m training evaluate version={folder}` again"
    return _read(folder, EVALUATION_FILE, Evaluation, again)


def _read(folder: Path, name: str, model: type[_Model], remedy: str) -> _Model | None:
    try:
        return model.model_validate_json((folder / name).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AdapterError(folder, f"`{name}` cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise AdapterError(folder, f"`{name}`: `{place}` is wrong: {first['msg']}; {remedy}") from error


# --- in a few words --------------------------------------------------------------------------------------

_SHORT = {
    "heldout_perplexity": "perplexity",
    "rouge1": "ROUGE-1",
    "who_said_it": "hers",
    "persona_right": "right about her",
    "ability": "ability",
    "safety": "safe",
}


def evaluation_line(found: Evaluation) -> str:
    """The main figures in a line."""
    parts = [
        f"{_SHORT[metric.name]} {number(metric.own.value)}{' %' if metric.unit == '%' else ''}"
        for metric in found.metrics
        if metric.name in _SHORT and metric.own
    ]
    if found.goals:
        parts.append(f"{sum(goal.met for goal in found.goals)} of {len(found.goals)} goals")
    return ", ".join(parts)


def number(value: float) -> str:
    """For a person: about three digits, no trailing zeros."""
    size = abs(value)
    places = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 1 else 3
    text = f"{value:,.{places}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def interval(figure: Figure | Goal) -> str:
    """`86.5 (82.3 to 91.1)`."""
    return f"{number(figure.value)} ({number(figure.low)} to {number(figure.high)})"
