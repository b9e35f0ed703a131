"""KAG3 scripts: the `.ks` files of KiriKiri games as their authors wrote them (those of Wamsoft's system are
compiled, see `dataset_builder.engines.scn`).

Who speaks is a work's own convention; `dataset_builder.engines.kag_speakers` has the table of those that are
known, and `ReadOptions.speakers` adds to it.
"""

from collections.abc import Iterator, Sequence

from dataset_builder.engines import ReadOptions
from dataset_builder.engines.kag_tags import KAG
from dataset_builder.engines.kag_work import likely, read_work
from dataset_builder.report import Losses
from dataset_builder.schema import Scene
from dataset_builder.work import ScriptFile

NAME = "kag"
TITLE = "KAG3 (KiriKiri)"


def sniff(name: str, head: bytes) -> float:
    return likely(name, head)[0]


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    """The scenes of all files. All are looked through for macros and labels before the first is read.

    Raises `ScriptError` for a file that is no text, and `DatasetError` for a rule in `options.speakers`
    that is none.
    """
    return read_work(files, KAG, options, losses)
