"""Rows that say nearly the same, told part by part: what was said last, and each reply.

`exporting.near_duplicates` compares whole texts, and keeps four kilobytes for each until the end. Here two
short replies to one long message are not the same, and of a hundred thousand rows a few numbers each stay.
"""

from array import array
from collections.abc import Iterator, Sequence

from dataset_builder.errors import DatasetError
from dataset_builder.exporting.near_duplicates import jaccard, shingles

Parts = tuple[str, ...]

_HASHES = 64
_FOUND = 0.999  # of the rows that are exactly as alike as the threshold says
_BATCH = 256  # sketches at once


def distinct(rows: Sequence[Parts], threshold: float, seed: int) -> list[int]:
    """The indexes of the rows that are kept: the first of those that are alike.

    Two rows are alike when each part overlaps with its like by `threshold` (Jaccard of five letters in a row,
    above 0 and up to 1; 1: word for word). Raises `DatasetError` when `rensa` is missing.
    """
    if threshold == 1:
        return sorted({row: at for at, row in reversed(list(enumerate(rows)))}.values())
    same_as = list(range(len(rows)))
    for at, candidates in sorted(_candidates(rows, threshold, seed).items()):
        for kept in sorted({same_as[each] for each in candidates}):
            if rows[at] == rows[kept] or _alike(rows[at], rows[kept], threshold):
                same_as[at] = kept
                break
    return [at for at, kept in enumerate(same_as) if at == kept]


def _alike(one: Parts, other: Parts, threshold: float) -> bool:
    return all(jaccard(*parts) >= threshold for parts in zip(one, other, strict=True))


def _candidates(rows: Sequence[Parts], threshold: float, seed: int) -> dict[int, set[int]]:
    """For rows that share bands of hashes with earlier ones those ones, the nearest of each band."""
    found: dict[int, set[int]] = {}
    width = _width(threshold)
    bands = _HASHES // width
    hashes = array("q", [0]) * (bands * len(rows))  # of the bands of the first row, then of the next
    for at, digest in enumerate(_digests(rows, seed)):
        hashes[at * bands : (at + 1) * bands] = array(
            "q", map(hash, zip(*[iter(digest)] * width, strict=True))
        )
    for band in range(bands):
        last: dict[int, int] = {}
        for at, key in enumerate(hashes[band::bands]):
            if key in last:
                found.setdefault(at, set()).add(last[key])
            last[key] = at
    return found


def _digests(rows: Sequence[Parts], seed: int) -> Iterator[list[int]]:
    try:
        from rensa import RMinHash
    except ImportError as error:
        raise DatasetError("near duplicates need `rensa`; run `pip install 'chatnvl[dataset]'`") from error
    for start in range(0, len(rows), _BATCH):
        batch = [shingles("\n".join(parts)) for parts in rows[start : start + _BATCH]]
        yield from RMinHash.digests_from_token_sets(batch, _HASHES, seed)


def _width(threshold: float) -> int:
    """Hashes in a band: as many as still find nearly all that are alike."""
    return next((wide for wide in (8, 4, 2) if 1 - (1 - threshold**wide) ** (_HASHES // wide) >= _FOUND), 1)
