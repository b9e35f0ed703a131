"""Qlie: `.s` scenarios.

Facts from VNTextPatch (MIT, https://github.com/arcusmaximus/VNTranslationTools). A line that begins with `^`,
`@` or a backslash is a command, `％…％` a voice, `【…】` the name of who says the next line, `1,name,text` a
message with its name; any other line is a message. `^select,はい,いいえ` has choices. In a text `[n]` breaks
the line and `[rb,漢字,かな]` is ruby. Shift-JIS, or UTF-16 without a byte-order mark.
"""

import re
from collections.abc import Iterator, Sequence

from dataset_builder.decode import decode
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.engines.branches import Forks
from dataset_builder.lines import other_line, spoken
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Line, Ruby, Scene, Source
from dataset_builder.work import ScriptFile

NAME = "qlie"
TITLE = "Qlie"

_COMMAND = re.compile(rb"^(?:\^[a-z]\w*[,\r\n]|@@|\\[a-z]+,)", re.MULTILINE)
_PLATES = ("【".encode("cp932"), "【".encode("utf-16-le"), "【".encode())
_NAME = re.compile(r"【([^【】]+)】")
_MESSAGE = re.compile(r"\w+,([^,]+),(.+)")
_CODE = re.compile(r"\[(?:rb,([^\[\],]*),([^\[\],]*)|([a-z]\w*)[^\[\]]*)\]")


def sniff(name: str, head: bytes) -> float:
    if not name.lower().endswith(".s"):
        return 0.0
    plate = any(sign in head for sign in _PLATES)
    return 0.9 if plate and _COMMAND.search(head.replace(b"\0", b"")) else 0.0


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    yield from read_each(files, options, losses, lambda file: _read(file, options, losses))


def _read(file: ScriptFile, options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    data = file.read()
    wide = b"\0" in data and data[:2] not in (b"\xff\xfe", b"\xfe\xff")
    text = decode(data, file.name, options.encoding or ("utf-16-le" if wide else None))
    reader = _Reader(file.name, options, losses)
    for number, line in enumerate(text.split("\n"), 1):
        if line := line.strip():
            reader.read(line, Source(file.name, number))
    if reader.scene.lines:
        yield reader.scene


class _Reader:
    """The lines of one scenario."""

    def __init__(self, file: str, options: ReadOptions, losses: Losses) -> None:
        self.scene = Scene(options.work, file, "", language=options.language)
        self._losses = losses
        self._forks = Forks()
        self._name = ""
        self._voice: tuple[str, ...] = ()

    def read(self, line: str, source: Source) -> None:
        if line[0] == "％":
            self._voice = tuple(filter(None, (line.strip("％"),)))
        elif line.startswith("^select,"):
            fork = self._forks.open("")
            for choice in line.split(",")[1:]:
                text = self._plain(choice)[0]
                at = len(self.scene.lines)
                if self._add(other_line(at, "choice", text, choice, source, branch=fork.arm())):
                    self.scene.choices.append(Choice(self.scene.lines[-1].text))
        elif line[0] in "^@\\":
            return
        elif name := _NAME.fullmatch(line):
            self._name = name[1]
        else:
            self._say(line, source)

    def _say(self, line: str, source: Source) -> None:
        message = _MESSAGE.fullmatch(line)
        name, raw = (message[1], message[2]) if message else (self._name, line)
        text, ruby = self._plain(raw)
        self._add(spoken(len(self.scene.lines), name, text, raw, source, ruby=ruby, voice=self._voice))
        self._name, self._voice = "", ()

    def _add(self, line: Line) -> bool:
        if not line.text:
            self._losses.skip("empty text")
            return False
        self.scene.lines.append(line)
        self._losses.emit()
        return True

    def _plain(self, text: str) -> tuple[str, tuple[Ruby, ...]]:
        """The text without codes, and its ruby."""
        if "[" not in text:
            return text, ()
        ruby: list[Ruby] = []

        def printed(match: re.Match[str]) -> str:
            base, over, code = match.groups()
            if code is None:
                if base and over:
                    ruby.append(Ruby(base, over))
                return str(base)
            if code == "n":
                return "\n"
            self._losses.unknown[f"[{code}]"] += 1
            return ""

        return _CODE.sub(printed, text), tuple(ruby)
