"""How a character speaks, counted: what she calls herself and others, how she ends a sentence, what she says
more often than anybody else, with whom she talks.

What sets her apart is told by Dunning's log-likelihood ratio (Computational Linguistics 19/1, 1993) of the
lines that have a phrase, hers against everybody else's. With nobody to compare with, nothing is claimed.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from dataset_builder.profiling.evidence import Dossier, Record, sentences
from dataset_builder.profiling.facts import Finding

_SIGNIFICANT = 10.83  # of the log-likelihood ratio: one chance in a thousand
_TIMES = 2.0  # more often than others, at least
_FEWEST = 3  # lines: what is rarer is an accident
_MOST = 6  # phrases, endings or people that are told
_EXAMPLES = 3  # lines for each
_LONGEST = 6  # letters of a phrase in writing without blanks

_PRONOUNS = {
    "ja": re.compile(
        "私|わたし|わたくし|あたし|アタシ|僕|ぼく(?=[はがのもにを])|ボク|俺|おれ(?=[はがのもにを])|オレ|儂|わし(?=[はがのも])"
        "|拙者|吾輩|妾|うち(?=[はがもの])|ウチ"
    ),
    "zh": re.compile("人家|本小姐|本姑娘|本宫|老娘|老子|俺|咱们?|在下|我(?!们|們)"),
}
_ADDRESS = {
    "ja": "(?:さん|ちゃん|くん|君|様|さま|先輩|先生|殿|っち|たん|お?兄(?:さん|ちゃん)|お?姉(?:さん|ちゃん))?",
    "zh": "(?:同学|学长|学姐|学弟|学妹|前辈|酱|君|哥哥?|姐姐?|老师|先生|小姐|阿姨|叔叔|大人)?",
}
_NAME_PARTS = re.compile(r"[\s\u3000・·]+")
_VARIABLE = re.compile(r"[{\[][^{}\[\]]{1,60}[}\]]")  # of the game: no word of hers
_WIDE_RUN = re.compile(r"[\u3041-\u3096\u30a1-\u30fc\u3400-\u9fff々]+")
_KANA = re.compile(r"[\u3041-\u3096]+")
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
# What a sentence ends with besides its words: in Japanese kana, in Chinese the particles of mood.
_ENDINGS = {
    "ja": re.compile(r"([\u3041-\u3096\u30a1-\u30fc]{1,12})[^\u3041-\u3096\u30a1-\u30fc\u3400-\u9fff]*$"),
    "zh": re.compile(r"([呢啦吧哦喔噢嘛呀啊哟耶嘞咯喵呗诶欸呐捏哒哩哇嗷]{1,2})[^\u3400-\u9fff]*$"),
    "en": re.compile(r"([A-Za-z'’]+)[^A-Za-z]*$"),
}


_NO_ENDING = frozenset(
    "すたるうくだいてっしまれりきん"
)  # the last letter of most verbs: alone it says nothing
_PARTICLE = re.compile(
    "[はがをにのとでもへや][\u30a1-\u30fc\u3400-\u9fff]"
)  # of the word before, in Japanese


def find_manner(dossier: Dossier) -> list[Finding]:
    """Findings on `pronoun`, `address`, `endings`, `phrases`, `companions` and `length`, as far as there is
    enough to count."""
    endings = _distinct(dossier, "endings", _endings)
    found = (
        _pronoun(dossier),
        _address(dossier),
        endings,
        _distinct(dossier, "phrases", _phrases, endings.values if endings else ()),
        _companions(dossier),
        _length(dossier),
    )
    return [each for each in found if each is not None]


def log_likelihood(a: int, b: int, of_a: int, of_b: int) -> float:
    """How unlikely it is that `a` of `of_a` and `b` of `of_b` are drawn from the same: 10.83 is 1 in 1000."""
    both = (a + b) / (of_a + of_b)
    expected_a, expected_b = of_a * both, of_b * both
    return 2 * sum(
        count * math.log(count / expected) for count, expected in ((a, expected_a), (b, expected_b)) if count
    )


def _pronoun(dossier: Dossier) -> Finding | None:
    pattern = _PRONOUNS.get(dossier.language.partition("-")[0])
    if pattern is None:
        return None
    lines: dict[str, list[Record]] = defaultdict(list)
    for record in dossier.spoken:
        for word in dict.fromkeys(pattern.findall(record.text)):
            lines[word].append(record)
    return _most_frequent("pronoun", lines, 2)


def _address(dossier: Dossier) -> Finding | None:
    """What she calls others: their names, or parts of them, with what she puts behind."""
    names = {part for name in dossier.others for part in (name, *_NAME_PARTS.split(name)) if len(part) > 1}
    if not names:
        return None
    suffix = _ADDRESS.get(dossier.language.partition("-")[0], "")
    listed = "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name)))
    edge = "" if suffix else r"\b"
    pattern = re.compile(f"{edge}(?:{listed}){suffix}{edge}")
    lines: dict[str, list[Record]] = defaultdict(list)
    for record in dossier.spoken:
        for called in dict.fromkeys(pattern.findall(record.text)):
            lines[called].append(record)
    return _most_frequent("address", lines, _MOST)


def _most_frequent(topic: str, lines: dict[str, list[Record]], most: int) -> Finding | None:
    ranked = sorted(lines, key=lambda value: (-len(lines[value]), value))
    # What is said a tenth as often as the first is no habit.
    kept = [
        value for value in ranked[:most] if len(lines[value]) >= max(_FEWEST, len(lines[ranked[0]]) // 10)
    ]
    if not kept:
        return None
    count = len(lines[kept[0]])
    return Finding(
        topic,
        tuple(kept),
        tuple(tuple(lines[value][:_EXAMPLES]) for value in kept),
        round(count / (count + 3), 2),
    )


def _endings(text: str, language: str) -> Iterator[str]:
    """The last letters of each sentence, up to four of them; in English its last word."""
    pattern = _ENDINGS.get(language.partition("-")[0])
    if pattern is None:
        return
    for sentence in sentences(text, language):
        if match := pattern.search(sentence):
            ending = match[1].casefold()
            if ending[0].isascii():
                yield ending
                continue
            for length in range(1, min(4, len(ending)) + 1):
                if length > 1 or ending[-1] not in _NO_ENDING:
                    yield ending[-length:]


def _phrases(text: str, _: str) -> Iterator[str]:
    """Every two to six letters side by side in writing without blanks; words and pairs of words in others."""
    text = _VARIABLE.sub("\n", text)
    for run in _WIDE_RUN.findall(text):
        for length in range(2, min(_LONGEST, len(run)) + 1):
            for at in range(len(run) - length + 1):
                yield run[at : at + length]
    words = [word.casefold() for word in _WORD.findall(text)]
    yield from words
    yield from (f"{one} {two}" for one, two in pairwise(words))


def _distinct(
    dossier: Dossier,
    topic: str,
    units: Callable[[str, str], Iterable[str]],
    without: tuple[str, ...] = (),
) -> Finding | None:
    """What stands in many of her lines and in few of other people's, and does not end like any `without`."""
    language = dossier.language
    lines: dict[str, list[Record]] = defaultdict(list)
    # What is said again word for word (in a loop of a game) is one line.
    mine = {record.text: record for record in dossier.spoken}
    for text, record in mine.items():
        for unit in set(units(text, language)):
            lines[unit].append(record)
    candidates = {unit for unit, where in lines.items() if len(where) >= _FEWEST}
    theirs = {record.text for record in dossier.spoken_by_others}
    if not theirs:
        return None
    others: Counter[str] = Counter()
    for text in theirs:
        others.update(candidates.intersection(units(text, language)))
    count, others_count = len(mine), len(theirs)
    names = [*dossier.called, *dossier.others]
    scores = {}
    for unit in candidates:
        hers = len(lines[unit])
        if unit.endswith(without):
            continue
        if hers * others_count < _TIMES * others[unit] * count or _is_part_of_a_name(unit, names):
            continue
        score = log_likelihood(hers, others[unit], count, others_count)
        if score >= _SIGNIFICANT and _is_whole(unit, lines[unit], ends=topic == "endings"):
            scores[unit] = score
    kept = _without_fragments(scores, lines)[:_MOST]
    if not kept:
        return None
    return Finding(
        topic,
        tuple(kept),
        tuple(tuple(lines[unit][:_EXAMPLES]) for unit in kept),
        round(min(0.95, 1 - _SIGNIFICANT / (2 * scores[kept[0]])), 2),
    )


