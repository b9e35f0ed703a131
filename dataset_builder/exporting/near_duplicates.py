"""Texts that say nearly the same: a scene that stands in two routes, a file and its patched copy.

MinHash finds candidates (`rensa`: Rust, ten times as fast as datasketch here, and without SciPy);
each candidate is then compared exactly, so nothing is called a duplicate by an estimate.
"""

import heapq
import unicodedata
from collections.abc import Sequence

from dataset_builder.errors import DatasetError

SHINGLE = 5  # letters
_HASHES = 128
_FOUND = 0.999  # of the pairs that are exactly as alike as the threshold says
_DOUBT = 0.15  # four standard deviations of an estimate from so many hashes
_COMPARED = 64  # exactly, with one text: the likeliest; more only come where thousands are half the same


def near_duplicates(texts: Sequence[str], threshold: float, seed: int) -> list[int]:
    """For each text the index of the one that it nearly repeats; its own index where it is kept.

    Two texts are alike when their sets of five letters in a row overlap by `threshold` (Jaccard, above 0 and
    up to 1) or more. Longer texts are kept before shorter ones, then earlier before later ones. No two that
    are kept are alike, but for one pair in a thousand that lies right at the threshold, and in works where
    thousands of texts are nearly alike a few more. Raises `DatasetError` when `rensa` is missing.
    """
    try:
        from rensa import RMinHash, RMinHashLSH
    except ImportError as error:
        raise DatasetError("near duplicates need `rensa`; run `pip install 'chatnvl[dataset]'`") from error
    sketches = RMinHash.from_token_sets(map(shingles, texts), _HASHES, seed)
    index = RMinHashLSH(threshold, _HASHES, _HASHES // _rows(threshold))
    same_as = list(range(len(texts)))
    for at in sorted(range(len(texts)), key=lambda each: (-len(texts[each]), each)):
        estimated = [(sketches[at].jaccard(sketches[kept]), kept) for kept in index.query(sketches[at])]
        likely = [(-alike, kept) for alike, kept in estimated if alike >= threshold - _DOUBT]
        for _, kept in heapq.nsmallest(_COMPARED, likely):
            if jaccard(texts[at], texts[kept]) >= threshold:
                same_as[at] = kept
                break
        else:
            index.insert(at, sketches[at])
    return same_as


def shingles(text: str) -> list[str]:
    """All five letters in a row of a text, without blanks, punctuation, width and case."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    letters = "".join(filter(str.isalnum, folded)) or folded
    return [letters[at : at + SHINGLE] for at in range(max(len(letters) - SHINGLE + 1, 1))]


def jaccard(one: str, other: str) -> float:
    """How much the shingles of two texts overlap: 0 (nothing in common) to 1 (the same)."""
    first, second = set(shingles(one)), set(shingles(other))
    return len(first & second) / len(first | second)


def _rows(threshold: float) -> int:
    """Hashes in a band: many keep false candidates away, as long as the true ones are still found."""
    return next(
        (rows for rows in (16, 8, 4, 2) if 1 - (1 - threshold**rows) ** (_HASHES // rows) >= _FOUND), 1
    )
