"""Names and terms of a work as a card's lorebook: what is said of each, and where it comes up first.

The format is the `character_book` of Character Card V3
(https://github.com/kwaroran/character-card-spec-v3). An entry's places stand under `extensions.chatnvl`, so
that what somebody has not read yet can be left out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dataset_builder.filtering.terms import Matcher, Term
from dataset_builder.profiling.evidence import Dossier, Record
from dataset_builder.profiling.topics import base_language

MOST_PEOPLE = 12
MOST_TERMS = 40
_TALKATIVE = 5  # lines that somebody speaks, at least, to have an entry
_TOLD = 3  # lines of an entry
_LONGEST = 120  # letters of a line in an entry
_SCENES = 8  # of an entry's places
_TOKEN_BUDGET = 400  # that all entries together may take of a prompt
_SCAN_DEPTH = 4  # messages that are looked at for keys
_PARTS = re.compile(r"[\s\u3000・·]+")

# What follows a term where it is explained.
_IS = {
    "zh": "(?:就?是|叫|指的?是|，也就是)",
    "ja": "(?:は|とは|って|というのは|っていうのは)",
    "en": r"(?: is| are| was| means|, the|, a)\b",
}


def lorebook(dossier: Dossier, terms: Sequence[Term] = ()) -> dict[str, Any]:
    """The `character_book`: the people around her and the `terms` of the work, the most frequent first.

    Of `terms`, as `filter` lists them, the first forty get an entry. A part of somebody's name is a key of
    that person's; words that stay in any case, or that nobody has decided on, are no terms.
    """
    keys: dict[str, list[str]] = {name: _keys(name) for name in _people(dossier)}
    kinds = dict.fromkeys(keys, "person")
    room = MOST_TERMS
    for term in terms:
        if term.action in ("keep", "undecided") or term.text in dossier.called:
            continue
        if owners := [name for name in term.of if name in keys]:
            for name in owners:
                keys[name].append(term.text)
        elif not term.of and room:
            room -= 1
            keys[term.text] = [term.text]
            kinds[term.text] = term.kind
    entries = [
        _entry(dossier, name, kinds[name], list(dict.fromkeys(keys[name])), records)
        for name, records in _occurrences(dossier, keys)
    ]
    entries.sort(key=lambda entry: entry["priority"], reverse=True)
    for number, entry in enumerate(entries, 1):
        entry["id"] = entry["insertion_order"] = number
    return {
        "name": dossier.name,
        "description": "",
        "scan_depth": _SCAN_DEPTH,
        "token_budget": _TOKEN_BUDGET,
        "recursive_scanning": False,
        "extensions": {},
        "entries": entries,
    }


def _people(dossier: Dossier) -> list[str]:
    """Those who speak in her scenes, the most talkative first."""
    places = {record.place for record in dossier.hers}
    lines: dict[str, int] = {}
    for record in dossier.records:
        if record.speaker and not record.hers and record.place in places:
            lines[record.speaker] = lines.get(record.speaker, 0) + 1
    likely = [name for name in lines if lines[name] >= _TALKATIVE and name not in dossier.called]
    return sorted(likely, key=lambda name: (-lines[name], name))[:MOST_PEOPLE]


def _occurrences(dossier: Dossier, keys: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, list[Record]]]:
    """The lines that each name or term stands in, by any of its keys, in the order of the story."""
    owners: dict[str, list[str]] = {}
    for name, listed in keys.items():
        for key in listed:
            owners.setdefault(key, []).append(name)
    matcher = Matcher(Term(key, "term", "", "keep") for key in owners)
    found: dict[str, list[Record]] = {}
    for record in dossier.records:
        matched = (owner for _, _, term in matcher.find(record.text) for owner in owners[term.text])
        for name in dict.fromkeys(matched):
            found.setdefault(name, []).append(record)
    return ((name, found[name]) for name in keys if name in found)


def _keys(name: str) -> list[str]:
    """A name, and each of its parts where it has several."""
    return list(dict.fromkeys((name, *(part for part in _PARTS.split(name) if len(part) > 1))))


def _entry(
    dossier: Dossier, term: str, kind: str, keys: list[str], records: Sequence[Record]
) -> dict[str, Any]:
    first = records[0].evidence
    scenes = list(dict.fromkeys("#".join(record.place) for record in records))
    return {
        "keys": keys,
        "content": "\n".join((_heading(dossier, term), *_telling(dossier, term, records))),
        "extensions": {
            "chatnvl": {
                "kind": kind,
                "first": {
                    "file": first.file,
                    "scene": first.scene,
                    "index": first.index,
                    "line": records[0].line,
                },
                "scenes": scenes[:_SCENES],
                "count": len(records),
            }
        },
        "enabled": True,
        "insertion_order": 0,
        "case_sensitive": False,
        "use_regex": False,
        "name": term,
        "priority": len(records),
        "id": 0,
        "comment": "",
        "selective": False,
        "secondary_keys": [],
        "constant": False,
        "position": "before_char",
    }


def _heading(dossier: Dossier, term: str) -> str:
    return f"{term}:" if base_language(dossier.language) == "en" else f"{term}："


def _telling(dossier: Dossier, term: str, records: Sequence[Record]) -> list[str]:
    """The lines that say most of it, in the order of the story, with who says them."""
    language = base_language(dossier.language)
    explained = re.compile(re.escape(term) + _IS[language])

    def score(record: Record) -> float:
        length = len(record.text)
        return (
            3 * (explained.search(record.text) is not None)
            + record.hers
            + record.names_her
            + (record.kind == "narration") / 2
            + (12 <= length <= 80)
            - 4 * (length > _LONGEST)
        )

    by_text = {record.text: number for number, record in reversed(list(enumerate(records)))}
    best = sorted(by_text.values(), key=lambda number: (-score(records[number]), number))[:_TOLD]
    return [_quoted(records[number], language) for number in sorted(best)]


def _quoted(record: Record, language: str) -> str:
    text = record.text if len(record.text) <= _LONGEST else f"{record.text[:_LONGEST]}…"
    if record.speaker is None:
        return text
    return f'{record.speaker}: "{text}"' if language == "en" else f"{record.speaker}「{text}」"
