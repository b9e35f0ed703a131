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
_BATCH = 1024  # sketches at once


def distinct(rows: Sequence[Parts], threshold: float, seed: int) -> list[int]:
    """The indexes of the rows that are kept: the first of those that are alike.

    Two rows are alike when each part overlaps with its like by `threshold` (Jaccard of five letters in a row,
    above 0 and up to 1; 1: word for word). Raises `DatasetError` when `rensa` is missing.
    """
    first: dict[Parts, int] = {}
    for at, row in enumerate(rows):
        first.setdefault(row, at)
    places = list(first.values())
    if threshold == 1:
        return places
    texts = list(first)
    same_as = list(range(len(texts)))
    for at, candidates in sorted(_candidates(texts, threshold, seed).items()):
        for kept in sorted({same_as[each] for each in candidates}):
            if _alike(texts[at], texts[kept], threshold):
                same_as[at] = kept
                break
    return [places[at] for at, kept in enumerate(same_as) if at == kept]


def _alike(one: Parts, other: Parts, threshold: float) -> bool:
    return all(jaccard(*parts) >= threshold for parts in zip(one, other, strict=True))


def _candidates(texts: Sequence[Parts], threshold: float, seed: int) -> dict[int, set[int]]:
    """For texts that share bands of hashes with earlier ones those ones, the nearest of each band."""
    found: dict[int, set[int]] = {}
    for band in _bands(texts, _rows(threshold), seed):
        last: dict[int, int] = {}
        for at, key in enumerate(band):
            if key in last:
                found.setdefault(at, set()).add(last[key])
            last[key] = at
    return found


def _bands(texts: Sequence[Parts], rows: int, seed: int) -> list["array[int]"]:
    """For each band its hash of every text."""
    bands = [array("q") for _ in range(_HASHES // rows)]
    for digest in _digests(texts, seed):
        for at, band in enumerate(bands):
            band.append(hash(tuple(digest[at * rows : (at + 1) * rows])))
    return bands


def _digests(texts: Sequence[Parts], seed: int) -> Iterator[list[int]]:
    try:
        from rensa import RMinHash
    except ImportError as error:
        raise DatasetError("near duplicates need `rensa`; run `pip install 'chatnvl[dataset]'`") from error
    for start in range(0, len(texts), _BATCH):
        batch = [shingles("\n".join(parts)) for parts in texts[start : start + _BATCH]]
        for sketch in RMinHash.from_token_sets(batch, _HASHES, seed):
            yield sketch.digest()


def _rows(threshold: float) -> int:
    """Hashes in a band: as many as still find nearly all that are alike."""
    return next((rows for rows in (8, 4, 2) if 1 - (1 - threshold**rows) ** (_HASHES // rows) >= _FOUND), 1)
