"""No person makes up more than a share of a data set: a few who vote all day are not everybody's taste."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dataset_builder.exporting.splits import fraction
from dataset_builder.feedback.judgements import Row

SHARE = 0.02  # of all rows
FEW = 10  # persons, below whom nobody is bounded


@dataclass(frozen=True, slots=True)
class Shared:
    """Of a data set that is bounded: `most` is the largest share of its rows that one person judged."""

    rows: tuple[Row, ...]
    persons: int
    bound: float
    most: float


def usual_bound(persons: int) -> float:
    """2 % from a hundred persons on; twice an even share from ten on; none below.

    A bound at the even share would leave each as many rows as the one who judged least; and where there are
    few, one or two do all the voting.
    """
    return max(SHARE, 2 / persons) if persons >= FEW else 1.0


def bounded(rows: Sequence[Row], share: float | None, seed: int) -> Shared:
    """As many of the rows as can be with each person judging at most `share` of what is left (None: the
    usual bound for so many persons), but one row each in any case. Which ones is told by their hash."""
    judged = _judged(rows)
    bound = usual_bound(len(judged)) if share is None else share
    most = max(judged.values(), default=0)
    if most <= bound * len(rows):
        return Shared(tuple(rows), len(judged), bound, most / len(rows) if rows else 0.0)
    low, high = 1, most  # rows a person: between, the most that keep to the bound
    while low < high:
        middle = (low + high + 1) // 2
        left = sum(min(count, middle) for count in judged.values())
        low, high = (middle, high) if middle <= bound * left else (low, middle - 1)
    order = sorted(rows, key=lambda row: (fraction(seed, row.id), row.id))
    kept = _at_most(low, order)
    while low > 1 and _largest(kept) > bound * len(kept):  # rows with several judges
        low -= 1
        kept = _at_most(low, order)
    stays = set(map(id, kept))
    return Shared(
        tuple(row for row in rows if id(row) in stays),
        len(judged),
        bound,
        _largest(kept) / len(kept),
    )


def _at_most(limit: int, rows: Sequence[Row]) -> list[Row]:
    counts: Counter[str] = Counter()
    kept = []
    for row in rows:
        if all(counts[person] < limit for person in row.judges):
            counts.update(row.judges)
            kept.append(row)
    return kept


def _judged(rows: Sequence[Row]) -> Counter[str]:
    """Rows by the persons whose judgement they are."""
    return Counter(person for row in rows for person in row.judges)


def _largest(rows: Sequence[Row]) -> int:
    return max(_judged(rows).values(), default=0)
