"""The names and terms that a script itself tells: who speaks, parts of names, who is called how, readings,
links of a glossary."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dataset_builder.filtering.address import Addresses, without_address
from dataset_builder.filtering.frequency import KNOWN, WIDE, Frequency
from dataset_builder.filtering.terms import Hit, is_term
from dataset_builder.lines import is_mask, real_name
from dataset_builder.schema import Scene

_BETWEEN = re.compile(r"[\s\u3000・·•＝=]+")
# What makes a plate of an ordinary word: 学生A, 女老师, 黑衣男, 中年大叔.
_FILLER = re.compile(r"[A-Za-zＡ-Ｚ\d０-９甲乙丙丁男女小大老那个群某叔姨爷奶哥姐弟妹母父]*")
_ROLE = re.compile(r".*[员員长長师師者屋客生医官兵手们達主人友声]|.+たち")
_OF = re.compile("[的の之]")
# Zipf: a plate with one letter, with a word, a part of a foreign name; what is as frequent is hardly a name.
_COMMON_LETTER = 4.5
_COMMON_WORD = 4.3
_COMMON_PART = 5.5
_WORD = re.compile(r"[^\W\d_]{2,}")
_KANA = re.compile(r"[\u3041-\u3096]")
_HAN = re.compile(r"[\u3400-\u9fff\u3005]+")
_NOBODY_WORDS = """
me i you we he she they narrator player everyone everybody both all anon anonymous
"""
_NOBODY = frozenset(_NOBODY_WORDS.split())
_GLOSSARY_LINK = re.compile(r"%l[^;%]*;#[0-9A-Fa-f]*;(.{1,64}?)%l;#;")  # Wamsoft's engine
_KATAKANA = re.compile(r"[\u30a1-\u30fa]")
_SCRIPT = re.compile(r"[\u3400-\u9fff\u3005]+|[\u30a1-\u30faー]+|[\u3041-\u3096]+")


def speakers(scenes: Iterable[Scene]) -> Counter[str]:
    """Everybody on a name plate, with the number of lines; a chorus counts for each in it.

    `森海友·加藤准太` is two people when one of them is seen alone, and one foreign name otherwise.
    """
    plates: Counter[str] = Counter()
    for scene in scenes:
        for line in scene.lines:
            plates.update(map(real_name, line.speakers))
            if line.display_name and line.display_name != line.speaker and len(line.speakers) == 1:
                plates[real_name(line.display_name)] += 1
    names: Counter[str] = Counter()
    for plate, count in plates.items():
        people = [plate]
        if "・" in plate or "·" in plate:
            halves = [half for half in _BETWEEN.split(plate) if half]
            people = halves if any(half in plates for half in halves) else people
        for name in people:
            if is_term(name) and not is_mask(name):
                names[name] += count
    return names


def named(
    language: str, names: Counter[str], texts: Sequence[str], general: Frequency | None
) -> Iterator[Hit]:
    """What name plates and forms of address say: speakers, the parts of their names, nicknames, and people
    who never speak."""
    base = language.partition("-")[0]
    addresses = Addresses(language, texts, names, general)
    small = _small_words(texts) if base not in WIDE else frozenset()
    sure = []
    for name in names:
        known = _is_a_name(name, base, addresses, small, general)
        if known:
            sure.append(name)
        yield Hit(name, "person", "speaker", language, name, known)
    shared = Counter(name[:length] for name in sure for length in range(1, len(name)))
    taken = set(names)
    for name in sure:
        for part in _parts(name, language, addresses, shared, general):
            taken.add(part)
            yield Hit(part, "person", "part", language, name)
    for called in addresses.called:
        if called not in taken:
            owner = _owner(called, sure)
            doubtful = general is not None and base in WIDE and general.is_ordinary(called)
            certain = (
                bool(owner)
                or addresses.called[called] > 2
                or (not _KANA.match(called) and (not doubtful or len(called) == 1))
            )
            yield Hit(called, "person", "address", language, owner, certain)


def marked(scenes: Iterable[Scene], generals: Mapping[str, Frequency]) -> Iterator[Hit]:
    """What the script itself marks: words with a reading above them, and links of a glossary.

    A reading in katakana over another word (千里眼: サウザンドアイ) is the work's own; a plain one helps to
    read a rare word, which a person may look at.
    """
    for scene in scenes:
        general = generals.get(scene.language)
        for line in scene.lines:
            for ruby in line.ruby:
                if len(ruby.base) > 1:
                    own = _KATAKANA.search(ruby.text) is not None and not _KATAKANA.search(ruby.base)
                    if general is None or not general.is_ordinary(ruby.base):
                        known = general is not None and general.zipf(ruby.base) >= KNOWN
                        yield Hit(ruby.base, "term", "ruby", scene.language, sure=own and not known)
                    if own:
                        yield Hit(ruby.text, "term", "ruby", scene.language)
            if "%l" in line.raw:
                for word in _GLOSSARY_LINK.findall(line.raw):
                    if word in line.text:
                        yield Hit(word, "term", "link", scene.language)


def _is_a_name(
    name: str, base: str, addresses: Addresses, small: frozenset[str], general: Frequency | None
) -> bool:
    """Whether a name plate shows a name (赤峰空), and not what somebody is (女老师, 学生A, Narrator).

    A name that is a word as well (夕阳) is one when somebody is called so, or when the word is rare.
    """
    if addresses.called[name]:
        return True
    if base not in WIDE:
        return not all(word in _NOBODY or word in small or len(word) < 2 for word in name.casefold().split())
    if _OF.search(name):
        return False  # 忍的妈妈
    if general is None:
        return len(name) > 1
    words = [word for word in general.words(name) if not _FILLER.fullmatch(word)]
    if not words:
        return False
    if len(words) == 1 and len(words[0]) == 1:
        return general.zipf(words[0]) < _COMMON_LETTER
    if any(len(word) == 1 for word in words):
        return True  # letters that are no word together
    return general.zipf(words[-1]) < _COMMON_WORD and not _ROLE.fullmatch(words[-1])


def _small_words(texts: Iterable[str]) -> frozenset[str]:
    """Words that the lines write small."""
    return frozenset(word for text in texts for word in _WORD.findall(text) if word[0].islower())


def _parts(
    name: str, language: str, addresses: Addresses, shared: Counter[str], general: Frequency | None
) -> Iterator[str]:
    """Family name and given name, as far as somebody is called so or their border is seen; the name without
    a form of address."""
    plain = without_address(name, language)
    if plain != name:
        yield plain
    pieces = [piece for piece in _BETWEEN.split(plain) if piece]
    if len(pieces) > 1:
        yield from (
            piece
            for piece in pieces
            if len(piece) > 1 and not (general and general.zipf(piece) > _COMMON_PART)
        )
        return
    if language.partition("-")[0] not in WIDE:
        return

    def is_rare(part: str) -> bool:
        return len(part) > 1 and not (general is None or general.is_ordinary(part))

    scripts = _SCRIPT.findall(plain)
    if len(scripts) == 2 and "".join(scripts) == plain and len(scripts[1]) > 1:  # 春日部つむぎ
        family, given = scripts
        yield given
        if addresses.evidence(family) or is_rare(family):
            yield family
    elif len(scripts) == 1 and len(plain) > 2 and _HAN.fullmatch(plain):
        splits = [(plain[:at], plain[at:]) for at in range(1, len(plain))]
        counts = [
            addresses.evidence(family) + addresses.evidence(given) + (shared[family] > 1 and len(family) > 1)
            for family, given in splits
        ]
        count, _, (family, given) = max(
            (count, -abs(len(split[0]) - 2), split) for count, split in zip(counts, splits, strict=True)
        )
        if count:
            if addresses.evidence(family) or shared[family] > 1 or is_rare(family):
                yield family
            if addresses.evidence(given) or is_rare(given):
                yield given


def _owner(called: str, names: Iterable[str]) -> str:
    """Whose nickname it is (慎: 奥村慎太郎); "" when nobody's or more than one's."""
    owners = [name for name in names if called[0] in name and all(letter in name for letter in called)]
    return owners[0] if len(owners) == 1 else ""
