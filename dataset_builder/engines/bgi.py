"""BGI, also called Ethornell: compiled scripts of version 1.

Facts from VNTextPatch's disassembler (MIT, https://github.com/arcusmaximus/VNTranslationTools). A file is the
magic, an i32 size of the header (which counts itself), the code, and behind it the strings, each closed by a
zero byte. The code is a row of i32: opcodes and their operands; a string's address counts from the code's
start. Strings are pushed on a stack, from which messages and choices take them. Numbers are little-endian.
"""

import re
import sys
from array import array
from collections.abc import Iterator, Sequence

from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.engines.branches import Forks
from dataset_builder.errors import ScriptError
from dataset_builder.lines import other_line, spoken
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Ruby, Scene, Source
from dataset_builder.work import ScriptFile

NAME = "bgi"
TITLE = "BGI/Ethornell"

_FAMILY = b"BurikoCompiledScriptVer"
_MAGIC = b"BurikoCompiledScriptVer1.00\0"
_VERSION = re.compile(re.escape(_FAMILY) + rb"(\d{1,3}\.\d{1,3})\0")
_PACKED = b"DSC FORMAT 1.00\0"
_PUSH_STRING, _CALL = 0x0003, 0x001C
_MESSAGES = frozenset((0x0140, 0x0143))
_CHOICES = 0x0160
_SELECT = "_SelectEx"  # a function of the games' own library that does what `_CHOICES` does
_FORGET = frozenset((0x007E, 0x007F, 0x00FE))  # a new line of the source: what is on the stack is used up
# Operands by opcode; all others have none.
_OPERANDS = {
    0x0000: 1, 0x0001: 1, 0x0002: 1, 0x0003: 1, 0x0008: 1, 0x0009: 1, 0x000A: 1, 0x0017: 1, 0x0019: 1,
    0x003F: 1, 0x007B: 3, 0x007E: 1, 0x007F: 2,
}  # fmt: skip
_LAST = 0x07FF  # opcodes end somewhere before
_CODES = re.compile(r"<r([^<>]{1,40})>([^<>]{1,40})</r>|</?[A-Za-z][^<>]{0,40}>|[\x01-\x09\x0b-\x1f\x7f]")


def sniff(name: str, head: bytes) -> float:
    return 0.99 if head.startswith(_FAMILY) else 0.0


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    yield from read_each(files, options, losses, lambda file: _read(file, options, losses))


def _read(file: ScriptFile, options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    data = file.read()
    if data.startswith(_PACKED):
        raise ScriptError(
            file.name, 0, "it is still packed (`DSC FORMAT 1.00`); unpack it with your own tools"
        )
    if not data.startswith(_MAGIC):
        version = _VERSION.match(data)
        what = f"version {version[1].decode()} of BGI's scripts" if version else "this"
        raise ScriptError(file.name, 0, f"{what} is not known; only version 1.00 is read")
    size = int.from_bytes(data[len(_MAGIC) : len(_MAGIC) + 4], "little")
    start = len(_MAGIC) + size
    if size < 4 or start > len(data):
        raise ScriptError(file.name, 0, f"its header claims {size:,} bytes")
    script = _Script(data[start:], file.name, options, losses)
    script.run()
    if script.scene.lines:
        yield script.scene


class _Script:
    """The code of one file, read from its first word to its first string."""

    def __init__(self, code: bytes, file: str, options: ReadOptions, losses: Losses) -> None:
        self.scene = Scene(options.work, file, "", language=options.language)
        self._code = code
        self._encoding = options.encoding or "cp932"
        self._losses = losses
        self._forks = Forks()
        self._strings: dict[int, str | None] = {}
        self._decoded = 0

    def run(self) -> None:
        """Raises `ScriptError` for what is no code of BGI's."""
        words = array("i", self._code[: len(self._code) // 4 * 4])
        if sys.byteorder == "big":
            words.byteswap()
        stack: list[int] = []
        at, steps, unknown, end = 0, 0, 0, len(words)
        while at < end:
            opcode = words[at]
            steps += 1
            if opcode == _PUSH_STRING and at + 1 < end:
                address = words[at + 1]
                if at * 4 < address < len(self._code):
                    stack.append(address)
                    end = min(end, address // 4)
            elif opcode in _MESSAGES:
                self._message(stack, at * 4)
                stack.clear()
            elif opcode == _CHOICES:
                self._choices(stack, at * 4)
                stack.clear()
            elif opcode == _CALL:
                if stack and self._string(stack.pop()) == _SELECT:
                    self._choices(stack, at * 4)
                    stack.clear()
            elif opcode in _FORGET:
                stack.clear()
            elif not 0 <= opcode <= _LAST:
                unknown += 1
            at += 1 + _OPERANDS.get(opcode, 0)
        if unknown > 8 and unknown * 2 > steps:
            raise ScriptError(
                self.scene.file, 0, "its code is not BGI's: it is encrypted, or of another version"
            )
        if unknown:
            self._losses.unknown["opcode"] += unknown

    def _string(self, address: int) -> str | None:
        """The string at an address of the code; None if it is no text. Raises `ScriptError`."""
        if address not in self._strings:
            end = self._code.find(0, address)
            found = self._code[address : end if end >= 0 else len(self._code)]
            self._decoded += len(found)
            if self._decoded > 2 * len(self._code):
                raise ScriptError(self.scene.file, 0, "its strings lie on top of one another")
            try:
                self._strings[address] = found.decode(self._encoding)
            except UnicodeError:
                self._strings[address] = None
            except LookupError as error:
                raise ScriptError(self.scene.file, 0, f"there is no encoding `{self._encoding}`") from error
        return self._strings[address]

    def _message(self, stack: list[int], at: int) -> None:
        """A message takes its text from the stack, and below it the name, if there is one."""
        text = self._string(stack[-1]) if stack else None
        if text is None:
            self._losses.skip("a message without text")
            return
        name = self._string(stack[-2]) if len(stack) > 1 else None
        said, ruby = _plain(text)
        lines = self.scene.lines
        source = Source(self.scene.file, 0, f"code/{at}")
        line = spoken(len(lines), _plain(name or "")[0], said, text, source, ruby=ruby)
        if line.text:
            lines.append(line)
            self._losses.emit()
        else:
            self._losses.skip("empty text")

    def _choices(self, stack: list[int], at: int) -> None:
        """Everything on the stack is a choice. Where one leads is decided by code, and not known."""
        fork = self._forks.open("")
        lines = self.scene.lines
        for address in stack:
            text = self._string(address) or ""
            source = Source(self.scene.file, 0, f"code/{at}")
            line = other_line(len(lines), "choice", _plain(text)[0], text, source, branch=fork.arm())
            if not line.text:
                self._losses.skip("empty text")
                continue
            lines.append(line)
            self.scene.choices.append(Choice(line.text))
            self._losses.emit()


def _plain(text: str) -> tuple[str, tuple[Ruby, ...]]:
    """The text without tags and control characters, and its ruby: `<rかんじ>漢字</r>`."""
    ruby: list[Ruby] = []

    def base(match: re.Match[str]) -> str:
        if match[2] is None:
            return ""
        ruby.append(Ruby(match[2], match[1]))
        return match[2]

    return _CODES.sub(base, text), tuple(ruby)
