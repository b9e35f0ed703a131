"""XLSX workbooks: foreign ones, odd ones, hostile ones."""

import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.errors import DatasetError, ScriptError
from dataset_builder.work import disk_file, memory_file
from dataset_builder.xlsx import COLUMNS, Sheet, read_workbook
from tests.dataset_builder.dump_reading import FIXTURES, damaged
from tests.dataset_builder.xlsx_writer import package, parts, workbook


def sheets(data: bytes) -> list[Sheet]:
    return list(read_workbook(memory_file("a.xlsx", data)))


def test_a_workbook_of_openpyxl() -> None:
    path = FIXTURES / "sheets" / "vntextpatch.xlsx"
    first, second, third = read_workbook(disk_file(path, path.name))
    assert (first.name, second.name, third.name) == ("001_序章", "002_朝", "メモ")
    assert first.rows[0][1][:2] == ["Original character", "Original line"]
    assert first.rows[1] == (2, ["", "春の雨が降っていた。", "", "下着春雨。"])
    assert first.rows[2][1][1] == "「おはよう、\n先輩」"


def test_a_workbook_of_xlsxwriter_with_numbers_and_rich_text() -> None:
    path = FIXTURES / "sheets" / "sextractor.xlsx"
    (sheet,) = read_workbook(disk_file(path, path.name))
    assert sheet.rows[3] == (4, ["冬弥", "100", "冬弥", "100"])
    assert sheet.rows[4] == (5, ["", "「あかり」"])


def test_shared_strings_lose_their_phonetic_guides() -> None:
    shared = (
        "<si><t>灯</t><rPh sb='0' eb='1'><t>アカリ</t></rPh></si>"
        "<si><r><t>「お</t></r><r><t xml:space='preserve'>は 」</t></r></si>"
        "<si><t>a_x000D_\nb_xD800__x0041_</t></si>"
    )
    data = (
        '<row r="3"><c r="A3" t="s"><v>0</v></c><c r="C3" t="s"><v>1</v></c></row><row><c t="s"><v>2</v></c>'
        '<c t="s"><v>3</v></c><c t="s"><v>x</v></c><c t="s"><v>99999999999</v></c></row>'
    )
    (sheet,) = sheets(package(parts({"a": data}, shared)))
    assert sheet.rows == [(3, ["灯", "", "「おは 」"]), (4, ["a\r\nb_xD800_A"])]


def test_values_that_are_no_texts() -> None:
    data = (
        '<row><c><v>5</v></c><c t="b"><v>1</v></c><c t="e"><v>#N/A</v></c>'
        '<c t="str"><f>A1</f><v>x</v></c></row>'
    )
    (sheet,) = sheets(package(parts({"a": data})))
    assert sheet.rows == [(1, ["5", "1", "", "x"])]


def test_cells_far_apart_cost_nothing() -> None:
    data = '<row r="1"><c r="A1"><v>1</v></c><c r="XFD1"><v>2</v></c></row>'
    data += '<row r="1048576"><c r="Z1048576"><v>3</v></c></row>'
    (sheet,) = sheets(package(parts({"a": data})))
    assert sheet.rows == [(1, ["1"]), (1048576, [""] * (COLUMNS - 1) + ["3"])]


def test_cells_in_any_order() -> None:
    data = '<row r="1"><c r="C1"><v>3</v></c><c r="A1"><v>1</v></c></row>'
    (sheet,) = sheets(package(parts({"a": data})))
    assert sheet.rows == [(1, ["1", "", "3"])]


def test_entities_are_refused() -> None:
    bomb = parts({"a": ""}) | {
        "xl/workbook.xml": '<!DOCTYPE a [<!ENTITY b "lol"><!ENTITY c "&b;&b;&b;">]><workbook>&c;</workbook>'
    }
    with pytest.raises(ScriptError, match="entities"):
        sheets(package(bomb))


@pytest.mark.parametrize("encoding", ["klingon", "cp932", "base64"])
def test_strange_encodings_are_refused(encoding: str) -> None:
    book = f'<?xml version="1.0" encoding="{encoding}"?><workbook/>'
    with pytest.raises(ScriptError):
        sheets(package({"xl/workbook.xml": book}))


def test_a_part_that_grows_too_much_is_refused() -> None:
    with pytest.raises(ScriptError):
        sheets(package(parts({"a": "<row>" + " " * 20_000_000 + "</row>"})))


def test_what_is_no_workbook() -> None:
    for data in (b"", b"PK\3\4", package({"a.txt": "a"}), package({"xl/workbook.xml": "<a"})):
        with pytest.raises(ScriptError):
            sheets(data)
    assert sheets(package({"xl/workbook.xml": "<workbook/>"})) == []


def test_relations_lead_nowhere_outside() -> None:
    made = parts({"a": ""})
    made["xl/_rels/workbook.xml.rels"] = made["xl/_rels/workbook.xml.rels"].replace(
        "worksheets/sheet1.xml", "../../../../etc/passwd"
    )
    assert sheets(package(made)) == []


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
def test_damaged_workbooks_are_read_or_refused(seed: int, compression: int) -> None:
    shared = "<si><t>灯</t></si><si><t>「おはよう」</t></si>"
    row = '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row>'
    data = package(parts({"a": row, "b": row}, shared), compression)
    try:
        sheets(damaged(data, seed))
    except DatasetError:
        return


def test_many_sheets() -> None:
    found = sheets(workbook(a=[["1"], ["2"]], b=[], c=[["", "3"]]))
    assert [(sheet.name, sheet.rows) for sheet in found] == [
        ("a", [(1, ["1"]), (2, ["2"])]),
        ("b", []),
        ("c", [(1, ["", "3"])]),
    ]
