"""The bot's event files as data sets.

    out/
      manifest.json         what was read, what came out, what was left out and why; written last
      train/                votes.jsonl, preference.jsonl, reward.jsonl, sft.jsonl, each as .parquet too
      held-out/             the same of other persons and conversations
      implicit.jsonl        what people did without meaning to judge
      denominators.json     how many replies nobody judged

The same events give the same bytes, and the folder is replaced as a whole.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from itertools import compress, islice
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
from dataset_builder.feedback.views import (
    DRAWN_FROM,
    SETS,
    SIDES,
    SOURCES,
    VIEWS,
    Side,
    View,
    columns,
    name_of,
    persons,
    views,
)
from dataset_builder.schema import Grant
from inference.characters import Character

Sets = Mapping[tuple[Side, View], Shared]
Taken = dict[tuple[Side, View], dict[View, bytes]]  # of the rows of other data sets, a byte each: 1 if taken
Advance = Callable[[int], object]
Bar = Callable[[str, int], AbstractContextManager[Advance]]  # of what is done, and how much there is

IMPLICIT = "implicit.jsonl"
DENOMINATORS = "denominators.json"
_PIECE = 1 << 20  # bytes
_LIKED = b'"label":true,'


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
        made, taken = _write_rows(folder, events, character, config, bar)
        gc.collect()  # Parquet needs the memory
        manifest = Manifest.model_validate_json(made)
        if config.parquet:
            with bar("writing Parquet", len(SIDES)) as advance:
                manifest = _with_parquet(folder, manifest, taken, advance)
        folder.write(MANIFEST, [_json(manifest.model_dump(mode="json"))])
    return manifest


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector: what is read is one web of a million objects, none of them garbage, and
    walking over it again and again takes a tenth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _write_rows(
    folder: Folder, events: Events, character: Character, config: FeedbackConfig, bar: Bar
) -> tuple[bytes, Taken]:
    """All files but Parquet and the manifest. The manifest is returned: as JSON, since a name here and there
    that lives on would keep all the memory around it."""
    feedback = Feedback(character)
    with _uncollected():
        with bar("reading events", events.size) as advance:
            for event in events.read(advance):
                feedback.take(event)
        with bar("writing rows", len(SETS)) as advance:
            manifest, taken = _rows_and_manifest(folder, events, feedback, config, advance)
            return manifest.model_dump_json().encode(), taken


def _rows_and_manifest(
    folder: Folder, events: Events, feedback: Feedback, config: FeedbackConfig, advance: Advance
) -> tuple[Manifest, Taken]:
    usable = Usable(feedback)
    left_out = {"replies": Counter(filter(None, map(usable.why_not, feedback.replies()))), **feedback.lost}
    judged = list(verdicts(feedback, usable, left_out["votes"]))
    chosen = list(choices(feedback, usable, left_out["choices"]))
    sets = views(judged, chosen, config, left_out)
    consented = feedback.permissions.summary()
    taken = _taken(sets)
    files = _write_sets(folder, sets, taken, feedback, advance)
    signals: Counter[str] = Counter()
    folder.write(IMPLICIT, _pieces(_lines(_counted(implicit(feedback, usable), signals))))
    folder.write(DENOMINATORS, [_json(denominators(feedback, usable))])
    for name, rows in ((IMPLICIT, signals.total()), (DENOMINATORS, 1)):
        files[name] = WrittenFile(rows=rows, sha256=folder.digests[name])
    manifest = Manifest(
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
        signals=dict(sorted(signals.items())),
        files=files,
    )
    return manifest, taken


def _taken(sets: Sets) -> Taken:
    """For each data set which rows it has of those that it is drawn from; of its own it has all."""
    found: Taken = {}
    for side, view in SETS:
        wanted = set(sets[side, view].rows)
        found[side, view] = {
            source: bytes(row in wanted for row in sets[side, source].rows)
            for source in DRAWN_FROM.get(view, (view,))
        }
    return found


def _write_sets(
    folder: Folder, sets: Sets, taken: Taken, feedback: Feedback, advance: Advance
) -> dict[str, WrittenFile]:
    written = {}
    for (side, view), shared in sets.items():
        name = f"{name_of(side, view)}.jsonl"
        if view in DRAWN_FROM:
            lines = _drawn(folder.path / side, view, taken[side, view])
        else:
            lines = _lines(columns(row, feedback) for row in shared.rows)
        folder.write(name, _pieces(lines))
        written[name] = WrittenFile(
            rows=len(shared.rows),
            sha256=folder.digests[name],
            persons=shared.persons,
            bound=shared.bound,
            most=round(shared.most, 4),
        )
        advance(len(written))
    return written


def _drawn(folder: Path, view: View, taken: Mapping[View, bytes]) -> Iterator[bytes]:
    """Lines of a data set, from those that it is drawn from.

    An `sft` row is its vote's without the label. Only its reply is learned, and not those in its prompt:
    nobody liked them.
    """
    for source, mask in taken.items():
        with (folder / f"{source}.jsonl").open("rb") as lines:
            for line in compress(lines, mask):
                # Words cannot be taken for the label: their quotation marks are escaped.
                yield line.replace(_LIKED, b"", 1) if view == "sft" else line


def _with_parquet(folder: Folder, manifest: Manifest, taken: Taken, advance: Advance) -> Manifest:
    files = dict(manifest.files)
    for done, side in enumerate(SIDES, 1):
        parts = {view: folder.path / f"{name_of(side, view)}.unfinished" for view in VIEWS}
        rows = {
            folder.path / side / f"{source}.jsonl": {
                parts[view]: taken[side, view][source] for view in VIEWS if source in taken[side, view]
            }
            for source in SOURCES
        }
        parquet.convert(rows, unlabelled=parts["sft"])
        for view, part in parts.items():
            made = f"{name_of(side, view)}.parquet"
            folder.write(made, _bytes(part))
            part.unlink()
            like = files[f"{name_of(side, view)}.jsonl"]
            files[made] = like.model_copy(update={"sha256": folder.digests[made]})
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
    granted = (answer for answer in answers if answer.grant is not None)  # then those in its prompt are too
    parts = {part for answer in granted for part in (answer, *answer.window)}
    grants = {part.grant.model_dump_json(): part.grant for part in parts if part.grant is not None}
    return [grants[key] for key in sorted(grants)]


def _software() -> str:
    try:
        return version("chatnvl")
    except PackageNotFoundError:
        return ""  # run from a checkout that is not installed


# --- bytes ----------------------------------------------------------------------------------------------


def _bytes(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _counted(rows: Iterable[dict[str, Any]], names: Counter[str]) -> Iterator[dict[str, Any]]:
    for row in rows:
        names[row["name"]] += 1
        yield row


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    return (orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _pieces(lines: Iterator[bytes]) -> Iterator[bytes]:
    """A hundred lines at once."""
    while piece := b"".join(islice(lines, 100)):
        yield piece


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
