"""Two-line text: prefixes, names before, after and within, languages, and what is broken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import message_json, transcript, two_line
from tests.dataset_builder.dump_reading import FIXTURES, damaged, one, read, said, survives

SEED = FIXTURES / "seed"


def blocks(*texts: tuple[str, str], prefix: str = "<{:010d}>") -> str:
    return "\n".join(
        f"{prefix.format(number)}{ja}\n;{prefix.format(number)}{zh}\n"
        for number, (ja, zh) in enumerate(texts, 1)
    )


def seed(work: str) -> dict[str, bytes]:
    folder = SEED / work
    files = sorted(path for path in folder.rglob("*.txt") if path.name != "names.txt")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_names_stand_before_the_speech() -> None:
    lines = one(
        two_line,
        "a.txt",
        blocks(
            ("雨が降っている。", "下着雨。"),
            ("灯", "灯"),
            ("「おはよう」", "「早上好」"),
            ("冬弥", "冬弥"),
            ("（眠い）", "（好困）"),
            ("灯", "灯"),
            ("「寝てる？」", "「睡着了？」"),
            ("返事はない。", "没有回答。"),
            ("冬弥", "冬弥"),
            ("「起きてる」", "「醒着」"),
        ),
    )
    assert [(line.kind, line.speaker, line.text, line.translations) for line in lines] == [
        ("narration", None, "雨が降っている。", {"zh": "下着雨。"}),
        ("speech", "灯", "おはよう", {"zh": "早上好"}),
        ("thought", "冬弥", "眠い", {"zh": "好困"}),
        ("speech", "灯", "寝てる？", {"zh": "睡着了？"}),
        ("narration", None, "返事はない。", {"zh": "没有回答。"}),
        ("speech", "冬弥", "起きてる", {"zh": "醒着"}),
    ]
    assert [line.source.line for line in lines] == [1, 7, 13, 19, 22, 28]


def test_names_stand_after_the_speech() -> None:
    texts = [
        ("雨が降っている。", "下着雨。"),
        ("「おはよう」", "「早上好」"),
        ("灯", "灯"),
        ("「おう」", "「哦」"),
        ("冬弥", "冬弥"),
        ("「寝てる？」", "「睡着了？」"),
        ("灯", "灯"),
        ("「寝てない」", "「没睡」"),
        ("冬弥", "冬弥"),
        ("雨が上がった。", "雨停了。"),
    ]
    expected = [
        ("", "雨が降っている。"),
        ("灯", "おはよう"),
        ("冬弥", "おう"),
        ("灯", "寝てる？"),
        ("冬弥", "寝てない"),
        ("", "雨が上がった。"),
    ]
    assert said(one(two_line, "a.txt", blocks(*texts))) == expected
    assert said(one(two_line, "a.txt", blocks(*texts), name_after=True)) == expected
    assert said(one(two_line, "a.txt", blocks(*texts), name_after=True, names=("灯", "冬弥"))) == expected


def test_a_list_of_names_has_aliases_in_either_language() -> None:
    lines = one(
        two_line,
        "a.txt",
        blocks(
            ("あかり", "月城灯"),
            ("「ただいま」", "「我回来了」"),
            ("母", "妈妈"),
            ("「おかえり」", "「欢迎回来」"),
        ),
        names=("灯 月城灯 小灯", "妈妈 母"),
    )
    assert [(line.speaker, line.display_name, line.text) for line in lines] == [
        ("灯", "あかり", "ただいま"),
        ("妈妈", "母", "おかえり"),
    ]


def test_with_a_list_what_is_not_on_it_is_text() -> None:
    lines = one(
        two_line,
        "a.txt",
        blocks(
            ("翌日", "第二天"),
            ("灯", "灯"),
            ("「おはよう」", "「早」"),
            ("翌日", "第二天"),
            ("灯", "灯"),
            ("「やあ」", "「呀」"),
        ),
        names=("灯",),
    )
    assert said(lines) == [("", "翌日"), ("灯", "おはよう"), ("", "翌日"), ("灯", "やあ")]


def test_masked_names_and_names_that_come_once() -> None:
    lines = one(
        two_line,
        "a.txt",
        blocks(
            ("？？？", "？？？"), ("「誰だ」", "「谁」"),
            ("灯", "灯"), ("「私」", "「我」"),
            ("店員", "店员"), ("「いらっしゃい」", "「欢迎」"),
            ("灯", "灯"), ("「パンを」", "「面包」"),
        ),
    )  # fmt: skip
    assert [name for name, _ in said(lines)] == ["？？？", "灯", "店員", "灯"]


def test_without_repeated_names_a_short_line_stays_text() -> None:
    lines = one(
        two_line, "a.txt", blocks(("翌日", "第二天"), ("「おはよう」", "「早上好」"), ("夜。", "夜里。"))
    )
    assert said(lines) == [("", "翌日"), ("", "おはよう"), ("", "夜。")]
    assert [line.kind for line in lines] == ["narration", "speech", "narration"]


def test_a_name_without_a_line_is_counted() -> None:
    text = blocks(("灯", "灯"), ("「え」", "「诶」"), ("灯", "灯"), ("「あ」", "「啊」"), ("灯", "灯"))
    (scene,), losses = read(two_line, {"a.txt": text}, name_after=False, names=("灯",))
    assert said(scene.lines) == [("灯", "え"), ("灯", "あ")]
    assert losses.skipped == {"name without a line": 1}


def test_codes_of_engines_are_stripped_and_kept_in_raw() -> None:
    line, *_ = one(
        two_line,
        "a.txt",
        blocks(
            (
                "「<s36>えっ</s>、[・]魔[・]法で%138;小さく%;なる<rまほう>魔法</r>？」",
                "「<s36>诶</s>，变小的魔法？」",
            )
        ),
    )
    assert line.text == "えっ、魔法で小さくなる魔法？"
    assert line.raw == "「<s36>えっ</s>、[・]魔[・]法で%138;小さく%;なる<rまほう>魔法</r>？」"
    assert line.translations == {"zh": "诶，变小的魔法？"}
    assert [(ruby.base, ruby.text) for ruby in line.ruby] == [("魔法", "まほう")]


def test_ruby_and_what_only_looks_like_it() -> None:
    texts = [
        "[まほう]魔を[しんじつ,2]真実と",
        "[あかり]「え」",
        "[あかり]おはよう",
        "[・,3]だめ！",
        "終わり[えんど]",
    ]
    lines = one(two_line, "a.txt", blocks(*((text, "x") for text in texts)))
    assert [line.text for line in lines] == [
        "魔を真実と",
        "[あかり]「え」",
        "[あかり]おはよう",
        "だめ！",
        "終わり[えんど]",
    ]
    assert [(ruby.base, ruby.text) for ruby in lines[0].ruby] == [("魔", "まほう"), ("真実", "しんじつ")]
    assert not any(line.ruby for line in lines[1:])


def test_unknown_tags_are_counted() -> None:
    _, losses = read(two_line, {"a.txt": blocks(("<shake=3>地震だ。", "<shake=3>地震了。"))})
    assert losses.unknown == {"<shake=3>": 2}


def test_written_line_breaks() -> None:
    lines = one(
        two_line, "a.txt", blocks(("「長い\\n台詞」", "「很长的\\n台词」"), ("Hello,\\nworld", "你好"))
    )
    assert [line.text for line in lines] == ["長い台詞", "Hello, world"]


@pytest.mark.parametrize(
    "text",
    [
        "☆000001☆灯☆「おはよう」\n★000001★灯★「早上好」\n\n☆000002☆雨☆だ。\n★000002★下雨了。\n\n",
        "☆000001☆灯☆「おはよう」\r\n★000001★灯★「早上好」\r\n\r\n☆000002☆雨☆だ。\r\n★000002★下雨了。\r\n",
    ],
)
def test_names_within_the_line_and_stars_of_the_text(text: str) -> None:
    lines = one(two_line, "a.txt", text)
    assert [(line.speaker, line.text, line.translations) for line in lines] == [
        ("灯", "おはよう", {"zh": "早上好"}),
        (None, "雨☆だ。", {"zh": "下雨了。"}),
    ]


def test_a_star_within_a_speech_is_no_name() -> None:
    text = "☆000001☆「わーい☆やった」\n★000001★「哇☆太好了」\n\n☆000002☆わーい☆やった\n★000002★哇太好了\n"
    assert said(one(two_line, "a.txt", text)) == [("", "わーい☆やった"), ("", "わーい☆やった")]


def test_dumps_of_siglus_engine_in_utf16() -> None:
    text = "○0000000123○「おはよう」\n●0000000123●「早上好」\n\n○0000000124○雨だ。\n●0000000124●\n"
    data = text.replace("\n", "\r\n").encode("utf-16")
    lines = one(two_line, "seen0001.txt", data)
    assert [(line.text, line.translations) for line in lines] == [
        ("おはよう", {"zh": "早上好"}),
        ("雨だ。", {}),
    ]
    assert two_line.sniff("seen0001.txt", data[:4096]) > 0.9


def test_the_last_translation_that_says_something_counts() -> None:
    text = "○001○雨だ。\n△001△雨。\n●001●\n●001●下雨了。\n●001●\n"
    (line,) = one(two_line, "a.txt", text)
    assert line.translations == {"zh": "下雨了。"}


def test_a_file_of_one_language() -> None:
    assert said(one(two_line, "a.txt", "●001●下雨了。\n●002●「早上好」\n")) == [
        ("", "下雨了。"),
        ("", "早上好"),
    ]


def test_a_translation_that_repeats_the_original_is_none() -> None:
    (line,) = one(two_line, "a.txt", "☆1☆雨だ。\n★1★雨だ。\n")
    assert line.translations == {}


def test_lines_that_belong_nowhere_are_counted() -> None:
    text = "<0001>雨だ。\n;<0002>下雪了。\n\nこれは何？\n<0003>\n;<0003>空的\n<0004>「え」\n;<0004>「诶」\n"
    (scene,), losses = read(two_line, {"a.txt": text})
    assert said(scene.lines) == [("", "雨だ。"), ("", "え")]
    assert losses.skipped == {
        "line without a prefix": 1,
        "translation without its original": 1,
        "empty text": 1,
    }
    assert losses.warnings == ["a.txt, line 2: no original before it has its prefix"]


def test_languages_are_told_or_guessed() -> None:
    text = blocks(("Hello", "こんにちは、世界"), ("「Bye」", "「さようなら」"))
    (scene,), _ = read(two_line, {"a.txt": text}, language="en")
    assert scene.language == "en"
    assert scene.lines[0].translations == {"ja": "こんにちは、世界"}
    (scene,), _ = read(two_line, {"a.txt": text}, translation="ko")
    assert scene.lines[0].translations == {"ko": "こんにちは、世界"}
    assert scene.language == ""
    (line,) = one(two_line, "a.txt", blocks(("123", "456")))
    assert line.translations == {"und": "456"}


def test_old_encodings() -> None:
    text = blocks(("「おはよう、先輩」", "「お早う」"))
    assert one(two_line, "a.txt", text.encode("cp932"))[0].text == "おはよう、先輩"
    assert two_line.sniff("a.txt", text.encode("cp932")) > 0.9
    assert two_line.sniff("a.txt", "☆01☆你好吗\n★01★我很好\n".encode("gb18030")) > 0.9


def test_the_work_with_names_after() -> None:
    names = (SEED / "koikake" / "names.txt").read_text(encoding="utf-8").splitlines()
    scenes, losses = read(two_line, seed("koikake"), names=tuple(names))
    assert not losses.skipped
    assert [(scene.file, len(scene.lines)) for scene in scenes] == [
        ("润测/1-序章.txt", 25),
        ("润测/2-第一章.txt", 11),
    ]
    first = scenes[0].lines
    assert [line.speaker for line in first[2:12]] == [
        "灯", "冬弥", "灯", "冬弥", None, "茜", "灯", "冬弥", "茜", None,
    ]  # fmt: skip
    assert first[4].text == "ふふっ、まだ眠そうだもんね"
    assert (first[10].speaker, first[10].display_name) == ("茜", "学生会長")
    assert first[11].kind == "thought"
    assert (first[-1].speaker, first[-1].text) == ("灯", "明日も、ここで待ってるから")
    learned, _ = read(two_line, seed("koikake"))
    assert [line.display_name for line in learned[0].lines] == [line.display_name for line in first]


def test_the_work_with_names_before() -> None:
    names = (SEED / "sanoba" / "names.txt").read_text(encoding="utf-8").splitlines()
    scenes, losses = read(two_line, seed("sanoba"), names=tuple(names))
    assert not losses.skipped
    assert [(scene.file, len(scene.lines)) for scene in scenes] == [
        ("共通/01_図書室.txt", 21),
        ("灯/05_夕焼け.txt", 9),
    ]
    assert said(scenes[0].lines)[1:4] == [
        ("灯", "魔法、って信じる？"),
        ("冬弥", "いきなりどうしたんだよ"),
        ("灯", "ちいさな声で言うけど、わたし、見ちゃったの"),
    ]
    assert scenes[1].lines[3].text == "「なんでもない！」と灯は首をふった。"
    assert scenes[1].lines[3].kind == "speech"
    learned, _ = read(two_line, seed("sanoba"))
    assert [[line.display_name for line in scene.lines] for scene in learned] == [
        [line.display_name for line in scene.lines] for scene in scenes
    ]


def test_it_knows_its_files() -> None:
    for work in ("koikake", "sanoba"):
        for name, data in seed(work).items():
            assert two_line.sniff(name, data[:4096]) > 0.9
            assert transcript.sniff(name, data[:4096]) < 0.1
    assert two_line.sniff("a.ks", "*start|\n[cm]\n;<comment>\n【灯】「おはよう」[l][r]\n".encode()) == 0
    assert two_line.sniff("a.txt", "灯：おはよう\n冬弥：○月○日だ\n".encode()) == 0
    assert two_line.sniff("a.html", b"<html>\n<body>\n<p>text</p>\n</body>\n</html>") == 0
    assert two_line.sniff("a.txt", b"") == 0
    assert message_json.sniff("a.txt", b"<0001>a\n;<0001>b") == 0


@given(
    st.lists(
        st.tuples(st.text("あ灯「」。☆<>;n\\%[", max_size=12), st.text("你好」「★", max_size=8)), max_size=12
    )
)
def test_every_block_is_a_line_a_name_or_counted(texts: list[tuple[str, str]]) -> None:
    _, losses = read(two_line, {"a.txt": blocks(*texts, prefix="☆{:06d}☆")})
    assert losses.seen <= len(texts)
    assert losses.seen >= len(texts) / 2 - 1


@settings(max_examples=60)
@given(st.binary(max_size=200) | st.text("<>;☆★○●01灯「」\n \ufeff", max_size=80).map(str.encode))
def test_anything_is_lines_or_an_error(data: bytes) -> None:
    survives(two_line, "a.txt", data)


def test_damaged_files_are_lines_or_an_error() -> None:
    data = seed("sanoba")["灯/05_夕焼け.txt"]
    for number in range(150):
        survives(two_line, "a.txt", damaged(data, number))
