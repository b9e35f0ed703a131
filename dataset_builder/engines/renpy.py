"""Ren'Py: `.rpy`, `_ren.py`, `.rpym`, and compiled `.rpyc` and `.rpymc`.

Characters, labels and translations of a work stand in any of its files, so that all are read before the first
scene comes. Where a file is there as text and compiled, the text is taken.
"""

import re
from collections.abc import Iterator, Sequence

from dataset_builder.decode import decode
from dataset_builder.engines import ReadOptions
from dataset_builder.engines.renpy_characters import Cast
from dataset_builder.engines.renpy_lexer import ren_py
from dataset_builder.engines.renpy_nodes import Script
from dataset_builder.engines.renpy_scenes import Game, places, scenes
from dataset_builder.engines.renpy_statements import parse
from dataset_builder.engines.renpy_translations import Translations
from dataset_builder.engines.rpyc import MAGIC, read_compiled
from dataset_builder.errors import ProtectedScript, ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Scene
from dataset_builder.work import ScriptFile

NAME = "renpy"
TITLE = "Ren'Py"

_TEXT = (".rpy", ".rpym")
_COMPILED = (".rpyc", ".rpymc")
_PYTHON = "_ren.py"
_ARCHIVE = re.compile(r"[^/]+\.rpa/")


def sniff(name: str, head: bytes) -> float:
    """How sure it is that a file is Ren'Py's, from its name and its first bytes."""
    name = name.lower()
    if head.startswith(MAGIC):
        return 1.0
    if name.endswith(_COMPILED):
        return 0.9
    if name.endswith(_TEXT):
        return 0.9 if b"\0" not in head else 0.0
    return 0.9 if name.endswith(_PYTHON) and b'"""renpy' in head else 0.0


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    """The scenes of a work, in the order of its files; see `renpy_scenes`.

    Raises `ScriptError` or `ProtectedScript` for a file that cannot be read, if it is the only one or
    `options.lenient` is off.
    """
    scripts: list[Script] = []
    sources = {_stem(file.name) for file in files if not file.name.lower().endswith(_COMPILED)}
    for file in files:
        if file.name.lower().endswith(_COMPILED) and _stem(file.name) in sources:
            losses.skip("compiled file whose source is there")
            continue
        try:
            scripts.append(_script(file, options, losses))
        except (ScriptError, ProtectedScript) as error:
            if not options.lenient or len(files) == 1:
                raise
            losses.skip("file cannot be read")
            losses.warn(file.name, str(error))
    game = Game(
        Cast((each for script in scripts for each in script.assignments), losses),
        Translations(scripts),
        places(scripts),
        {word for script in scripts for word in script.statements},
        options,
    )
    for script in scripts:
        yield from scenes(script, game, losses)
    game.translations.report(losses)


def _script(file: ScriptFile, options: ReadOptions, losses: Losses) -> Script:
    data = file.read()
    if file.name.lower().endswith(_COMPILED) or data.startswith(MAGIC):
        return read_compiled(data, file.name, losses)
    text = decode(data, file.name, options.encoding)
    return parse(ren_py(text) if file.name.lower().endswith(_PYTHON) else text, file.name, losses)


def _stem(name: str) -> tuple[str, bool]:
    """What a file is called in all its forms, in an archive or beside it, and whether it is a module."""
    name = _ARCHIVE.sub("", name)
    for ending in (_PYTHON, *_TEXT, *_COMPILED):
        if name.lower().endswith(ending):
            return name[: -len(ending)], "m" in ending
    return name, False
