"""What is held back: rushes of votes, as the owner looks at them, and how they come to count again.

A rush that grows makes one quarantine after another, each with a few persons more. The owner sees it as one
and releases it as one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from bot import keys
from bot.feedback.events import HAPPENED
from bot.feedback.files import Event, EventFiles
from bot.feedback.tally import holds, standing
from bot.memory.store import Script, Store
from dataset_builder.schema import QuarantineEvent, VoteEvent

# KEYS events. ARGV ttl, events.
_RELEASE = Script(
    HAPPENED
    + """
for i = 2, #ARGV do happened(KEYS[1], ARGV[i], ARGV[1]) end
return 1
"""
)


@dataclass(frozen=True, slots=True)
class Rush:
    """Votes for a character that are held back together. `id` is its first quarantine's."""

    id: str
    quarantines: tuple[QuarantineEvent, ...]
    votes: tuple[VoteEvent, ...]  # that stand, and would count

    @property
    def character(self) -> str:
        return self.quarantines[0].character

    @property
    def since(self) -> float:
        return min(each.since for each in self.quarantines)

    @property
    def until(self) -> float:
        return max(each.until for each in self.quarantines)

    @property
    def persons(self) -> frozenset[str]:
        """Whose votes; empty: everybody's."""
        return frozenset(person for each in self.quarantines for person in each.persons)

    @property
    def reason(self) -> str:
        """The last one: the rush was largest then."""
        return self.quarantines[-1].reason


class VoteFiles:
    """What the files of feedback say about votes: those that stand, and what is held back of them. Read once,
    and again when the files have changed."""

    def __init__(self, folder: Path) -> None:
        self._files = EventFiles(folder)
        self._state: object = None
        self._votes: list[VoteEvent] = []
        self._rushes: list[Rush] = []

    def votes(self) -> list[VoteEvent]:
        """Each person's last word on each reply, without those taken back."""
        self._refresh()
        return self._votes

    def rushes(self) -> list[Rush]:
        """What is held back, the oldest first."""
        self._refresh()
        return self._rushes

    def _refresh(self) -> None:
        state = [
            (path, stat.st_size, stat.st_mtime_ns) for path in self._files.paths() for stat in [path.stat()]
        ]
        if state == self._state:
            return
        votes: dict[tuple[str, str, str], VoteEvent] = {}
        quarantines: list[QuarantineEvent] = []
        for event in _votes_and_quarantines(self._files):
            if event["kind"] == "quarantine":
                quarantines.append(QuarantineEvent.model_validate(event))
                continue
            vote = VoteEvent.model_validate(event)
            whose = vote.place, vote.reply, vote.person
            if vote.new is None:
                votes.pop(whose, None)
            else:
                votes[whose] = vote
        self._votes = list(votes.values())
        self._rushes = list(_rushes(standing(quarantines), self._votes))
        self._state = state


async def release(store: Store, rush: Rush, keep_seconds: int) -> None:
    """Let a rush count again: the journal takes it up. Twice is as good as once. Raises
    `StorageUnavailable`."""
    events = [
        orjson.dumps(each.model_dump(mode="json", exclude={"id", "time"}) | {"released": True})
        for each in rush.quarantines
    ]
    await store.run(_RELEASE, [keys.events(keys.SHARDS[0])], keep_seconds, *events)


def _votes_and_quarantines(files: EventFiles) -> Iterator[Event]:
    """Most lines are replies: they are not even parsed."""
    for path in files.paths():
        with path.open("rb") as file:
            for line in file:
                if (b'"kind":"vote"' in line or b'"kind":"quarantine"' in line) and line.endswith(b"\n"):
                    yield orjson.loads(line)


def _rushes(quarantines: Iterable[QuarantineEvent], votes: Sequence[VoteEvent]) -> Iterator[Rush]:
    groups: list[list[QuarantineEvent]] = []
    for each in quarantines:
        near = [group for group in groups if any(_overlap(each, other) for other in group)]
        groups = [group for group in groups if group not in near]
        groups.append([*(other for group in near for other in group), each])
    for group in groups:
        held = tuple(vote for vote in votes if any(holds(each, vote) for each in group))
        yield Rush(group[0].id, tuple(group), held)


def _overlap(one: QuarantineEvent, other: QuarantineEvent) -> bool:
    return (
        one.character == other.character
        and one.since <= other.until
        and other.since <= one.until
        and (not one.persons or not other.persons or not set(one.persons).isdisjoint(other.persons))
    )
