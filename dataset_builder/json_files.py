"""JSON files and JSON lines of strangers, as plain values."""

from collections.abc import Iterator
from typing import Any

import orjson

from dataset_builder.decode import decode
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.work import ScriptFile


def read_json(file: ScriptFile, encoding: str | None) -> Any:
    """What the file says. Raises `ScriptError` with the line; a depth of 1,024 is too deep."""
    text = decode(file.read(), file.name, encoding)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ScriptError(file.name, error.lineno, f"no JSON: {error.msg}") from error


def read_json_lines(file: ScriptFile, encoding: str | None, losses: Losses) -> Iterator[tuple[int, Any]]:
    """(line, value) for each line; one that is broken is counted. Raises `ScriptError` if all are."""
    broken: ScriptError | None = None
    sound = False
    for number, line in enumerate(decode(file.read(), file.name, encoding).split("\n"), 1):
        if not line or line.isspace():
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            broken = broken or ScriptError(file.name, number, f"no JSON: {error.msg}")
            losses.skip("broken record")
            losses.warn(f"{file.name}, line {number}", f"no JSON: {error.msg}")
        else:
            sound = True
            yield number, value
    if broken and not sound:
        raise broken


def strings(value: Any) -> tuple[str, ...]:
    """A string, or the strings of a list, that are not empty; () for anything else."""
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, list):
        return tuple(each for each in value if isinstance(each, str) and each)
    return ()
