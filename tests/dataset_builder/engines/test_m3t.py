"""msg-tool's m3t: names, two translations, and what is broken."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import m3t, two_line
from tests.dataset_builder.dump_reading import damaged, one, read, said, survives

EXAMPLE = """\
○ NAME: 灯

○ 「おはよう、\\n先輩」
△ 「早安，前辈」
● 「早上好，\\n前辈」

○ 春の雨が降っていた。
△ 下着春雨。
●

○ NAME: 冬弥

○ 「……おう」
△ 「……哦」
● 「」

○ 「え？」
● 「」
"""


def test_names_and_the_better_translation() -> None:
    lines = one(m3t, "a.m3t", EXAMPLE)
    assert [(line.kind, line.speaker, line.text, line.translations, line.source.line) for line in lines] == [
        ("speech", "灯", "おはよう、先輩", {"zh": "早上好，前辈"}, 3),
        ("narration", None, "春の雨が降っていた。", {"zh": "下着春雨。"}, 7),
        ("speech", "冬弥", "……おう", {"zh": "……哦"}, 13),
        ("speech", None, "え？", {}, 17),
    ]
    assert lines[0].raw == "「おはよう、\\n先輩」"


def test_what_stands_alone_is_counted() -> None:
    text = "● 早\n△ 早\n○ NAME: 灯\n○ NAME: 冬弥\n何か\n○ 「え」\n○ 「あ」\n●\n○\n● 空\n○ NAME: 茜\n"
    (scene,), losses = read(m3t, {"a.m3t": text})
    assert said(scene.lines) == [("冬弥", "え"), ("", "あ")]
    assert losses.skipped == {
        "translation without its original": 2,
        "name without a line": 2,
        "line without a mark": 1,
        "empty text": 1,
    }


def test_it_knows_its_files() -> None:
    head = EXAMPLE.encode()
    assert m3t.sniff("a.m3t", head) == m3t.sniff("a.txt", head) == 0.97
    assert two_line.sniff("a.txt", head) < 0.9
    assert m3t.sniff("a.txt", "○000001○雨。\n●000001●雨。\n".encode()) == 0
    assert m3t.sniff("a.txt", "○ 買い物\n○ 掃除\n".encode()) == 0


@settings(max_examples=60)
@given(st.text("○△● NAME:灯「」\n\\n", max_size=60))
def test_anything_is_lines_or_an_error(text: str) -> None:
    survives(m3t, "a.m3t", text.encode())


def test_damaged_files_are_lines_or_an_error() -> None:
    for number in range(150):
        survives(m3t, "a.m3t", damaged(EXAMPLE.encode(), number))
