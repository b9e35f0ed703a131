"""What people thought of one reply, each vote explained: who, when, how much it weighs and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.feedback.names import Names
from bot.feedback.quarantine import VoteFiles
from bot.feedback.votes import Votes
from bot.memory.store import Store
from bot.messages import Place, Vote

_WHY = {
    "bystander": "was never answered here by a character, so only looked on",
    "newcomer": "was first heard here less than a day before",
    "daily-cap": "had voted on as many of her replies that day as count",
}
_FULL = "took part in the conversation and had been here for a day or longer"


@dataclass(frozen=True, slots=True)
class Opinion:
    """A vote as it stands. `person` is the keyed hash that the files of feedback use."""

    person: str
    time: float  # unix seconds
    vote: Vote
    weight: float
    why: str
    held: str = ""  # id of the rush that it is held back with

    @property
    def counts(self) -> bool:
        return self.weight > 0 and not self.held


async def opinions(store: Store, files: VoteFiles, place: Place, reply: str) -> list[Opinion]:
    """The votes on a reply that the memory has, oldest first. Raises `StorageUnavailable`."""
    names = await Names.open(store)
    votes = Votes(store, names, keep_seconds=1, daily=1)  # only reads
    return _told(
        files,
        reply,
        [
            (names.person(place, person), cast.time, cast.vote, cast.weight, cast.reasons)
            for person, cast in (await votes.of(place, reply)).items()
        ],
    )


def opinions_in_files(files: VoteFiles, reply: str) -> list[Opinion]:
    """The same for a reply that the memory has let go of."""
    return _told(
        files,
        reply,
        [
            (vote.person, vote.time, vote.new, vote.weight, vote.reasons)
            for vote in files.votes()
            if vote.reply == reply and vote.new is not None
        ],
    )


def _told(
    files: VoteFiles, reply: str, votes: Sequence[tuple[str, float, Vote, float, tuple[str, ...]]]
) -> list[Opinion]:
    held = {vote.person: rush for rush in files.rushes() for vote in rush.votes if vote.reply == reply}
    found = []
    for person, time, vote, weight, reasons in votes:
        why = "; ".join(_WHY[reason] for reason in reasons) or _FULL
        rush = held.get(person)
        if rush is not None:
            why += f"; held back: {rush.reason}"
        found.append(Opinion(person, time, vote, weight, why, rush.id if rush else ""))
    return sorted(found, key=lambda each: each.time)
