"""What people's votes and choices say of replies: each is a row that can train."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Literal

from dataset_builder.feedback.answers import Answer, Turn, Vote
from dataset_builder.feedback.state import Feedback
from dataset_builder.feedback.usable import FORGOTTEN, LEFT_OUT, NO_CONSENT, Usable

TIE = "a tie"
SAME_WORDS = "the same words"
OTHER_PROMPT = "answers to different prompts"

_NOTHING = 1e-6  # of a sum of weights

Kind = Literal["vote", "swipe", "flip", "edit", "votes"]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One reply that was found good (`better`) or bad (`worse`), or two to one prompt."""

    kind: Kind
    better: Answer | None
    worse: Answer | None
    weight: float
    judges: tuple[str, ...]  # whose judgement it is
    events: tuple[str, ...]  # ids of what it was made of

    @property
    def answers(self) -> tuple[Answer, ...]:
        return tuple(each for each in (self.better, self.worse) if each is not None)

    @property
    def first(self) -> Answer:
        """Whose prompt is the row's."""
        first = self.better or self.worse
        assert first is not None
        return first

    @property
    def id(self) -> str:
        return " ".join(each.event for each in self.answers)

    @property
    def persons(self) -> set[str]:
        """Everybody who has part in it: by judging, or by words in its prompt."""
        found = set(self.judges)
        for answer in self.answers:
            found.update(*(part.persons for part in (answer, *answer.window)))
        return found

    @property
    def places(self) -> set[str]:
        return {answer.turn.place for answer in self.answers}


def verdicts(feedback: Feedback, usable: Usable, lost: Counter[str]) -> Iterator[Row]:
    """A row for each reply that more weight of votes speaks for than against, or the other way round.

    `lost` counts the votes that do not count, by reason.
    """
    for answer in feedback.replies():
        votes = [vote for vote in answer.votes if vote.up is not None]
        counted = [vote for vote in votes if not _lost(usable.why_no_vote(answer, vote), lost)]
        if not counted:
            continue
        net = sum(vote.weight if vote.up else -vote.weight for vote in counted)
        if abs(net) < _NOTHING:
            lost[TIE] += len(counted)
            continue
        yield Row(
            kind="vote",
            better=answer if net > 0 else None,
            worse=None if net > 0 else answer,
            weight=abs(net),
            judges=_judges(answer, counted),
            events=(answer.event, *(vote.event for vote in counted)),
        )


def _judges(answer: Answer, votes: Sequence[Vote]) -> tuple[str, ...]:
    """Mostly those who spoke: then it is the same tuple, and not another hundred thousand."""
    judges = tuple(sorted(vote.person for vote in votes))
    return answer.people if judges == answer.people else judges


def choices(feedback: Feedback, usable: Usable, lost: Counter[str]) -> Iterator[Row]:
    """A row for each answer that another one to the same message was kept instead of.

    Kept is what was chosen among the answers, written by a person, or gone on with. Which answer came last
    says nothing by itself: who does not like that one either may simply have left.
    """
    gone_on_with = _gone_on_with(feedback, usable)
    for turn in feedback.turns.values():
        kept = turn.kept
        kind = _kind(turn, gone_on_with)
        if kept is None or kind is None:
            continue
        others = [each for each in turn.answers if each is not kept]
        if others and not _lost(_why_no_choice(turn, kept, usable), lost):
            yield from _pairs(turn, kept, kind, others, usable, lost)


def _gone_on_with(feedback: Feedback, usable: Usable) -> dict[Turn, Answer]:
    """Of turns with several answers the one that stood in the prompt of the next message; the hash of that
    prompt is what proves it."""
    found = {}
    for turn in feedback.turns.values():
        following = turn.answers[0]
        last = following.window[-1] if following.window else None
        if last is not None and len(last.turn.answers) > 1 and not usable.why_not(following):
            found[last.turn] = last
    return found


def _kind(turn: Turn, gone_on_with: Mapping[Turn, Answer]) -> Kind | None:
    if turn.kept is not None and turn.kept.author:
        return "edit"
    if turn.choice is not None:
        return "flip"
    return "swipe" if turn.kept is gone_on_with.get(turn) else None


def _why_no_choice(turn: Turn, kept: Answer, usable: Usable) -> str:
    if turn.choice is not None:
        chooser = (turn.choice.person,)
        if usable.forgets(kept, chooser, turn.chosen):
            return FORGOTTEN
        if not usable.allows(kept, chooser, turn.chosen):
            return NO_CONSENT
    return LEFT_OUT if usable.why_not(kept) else ""


def _pairs(
    turn: Turn, kept: Answer, kind: Kind, others: Iterable[Answer], usable: Usable, lost: Counter[str]
) -> Iterator[Row]:
    judges = kept.people if turn.choice is None else (turn.choice.person,)
    for other in others:
        if not _lost(_why_no_pair(kept, other, usable), lost):
            events = (kept.event, other.event, *([turn.choice.id] if turn.choice else []))
            yield Row(kind, kept, other, 1.0, judges, tuple(dict.fromkeys(events)))


def _why_no_pair(kept: Answer, other: Answer, usable: Usable) -> str:
    if usable.why_not(other):
        return LEFT_OUT
    if other.prompt != kept.prompt:
        return OTHER_PROMPT
    return SAME_WORDS if other.text == kept.text else ""


def opposites(rows: Sequence[Row]) -> Iterator[Row]:
    """Liked replies beside disliked ones to the very same prompt: each at least once, none with all."""
    divided = {row.first.prompt for row in rows if row.better} & {
        row.first.prompt for row in rows if row.worse
    }
    by_prompt: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if row.first.prompt in divided:
            by_prompt[row.first.prompt].append(row)
    for alike in by_prompt.values():
        liked = [row for row in alike if row.better]
        disliked = [row for row in alike if row.worse]
        longer, shorter = sorted((liked, disliked), key=len, reverse=True)
        for one, other in zip(longer, cycle(shorter), strict=False):
            yield from _opposite(*((one, other) if one.better else (other, one)))


def _opposite(up: Row, down: Row) -> Iterator[Row]:
    assert up.better is not None
    assert down.worse is not None
    if up.better.text != down.worse.text:
        yield Row(
            kind="votes",
            better=up.better,
            worse=down.worse,
            weight=min(up.weight, down.weight),
            judges=tuple(sorted({*up.judges, *down.judges})),
            events=tuple(dict.fromkeys((*up.events, *down.events))),
        )


def _lost(why: str, lost: Counter[str]) -> bool:
    if why:
        lost[why] += 1
    return bool(why)
