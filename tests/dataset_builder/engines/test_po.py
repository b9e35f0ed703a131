"""Gettext: names in comments, contexts, plurals, escapes, fuzzy and obsolete entries, broken ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import po
from tests.dataset_builder.dump_reading import damaged, one, read, said, survives

HEADER = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n"Language: {}\\n"\n\n'
EXAMPLE = HEADER.format("zh_CN") + (
    """\
# NAME: 灯
#: scene.ks:12
msgid "「おはよう、\\n"
"先輩」"
msgstr "「早上好，\\n"
"前辈」"

msgid "雨だ。"
msgstr ""
# NAME: 冬弥
msgctxt "1"
msgid "「\\"うん\\"\\tと」"
msgstr "「嗯」"

msgid "パン"
msgid_plural "パンたち"
msgstr[0] "面包"
msgstr[1] "很多面包"
"""
)


def test_names_pieces_plurals_and_contexts() -> None:
    lines = one(po, "a.po", EXAMPLE)
    assert [(line.speaker, line.text, line.translations, line.source.line) for line in lines] == [
        ("灯", "おはよう、先輩", {"zh": "早上好，前辈"}, 8),
        (None, "雨だ。", {}, 13),
        ("冬弥", '"うん"\tと', {"zh": "嗯"}, 17),
        (None, "パン", {"zh": "面包"}, 20),
    ]


@pytest.mark.parametrize(
    ("language", "tag"), [("zh_TW", "zh-Hant"), ("zh-Hans", "zh"), ("en_US", "en"), ("ja", "ja"), ("", "zh")]
)
def test_the_header_tells_the_language(language: str, tag: str) -> None:
    (line,) = one(po, "a.po", HEADER.format(language) + 'msgid "雨"\nmsgstr "下雨了"\n')
    assert line.translations == {tag: "下雨了"}


def test_without_a_header_the_language_is_guessed_or_given() -> None:
    assert one(po, "a.po", 'msgid "雨"\nmsgstr "It rains."\n')[0].translations == {"en": "It rains."}
    (line,) = one(po, "a.po", 'msgid "雨"\nmsgstr "It rains."\n', translation="fr")
    assert line.translations == {"fr": "It rains."}


def test_fuzzy_translations_are_none_and_obsolete_entries_are_counted() -> None:
    text = '#, fuzzy\nmsgid "雨"\nmsgstr "雪"\n\n#~ msgid "昔"\n#~ msgstr "从前"\n\nmsgid "風"\nmsgstr "风"\n'
    (scene,), losses = read(po, {"a.po": text})
    assert [(line.text, line.translations) for line in scene.lines] == [("雨", {}), ("風", {"zh": "风"})]
    assert losses.skipped == {"obsolete entry": 1}


def test_escapes() -> None:
    (line,) = one(po, "a.po", r'msgid "a\\b \101\x42\q"')
    assert line.text == "a\\b ABq"


def test_entries_without_translations_do_not_run_into_each_other() -> None:
    assert said(one(po, "a.pot", 'msgid "一"\nmsgid "二"\nmsgctxt "x"\nmsgid "三"\n')) == [
        ("", "一"),
        ("", "二"),
        ("", "三"),
    ]


def test_broken_entries_are_counted_with_their_line() -> None:
    text = 'msgid "一"\nmsgstr "壱\n\nmsgid "二"\nmsgstr "弐"\nよけいな行\n\nmsgid "三"\nmsgstr "参"\n'
    (scene,), losses = read(po, {"a.po": text})
    assert said(scene.lines) == [("", "三")]
    assert losses.skipped == {"broken record": 2}
    assert losses.warnings == ["a.po, line 1: no entry of a PO file", "a.po, line 4: no entry of a PO file"]


def test_it_knows_its_files() -> None:
    assert po.sniff("a.po", EXAMPLE.encode()) == 0.95
    assert po.sniff("a.txt", EXAMPLE.encode()) == 0.6
    assert po.sniff("a.po", b"translate me") == 0


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(['msgid "', 'msgstr "', 'msgctxt "', '"', "\\", "n", "\n", "# NAME: 灯", "あ", "[0]"])
    )
)
def test_anything_is_lines_or_an_error(pieces: list[str]) -> None:
    survives(po, "a.po", "".join(pieces).encode())


def test_damaged_files_are_lines_or_an_error() -> None:
    for number in range(150):
        survives(po, "a.po", damaged(EXAMPLE.encode(), number))
