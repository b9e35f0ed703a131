"""Musica: messages and choices of `.sc` scripts."""

import contextlib
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import ReadOptions, musica
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Scene
from dataset_builder.work import memory_file

SCRIPT = """.stage * bg01 0 0
.message 100   雨が降っている。
.message\t110\tren-001\t蓮治\t「おはよう、\\n　元気？」
.message 120  @千尋 　（……えっと）
.message 130  ？？？ 「A B」\\a
.message 140 x
.message 150  蓮　治
.select はい:yes いいえ（嘘）:no
.messages 160  a b
.select  そのまま
.end
"""


def read(data: bytes, losses: Losses | None = None) -> list[Scene]:
    options = ReadOptions(work="w", language="ja")
    return list(musica.read([memory_file("a.sc", data)], options, losses or Losses()))


def test_messages_and_choices() -> None:
    losses = Losses()
    (scene,) = read(SCRIPT.encode("cp932"), losses)
    assert (scene.work, scene.file, scene.scene, scene.language) == ("w", "a.sc", "", "ja")
    assert [
        (line.source.line, line.branch, line.kind, line.speaker, line.text, line.voice)
        for line in scene.lines
    ] == [
        (2, "", "narration", None, "雨が降っている。", ()),
        (3, "", "speech", "蓮治", "おはよう、元気？", ("ren-001",)),
        (4, "", "thought", "千尋", "……えっと", ()),
        (5, "", "speech", "？？？", "A B", ()),
        (8, "1.1", "choice", None, "はい", ()),
        (8, "1.2", "choice", None, "いいえ（嘘）", ()),
        (10, "2.1", "choice", None, "そのまま", ()),
    ]
    assert scene.lines[1].raw == "「おはよう、\\n　元気？」"
    assert scene.choices == [Choice("はい"), Choice("いいえ（嘘）"), Choice("そのまま")]
    assert losses.skipped == Counter({"a message without text": 2})
    assert losses.unknown == Counter({"\\a": 1})


def test_its_files_are_told_apart() -> None:
    assert musica.sniff("a.sc", SCRIPT.encode("cp932")) > 0.9
    assert musica.sniff("a.sc", b"object Main extends App") == 0
    assert musica.sniff("a.txt", SCRIPT.encode()) == 0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from([".message ", ".select ", "1", " ", "\t", "\\", ":", "灯", "「", "」", "\n"])
    ).map("".join)
)
def test_any_text_gives_scenes_or_one_error(text: str) -> None:
    losses = Losses()
    with contextlib.suppress(ScriptError):
        scenes = read(text.encode(), losses)
        assert sum(len(scene.lines) for scene in scenes) == losses.emitted
        assert all(line.text for scene in scenes for line in scene.lines)