def _is_whole(unit: str, records: Sequence[Record], *, ends: bool) -> bool:
    """Whether it is more than grammar, and no fragment: different letters stand before it, and behind it.

    `么担心` always has the same one before it (accessor variety: Feng and others, Computational Linguistics
    30/1, 2004). Behind what `ends` a sentence nothing is looked for.
    """
    if not ends and (_PARTICLE.match(unit) or (len(unit) < 4 and _KANA.fullmatch(unit))):
        return False
    before: set[object] = set()
    behind: set[object] = set()
    for record in records:
        text = record.text.casefold()
        at = text.find(unit)
        while at >= 0:
            end = at + len(unit)
            # A blank, a mark or the line's border is another border each time.
            before.add(text[at - 1] if at > 0 and text[at - 1].isalnum() else (record.evidence, at))
            behind.add(text[end] if end < len(text) and text[end].isalnum() else (record.evidence, at))
            at = text.find(unit, end)
    return len(before) > 1 and (ends or len(behind) > 1)


def _is_part_of_a_name(unit: str, names: Sequence[str]) -> bool:
    return any(unit in name.casefold() or (len(name) > 1 and name.casefold() in unit) for name in names)


def _without_fragments(scores: dict[str, float], lines: dict[str, list[Record]]) -> list[str]:
    """The best first, without what is a piece of a better one, or one with a little more around it."""
    # A piece that hardly ever stands alone gives way to the whole, although it is a little more frequent.
    pieces = {
        piece
        for whole in scores
        for piece in _pieces(whole)
        if piece in scores and len(lines[whole]) >= 0.75 * len(lines[piece])
    }
    kept: list[str] = []
    for unit in sorted(scores, key=lambda unit: (-scores[unit], unit)):
        if unit not in pieces and not any(unit in other or other in unit for other in kept):
            kept.append(unit)
    return kept


def _pieces(whole: str) -> Iterator[str]:
    if " " in whole:
        yield from whole.split()
        return
    for start in range(len(whole)):
        for end in range(start + 1, len(whole) + 1):
            if end - start < len(whole):
                yield whole[start:end]


def _companions(dossier: Dossier) -> Finding | None:
    """With whom she talks: who speaks right before or after her."""
    lines: dict[str, list[Record]] = defaultdict(list)
    before: Record | None = None
    for record in dossier.records:
        if record.kind not in ("speech", "choice"):
            continue
        if before is not None and before.place == record.place and before.hers != record.hers:
            mine, other = (before, record) if before.hers else (record, before)
            if other.speaker:
                lines[other.speaker].append(mine)
        before = record
    return _most_frequent("companions", lines, _MOST)


def _length(dossier: Dossier) -> Finding | None:
    """How long her lines are: the median, in letters, beside that of the others."""
    mine = sorted(dossier.spoken, key=lambda record: len(record.text))
    others = sorted(len(record.text) for record in dossier.spoken_by_others)
    if len(mine) < 10 or not others:
        return None
    middle = mine[len(mine) // 2]
    return Finding("length", (str(len(middle.text)), str(others[len(others) // 2])), ((middle,), ()), 0.9)
