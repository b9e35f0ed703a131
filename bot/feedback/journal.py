"""Takes events out of Redis and into the files of feedback: written and synced there before they go here, so
that a crash in between loses none, and none is written twice.

One bot of those on a memory does it; another takes over when that one is gone. Each writes its own folder.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable

import orjson
from pydantic import ValidationError

from bot import keys
from bot.errors import StorageUnavailable
from bot.feedback.bursts import Bursts, looked_at
from bot.feedback.events import KEPT, Events
from bot.feedback.files import Event, EventFiles
from bot.feedback.tally import Counts
from dataset_builder.schema import FEEDBACK, ForgetEvent, QuarantineEvent, VoteEvent

TALLY = "tally.json"
_EVERY_SECONDS = 2.0
_HOLD_SECONDS = 30.0
_BATCH = 500  # events of a shard at a time

log = logging.getLogger(__name__)


class Journal:
    """`run` until it is stopped; `drain` takes what is there now."""

    def __init__(self, events: Events, files: EventFiles) -> None:
        self._events = events
        self._files = files
        self._last: dict[str, str] | None = None  # by shard; None: the files have not been read yet
        self._counts = Counts()
        self._bursts = Bursts()
        self._full: set[str] = set()  # shards of which it was said

    async def run(self, stop: asyncio.Event) -> None:
        while True:
            stopping = stop.is_set()  # then once more, for what happened last
            try:
                await self.drain()
            except StorageUnavailable as error:
                log.debug("feedback waits: %s", error)
            except OSError as error:
                log.error("feedback cannot be written into `%s`: %s", self._files.folder, error)
            if stopping:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_SECONDS):
                    await stop.wait()
        with contextlib.suppress(StorageUnavailable):
            await self._events.let_go()

    async def drain(self) -> int:
        """How many events were written. Raises `StorageUnavailable`, `OSError`."""
        if not await self._events.hold(_HOLD_SECONDS):
            self._last = None  # somebody else may write meanwhile
            return 0
        if self._last is None:
            await asyncio.to_thread(self._open)
        taken = 0
        for shard in keys.SHARDS:
            while found := await self._events.read(shard, _BATCH):
                await asyncio.to_thread(self._write, shard, found)
                await self._events.done(shard, [id_ for id_, _ in found])
                taken += len(found)
                await self._warn(shard)
                if len(found) < _BATCH or not await self._events.hold(_HOLD_SECONDS):
                    break
        if taken:
            await asyncio.to_thread(self._write_tally)
        return taken

    async def _warn(self, shard: str) -> None:
        if shard not in self._full and await self._events.waiting(shard) > KEPT // 2:
            self._full.add(shard)
            log.error("feedback comes faster than it is written: `%s` will lose its oldest events", shard)

    # --- in a thread: files ---------------------------------------------------------------------------------

    def _open(self) -> None:
        self._last = self._files.mend()
        self._count_anew()
        self._write_tally()

    def _write(self, shard: str, found: Iterable[tuple[str, bytes]]) -> None:
        assert self._last is not None, "opened"
        waiting: list[Event] = []
        last = _place_in_stream(self._last.get(shard, "0-0"))
        for id_, raw in found:
            if _place_in_stream(id_) <= last:
                continue  # written before a crash
            event = {"id": f"{shard}-{id_}", "time": int(id_.partition("-")[0]) / 1000, **orjson.loads(raw)}
            try:
                known = FEEDBACK.validate_python(event)
            except ValidationError as error:
                log.error("an event is left out: %s", error)
                continue
            if isinstance(known, ForgetEvent):
                # The mark comes last: it says that all before it is done.
                self._files.append(waiting)
                self._files.forget(known.person, known.place, alone=known.alone)
                waiting = [event]
                self._count_anew()
            elif isinstance(known, VoteEvent):
                waiting.append(event)
                self._counts.add(event)
                if quarantine := self._bursts.look(known):
                    log.warning("votes for `%s` are held back: %s", known.character, quarantine.reason)
                    self._files.append([*waiting, quarantine.model_dump(mode="json")])
                    waiting = []
                    self._count_anew()
            elif isinstance(known, QuarantineEvent):
                self._files.append([*waiting, event])
                waiting = []
                self._count_anew()
            else:
                waiting.append(event)
                self._counts.add(event)
            self._last[shard] = id_
        self._files.append(waiting)

    def _count_anew(self) -> None:
        held = [
            QuarantineEvent.model_validate(event)
            for event in self._files.read()
            if event["kind"] == "quarantine"
        ]
        self._counts = Counts(self._files.read(), held)
        self._bursts = looked_at(
            (VoteEvent.model_validate(event) for event in self._files.read() if event["kind"] == "vote"), held
        )

    def _write_tally(self) -> None:
        self._files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._files.folder / TALLY
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(self._counts.tally().model_dump_json() + "\n", encoding="utf-8")
        unfinished.replace(path)


def _place_in_stream(id_: str) -> tuple[int, int]:
    time, _, number = id_.partition("-")
    return int(time), int(number or 0)
