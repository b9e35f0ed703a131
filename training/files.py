"""Files that training reads row by row, writes whole, or holds alone."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from training.errors import RowError, TrainingError

ROW_LIMIT = 4 * 2**20  # bytes


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines, each with the number of its line.

    Raises `RowError` for the first line that is none, `TrainingError` if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.isspace():
                    continue
                if len(line) > ROW_LIMIT:
                    raise RowError(path, number, f"more than {ROW_LIMIT:,} bytes are no row")
                try:
                    raw: Any = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise RowError(path, number, f"it is no JSON: {error}") from error
                if not isinstance(raw, dict):
                    raise RowError(path, number, "it is no JSON object")
                yield number, raw
    except OSError as error:
        raise TrainingError(f"`{path}` cannot be read: {error.strerror}") from error


@contextmanager
def naming_row(path: Path, line: int) -> Iterator[None]:
    """Turns what is wrong with a row into a `RowError` that names it."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RowError(path, line, f"`{place}`: {first['msg']}") from error
    except ValueError as error:
        raise RowError(path, line, str(error)) from error


def write_whole(path: Path, text: str) -> None:
    """Whole or not at all. Raises `OSError`."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


@contextmanager
def held(folder: Path, taken: str) -> Iterator[None]:
    """Holds `folder` for this process, and makes it if need be.

    Raises `TrainingError` with the words `taken` where another process has it.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise TrainingError(taken) from error
    try:
        yield
    finally:
        lock.release()
