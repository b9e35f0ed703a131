"""From what somebody points at to scenes: which format is it, and what does it say."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from dataset_builder.archives import Archive, asar, rpa, xp3, zip
from dataset_builder.decode import decode
from dataset_builder.engines import (
    Engine,
    ReadOptions,
    artemis,
    bgi,
    catsystem2,
    chat_json,
    ink,
    kag,
    m3t,
    message_json,
    musica,
    naninovel,
    nscripter,
    po,
    qlie,
    renpy,
    scn,
    sheets,
    transcript,
    two_line,
    tyrano,
    yarn,
)
from dataset_builder.errors import DatasetError, ProtectedScript, ScriptError
from dataset_builder.report import Losses
from dataset_builder.scenes import GAP, tidy
from dataset_builder.schema import Scene
from dataset_builder.work import ScriptFile, Work

# In this order where two are equally sure.
ENGINES: tuple[Engine, ...] = (
    renpy, scn, tyrano, kag, message_json, chat_json, two_line, sheets, m3t, po,
    yarn, ink, naninovel, nscripter, bgi, catsystem2, artemis, musica, qlie, transcript,
)  # fmt: skip
ARCHIVES: tuple[Archive, ...] = (xp3, rpa, asar, zip)
SURE = 0.3  # below it a file is nobody's
DEPTH = 3  # archives inside archives


@dataclass
class Found:
    """What lies in a work: the files of each engine, and those that are nobody's."""

    engines: dict[str, list[ScriptFile]] = field(default_factory=dict)  # engine's NAME -> files
    others: list[ScriptFile] = field(default_factory=list)


def engine_named(name: str) -> Engine:
    """Raises `DatasetError`, which lists them."""
    for engine in ENGINES:
        if name == engine.NAME:
            return engine
    raise DatasetError(f"there is no reader `{name}`; there are {', '.join(f'`{e.NAME}`' for e in ENGINES)}")


def unpacked(files: Sequence[ScriptFile], losses: Losses, depth: int = 0) -> Iterator[ScriptFile]:
    """The files, with archives' members in their places. One locked archive among others is counted."""
    for file in files:
        try:
            archive = next((each for each in ARCHIVES if each.sniff(file.head)), None)
        except ScriptError:
            archive = None  # `find` says so
        if archive is None or file.name.lower().endswith((".xlsx", ".xlsm", ".charx")):
            yield file
            continue
        if depth == DEPTH:
            losses.skip("an archive inside too many others")
            continue
        try:
            yield from unpacked(list(archive.members(file)), losses, depth + 1)
        except (ProtectedScript, ScriptError) as error:
            if len(files) == 1 and depth == 0:
                raise
            losses.skip("file cannot be read")
            losses.warn(file.name, str(error))


def find(work: Work, losses: Losses, only: str | None = None, exclude: Sequence[str] = ()) -> Found:
    """Whose the files are. With `only`, every file that this reader does not refuse outright is its own."""
    found = Found()
    chosen = ENGINES if only is None else (engine_named(only),)
    left_out = [re.compile(pattern) for pattern in exclude]
    files = [f for f in unpacked(work.files, losses) if not any(each.search(f.name) for each in left_out)]
    for file in files:
        try:
            head = file.head
        except ScriptError as error:
            losses.skip("file cannot be read")
            losses.warn(file.name, str(error))
            continue
        score, engine = max(
            ((each.sniff(file.name, head), each) for each in chosen), key=lambda pair: pair[0]
        )
        if score >= SURE or (only is not None and (score > 0 or len(files) == 1)):
            found.engines.setdefault(engine.NAME, []).append(file)
        else:
            found.others.append(file)
    _agree(found)
    return found


def _agree(found: Found) -> None:
    """A work has one dialect of `.ks`: that of most of its bytes, whatever a small file looks like."""
    kinds = [name for name in (kag.NAME, tyrano.NAME) if name in found.engines]
    if len(kinds) == 2:
        most = max(kinds, key=lambda name: sum(file.size for file in found.engines[name]))
        files = sorted(
            (file for name in kinds for file in found.engines.pop(name)), key=lambda file: file.name
        )
        found.engines[most] = files


def _names(work: Work) -> tuple[str, ...]:
    """The lines of a `names.txt` that lies with the scripts: a speaker each, aliases behind."""
    file = next((each for each in work.files if each.name.rpartition("/")[2].lower() == "names.txt"), None)
    if file is None:
        return ()
    return tuple(filter(None, map(str.strip, decode(file.read(), file.name).split("\n"))))


def extract(
    work: Work,
    options: ReadOptions,
    losses: Losses,
    *,
    only: str | None = None,
    gap: int = GAP,
    exclude: Sequence[str] = (),
) -> list[Scene]:
    """All scenes of a work, in the order of its files. Raises `DatasetError` where nothing can be read."""
    options = replace(options, work=options.work or work.name, names=options.names or _names(work))
    found = find(work, losses, only, exclude)
    if not found.engines:
        if losses.warnings:
            raise DatasetError(losses.warnings[0])
        kinds = Counter(file.name.rpartition(".")[2] if "." in file.name else "?" for file in found.others)
        listed = ", ".join(f"{count} × .{kind}" for kind, count in kinds.most_common(6)) or "no file"
        readers = ", ".join(f"`{engine.NAME}`" for engine in ENGINES)
        raise DatasetError(
            f"nothing in `{work.name}` is a script that can be read ({listed}); "
            f"`--engine` names a reader for what is not recognised: {readers}"
        )
    scenes: list[Scene] = []
    for engine in ENGINES:
        if files := found.engines.get(engine.NAME):
            scenes += engine.read(files, options, losses)
    return tidy(scenes, losses, gap=gap)
