"""What lies beside a character's adapters: which versions there are, what each learned from, how it did.

The files are written by `python -m training`; what is read of them here is for people to look at. Whether a
version may be served is checked elsewhere.
"""

import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inference.characters import VERSION, Character, served_name
from inference.manifest import Ancestor, DataFile, Manifest

_REWARD = re.compile(r"r[1-9][0-9]{0,5}")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VersionFolder:
    """A version on this machine."""

    name: str  # as it is served: `maeve.v2`
    number: int
    folder: Path
    manifest: Manifest

    @property
    def base(self) -> str:
        return self.folder.parent.name


def versions(character: Character) -> list[VersionFolder]:
    """All that can be read, by base and number."""
    return sorted(_found(character), key=lambda each: (each.base, each.number))


def find_versions(
    character: Character, name: str, *, base: str = "", sha256: str = ""
) -> list[VersionFolder]:
    """The folders of a served name: several when it was trained on several bases, and the record of a reply
    does not say which of them spoke."""
    return [
        each
        for each in versions(character)
        if each.name == name and base in ("", each.base) and sha256 in ("", each.manifest.sha256)
    ]


def ancestors(
    version: VersionFolder, among: Sequence[VersionFolder]
) -> list[tuple[Ancestor, VersionFolder | None]]:
    """Up to the root, the nearest first, each with its folder if that is still there."""
    folders = {each.manifest.sha256: each for each in among}
    return [(each, folders.get(each.sha256)) for each in version.manifest.lineage]


def evaluation(folder: Path) -> dict[str, Any] | None:
    """`evaluation.json`, if there is one: `metrics`, each with `values` by system, and `goals`."""
    found = read_object(folder / "evaluation.json")
    return found if found and isinstance(found.get("metrics"), list) else None


def rewards(character: Character) -> Iterator[tuple[str, Path]]:
    """Her reward models, by base: name such as `r2`, and the folder. The newest of a base comes last."""
    root = character.folder / "rewards"
    for base in sorted(root.iterdir()) if root.is_dir() else ():
        found = [each for each in base.iterdir() if _REWARD.fullmatch(each.name)] if base.is_dir() else []
        for folder in sorted(found, key=lambda each: int(each.name[1:])):
            yield folder.name, folder


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is no such file, or it holds something else, which is logged."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        log.warning("`%s` cannot be read: %s", path, error)
        return None
    if not isinstance(found, dict):
        log.warning("`%s` is no JSON object", path)
        return None
    return found


def _found(character: Character) -> Iterator[VersionFolder]:
    for folder in character.adapters.glob("*/v*"):
        if not VERSION.fullmatch(folder.name):
            continue
        raw = read_object(folder / "version.json")
        if raw is None:
            continue
        try:
            manifest = Manifest.model_validate(raw)
        except ValidationError as error:
            log.warning("`%s`: %s", folder / "version.json", error.errors()[0]["msg"])
            continue
        yield VersionFolder(
            served_name(character.id, folder.name),
            int(folder.name[1:]),
            folder,
            _with_first_data(manifest, character),
        )


def _with_first_data(manifest: Manifest, character: Character) -> Manifest:
    """The first versions learned her `dialogues.jsonl`, and say no more than its hash."""
    old = (manifest.model_extra or {}).get("trained", {})
    if manifest.data or not isinstance(old.get("dialogues"), str):
        return manifest
    file = DataFile(
        path=(character.folder / "dialogues.jsonl").as_posix(),
        sha256=old["dialogues"],
        rows=int(old.get("rows", 0)),
    )
    return manifest.model_copy(
        update={
            "data": (file,),
            "stage": manifest.stage or "sft",
            "card": manifest.card or str(old.get("card", "")),
        }
    )


# Of `evaluation.json`: metric -> in a few words.
_TOLD = {
    "heldout_perplexity": "held-out perplexity",
    "rouge1": "ROUGE-1",
    "who_said_it": "told from others",
    "persona_right": "right about herself",
    "ability": "ability",
    "safety": "safety",
}


def evaluation_line(found: dict[str, Any]) -> str:
    """`evaluation.json` in a line, each figure with its 95 % interval; "" where nothing is in it."""
    parts = [
        f"{_TOLD[metric['name']]} {_figure(figure)}{' %' if metric.get('unit') == '%' else ''}"
        for metric in found.get("metrics", ())
        if metric.get("name") in _TOLD and (figure := figure_of(metric))
    ]
    goals = found.get("goals") or ()
    if goals:
        parts.append(f"{sum(bool(goal.get('met')) for goal in goals)} of {len(goals)} goals met")
    return ", ".join(parts)


def figure_of(metric: dict[str, Any]) -> dict[str, float] | None:
    """The version's own figure: with the card, else without (ability is measured bare)."""
    values = metric.get("values") or {}
    found = values.get("adapter") or values.get("adapter-no-card")
    return found if isinstance(found, dict) and {"value", "low", "high"} <= found.keys() else None


def _figure(figure: dict[str, float]) -> str:
    return f"{figure['value']:.1f} ({figure['low']:.1f} to {figure['high']:.1f})"
