"""Which texts are nearest to one: BM25 over words, and over pairs of letters where words have no spaces."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_K1, _B = 1.2, 0.75  # as in Lucene
_PIECES = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+|[^\W_]+(?:['’][^\W_]+)*"
)
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


@dataclass(frozen=True, slots=True)
class Near:
    """A text by its place, how near it is (BM25: 0 and up, no share), and what both have in common, the
    rarest first."""

    at: int
    score: float
    shared: tuple[str, ...]


class Index:
    """Of texts that are compared by their words, rare ones counting more (Robertson and Zaragoza 2009)."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._counts = [Counter(words(text)) for text in texts]
        self._lengths = [sum(each.values()) for each in self._counts]
        self._mean = sum(self._lengths) / max(1, len(texts)) or 1.0
        self._in = Counter(word for each in self._counts for word in each)

    def nearest(self, text: str, count: int) -> list[Near]:
        """The nearest first; none that has no word in common."""
        asked = set(words(text))
        found = []
        for at, counts in enumerate(self._counts):
            shared = sorted(asked & counts.keys(), key=lambda word: (-self._rarity(word), word))
            if shared:
                score = sum(self._weight(word, counts[word], self._lengths[at]) for word in shared)
                found.append(Near(at, score, tuple(shared)))
        return sorted(found, key=lambda near: (-near.score, near.at))[:count]

    def _rarity(self, word: str) -> float:
        having = self._in[word]
        return math.log(1 + (len(self._counts) - having + 0.5) / (having + 0.5))

    def _weight(self, word: str, times: int, length: int) -> float:
        return self._rarity(word) * times * (_K1 + 1) / (times + _K1 * (1 - _B + _B * length / self._mean))


def words(text: str) -> list[str]:
    """Words in small letters; of Chinese and Japanese each two letters that follow one another."""
    found: list[str] = []
    for piece in _PIECES.findall(unicodedata.normalize("NFKC", text).casefold()):
        if _WIDE.match(piece) and len(piece) > 1:
            found += (piece[at : at + 2] for at in range(len(piece) - 1))
        else:
            found.append(piece)
    return found
