"""CatSystem2: compiled scenes, `.cst`.

Facts from VNTextPatch (MIT, https://github.com/arcusmaximus/VNTranslationTools). A file is `CatScene`, i32
packed size (0: not packed), i32 size, then zlib data. Unpacked it is i32 size of what follows the 16 bytes of
this head, i32 count of clears, i32 offset of the address table, i32 offset of the strings, both from byte 16;
a string is `01`, its type, text, `00`. Numbers are little-endian.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Sequence

from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.engines.branches import Fork, Forks
from dataset_builder.errors import ScriptError
from dataset_builder.lines import other_line, spoken
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Ruby, Scene, Source
from dataset_builder.work import ScriptFile

NAME = "catsystem2"
TITLE = "CatSystem2"

_MAGIC = b"CatScene"
_LIMIT = 64 * 2**20  # bytes of one unpacked scene: more is no scene
_MESSAGE, _NAME, _COMMAND = 0x20, 0x21, 0x30
_SILENT = frozenset((0x02, 0x03, 0xF0, 0xF1))  # end of a line or paragraph; name and line of the source
_CHOICE = re.compile(r"\d+\s+\S+\s+(.+)")
_CODES = re.compile(
    r"\\(?:\$(\d{1,7});|f[a-z]|([a-z@])|(.))|\[([^\[\]/]{0,80})(?:/([^\[\]]{1,80}))?\]|[\x01-\x1f\x7f]",
    re.DOTALL,
)
_KNOWN = frozenset("n@p")


def sniff(name: str, head: bytes) -> float:
    return 0.99 if head.startswith(_MAGIC) else 0.0


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    yield from read_each(files, options, losses, lambda file: _read(file, options, losses))


def _read(file: ScriptFile, options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    scene = _Scene(file.name, options, losses)
    for at, kind, text in _strings(
        _unpack(file.read(), file.name), file.name, options.encoding or "cp932", losses
    ):
        scene.add(at, kind, text)
    scene.flush()
    if scene.scene.lines:
        yield scene.scene


def _unpack(data: bytes, file: str) -> bytes:
    """The scene as it was before packing. Raises `ScriptError`."""
    if not data.startswith(_MAGIC) or len(data) < 16:
        raise ScriptError(file, 0, "it is no scene of CatSystem2's (`CatScene`)")
    packed, size = struct.unpack_from("<II", data, 8)
    body = data[16:]
    if not 16 <= size <= min(_LIMIT, (len(body) + 16) * 1032):  # zlib packs no better
        raise ScriptError(file, 0, f"its scene claims {size:,} bytes")
    if packed:
        if packed != len(body):
            raise ScriptError(file, 0, f"its scene has {len(body):,} bytes of {packed:,}")
        try:
            body = zlib.decompressobj().decompress(body, size)
        except zlib.error as error:
            raise ScriptError(file, 0, f"its packed scene is broken: {error}") from error
    if len(body) != size:
        raise ScriptError(file, 0, f"its scene has {len(body):,} bytes of {size:,}")
    return body


def _strings(scene: bytes, file: str, encoding: str, losses: Losses) -> Iterator[tuple[int, int, str]]:
    """Place, type and text of each string."""
    size, _, table, texts = struct.unpack_from("<IIII", scene)
    table, texts = table + 16, texts + 16
    if size + 16 != len(scene) or not 16 <= table <= texts <= len(scene):
        raise ScriptError(file, 0, "its tables lie outside of it")
    decoded = 0
    for (address,) in struct.iter_unpack("<I", scene[table : table + (texts - table) // 4 * 4]):
        at = texts + address
        if at + 2 > len(scene) or scene[at] != 1:
            losses.skip("no string at its address")
            continue
        end = scene.find(0, at + 2)
        found = scene[at + 2 : end if end >= 0 else len(scene)]
        decoded += len(found)
        if decoded > 2 * len(scene):
            raise ScriptError(file, 0, "its strings lie on top of one another")
        try:
            yield at, scene[at + 1], found.decode(encoding)
        except UnicodeError:
            losses.skip(f"not {encoding}")
        except LookupError as error:
            raise ScriptError(file, 0, f"there is no encoding `{encoding}`") from error


class _Scene:
    """A scene as its strings come: messages on end are one, behind the name that stands in front of them."""

    def __init__(self, file: str, options: ReadOptions, losses: Losses) -> None:
        self.scene = Scene(options.work, file, "", language=options.language)
        self._losses = losses
        self._forks = Forks()
        self._fork: Fork | None = None
        self._name = ""
        self._message: list[str] = []
        self._at = 0

    def add(self, at: int, kind: int, text: str) -> None:
        if kind == _MESSAGE and text not in ("", "\\n", "\\p"):
            if not self._message:
                self._at = at
            self._message.append(text)
            return
        self.flush()
        if kind == _NAME:
            self._fork = None
            self._name = text
        elif kind == _COMMAND:
            if choice := _CHOICE.fullmatch(text):
                self._choice(choice[1], text, at)
        elif kind != _MESSAGE and kind not in _SILENT:
            self._losses.unknown[f"string of type {kind:#04x}"] += 1

    def flush(self) -> None:
        """The end of a message."""
        if not self._message:
            return
        raw, name = "".join(self._message), self._name
        self._message, self._name, self._fork = [], "", None
        text, ruby = self._plain(raw)
        lines = self.scene.lines
        source = Source(self.scene.file, 0, f"strings/{self._at}")
        line = spoken(len(lines), self._plain(name)[0], text, raw, source, ruby=ruby)
        if line.text:
            lines.append(line)
            self._losses.emit()
        else:
            self._losses.skip("empty text")

    def _choice(self, text: str, raw: str, at: int) -> None:
        if self._fork is None:
            self._fork = self._forks.open("")
        lines = self.scene.lines
        source = Source(self.scene.file, 0, f"strings/{at}")
        line = other_line(len(lines), "choice", self._plain(text)[0], raw, source, branch=self._fork.arm())
        if not line.text:
            self._losses.skip("empty text")
            return
        lines.append(line)
        self.scene.choices.append(Choice(line.text))
        self._losses.emit()

    def _plain(self, text: str) -> tuple[str, tuple[Ruby, ...]]:
        r"""The text without codes, and its ruby: `\n`, `\@`, `\fs`, `\$34;`, `[漢字/かな]`, `[word]`."""
        ruby: list[Ruby] = []

        def printed(match: re.Match[str]) -> str:
            number, code, sign, base, over = match.groups()
            if number:
                letter = int(number)
                return chr(letter) if letter < 0xD800 or 0xDFFF < letter < 0x110000 else ""
            if base is not None:
                if over:
                    ruby.append(Ruby(base, over))
                return base
            if sign:
                return sign
            if code and code not in _KNOWN:
                self._losses.unknown[f"\\{code}"] += 1
            return "\n" if code == "n" else ""

        return _CODES.sub(printed, text), tuple(ruby)
