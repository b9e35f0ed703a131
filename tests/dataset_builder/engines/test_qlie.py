"""Qlie: names, voices, messages and choices of `.s` scenarios."""

import contextlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import ReadOptions, qlie
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Scene
from dataset_builder.work import memory_file

SCENARIO = """@@@library\\avg.s
^bg01,file:room
\\jmp,@@next
雨が降っている。

％aka_001％
【灯】
「おはよう、[n]　[rb,颯太,そうた]くん！」
笑っている。
【？？？】
（誰……？）[wait,100]
001,凛,「[笑]うん」
【灯】
【颯太】
「え？」
[n]
^select,行く,帰る,
"""


def read(data: bytes, losses: Losses | None = None, encoding: str | None = None) -> list[Scene]:
    options = ReadOptions(work="w", encoding=encoding)
    return list(qlie.read([memory_file("a.s", data)], options, losses or Losses()))


@pytest.mark.parametrize("encoding", ["cp932", "utf-16-le", "utf-16", "utf-8"])
def test_messages_and_choices(encoding: str) -> None:
    losses = Losses()
    (scene,) = read(SCENARIO.replace("\n", "\r\n").encode(encoding), losses)
    assert (scene.work, scene.file, scene.scene) == ("w", "a.s", "")
    assert [
        (line.source.line, line.branch, line.kind, line.speaker, line.text, line.voice)
        for line in scene.lines
    ] == [
        (4, "", "narration", None, "雨が降っている。", ()),
        (8, "", "speech", "灯", "おはよう、颯太くん！", ("aka_001",)),
        (9, "", "narration", None, "笑っている。", ()),
        (11, "", "thought", "？？？", "誰……？", ()),
        (12, "", "speech", "凛", "[笑]うん", ()),
        (15, "", "speech", "颯太", "え？", ()),
        (17, "1.1", "choice", None, "行く", ()),
        (17, "1.2", "choice", None, "帰る", ()),
    ]
    assert [(ruby.base, ruby.text) for ruby in scene.lines[1].ruby] == [("颯太", "そうた")]
    assert scene.choices == [Choice("行く"), Choice("帰る")]
    assert losses.skipped == Counter({"empty text": 2})
    assert losses.unknown == Counter({"[wait]": 1})


def test_its_files_are_told_apart() -> None:
    for encoding in ("cp932", "utf-16-le", "utf-8"):
        assert qlie.sniff("a.S", SCENARIO.encode(encoding)) > 0.8
    assert qlie.sniff("a.s", b".text\n@@ comment\n^foo,\n") == 0
    assert qlie.sniff("a.s", "【灯】\n「はい」\n".encode("cp932")) == 0
    assert qlie.sniff("a.txt", SCENARIO.encode()) == 0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["【灯】", "^select,", "％a％", "[rb,", "[n]", "]", ",", "\\", "灯", "「", "」", "\n"]
        )
    ).map("".join)
)
def test_any_text_gives_scenes_or_one_error(text: str) -> None:
    losses = Losses()
    with contextlib.suppress(ScriptError):
        scenes = read(text.encode("utf-16-le"), losses)
        assert sum(len(scene.lines) for scene in scenes) == losses.emitted
        assert all(line.text for scene in scenes for line in scene.lines)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_scenes_or_one_error(data: bytes) -> None:
    with contextlib.suppress(ScriptError):
        read(data)
