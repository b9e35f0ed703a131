"""Transcripts: every way to write who says what, and prose that is none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import transcript
from tests.dataset_builder.dump_reading import damaged, one, read, said, survives

EXPECTED = [
    ("灯", "おはよう"),
    ("冬弥", "ああ、おはよう"),
    ("", "空は晴れている。"),
    ("灯", "行こう！"),
    ("冬弥", "うん"),
]


@pytest.mark.parametrize(
    "text",
    [
        "灯：おはよう\n冬弥：ああ、おはよう\n空は晴れている。\n灯：行こう！\n冬弥：うん\n",
        "灯: おはよう\n\n冬弥 : ああ、おはよう\n空は晴れている。\n灯: 行こう！\n冬弥:うん",
        "灯「おはよう」\n冬弥「ああ、おはよう」\n　空は晴れている。\n灯「行こう！」\n冬弥　「うん」\n",
        "【灯】おはよう\n【冬弥】「ああ、おはよう」\n空は晴れている。\n【灯】行こう！\n【冬弥】：うん\n",
        "灯\tおはよう\n冬弥\tああ、おはよう\n空は晴れている。\n灯\t行こう！\n冬弥\tうん\n",
        "灯\n「おはよう」\n冬弥\n「ああ、おはよう」\n空は晴れている。\n灯\n「行こう！」\n冬弥\n「うん」\n",
        "【灯】\n「おはよう」\n【冬弥】\n「ああ、おはよう」\n空は晴れている。\n【灯】\n「行こう！」\n【冬弥】\n「うん」\n",
        "灯:「おはよう」\n冬弥:「ああ、おはよう」\n旁白:「空は晴れている。」\n灯:「行こう！」\n冬弥:「うん」\n",
    ],
)
def test_every_form(text: str) -> None:
    lines = one(transcript, "a.txt", text)
    assert said(lines) == EXPECTED
    assert [line.kind for line in lines] == ["speech", "speech", "narration", "speech", "speech"]
    assert 0.3 <= transcript.sniff("a.txt", text.encode()) <= 0.5


def test_english_transcripts() -> None:
    lines = one(
        transcript,
        "a.txt",
        "Akari: Good morning!\nMr. Hill: Morning.\nA dog barks.\nAkari: Hey: look!\nMr. Hill: Oh.\n",
    )
    assert said(lines) == [
        ("Akari", "Good morning!"), ("Mr. Hill", "Morning."), ("", "A dog barks."), ("Akari", "Hey: look!"),
        ("Mr. Hill", "Oh."),
    ]  # fmt: skip


def test_masks_choruses_titles_thoughts_and_decorated_names() -> None:
    lines = one(
        transcript,
        "a.txt",
        "# 第一章　雨\n？？？「誰？」\n灯（小声）「しっ」\n灯＆茜「せーの」\n"
        "灯「行くよ」\n冬弥（眠い）\n----\n灯「『来ない』って言ったのに」\n",
    )
    assert [(line.kind, line.speaker, line.display_name, line.speakers, line.text) for line in lines] == [
        ("title", None, None, (), "第一章　雨"),
        ("speech", "？？？", "？？？", ("？？？",), "誰？"),
        ("speech", "灯", "灯（小声）", ("灯",), "しっ"),
        ("speech", "灯＆茜", "灯＆茜", ("灯", "茜"), "せーの"),
        ("speech", "灯", "灯", ("灯",), "行くよ"),
        ("narration", None, None, (), "冬弥（眠い）"),
        ("speech", "灯", "灯", ("灯",), "『来ない』って言ったのに"),
    ]


def test_a_sentence_with_a_quotation_has_no_name_plate() -> None:
    lines = one(
        transcript,
        "a.txt",
        "灯「おはよう」\n灯は「早く」と言う。\n灯は「行くよ」\n冬弥「うん」\n灯「ね」\n冬弥「ん」\n",
    )
    assert [line.speaker for line in lines] == ["灯", None, None, "冬弥", "灯", "冬弥"]


def test_a_speech_over_several_lines() -> None:
    lines = one(
        transcript, "a.txt", "灯「おはよう。\n　今日は早いね」\n冬弥「うん\nと、\n灯「え？」\n冬弥「何」\n"
    )
    assert [(line.speaker, line.text, line.source.line) for line in lines] == [
        ("灯", "おはよう。今日は早いね", 1),
        ("冬弥", "「うん", 3),
        (None, "と、", 4),
        ("灯", "え？", 5),
        ("冬弥", "何", 6),
    ]


def test_a_list_of_names_with_aliases() -> None:
    text = "あかり：おはよう\n雨が降る。風も吹く。\n鳥が鳴く。\n月城：うん\n注意：足もと\n"
    lines = one(transcript, "a.txt", text, names=("灯 あかり 月城",))
    assert [(line.speaker, line.display_name) for line in lines] == [
        ("灯", "あかり"), (None, None), (None, None), ("灯", "月城"), (None, None),
    ]  # fmt: skip


def test_names_after_the_speech() -> None:
    text = "「おはよう」\n灯\n「おう」\n冬弥\n「寒い」\n灯\n"
    assert said(one(transcript, "a.txt", text, name_after=True)) == [
        ("灯", "おはよう"),
        ("冬弥", "おう"),
        ("灯", "寒い"),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "a.txt",
            "むかしむかし、おじいさんがいました。\nおばあさんは言いました。「桃ですね」\n注意：川に落ちないこと。\n",
        ),
        ("a.txt", "*start|\n;コメント\n[cm]\n灯「おはよう」[l]\n"),
        ("a.txt", "灯\n冬弥\n茜\n"),
        ("names.txt", "灯 月城灯 小灯\n冬弥 主人公\n"),
        ("a.txt", "http://example.org/a\nhttp://example.org/b\nhttps://example.org/c\n"),
        ("a.ks", "灯：おはよう\n冬弥：うん\n"),
        ("a.txt", ""),
    ],
)
def test_what_is_no_transcript_is_not_claimed(name: str, text: str) -> None:
    assert transcript.sniff(name, text.encode()) < 0.3


def test_prose_is_narration_when_it_is_read_all_the_same() -> None:
    text = "むかしむかし、おじいさんがいました。\n注意：川に落ちないこと。\n"
    assert [line.kind for line in one(transcript, "a.txt", text)] == ["narration", "narration"]


@settings(max_examples=100)
@given(st.text("灯冬：:「」【】\t\n　A？#-", max_size=60))
def test_anything_is_lines_or_an_error(text: str) -> None:
    survives(transcript, "a.txt", text.encode())


def test_damaged_files_are_lines_or_an_error() -> None:
    data = "灯「おはよう」\n冬弥「うん」\n灯：行こう\n【茜】待って\n".encode()
    for number in range(150):
        survives(transcript, "a.txt", damaged(data, number))


def test_empty_speeches_are_counted() -> None:
    (scene,), losses = read(transcript, {"a.txt": "灯「おはよう」\n灯「」\n旁白：「」\n灯「ね」\n"})
    assert said(scene.lines) == [("灯", "おはよう"), ("灯", "ね")]
    assert losses.skipped == {"empty text": 2}
