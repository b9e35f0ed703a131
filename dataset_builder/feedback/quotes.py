"""Whose words a message in a group quotes. An event does not say so, and consent is asked of everybody."""

from dataset_builder.feedback.answers import Answer
from dataset_builder.schema import ReplyEvent
from inference.prompt import QUOTE_LENGTH, clean

_LOOKED_THROUGH = 200  # replies of a place: a quote may be one bubble of a reply that came in several


class Quotes:
    """Remembers what was said in groups, and by which turn it is answered for."""

    def __init__(self) -> None:
        self._said: dict[str, dict[str, Answer]] = {}  # place -> words -> the last turn in which they stood
        self._replies: dict[str, list[tuple[str, Answer]]] = {}

    def heard(self, place: str, event: ReplyEvent, answer: Answer) -> None:
        if not any(each.name for each in event.said):
            return  # alone with her, a person quotes her or herself
        said = self._said.setdefault(place, {})
        for each in event.said:
            said[_written(each.text)] = answer
        replies = self._replies.setdefault(place, [])
        replies.append((" ".join(answer.text.split()), answer))
        del replies[:-_LOOKED_THROUGH]

    def found(self, place: str, event: ReplyEvent) -> tuple[Answer | None, ...]:
        """For each quote of the message the turn that it is from; None: from none that is known."""
        quoted = [_written(each.quoted) for each in event.said if each.name and each.quoted]
        return tuple(self._from(place, quote) for quote in quoted if quote)

    def _from(self, place: str, quote: str) -> Answer | None:
        said = self._said.get(place, {}).get(quote)
        if said is not None:
            return said
        replies = reversed(self._replies.get(place, []))
        return next((answer for text, answer in replies if quote in text), None)


def _written(quote: str) -> str:
    """As much of it as a prompt shows."""
    return " ".join(clean(quote).split())[:QUOTE_LENGTH]
