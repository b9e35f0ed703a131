"""Which language a text is in, told by its letters; and about how long it is for a model."""

import re
from collections import Counter
from collections.abc import Iterable

_KANA = re.compile(r"[\u3041-\u3096\u30a1-\u30fa\u30fc\u31f0-\u31ff\uff66-\uff9f]")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_HANGUL = re.compile(r"[\uac00-\ud7af]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
# Frequent characters that only one of the two Chinese scripts writes so.
_SIMPLIFIED = re.compile("[们这个说来时会对还过么没样话为问让吗]")
_TRADITIONAL = re.compile("[們這個說來時會對還過麼沒樣話為問讓嗎]")
_SAMPLE = 20_000  # letters that are looked at


def guess(text: str) -> str:
    """`ja`, `zh`, `ko`, `en` (any Latin script), or "" where there are no letters.

    A line of kanji alone is `zh` here: ask `guess_all` with its neighbours.
    """
    kana, han = len(_KANA.findall(text)), len(_HAN.findall(text))
    hangul, latin = len(_HANGUL.findall(text)), len(_LATIN.findall(text))
    if kana + han + hangul == 0:
        return "en" if latin else ""
    if hangul > kana + han:
        return "ko"
    if latin > 4 * (kana + han + hangul):  # an English sentence that names a Japanese word
        return "en"
    return "ja" if kana * 8 > han else "zh"  # a Chinese text may keep a の, a Japanese one is half kana


def guess_all(texts: Iterable[str]) -> str:
    """The language of many lines together, by their first 20,000 letters; `zh-Hant` is told from `zh`."""
    votes: Counter[str] = Counter()
    simplified = traditional = 0
    for text in texts:
        if language := guess(text):
            votes[language] += len(text)
            if language == "zh":
                simplified += len(_SIMPLIFIED.findall(text))
                traditional += len(_TRADITIONAL.findall(text))
        if votes.total() > _SAMPLE:
            break
    if not votes:
        return ""
    # Japanese has lines without kana, Chinese has none with.
    if votes["ja"] * 4 > votes["zh"] > 0:
        votes["ja"] += votes.pop("zh")
    best = max(votes, key=lambda language: (votes[language], language))
    return "zh-Hant" if best == "zh" and traditional > simplified else best


def tokens(text: str) -> int:
    """About how many tokens a model of today makes of it: one a wide letter, one for four others."""
    wide = len(_WIDE.findall(text))
    return wide + -(-(len(text) - wide) // 4)
