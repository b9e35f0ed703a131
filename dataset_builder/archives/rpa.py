"""Ren'Py's archives (facts: renpy/loader.py of Ren'Py 8, MIT).

A line of text at the beginning says where the index is and what its numbers are veiled with:
`RPA-3.0 <offset, 16 hex digits> <key, 8 hex digits>`, or `RPA-2.0 <offset>`. The index is zlib over the
pickle of name -> [(offset ^ key, length ^ key, prefix)], one row for each piece of a file; a prefix is the
beginning of the piece, which is not in the archive then. Games with another header veil more than that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dataset_builder.archives.zip import safe_name
from dataset_builder.engines.renpy_pickle import load, unpack
from dataset_builder.errors import ProtectedScript, ScriptError
from dataset_builder.work import ScriptFile

NAME = "rpa"
PIECES = 200_000  # of all files

_KINDS = (b"RPA-", b"ALT-1.0", b"ZiX-12")
_HEADER = 128  # bytes in which its first line ends


def sniff(head: bytes) -> bool:
    return head.startswith(_KINDS)


def members(file: ScriptFile) -> Iterator[ScriptFile]:
    """Its files, sorted by name; the archive stays in memory while they are used.

    Raises `ScriptError` for a broken archive, `ProtectedScript` for a kind that only its game opens.
    """
    archive = file.read()
    offset, key = _header(archive, file.name)
    index = load(unpack(archive[offset:], file.name), file.name)
    if not isinstance(index, dict) or not all(isinstance(rows, list) for rows in index.values()):
        raise ScriptError(file.name, 0, "its index lists no files")
    if sum(map(len, index.values())) > PIECES:
        raise ScriptError(file.name, 0, f"its files have more than {PIECES:,} pieces")
    left = len(archive)
    for name, rows in sorted(index.items()):
        member = _Member(archive, tuple(_pieces(rows, key, len(archive), file.name)))
        left -= member.size
        if left < 0:
            raise ScriptError(file.name, 0, "its files together are larger than the archive")
        yield ScriptFile(f"{file.name}/{safe_name(name)}", member.size, member.load, member.peek)


def _header(archive: bytes, name: str) -> tuple[int, int]:
    """Where the index is, and the key of its numbers."""
    words = archive[:_HEADER].partition(b"\n")[0].split()
    kind = words[0] if words else b""
    if kind not in (b"RPA-2.0", b"RPA-3.0"):
        raise ProtectedScript(name, f"an archive of the kind {kind[:12].decode('ascii', 'replace')}")
    try:
        offset, *keys = (int(word, 16) for word in words[1:])
    except ValueError as error:
        raise ScriptError(name, 0, "its header is broken") from error
    if offset < 0:
        raise ScriptError(name, 0, "its header is broken")
    key = 0
    for part in keys if kind == b"RPA-3.0" else ():
        key ^= part
    return offset, key


def _pieces(rows: list[Any], key: int, size: int, name: str) -> Iterator[tuple[bytes, int, int]]:
    """Prefix, start and end of each piece of a file."""
    for row in rows:
        match row:
            case (int(start), int(length)):
                prefix = b""
            case (int(start), int(length), bytes(prefix)):
                pass
            case (int(start), int(length), str(text)):
                prefix = text.encode("latin-1", "replace")
            case _:
                raise ScriptError(name, 0, "its index is broken")
        start ^= key
        end = start + (length ^ key) - len(prefix)
        if not 0 <= start <= end <= size:
            raise ScriptError(name, 0, "a file of its index lies outside")
        yield prefix, start, end


@dataclass(frozen=True, slots=True)
class _Member:
    archive: bytes
    pieces: tuple[tuple[bytes, int, int], ...]

    @property
    def size(self) -> int:
        return sum(len(prefix) + end - start for prefix, start, end in self.pieces)

    def load(self) -> bytes:
        return self.peek(self.size)

    def peek(self, count: int) -> bytes:
        found: list[bytes] = []
        left = count
        for prefix, start, end in self.pieces:
            found += prefix, self.archive[start : min(end, start + left)]
            left -= len(prefix) + end - start
            if left <= 0:
                break
        return b"".join(found)[:count]
