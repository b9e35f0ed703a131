"""What was said to her, with names where there are several, with brackets where nobody says it."""

from dataclasses import replace

import pytest

from dataset_builder.exporting.exchanges import exchanges, in_brackets, languages_of
from dataset_builder.schema import Turn
from inference.prompt import Exchange, Said
from tests.dataset_builder.talks import dialogue, said, talks, told


def test_with_one_other_speaker_no_names_are_written() -> None:
    first, second = exchanges(talks()[0], "zh")
    assert first == Exchange(
        said=(Said(text="（雨下大了。）"), Said(text="还开着吗？")), reply="开着，鞋底蹭一蹭。"
    )
    assert second == Exchange(said=(Said(text="买把伞"),), reply="伞不卖，借你。")


def test_with_two_others_each_utterance_has_its_speaker() -> None:
    (only,) = exchanges(talks()[1], "zh")
    assert only.said == (
        Said(text="这本多少钱？", name="陈屿"),
        Said(text="别卖给他。", name="阿婆"),
        Said(text="（猫叫了一声。）"),
    )


def test_two_speakers_in_different_turns_are_named_in_both() -> None:
    found = exchanges(dialogue(Turn((said("一"),), "二"), Turn((said("三", "阿婆"),), "四")), "zh")
    assert [turn.said[0].name for turn in found] == ["陈屿", "阿婆"]


def test_silence_stands_where_nothing_was_said_and_thoughts_are_left_out() -> None:
    first, second = exchanges(talks()[2], "zh")
    assert first.said == (Said(text="…"),)
    assert second.said == (Said(text="是我。"),)
    only_thought = dialogue(Turn((said("她在。", kind="thought"),), "嗯？"))
    assert exchanges(only_thought, "zh")[0].said == (Said(text="…"),)


def test_thoughts_when_they_are_asked_for() -> None:
    second = exchanges(talks()[0], "zh", thoughts=True)[1]
    assert second.reply == "（他会还吗。）伞不卖，借你。"
    assert exchanges(talks()[2], "zh", thoughts=True)[1].said[1] == Said(text="（（是她））")


def test_a_translation_is_a_dialogue_of_its_own() -> None:
    assert languages_of(talks()[0]) == ("zh", "en", "ja")
    english = exchanges(talks()[0], "en")
    assert [each.text for each in english[0].said] == ["(The rain grew.)", "Open?"]
    assert [turn.reply for turn in english] == ["Open. Wipe your shoes.", "Not for sale. Borrow it."]
    assert exchanges(talks()[0], "ja")[0].said[0].text == "（雨が強くなった。）"


@pytest.mark.parametrize(
    "turn",
    [
        Turn((said("早", en="Morning"),), "早。"),
        Turn((said("早"),), "早。", {"en": "Morning."}),
        Turn((said("早", en=" "),), "早。", {"en": "Morning."}),
        Turn((told("天亮了。"), said("早", en="Morning")), "早。", {"en": "Morning."}),
    ],
)
def test_what_is_not_wholly_translated_is_not_there(turn: Turn) -> None:
    assert exchanges(dialogue(turn), "en") == []


def test_a_thought_that_is_left_out_needs_no_translation() -> None:
    turn = Turn((said("（早）", kind="thought"), said("早", en="Morning")), "早。", {"en": "Morning."})
    assert len(exchanges(dialogue(turn), "en")) == 1


def test_without_an_answer_there_is_no_dialogue() -> None:
    assert exchanges(dialogue(), "zh") == []
    assert exchanges(dialogue(Turn((said("喂"),), " ")), "zh") == []
    blank = dialogue(Turn((said("　"), said("喂")), "在。"))
    assert exchanges(blank, "zh")[0].said == (Said(text="喂"),)


@pytest.mark.parametrize(
    ("text", "language", "written"),
    [
        ("雨。", "zh", "（雨。）"),
        ("雨。", "zh-Hant", "（雨。）"),
        ("Rain.", "ja", "（Rain.）"),
        ("She wrote 雨.", "en", "(She wrote 雨.)"),
        ("雨。", "", "（雨。）"),
        ("Rain.", "", "(Rain.)"),
        ("La pluie.", "fr", "(La pluie.)"),
    ],
)
def test_brackets_are_those_of_the_language(text: str, language: str, written: str) -> None:
    assert in_brackets(text, language) == written


def test_an_unknown_language_is_a_language_too() -> None:
    assert languages_of(replace(talks()[1], language="")) == ("",)
    assert exchanges(replace(talks()[1], language=""), "")
