"""Cards out of the files people share, well made and not."""

import base64
import contextlib
import json
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.cards import CARD_LIMIT, read_card
from inference.errors import CharacterError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CARD = json.dumps({"name": "Nene", "description": "喜欢花"}, ensure_ascii=False).encode()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture(*chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 6, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 5))
    return SIGNATURE + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def text(keyword: bytes, card: bytes) -> bytes:
    return chunk(b"tEXt", keyword + b"\0" + base64.b64encode(card))


def read(folder: Path, data: bytes, name: str = "card") -> bytes:
    path = folder / name
    path.write_bytes(data)
    return read_card(path)


def test_plain_json(tmp_path: Path) -> None:
    assert read(tmp_path, CARD) == CARD
    assert read(tmp_path, b"\xef\xbb\xbf" + CARD) == CARD  # as Windows' editor saves it


@pytest.mark.parametrize(
    "written",
    [
        text(b"chara", CARD),
        text(b"ccv3", CARD),
        chunk(b"zTXt", b"chara\0\0" + zlib.compress(base64.b64encode(CARD))),
        chunk(b"iTXt", b"chara\0\0\0\0\0" + base64.b64encode(CARD)),
        chunk(b"iTXt", b"ccv3\0\1\0en\0card\0" + zlib.compress(base64.b64encode(CARD))),
        chunk(b"tEXt", b"chara\0" + b"\n".join([base64.b64encode(CARD)[:8], base64.b64encode(CARD)[8:]])),
        chunk(b"tEXt", b"Software\0paint") + chunk(b"iTXt", b"Comment\0\0\0\0\0hi") + text(b"chara", CARD),
    ],
    ids=["tEXt", "V3", "zTXt", "iTXt", "packed iTXt", "broken into lines", "among other texts"],
)
def test_png(tmp_path: Path, written: bytes) -> None:
    assert read(tmp_path, picture(written)) == CARD


def test_v3_is_preferred_wherever_it_stands(tmp_path: Path) -> None:
    old = text(b"chara", b'{"name": "old"}')
    assert read(tmp_path, picture(old, text(b"ccv3", CARD))) == CARD
    assert read(tmp_path, picture(text(b"ccv3", CARD), old)) == CARD


