"""CatSystem2: compiled scenes, as a small writer here makes them from the documented layout."""

import contextlib
import struct
import zlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import ReadOptions, catsystem2
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Scene
from dataset_builder.work import memory_file

LINE, PARAGRAPH, MESSAGE, NAME, COMMAND, FILE = 0x02, 0x03, 0x20, 0x21, 0x30, 0xF0


def body(*strings: tuple[int, str], encoding: str = "cp932") -> bytes:
    stored = [bytes((1, kind)) + text.encode(encoding) + b"\0" for kind, text in strings]
    addresses = [sum(map(len, stored[:at])) for at in range(len(stored))]
    clears = struct.pack("<ii", 1, 0)
    table = struct.pack(f"<{len(stored)}i", *addresses)
    rest = clears + table + b"".join(stored)
    return struct.pack("<iiii", len(rest), 1, len(clears), len(clears) + len(table)) + rest


def scene(*strings: tuple[int, str], packed: bool = True, encoding: str = "cp932") -> bytes:
    data = body(*strings, encoding=encoding)
    kept = zlib.compress(data) if packed else data
    return b"CatScene" + struct.pack("<ii", len(kept) if packed else 0, len(data)) + kept


def read(data: bytes, losses: Losses | None = None, encoding: str | None = None) -> list[Scene]:
    options = ReadOptions(work="w", encoding=encoding)
    return list(catsystem2.read([memory_file("a.cst", data)], options, losses or Losses()))


@pytest.mark.parametrize("packed", [True, False])
def test_messages_names_ruby_and_choices(packed: bool) -> None:
    losses = Losses()
    (found,) = read(
        scene(
            (FILE, "a.txt"),
            (COMMAND, "bg 0 room"),
            (MESSAGE, "雨が降っている。\\@"),
            (PARAGRAPH, ""),
            (NAME, "灯"),
            (COMMAND, "pcm akari_001"),
            (MESSAGE, "「[灯/あかり]、\\n　"),
            (MESSAGE, "\\fs早く\\fn！」"),
            (LINE, ""),
            (MESSAGE, "\\p"),
            (MESSAGE, "誰も答えない。"),
            (NAME, "？？？"),
            (MESSAGE, "\\$34;[Hello], you\\$34;"),
            (PARAGRAPH, ""),
            (COMMAND, "fselect"),
            (COMMAND, "0 next01 行く"),
            (COMMAND, "1 next02 帰る　まで"),
            (LINE, ""),
            (COMMAND, "#next01"),
            (NAME, "灯＆澪"),
            (MESSAGE, "（あれ？）"),
            (COMMAND, "0 a また"),
            packed=packed,
        ),
        losses,
    )
    assert (found.work, found.file, found.scene) == ("w", "a.cst", "")
    assert [(line.branch, line.kind, line.speaker, line.text) for line in found.lines] == [
        ("", "narration", None, "雨が降っている。"),
        ("", "speech", "灯", "灯、早く！"),
        ("", "narration", None, "誰も答えない。"),
        ("", "speech", "？？？", "Hello, you"),
        ("1.1", "choice", None, "行く"),
        ("1.2", "choice", None, "帰る　まで"),
        ("", "thought", "灯＆澪", "あれ？"),
        ("2.1", "choice", None, "また"),
    ]
    assert [line.index for line in found.lines] == list(range(8))
    assert found.choices == [Choice("行く"), Choice("帰る　まで"), Choice("また")]
    assert [(ruby.base, ruby.text) for ruby in found.lines[1].ruby] == [("灯", "あかり")]
    assert found.lines[1].raw == "「[灯/あかり]、\\n　\\fs早く\\fn！」"
    assert found.lines[6].speakers == ("灯", "澪")
    assert (losses.seen, losses.emitted) == (8, 8)
    assert not losses.unknown


def test_what_is_unknown_or_empty_is_counted() -> None:
    losses = Losses()
    strings = [(MESSAGE, "\\@"), (0x77, "?"), (MESSAGE, "a\\wb \\$1234567; \\$55296;\\'c\\'")]
    (found,) = read(scene(*strings), losses)
    assert [line.text for line in found.lines] == ["ab  'c'"]
    assert losses.skipped == Counter({"empty text": 1})
    assert losses.unknown == Counter({"\\w": 1, "string of type 0x77": 1})


