"""The bot's event files, read as one stream of events: `events-<day>.jsonl` in one folder or several."""

import hashlib
import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import orjson
from pydantic import ValidationError

from dataset_builder.errors import DatasetError, ScriptError
from dataset_builder.rows import ROW_LIMIT
from dataset_builder.schema import FEEDBACK, FeedbackEvent

PATTERN = "events-*.jsonl"
_SHOWN_EVERY = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class EventFile:
    """A file as it was when it was read: the bot may go on writing it."""

    path: str
    sha256: str
    events: int
    torn: bool  # its last line was half written, and is left out


class Events:
    """All events of some folders, or of single files, each once.

    The events of a folder come in their order. Those of several folders, which bots on several machines
    write, are laid into one another by time.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        """Raises `DatasetError` where there are no event files."""
        self._sources = [event_files(path) for path in paths]
        self.files: list[EventFile] = []
        self.repeated = 0  # events that had been read already
        self._read = 0

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(path.stat().st_size for files in self._sources for path in files if path.exists())

    def read(self, advance: Callable[[int], object] = lambda done: None) -> Iterator[FeedbackEvent]:
        """The events; `advance` is told how many bytes are read.

        Raises `ScriptError` with file and line of the first that is none, `DatasetError` for a file that
        cannot be read.
        """
        seen: set[str] = set()
        streams = (self._stream(files, advance) for files in self._sources)
        for event in heapq.merge(*streams, key=lambda event: event.time):
            if event.id in seen:
                self.repeated += 1
                continue
            seen.add(event.id)
            yield event

    def _stream(self, files: Sequence[Path], advance: Callable[[int], object]) -> Iterator[FeedbackEvent]:
        for path in files:
            digest, count, torn = hashlib.sha256(), 0, False
            for number, line in _lines(path):
                digest.update(line)
                before = self._read
                self._read += len(line)
                if self._read // _SHOWN_EVERY > before // _SHOWN_EVERY:
                    advance(self._read)
                if line.isspace():
                    continue
                try:
                    event = FEEDBACK.validate_json(line)
                except ValidationError as error:
                    if not line.endswith(b"\n"):
                        torn = True  # there is no line after one without an end
                        continue
                    raise ScriptError(str(path), number, _what_is_wrong(error)) from error
                count += 1
                yield event
            self.files.append(EventFile(str(path), digest.hexdigest(), count, torn))


def event_files(path: Path) -> list[Path]:
    """The event files of a folder, oldest first; a file is one itself. Raises `DatasetError`."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DatasetError(
            f"`{path}`: there is no such folder; the bot writes its events into `feedback` in its data folder"
        )
    files = sorted(path.glob(PATTERN))
    if not files:
        raise DatasetError(f"`{path}` has no event files (`{PATTERN}`); the bot writes them as people talk")
    return files


def characters_in(paths: Sequence[Path]) -> list[str]:
    """Whose replies the files tell of, by name. Lines that are no JSON are left to `Events`."""
    found: set[str] = set()
    known: list[bytes] = []  # as it stands in the lines of those who were found
    for file in chain.from_iterable(map(event_files, paths)):
        for _, line in _lines(file):
            if any(mark in line for mark in known):
                continue
            try:
                event = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(event, dict) and event.get("kind") == "reply":
                name = str(event.get("character"))
                found.add(name)
                known.append(b'"character":' + orjson.dumps(name))
    return sorted(found)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(ROW_LIMIT + 1):
                number += 1
                if len(line) > ROW_LIMIT:
                    raise ScriptError(str(path), number, f"more than {ROW_LIMIT:,} bytes are no event")
                yield number, line
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be read: {error.strerror}") from error


def _what_is_wrong(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "its start"
    return f"{first['msg']} at `{place}`"
