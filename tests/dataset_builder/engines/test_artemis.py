"""Artemis: `.ast` scripts of both versions, and the tables of Lua that they are."""

import contextlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import ReadOptions, artemis
from dataset_builder.engines.lua_table import Table, Word, read_lua
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Scene
from dataset_builder.work import memory_file

V2 = """
astver=2.0
astname = "ast"
ast = {
  block_00000 = {
    {"bg", file="room", time=0},
    text = {
      vo = { {"vo", ch="kot", file="kot_001"} },
      ja = {
        {
          name = {"虎鉄","少年"},
          "「おはよう、",
          {"rt2"},
          {"ruby", text="あかり"}, "灯", {"/ruby"},
          {"font", size=30}, "さん！」",
        },
      },
      en = { { name={"Kotetsu"}, "\\"Good morning,", {"rt2"}, "Akari!\\"" } },
      cn = { { name={"虎铁"}, "「早上好，灯！」" } },
    },
    linknext = "block_00001", -- what follows
    line = -12,
  },
  block_00001 = { text = { ja = { { "雨が降っている。" } }, en = { { "" } } }, linknext="block_00002" },
  block_00002 = {
    select = { ja = { "行く", "帰る" }, en = { "Go", "Go home" } },
    { "select" },
  },
  block_00003 = { text = { ja = { { name={"？？？"}, "（誰……？）" }, { {"rt2"} } } } },
  ["label"] = { top = { block="block_00000", label=1 } },
}
"""
V1 = """
ast = {
  text = {
    ["1"] = { name = { name="灯", file='a' }, { "「はい", {"rt2"}, "どうぞ」" }, },
    text_2 = { select = { "はい", "いいえ" } },
    text_3 = { { 'it\\'s \\65\\n"x"' } };
    text_4 = 5,
  },
}
"""


def read(text: str, losses: Losses | None = None, language: str = "") -> list[Scene]:
    options = ReadOptions(work="w", language=language)
    return list(artemis.read([memory_file("a.ast", text.encode())], options, losses or Losses()))


def test_blocks_of_version_2_with_translations() -> None:
    losses = Losses()
    (scene,) = read(V2, losses)
    assert (scene.work, scene.file, scene.scene, scene.language) == ("w", "a.ast", "", "ja")
    assert [(line.branch, line.kind, line.speaker, line.display_name, line.text) for line in scene.lines] == [
        ("", "speech", "虎鉄", "少年", "おはよう、灯さん！"),
        ("", "narration", None, None, "雨が降っている。"),
        ("1.1", "choice", None, None, "行く"),
        ("1.2", "choice", None, None, "帰る"),
        ("", "thought", "？？？", "？？？", "誰……？"),
    ]
    assert [line.translations for line in scene.lines] == [
        {"en": "Good morning, Akari!", "zh": "早上好，灯！"},
        {},
        {"en": "Go"},
        {"en": "Go home"},
        {},
    ]
    assert scene.lines[0].voice == ("kot_001",)
    assert [(ruby.base, ruby.text) for ruby in scene.lines[0].ruby] == [("灯", "あかり")]
    assert scene.lines[4].source.path == "ast/block_00003/text/ja/0"
    assert scene.choices == [Choice("行く"), Choice("帰る")]
    assert [line.index for line in scene.lines] == list(range(5))
    assert losses.skipped == Counter({"empty text": 1})


def test_another_language_may_be_the_original() -> None:
    (scene,) = read(V2, language="en")
    first = scene.lines[0]
    assert (first.speaker, first.text) == ("Kotetsu", "Good morning, Akari!")
    assert first.translations == {"ja": "おはよう、灯さん！", "zh": "早上好，灯！"}
    assert [line.text for line in scene.lines[1:]] == ["Go", "Go home", "誰……？"]


def test_messages_of_version_1() -> None:
    (scene,) = read(V1)
    assert [(line.branch, line.kind, line.speaker, line.text) for line in scene.lines] == [
        ("", "speech", "灯", "はいどうぞ"),
        ("1.1", "choice", None, "はい"),
        ("1.2", "choice", None, "いいえ"),
        ("", "narration", None, 'it\'s A "x"'),
    ]


def test_tables_of_lua() -> None:
    root = read_lua(
        "a = { 1, 'x', \"y\\tz\", b = true, ['c d'] = {}, [3] = -2.5e3, {}; }\nf = nil -- end", "a"
    )
    table = root.table("a")
    assert table.items == [Word("1"), "x", "y\tz", Table()]
    assert table.fields == {"b": Word("true"), "c d": Table(), "3": Word("-2.5e3")}
    assert table.texts() == ["x", "y\tz"]
    assert root.fields["f"] == Word("nil")
    assert root.table("nothing") == Table()


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("ast = {\n a = {", 2, "a table is never closed"),
        ("ast = {}\n}", 2, "a `}` closes nothing"),
        ("ast = {\n ?", 2, "no table of Lua's"),
        ('ast = { "abc', 1, "no table of Lua's"),
        ("ast = " + "{" * 200, 1, "more than 100 deep"),
        ("return f(x)", 1, "no table of Lua's"),
    ],
)
def test_what_is_no_table_is_one_error(text: str, line: int, reason: str) -> None:
    with pytest.raises(ScriptError, match=reason) as caught:
        read(text)
    assert caught.value.line == line


def test_tables_of_other_shapes_say_nothing() -> None:
    for odd in (
        "",
        "ast = 1",
        "astver=2.0 ast={a={text=1,select={ja=3}}, b={text={ja={1,{{}}}}}}",
        "ast={text={a={1}}}",
    ):
        losses = Losses()
        assert read(odd, losses) == []
        assert losses.emitted == 0


def test_its_files_are_told_apart() -> None:
    assert artemis.sniff("a.AST", V2.encode()) > 0.9
    assert artemis.sniff("a.ast", b"\xef\xbb\xbfast = {\n") > 0.9
    assert artemis.sniff("a.ast", b"other") == 0
    assert artemis.sniff("a.lua", V2.encode()) == 0


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([*V2.split("\n"), *'{}[]=",;\\-', "ja", "text", "\n"]), max_size=40).map(
        "\n".join
    )
)
def test_any_text_gives_scenes_or_one_error(text: str) -> None:
    losses = Losses()
    with contextlib.suppress(ScriptError):
        scenes = read(text, losses)
        assert sum(len(scene.lines) for scene in scenes) == losses.emitted
        assert all(line.text for scene in scenes for line in scene.lines)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(V2) - 1), st.text(max_size=4))
def test_a_broken_file_gives_scenes_or_one_error(at: int, instead: str) -> None:
    with contextlib.suppress(ScriptError):
        list(read(V2[:at] + instead.encode("utf-8", "replace").decode() + V2[at + 1 :]))
