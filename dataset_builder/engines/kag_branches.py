"""Conditions and choices of a scene: which arm of which a line stands in, as `Line.branch` has it."""

from dataclasses import dataclass

from dataset_builder.engines.branches import DEPTH, Fork, Forks


@dataclass(slots=True)
class _Condition:
    """An open `[if]`. `within`: a message was open when it began, and its first arm goes on with that."""

    fork: Fork
    within: bool
    arm: str
    goes_on: bool = False  # some arm before this one reaches the end
    otherwise: bool = False  # it has an [else]
    dropped: bool = False  # letters of this arm were another wording of that message


class Branches:
    """Conditions are numbered in their scene, or in the arm that holds them, together with choices."""

    def __init__(self) -> None:
        self.name = ""  # of the present arm
        self.muted = (
            False  # letters here are another wording of a message that an earlier arm has gone on with
        )
        self._open: list[_Condition] = []
        self._deeper = 0  # conditions inside too many others: their arms are not told apart
        self._forks = Forks()
        self._choices: Fork | None = None  # offered together

    def __len__(self) -> int:
        return len(self._open)

    def clear(self) -> None:
        """A new scene: what is open is forgotten."""
        self._open.clear()
        self._deeper = 0
        self._forks = Forks()
        self._moved()

    def choice(self) -> str:
        """The arm of a choice; those that nothing parts are arms of one."""
        if self._choices is None:
            self._choices = self._forks.open(self.name)
        return self._choices.arm()

    def end_choices(self) -> None:
        """What comes now parts the choices before it from those behind it."""
        self._choices = None

    def begin(self, *, within: bool) -> None:
        """`[if]`; `within` a message that is open."""
        if len(self._open) == DEPTH:
            self._deeper += 1
            return
        fork = self._forks.open(self.name)
        self._open.append(_Condition(fork, within, fork.arm()))
        self._moved()

    def next_arm(self, *, otherwise: bool, ended: bool) -> bool:
        """`[else]` or `[elsif]`; `ended`: the arm before it jumped away. Whether that arm lost another
        wording."""
        if self._deeper:
            return False
        condition = self._open[-1]
        lost, condition.dropped = condition.dropped, False
        condition.goes_on |= not ended
        condition.otherwise |= otherwise
        condition.arm = condition.fork.arm()
        self._moved()
        return lost

    def end(self, *, ended: bool) -> tuple[bool, bool]:
        """`[endif]`. Whether its last arm lost another wording, and whether every arm jumped away."""
        if self._deeper:
            self._deeper -= 1
            return False, False
        condition = self._open.pop()
        self._moved()
        return condition.dropped, ended and condition.otherwise and not condition.goes_on

    def message_ended(self) -> None:
        """What was said before the conditions is over: from here on their arms speak for themselves."""
        if self._open:
            for condition in self._open:
                condition.within = False
            self.muted = False

    def drop(self) -> None:
        """Letters of this arm are not kept."""
        self._open[-1].dropped = True

    def _moved(self) -> None:
        self._choices = None
        self.name = self._open[-1].arm if self._open else ""
        self.muted = any(each.within and each.fork.arms > 1 for each in self._open)
