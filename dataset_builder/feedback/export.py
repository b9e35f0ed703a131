"""The bot's event files as data sets.

    out/
      manifest.json         what was read, what came out, what was left out and why; written last
      train/                votes.jsonl, preference.jsonl, reward.jsonl, sft.jsonl, each as .parquet too
      held-out/             the same of other persons and conversations
      implicit.jsonl        what people did without meaning to judge
      denominators.json     how many replies nobody judged

The same events give the same bytes, and the folder is replaced as a whole.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from dataset_builder.config import FeedbackConfig
from dataset_builder.exporting.folder import Folder
from dataset_builder.feedback import parquet
from dataset_builder.feedback.folder import MANIFEST, replaced
from dataset_builder.feedback.judgements import choices, verdicts
from dataset_builder.feedback.manifest import Consents, Manifest, ReadFile, Rows, WrittenFile
from dataset_builder.feedback.read import Events
from dataset_builder.feedback.share import Shared
from dataset_builder.feedback.signals import denominators, implicit
from dataset_builder.feedback.state import Feedback
from dataset_builder.feedback.usable import Usable
from dataset_builder.feedback.views import SETS, Side, View, columns, name_of, persons, views
from dataset_builder.schema import Grant
from inference.characters import Character

Sets = Mapping[tuple[Side, View], Shared]
Advance = Callable[[int], object]
Bar = Callable[[str, int], AbstractContextManager[Advance]]  # of what is done, and how much there is

IMPLICIT = "implicit.jsonl"
DENOMINATORS = "denominators.json"
_PIECE = 1 << 20  # bytes


def _no_bar(what: str, total: int) -> AbstractContextManager[Advance]:
    return nullcontext(lambda done: None)


def export_feedback(
    events: Events, character: Character, out: Path, config: FeedbackConfig, bar: Bar = _no_bar
) -> Manifest:
    """Write the folder `out`: new, empty, or what an earlier run wrote. Raises `DatasetError`."""
    if config.parquet:
        parquet.check()
    with replaced(out) as unfinished:
        folder = Folder(unfinished)
        feedback = Feedback(character)
        with bar("reading events", events.size) as advance:
            for event in events.read(advance):
                feedback.take(event)
        with bar("writing rows", len(SETS)) as advance:
            manifest = _rows_and_manifest(folder, events, feedback, config, advance)
        del feedback  # Parquet needs the memory
        if config.parquet:
            with bar("writing Parquet", len(SETS)) as advance:
                manifest = _with_parquet(folder, manifest, advance)
        folder.write(MANIFEST, [_json(manifest.model_dump(mode="json"))])
    return manifest


def _rows_and_manifest(
    folder: Folder, events: Events, feedback: Feedback, config: FeedbackConfig, advance: Advance
) -> Manifest:
    usable = Usable(feedback)
    left_out = {"replies": Counter(filter(None, map(usable.why_not, feedback.replies()))), **feedback.lost}
    judged = list(verdicts(feedback, usable, left_out["votes"]))
    chosen = list(choices(feedback, usable, left_out["choices"]))
    sets = views(judged, chosen, config, left_out)
    consented = feedback.permissions.summary()
    return Manifest(
        character=feedback.character.id,
        card=feedback.character.card_hash,
        software=_software(),
        seed=config.seed,
        options=config.model_dump(include={"share", "held_out", "near_duplicate", "parquet"}),
        replies=sum(1 for _ in feedback.replies()),
        repeated=events.repeated + feedback.repeated,
        read=[
            ReadFile(path=each.path, sha256=each.sha256, events=each.events, torn=each.torn)
            for each in events.files
        ],
        rows={name_of(*key): _rows(shared) for key, shared in sets.items()},
        left_out={
            what: dict(sorted(reasons.items())) for what, reasons in left_out.items() if reasons.total()
        },
        consent=Consents(on=consented.on, off=consented.off, terms=consented.terms),
        grants=_grants(sets),
        persons=persons(sets),
        files=_write_sets(folder, sets, feedback, advance) | _write_signals(folder, feedback, usable),
    )


def _write_sets(folder: Folder, sets: Sets, feedback: Feedback, advance: Advance) -> dict[str, WrittenFile]:
    written = {}
    for (side, view), shared in sets.items():
        name = f"{name_of(side, view)}.jsonl"
        folder.write(name, _lines(columns(view, row, feedback) for row in shared.rows))
        written[name] = WrittenFile(
            rows=len(shared.rows),
            sha256=folder.digests[name],
            persons=shared.persons,
            bound=shared.bound,
            most=round(shared.most, 4),
        )
        advance(len(written))
    return written


def _write_signals(folder: Folder, feedback: Feedback, usable: Usable) -> dict[str, WrittenFile]:
    signals = list(implicit(feedback, usable))
    folder.write(IMPLICIT, _lines(signals))
    folder.write(DENOMINATORS, [_json(denominators(feedback, usable))])
    rows = {IMPLICIT: len(signals), DENOMINATORS: 1}
    return {name: WrittenFile(rows=rows[name], sha256=folder.digests[name]) for name in rows}


def _with_parquet(folder: Folder, manifest: Manifest, advance: Advance) -> Manifest:
    files = dict(manifest.files)
    for done, (side, view) in enumerate(SETS, 1):
        rows, made = (f"{name_of(side, view)}.{kind}" for kind in ("jsonl", "parquet"))
        part = folder.path / "part.parquet"
        parquet.convert(folder.path / rows, part)
        folder.write(made, _pieces(part))
        part.unlink()
        files[made] = files[rows].model_copy(update={"sha256": folder.digests[made]})
        advance(done)
    return manifest.model_copy(update={"files": files})


# --- what the manifest tells ----------------------------------------------------------------------------


def _rows(shared: Shared) -> Rows:
    def counted(names: Iterable[str]) -> dict[str, int]:
        return dict(sorted(Counter(names).items()))

    return Rows(
        rows=len(shared.rows),
        kinds=counted(row.kind for row in shared.rows),
        platforms=counted(row.first.platform for row in shared.rows),
        versions=counted(row.first.version for row in shared.rows),
    )


def _grants(sets: Sets) -> list[Grant]:
    """Those under which what stands in the rows may stand there."""
    answers = {answer for shared in sets.values() for row in shared.rows for answer in row.answers}
    parts = {part for answer in answers for part in (answer, *answer.window)}
    grants = {part.grant.model_dump_json(): part.grant for part in parts if part.grant is not None}
    return [grants[key] for key in sorted(grants)]


def _software() -> str:
    try:
        return version("chatnvl")
    except PackageNotFoundError:
        return ""  # run from a checkout that is not installed


# --- bytes ----------------------------------------------------------------------------------------------


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    return (orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
