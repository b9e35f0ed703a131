"""The lines that a question is about, out of thousands.

BM25 (Robertson and Zaragoza, 2009) over words, or over pairs of letters in writing without blanks.
"""

import math
from collections import Counter
from collections.abc import Sequence

from dataset_builder.checks import words

_K1, _B = 1.2, 0.75  # the usual ones: how soon repetition counts no more, how much length does


class Index:
    """Texts that can be searched. Building it takes time and room in proportion to their length."""

    def __init__(self, texts: Sequence[str]) -> None:
        counted = [Counter(words(text)) for text in texts]
        self._lengths = [each.total() for each in counted]
        self._average = sum(self._lengths) / len(texts) if texts else 0.0
        self._postings: dict[str, list[tuple[int, int]]] = {}
        for number, counts in enumerate(counted):
            for word, count in counts.items():
                self._postings.setdefault(word, []).append((number, count))

    def search(self, query: str, limit: int) -> list[int]:
        """The numbers of the `limit` best texts, the best first; none that has nothing of the query."""
        scores: dict[int, float] = {}
        for word in sorted(set(words(query))):
            found = self._postings.get(word, ())
            weight = math.log(1 + (len(self._lengths) - len(found) + 0.5) / (len(found) + 0.5))
            for number, count in found:
                length = 1 - _B + _B * self._lengths[number] / self._average
                scores[number] = scores.get(number, 0.0) + weight * count * (_K1 + 1) / (count + _K1 * length)
        return sorted(scores, key=lambda number: (-scores[number], number))[:limit]
