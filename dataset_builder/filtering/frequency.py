"""How frequent words are in general, so that a work's own words stand out.

The figures are those of the package `wordfreq` (Apache-2.0; its data, CC BY-SA 4.0, is read and not shipped):
Chinese, Japanese, English and more, from subtitles, Wikipedia, books, news and the web up to 2021. It carries
them with it, so nothing is asked of a network; that it takes in no new years does no harm to ordinary words.
"""

import math
import warnings
from functools import cache

from dataset_builder.report import Losses

ORDINARY = 3.0  # Zipf: once in a million words
KNOWN = 2.0  # Zipf: people know the word, however rare it is
_RARE = 1.0  # Zipf of what is not in the list
_LONGEST = 8  # letters of a Chinese or Japanese word
WIDE = frozenset({"zh", "ja"})  # languages without blanks between words


class Frequency:
    """General frequencies of one language. Zipf's scale: log10 of how often in a billion words, so `the` 7.7,
    a word that few know 3.
    """

    def __init__(self, language: str, frequencies: dict[str, float], simplified: dict[int, str]) -> None:
        self.language = language
        self._frequencies = frequencies
        self._simplified = simplified
        self._costs: dict[str, float] = {}
        self._reach: dict[str, int] = {}  # two letters -> length of the longest word that begins with them
        if language in WIDE:
            least = 10 ** (ORDINARY - 9)  # rare words are mostly names, which shall not look like words
            for word, frequency in frequencies.items():
                if len(word) == 1 or (len(word) <= _LONGEST and frequency >= least):
                    self._costs[word] = math.log(frequency)
                    self._reach[word[:2]] = max(len(word), self._reach.get(word[:2], 0))

    def zipf(self, word: str) -> float:
        """0 for what is not in the list."""
        frequency = self._frequencies.get(self._plain(word))
        return math.log10(frequency) + 9 if frequency else 0.0

    def is_ordinary(self, word: str) -> bool:
        return self.zipf(word) >= ORDINARY

    def words(self, text: str) -> list[str]:
        """`text`, a stretch of Chinese or Japanese letters, as its likeliest words; letters of no word stand
        alone.

        The likeliest split of a unigram model, in one pass: time grows with the length of `text` alone.
        """
        plain, costs, reach = self._plain(text), self._costs, self._reach
        size = len(plain)
        unknown = math.log(10 ** (_RARE - 9))
        best = [0.0] + [-math.inf] * size
        back = [0] * (size + 1)
        for start in range(size):
            before = best[start]
            cost = before + costs.get(plain[start], unknown)
            if cost > best[start + 1]:
                best[start + 1], back[start + 1] = cost, start
            for end in range(start + 2, min(size, start + reach.get(plain[start : start + 2], 0)) + 1):
                known = costs.get(plain[start:end])
                if known is not None and before + known > best[end]:
                    best[end], back[end] = before + known, start
        found, end = [], size
        while end:
            found.append(text[back[end] : end])
            end = back[end]
        return found[::-1]

    def _plain(self, word: str) -> str:
        """As the list writes it: in simplified characters and small letters."""
        plain = word.lower()
        if self._simplified:
            plain = plain.translate(self._simplified)
        return plain if len(plain) == len(word) else word


def frequency(language: str, losses: Losses) -> Frequency | None:
    """The frequencies of a language; None, and a word in `losses`, where there are none."""
    base, *rest = language.casefold().split("-")
    try:
        found = _load(base, "hant" in rest or "tw" in rest or "hk" in rest)
    except ImportError as error:
        losses.warn("filter", f"no general frequencies for `{language}`: `{error.name}` is not installed")
        return None
    if found is None:
        losses.warn("filter", f"no general frequencies for `{language}`: `wordfreq` has no list of it")
    return found


@cache
def _load(language: str, traditional: bool) -> Frequency | None:
    import wordfreq

    if language not in wordfreq.available_languages():
        return None
    simplified: dict[int, str] = {}
    if traditional and language == "zh":  # its Chinese list is in simplified characters
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # jieba, which this module of its imports, has old escapes
            from wordfreq.chinese import SIMPLIFIED_MAP
        simplified = SIMPLIFIED_MAP
    return Frequency(language, wordfreq.get_frequency_dict(language), simplified)
