"""The reward model that stands behind a version, as its `reward.json` tells."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.characters import VERSION
from inference.errors import AdapterError
from inference.manifest import Manifest
from inference.shelf import Shelf
from inference.versions import read_manifest

REWARD_FILE = "reward.json"

Number = Annotated[float, Field(allow_inf_nan=False)]


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True)


class Accuracy(_Read):
    """How often the better reply got more reward, with its 95 % interval, over `n` pairs."""

    value: Number
    low: Number
    high: Number
    n: int


class Bin(_Read):
    low: Number
    high: Number
    n: int
    accuracy: Number


class Calibration(_Read):
    error: Number
    error_before: Number
    bins: tuple[Bin, ...]


class Reward(_Read):
    """`reward.json`."""

    overall: Accuracy
    kinds: dict[str, Accuracy]
    calibration: Calibration
    name: str = ""
    named: bool = True
    """Whether the run named it; else it is the newest there is."""


def reward_behind(shelf: Shelf, name: str) -> Reward | None:
    """That of the version, or of the nearest of its parents that learned from one; None where none did."""
    folder = shelf.folder(name)
    for manifest in _line(shelf, read_manifest(folder)):
        given = manifest.config.get("reward_model")
        if given:
            path = Path(str(given))
            own = folder.parents[2] / "rewards" / shelf.base.id / path.name
            return next((found for each in (path, own) if (found := _read(each, named=True))), None)
        if "reward_model" in manifest.config:  # it took the newest
            return _newest(folder.parents[2] / "rewards" / shelf.base.id)
    return None


def _line(shelf: Shelf, manifest: Manifest) -> Iterable[Manifest]:
    """A version's manifest and those of its parents that are still there."""
    yield manifest
    for parent in manifest.lineage:
        character, _, version = parent.name.rpartition(".")
        folder = shelf.characters / character / "adapters" / shelf.base.id / version
        if VERSION.fullmatch(version) and folder.is_dir():
            try:
                yield read_manifest(folder)
            except AdapterError:
                continue


def _newest(rewards: Path) -> Reward | None:
    found = [each for each in rewards.glob("r*") if each.name[1:].isdecimal()]
    newest = max(found, key=lambda each: int(each.name[1:]), default=None)
    return _read(newest, named=False) if newest else None


def _read(folder: Path, *, named: bool) -> Reward | None:
    try:
        found = Reward.model_validate_json((folder / REWARD_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
    return found.model_copy(update={"name": folder.name, "named": named})
