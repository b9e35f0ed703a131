"""Tables in Markdown, and names of other people's in them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SHOWN = 20  # rows of a ranking


def ranking(name: str, unit: str, counts: Mapping[str, Any]) -> str:
    """A table of the largest counts, ties by name, the rest together."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows: list[tuple[object, ...]] = [*ordered[:_SHOWN]]
    if rest := ordered[_SHOWN:]:
        rows.append((f"{len(rest):,} others", sum(count for _, count in rest)))
    return table((name, unit), rows)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, numbers to the right."""
    rows = list(rows)
    aligned = ["---:" if isinstance(cell, int) else "---" for cell in (rows[0] if rows else head)]
    lines = [
        head,
        aligned,
        *([f"{each:,}" if isinstance(each, int) else plain(str(each)) for each in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def plain(text: str) -> str:
    """Text of somebody else's that is no Markdown and no HTML."""
    return re.sub(r"([\\`*_\[\]<>|#!~])", r"\\\1", " ".join(text.split()))
