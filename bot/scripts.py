"""From a row back to the script: which lines of which file her answer was made of.

A row of an export names its work, file, scene and dialogue. The indexes of her lines stand in the dialogues
that it was made from, and where these stand in a file, in the scenes; `dataset_builder` leaves both in the
folders around the rows. Where they are not there any more, only the scene is known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bot.learned import Row
from inference.prompt import clean

_LEVELS = 5  # of folders above a data file: <out>/<character>/data/trl/messages/train.jsonl
_FIRST_LINE = 2**20  # bytes that are looked at to tell what a file holds


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """A line of hers. `number` is the line in the file from 1, 0 where it is not known; `path` leads to it
    in a structured file."""

    file: str
    index: int  # in the scene
    number: int = 0
    path: str = ""
    text: str = ""


def script_lines(row: Row, answer: int) -> tuple[ScriptLine, ...]:
    """Of the answer at a place of `row.chat`; empty where nothing tells them."""
    origin = row.origin
    if origin is None:
        return ()
    which = row.answers.index(answer)
    around = list(_around(row.path))
    if which < len(origin.lines):
        indexes: tuple[int, ...] = origin.lines[which]
    else:
        indexes = _indexes(around, origin.dialogue, row.chat[answer].content, which)
    known = _scene(around, origin.work, origin.file, origin.scene)
    return tuple(_line(origin.file, index, known.get(index)) for index in indexes)


def _line(file: str, index: int, raw: dict[str, Any] | None) -> ScriptLine:
    if raw is None:
        return ScriptLine(file, index)
    source = raw["source"]
    return ScriptLine(source["file"], index, source.get("line", 0), source.get("path", ""), raw["text"])


def _indexes(around: list[Path], dialogue: str, answer: str, which: int) -> tuple[int, ...]:
    """By the answer's words; where they were changed on the way, by its place."""
    by_place: tuple[int, ...] = ()
    for raw in _objects(around, {"turns", "scene"}, "id", dialogue):
        turns = [turn for turn in raw["turns"] if isinstance(turn, dict)]
        for turn in turns:
            said = (turn["answered"], *turn.get("translations", {}).values())
            if answer in map(clean, said):
                return tuple(turn.get("lines", ()))
        if which < len(turns):
            by_place = by_place or tuple(turns[which].get("lines", ()))
    return by_place


def _scene(around: list[Path], work: str, file: str, scene: str) -> dict[int, dict[str, Any]]:
    for raw in _objects(around, {"lines", "scene"}, "scene", scene):
        if raw.get("file") == file and raw.get("work", "") == work:
            return {line["index"]: line for line in raw["lines"]}
    return {}


def _around(path: Path) -> Iterator[Path]:
    """The row's own file, and files of rows in the folders above it."""
    yield path
    for folder in list(path.absolute().parents)[:_LEVELS]:
        try:
            yield from sorted(other for other in folder.glob("*.jsonl") if other != path.absolute())
        except OSError:
            return


def _objects(paths: list[Path], has: set[str], key: str, value: str) -> Iterator[dict[str, Any]]:
    """The rows with that value, of files whose first row has those keys."""
    if not value and key == "id":
        return
    mark = orjson.dumps({key: value})[1:-1]
    for path in paths:
        try:
            with path.open("rb") as file:
                if not has <= _keys(file.readline(_FIRST_LINE)):
                    continue
                file.seek(0)
                for line in file:
                    if mark in line and (raw := orjson.loads(line)).get(key) == value:
                        yield raw
        except (OSError, ValueError, AttributeError):
            continue


def _keys(line: bytes) -> set[str]:
    try:
        raw = orjson.loads(line)
    except ValueError:
        return set()
    return set(raw) if isinstance(raw, dict) else set()
