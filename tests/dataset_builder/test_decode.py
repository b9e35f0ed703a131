"""Old encodings are told apart, and KiriKiri's crypt is undone."""

import contextlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.decode import decode
from dataset_builder.errors import ScriptError

JAPANESE = "「今日はとても寒いですね」\n彼女は窓の外を見ながら、そう言った。\n" * 3
SIMPLIFIED = "“今天真冷啊。”\n她看着窗外，这么说道。我不知道该怎么回答她才好。\n" * 3
TRADITIONAL = "「今天真冷啊。」\n她看著窗外，這麼說道。我不知道該怎麼回答她才好。\n" * 3


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (JAPANESE, "utf-8"), (JAPANESE, "utf-8-sig"), (JAPANESE, "utf-16"), (JAPANESE, "cp932"),
        (SIMPLIFIED, "gbk"), (SIMPLIFIED, "utf-16"), (TRADITIONAL, "big5"), ("plain ASCII\n", "ascii"),
    ],
)  # fmt: skip
def test_an_encoding_is_found_out(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding), "a.ks") == text


def test_line_ends_become_one() -> None:
    assert decode(b"a\r\nb\rc\n", "a.txt") == "a\nb\nc\n"


def crypt(text: str, mode: int) -> bytes:
    units = struct.unpack(f"<{len(text.encode('utf-16-le')) // 2}H", text.encode("utf-16-le"))
    head = b"\xfe\xfe" + bytes([mode]) + b"\xff\xfe"
    if mode == 0:
        # Its own inverse: the high byte is changed by the low one, which loses its last bit to a flip only.
        done = [c ^ (((c & 0xFE) << 8) ^ 1) if c >= 0x20 else c for c in units]
    elif mode == 1:
        done = [((c & 0xAAAA) >> 1) | ((c & 0x5555) << 1) for c in units]
    else:
        packed = zlib.compress(text.encode("utf-16-le"))
        return head + struct.pack("<qq", len(packed), len(text.encode("utf-16-le"))) + packed
    return head + struct.pack(f"<{len(done)}H", *(c & 0xFFFF for c in done))


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_kirikiris_crypt(mode: int) -> None:
    assert decode(crypt(JAPANESE, mode), "a.ks") == JAPANESE


@pytest.mark.parametrize("data", [b"\xfe\xfe\x02\xff\xfe" + b"\xff" * 40, b"\xfe\xfe\x07\xff\xfeab"])
def test_a_broken_crypt_is_one_error(data: bytes) -> None:
    with pytest.raises(ScriptError, match=r"`a\.ks`"):
        decode(data, "a.ks")


def test_a_wrong_encoding_names_the_line() -> None:
    with pytest.raises(ScriptError) as caught:
        decode("あ\nい".encode() + b"\n\xff\xff", "a.ks", "utf-8")
    assert caught.value.line == 3
    with pytest.raises(ScriptError, match="there is no encoding"):
        decode(b"a", "a.ks", "klingon")


@given(st.binary(max_size=300))
def test_any_bytes_are_text_or_one_error(data: bytes) -> None:
    with contextlib.suppress(ScriptError):
        assert "\r" not in decode(data, "x")
