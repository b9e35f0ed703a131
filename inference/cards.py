"""Where a card's JSON lies in the files that people share: plain JSON, PNG, CHARX.

These come from strangers, so nothing here trusts a length or a ratio: every read and every inflation has a
limit, and pixels are never decoded. A PNG holds the card as base64 in a text chunk, `ccv3` (V3) or `chara`
(V2); a CHARX is a zip with a `card.json`.
"""

import binascii
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from inference.errors import CharacterError

CARD_LIMIT = 2 * 2**20  # bytes of JSON; a card is a few kilobytes, a larger one is a mistake or an attack
_TEXT_LIMIT = CARD_LIMIT * 3 // 2  # of a PNG text chunk: the same as base64, with some room for its head
_CHUNKS = 65_536
_ENTRIES = 4096
_DIRECTORY_LIMIT = 2**20

_PNG = b"\x89PNG\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_ZIP_END, _ZIP_ENTRY = b"PK\x05\x06", b"PK\x01\x02"


class _Bad(Exception):
    """What is wrong with a card's file; `read_card` says which file."""


def read_card(path: Path) -> bytes:
    """The card's JSON in `path`, for `inference.characters.parse_card`. Raises `CharacterError`."""
    try:
        with path.open("rb") as file:
            data = _json_of(file)
    except OSError as error:
        raise CharacterError(path, error.strerror or str(error)) from error
    except _Bad as error:
        raise CharacterError(path, str(error)) from error
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CharacterError(
            path, f"the card is not UTF-8 at byte {error.start:,}; save it as UTF-8"
        ) from error
    return data.removeprefix(b"\xef\xbb\xbf")


def _json_of(file: BinaryIO) -> bytes:
    head = file.read(len(_PNG))
    if head == _PNG:
        return _from_png(file)
    if head.startswith((_ZIP, _ZIP_END)):
        return _from_zip(file)
    data = head + file.read(CARD_LIMIT)
    if len(data) > CARD_LIMIT:
        raise _Bad(f"the card has more than {CARD_LIMIT:,} bytes, which is refused")
    if data.startswith((b"\xff\xd8\xff", b"RIFF", b"GIF8")):
        raise _Bad(
            "this picture is not a PNG, and only a PNG can hold a card; sites often convert what they show"
        )
    return data


def _from_png(file: BinaryIO) -> bytes:
    found: dict[bytes, bytes] = {}
    for kind, data in _text_chunks(file):
        keyword, zero, rest = data.partition(b"\0")
        if zero and keyword in (b"ccv3", b"chara"):
            found.setdefault(keyword, _text(kind, rest))
    text = found.get(b"ccv3", found.get(b"chara"))
    if text is None:
        raise _Bad("the picture holds no card; it may have been lost when the picture was saved again")
    try:
        data = binascii.a2b_base64(b"".join(text.split()), strict_mode=True)
    except binascii.Error as error:
        raise _Bad(f"the card in the picture is not base64: {error}") from error
    return _not_too_long(data)


def _text_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Each text chunk up to the picture's end; everything else is stepped over, not read."""
    for _ in range(_CHUNKS):
        length, kind = struct.unpack(">I4s", _exactly(file, 8))
        if kind == b"IEND":
            return
        text = kind in (b"tEXt", b"zTXt", b"iTXt")
        if text and length <= _TEXT_LIMIT:
            data = _exactly(file, length)
            if zlib.crc32(kind + data) != struct.unpack(">I", _exactly(file, 4))[0]:
                raise _Bad(f"the picture is damaged in its `{kind.decode()}` chunk")
            yield kind, data
            continue
        if text:
            start = _exactly(file, 6)
            if start.startswith((b"ccv3\0", b"chara\0")):
                raise _Bad(f"the card in the picture has {length:,} bytes, which is refused")
            length -= len(start)
        # Seeking does not notice the end of the file; reading the last byte of the checksum does.
        file.seek(length + 3, 1)
        _exactly(file, 1)
    raise _Bad(f"the picture has more than {_CHUNKS:,} chunks, which is refused")


def _text(kind: bytes, rest: bytes) -> bytes:
    """The text of a chunk behind its keyword."""
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _inflate(rest[1:], _TEXT_LIMIT, zlib.MAX_WBITS)
    compressed, rest = rest[:1] == b"\1", rest[2:]
    *_, text = rest.split(b"\0", 2)  # a language and a translated keyword come first
    return _inflate(text, _TEXT_LIMIT, zlib.MAX_WBITS) if compressed else text


def _from_zip(file: BinaryIO) -> bytes:
    """`card.json` of a zip. By hand, since `zipfile` builds an object for each of a million entries before
    we may look."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 65_557))
    tail = file.read()
    at = tail.rfind(_ZIP_END)
    if at < 0 or len(tail) - at < 22:
        raise _Bad("the archive is cut off")
    count, length, offset = struct.unpack_from("<HII", tail, at + 10)
    if count > _ENTRIES or length > _DIRECTORY_LIMIT:
        raise _Bad(f"the archive has more than {_ENTRIES:,} entries, which is refused")
    file.seek(offset)
    directory = _exactly(file, length)
    cards, at = [], 0
    for _ in range(count):
        if directory[at : at + 4] != _ZIP_ENTRY or at + 46 > len(directory):
            raise _Bad("the archive's directory is damaged")
        fields = struct.unpack_from("<4s6H3I5H2I", directory, at)
        name_length, extra_length, comment_length = fields[10:13]
        if directory[at + 46 : at + 46 + name_length] == b"card.json":
            cards.append(fields)
        at += 46 + name_length + extra_length + comment_length
    if len(cards) != 1:
        raise _Bad("the archive holds no `card.json`" if not cards else "the archive holds `card.json` twice")
    return _entry(file, cards[0])


def _entry(file: BinaryIO, fields: tuple[int, ...]) -> bytes:
    flags, method, crc, packed, size = fields[3], fields[4], *fields[7:10]
    if flags & 1:
        raise _Bad("`card.json` in the archive is encrypted")
    if stat.S_ISLNK(fields[15] >> 16):
        raise _Bad("`card.json` in the archive is a link, which is refused")
    if method not in (0, 8):
        raise _Bad("`card.json` in the archive is packed in an unusual way; pack it with deflate")
    if size > CARD_LIMIT or packed > CARD_LIMIT:
        raise _Bad(f"`card.json` in the archive has more than {CARD_LIMIT:,} bytes, which is refused")
    file.seek(fields[16])
    local = _exactly(file, 30)
    name_length, extra_length = struct.unpack_from("<HH", local, 26)
    file.seek(name_length + extra_length, 1)
    data = _exactly(file, packed)
    if method == 8:
        data = _inflate(data, CARD_LIMIT, -zlib.MAX_WBITS)
    if len(data) != size or zlib.crc32(data) != crc:
        raise _Bad("`card.json` in the archive is damaged")
    return data


def _inflate(data: bytes, limit: int, window: int) -> bytes:
    stream = zlib.decompressobj(window)
    try:
        out = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise _Bad("the card cannot be unpacked") from error
    if len(out) > limit:
        raise _Bad(f"the card unpacks to more than {limit:,} bytes, which is refused")
    if not stream.eof:
        raise _Bad("the card is cut off")
    return out


def _not_too_long(data: bytes) -> bytes:
    if len(data) > CARD_LIMIT:
        raise _Bad(f"the card has {len(data):,} bytes, which is refused")
    return data


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise _Bad("the file is cut off")
    return data
