"""What the owner sees of it all: votes by version and period, releases, evaluations, reward models, and what
is held back. Figures only: no word of anybody's is in it.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bot.feedback.journal import TALLY
from bot.feedback.quarantine import Rush, VoteFiles, release
from bot.memory.store import Store
from bot.periods import Periods
from bot.versions import VersionFolder, evaluation, figure_of, read_object, rewards, versions
from dataset_builder.schema import Tally, VersionTally
from inference.arms import wilson
from inference.characters import Character, parse_served_name
from inference.release import Release, ReleaseError, read_release
from inference.trial import compared

_COUNTS = ("shown", "up", "down", "weighted_up", "weighted_down", "regenerated", "quarantined")

Figures = dict[str, Any]


class Overview:
    """`feedback` is the folder with the files of feedback; `keep_seconds` how long events may wait for the
    journal."""

    def __init__(
        self, store: Store, characters: Mapping[str, Character], feedback: Path, *, keep_seconds: int
    ) -> None:
        self._store = store
        self._characters = characters
        self._tally = feedback / TALLY
        self._votes = VoteFiles(feedback)
        self._keep = keep_seconds
        self._reading = asyncio.Lock()

    async def figures(self) -> Figures:
        """All of it, for one page."""
        async with self._reading:
            return await asyncio.to_thread(self._figures)

    async def release(self, rush: str) -> bool:
        """Let a rush count again, as soon as the journal has taken it up; False if none of that id is held
        back. Raises `StorageUnavailable`.
        """
        async with self._reading:
            rushes = await asyncio.to_thread(self._votes.rushes)
        held = next((each for each in rushes if each.id == rush), None)
        if held is None:
            return False
        await release(self._store, held, self._keep)
        return True

    # --- in a thread: files ---------------------------------------------------------------------------------

    def _figures(self) -> Figures:
        tally = _read(self._tally)
        periods = Periods.over(each.day for each in tally.versions)
        rushes = self._votes.rushes()
        held = {vote.id for rush in rushes for vote in rush.votes}
        replies = {
            (vote.version, vote.place, vote.reply) for vote in self._votes.votes() if vote.id not in held
        }
        rated = Counter(version for version, _, _ in replies)
        days: defaultdict[str, list[VersionTally]] = defaultdict(list)
        for each in tally.versions:
            days[each.version].append(each)
        return {
            "time": tally.time,
            "period": periods.name,
            "periods": periods.starts,
            "characters": [
                _character(
                    character,
                    [
                        _version(version, days[version], rated[version], periods)
                        for version in sorted(days, key=_newest_first)
                        if days[version][0].character == character.id
                    ],
                    _releases(character, tally),
                )
                for character in self._characters.values()
            ],
            "held": [_held(rush) for rush in rushes],
        }


def _read(path: Path) -> Tally:
    """An empty one where nothing has happened yet."""
    try:
        return Tally.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return Tally(time=time.time())


def _newest_first(version: str) -> tuple[int, str]:
    parsed = parse_served_name(version)
    return (-parsed[1] if parsed else 0, version)


def _version(name: str, days: Sequence[VersionTally], rated: int, periods: Periods) -> Figures:
    """`rated` is how many of its replies somebody voted on."""
    total = _sum(days)
    by_period: defaultdict[int, list[VersionTally]] = defaultdict(list)
    for each in days:
        by_period[periods.index(each.day)].append(each)
    return {
        "name": name,
        "total": total | {"rated": _share(min(rated, total["shown"]), total["shown"])},
        "points": [_sum(by_period[at]) if at in by_period else None for at in range(len(periods.starts))],
    }


def _sum(days: Iterable[VersionTally]) -> Figures:
    told = list(days)
    sums: Figures = {name: sum(getattr(each, name) for each in told) for name in _COUNTS}
    return sums | {"liked": _share(sums["up"], sums["up"] + sums["down"])}


def _share(count: int, of: int) -> Figures | None:
    """With Wilson's 95 % interval; None of nothing."""
    if of <= 0:
        return None
    low, high = wilson(count, of)
    return {"value": count / of, "low": low, "high": high, "n": of}


# --- releases -------------------------------------------------------------------------------------------


def _releases(character: Character, tally: Tally) -> list[Figures]:
    """By base: who answers, and how a trial stands."""
    told: list[Figures] = []
    for folder in sorted(character.adapters.glob("*/")):
        try:
            release = read_release(folder)
        except ReleaseError as error:
            told.append({"base": folder.name, "error": str(error)})
            continue
        if release is not None:
            told.append({"base": folder.name, **_release(release, tally)})
    return told


def _release(release: Release, tally: Tally) -> Figures:
    canary = release.canary
    comparison = compared(release, tally)
    return {
        "stable": release.stable,
        "previous": release.previous,
        "canary": canary and canary.model_dump(include={"version", "share", "since", "decides"}),
        "comparison": comparison and {"en": comparison.reason("en"), "zh": comparison.reason("zh")},
        "last": release.history[-1].model_dump(include={"time", "action", "version", "reason", "by"})
        if release.history
        else None,
    }


# --- what lies in the folders ----------------------------------------------------------------------------


def _character(character: Character, told: list[Figures], releases: list[Figures]) -> Figures:
    found = versions(character)
    return {
        "id": character.id,
        "name": character.name,
        "language": character.language,
        "versions": told,
        "releases": releases,
        "bases": [
            {"base": base, "evaluations": _evaluations(each for each in found if each.base == base)}
            for base in sorted({each.base for each in found})
        ],
        "rewards": _rewards(character),
    }


def _evaluations(found: Iterable[VersionFolder]) -> list[Figures]:
    """Newest version first."""
    told = []
    for version in sorted(found, key=lambda each: -each.number):
        report = evaluation(version.folder)
        if report is None:
            continue
        goals = [bool(goal.get("met")) for goal in report.get("goals") or ()]
        told.append(
            {
                "version": version.name,
                "metrics": [
                    _metric(metric, own) for metric in report["metrics"] if (own := figure_of(metric))
                ],
                "goals": {"met": sum(goals), "of": len(goals)},
            }
        )
    return told


def _metric(metric: Figures, own: Figures) -> Figures:
    values = metric["values"]
    beside = values.get("card") or values.get("base") or {}
    about = {name: str(metric.get(name, "")) for name in ("name", "label", "better", "unit")}
    return about | {name: own[name] for name in ("value", "low", "high")} | {"base": beside.get("value")}


def _rewards(character: Character) -> list[Figures]:
    """The newest of each base."""
    newest: dict[str, Figures] = {}
    for name, folder in rewards(character):
        report = read_object(folder / "reward.json")
        if report and {"overall", "kinds", "calibration"} <= report.keys():
            newest[folder.parent.name] = {
                "name": name,
                "base": folder.parent.name,
                "accuracy": report["overall"],
                "kinds": [{"name": kind, **figure} for kind, figure in report["kinds"].items()],
                "calibration": report["calibration"],
            }
    return list(newest.values())


def _held(rush: Rush) -> Figures:
    counts = Counter(vote.new for vote in rush.votes)
    return {
        "id": rush.id,
        "character": rush.character,
        "since": rush.since,
        "until": rush.until,
        "persons": len(rush.persons),
        "up": counts["up"],
        "down": counts["down"],
        "versions": sorted({vote.version for vote in rush.votes}),
        "reason": rush.reason,
    }
