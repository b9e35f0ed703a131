"""The list of terms as a table that a person looks through and edits, in a spreadsheet or in an editor.

Tab-separated, UTF-8 with a byte-order mark, since Excel takes it for the old code page otherwise. What is
taken out stands first, the most frequent on top; then what a source only suspects ("undecided"); then what
stays. To decide, write another word into the first column; what is not understood is refused with its line.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from dataset_builder.decode import decode
from dataset_builder.errors import DatasetError
from dataset_builder.filtering.placeholders import PLACEHOLDER, general_word, with_placeholders
from dataset_builder.filtering.terms import ACTIONS, KINDS, LONGEST, Term, weight
from inference.prompt import clean

Word = TypeVar("Word", bound=str)

COLUMNS = ("action", "text", "kind", "replacement", "count", "sources", "of", "language", "examples")
_BETWEEN = " | "
_FORMULA = ("=", "+", "-", "@", "'")  # a cell that begins so is no text for a spreadsheet


def write_review(path: Path, terms: Iterable[Term]) -> None:
    """The same terms give the same bytes. Raises `DatasetError`."""
    table = io.StringIO()
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for term in terms:
        replacement = general_word(term) if term.action == "generalise" else term.replacement
        writer.writerow(
            _cell(text)
            for text in (
                term.action,
                term.text,
                term.kind,
                replacement,
                str(term.count),
                _BETWEEN.join(term.sources),
                _BETWEEN.join(term.of),
                term.language,
                _BETWEEN.join(term.examples),
            )
        )
    try:
        path.write_bytes(b"\xef\xbb\xbf" + table.getvalue().encode())
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be written: {error.strerror}") from error


def read_review(path: Path) -> list[Term]:
    """The terms as somebody decided. Columns may stand in another order; all but `action` and `text` may be
    missing.

    Raises `DatasetError`, with the line, for an action or a kind that there is not, and for a replacement
    that would not survive in a prompt.
    """
    try:
        text = decode(path.read_bytes(), path.name)
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be read: {error.strerror}") from error
    rows = csv.reader(io.StringIO(text), delimiter="\t")
    terms: list[Term] = []
    try:
        header = [name.strip().casefold() for name in next(rows, [])]
        if not {"action", "text"}.issubset(header):
            raise DatasetError(
                f"`{path}` needs a first line with the columns `action` and `text`, between tabs"
            )
        for row in rows:
            cells = dict(zip(header, map(_text, row), strict=False))
            if cells.get("text"):
                terms.append(_row(cells, f"`{path}`, line {rows.line_num}"))
    except csv.Error as error:
        raise DatasetError(f"`{path}`, line {rows.line_num}: {error}") from error
    return with_placeholders(terms)


def decided(terms: Sequence[Term], reviewed: Iterable[Term]) -> list[Term]:
    """Newly found `terms` with what was decided before: old decisions and placeholders stay, rows that
    somebody added stay, and new terms get placeholders that nobody has."""
    old = {term.text: term for term in reviewed}
    found = {term.text for term in terms}
    merged = [
        replace(term, action=before.action, kind=before.kind, of=before.of, replacement=before.replacement)
        if (before := old.get(term.text))
        else replace(term, replacement="")
        for term in terms
    ]
    merged += [term for text, term in old.items() if text not in found]
    return with_placeholders(sorted(merged, key=weight))


def _row(cells: dict[str, str], place: str) -> Term:
    text = cells["text"]
    action = _one_of(ACTIONS, cells.get("action", ""), "action", place)
    kind = _one_of(KINDS, cells.get("kind") or "term", "kind", place)
    replacement = cells.get("replacement", "")
    if len(text) > LONGEST:
        raise DatasetError(f"{place}: more than {LONGEST} letters are no term")
    if clean(replacement) != replacement:
        raise DatasetError(
            f"{place}: `{replacement}` would be changed in a prompt; write another replacement"
        )
    count = cells.get("count", "")
    term = Term(
        text,
        kind,
        cells.get("language", ""),
        action,
        replacement,
        _list(cells.get("sources", "")),
        _list(cells.get("of", "")),
        int(count) if count.isdecimal() and len(count) < 10 else 0,
        _list(cells.get("examples", "")),
    )
    # Somebody who changes the action alone leaves the other action's replacement behind.
    if action == "generalise" and (not replacement or PLACEHOLDER.fullmatch(replacement)):
        return replace(term, replacement=general_word(term))
    if action == "placeholder" and replacement == general_word(term):
        return replace(term, replacement="")
    return term


def _one_of(words: tuple[Word, ...], word: str, what: str, place: str) -> Word:
    for each in words:
        if each == word.casefold():
            return each
    raise DatasetError(f"{place}: the {what} `{word}` is none of {', '.join(words)}")


def _list(cell: str) -> tuple[str, ...]:
    return tuple(part for part in cell.split(_BETWEEN) if part)


def _cell(text: str) -> str:
    text = " ".join(text.split("\n")).replace("\t", " ")
    return "'" + text if text.startswith(_FORMULA) else text


def _text(cell: str) -> str:
    cell = cell.strip()
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