def test_a_card_behind_the_pixels_is_found(tmp_path: Path) -> None:
    whole = picture()
    end = chunk(b"IEND", b"")
    assert read(tmp_path, whole.removesuffix(end) + text(b"chara", CARD) + end) == CARD


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (picture(), "holds no card"),
        (picture(chunk(b"tEXt", b"chara\0not base64!")), "not base64"),
        (picture(chunk(b"tEXt", b"chara\0" + base64.b64encode(CARD)[:-3])), "not base64"),
        (picture(text(b"chara", "{'é'}".encode("latin-1"))), "not UTF-8"),
        (picture(chunk(b"zTXt", b"chara\0\0" + zlib.compress(base64.b64encode(CARD))[:-6])), "cut off"),
        (picture(chunk(b"zTXt", b"chara\0\0" + b"no zlib")), "cannot be unpacked"),
        (picture(text(b"chara", CARD))[:-20], "cut off"),
        (picture(text(b"chara", CARD)).replace(base64.b64encode(CARD)[:4], b"AAAA"), "damaged"),
        (SIGNATURE + struct.pack(">I4s", 2**31, b"IDAT") + b"\0" * 64, "cut off"),
        (SIGNATURE + struct.pack(">I4s", 2**31, b"tEXt") + b"chara\0" + b"A" * 64, "2,147,483,648 bytes"),
        (SIGNATURE + chunk(b"tESt", b"") * 65_537, "chunks"),
        (b"\xff\xd8\xff\xe0 a JPEG", "not a PNG"),
    ],
)
def test_bad_pictures_say_what_is_wrong(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(CharacterError, match=reason) as error:
        read(tmp_path, data)
    assert error.value.path == tmp_path / "card"


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_bomb_in_a_picture_is_refused(tmp_path: Path, kind: bytes) -> None:
    bomb = zlib.compress(b"A" * 64_000_000, 9)
    head = b"chara\0\0" if kind == b"zTXt" else b"chara\0\1\0\0\0"
    assert len(bomb) < 500_000
    with pytest.raises(CharacterError, match="unpacks to more than"):
        read(tmp_path, picture(chunk(kind, head + bomb)))


def test_too_much_json_is_refused(tmp_path: Path) -> None:
    for data in (b" " * (CARD_LIMIT + 1), picture(text(b"chara", b" " * (CARD_LIMIT + 1)))):
        with pytest.raises(CharacterError, match="refused"):
            read(tmp_path, data)


def archive(folder: Path, card: bytes | None = CARD, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    path = folder / "made.charx"
    with zipfile.ZipFile(path, "w", method) as made:
        made.writestr("assets/icon/images/main.png", b"\0" * 100)
        if card is not None:
            made.writestr("card.json", card)
        made.writestr("module.risum", b"x" * 10)
    return path.read_bytes()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_charx(tmp_path: Path, method: int) -> None:
    assert read(tmp_path, archive(tmp_path, method=method)) == CARD


def test_charx_with_a_comment_and_written_as_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "stream.charx"
    with path.open("wb") as raw, zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as made:
        raw.seekable = lambda: False  # type: ignore[method-assign]
        made.comment = b"from a card site"
        made.writestr("card.json", CARD)
    assert read_card(path) == CARD


def test_bad_archives_say_what_is_wrong(tmp_path: Path) -> None:
    whole = archive(tmp_path)
    link = zipfile.ZipInfo("card.json")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.charx", "w") as made:
        made.writestr(link, "/etc/passwd")
    with zipfile.ZipFile(tmp_path / "many.charx", "w") as made:
        for number in range(4097):
            made.writestr(str(number), b"")
    with zipfile.ZipFile(tmp_path / "lzma.charx", "w", zipfile.ZIP_LZMA) as made:
        made.writestr("card.json", CARD)
    with zipfile.ZipFile(tmp_path / "twice.charx", "w") as made:
        made.writestr("card.json", CARD)
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr("card.json", b"{}")
    stored = archive(tmp_path, method=zipfile.ZIP_STORED)
    directory = whole.index(b"PK\x01\x02")
    encrypted = bytearray(archive(tmp_path))
    encrypted[encrypted.index(b"card.json", directory) - 46 + 8] |= 1
    for data, reason in [
        (archive(tmp_path, None), "no `card.json`"),
        (archive(tmp_path, b"\xff\xfe{}"), "not UTF-8"),
        (archive(tmp_path, b" " * 64_000_000), "more than 2,097,152 bytes"),
        (whole[:-30], "cut off"),
        (whole[:40], "cut off"),
        (stored.replace(b"Nene", b"Mene"), "damaged"),
        (whole.replace(b"PK\x01\x02", b"PK\x01\x03"), "damaged"),
        (bytes(encrypted), "encrypted"),
        ((tmp_path / "link.charx").read_bytes(), "a link"),
        ((tmp_path / "many.charx").read_bytes(), "4,096 entries"),
        ((tmp_path / "lzma.charx").read_bytes(), "deflate"),
        ((tmp_path / "twice.charx").read_bytes(), "twice"),
    ]:
        with pytest.raises(CharacterError, match=reason):
            read(tmp_path, data)


def test_an_archive_that_lies_about_its_sizes(tmp_path: Path) -> None:
    """The directory says 100 bytes, the stream holds 64 MB: what counts is what comes out."""
    bomb = bytearray(archive(tmp_path, b" " * 64_000_000))
    size = bomb.rindex(b"card.json") - 46 + 24
    bomb[size : size + 4] = struct.pack("<I", 100)
    with pytest.raises(CharacterError, match="unpacks to more than"):
        read(tmp_path, bytes(bomb))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.png", tmp_path):
        with pytest.raises(CharacterError):
            read_card(path)


@given(
    noise=st.binary(max_size=400),
    kind=st.sampled_from(["", "png", "zip"]),
    at=st.integers(0, 400),
    patch=st.binary(max_size=8),
)
def test_no_bytes_bring_it_down(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, kind: str, at: int, patch: bytes
) -> None:
    folder = tmp_path_factory.mktemp("noise")
    data = {"": noise, "png": picture(text(b"ccv3", CARD)), "zip": archive(folder)}[kind]
    if kind:
        data = data[:at] + patch + data[at + len(patch) :]
    with contextlib.suppress(CharacterError):
        assert len(read(folder, data)) <= CARD_LIMIT
