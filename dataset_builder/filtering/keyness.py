"""Words that are frequent in a work and rare in general: places, clubs, products, words that it coined.

Chinese and Japanese are cut into the ordinary words that they are likeliest made of; letters that are left
over beside each other, time and again, are a word that only the work knows (御|咲|学园). Languages that write
names with a capital letter are the business of `dataset_builder.filtering.capitals`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from dataset_builder.filtering.address import NOBODY
from dataset_builder.filtering.frequency import KNOWN, Frequency
from dataset_builder.filtering.terms import Hit, Matcher, TermKind

LEAST = 2  # times in the work: once is chance
SURE = 3  # times, from which what is left over is taken out without asking
_LOOSE = 5.2  # Zipf: a more frequent letter is a word of grammar

# A common noun at the end of a name says what it names.
_NOUNS: dict[TermKind, str] = {
    "school": "学园 學園 学園 学院 學院 高校 高中 中学 中學 小学 小學 大学 大學 学校 學校",
    "place": """
        市 县 縣 県 町 村 镇 鎮 区 區 街 站 駅 岛 島 山 川 湖 寺 城 寮 荘 館 馆 塔 森
        神社 神宫 神宮 公园 公園 王国 王國 帝国 帝國 商店街
    """,
    "group": "部 社 团 團 団 会 會 教 队 隊 组 組 家 族 军 軍",
}
ENDINGS = {kind: tuple(nouns.split()) for kind, nouns in _NOUNS.items()}
_KIND = {ending: kind for kind, endings in ENDINGS.items() for ending in endings}
_ENDING = "|".join(sorted(_KIND, key=lambda ending: (-len(ending), ending)))

_HAN = r"[\u3400-\u9fff\u3005]"
_HAN_OR_HIRAGANA = re.compile(r"[\u3400-\u9fff\u3005\u3041-\u3096]")
_KATAKANA = re.compile(rf"([\u30a1-\u30fa][\u30a1-\u30faー]{{2,}})((?:{_ENDING})(?!{_HAN}))?")
_LATIN = r"[A-Za-z\u00c0-\u024f][0-9A-Za-z\u00c0-\u024f]+(?:[-'’][0-9A-Za-z\u00c0-\u024f]+)*"
# Japanese is cut together with its hiragana: 頑張る is not 頑張 with something behind it.
_CHINESE = re.compile(rf"{_HAN}{{2,}}|{_LATIN}")
_JAPANESE = re.compile(
    rf"[\u30a1-\u30fa][\u30a1-\u30faー]{{2,}}(?:(?:{_ENDING})(?!{_HAN}))?|{_HAN_OR_HIRAGANA.pattern}{{2,}}|{_LATIN}"
)
_TITLE = re.compile(r"《([^《》]{1,30})》")
_CRY = re.compile(
    r"[嗯呜嗚哇唔欸咳哦喔噢啊呀哈嘿哼呃诶嘛呐吧呢哟嘻呼啦咦咕噜噗嗷嘘哎唉嗨呵咯喵汪吼嗖砰咚哐锵哔呸嘎嗒啪嚓喂哗叽咻轰]"
)
_NOISE = re.compile(r"(.{1,3})\1|.*[ッゥァィェォ]$")  # ドキドキ, ガタッ, ウワァ


def coined(
    language: str, texts: Sequence[str], known: Matcher, general: Frequency, english: Frequency | None
) -> Iterator[Hit]:
    """The work's own words in its Chinese or Japanese lines. What `known` finds there is left out first.

    `english` tells what is an ordinary word in Latin letters.
    """
    titles = {title for text in texts for title in _TITLE.findall(text)}
    stretch = _JAPANESE if language.startswith("ja") else _CHINESE
    # Each stretch is looked at once, however often it is said.
    stretches = Counter(each for text in texts for each in stretch.findall(_without(known, text)))
    counts: Counter[str] = Counter()
    endings: dict[str, set[str]] = {}
    for each, times in stretches.items():
        for word, ending in _own_words(each, general, english):
            counts[word] += times
            if ending:
                endings.setdefault(word, set()).add(ending)
    for title in sorted(titles):
        yield Hit(title, "work", "title marks", language)
    for word, count in sorted(counts.items()):
        if count >= LEAST:
            for ending in ("", *sorted(endings.get(word, ()))):
                yield Hit(word + ending, _KIND.get(ending, "term"), "keyness", language, sure=count >= SURE)


def kind_by_ending(text: str) -> TermKind | None:
    """What a name names, by the common noun at its end: 御咲学园 a school."""
    for length in (3, 2, 1):
        if len(text) > length + 1 and (kind := _KIND.get(text[-length:])):
            return kind
    return None


def _without(known: Matcher, text: str) -> str:
    parts: list[str] = []
    after = 0
    for start, end, _ in known.find(text):
        parts.append(text[after:start])
        after = end
    return " ".join((*parts, text[after:]))


def _own_words(stretch: str, general: Frequency, english: Frequency | None) -> Iterator[tuple[str, str]]:
    """Words in a stretch of one script that are not of the language, each with the common noun behind it, if
    it has one."""
    if _HAN_OR_HIRAGANA.match(stretch):
        yield from _loose_letters(general.words(stretch), general)
    elif katakana := _KATAKANA.fullmatch(stretch):
        run, noun = katakana[1], katakana[2] or ""
        if _is_own_katakana(run, noun, general):
            yield run, noun
    elif _is_own_latin(stretch, general, english):
        yield stretch, ""


def _is_own_latin(word: str, general: Frequency, english: Frequency | None) -> bool:
    if len(word) < 3 or word.islower():
        return False
    return not general.is_ordinary(word) and not (english and english.is_ordinary(word))


def _is_own_katakana(run: str, ending: str, general: Frequency) -> bool:
    """Whether a run of katakana is no word that people know: not a loanword, nor a cry, nor a native word
    written loudly. Known words in a row are its own when they end as a name does: プチピアノ部."""
    native = "".join(chr(ord(each) - 0x60) if "\u30a1" <= each <= "\u30f6" else each for each in run)
    if any(general.zipf(word) >= KNOWN for word in (run, run.rstrip("ー"), native)) or _NOISE.match(run):
        return False
    return bool(ending) or any(len(part) == 1 for part in general.words(run))


def _loose_letters(words: Iterable[str], general: Frequency) -> Iterator[tuple[str, str]]:
    """Two and more Han letters in a row that are no words, and the common noun behind them: 御咲, 学园."""
    loose = ""
    for word in [*words, ""]:
        ends_a_name = len(loose) > 1 and word in _KIND
        if not ends_a_name and len(word) == 1 and _is_loose(word, general):
            loose += word
            continue
        if len(loose) > 1 and general.zipf(loose) < KNOWN and not _NOISE.match(loose):
            yield loose, word if ends_a_name else ""
        loose = ""


def _is_loose(letter: str, general: Frequency) -> bool:
    return (
        letter > "\u30ff"
        and letter not in NOBODY
        and general.zipf(letter) < _LOOSE
        and not _CRY.match(letter)
    )
