"""What was shown and what people thought of it: the events, folded in their order.

A prompt is kept by reference: the turns that stood in it, each with the answer that was the kept one then.
Its hash is checked at once, so a prompt that cannot be had again is known before anything is made of it.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from sys import intern

import orjson

from dataset_builder.feedback.answers import Answer, Turn, Vote
from dataset_builder.feedback.permission import Clock, Permissions, Quarantines
from dataset_builder.feedback.quotes import Quotes
from dataset_builder.schema import (
    ChoiceEvent,
    ConsentEvent,
    FeedbackEvent,
    ForgetEvent,
    QuarantineEvent,
    ReplyEvent,
    VoteEvent,
)
from inference.characters import Character
from inference.prompt import Said, clean, system_text, user_text

MISSING = "a turn of its prompt is missing"
DIFFERENT = "the hash of its prompt is another"
OTHER_CARD = "her card has changed"

UNKNOWN_REPLY = "on an unknown reply"


class Feedback:
    """One character's. `take` the events, then look."""

    def __init__(self, character: Character) -> None:
        self.character = character
        self.system = system_text(character)
        self.clock = Clock()
        self.permissions = Permissions(self.clock)
        self.quarantines = Quarantines()
        self.turns: dict[str, Turn] = {}
        self.lost: dict[str, Counter[str]] = {"votes": Counter(), "choices": Counter()}
        self.repeated = 0  # replies that were there already
        self.until = 0.0  # time of the newest event
        self._replies: dict[str, Answer] = {}
        self._last: dict[str, Turn] = {}  # by place
        self._quotes = Quotes()
        self._people: dict[tuple[str, ...], tuple[str, ...]] = {}

    def take(self, event: FeedbackEvent) -> None:
        if event.character not in ("", self.character.id):
            return
        self.until = max(self.until, event.time)
        when = self.clock.tick(event.time)
        match event:
            case ReplyEvent():
                self._reply(event, when)
            case VoteEvent():
                self._vote(event, when)
            case ChoiceEvent():
                self._choice(event, when)
            case ConsentEvent():
                self.permissions.consent(event, when)
            case ForgetEvent():
                self.permissions.forget(event, when)
            case QuarantineEvent():
                self.quarantines.take(event)

    def replies(self) -> Iterator[Answer]:
        """All that were shown, in their order."""
        return iter(self._replies.values())

    # --- a reply --------------------------------------------------------------------------------------------

    def _reply(self, event: ReplyEvent, when: int) -> None:
        if event.reply in self._replies:
            self.repeated += 1
            return
        turn = self.turns.get(event.turn)
        if turn is None:
            turn = self.turns[event.turn] = self._begin(event)
        answer = self._answer(event, turn, when)
        turn.answers = (*turn.answers, answer)
        turn.kept, turn.choice = answer, None
        self._replies[event.reply] = answer
        self._quotes.heard(turn.place, event, answer)

    def _begin(self, event: ReplyEvent) -> Turn:
        turn = Turn(event.turn, intern(event.place))
        before = self._last.get(turn.place)
        if before is not None:
            before.seconds = event.time - self.clock.time(before.answers[-1].when)
        self._last[turn.place] = turn
        return turn

    def _answer(self, event: ReplyEvent, turn: Turn, when: int) -> Answer:
        told = event.consent and bool(event.text)
        said = [Said(text=each.text, name=each.name, quoted=each.quoted) for each in event.said]
        quotes = self._quotes.found(turn.place, event) if told else ()
        quoted = [person for each in quotes if each is not None for person in each.people]
        answer = Answer(
            turn=turn,
            when=when,
            event=event.id,
            reply=event.reply,
            people=self._shared(event.people),
            persons=self._shared((*event.people, *quoted)),
            platform=intern(event.platform),
            version=intern(event.version),
            prompt=hash(event.prompt),
            consent=event.consent,
            grant=event.grant,
            user=user_text(self.character, said) if told else "",
            text=clean(event.text) if told else "",
            quotes=quotes,
        )
        if event.card != self.character.card_hash:
            answer.flaw = OTHER_CARD
            return answer
        window = self._window(event, turn)
        if window is None:
            answer.flaw = MISSING
            return answer
        answer.window = window
        if told and all(each.text for each in window) and self._hash(answer) != event.prompt:
            answer.flaw = DIFFERENT
        return answer

    def _shared(self, people: Iterable[str]) -> tuple[str, ...]:
        """One tuple for all turns of the same people."""
        found = tuple(map(intern, people))
        return self._people.setdefault(found, found)

    def _window(self, event: ReplyEvent, turn: Turn) -> tuple[Answer, ...] | None:
        """What she remembered: the kept answer of each turn at that moment. None where one is missing."""
        found = []
        for id_ in event.turns:
            earlier = self.turns.get(id_)
            if earlier is None or earlier.place != turn.place or earlier.kept is None:
                return None
            found.append(earlier.kept)
        return tuple(found)

    def _hash(self, answer: Answer) -> str:
        return hashlib.sha256(orjson.dumps(self._messages(answer))).hexdigest()

    def prompt(self, answer: Answer) -> list[dict[str, str]]:
        """The messages that it answers."""
        return [{"role": role, "content": content} for role, content in self._messages(answer)]

    def _messages(self, answer: Answer) -> list[tuple[str, str]]:
        """Roles and contents, as `inference.prompt.messages` writes them.

        They are put together of parts that were written once: a turn stands in a dozen prompts. The hash
        tells whether that is what was served.
        """
        written = [("system", self.system)]
        for each in answer.window:
            written.append(("user", each.user))
            written.append(("assistant", each.text))
        written.append(("user", answer.user))
        return written

    # --- what people thought of it --------------------------------------------------------------------------

    def _vote(self, event: VoteEvent, when: int) -> None:
        answer = self._replies.get(event.reply)
        if answer is None or answer.turn.place != event.place:
            self.lost["votes"][UNKNOWN_REPLY] += 1
            return
        up = None if event.new is None else event.new == "up"
        vote = Vote(intern(event.person), up, event.weight, when, event.id)
        answer.votes = (*(each for each in answer.votes if each.person != event.person), vote)

    def _choice(self, event: ChoiceEvent, when: int) -> None:
        turn = self.turns.get(event.turn)
        if turn is None or turn.place != event.place:
            self.lost["choices"][UNKNOWN_REPLY] += 1
            return
        turn.choice, turn.chosen = event, when
        turn.kept = turn.find(event.reply) if event.how == "flip" else self._edit(event, turn, when)

    def _edit(self, event: ChoiceEvent, turn: Turn, when: int) -> Answer:
        """What a person wrote instead of a reply; without her consent its words are missing."""
        first = turn.answers[-1]
        edit = Answer(
            turn=turn,
            when=when,
            event=event.id,
            reply=event.reply,
            people=first.people,
            persons=self._shared((*first.persons, event.person)),
            platform=first.platform,
            version=first.version,
            prompt=first.prompt,
            consent=first.consent,
            grant=first.grant,
            user=first.user,
            text=clean(event.text),
            window=first.window,
            flaw=first.flaw,
            quotes=first.quotes,
            author=intern(event.person),
        )
        turn.edits = (*turn.edits, edit)
        return edit
