"""BGI: compiled scripts of version 1, as a small assembler here writes them from the documented layout."""

import contextlib
import struct
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import ReadOptions, bgi
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Scene
from dataset_builder.work import memory_file

MAGIC = b"BurikoCompiledScriptVer1.00\0"
INT, STRING, CALL, END, LINE, MESSAGE, CHOICES = 0, 3, 0x1C, 0x1B, 0x7F, 0x140, 0x160


def script(*words: int | str, encoding: str = "cp932", header: bytes = b"\0" * 8) -> bytes:
    """A file of this code; a text stands for the address of a string, each of which is stored once."""
    texts = {word: b"" for word in words if isinstance(word, str)}
    addresses, at = {}, 4 * len(words)
    for text in texts:
        texts[text] = text.encode(encoding) + b"\0"
        addresses[text] = at
        at += len(texts[text])
    code = struct.pack(f"<{len(words)}i", *(addresses[w] if isinstance(w, str) else w for w in words))
    return MAGIC + struct.pack("<i", 4 + len(header)) + header + code + b"".join(texts.values())


def message(text: str, name: str | None = None, opcode: int = MESSAGE) -> tuple[int | str, ...]:
    return (LINE, 1, 2, *(() if name is None else (STRING, name)), STRING, text, opcode)


def read(data: bytes, losses: Losses | None = None, encoding: str | None = None) -> list[Scene]:
    options = ReadOptions(work="w", encoding=encoding)
    return list(bgi.read([memory_file("01_a", data)], options, losses or Losses()))


def test_messages_names_ruby_and_choices() -> None:
    losses = Losses()
    (scene,) = read(
        script(
            INT, 3, 0x008, 0,  # the operand 3 is no pushed string
            *message("雨が降っている。"),
            *message("「<rあかり>灯</r>、\n　<s36>早く</s>！」", "灯"),
            *message("（眠い……）", "颯太", 0x143),
            *message("「誰？」", "？？？"),
            LINE, 1, 2, STRING, "voice_001", STRING, "_PlayVoice", CALL,
            *message("はい♪", "灯＆澪"),
            *message("　"),
            LINE, 1, 2, STRING, "行く", STRING, "帰る", STRING, "_SelectEx", CALL,
            *message("そして", ""),
            LINE, 1, 2, STRING, "はい", STRING, "", STRING, "いいえ", CHOICES,
            END,
        ),
        losses,
    )  # fmt: skip
    assert (scene.work, scene.file, scene.scene, scene.next) == ("w", "01_a", "", [])
    assert [(line.branch, line.kind, line.speaker, line.text) for line in scene.lines] == [
        ("", "narration", None, "雨が降っている。"),
        ("", "speech", "灯", "灯、早く！"),
        ("", "thought", "颯太", "眠い……"),
        ("", "speech", "？？？", "誰？"),
        ("", "speech", "灯＆澪", "はい♪"),
        ("1.1", "choice", None, "行く"),
        ("1.2", "choice", None, "帰る"),
        ("", "narration", None, "そして"),
        ("2.1", "choice", None, "はい"),
        ("2.3", "choice", None, "いいえ"),
    ]
    assert [line.index for line in scene.lines] == list(range(10))
    assert scene.choices == [Choice("行く"), Choice("帰る"), Choice("はい"), Choice("いいえ")]
    assert [(ruby.base, ruby.text) for ruby in scene.lines[1].ruby] == [("灯", "あかり")]
    assert scene.lines[1].raw == "「<rあかり>灯</r>、\n　<s36>早く</s>！」"
    assert scene.lines[4].speakers == ("灯", "澪")
    assert scene.lines[0].source.path == "code/36"
    assert losses.skipped == Counter({"empty text": 2})
    assert not losses.unknown


def test_other_encodings() -> None:
    (scene,) = read(script(*message("你好。", "灯"), encoding="gbk"), encoding="gbk")
    assert [(line.speaker, line.text) for line in scene.lines] == [("灯", "你好。")]
    with pytest.raises(ScriptError, match="there is no encoding `klingon`"):
        read(script(*message("x")), encoding="klingon")


def test_what_is_no_text_is_counted() -> None:
    losses = Losses()
    data = script(*message("x"), *message("ok", "y"), MESSAGE, 0x7000, END).replace(b"x\0", b"\x81\0")
    (scene,) = read(data, losses)
    assert [line.text for line in scene.lines] == ["ok"]
    assert losses.skipped == Counter({"a message without text": 2})
    assert losses.unknown == Counter({"opcode": 1})


def test_a_script_without_messages_has_no_scene() -> None:
    assert read(script(INT, 1, END)) == []
    assert read(MAGIC + b"\4\0\0\0") == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"BurikoCompiledScriptVer2.00\0" + b"\0" * 40, "version 2.00 of BGI's scripts is not known"),
        (b"DSC FORMAT 1.00\0" + b"\0" * 40, "still packed"),
        (b"\x10\0\1\2", "this is not known"),
        (MAGIC, "its header claims 0 bytes"),
        (MAGIC + b"\xff\xff\xff\x7f", "its header claims 2,147,483,647 bytes"),
        (MAGIC + b"\4\0\0\0" + bytes(range(7, 255)) * 4, "its code is not BGI's"),
    ],
)
def test_other_files_are_named(data: bytes, reason: str) -> None:
    with pytest.raises(ScriptError, match=reason):
        read(data)


def test_strings_on_top_of_one_another_are_an_error() -> None:
    count = 2000
    words = [word for each in range(count) for word in (STRING, 12 * count + each, MESSAGE)]
    code = struct.pack(f"<{len(words)}i", *words) + b"a" * 10 * count
    with pytest.raises(ScriptError, match="on top of one another"):
        read(MAGIC + struct.pack("<i", 4) + code)


def test_its_files_are_told_apart() -> None:
    assert bgi.sniff("01_a", script(END)) > 0.9
    assert bgi.sniff("01_a", b"DSC FORMAT 1.00\0") == 0
    assert bgi.sniff("a._bp", b"Buriko") == 0


GOOD = script(*message("「はい」", "灯"), STRING, "行く", STRING, "_SelectEx", CALL, *message("雨。"), END)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8), st.integers(0, 200)
)
def test_a_broken_file_gives_scenes_or_one_error(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(GOOD)
    for at, byte in changes:
        data[at] = byte
    losses = Losses()
    with contextlib.suppress(ScriptError):
        scenes = read(bytes(data[: len(data) - cut]), losses)
        assert sum(len(scene.lines) for scene in scenes) == losses.emitted
        assert all(line.text for scene in scenes for line in scene.lines)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_code_gives_scenes_or_one_error(code: bytes) -> None:
    with contextlib.suppress(ScriptError):
        read(MAGIC + b"\4\0\0\0" + code)
