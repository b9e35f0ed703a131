"""Tables with a column of texts: XLSX, CSV and TSV, and JSON objects a line or in a list.

The header tells the columns; see `dataset_builder.columns`. Of VNTextPatch's workbooks, which have a sheet a
script, come names joined by `/` and quoted if they contain one, `(empty)` for an empty text, and `.` in a
later column for "as before".
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import chain, islice
from typing import Any, NamedTuple

from dataset_builder.columns import Columns, find_columns
from dataset_builder.decode import decode
from dataset_builder.dumps import dump_line, head_text, second_language
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.errors import ScriptError
from dataset_builder.json_files import read_json, read_json_lines, strings
from dataset_builder.lines import clean_name
from dataset_builder.report import Losses
from dataset_builder.schema import Scene, Source
from dataset_builder.work import ScriptFile
from dataset_builder.xlsx import COLUMNS, read_workbook

NAME = "sheets"
TITLE = "Tables (XLSX, CSV, TSV, JSON lines)"

_CHATS = frozenset(("conversations", "messages"))
_KEY = re.compile(r'[{,]\s*"([^"\\]{1,40})"\s*:')
_QUOTABLE = re.compile(r'"((?:[^"]|"")*+)"|([^/"]+)')
_DELIMITERS = ",\t;|"
_FIRST = 200  # rows that tell the language, objects whose keys are the header


def sniff(name: str, head: bytes) -> float:
    name = name.lower()
    if name.endswith((".xlsx", ".xlsm")):
        return 0.9 if head.startswith(b"PK\x03\x04") else 0.0
    if name.endswith((".csv", ".tsv", ".tab")):
        columns = _delimited(head_text(head))[1]
        return 0.05 if columns is None else 0.7 if columns.name is None else 0.9
    if name.endswith((".json", ".jsonl", ".ndjson")):
        text = head_text(head).lstrip()
        if text.startswith("[") and name.endswith(".json"):
            text = text[1:].lstrip()
        elif name.endswith(".json"):
            return 0.0
        keys = _KEY.findall(text.partition("\n")[0] if not name.endswith(".json") else text)
        if text.startswith("{") and not _CHATS.intersection(keys) and (columns := find_columns(keys)):
            return 0.4 if columns.name is None else 0.7
        return 0.05 if text.startswith("{") else 0.0
    return 0.0


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    """A scene a file, and a scene a sheet where a workbook has several."""
    return read_each(files, options, losses, lambda file: _read(file, options, losses))


class _Row(NamedTuple):
    line: int  # 0 in a list of JSON, where `path` tells
    path: str
    cells: Sequence[str]


@dataclass(frozen=True)
class _Table:
    scene: str
    header: Sequence[str]
    rows: Iterable[_Row]


def _read(file: ScriptFile, options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    name = file.name.lower()
    if name.endswith((".xlsx", ".xlsm")):
        tables = _workbook(file)
    elif name.endswith(".json"):
        tables = [_objects(_list(file, options))]
    elif name.endswith((".jsonl", ".ndjson")):
        records = read_json_lines(file, options.encoding, losses)
        tables = [_objects((number, "", value) for number, value in records)]
    else:
        tables = [_text_table(file, options)]
    read = [(table, find_columns(table.header)) for table in tables]
    if not any(columns for _, columns in read):
        headers = ", ".join(f"`{header[:30]}`" for table in tables[:3] for header in table.header[:8])
        raise ScriptError(file.name, 1, f"none of its columns ({headers or 'it has none'}) is called `text`")
    for table, columns in read:
        if columns is None:
            losses.skip("row of a sheet without texts", sum(1 for _ in table.rows))
            losses.warn(f"{file.name}, sheet {table.scene}", "no column is called `text`")
            continue
        scene = _scene(file, table, columns, options, losses)
        losses.emit(len(scene.lines))
        if scene.lines:
            yield scene


def _scene(file: ScriptFile, table: _Table, columns: Columns, options: ReadOptions, losses: Losses) -> Scene:
    scene = Scene(options.work, file.name, table.scene, language=columns.language or options.language)
    rows = iter(table.rows)
    first = list(islice(rows, _FIRST))
    unnamed = options.translation or second_language(
        (_cell(row, columns.text), _translations(row, columns).get("", "")) for row in first
    )
    for row in chain(first, rows):
        translations = _translations(row, columns)
        if "" in translations:
            translations.setdefault(unnamed, translations.pop(""))
        speakers = _speakers(_cell(row, columns.name))
        voice = _cell(row, columns.voice)
        line = dump_line(
            len(scene.lines),
            "＆".join(speakers),
            _cell(row, columns.text),
            translations,
            Source(file.name, row.line, row.path),
            losses,
            speakers=speakers if len(speakers) > 1 else (),
            voice=(voice,) if voice else (),
        )
        if line is not None:
            scene.lines.append(line)
    return scene


def _cell(row: _Row, column: int | None) -> str:
    """The cell, "" where there is none and for VNTextPatch's `(empty)`."""
    cell = row.cells[column] if column is not None and column < len(row.cells) else ""
    return cell if cell != "(empty)" else ""


