"""Lines that show how a character talks: how she greets somebody, and how she answers."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dataset_builder.profiling.evidence import Dossier, Evidence, Record
from dataset_builder.profiling.topics import base_language

_EXAMPLE = 100  # letters of one side of an exchange
_LONGEST = 200  # letters of a greeting
_GREETS = 4  # what a word of greeting is worth beside the other signs
_APART = 4  # lines between two examples
_GREETING = {
    "zh": re.compile(
        "[嗯啊哦呀嘿～~]{0,2}[，、]?(?:你好|您好|大家好|早上好|早安|早啊|中午好|下午好|晚上好|欢迎|嗨|哈喽|好久不见|初次见面)"
    ),
    "ja": re.compile(
        "[あおえや～っ]{0,2}[、！]?(?:こんにち[はわ]|こんばん[はわ]|おはよ|いらっしゃい|はじめまして|初めまして|ようこそ"
        "|やっほ|やあ|おかえり|お帰り|久しぶり|お久しぶり|ごきげんよう)"
    ),
    "en": re.compile(
        r"(?:Oh,? |Well,? |Ah,? )?(?:Hello|Hi|Hey|Good (?:morning|evening|afternoon)|Welcome|Greetings"
        r"|Nice to meet you|Long time no see)\b",
        re.IGNORECASE,
    ),
}
# How an answer begins: no way to open a conversation.
_ANSWERING = {
    "zh": re.compile("[…—]|(?:嗯|是|对|不|没|好的|什么|啊|哦|欸|诶|可是|但是|所以|因为|那)"),
    "ja": re.compile("[…―]|(?:うん|はい|ええ|いいえ|いや|そう|でも|だから|だって|え|へえ|なんで|それ)"),
    "en": re.compile(r"(?:\.\.\.|…)|(?:Yes|No|Yeah|Nope|But|So|Because|Then|That|It|What)\b"),
}
_TO_SOMEBODY = re.compile(r"[?？]|\byou\b|你|您|あなた|きみ|君")
_UNREADABLE = re.compile(r"[{}<>\[\]\\]")  # a variable of the game, or markup that was not read


@dataclass(frozen=True)
class Answer:
    """What somebody said, and what she answered right then."""

    said: Record
    answered: Record


def greetings(dossier: Dossier, count: int, avoided: Collection[str] = ()) -> list[Record]:
    """Her lines that could open a conversation, the best first; at least one if she says anything at all.

    Lines that name somebody else or one of `avoided` come last.
    """
    language = base_language(dossier.language)
    names = _any_of({*_names(dossier.others), *avoided})
    opening = _openings(dossier)
    scores: dict[str, tuple[bool, int, Record]] = {}
    for record in dossier.spoken:
        text = record.text
        if text in scores:
            continue
        score = (
            _GREETS * (_GREETING[language].match(text) is not None)
            + (record.evidence in opening)
            + (_TO_SOMEBODY.search(text) is not None)
            + (8 <= len(text) <= 80)
            - (_ANSWERING[language].match(text) is not None)
        )
        fits = not (names.search(text) or _UNREADABLE.search(text)) and len(text) <= _LONGEST
        scores[text] = fits, score, record
    ranked = sorted(scores.values(), key=lambda each: (not each[0], -each[1]))
    best = ranked[:1] + [each for each in ranked[1:] if each[0] and each[1] >= _GREETS]
    return [record for _, _, record in best[:count]]


def answers(
    dossier: Dossier, habits: Sequence[str], count: int, avoided: Collection[str] = ()
) -> list[Answer]:
    """Her answers that show most of her `habits` (words she likes, endings, what she calls herself).

    In the order of the story, and from different places of it; none in which somebody else is named or one
    of `avoided`.
    """
    names = _any_of({*_names(dossier.others), *avoided})
    called = _any_of(dossier.called)
    spoken = [record for record in dossier.records if record.kind in ("speech", "choice")]
    found: list[tuple[int, int, Answer]] = []
    for number, (said, answered) in enumerate(pairwise(spoken)):
        if not (answered.hers and answered.kind == "speech" and not said.hers and _follows(said, answered)):
            continue
        texts = said.text, answered.text
        if any(len(text) > _EXAMPLE or names.search(text) or _UNREADABLE.search(text) for text in texts):
            continue
        score = (
            sum(habit in answered.text.casefold() for habit in habits)
            + (12 <= len(answered.text) <= 80)
            + (len(said.text) >= 4)
            - (called.search(said.text) is not None)
        )
        found.append((score, number, Answer(said, answered)))
    best: dict[int, Answer] = {}
    for _, number, answer in sorted(found, key=lambda each: (-each[0], each[1])):
        if len(best) < count and all(abs(number - other) >= _APART for other in best):
            best[number] = answer
    return [best[number] for number in sorted(best)]


def _openings(dossier: Dossier) -> set[Evidence]:
    """Her lines before which nobody has spoken in the scene."""
    opened: set[tuple[str, str]] = set()
    found: set[Evidence] = set()
    for record in dossier.records:
        if record.kind in ("speech", "choice") and record.place not in opened:
            opened.add(record.place)
            if record.hers:
                found.add(record.evidence)
    return found


def _follows(said: Record, answered: Record) -> bool:
    """Whether one can be read right after the other."""
    inside = said.branch in ("", answered.branch) or answered.branch.startswith(f"{said.branch}/")
    return said.place == answered.place and inside


def _names(others: Sequence[str]) -> Iterator[str]:
    for name in others:
        yield name
        yield from (part for part in re.split(r"[\s\u3000・·]+", name) if len(part) > 1)


def _any_of(names: Collection[str]) -> re.Pattern[str]:
    """Finds any of the names; of those in Latin letters whole words only."""
    listed = sorted((name for name in names if len(name) > 1), key=lambda name: (-len(name), name))
    return re.compile(
        "|".join(rf"\b{re.escape(name)}\b" if name.isascii() else re.escape(name) for name in listed)
        or "(?!)"
    )
