"""Days as the periods of a chart: day by day, or by weeks where days would be too many."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, Self

_MOST_DAYS = 31


@dataclass(frozen=True, slots=True)
class Periods:
    """From the first day with anything to the last, without holes. A week begins on Monday."""

    name: Literal["day", "week"]
    starts: tuple[str, ...]  # `2026-11-27`

    @classmethod
    def over(cls, days: Iterable[str]) -> Self:
        """Those that hold all the days."""
        known = sorted(map(date.fromisoformat, set(days)))
        if not known:
            return cls("day", ())
        name: Literal["day", "week"] = "day" if (known[-1] - known[0]).days < _MOST_DAYS else "week"
        step = timedelta(days=1 if name == "day" else 7)
        start = known[0] if name == "day" else known[0] - timedelta(days=known[0].weekday())
        count = (known[-1] - start) // step + 1
        return cls(name, tuple((start + step * at).isoformat() for at in range(count)))

    def index(self, day: str) -> int:
        """The place of the period that holds a day."""
        passed = date.fromisoformat(day) - date.fromisoformat(self.starts[0])
        return passed.days // (1 if self.name == "day" else 7)
