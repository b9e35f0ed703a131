"""KiriKiri's XP3 archives that nobody has locked.

Facts: krkrz's XP3Archive; all numbers are little-endian. Behind the magic stands where the index begins: a
byte of flags, sizes, then chunks, perhaps packed. A `File` chunk holds `info` (flags, sizes, a name in
UTF-16), `segm` (where its pieces are) and `adlr` (Adler-32 of what they say). Games encrypt their files each
in its own way, of which krkrz knows nothing: a flag may tell it, and else the checksum does.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest
from struct import Struct

from dataset_builder.archives.zip import safe_name
from dataset_builder.errors import ProtectedScript, ScriptError
from dataset_builder.work import ScriptFile

NAME = "xp3"
MAGIC = b"XP3\r\n \n\x1a\x8b\x67\x01"
LIMIT = 256 * 2**20  # bytes of one member: more is no script
INDEX_LIMIT = 64 * 2**20
MEMBERS = 200_000
_SAMPLE = 2**20  # bytes: a member up to this size shows whether files are encrypted
_PROTECTED = 0x80000000
_CHUNK = Struct("<4sQ")  # name, size
_INFO = Struct("<IQQH")  # flags, size, size in the archive, letters of the name
_SEGMENT = Struct("<IQQQ")  # flags, place, size, size in the archive
_NO_LETTERS = re.compile(r"[\x00-\x1f:]")  # control characters, and the colon of a drive


def sniff(head: bytes) -> bool:
    return head.startswith(MAGIC)


def members(file: ScriptFile) -> Iterator[ScriptFile]:
    """Its files, `<archive>/<name>`; the archive stays in memory while they are used.

    Raises `ScriptError` for a broken archive, `ProtectedScript` for one whose files or index are encrypted.
    """
    archive = file.read()
    found = list(_members(archive, _index(archive, file.name), file.name))
    if _is_encrypted(found):
        raise ProtectedScript(file.name, "an XP3 whose files are encrypted")
    for member in found:
        yield ScriptFile(member.name, member.size, member.load, member.peek)


@dataclass(frozen=True, slots=True)
class _Member:
    archive: bytes
    archive_name: str
    inner_name: str
    size: int
    checksum: int  # 0: none
    segments: tuple[tuple[int, int, int, int], ...]  # flags, place, size, size in the archive

    @property
    def name(self) -> str:
        return f"{self.archive_name}/{self.inner_name}"

    def load(self) -> bytes:
        if self.size > LIMIT:
            raise ScriptError(self.name, 0, f"{self.size:,} bytes are too many for a script")
        content = self._first(self.size)
        if self.checksum and zlib.adler32(content) != self.checksum:
            raise ScriptError(self.name, 0, "its checksum is wrong: it is encrypted or broken")
        return content

    def peek(self, count: int) -> bytes:
        """The first bytes, none of a broken file: `load` says what is wrong with it."""
        try:
            return self._first(min(count, self.size))
        except ScriptError:
            return b""

    def is_sound(self) -> bool:
        try:
            return bool(self.load())
        except ScriptError:
            return False

    def _first(self, count: int) -> bytes:
        pieces: list[bytes] = []
        for flags, place, size, packed_size in self.segments:
            wanted = min(size, count)
            if not wanted:
                continue
            packed = memoryview(self.archive)[place : place + packed_size]
            if flags & 7:
                try:
                    piece = zlib.decompressobj().decompress(packed, wanted)
                except zlib.error as error:
                    raise ScriptError(self.name, 0, f"a piece of it cannot be unpacked: {error}") from error
            else:
                piece = bytes(packed[:wanted])
            if len(piece) < wanted:
                raise ScriptError(self.name, 0, "it is cut off")
            pieces.append(piece)
            count -= wanted
        if count:
            raise ScriptError(self.name, 0, "pieces of it are missing")
        return b"".join(pieces)


def _is_encrypted(found: list[_Member]) -> bool:
    """Whether the smallest files that have a checksum say something else than was put in."""
    known = (each for each in found if each.checksum and 0 < each.size <= _SAMPLE)
    samples = nsmallest(3, known, key=lambda each: each.size)
    return bool(samples) and not any(each.is_sound() for each in samples)


def _index(archive: bytes, name: str) -> bytes:
    """The index, unpacked and in one piece; each part says where the next one is."""
    parts: list[bytes] = []
    size, at, seen = 0, len(MAGIC), set[int]()
    while True:
        place = int.from_bytes(archive[at : at + 8], "little")
        if len(archive) < at + 8 or len(archive) < place + 9 or place in seen:
            raise ScriptError(name, 0, "a broken XP3: its index is cut off")
        seen.add(place)
        flags = archive[place]
        stored = int.from_bytes(archive[place + 1 : place + 9], "little")
        begin = place + (17 if flags & 7 else 9)
        real = int.from_bytes(archive[place + 9 : place + 17], "little") if flags & 7 else stored
        at = begin + stored
        size += real
        if at > len(archive) or size > INDEX_LIMIT:
            raise ScriptError(name, 0, "a broken XP3: its index is cut off, or too large")
        if flags & 7 > 1:
            raise ProtectedScript(name, f"an XP3 with an index of the unknown kind {flags & 7}")
        part = archive[begin:at]
        if flags & 7:
            try:
                part = zlib.decompressobj().decompress(part, real + 1)
            except zlib.error as error:
                raise ProtectedScript(name, "an XP3 with an encrypted index") from error
        if len(part) != real:
            raise ScriptError(name, 0, "a broken XP3: its index is of another size")
        parts.append(part)
        if not flags & 0x80:
            return b"".join(parts)


def _members(archive: bytes, index: bytes, archive_name: str) -> Iterator[_Member]:
    """What the index lists. Of two files with one name the first is meant."""
    names: set[str] = set()
    for tag, begin, end in _chunks(index, 0, len(index), archive_name):
        if tag != b"File":
            if not names:
                raise _own_index(archive_name, tag)
            continue
        parts = {tag: index[start:stop] for tag, start, stop in _chunks(index, begin, end, archive_name)}
        info, segments, checksum = parts.get(b"info", b""), parts.get(b"segm", b""), parts.get(b"adlr", b"")
        if len(info) < _INFO.size or len(segments) % _SEGMENT.size:
            raise ScriptError(archive_name, 0, "a broken XP3: a file without a name or a place")
        flags, size, _, letters = _INFO.unpack_from(info)
        if flags & _PROTECTED:
            raise ProtectedScript(archive_name, "an XP3 whose files are marked as protected")
        written = info[_INFO.size : _INFO.size + 2 * letters].decode("utf-16-le", "replace")
        name = safe_name(_NO_LETTERS.sub("", written)) or f"file {len(names)}"
        if name in names:
            continue
        if len(names) == MEMBERS:
            raise ScriptError(archive_name, 0, f"it holds more than {MEMBERS:,} files, which is too many")
        names.add(name)
        yield _Member(
            archive,
            archive_name,
            name,
            size,
            int.from_bytes(checksum[:4], "little"),
            tuple(_SEGMENT.iter_unpack(segments)),
        )


def _chunks(data: bytes, at: int, end: int, archive_name: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin and end of each chunk between two places."""
    while at < end:
        if at + _CHUNK.size > end:
            raise ScriptError(archive_name, 0, "a broken XP3: its index is cut off")
        tag, size = _CHUNK.unpack_from(data, at)
        at += _CHUNK.size
        if size > end - at:
            raise _own_index(archive_name, tag)
        yield tag, at, at + size
        at += size


def _own_index(archive_name: str, tag: bytes) -> ProtectedScript:
    shown = tag.decode() if tag.isalnum() else tag.hex()
    return ProtectedScript(archive_name, f"an XP3 with an index of its own, `{shown}`")