def _translations(row: _Row, columns: Columns) -> dict[str, str]:
    found = {}
    for language, states in columns.translations.items():
        for column in states:
            if (text := _cell(row, column)) and text != ".":
                found[language] = text
                break
    return found


def _speakers(cell: str) -> tuple[str, ...]:
    """The names of a cell; without quotes it stays one, which `dataset_builder.lines` parts."""
    if '"' not in cell:
        return (cell,) if cell else ()
    names = (clean_name((quoted or bare).replace('""', '"')) for quoted, bare in _QUOTABLE.findall(cell))
    return tuple(filter(None, names))


# --- files


def _workbook(file: ScriptFile) -> list[_Table]:
    sheets = [sheet for sheet in read_workbook(file) if sheet.rows]
    tables: dict[str, _Table] = {}
    for number, sheet in enumerate(sheets, 1):
        name = (
            "" if len(sheets) == 1 else sheet.name if sheet.name not in tables else f"{sheet.name} {number}"
        )
        rows = [_Row(row, "", cells) for row, cells in sheet.rows]
        tables[name] = _Table(name, rows[0].cells, rows[1:])
    return list(tables.values())


def _delimited(text: str) -> tuple[str, Columns | None]:
    """What separates the cells, and the columns: the separator by which most of the header is known."""
    best, most, found = ",", -1, None
    for delimiter in _DELIMITERS:
        try:
            header = next(csv.reader(StringIO(text), delimiter=delimiter), [])
        except csv.Error:
            continue
        columns = find_columns(header)
        known = 0 if columns is None else 1 + (columns.name is not None) + len(columns.translations)
        if known > most:
            best, most, found = delimiter, known, columns
    return best, found


def _text_table(file: ScriptFile, options: ReadOptions) -> _Table:
    text = decode(file.read(), file.name, options.encoding)
    reader = csv.reader(StringIO(text), delimiter=_delimited(text[:10_000])[0])
    rows = []
    line = 1
    try:
        for cells in reader:
            if cells:
                rows.append(_Row(line, "", cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ScriptError(file.name, reader.line_num, f"no table: {error}") from error
    return _Table("", rows[0].cells if rows else (), rows[1:])


def _list(file: ScriptFile, options: ReadOptions) -> Iterator[tuple[int, str, Any]]:
    document = read_json(file, options.encoding)
    if not isinstance(document, list):
        raise ScriptError(file.name, 0, "it is no list of objects")
    for at, value in enumerate(document):
        yield 0, str(at), value


def _objects(records: Iterator[tuple[int, str, Any]]) -> _Table:
    """Objects as a table, whose header are the keys of the first few. What is no object is an empty row."""
    first = list(islice(records, _FIRST))
    keys = (key for _, _, value in first if isinstance(value, dict) for key in value)
    header = list(dict.fromkeys(keys))[:COLUMNS]
    rows = (
        _Row(line, path, [_said(value.get(key)) for key in header] if isinstance(value, dict) else ())
        for line, path, value in chain(first, records)
    )
    return _Table("", header, rows)


def _said(value: Any) -> str:
    return value if isinstance(value, str) else "＆".join(strings(value))
