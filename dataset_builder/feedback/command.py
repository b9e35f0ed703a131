"""What `python -m dataset_builder feedback` does, and what it shows."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dataset_builder.config import FeedbackConfig
from dataset_builder.errors import DatasetError
from dataset_builder.feedback.export import Bar, export_feedback
from dataset_builder.feedback.manifest import Manifest
from dataset_builder.feedback.read import Events, characters_in
from dataset_builder.feedback.views import SIDES, VIEWS, name_of
from inference.characters import Character, load_character
from inference.errors import CharacterError

_FOLDER = Path("data/feedback-rows")
_LEARNED_BY = {
    "votes": "KTO",
    "preference": "DPO",
    "reward": "a reward model",
    "sft": "supervised learning",
}


def run(paths: Sequence[Path], out: Path | None, config: FeedbackConfig, bar: Bar, screen: Console) -> Path:
    """Writes the data sets and shows what came out. The folder they are in. Raises `DatasetError`."""
    events = Events(paths)
    character = _find(paths, config)
    out = out or _FOLDER / character.id
    show(export_feedback(events, character, out, config, bar), screen)
    return out


def _find(paths: Sequence[Path], config: FeedbackConfig) -> Character:
    name = config.character
    if not name:
        known = characters_in(paths)
        if len(known) != 1:
            those = ", ".join(f"`{each}`" for each in known) or "nobody yet"
            raise DatasetError(f"whose rows? --character names her; the events tell of {those}")
        name = known[0]
    try:
        return load_character(config.characters / name)
    except CharacterError as error:
        raise DatasetError(str(error)) from error


def show(manifest: Manifest, screen: Console) -> None:
    """What came out, and what was left out and why."""
    sets = Table("data set", "for", *SIDES, title=f"rows of {manifest.character}", title_justify="left")
    for view in VIEWS:
        counts = (f"{manifest.rows[name_of(side, view)].rows:,}" for side in SIDES)
        sets.add_row(view, _LEARNED_BY[view], *counts)
    screen.print(sets)
    if manifest.left_out:
        gone = Table("left out", "why", "how many")
        for what, reasons in manifest.left_out.items():
            for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
                gone.add_row(what, reason, f"{count:,}")
        screen.print(gone)
    consent, torn = manifest.consent, [each.path for each in manifest.read if each.torn]
    screen.print(
        f"{manifest.replies:,} replies in {sum(each.events for each in manifest.read):,} events of "
        f"{len(manifest.read):,} files; {consent.on:,} persons consent, {consent.off:,} do not any more"
    )
    for path in torn:
        screen.print(f"the last line of `{path}` is half written and was left out")
    for grant in manifest.grants:
        screen.print(f"with rows from Discord, under its grant `{grant.id}` of {grant.date}: {grant.scope}")
    if not any(each.rows for each in manifest.rows.values()):
        screen.print(
            "No rows: nothing that was voted on or chosen may train. People allow it by `/consent on`."
        )
