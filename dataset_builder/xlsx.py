"""The texts of an Excel workbook (XLSX), by rows.

Only what a sheet of texts needs of ECMA-376 part 1, chapter 18: names of sheets, shared and inline strings
without their phonetic guides, and the values of other cells as they are written. No library is used since
the fast one, calamine, ends the whole process when two cells of a small file lie far apart: it asks for
memory for all cells between them. Nothing here grows beyond what the file's own bytes say.
"""

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from dataset_builder.archives import zip as zip_archive
from dataset_builder.errors import ScriptError
from dataset_builder.work import ScriptFile

COLUMNS = 26  # of a row; what stands further right is no text of a script
_LIMIT = 64 * 2**20  # bytes of one XML part
_ESCAPE = re.compile(r"_x((?![Dd][89A-Fa-f])[0-9A-Fa-f]{4})_")  # surrogates are no characters
_NUMBER = re.compile(r"[0-9]{1,8}")
_REFERENCE = re.compile(r"([A-Z]{1,3})[0-9]+")


@dataclass
class Sheet:
    """`rows` are (row's number from 1, its cells); a row ends at its last cell, empty cells are ""."""

    name: str
    rows: list[tuple[int, list[str]]] = field(default_factory=list)


def read_workbook(file: ScriptFile) -> Iterator[Sheet]:
    """The sheets in the order of the workbook. Raises `ScriptError`."""
    parts = {
        member.name.removeprefix(f"{file.name}/"): member
        for member in zip_archive.members(file)
        if member.name.endswith((".xml", ".rels"))
    }
    start = next((each for each in _relations(file, parts, "") if each.kind == "officeDocument"), None)
    workbook = start.target if start else "xl/workbook.xml"
    if workbook not in parts:
        raise ScriptError(file.name, 0, "it is no XLSX workbook")
    relations = {each.id: each for each in _relations(file, parts, workbook)}
    shared: list[str] = []
    for each in relations.values():
        if each.kind == "sharedStrings" and each.target in parts:
            shared = _shared_strings(file, parts[each.target])
    for name, id in _sheets(file, parts[workbook]):
        if (relation := relations.get(id)) and relation.kind == "worksheet" and relation.target in parts:
            yield Sheet(name, _rows(file, parts[relation.target], shared))


@dataclass(frozen=True)
class _Relation:
    id: str
    kind: str
    target: str


def _walk(
    file: ScriptFile,
    part: ScriptFile,
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str, str], None],
) -> None:
    """`start(tag, attributes)` and `end(tag, text)` for each element of an XML part, without namespaces.

    `text` is what was written since the tag before. Raises `ScriptError`.
    """
    data = part.read()
    if len(data) > _LIMIT:
        raise ScriptError(file.name, 0, f"`{part.name}` has {len(data):,} bytes, which is too many")
    text: list[str] = []

    def opened(tag: str, attributes: dict[str, str]) -> None:
        text.clear()
        start(tag.rpartition(" ")[2], attributes)

    def closed(tag: str) -> None:
        end(tag.rpartition(" ")[2], "".join(text))
        text.clear()

    def refuse(*_: object) -> None:
        raise ScriptError(file.name, 0, f"`{part.name}` defines entities, as no workbook does")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = opened
    parser.EndElementHandler = closed
    parser.CharacterDataHandler = text.append
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ScriptError(file.name, error.lineno, f"`{part.name}` is broken: {error}") from error
    except (LookupError, ValueError) as error:  # what it says of its encoding
        raise ScriptError(file.name, 0, f"`{part.name}` is broken: {error}") from error


def _relations(file: ScriptFile, parts: dict[str, ScriptFile], of: str) -> list[_Relation]:
    """What a part (or, for "", the package) refers to; targets are names of parts."""
    folder, name = posixpath.split(of)
    part = parts.get(posixpath.join(folder, "_rels", f"{name}.rels"))
    found: list[_Relation] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "Relationship":
            target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", ""))).lstrip("/")
            kind = attributes.get("Type", "").rpartition("/")[2]
            found.append(_Relation(attributes.get("Id", ""), kind, target))

    if part is not None:
        _walk(file, part, start, _nothing)
    return found


def _sheets(file: ScriptFile, part: ScriptFile) -> list[tuple[str, str]]:
    """(name, id of the relation) of each sheet."""
    found: list[tuple[str, str]] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "sheet":
            id = next((value for name, value in attributes.items() if name.endswith(" id")), "")
            found.append((attributes.get("name", ""), id))

    _walk(file, part, start, _nothing)
    return found


def _shared_strings(file: ScriptFile, part: ScriptFile) -> list[str]:
    strings: list[str] = []
    pieces: list[str] = []
    phonetic = 0  # depth of guides to the pronunciation

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal phonetic
        phonetic += tag == "rPh"

    def end(tag: str, text: str) -> None:
        nonlocal phonetic
        if tag == "t" and not phonetic:
            pieces.append(text)
        elif tag == "rPh":
            phonetic -= 1
        elif tag == "si":
            strings.append(_unescaped("".join(pieces)))
            pieces.clear()

    _walk(file, part, start, end)
    return strings


def _rows(file: ScriptFile, part: ScriptFile, shared: list[str]) -> list[tuple[int, list[str]]]:
    rows: list[tuple[int, list[str]]] = []
    cells: list[str] = []
    pieces: list[str] = []
    number = column = phonetic = 0
    kind = ""

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal number, column, kind, phonetic
        if tag == "c":
            match = _REFERENCE.match(attributes.get("r", ""))
            column = _column(match[1]) if match else column + 1
            kind = attributes.get("t", "n")
            pieces.clear()
        elif tag == "row":
            given = attributes.get("r", "")
            number = int(given) if _NUMBER.fullmatch(given) else number + 1
            column = 0
        elif tag == "rPh":
            phonetic += 1

    def end(tag: str, text: str) -> None:
        nonlocal phonetic
        if tag == "v" or (tag == "t" and not phonetic):
            pieces.append(text)
        elif tag == "c":
            value = "".join(pieces)
            if kind == "s":
                value = shared[int(value)] if _NUMBER.fullmatch(value) and int(value) < len(shared) else ""
            elif kind == "e":
                value = ""
            elif kind != "n":
                value = _unescaped(value)
            if value and 0 < column <= COLUMNS:
                cells.extend([""] * (column - len(cells)))
                cells[column - 1] = value
        elif tag == "row":
            if cells:
                rows.append((number, cells.copy()))
                cells.clear()
        elif tag == "rPh":
            phonetic -= 1

    _walk(file, part, start, end)
    return rows


def _column(letters: str) -> int:
    """`A` is 1, `AA` 27."""
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    return column


def _unescaped(text: str) -> str:
    """`_x000D_` is the character of that number (ECMA-376 part 1, 22.9.2.19)."""
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), text) if "_x" in text else text


def _nothing(tag: str, text: str) -> None:
    pass
