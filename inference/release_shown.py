"""Versions, their releases and their figures as tables in a terminal."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from dataset_builder.schema import Tally
from inference.arms import Rate, rate
from inference.characters import Character
from inference.errors import AdapterError
from inference.gate import Beside, side_by_side
from inference.manifest import Manifest
from inference.release import Release
from inference.shelf import Shelf
from inference.trial import compared
from inference.versions import Evaluation, evaluation_line, interval, read_evaluation, read_manifest

_STATES = {
    "stable": "[green]answers[/]",
    "previous": "answered before",
    "published": "published",
    "retired": "answered once",
    "rolled-back": "[red]taken back[/]",
    "unpublished": "[dim]not published[/]",
}


def show_versions(shelf: Shelf, characters: Mapping[str, Character], tally: Tally | None) -> int:
    """All versions on the base, and what is refused; the exit code is 1 if something was."""
    found = shelf.check.scan(shelf.characters)
    releases = shelf.releases()
    title = f"on `{shelf.base.id}` ({shelf.base.sha256[:12]}…)"
    table = Table("character", "version", "now", Column("evaluation", ratio=1), "votes", title=title)
    for character in characters.values():
        who = f"{escape(character.name)} ({character.id}, {character.language})"
        mine = [version.name for version in found.good if version.character == character.id]
        if not mine:
            table.add_row(who, "none on this base")
        for name in mine:
            release = releases.get(character.id)
            told = escape(_evaluated(shelf, name))
            table.add_row(who, name, _state(release, name, mine[-1]), told, _votes(tally, name))
            who = ""
    screen = Console(highlight=False)
    screen.print(table)
    for release in releases.values():
        if (trial := compared(release, tally)) is not None and release.canary is not None:
            names = f"`{release.canary.version}` beside `{release.stable}`"
            screen.print(f"{names}: {trial.reason()}", markup=False, soft_wrap=True)
    for error in found.refused:
        screen.print(f"refused: {error}", markup=False, soft_wrap=True)
    return 1 if found.refused else 0


def _state(release: Release | None, name: str, newest: str) -> str:
    if release is None:
        return _STATES["stable"] if name == newest else ""
    state = release.state(name)
    if state == "canary" and release.canary is not None:
        return f"[yellow]tried, {release.canary.share:.0%}[/]"
    return _STATES[state]


def _evaluated(shelf: Shelf, name: str) -> str:
    try:
        found = read_evaluation(shelf.folder(name))
    except AdapterError as error:
        return error.reason
    return evaluation_line(found) if found else "none"


def _votes(tally: Tally | None, name: str) -> str:
    found = votes_for(tally, name)
    if not found.votes:
        return ""
    return f"{found.up:.0f} of {found.votes:.0f}: {found.value:.0%} ({found.low:.0%} to {found.high:.0%})"


def votes_for(tally: Tally | None, name: str) -> Rate:
    """All votes on a version, each counted as one."""
    days = [each for each in (tally.versions if tally else ()) if each.version == name]
    return rate(sum(each.up for each in days), sum(each.down for each in days))


def show_figures(new: Evaluation | None, old: Evaluation | None, names: tuple[str, str]) -> None:
    """Two evaluations side by side."""
    table = Table("", *(f"`{name}`" for name in names), "")
    for beside in side_by_side(new, old):
        unit = f", {beside.metric.unit}" if beside.metric.unit else ""
        label = escape((beside.metric.label or beside.metric.name) + unit)
        figures = (interval(each) if each else "" for each in (beside.new, beside.old))
        table.add_row(label, *figures, _mark(beside))
    if table.row_count:
        Console(highlight=False).print(table)


def _mark(beside: Beside) -> str:
    return "[green]better[/]" if beside.won else "[red]worse[/]" if beside.lost else ""


# --- two versions ----------------------------------------------------------------------------------------


def show_difference(shelf: Shelf, one: str, other: str) -> int:
    """What two versions were made of, and how they did. Raises `AdapterError`, `InferenceRejected`."""
    folders = shelf.folder(one), shelf.folder(other)
    manifests = read_manifest(folders[0]), read_manifest(folders[1])
    screen = Console(highlight=False)
    table = Table(*(Column(head, overflow="fold") for head in ("what differs", f"`{one}`", f"`{other}`")))
    for what, values in _differences(*manifests):
        table.add_row(*map(escape, (what, *values)))
    screen.print(table if table.row_count else "the same settings, data and parents")
    show_figures(read_evaluation(folders[0]), read_evaluation(folders[1]), (one, other))
    return 0


def _differences(one: Manifest, other: Manifest) -> Iterable[tuple[str, tuple[str, str]]]:
    told = [_about(each) for each in (one, other)]
    for key in dict.fromkeys((*told[0], *told[1])):
        values = (told[0].get(key, ""), told[1].get(key, ""))
        if values[0] != values[1]:
            yield key, values


def _about(manifest: Manifest) -> dict[str, str]:
    about = {
        "stage": manifest.stage,
        "weights": f"{manifest.sha256[:12]}…",
        "base": manifest.base,
        "card": manifest.card[:12],
        "lineage": " ← ".join(f"{each.name} ({each.stage})" for each in manifest.lineage),
    }
    config = {f"config.{key}": value for key, value in flat(manifest.config)}
    data = {
        f"data {Path(each.path).as_posix()}": f"{each.rows:,} rows, {each.sha256[:12]}…"
        for each in manifest.data
    }
    return about | config | data


def flat(config: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, str]]:
    """`{"lora": {"rank": 8}}` as `lora.rank`, `8`."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", "" if value is None else str(value)
