"""What lines say outright of a character: age, birthday, hobbies, likes, relations, and where they say it.

No model is asked. A pattern reads a sentence or it does not, so what is found is little and can be shown.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from dataset_builder.profiling.evidence import Dossier, Record, sentences
from dataset_builder.profiling.fact_patterns import compiled

SINGLE = frozenset({"age", "birthday"})  # of which there is one; two are a contradiction
MOST_VALUES = 8  # of a topic with many
MOST_LINES = 5  # that prove one value

_DIGITS = {c: n for n, c in enumerate("〇一二三四五六七八九")} | {"零": 0, "两": 2}
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen
"""
_WORDS = {word: n for n, word in enumerate(_SMALL.split())} | {
    word: 20 + 10 * n for n, word in enumerate(_TENS)
}
_MONTHS = """
    january february march april may june july august september october november december
"""
_NUMBER = re.compile(r"\d+|[〇零一二两三四五六七八九十百]+")
_HERS = {"zh": "{0}{1}", "ja": "{0}の{1}", "en": "{0} {1}"}
_OF_SOMEBODY = {"zh": "{1}的{0}", "ja": "{1}の{0}", "en": "{1}'s {0}"}
_ASKS = re.compile(r"[?？]|(?:吗|嗎|么|呢|か|かな|っけ)[。…]*$")
# What somebody likes and is no thing: people that are talked to, pointing words, half a sentence.
_NO_THING = {
    "ja": re.compile(
        "(?:あなた|貴方|君|きみ|お前|あんた|先輩).{0,6}"
        "|(?:それ|これ|あれ|そこ|ここ|そう|こと|の|ん|何|なに|誰|だれ|どっち|やっぱり?|みんな|人|方).{0,2}"
        "|.{1,15}(?:は|って|ほう|方).{0,8}",
        re.DOTALL,
    ),
    "zh": re.compile("[你您他她它这那不].{0,16}|[的上过什谁哪自].{0,2}|一个人|大家", re.DOTALL),
}
_ENDING = re.compile(r"(?:[了啦哦喔呀啊嘛呢吧的哟喵]|而已|っていうの|という[のこ]?と?)+$")


@dataclass(frozen=True)
class Finding:
    """What was found on a topic: values, each with the lines that say it, and how sure that is (0 to 1)."""

    topic: str
    values: tuple[str, ...]
    records: tuple[tuple[Record, ...], ...]  # for each value
    confidence: float


@dataclass(frozen=True, slots=True)
class _Match:
    value: str
    record: Record
    sure: float


def find_facts(dossier: Dossier) -> tuple[list[Finding], list[Finding]]:
    """Findings, and contradictions: topics of which there is one value and lines that say several.

    Of contradicting values, the one that most lines say is the finding, and less sure.
    """
    matches: dict[str, dict[str, list[_Match]]] = {}  # topic -> value in its plain form -> where it was said
    for topic, match in _matches(dossier):
        matches.setdefault(topic, {}).setdefault(_plain(topic, match.value), []).append(match)
    findings, contradictions = [_name(dossier, matches.pop("name", {}))], []
    for topic, by_value in matches.items():
        ranked = sorted(by_value.values(), key=lambda said: -sum(each.sure for each in said))
        if topic == "relations":
            ranked = _without_nameless(ranked)
        confidence = max(_confidence(said) for said in ranked)
        if topic in SINGLE:
            if len(ranked) > 1:
                contradictions.append(_finding(topic, ranked, confidence))
                confidence = _confidence(ranked[0]) / 2
            ranked = ranked[:1]
        findings.append(_finding(topic, ranked[:MOST_VALUES], confidence))
    return findings, contradictions


def number(text: str) -> int | None:
    """`17`, `１７`, `十七` or `seventeen` as 17; None for what is no number."""
    text = unicodedata.normalize("NFKC", text).casefold()
    if text.isdecimal():
        return int(text)
    words = [_WORDS.get(word) for word in text.split("-")]
    if None not in words:
        return sum(word for word in words if word is not None)
    total = current = 0
    for c in text:
        if c in _DIGITS:
            current = current * 10 + _DIGITS[c]
        elif c in "十百":
            total += (current or 1) * (10 if c == "十" else 100)
            current = 0
        else:
            return None
    return total + current


def _confidence(said: list[_Match]) -> float:
    """Two lines that say the same are surer than one."""
    best = max(each.sure for each in said)
    return round(min(0.97, best + 0.03 * (len(said) - 1)), 2)


def _finding(topic: str, ranked: list[list[_Match]], confidence: float) -> Finding:
    return Finding(
        topic,
        tuple(said[0].value for said in ranked),
        tuple(tuple(dict.fromkeys(each.record for each in said))[:MOST_LINES] for said in ranked),
        confidence,
    )


def _name(dossier: Dossier, by_value: dict[str, list[_Match]]) -> Finding:
    """Her name: what stands over her lines, or more of it where she introduces herself."""
    said = [match for matches in by_value.values() for match in matches]
    longer = [match.value for match in said if dossier.name in match.value]
    records = [match.record for match in said] or list(dossier.hers)[:1]
    value = max((dossier.name, *longer), key=len)
    return Finding("name", (value,), (tuple(records[:MOST_LINES]),), 0.95 if said else 0.9)


def _without_nameless(ranked: list[list[_Match]]) -> list[list[_Match]]:
    """Without `sister` where it is known who that is."""
    values = [said[0].value for said in ranked]
    return [
        said
        for said, value in zip(ranked, values, strict=True)
        if not any(value in other and value != other for other in values)
    ]


def _matches(dossier: Dossier) -> Iterator[tuple[str, _Match]]:
    patterns = compiled(dossier.language, dossier.called, dossier.others)
    mine = [each for each in patterns if each[0].by == "self"]
    theirs = [each for each in patterns if each[0].by == "others"]
    for record in dossier.records:
        if not (record.hers or record.names_her):
            continue
        for sentence in sentences(record.text, dossier.language):
            if _ASKS.search(sentence):
                continue
            for pattern, compiled_pattern in mine if record.hers else theirs:
                match = compiled_pattern.search(sentence)
                if match and (value := _value(pattern.topic, match, record, dossier.language)):
                    yield pattern.topic, _Match(value, record, pattern.sure)


def _value(topic: str, match: re.Match[str], record: Record, language: str) -> str:
    """What the match says, cleaned; "" if it says nothing."""
    groups, base = match.groupdict(), language.partition("-")[0]
    if topic == "relations":
        # Somebody is her sister, or she is somebody's.
        role = str(groups["role"])
        who = groups.get("v") or ("" if record.hers else record.speaker)
        return (_HERS if record.hers else _OF_SOMEBODY)[base].format(role, who) if who else role
    value = _ENDING.sub("", str(groups["v"]).strip(" \u3000「」『』“”\"'"))
    if topic in ("likes", "dislikes", "hobby") and base in _NO_THING and _NO_THING[base].fullmatch(value):
        return ""
    return value


def _plain(topic: str, value: str) -> str:
    """A value in the form in which two that mean the same are equal."""
    if topic == "age":
        return str(number(value))
    if topic == "birthday":
        text = unicodedata.normalize("NFKC", value).casefold()
        month = next((n for n, name in enumerate(_MONTHS.split(), 1) if name in text), None)
        numbers = [number(found) for found in _NUMBER.findall(text)]
        return str([month, *numbers] if month else numbers)
    return unicodedata.normalize("NFKC", value).casefold()
