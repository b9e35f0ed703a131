"""Votes that come in a rush from people nobody knows: they are held back until the owner has looked.

A few hundred rigged votes move a ranking (arXiv 2501.17858), and a small bot needs fewer. Who has voted for a
day or longer is not held back, so neither is a lively evening of regulars.
"""

import math
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from dataset_builder.schema import QuarantineEvent, VoteEvent

WINDOW = 3600.0  # seconds that are looked at
NEW = 86_400.0  # seconds since a person's first vote for which she is a newcomer
MEMORY = 7 * 86_400.0  # seconds from which the usual rate is taken
USUAL = 3.0  # newcomers' votes an hour that are nothing unusual anywhere
PERSONS = 5  # a rush has at least so many
RARE = 1e-4  # how improbable it must be at the usual rate
ONE_WAY = 0.8  # share that says the same


@dataclass
class _Votes:
    first: dict[str, float] = field(default_factory=dict)  # person -> time of the first vote
    recent: deque[VoteEvent] = field(default_factory=deque)  # newcomers' votes within `MEMORY`
    held: set[str] = field(default_factory=set)
    trusted: set[str] = field(default_factory=set)  # whom the owner has released


class Bursts:
    """Looks at votes in their order, each character's by themselves."""

    def __init__(self) -> None:
        self._of: defaultdict[str, _Votes] = defaultdict(_Votes)

    def trust(self, released: QuarantineEvent) -> None:
        """The owner has looked at these persons: the next newcomer shall not hold them back again."""
        self._of[released.character].trusted.update(released.persons)

    def look(self, vote: VoteEvent) -> QuarantineEvent | None:
        """The quarantine that this vote makes necessary."""
        votes = self._of[vote.character]
        first = votes.first.setdefault(vote.person, vote.time)
        if vote.new is None or vote.time - first > NEW or vote.person in votes.trusted:
            return None
        votes.recent.append(vote)
        while votes.recent[0].time < vote.time - MEMORY:
            votes.recent.popleft()
        rush = [each for each in votes.recent if each.time > vote.time - WINDOW]
        same = [each for each in rush if each.new == vote.new]
        persons = {each.person for each in same}
        usual = max(USUAL, (len(votes.recent) - len(rush)) / (MEMORY / WINDOW))
        if len(persons) < PERSONS or len(same) < ONE_WAY * len(rush) or poisson_tail(len(rush), usual) > RARE:
            return None
        if persons <= votes.held:
            return None
        votes.held |= persons
        return QuarantineEvent(
            id=f"quarantine-{vote.id}",
            time=vote.time,
            place="",
            character=vote.character,
            since=same[0].time,
            until=vote.time + WINDOW,
            persons=tuple(sorted(persons)),
            reason=f"{len(rush)} votes of {len(persons)} newcomers within an hour, where {usual:.0f} are "
            f"usual, {len(same) / len(rush):.0%} of them {vote.new}",
        )


def poisson_tail(count: int, mean: float) -> float:
    """The probability of at least `count` events where `mean` are expected."""
    below = math.exp(-mean) * sum(mean**k / math.factorial(k) for k in range(count)) if count < 150 else 1.0
    return max(0.0, 1.0 - below)


def looked_at(votes: Iterable[VoteEvent], quarantines: Iterable[QuarantineEvent] = ()) -> Bursts:
    """One that has seen these votes already, and what the owner has released."""
    bursts = Bursts()
    for each in quarantines:
        if each.released:
            bursts.trust(each)
    for vote in votes:
        bursts.look(vote)
    return bursts
