"""Writes XLSX workbooks by hand, also such as no program writes."""

import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from xml.sax.saxutils import escape

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_BOOK = "xl/workbook.xml"


def package(parts: Mapping[str, str], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    written = BytesIO()
    with zipfile.ZipFile(written, "w", compression) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return written.getvalue()


def parts(sheets: Mapping[str, str], shared: str | None = None) -> dict[str, str]:
    """The parts of a workbook, of sheets given by name as what stands in their `sheetData`."""
    names = list(sheets)
    relations = [
        f'<Relationship Id="r{number}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        for number in range(1, len(names) + 1)
    ]
    if shared is not None:
        relations.append(f'<Relationship Id="s" Type="{_OFFICE}/sharedStrings" Target="/xl/shared.xml"/>')
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{number}" r:id="r{number}"/>'
        for number, name in enumerate(names, 1)
    )
    made = {
        "_rels/.rels": _relations(f'<Relationship Id="a" Type="{_OFFICE}/officeDocument" Target="{_BOOK}"/>'),
        _BOOK: f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _relations("".join(relations)),
    }
    for number, name in enumerate(names, 1):
        data = f"<sheetData>{sheets[name]}</sheetData>"
        made[f"xl/worksheets/sheet{number}.xml"] = (
            f'<x:worksheet xmlns:x="{_MAIN}">{_prefixed(data)}</x:worksheet>'
        )
    if shared is not None:
        made["xl/shared.xml"] = f'<sst xmlns="{_MAIN}">{shared}</sst>'
    return made


def _relations(inner: str) -> str:
    return f'<Relationships xmlns="{_PACKAGE}">{inner}</Relationships>'


def _prefixed(data: str) -> str:
    """With a namespace's prefix on each tag, as some programs write."""
    return data.replace("<", "<x:").replace("<x:/", "</x:")


def rows(*cells: Sequence[str]) -> str:
    """Rows of inline strings."""
    return "".join(
        "<row>" + "".join(f'<c t="inlineStr"><is><t>{escape(cell)}</t></is></c>' for cell in row) + "</row>"
        for row in cells
    )


def workbook(**sheets: Sequence[Sequence[str]]) -> bytes:
    return package(parts({name: rows(*table) for name, table in sheets.items()}))