def test_other_encodings() -> None:
    (found,) = read(scene((NAME, "灯"), (MESSAGE, "你好。"), encoding="gbk"), encoding="gbk")
    assert [(line.speaker, line.text) for line in found.lines] == [("灯", "你好。")]
    losses = Losses()
    (found,) = read(scene((MESSAGE, "é"), (LINE, ""), (MESSAGE, "ok"), encoding="latin-1"), losses)
    assert [line.text for line in found.lines] == ["ok"]
    assert losses.skipped == Counter({"not cp932": 1})
    with pytest.raises(ScriptError, match="there is no encoding `klingon`"):
        read(scene((MESSAGE, "x")), encoding="klingon")


def test_a_scene_without_messages_is_left_out() -> None:
    assert read(scene((COMMAND, "bg 0 room"))) == []
    assert read(scene()) == []


def head(packed: int, size: int, rest: bytes) -> bytes:
    return b"CatScene" + struct.pack("<II", packed, size) + rest


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"CatSystem", "no scene of CatSystem2's"),
        (b"CatScene\0\0", "no scene of CatSystem2's"),
        (head(0, 0xFFFFFFFF, b"x" * 20), "claims 4,294,967,295 bytes"),
        (head(4, 0, b"abcd"), "claims 0 bytes"),
        (head(99, 100, b"abcd"), "has 4 bytes of 99"),
        (head(4, 100, b"abcd"), "packed scene is broken"),
        (head(12, 100, zlib.compress(b"abcd")), "has 4 bytes of 100"),
        (head(0, 20, struct.pack("<IIII", 4, 0, 0, 99) + b"abcd"), "tables lie outside"),
        (head(0, 20, struct.pack("<IIII", 9, 0, 0, 0) + b"abcd"), "tables lie outside"),
    ],
)
def test_broken_files_are_one_error(data: bytes, reason: str) -> None:
    with pytest.raises(ScriptError, match=reason):
        read(data)


def test_strings_that_are_nowhere_or_on_top_of_one_another() -> None:
    losses = Losses()
    data = bytearray(scene((MESSAGE, "a"), (LINE, ""), (MESSAGE, "b"), packed=False))
    struct.pack_into("<I", data, 16 + 16 + 8, 99)  # the address of `a`
    (found,) = read(bytes(data), losses)
    assert [line.text for line in found.lines] == ["b"]
    assert losses.skipped == Counter({"no string at its address": 1})
    count = 1000
    rest = struct.pack(f"<{count}I", *([0] * count)) + b"\1\x20" + b"a" * 9 * count
    broken = struct.pack("<IIII", len(rest), 0, 0, 4 * count) + rest
    with pytest.raises(ScriptError, match="on top of one another"):
        read(head(0, len(broken), broken))


def test_its_files_are_told_apart() -> None:
    assert catsystem2.sniff("a.cst", scene()) > 0.9
    assert catsystem2.sniff("a.cst", b"Cat") == 0


GOOD = scene(
    (NAME, "灯"),
    (MESSAGE, "「[灯/あかり]」"),
    (LINE, ""),
    (COMMAND, "0 a はい"),
    (MESSAGE, "雨。"),
    packed=False,
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8), st.integers(0, 80)
)
def test_a_broken_file_gives_scenes_or_one_error(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(GOOD)
    for at, byte in changes:
        data[at] = byte
    losses = Losses()
    with contextlib.suppress(ScriptError):
        scenes = read(bytes(data[: len(data) - cut]), losses)
        assert sum(len(each.lines) for each in scenes) == losses.emitted
        assert all(line.text for each in scenes for line in each.lines)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_scene_gives_lines_or_one_error(data: bytes, packed: bool) -> None:
    kept = zlib.compress(data) if packed else data
    with contextlib.suppress(ScriptError):
        read(head(len(kept) if packed else 0, len(data), kept))
