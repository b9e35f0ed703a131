"""Names in languages that write them with a capital letter.

A capital in the middle of a sentence tells a name; the same word written small elsewhere in the work tells
that it is none. German, which writes every noun so, is left to a model.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from dataset_builder.filtering.address import TITLES
from dataset_builder.filtering.frequency import Frequency
from dataset_builder.filtering.terms import Hit, TermKind

NOT_FOR = frozenset({"zh", "ja", "ko", "th", "ar", "he", "hi", "de"})
_LONGEST_ROW = 6  # words
_OFTEN = 4.5  # Zipf: of a word as frequent as this, a capital or two are chance
_VERY_OFTEN = 5.5  # Zipf: of a word as frequent as this, all of them may be a manner of writing (`the House`)

_WORD = re.compile(r"[^\W\d_]+(?:[’'-][^\W\d_]+)*")
# What stands between two words when the second one opens a sentence or a quotation.
_OPENING = re.compile(r"[.!?…:;\"“”‘«»(\[—–*]|(?<!\w)['~-]")
# What people do and things do not.
_DOES = "(?:says|said|asks|asked|replies|replied|answers|answered|nods|nodded|smiles|smiled|laughs|laughed)"
_WHO_DOES = re.compile(rf"\b([A-Z][^\W\d_]+) {_DOES}\b|\b{_DOES} ([A-Z][^\W\d_]+)")
_NUMBERED = re.compile(r"\b([A-Z][a-z]+) (\d+)\b(?![.,:]\d|[–—-]\d)")
_COUNTED_WORDS = """
chapter day part act scene page room night week episode level stage route ending
"""
_COUNTED = frozenset(_COUNTED_WORDS.split())
_NO_NAMES_WORDS = """
i ok okay god gods christ jesus lord heaven hell monday tuesday wednesday thursday friday saturday
sunday january february march april may june july august september october november december christmas
easter halloween am pm tv mum mom dad mummy mommy daddy majesty highness honour honor
"""
_NO_NAMES = frozenset(_NO_NAMES_WORDS.split())


def capitalised(language: str, texts: Sequence[str], general: Frequency) -> Iterator[Hit]:
    """Words with a capital wherever they stand, rows of such words, and `Hut 2`."""
    inside: Counter[str] = Counter()  # with a capital, in the middle of a sentence
    small: Counter[str] = Counter()
    rows: Counter[tuple[str, ...]] = Counter()
    numbered: Counter[str] = Counter()
    for text in texts:
        row: tuple[str, ...] = ()
        end = 0
        for match in _WORD.finditer(text):
            word, between = _stem(match[0]), text[end : match.start()]
            opens = not end or _OPENING.search(between) is not None
            end = match.end()
            if opens or between != " " or not word[0].isupper() or len(row) == _LONGEST_ROW:
                rows[row] += 1
                row = ()
            if word[0].isupper():
                row = (*row, word)
                inside[word] += not opens
            else:
                small[word] += 1
        rows[row] += 1
        numbered.update(match[0] for match in _NUMBERED.finditer(text) if match[1].casefold() not in _COUNTED)
    people = {name for text in texts for pair in _WHO_DOES.findall(text) for name in pair}
    names = {word for word, count in inside.items() if _is_a_name(word, count, small, general)}
    for word in sorted(names):
        kind: TermKind = "person" if word in people else "term"
        yield Hit(word, kind, "capital", language, sure=_is_sure(word, inside[word], general))
    for row, count in sorted(rows.items()):
        if len(row) > 1 and count > 1 and names.issuperset(row):
            yield Hit(" ".join(row), "term", "capital", language)
    for term, count in sorted(numbered.items()):
        if count > 1:
            yield Hit(term, "place", "capital", language)


def _stem(word: str) -> str:
    """Without `'s`, `'ll` and the like."""
    return re.sub(r"[’'](?:s|ll|d|ve|re|m|t)$", "", word)


def _is_a_name(word: str, count: int, small: Counter[str], general: Frequency) -> bool:
    low = word.casefold()
    if (
        not count
        or len(word) < 2
        or not _NO_NAMES.isdisjoint((low, low.removesuffix("s")))
        or low in TITLES
        or small[low] * 4 > count
    ):
        return False
    return not (word.isupper() and general.is_ordinary(word))  # somebody shouts


def _is_sure(word: str, count: int, general: Frequency) -> bool:
    return general.zipf(word) < (_OFTEN if count < 3 else _VERY_OFTEN)
