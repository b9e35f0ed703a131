"""The files between two commands: JSON, one row a line. A file is there whole or not at all."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from dataset_builder.errors import DatasetError, ScriptError

ROW_LIMIT = 64 * 2**20  # bytes of one row: a whole scene has a few hundred thousand

Row = TypeVar("Row")


def write_rows(rows: Iterable[Any], path: Path) -> int:
    """Write dataclasses, pydantic models or dicts; returns how many. An old file is replaced at the very end.

    Raises `DatasetError`.
    """
    if not path.name or path.is_dir():
        raise DatasetError(f"`{path}` is a folder; name a file")
    unfinished = path.with_name(f".{path.name}.unfinished")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            for row in rows:
                file.write(orjson.dumps(row, _plain, orjson.OPT_APPEND_NEWLINE))
                count += 1
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def read_rows(path: Path, kind: TypeAdapter[Row]) -> Iterator[Row]:
    """Rows of one kind, such as `schema.SCENES`; blank lines are stepped over.

    Raises `DatasetError` for a file that cannot be read, `ScriptError` with the line of a wrong row.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(ROW_LIMIT + 1):
                number += 1
                if len(line) > ROW_LIMIT:
                    raise ScriptError(str(path), number, f"more than {ROW_LIMIT:,} bytes are no row")
                if line.isspace():
                    continue
                try:
                    yield kind.validate_json(line)
                except ValidationError as error:
                    first = error.errors()[0]
                    where = ".".join(map(str, first["loc"])) or "its start"
                    raise ScriptError(str(path), number, f"{first['msg']} at `{where}`") from error
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be read: {error.strerror}") from error


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json")
