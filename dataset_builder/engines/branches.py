"""Names of alternatives, for `Line.branch`: which choice or condition, which arm of it, inside which one."""

from collections import Counter
from dataclasses import dataclass

DEPTH = 64  # choices and conditions inside one another; no script of a person's needs more


@dataclass(slots=True)
class Fork:
    """A choice or condition: one of its arms is played. `name` is `2`, or `2.1/1` inside another's arm."""

    name: str
    arms: int = 0

    def arm(self) -> str:
        """The branch of its next arm, `2.1`."""
        self.arms += 1
        return f"{self.name}.{self.arms}"


class Forks:
    """The forks of one scene, numbered from 1 in every branch."""

    __slots__ = ("_opened",)

    def __init__(self) -> None:
        self._opened: Counter[str] = Counter()

    def open(self, branch: str) -> Fork:
        """The next fork inside `branch`."""
        self._opened[branch] += 1
        number = self._opened[branch]
        return Fork(f"{branch}/{number}" if branch else str(number))
