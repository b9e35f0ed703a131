"""Said, thought or told; by whom; and how a line break is joined."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.lines import clean_name, is_mask, join_breaks, real_name, spoken, together, unwrap
from dataset_builder.schema import Source

HERE = Source("a.ks", 1)


@pytest.mark.parametrize(
    ("raw", "text", "kind"),
    [
        ("「おはよう」", "おはよう", "speech"),
        ("『もしもし』", "もしもし", "speech"),
        ("（眠い……）", "眠い……", "thought"),
        ("「『友達』だよ」", "『友達』だよ", "speech"),
        ("「あ」「い」", "「あ」「い」", "speech"),
        ("「あ」と灯は言った。", "「あ」と灯は言った。", "speech"),
        ("『友達』という言葉が嫌いだ。", "『友達』という言葉が嫌いだ。", None),
        ("雨が降っている。", "雨が降っている。", None),
        ("“你好。”", "你好。", "speech"),
        ('"Hi," he said. "Bye."', '"Hi," he said. "Bye."', "speech"),
        ("「", "「", "speech"),
        ("", "", None),
    ],
)
def test_brackets_around_the_whole_tell_what_it_is(raw: str, text: str, kind: str | None) -> None:
    assert unwrap(raw) == (text, kind)


def test_a_line_is_made_from_its_plate_and_its_brackets() -> None:
    said = spoken(0, "灯（小声）", "「ね、\n　聞いて」", "raw", HERE, display="？？？")
    assert (said.kind, said.speaker, said.display_name, said.speakers) == ("speech", "灯", "？？？", ("灯",))
    assert said.text == "ね、聞いて"
    assert spoken(0, "灯", "（困ったな）", "", HERE).kind == "thought"
    assert spoken(0, "灯", "困ったな", "", HERE).kind == "speech"
    assert spoken(0, None, "雨。", "", HERE).kind == "narration"
    alone = spoken(0, "", "「誰？」", "", HERE)
    assert (alone.kind, alone.speaker, alone.speakers) == ("speech", None, ())
    both = spoken(0, "赤峰空・雨宮", "你好", "", HERE, translations={"ja": "「こんにちは」"})
    assert both.speakers == ("赤峰空・雨宮",)
    assert both.translations == {"ja": "こんにちは"}
    assert spoken(0, "A＆B", "x", "", HERE).speakers == ("A", "B")


def test_names() -> None:
    assert clean_name("　【灯】： ") == "灯"
    assert real_name("灯（小声）") == "灯"
    assert real_name("（灯）") == "（灯）"
    assert together("灯、凛／店長") == ("灯", "凛", "店長")
    assert [is_mask(name) for name in ("？？？", "???", "謎の声", "灯", "ムッシュ・ド")] == [True] * 3 + [
        False
    ] * 2


def test_a_break_inside_a_word_and_one_between_words() -> None:
    assert join_breaks("お\n　はよう") == "おはよう"
    assert join_breaks("good \nmorning") == "good morning"
    assert join_breaks("灯、\nOK") == "灯、OK"


@given(st.text(alphabet='「」『』（）"“”a雨\n 　', max_size=40))
def test_unwrapping_only_takes_away_at_the_ends(text: str) -> None:
    inner, kind = unwrap(text)
    assert inner in text
    assert kind in (None, "speech", "thought")
