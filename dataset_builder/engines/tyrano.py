"""TyranoScript's and TyranoBuilder's scripts: the `.ks` files of `data/scenario/`, in packed games inside
`app.asar`.

Like KAG3's, except that `#name` tells who speaks until the next one, and `[chara_new name= jname=]` what a
character is called. Works put macros of their own around both; what these show is learned from their bodies.
"""

from collections.abc import Iterator, Sequence

from dataset_builder.engines import ReadOptions
from dataset_builder.engines.kag_tags import TYRANO
from dataset_builder.engines.kag_work import likely, read_work
from dataset_builder.report import Losses
from dataset_builder.schema import Scene
from dataset_builder.work import ScriptFile

NAME = "tyrano"
TITLE = "TyranoScript"


def sniff(name: str, head: bytes) -> float:
    return likely(name, head)[1]


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    """The scenes of all files. All are looked through for macros, characters and labels before the first is
    read.

    Raises `ScriptError` for a file that is no text, and `DatasetError` for a rule in `options.speakers`
    that is none.
    """
    return read_work(files, TYRANO, options, losses)
