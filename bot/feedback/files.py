"""The files of feedback: `events-<day>.jsonl`, one event a line (`dataset_builder.schema`, "feedback").

They only grow, but for people who want to be forgotten: then they are written again without them.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson

Event = dict[str, object]


class EventFiles:
    """The files in `folder`, for one writer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("events-*.jsonl"))

    def read(self) -> Iterator[Event]:
        """All events in their order."""
        for path in self.paths():
            yield from _events(path)

    def append(self, events: Sequence[Event]) -> None:
        """They are on the disk when it returns."""
        if not events:
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / f"events-{datetime.now(UTC).date().isoformat()}.jsonl"
        new = not path.exists()
        with path.open("ab") as file:
            file.write(b"".join(orjson.dumps(event) + b"\n" for event in events))
            file.flush()
            os.fsync(file.fileno())
        if new:
            _sync(self.folder)

    def mend(self) -> dict[str, str]:
        """Cuts off a line that a crash left half written, and tells the last event of each shard in the two
        newest files: what may have been written and not yet taken out of its stream."""
        last: dict[str, str] = {}
        for path in self.paths()[-2:]:
            data = path.read_bytes()
            if data and not data.endswith(b"\n"):
                with path.open("r+b") as file:
                    file.truncate(data.rfind(b"\n") + 1)
            for event in _events(path):
                shard, _, number = str(event["id"]).partition("-")
                last[shard] = number
        return last

    def forget(self, person: str, place: str, *, alone: bool) -> int:
        """Deletes what a person said and heard at a place, her votes, and votes on what answered her; all of
        the place if she is `alone` there. Marks of forgetting and consent stay. How many events it was."""
        gone = 0
        replies: set[object] = set()
        for path in self.paths():
            kept = []
            for event in _events(path):
                if event["place"] == place and _hers(event, person, replies, alone):
                    gone += 1
                else:
                    kept.append(event)
            _write(path, kept)
        return gone


def _hers(event: Event, person: str, replies: set[object], alone: bool) -> bool:
    kind = event["kind"]
    if kind in ("consent", "forget", "quarantine"):
        return False
    if kind == "reply":
        people = event["people"]
        assert isinstance(people, list)
        if alone or person in people:
            replies.add(event["reply"])
            return True
        return False
    return alone or event["person"] == person or event["reply"] in replies


def _events(path: Path) -> Iterator[Event]:
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield orjson.loads(line)


def _write(path: Path, events: Iterable[Event]) -> None:
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        for event in events:
            file.write(orjson.dumps(event) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    if os.name == "posix":  # Windows cannot open a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
