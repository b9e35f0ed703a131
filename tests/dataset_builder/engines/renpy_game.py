"""Small games of Ren'Py for tests: text in, scenes out."""

from collections.abc import Mapping
from textwrap import dedent

from dataset_builder.engines import ReadOptions, renpy
from dataset_builder.report import Losses
from dataset_builder.schema import Line, Scene
from dataset_builder.work import memory_file

CAST = """
define l = Character("林晚")
define e = Character("Eileen")
"""


def play(
    files: str | Mapping[str, str | bytes], losses: Losses | None = None, **options: object
) -> list[Scene]:
    """The scenes of files; a text alone is `game/script.rpy`, beside which two people are defined."""
    if isinstance(files, str):
        files = {"game/cast.rpy": CAST, "game/script.rpy": files}
    given = [
        memory_file(name, dedent(text).encode() if isinstance(text, str) else text)
        for name, text in files.items()
    ]
    return list(renpy.read(given, ReadOptions(**options), losses if losses is not None else Losses()))  # type: ignore[arg-type]


def lines(text: str, losses: Losses | None = None) -> list[Line]:
    """The lines of all scenes of one file."""
    return [line for scene in play(text, losses) for line in scene.lines]


def texts(text: str) -> list[str]:
    return [line.text for line in lines(text)]
