"""How people in the lines are addressed: what stands before さん, 君, 前辈, or after Mr.

A name plate gives whole names; the lines say parts of them (绫濑忍 is 绫濑君 and 忍酱), nicknames (慎酱 is
奥村慎太郎) and people who never speak (梅酱).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from dataset_builder.filtering.frequency import ORDINARY, Frequency

# Behind a name and hardly ever behind anything else.
_STRONG = {
    "zh": "君|酱|醬|同学|同學|学长|學長|学姐|學姐|学妹|學妹|学弟|學弟|前辈|前輩",
    "ja": "さん|くん|ちゃん|君|様|先輩|氏|嬢",
}
# Behind a role or a word of kinship as well: evidence for a name that is known otherwise, and none alone.
_WEAK = {
    "zh": "哥|姐|亲|親|老师|老師|先生|小姐|阿姨|叔叔|大人|殿下|妈妈|媽媽",
    "ja": "先生|殿|兄|姉|にぃ|じぃ|ばぁ|おじさん|おばさん",
}
_PREFIX = {"zh": re.compile("[阿小]([\u3400-\u9fff])")}
_TITLE_WORDS = """
Mister Madam Madame Mademoiselle Monsieur Miss Sir Lady Lord Dame Doctor Professor Captain Commander
Colonel Major General Lieutenant Sergeant Officer Inspector Detective Agent President Prince Princess
King Queen Duke Duchess Count Countess Baron Father Mother Sister Brother Uncle Aunt Auntie Grandpa
Grandma Master
"""
_LONG_TITLES = _TITLE_WORDS.split()
TITLES = frozenset(title.casefold() for title in (*_LONG_TITLES, "Mr", "Mrs", "Ms", "Dr", "Prof", "St"))
_TITLED = re.compile(rf"\b(?:(?:Mr|Mrs|Ms|Dr|Prof|St)\.?|{'|'.join(_LONG_TITLES)}) ([A-Z][^\W\d_]+)")
# Who is called so is not called by a name.
_LETTERS = (
    "你我他她它您咱这那某各诸两几哪谁每本该的了是在和有也就都不没很太最老大小男女学學同师師哥姐"
    "弟妹父母双雙爷奶妈爸叔姨好前后新主人家能会要像被让给对跟与可一皆客兄姉爺婆嫁奥娘坊嬢神仏王"
    "姫誰何彼貴若殿子者諸俺僕君店頭中"
)
_WORDS = """
みな みんな おかあ おとう かあ とう おじ おば おじい おばあ おにい おねえ にい ねえ にー ねー じい ばあ
あか たく おまわり おきゃく かみ ひめ わか おく おじょう おぼっ ぼっ だれ わん にゃん おっ ちゃん
"""
NOBODY = frozenset((*_LETTERS, *_WORDS.split()))
_ROLE = re.compile(r".+[員长長師师者屋客生医官兵手们達主年]|.+たち")
_APART = re.compile(r"[\s\u3000、。，．！？!?…―—～~♪♥☆★「」『』（）()《》“”‘’\"：:；;]")
# The stretch of one script at the end of some letters.
_STRETCH = re.compile(
    r"(?:[\u3400-\u9fff\u3005ノヶ]*[\u3400-\u9fff\u3005]|[\u30a1-\u30faー]+|[\u3041-\u3096]+)$"
)
_HAN = re.compile(r"[\u3400-\u9fff\u3005]+")
_HIRAGANA, _KATAKANA, _OTHER = range(3)
_LONGEST = 6  # letters before a form of address that are looked at
# Zipf: a letter or a word as frequent as this is hardly a name; many names of two letters are words as well.
_COMMON_LETTER = 5.3
_COMMON_WORD = 4.2


class Addresses:
    """Forms of address in the lines of one language.

    `called` counts the likely names before a form that only follows names; `signs` counts, for parts of
    `names`, every other sign that somebody is called so.
    """

    def __init__(
        self, language: str, texts: Iterable[str], names: Iterable[str], general: Frequency | None
    ) -> None:
        self.called: Counter[str] = Counter()
        self.signs: Counter[str] = Counter()
        self._general = general
        self._whole = frozenset(names)
        self._pieces = {piece for name in self._whole for piece in _pieces(name)} - NOBODY
        base = language.partition("-")[0]
        if base in _STRONG:
            self._read(base, texts)
        else:
            for text in texts:
                self.called.update(name for name in _TITLED.findall(text) if name.casefold() not in TITLES)

    def evidence(self, part: str) -> int:
        """How often somebody is called so, by all signs."""
        return self.called[part] + self.signs[part]

    def _read(self, base: str, texts: Iterable[str]) -> None:
        strong, weak = re.compile(_STRONG[base]), re.compile(_WEAK[base])
        prefix = _PREFIX.get(base)
        for text in texts:
            for stretch in _APART.split(text):
                if stretch in self._pieces:
                    self.signs[stretch] += 1  # `忍！`
            for match in strong.finditer(text):
                if called := self._before(text, match.start(), match[0]):
                    self.called[called] += 1
            for match in weak.finditer(text):
                if called := self._known(text[max(0, match.start() - _LONGEST) : match.start()]):
                    self.signs[called] += 1
            if prefix is not None:
                for match in prefix.finditer(text):
                    if match[1] in self._pieces and not self._is_common(match[0], ORDINARY):
                        self.signs[match[1]] += 1

    def _known(self, before: str) -> str:
        """The longest end of `before` that is a known name or part of one."""
        for start in range(len(before)):
            if (end := before[start:]) in self._whole or end in self._pieces:
                return end
        return ""

    def _before(self, text: str, end: int, address: str) -> str:
        """What is called at `end`, where a form of address begins; "" when it is likely no name."""
        start = max(0, end - _LONGEST)
        before = text[start:end]
        if known := self._known(before):
            return known
        match = _STRETCH.search(before)
        if match is None:
            return ""
        stretch, first = match[0], start + match.start()
        script = _script(stretch[-1])
        if script == _KATAKANA:
            called = stretch.lstrip("ー")
            if len(called) < 2:
                return ""
        elif script == _HIRAGANA:
            called = self._in_hiragana(stretch, not first or _APART.match(text[first - 1]) is not None)
        elif address in ("さん", "様") and (len(stretch) == 1 or text[first - 1 : first] == "お"):
            return ""  # 虫さん, お節介さん
        elif address == "くん" and text.startswith(("だ", "で", "じ"), end + 2):
            return ""  # 行くんだ
        else:
            called = self._last_word(stretch)
        if called in NOBODY or _ROLE.fullmatch(called) or self._is_common(called + address, ORDINARY):
            return ""
        if len(called) == 1:
            common = _COMMON_LETTER
        else:
            common = _COMMON_WORD if len(called) == 2 or script == _HIRAGANA else ORDINARY
        return "" if self._is_common(called, common) else called

    def _in_hiragana(self, stretch: str, after_mark: bool) -> str:
        """A name at the end of hiragana: all of it after a mark; else its last word, if that is in the list
        and long enough to be no grammar."""
        if after_mark and 2 <= len(stretch) <= 4:
            return stretch
        if self._general is None:
            return ""
        last = self._general.words(stretch)[-1]
        return last if len(last) > 2 else ""

    def _last_word(self, stretch: str) -> str:
        """The last word of a stretch of Han letters: letters that are no word together are one name."""
        if self._general is None:
            return stretch if len(stretch) <= 3 else ""
        words = self._general.words(stretch)
        called = words.pop()
        while len(called) < 4 and words and self._is_loose(words[-1]) and self._is_loose(called[0]):
            called = words.pop() + called
        return called

    def _is_loose(self, word: str) -> bool:
        return len(word) == 1 and word not in NOBODY and not self._is_common(word, _COMMON_LETTER)

    def _is_common(self, word: str, zipf: float) -> bool:
        return self._general is not None and self._general.zipf(word) >= zipf


def _pieces(name: str) -> Iterator[str]:
    """What may be a part of a name: its beginnings and ends in Han letters, and where the script changes."""
    for at in range(1, len(name)):
        for piece in (name[:at], name[at:]):
            if _HAN.fullmatch(piece) or (len(piece) > 1 and _script(name[at - 1]) != _script(name[at])):
                yield piece


def _script(letter: str) -> int:
    if "\u3041" <= letter <= "\u3096":
        return _HIRAGANA
    return _KATAKANA if "\u30a1" <= letter <= "\u30fc" else _OTHER


def without_address(name: str, language: str) -> str:
    """A name plate without the form of address: `もち子さん` -> `もち子`, `Professor Eileen` -> `Eileen`."""
    base = language.partition("-")[0]
    if base in _STRONG:
        match = re.fullmatch(f"(.+?)(?:{_STRONG[base]}|{_WEAK[base]})", name)
        return match[1] if match and match[1] not in NOBODY else name
    words = name.split()
    while len(words) > 1 and words[0].rstrip(".").casefold() in TITLES:
        words.pop(0)
    return " ".join(words)
