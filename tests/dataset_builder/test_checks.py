"""What is wrong with words that a model wrote, and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.checks import (
    another_speaker,
    assistant_phrase,
    leaked_term,
    stage_direction,
    words,
    wrong_language,
    wrong_length,
)
from dataset_builder.filtering.terms import Matcher, Term


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("今日はいい天気ですね、散歩に行こう。", ("ja",), ("zh", "en", "ko")),
        ("今天天气真好，我们去散步吧。", ("zh", "zh-Hant"), ("ja", "en", "ko")),
        ("今天想吃の还是那家店的拉面，LINE我哦。", ("zh",), ("ja", "en")),
        ("What a fine day, let's walk.", ("en", "en-US"), ("zh", "ja", "ko")),
        ("She said こんにちは, then nothing at all.", (), ("ja", "zh", "en")),
        ("오늘은 날씨가 참 좋네요, 산책해요.", ("ko",), ("ja", "zh", "en")),
        ("了解です！", ("ja", "zh", "en"), ()),  # too short to tell
        ("…………！？", ("ja", "zh", "en"), ()),
        ("Сегодня хорошая погода.", ("ru", ""), ()),
        ("What a fine day, let's walk.", ("fr", ""), ()),  # nothing is known of French
    ],
)
def test_language(text: str, right: tuple[str, ...], wrong: tuple[str, ...]) -> None:
    assert [language for language in right if wrong_language(text, language)] == []
    assert [language for language in wrong if not wrong_language(text, language)] == []


@pytest.mark.parametrize(
    ("length", "before", "right"),
    [(10, 10, True), (0, 10, False), (60, 10, True), (70, 10, False), (30, 100, True), (15, 100, False)],
)
def test_length(length: int, before: int, right: bool) -> None:
    assert (wrong_length("あ" * length, "い" * before) is None) is right


@pytest.mark.parametrize(
    "text",
    [
        "作为一个大型语言模型，我没有感情。",
        "我是一个聊天机器人哦。",
        "请问有什么可以帮您的？",
        "抱歉，我无法提供这个。",
        "希望这些对你有帮助！",
        "私はAIアシスタントです。",
        "他にお手伝いできることはありますか？",
        "ご質問がありましたら、どうぞ。",
        "申し訳ありませんが、その質問にはお答えできません。",
        "I’m here to help!",
        "I can't assist with that.",
        "Is there anything else I can help you with?",
        "```json",
        "# Answer",
    ],
)
def test_assistant_phrases(text: str) -> None:
    assert assistant_phrase(text, "") is not None
    assert assistant_phrase(text, f"She said: {text}") is None


@pytest.mark.parametrize(
    "text",
    [
        "我帮你拿伞，你别动。",
        "模型？你说那架飞机模型吗。",
        "お手伝いしようか？ 皿洗いなら得意だよ。",
        "ごめん、できないよ……",
        "I can't help it, the storm is too pretty.",
        "Is there anything else on the radio?",
        "5 * 3 - 2 is thirteen.",
    ],
)
def test_what_people_say(text: str) -> None:
    assert assistant_phrase(text, "") is None
    assert stage_direction(text, "") is None


def test_stage_directions() -> None:
    assert stage_direction("*sighs* Fine.", "") == "*sighs*"
    assert stage_direction("好吧（叹气）。", "") == "（叹气）"
    assert stage_direction("好吧（叹气）。", "她（叹气）") is None


def test_terms() -> None:
    terms = Matcher(Term(text, "term", "", "drop") for text in ("Skerrow", "月見丘学園"))
    assert leaked_term(["fine", "on skerrow"], terms) is None  # a common word may be written so
    assert leaked_term(["fine", "on Skerrow, north"], terms) == "Skerrow"
    assert leaked_term(["Skerrowmore"], terms) is None
    assert leaked_term(["月見丘学園の生徒です"], terms) == "月見丘学園"
    assert leaked_term(["anything"], Matcher(())) is None
    kept = Matcher((Term("友", "person", "zh", "drop"), Term("朋友", "term", "zh", "keep")))
    assert leaked_term(["我的朋友"], kept) is None
    assert leaked_term(["朋友，友！"], kept) == "友"


def test_another_speaker() -> None:
    names = ("澪", "翔太", "Tobias")
    assert another_speaker(["澪：うん。"], ["うん。"], names)
    assert another_speaker(["うん。\n【翔太】「おう」"], ["うん。"], names)
    assert another_speaker(["my name is Tobias, hello"], ["hello, my name is Wren"], names)
    assert another_speaker(["翔太、こっち！"], ["翔太、こっちだよ！"], names) is None
    assert another_speaker(["俺は行く。"], ["私は行くの。"], names)
    assert another_speaker(["わたしは行くの。"], ["私は行くの。"], names) is None
    assert another_speaker(["私は行くの。"], ["行くの。"], names) is None  # nothing is known of her `I`
    assert another_speaker(["Bright rivers carry nothing but old paper boats."], ["I had good boots."], ())
    assert another_speaker(["I'm Tobias"], ["I'm Tobias"], names) is None


def test_words() -> None:
    assert words("It’s a boat, a BOAT!") == ["it’s", "a", "boat", "a", "boat"]
    assert words("猫に、聞くの") == ["猫に", "聞く", "くの"]
    assert words("猫") == ["猫"]
    assert words("…") == []


@given(st.text(max_size=200), st.text(max_size=50), st.sampled_from(["zh", "ja", "en", "ko", "", "x-y"]))
def test_any_text_can_be_checked(text: str, original: str, language: str) -> None:
    for found in (
        wrong_language(text, language),
        wrong_length(text, original),
        assistant_phrase(text, original),
        stage_direction(text, original),
        another_speaker([text], [original], [original[:4]]),
    ):
        assert found is None or found
    assert wrong_length(original, original) is None or not original.strip()
