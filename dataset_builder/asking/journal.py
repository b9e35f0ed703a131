"""Answers that are finished and paid for, kept beside the output: a line each, on the disk before it counts.

Killed at any moment, a run loses what was being asked and nothing else: a line that was torn is stepped over.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, BinaryIO, Self

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from dataset_builder.asking.cost import Tokens
from dataset_builder.errors import DatasetError


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model said to one question: its answer, or two when the first could not be read."""

    texts: tuple[str, ...]
    finish: str  # why the last one ended: `stop`, `length`, ...
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class _Row:
    key: str
    texts: Annotated[tuple[str, ...], Field(min_length=1)]
    finish: str
    prompt: int
    completion: int


_ROWS = TypeAdapter(_Row)


class Journal:
    """Answers by the question's key. Opening reads what is there; the file is made by the first `add`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = 0  # lines that could not be read
        self._answered: dict[str, Answered] = {}
        self._file: BinaryIO | None = None
        self._at_line_start = True
        try:
            with path.open("rb") as file:
                for line in file:
                    self._at_line_start = line.endswith(b"\n")
                    if not line.isspace():
                        self._take(line)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise DatasetError(f"`{path}` cannot be read: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._answered

    def get(self, key: str) -> Answered | None:
        return self._answered.get(key)

    def add(self, key: str, answered: Answered) -> None:
        """Returns when it is on the disk. Raises `DatasetError` when it cannot be written."""
        tokens = answered.tokens
        row = _Row(key, answered.texts, answered.finish, tokens.prompt, tokens.completion)
        start = b"" if self._at_line_start else b"\n"
        self._at_line_start = False
        try:
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            whole = start + orjson.dumps(row) + b"\n"
            if self._file.write(whole) != len(whole):
                raise DatasetError(f"`{self.path}` cannot be written: the disk is full")
            os.fsync(self._file.fileno())
        except OSError as error:
            raise DatasetError(f"`{self.path}` cannot be written: {error.strerror}") from error
        self._at_line_start = True
        self._answered[key] = answered

    def _take(self, line: bytes) -> None:
        try:
            row = _ROWS.validate_json(line, strict=True)
        except ValidationError:
            self.torn += 1
            return
        answered = Answered(row.texts, row.finish, Tokens(row.prompt, row.completion))
        # The first one counts, so that two runs on one file cannot change what was written from it.
        self._answered.setdefault(row.key, answered)
