"""One reader a script format. A module here is an `Engine`: it tells its files apart and reads a work of
them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from dataset_builder.errors import ProtectedScript, ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Scene
from dataset_builder.work import ScriptFile


@dataclass(frozen=True)
class ReadOptions:
    """What a user may say about a work; a reader takes what concerns it."""

    work: str = ""  # its name, which stands in every scene
    language: str = ""  # of the original text, where the files do not tell; "" lets it be guessed later
    translation: str = ""  # language of a second text that the files hold beside the original
    encoding: str | None = None  # of text files; None: `decode` finds out
    psb_key: int | None = None  # of encrypted PSB files
    speakers: tuple[str, ...] = ()  # rules for who speaks in KAG scripts; see `dataset_builder.engines.kag`
    names: tuple[str, ...] = ()  # names of speakers, where only a list tells them from text
    name_after: bool | None = None  # two-line text: the name line follows the speech; None: find out
    lenient: bool = True  # a broken file is counted and left out when others are sound


class Engine(Protocol):
    """What a module here offers."""

    NAME: str  # short, for tables and `--engine`: `renpy`
    TITLE: str  # for people: `Ren'Py`

    def sniff(self, name: str, head: bytes) -> float:
        """How sure it is that a file is its own, from its name and first 4 KiB: 0 (no) to 1 (certain)."""
        ...

    def read(self, files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
        """The scenes of all its files in a work, in the order of the files.

        Lazily, a file at a time where the format allows (`read_each`).
        """
        ...


def read_each(
    files: Sequence[ScriptFile],
    options: ReadOptions,
    losses: Losses,
    read: Callable[[ScriptFile], Iterator[Scene]],
) -> Iterator[Scene]:
    """`read` for each file. Among several, one that cannot be read is counted and left out."""
    for file in files:
        try:
            yield from read(file)
        except (ScriptError, ProtectedScript) as error:
            if not options.lenient or len(files) == 1:
                raise
            losses.skip("file cannot be read")
            losses.warn(file.name, str(error))
