"""Tables: workbooks, CSV, TSV and JSON objects, with everybody's headers."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import sheets
from dataset_builder.errors import ScriptError
from tests.dataset_builder.dump_reading import FIXTURES, damaged, one, read, said, survives
from tests.dataset_builder.xlsx_writer import workbook


def test_vntextpatchs_workbook() -> None:
    data = (FIXTURES / "sheets" / "vntextpatch.xlsx").read_bytes()
    scenes, losses = read(sheets, {"a.xlsx": data})
    assert [(scene.scene, scene.file) for scene in scenes] == [("001_序章", "a.xlsx"), ("002_朝", "a.xlsx")]
    assert [(line.speakers, line.text, line.translations, line.source.line) for line in scenes[0].lines] == [
        ((), "春の雨が降っていた。", {"zh": "下着春雨。"}, 2),
        (("灯",), "おはよう、先輩", {"zh": "早上好，前辈"}, 3),
        (("灯", "茜"), "せーの！", {"zh": "预备——起！"}, 4),
        (("A/Bの声", "茜"), "？", {}, 5),
        (("冬弥",), "うん", {"zh": "嗯"}, 7),
    ]
    assert losses.skipped == {"empty text": 1, "row of a sheet without texts": 1}
    assert losses.warnings == ["a.xlsx, sheet メモ: no column is called `text`"]


def test_sextractors_workbooks() -> None:
    lines = one(sheets, "a.xlsx", (FIXTURES / "sheets" / "sextractor.xlsx").read_bytes())
    assert said(lines) == [("灯", "おはよう"), ("", "雨が降る。"), ("冬弥", "100"), ("", "あかり")]
    assert [line.translations for line in lines] == [{"zh": "早上好"}, {"zh": "下雨了。"}, {}, {}]
    keys = one(sheets, "a.xlsx", workbook(a=[["Key", "Value"], ["雨だ。", "下雨了。"], ["「え」", "「え」"]]))
    assert [(line.text, line.translations) for line in keys] == [("雨だ。", {"zh": "下雨了。"}), ("え", {})]


@pytest.mark.parametrize(
    "header",
    [
        "Speaker,Text",
        "角色,台词",
        "名前,セリフ",
        "キャラクター,本文",
        "CHARACTER NAME,dialogue",
        "name,Message",
        "人名,原文",
    ],
)
def test_headers_in_every_language(header: str) -> None:
    assert said(one(sheets, "a.csv", f"{header}\n灯,「おはよう」\n,雨だ。\n")) == [
        ("灯", "おはよう"),
        ("", "雨だ。"),
    ]
    assert sheets.sniff("a.csv", f"{header}\n灯,「おはよう」\n".encode()) == 0.9


def test_columns_of_languages() -> None:
    (scene,), _ = read(
        sheets,
        {
            "a.csv": "id,Name,EN,name_en,ja,text_zh-tw\n"
            "1,灯,Hi,Akari,「やあ」,「嗨」\n2,,Rain.,,雨だ。,下雨了。\n"
        },
    )
    assert scene.language == "ja"
    assert [(line.speaker, line.text, line.translations) for line in scene.lines] == [
        ("灯", "やあ", {"en": "Hi", "zh-Hant": "嗨"}),
        (None, "雨だ。", {"en": "Rain.", "zh-Hant": "下雨了。"}),
    ]


def test_cells_with_commas_quotes_and_line_breaks() -> None:
    lines = one(sheets, "a.csv", 'speaker,text,voice\r\n灯,"「え、\r\n""うそ""」",v01.ogg\r\n冬弥,うん,\r\n')
    assert [(line.speaker, line.text, line.voice, line.source.line) for line in lines] == [
        ("灯", 'え、"うそ"', ("v01.ogg",), 2),
        ("冬弥", "うん", (), 4),
    ]


@pytest.mark.parametrize(
    ("name", "separator"), [("a.tsv", "\t"), ("a.csv", ";"), ("a.csv", "\t"), ("a.tab", "|")]
)
def test_separators(name: str, separator: str) -> None:
    text = "\n".join(
        separator.join(row)
        for row in (("name", "text", "译文"), ("灯", "「a」", "「甲」"), ("", "雨", "雨水"))
    )
    lines = one(sheets, name, text)
    assert [(line.speaker, line.text, line.translations) for line in lines] == [
        ("灯", "a", {"zh": "甲"}),
        (None, "雨", {"zh": "雨水"}),
    ]
    assert sheets.sniff(name, text.encode()) == 0.9


def test_excels_own_encodings() -> None:
    text = "名前,台詞\n灯,「おはようございます」\n"
    for encoding in ("utf-8-sig", "cp932", "utf-16"):
        assert said(one(sheets, "a.csv", text.encode(encoding))) == [("灯", "おはようございます")]


def test_short_rows_and_empty_ones() -> None:
    (scene,), losses = read(sheets, {"a.csv": "name,text\n灯\n\n,\n冬弥,うん,x,y\n"})
    assert said(scene.lines) == [("冬弥", "うん")]
    assert losses.skipped == {"empty text": 2}


def test_json_lines() -> None:
    text = (
        '{"speaker": "灯", "text": "「a」"}\n\n{"speaker": ["灯", "茜"], "text": "「b」", "en": "c"}\n'
        '{"text": 5}\n[1]\n{\n'
    )
    (scene,), losses = read(sheets, {"a.jsonl": text})
    assert [(line.speakers, line.text, line.translations, line.source.line) for line in scene.lines] == [
        (("灯",), "a", {}, 1),
        (("灯", "茜"), "b", {"en": "c"}, 3),
    ]
    assert losses.skipped == {"empty text": 2, "broken record": 1}
    assert losses.warnings[0].startswith("a.jsonl, line 6: no JSON")
    assert sheets.sniff("a.jsonl", text.encode()) == 0.7


def test_json_objects_in_a_list() -> None:
    text = json.dumps([{"id": 1, "角色": "灯", "台词": "「早上好」"}, {"台词": "下雨了。"}])
    lines = one(sheets, "a.json", text)
    assert said(lines) == [("灯", "早上好"), ("", "下雨了。")]
    assert [line.source.path for line in lines] == ["0", "1"]


def test_a_table_without_texts_is_an_error_that_names_its_columns() -> None:
    with pytest.raises(ScriptError, match="`id`, `price`"):
        read(sheets, {"a.csv": "id,price\n1,2\n"})
    for name, data in (
        ("a.csv", b""),
        ("a.jsonl", b"[1]"),
        ("a.json", b"[]"),
        ("a.xlsx", workbook(a=[["x"]])),
    ):
        with pytest.raises(ScriptError, match="column"):
            read(sheets, {name: data})
    with pytest.raises(ScriptError, match="no list"):
        read(sheets, {"a.json": b"{}"})


def test_a_quote_that_is_never_closed_is_one_error() -> None:
    with pytest.raises(ScriptError) as caught:
        read(sheets, {"a.csv": 'name,text\n灯,"え' + "あ\n" * 100_000})
    assert caught.value.line > 1


def test_other_tables_are_left_alone() -> None:
    assert sheets.sniff("a.csv", b"id,price\n1,2\n") < 0.1
    assert sheets.sniff("a.jsonl", b'{"messages": [{"role": "user", "content": "a"}]}\n') < 0.1
    assert sheets.sniff("a.json", b'{"text": "a"}') == 0
    assert sheets.sniff("a.txt", b"name,text\n") == 0
    assert sheets.sniff("a.xlsx", b"<html>") == 0
    assert sheets.sniff("a.xlsx", workbook(a=[["text"]])[:4096]) == 0.9


cells = st.text('灯「」,;\t"\n あa/.', max_size=6)


@settings(max_examples=80)
@given(
    st.lists(st.lists(cells, max_size=4), max_size=6),
    st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.json"]),
)
def test_anything_is_lines_or_an_error(table: list[list[str]], name: str) -> None:
    survives(sheets, name, ("name,text\n" + "\n".join(",".join(row) for row in table)).encode())
    survives(sheets, name, json.dumps([{"name": "a", "text": "b"}, *table]).encode())


def test_damaged_files_are_lines_or_an_error() -> None:
    data = 'name,text,译文\n灯,"「え、""うそ""」",「诶」\n冬弥,うん,嗯\n'.encode()
    objects = '{"name": "灯", "text": "「え」"}\n{"name": "灯", "text": "「え」"}\n'.encode()
    for number in range(100):
        survives(sheets, "a.csv", damaged(data, number))
        survives(sheets, "a.jsonl", damaged(objects, number))
        survives(sheets, "a.xlsx", damaged(workbook(a=[["name", "text"], ["灯", "え"]]), number))
