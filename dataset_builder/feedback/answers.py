"""What was shown, as it is kept while events are read: replies, their turns and the votes on them.

There are a hundred thousand of each, so tuples stand where lists would grow.
"""

from dataclasses import dataclass

from dataset_builder.schema import ChoiceEvent, Grant


@dataclass(slots=True, eq=False)
class Vote:
    """A person's last word on a reply; `up` is None where it was taken back."""

    person: str
    up: bool | None
    weight: float
    when: int  # by the `Clock`
    event: str


@dataclass(slots=True, eq=False)
class Answer:
    """A reply, or what a person made of one, with the prompt that it answers."""

    turn: "Turn"
    when: int  # by the `Clock`
    event: str  # id, for tracing
    reply: str  # id
    people: tuple[str, ...]  # who spoke in the turn
    persons: tuple[str, ...]  # whose words stand in it: theirs, the quoted and who wrote the answer
    platform: str
    version: str
    prompt: int  # the same for the same messages before it, in this run
    consent: bool  # of everybody in `people`, at that moment
    grant: Grant | None
    user: str  # what was said, as a prompt has it; "" without consent
    text: str  # as a prompt has it; "" without consent
    window: "tuple[Answer, ...]" = ()
    flaw: str = ""  # why the prompt cannot be had again
    quotes: "tuple[Answer | None, ...]" = ()  # whose words were quoted; None: nobody's that are known
    votes: tuple[Vote, ...] = ()  # of each person the last
    author: str = ""  # the person who wrote it, where she herself did not


@dataclass(slots=True, eq=False)
class Turn:
    """All answers to a message, and which is the kept one."""

    id: str
    place: str
    answers: tuple[Answer, ...] = ()
    edits: tuple[Answer, ...] = ()  # what persons wrote instead
    kept: Answer | None = None  # None where it is not known
    choice: ChoiceEvent | None = None  # by which the kept one became it; None: it came last
    chosen: int = 0  # when
    seconds: float | None = None  # until the next turn's first reply

    @property
    def began(self) -> int:
        """When it was answered first: what was said in it was said before."""
        return self.answers[0].when

    def find(self, reply: str) -> Answer | None:
        either = (*self.answers, *self.edits)
        return next((answer for answer in either if answer.reply == reply), None)
