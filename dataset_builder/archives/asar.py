"""Electron's ASAR archives, in which packed TyranoScript games keep their scenarios: `resources/app.asar`.

Facts: https://github.com/electron/asar. Four little-endian u32 (4, bytes of the header, of its payload, of
the JSON in it), the JSON, then the files one after another as they are. The JSON is a tree: a folder has
`files`, a file `size` and `offset`, a decimal string that counts from the header's end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Any

import orjson

from dataset_builder.archives.zip import safe_name
from dataset_builder.errors import ScriptError
from dataset_builder.work import ScriptFile

NAME = "asar"
HEADER_LIMIT = 64 * 2**20  # bytes
MEMBERS = 200_000
_SIZES = Struct("<4I")
_DIGITS = 15  # of an offset: no archive is larger


def sniff(head: bytes) -> bool:
    if len(head) < _SIZES.size + 1:
        return False
    four, header, payload, text = _SIZES.unpack_from(head)
    return four == 4 and header == payload + 4 and text <= payload - 4 < text + 4 and head[16:17] == b"{"


def members(file: ScriptFile) -> Iterator[ScriptFile]:
    """Its files, `<archive>/<name>`; the archive stays in memory while they are used. What Electron keeps
    beside it (`app.asar.unpacked/`) is not in it, and links are not followed.

    Raises `ScriptError` for a broken header; a file that lies outside the archive raises it when it is read.
    """
    archive = file.read()
    if not sniff(archive[: _SIZES.size + 1]):
        raise ScriptError(file.name, 0, "it does not begin like an ASAR archive")
    _, header, _, length = _SIZES.unpack_from(archive)
    if length > HEADER_LIMIT:
        raise ScriptError(file.name, 0, f"its header claims {length:,} bytes")
    try:
        tree = orjson.loads(archive[_SIZES.size : _SIZES.size + length])
    except orjson.JSONDecodeError as error:
        raise ScriptError(file.name, 0, f"its header is broken: {error}") from error
    found = sorted(_walk(tree, archive, 8 + header, file.name), key=lambda each: each.name)
    for member in found:
        yield ScriptFile(member.name, member.size, member.load, member.peek)


@dataclass(frozen=True, slots=True)
class _Member:
    archive: bytes
    name: str
    start: int
    size: int

    def load(self) -> bytes:
        if self.start + self.size > len(self.archive):
            raise ScriptError(self.name, 0, "it lies outside the archive, which is cut short or broken")
        return self.archive[self.start : self.start + self.size]

    def peek(self, count: int) -> bytes:
        """The first bytes, as many as there are: `load` says what is wrong."""
        return self.archive[self.start : self.start + min(count, self.size)]


def _walk(tree: Any, archive: bytes, start: int, file: str) -> Iterator[_Member]:
    """The files of the header's tree, whose nodes may be anything."""
    count = 0
    folders: list[tuple[str, Any]] = [("", tree)]
    while folders:
        folder, node = folders.pop()
        entries = node.get("files") if isinstance(node, dict) else None
        if not isinstance(entries, dict):
            raise ScriptError(file, 0, f"its header is broken: `{folder or '/'}` is no folder")
        for name, entry in entries.items():
            path = safe_name(f"{folder}/{name}")
            if not isinstance(entry, dict):
                raise ScriptError(file, 0, f"its header is broken: `{path}` is neither file nor folder")
            if "files" in entry:
                folders.append((path, entry))
            elif path and not entry.get("unpacked") and "link" not in entry:
                count += 1
                if count > MEMBERS:
                    raise ScriptError(file, 0, f"it holds more than {MEMBERS:,} files, which is too many")
                offset, size = _place(entry, path, file)
                yield _Member(archive, f"{file}/{path}", start + offset, size)


def _place(entry: dict[str, Any], path: str, file: str) -> tuple[int, int]:
    """Offset and size of a file."""
    offset, size = entry.get("offset"), entry.get("size")
    if (
        isinstance(offset, str)
        and offset.isascii()
        and offset.isdecimal()
        and len(offset) <= _DIGITS
        and type(size) is int
        and size >= 0
    ):
        return int(offset), size
    raise ScriptError(file, 0, f"its header is broken: where `{path}` is cannot be told")
