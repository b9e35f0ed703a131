"""Gettext's PO files, as msg-tool and others write scripts.

::

    # NAME: 灯
    msgctxt "1"
    msgid "「おはよう」"
    msgstr "「早上好」"

`msgctxt` only tells equal texts apart. The header's `Language` is that of the translations. The format:
https://www.gnu.org/software/gettext/manual/html_node/PO-Files.html
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dataset_builder.decode import decode
from dataset_builder.dumps import dump_line, head_text, second_language
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.report import Losses
from dataset_builder.schema import Scene, Source
from dataset_builder.work import ScriptFile

NAME = "po"
TITLE = "Gettext PO"

_HEAD = re.compile(r'^msgid[ \t]+"', re.MULTILINE)
_KEYWORD = re.compile(r'(msgid_plural|msgid|msgstr|msgctxt)(?:\[([0-9]{1,3})\])?[ \t]*(?=")')
_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*+)"[ \t]*')
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))")
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_LANGUAGE = re.compile(r"^Language:[ \t]*([A-Za-z]{2,3})(?:[_-]([A-Za-z]{2,4}))?", re.MULTILINE)
_TRADITIONAL = frozenset(("TW", "HK", "MO", "HANT"))


def sniff(name: str, head: bytes) -> float:
    if _HEAD.search(head_text(head)) is None:
        return 0.0
    return 0.95 if name.lower().endswith((".po", ".pot")) else 0.6


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    return read_each(files, options, losses, lambda file: _read(file, options, losses))


class _Message(NamedTuple):
    line: int
    name: str
    original: str
    translation: str


@dataclass(slots=True)
class _Entry:
    """An entry while it is read; strings come in pieces."""

    line: int = 0  # of its `msgid`
    name: str = ""
    original: list[str] | None = None  # None: no `msgid` yet
    translation: list[str] = field(default_factory=list)
    fuzzy: bool = False
    broken: bool = False

    def message(self, file: str, losses: Losses) -> Iterator[_Message]:
        """One, or none where there is no entry or a broken one. A fuzzy translation is another text's."""
        if self.broken:
            losses.skip("broken record")
            losses.warn(f"{file}, line {self.line}", "no entry of a PO file")
        elif self.original is not None:
            original, translation = "".join(self.original), "".join(self.translation)
            yield _Message(
                self.line, self.name, original, translation if not self.fuzzy or not original else ""
            )


def _read(file: ScriptFile, options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    messages = list(_messages(decode(file.read(), file.name, options.encoding), file.name, losses))
    language = options.translation
    if messages and not messages[0].original:
        language = language or _language(messages.pop(0).translation)
    language = language or second_language((each.original, each.translation) for each in messages)
    scene = Scene(options.work, file.name, "", language=options.language)
    for message in messages:
        line = dump_line(
            len(scene.lines),
            message.name,
            message.original,
            {language: message.translation},
            Source(file.name, message.line),
            losses,
        )
        if line is not None:
            scene.lines.append(line)
    losses.emit(len(scene.lines))
    if scene.lines:
        yield scene


def _language(header: str) -> str:
    """The BCP 47 tag of the header's `Language: zh_TW`; "" if it says none."""
    match = _LANGUAGE.search(header)
    if match is None:
        return ""
    language = match[1].lower()
    return "zh-Hant" if language == "zh" and (match[2] or "").upper() in _TRADITIONAL else language


def _messages(text: str, file: str, losses: Losses) -> Iterator[_Message]:
    """An entry ends where comments, a `msgctxt` or a `msgid` begin the next one; empty lines say nothing."""
    entry = _Entry()
    part = ""  # the keyword whose string goes on
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line:
            continue
        keyword = _KEYWORD.match(line)
        begins = line[0] == "#" or (keyword is not None and keyword[1] in ("msgid", "msgctxt"))
        if begins and part not in ("", "msgctxt"):
            yield from entry.message(file, losses)
            entry, part = _Entry(), ""
        if line[0] == "#":
            if line.startswith("#~ msgid "):
                losses.skip("obsolete entry")
            elif line.startswith("# NAME:"):
                entry.name = line.removeprefix("# NAME:").strip()
            elif line.startswith("#,") and "fuzzy" in line:
                entry.fuzzy = True
            continue
        if keyword is not None:
            part = keyword[1] + (keyword[2] or "").lstrip("0")  # of plurals the first form counts
            if part == "msgid":
                entry.line, entry.original = number, []
        string = _STRING.fullmatch(line, keyword.end() if keyword else 0)
        if string is None or not part:
            entry.broken = True
            entry.line = entry.line or number
            continue
        said = _ESCAPE.sub(_unescaped, string[1]) if "\\" in string[1] else string[1]
        if part == "msgid" and entry.original is not None:
            entry.original.append(said)
        elif part == "msgstr":
            entry.translation.append(said)
    yield from entry.message(file, losses)


def _unescaped(escape: re.Match[str]) -> str:
    octal, hexadecimal, letter = escape.groups()
    if letter is not None:
        return _LETTERS.get(letter, letter)
    return chr(int(octal, 8) if octal else int(hexadecimal, 16))
