"""The votes of each version, day by day: what the events come to."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.feedback.files import Event
from dataset_builder.schema import QuarantineEvent, Tally, VersionTally, VoteEvent

Key = tuple[str, str, str, str]  # character, version, arm, day
_NUMBERS = ("shown", "up", "down", "weighted_up", "weighted_down", "regenerated", "quarantined")


@dataclass(frozen=True, slots=True)
class _Counted:
    key: Key
    changes: tuple[tuple[str, float], ...]


class Counts:
    """Takes events one by one, in their order. A quarantine reaches back: who adds one counts anew."""

    def __init__(self, events: Iterable[Event] = (), quarantines: Iterable[QuarantineEvent] = ()) -> None:
        self._held = standing(quarantines)
        self._sums: dict[Key, Counter[str]] = {}
        self._votes: dict[tuple[str, str, str], _Counted] = {}  # place, reply, person
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        if event["kind"] == "reply":
            key = _key(event)
            self._sum(key)["shown"] += 1
            self._sum(key)["regenerated"] += bool(event.get("swipe"))
        elif event["kind"] == "vote":
            self._vote(VoteEvent.model_validate(event))

    def _vote(self, vote: VoteEvent) -> None:
        whose = vote.place, vote.reply, vote.person
        if before := self._votes.pop(whose, None):
            self._change(before, -1)
        if vote.new is None:
            return
        changes: tuple[tuple[str, float], ...] = ((vote.new, 1), (f"weighted_{vote.new}", vote.weight))
        if any(holds(each, vote) for each in self._held):
            changes = (("quarantined", 1),)
        self._votes[whose] = _Counted(_key(vote.model_dump()), changes)
        self._change(self._votes[whose], 1)

    def _change(self, counted: _Counted, sign: int) -> None:
        for name, amount in counted.changes:
            self._sum(counted.key)[name] += sign * amount  # type: ignore[assignment]  # weights are no integers

    def _sum(self, key: Key) -> Counter[str]:
        return self._sums.setdefault(key, Counter())

    def tally(self) -> Tally:
        """All of it, oldest day first."""
        return Tally(
            time=datetime.now(UTC).timestamp(),
            versions=tuple(
                VersionTally(
                    character=character,
                    version=version,
                    arm=arm,
                    day=day,
                    **{name: round(sums[name], 4) for name in _NUMBERS},
                )
                for (character, version, arm, day), sums in sorted(
                    self._sums.items(), key=lambda each: (each[0][3], each[0])
                )
            ),
        )


def _key(event: Event) -> Key:
    day = datetime.fromtimestamp(float(str(event["time"])), UTC).date().isoformat()
    return str(event["character"]), str(event["version"]), str(event.get("arm", "")), day


def standing(quarantines: Iterable[QuarantineEvent]) -> list[QuarantineEvent]:
    """Those that were not released. A release names its span, character and persons as the quarantine did."""
    found: dict[tuple[str, float, float, tuple[str, ...]], QuarantineEvent] = {}
    for each in quarantines:
        span = each.character, each.since, each.until, each.persons
        if each.released:
            found.pop(span, None)
        else:
            found[span] = each
    return list(found.values())


def holds(quarantine: QuarantineEvent, vote: VoteEvent) -> bool:
    """Whether the vote does not count."""
    return (
        quarantine.character == vote.character
        and quarantine.since <= vote.time <= quarantine.until
        and (not quarantine.persons or vote.person in quarantine.persons)
    )
