"""What people did without meaning to judge, and how many replies nobody judged: each with its own name, apart
from votes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from dataset_builder.feedback.answers import Answer, Turn
from dataset_builder.feedback.state import Feedback
from dataset_builder.feedback.usable import Usable

WITHIN = 1800.0  # seconds: a conversation in which nothing comes for longer has ended

_DAY = 86_400


def implicit(feedback: Feedback, usable: Usable) -> Iterator[dict[str, Any]]:
    """`{"reply", "name", "value"}` of replies that may train.

    `regenerated` (1): another answer was asked for. `went_on`: seconds until she answered the next message.
    `ended` (1): no next message was answered within `WITHIN`. Of a reply that is too new to tell, neither.
    """
    for turn in feedback.turns.values():
        for answer in turn.answers[:-1]:
            if not usable.why_not(answer):
                yield {"reply": answer.reply, "name": "regenerated", "value": 1.0}
        yield from _after(turn, feedback, usable)


def _after(turn: Turn, feedback: Feedback, usable: Usable) -> Iterator[dict[str, Any]]:
    """What came after the answer that was kept, if it was hers."""
    kept = turn.kept
    if kept is None or kept.author or usable.why_not(kept):
        return
    if turn.seconds is not None and turn.seconds <= WITHIN:
        yield {"reply": kept.reply, "name": "went_on", "value": round(turn.seconds, 3)}
    elif turn.seconds is not None or feedback.until - feedback.clock.time(turn.answers[-1].when) > WITHIN:
        yield {"reply": kept.reply, "name": "ended", "value": 1.0}


def denominators(feedback: Feedback, usable: Usable) -> dict[str, dict[str, dict[str, int]]]:
    """By version and day (UTC): how many replies were `shown`, on how many of them a vote stands (`rated`),
    on how many none does. Numbers only, so of all replies but those that are to be forgotten."""
    found: dict[str, dict[int, dict[str, int]]] = {}
    for answer in feedback.replies():
        if usable.forgets(answer, answer.people, answer.turn.began):
            continue
        days = found.setdefault(answer.version, {})
        day = int(feedback.clock.time(answer.when) // _DAY)
        of = days.setdefault(day, {"shown": 0, "rated": 0, "not_rated": 0})
        of["shown"] += 1
        of["rated" if _is_rated(feedback, answer) else "not_rated"] += 1
    return {
        version: {
            datetime.fromtimestamp(day * _DAY, UTC).date().isoformat(): of for day, of in sorted(days.items())
        }
        for version, days in sorted(found.items())
    }


def _is_rated(feedback: Feedback, answer: Answer) -> bool:
    return any(
        vote.up is not None and not feedback.quarantines.holds(vote.person, feedback.clock.time(vote.when))
        for vote in answer.votes
    )
