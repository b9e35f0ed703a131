"""What may be used of what people said: consent, forgetting and quarantine, as they stand at the end."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from dataset_builder.schema import ConsentEvent, ForgetEvent, QuarantineEvent

_EVERYBODY = ""


class Clock:
    """When something happened, as a number that grows with every event, and what the clock said then.

    Both are asked which of two came first, since events of several folders are only nearly in order: what
    might lie on either side of a no or of a wish to be forgotten is taken to lie on the worse one.
    """

    def __init__(self) -> None:
        self._times = array("d")

    def tick(self, time: float) -> int:
        """The moment of the next event; `time` in unix seconds."""
        self._times.append(time)
        return len(self._times) - 1

    def time(self, moment: int) -> float:
        return self._times[moment]

    def is_after(self, one: int, other: int) -> bool:
        """Whether a moment lies behind another for certain."""
        return one > other and self._times[one] >= self._times[other]


@dataclass(frozen=True, slots=True)
class Consented:
    """Whose words may train, by the last answers of each: `off` said no everywhere."""

    on: int
    off: int
    terms: dict[str, int]  # version of the text that was agreed to -> answers


class Permissions:
    """Takes the events in their order. A consent is a person's at one place."""

    def __init__(self, clock: Clock) -> None:
        self._is_after = clock.is_after
        self._since: dict[tuple[str, str], int] = {}  # of a yes that stands, the first after a no
        self._answers: dict[tuple[str, str], ConsentEvent] = {}
        self._no: dict[tuple[str, str], int] = {}  # the last one
        self._forgotten: dict[tuple[str, str], int] = {}

    def consent(self, event: ConsentEvent, when: int) -> None:
        whose = event.place, event.person
        if not event.on:
            self._answers[whose] = event
            self._refuse(whose, when)
        elif whose not in self._no or self._is_after(when, self._no[whose]):
            self._answers[whose] = event
            self._since.setdefault(whose, when)

    def forget(self, event: ForgetEvent, when: int) -> None:
        """Her consent goes too: what she says later needs a new one."""
        whose = event.place, event.person
        self._answers.pop(whose, None)
        self._refuse(whose, when)
        self._forgotten[whose] = when
        if event.alone:
            self._forgotten[event.place, _EVERYBODY] = when

    def _refuse(self, whose: tuple[str, str], when: int) -> None:
        self._since.pop(whose, None)
        self._no[whose] = when

    def forgets(self, place: str, people: Iterable[str], when: int) -> bool:
        """Whether somebody who took part then wanted to be forgotten since."""
        if not self._forgotten:
            return False
        marks = (self._forgotten.get((place, each)) for each in (_EVERYBODY, *people))
        return any(mark is not None and not self._is_after(when, mark) for mark in marks)

    def allows(self, place: str, people: Iterable[str], when: int) -> bool:
        """Whether everybody had consented by then, and never said no since."""
        marks = (self._since.get((place, each)) for each in people)
        return all(mark is not None and self._is_after(when, mark) for mark in marks)

    def summary(self) -> Consented:
        yes = [event for event in self._answers.values() if event.on]
        on = {event.person for event in yes}
        terms: dict[str, int] = {}
        for event in sorted(yes, key=lambda event: event.terms):
            terms[event.terms] = terms.get(event.terms, 0) + 1
        everybody = {event.person for event in self._answers.values()}
        return Consented(len(on), len(everybody - on), terms)


class Quarantines:
    """Spans whose votes do not count, until they are released."""

    def __init__(self) -> None:
        self._standing: dict[tuple[float, float, tuple[str, ...]], QuarantineEvent] = {}

    def take(self, event: QuarantineEvent) -> None:
        """A release names its span and persons as the quarantine did."""
        span = event.since, event.until, event.persons
        if event.released:
            self._standing.pop(span, None)
        else:
            self._standing[span] = event

    def holds(self, person: str, time: float) -> bool:
        """Whether a vote of that time does not count."""
        return any(
            each.since <= time <= each.until and (not each.persons or person in each.persons)
            for each in self._standing.values()
        )
