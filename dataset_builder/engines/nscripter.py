"""NScripter's and ONScripter's scripts: `0.txt` … `99.txt`, `nscript.dat`, `nscr_sec.dat`, `pscript.dat`.

Facts: ONScripter reads the numbered files one after another as one script, or a packed one, whose bytes are
XORed: 0x84 each (`nscript.dat`; `pscript.dat`, which is UTF-8), or five bytes in turn (`nscr_sec.dat`). The
key of `nscript.___` lies in the game's program. Lines are labels (`*name`), commands joined by `:`, comments
behind `;`, or text, which begins with a wide letter, or with `>`, a backquote or `^` where it is English.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from dataset_builder.decode import decode
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.engines.nscripter_names import Names
from dataset_builder.engines.nscripter_story import Labels, Story
from dataset_builder.errors import ProtectedScript, ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Scene
from dataset_builder.work import ScriptFile

NAME = "nscripter"
TITLE = "NScripter"

_KEYS = {"nscript.dat": b"\x84", "pscript.dat": b"\x84", "nscr_sec.dat": b"\x79\x57\x0d\x80\x04"}
_LOCKED = "nscript.___"
_NUMBERED = re.compile(r"(\d{1,2})\.txt", re.IGNORECASE)
_DEFINE = re.compile(rb"^[ \t]*\*define\b|\A;(?:mode|value|gameid|\$V)", re.MULTILINE | re.IGNORECASE)
_LABEL = re.compile(rb"^\*[a-z_]\w*[ \t]*\r?$", re.MULTILINE | re.IGNORECASE)
_TEXT = re.compile(rb"^(?:[\x80-\xff>`^][^\n]*)[@\\]\r?$", re.MULTILINE)
_COMMAND = re.compile(
    rb"^[ \t]*(?:bg|ld|cl|goto|gosub|select|dwave|bgm|print|mov|setwindow|return|wait)\b", re.MULTILINE
)


def sniff(name: str, head: bytes) -> float:
    base = name.rpartition("/")[2].lower()
    if base == _LOCKED:
        return 0.9
    if base in _KEYS:
        head = _unlocked(base, head)
        return 0.95 if _DEFINE.search(head) or _LABEL.search(head) else 0.0
    if not base.endswith(".txt"):
        return 0.0
    if _DEFINE.search(head):
        return 0.95
    said, labels = len(_TEXT.findall(head)), len(_LABEL.findall(head))
    if _NUMBERED.fullmatch(base) and (labels or _COMMAND.search(head)) and said + labels > 1:
        return 0.8
    return 0.6 if labels and said > 1 and _COMMAND.search(head) else 0.0


def _unlocked(base: str, data: bytes) -> bytes:
    """The bytes of a packed script, as they were."""
    key = _KEYS[base]
    tables = [bytes(byte ^ each for byte in range(256)) for each in key]
    if len(tables) == 1:
        return data.translate(tables[0])
    plain = bytearray(len(data))
    for start, table in enumerate(tables):
        plain[start :: len(key)] = data[start :: len(key)].translate(table)
    return bytes(plain)


def _text(file: ScriptFile, encoding: str | None) -> str:
    base = file.name.rpartition("/")[2].lower()
    if base == _LOCKED:
        raise ProtectedScript(file.name, "NScripter's nscript.___, whose key lies in the game's program")
    data = file.read()
    if base in _KEYS:
        data = _unlocked(base, data)
    if base == "pscript.dat":
        encoding = encoding or "utf-8"
    return decode(data, file.name, encoding)


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    """The scenes of all files. Numbered ones of a folder are one script, in the order of their numbers.

    Raises `ScriptError` for a file that is no text, `ProtectedScript` for `nscript.___`.
    """
    texts: dict[str, str] = {}
    for file in files:
        try:
            texts[file.name] = _text(file, options.encoding)
        except (ScriptError, ProtectedScript):
            continue  # raised again, and counted, when the file's turn comes
    names = Names(texts.values(), options.names)
    labels = Labels(texts)
    ordered = sorted(files, key=_order)
    followers = {
        one.name: labels.top(two.name)
        for one, two in pairwise(ordered)
        if _are_one_script(one.name, two.name)
    }

    def scenes(file: ScriptFile) -> Iterator[Scene]:
        text = texts.pop(file.name, None)
        if text is None:
            text = _text(file, options.encoding)
        yield from Story(file.name, text, names, labels, options, losses).scenes(followers.get(file.name, ""))

    yield from read_each(ordered, options, losses, scenes)


def _order(file: ScriptFile) -> tuple[str, int, str]:
    folder, _, base = file.name.rpartition("/")
    number = _NUMBERED.fullmatch(base)
    return folder, int(number[1]) if number else 100, base


def _are_one_script(one: str, two: str) -> bool:
    """Whether both are numbered files of one folder."""
    (folder, _, base), (other, _, next_base) = one.rpartition("/"), two.rpartition("/")
    return folder == other and all(map(_NUMBERED.fullmatch, (base, next_base)))
