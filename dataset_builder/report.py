"""What was lost on the way: every record is emitted, or skipped with a reason."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

WARNINGS = 200  # kept with their place; the rest is counted


@dataclass(slots=True)
class Losses:
    """Counts of one run. Readers add to it; nothing is dropped without a word here."""

    seen: int = 0  # records that could have been lines: messages, choices, titles
    emitted: int = 0
    skipped: Counter[str] = field(default_factory=Counter)  # reason -> records
    unknown: Counter[str] = field(default_factory=Counter)  # tag, opcode or statement -> times
    warnings: list[str] = field(default_factory=list)
    more_warnings: int = 0

    def emit(self, count: int = 1) -> None:
        self.seen += count
        self.emitted += count

    def skip(self, reason: str, count: int = 1) -> None:
        """`count` records were not emitted; `reason` is one of few, such as "empty text"."""
        self.seen += count
        self.skipped[reason] += count

    def warn(self, place: str, what: str) -> None:
        if len(self.warnings) < WARNINGS:
            self.warnings.append(f"{place}: {what}")
        else:
            self.more_warnings += 1

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the largest counts first, ties by name."""
        return {
            "seen": self.seen,
            "emitted": self.emitted,
            "skipped": _ordered(self.skipped),
            "unknown": _ordered(self.unknown),
            "warnings": self.warnings,
            "more_warnings": self.more_warnings,
        }


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
