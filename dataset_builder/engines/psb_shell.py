"""What stands around the values of a PSB file: shells, header and cipher.

Facts: the layouts that FreeMote, psbfile and emote-psb agree on; all numbers are little-endian. A shell is a
packed PSB (or another shell): MDF is `mdf\\0`, the size as u32 and a zlib stream; LZ4 is a plain LZ4 frame.
"""

import zlib
from dataclasses import dataclass
from struct import unpack_from

from dataset_builder.errors import DatasetError, ScriptError

MAGIC = b"PSB\0"
LZ4 = b"\x04\x22\x4d\x18"
LIMIT = 256 * 2**20  # bytes of an unpacked file
SHELLS = 4  # one inside another
_NOT_READ = {b"mfl\0": "MFL", b"mzs\0": "MZS (zstd)", b"mxb\0": "MXB", b"psz\0": "PSZ"}
_HEADER_SIZES = {1: 40, 2: 40, 3: 44, 4: 56}  # by version


@dataclass(frozen=True)
class Header:
    """Where the parts of a file begin."""

    version: int
    names: int
    name_offsets: int  # version 1 alone: where its names are counted
    string_offsets: int
    strings: int
    root: int


def is_shell(head: bytes) -> bool:
    """Whether a file that begins like this is a PSB or a shell around one, even if that is not read."""
    return head[:4] in (MAGIC, LZ4) or head[:4].lower() == b"mdf\0" or head[:4].lower() in _NOT_READ


def unpack(data: bytes, file: str, key: int | None = None) -> tuple[bytes, Header, list[str]]:
    """The PSB without shells and cipher, its header, and what is odd about it. Raises `ScriptError`."""
    odd: list[str] = []
    for _ in range(SHELLS):
        magic = data[:4]
        if magic == MAGIC:
            return *_decrypted(data, file, key, odd), odd
        if magic.lower() == b"mdf\0":
            data = _without_mdf(data, file, odd)
        elif magic == LZ4:
            data = _without_lz4(data, file)
        elif magic.lower() in _NOT_READ:
            raise ScriptError(
                file, 0, f"a PSB in a shell of the kind {_NOT_READ[magic.lower()]}, which is not read"
            )
        else:
            raise ScriptError(file, 0, "it is no PSB file")
    raise ScriptError(file, 0, "a PSB in too many shells")


def _without_mdf(data: bytes, file: str, odd: list[str]) -> bytes:
    size = int.from_bytes(data[4:8], "little")
    if size > LIMIT:
        raise ScriptError(file, 0, f"its MDF shell claims {size:,} bytes")
    stream = zlib.decompressobj()
    try:
        inner = stream.decompress(memoryview(data)[8:], size + 1)
    except zlib.error as error:
        raise ScriptError(file, 0, f"its MDF shell has a key of its own, or is broken: {error}") from error
    if len(inner) > size:
        raise ScriptError(file, 0, f"its MDF shell claims {size:,} bytes and holds more")
    if not stream.eof:
        raise ScriptError(file, 0, "its MDF shell is cut off")
    if len(inner) < size:
        odd.append(f"its MDF shell claims {size:,} bytes and holds {len(inner):,}")
    return inner


def _without_lz4(data: bytes, file: str) -> bytes:
    try:
        from lz4.frame import LZ4FrameDecompressor
    except ImportError as error:
        raise DatasetError(f"`{file}` is packed with LZ4: `pip install lz4` reads it") from error
    frame = LZ4FrameDecompressor()
    try:
        inner: bytes = frame.decompress(data, LIMIT)
    except RuntimeError as error:
        raise ScriptError(file, 0, f"its LZ4 shell is broken: {error}") from error
    if not frame.eof:
        raise ScriptError(file, 0, "its LZ4 shell is cut off, or holds too much")
    return inner


def _decrypted(data: bytes, file: str, key: int | None, odd: list[str]) -> tuple[bytes, Header]:
    """The file in the clear. Byte 6 should say whether it is encrypted, and does not in real files."""
    if len(data) < 40:
        raise ScriptError(file, 0, "it is cut off in its header")
    version: int = unpack_from("<H", data, 4)[0]
    size = _HEADER_SIZES.get(version)
    if size is None:
        raise ScriptError(file, 0, f"PSB version {version} is not known")
    if len(data) < size:
        raise ScriptError(file, 0, "it is cut off in its header")
    stream = Keystream(key) if key is not None else None
    if stream is not None and version >= 3 and not _offsets_are_sound(data, size):
        data = data[:8] + stream.applied(data[8:size]) + data[size:]
    sound = _offsets_are_sound(data, size)
    if stream is not None and sound and not _names_are_sound(data, version):
        names, chunks = _offset(data, 12), _offset(data, 24)
        data = data[:names] + stream.applied(data[names:chunks]) + data[chunks:]
    if not sound and _offset(data, 12) == size:  # the names begin there, so that this is in the clear
        raise ScriptError(file, 0, "it is cut off or broken")
    if not sound or not _names_are_sound(data, version):
        reason = (
            "encrypted, or broken; `--psb-key` gives a key"
            if stream is None
            else "broken, or has another key"
        )
        raise ScriptError(file, 0, f"it is {reason}")
    if version >= 3:
        checksum = zlib.adler32(data[44:56] if version == 4 else b"", zlib.adler32(data[8:40]))
        if checksum != _offset(data, 40):
            odd.append("the checksum of its header is wrong")
    return data, Header(
        version, _offset(data, 12), _offset(data, 8), _offset(data, 16), _offset(data, 20), _offset(data, 36)
    )


def _offset(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _offsets_are_sound(data: bytes, size: int) -> bool:
    """Whether all parts lie between the header and the end.

    The tables of resources are the last of them, also in a file without any, so that one which was cut off is
    told here.
    """
    offsets = unpack_from("<7I", data, 12)
    return bool(size <= min(offsets) and max(offsets) <= len(data))


def _names_are_sound(data: bytes, version: int) -> bool:
    """Whether something like an array of numbers begins where the first one does."""
    at = _offset(data, 8 if version == 1 else 12)
    counted = data[at] - 0x0C if at < len(data) else 0
    return 1 <= counted <= 8 and at + counted + 1 < len(data) and 0x0C <= data[at + counted + 1] <= 0x14


class Keystream:
    """XorShift128 with a key for its last word. Bytes leave a word from its low end until only zeros are left
    of it, so that a word may give fewer than four."""

    def __init__(self, key: int) -> None:
        self._state = (123456789, 362436069, 521288629, key & 0xFFFFFFFF)
        self._left = b""

    def applied(self, data: bytes) -> bytes:
        """`data` encrypted or decrypted, which is the same; the next call goes on from here."""
        x, y, z, w = self._state
        stream = bytearray(self._left)
        while len(stream) < len(data):
            a = x ^ (x << 11 & 0xFFFFFFFF)
            x, y, z = y, z, w
            w = a ^ w ^ ((a ^ (w >> 11)) >> 8)
            stream += w.to_bytes(4, "little").rstrip(b"\0")
        self._state = (x, y, z, w)
        self._left = bytes(stream[len(data) :])
        mask = int.from_bytes(stream[: len(data)], "little")
        return (int.from_bytes(data, "little") ^ mask).to_bytes(len(data), "little")
