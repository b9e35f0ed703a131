"""A first Character Card V3 of a character, out of her own lines: for a person to read, correct and use.

Nothing in it is invented. Who she is comes from a profile, her greeting and the examples of her speech are
lines of the work, and `extensions.chatnvl.drafted` says where those stand.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter

from dataset_builder.checks import TAKEN_OUT
from dataset_builder.errors import DatasetError
from dataset_builder.filtering.terms import Term
from dataset_builder.profile import ProfileRow, rows_of_lines
from dataset_builder.profiling.evidence import Dossier, Evidence, gather
from dataset_builder.profiling.lorebook import lorebook
from dataset_builder.profiling.samples import answers, greetings
from dataset_builder.profiling.topics import base_language
from dataset_builder.rows import read_rows
from dataset_builder.schema import SCENES
from inference.characters import parse_card
from inference.errors import CharacterError

PROFILES = TypeAdapter(ProfileRow)
_SERVED = ("zh", "ja", "en")  # languages that `inference.prompt` has words in; others bring their own rule
_DESCRIPTION = (
    *("name", "age", "birthday", "occupation", "relations", "companions", "hobby", "likes", "dislikes"),
    *("appearance", "wish", "past"),
)
_PERSONALITY = ("personality", "pronoun", "address", "endings", "phrases")
_HABITS = ("pronoun", "endings", "phrases")
_LIKELY = 0.5  # confidence of what is told
_LETTERS = 800  # of the description, and of the personality: they are read again with every reply
_GREETINGS = 4
_EXAMPLES = 3

_RULE = (
    "You are {{char}}. You are chatting with someone who likes you. Always speak as {{char}}, in the "
    "language `<language>`, short and natural; never say that you are an AI or an assistant."
)
_NOTES = {
    "zh": "由 ChatNVL 根据剧本自动起草：说明、开场白和例句都来自原台词。使用前请通读并修改。",
    "ja": "ChatNVL が台本から下書きしました。説明、挨拶、例はどれも元の台詞によります。"
    "使う前に読んで直してください。",
    "en": "Drafted by ChatNVL from the script: description, greeting and examples come from lines of the "
    "work. Read and correct it before use.",
}


@dataclass(frozen=True)
class CardOptions:
    """`names`: the character's, the one over her lines first. `language`: of the card ("" takes that of her
    lines). `terms`: of the work, as `filter` lists them, for the lorebook."""

    names: tuple[str, ...]
    language: str = ""
    terms: tuple[Term, ...] = ()


def write_card(scenes: Path, out: Path, options: CardOptions, profile: Path | None = None) -> dict[str, Any]:
    """Drafts the card and writes it to `out` as JSON; `profile` is the file that `profile` wrote.

    Without one, the profile is what lines say outright. Raises `DatasetError`.
    """
    dossier = gather(list(read_rows(scenes, SCENES)), options.names, options.language)
    rows = list(read_rows(profile, PROFILES)) if profile else rows_of_lines(dossier)[0]
    card = draft(dossier, rows, options.terms)
    data = orjson.dumps(card, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    try:
        parse_card(data, out)  # what nobody could load is not written
    except CharacterError as error:
        raise DatasetError(str(error)) from error
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(out)
    except OSError as error:
        raise DatasetError(f"`{out}` cannot be written: {error.strerror}") from error
    return card


def draft(dossier: Dossier, rows: Sequence[ProfileRow], terms: Sequence[Term] = ()) -> dict[str, Any]:
    """The card as JSON: the same for the same lines, to the byte."""
    base = base_language(dossier.language)
    habits = [value.casefold() for row in rows if row.topic in _HABITS for value in row.values]
    avoided = [term.text for term in terms if term.action in TAKEN_OUT and dossier.name not in term.of]
    opening = greetings(dossier, _GREETINGS, avoided)
    examples = answers(dossier, habits, _EXAMPLES, avoided)
    told = [row for row in rows if row.confidence >= _LIKELY]
    drafted = {
        "lines": sum(1 for _ in dossier.hers),
        "greetings": [_place(record.evidence) for record in opening],
        "mes_example": [_place(each.answered.evidence) for each in examples],
    }
    chatnvl: dict[str, Any] = {"drafted": drafted}
    if (served := dossier.language.partition("-")[0]) in _SERVED:
        chatnvl = {"language": served, **chatnvl}
    return {
        "spec": "chara_card_v3",
        "spec_version": "3.0",
        "data": {
            "name": dossier.name,
            "nickname": "",
            "description": _sentences(told, _DESCRIPTION, base),
            "personality": _sentences(told, _PERSONALITY, base),
            "scenario": "",
            "first_mes": opening[0].text if opening else "",
            "mes_example": "\n".join(
                f"<START>\n{{{{user}}}}: {each.said.text}\n{{{{char}}}}: {each.answered.text}"
                for each in examples
            ),
            "creator_notes": _NOTES[base],
            "system_prompt": _rule(dossier.language),
            "post_history_instructions": "",
            "alternate_greetings": [record.text for record in opening[1:]],
            "group_only_greetings": [],
            "tags": [tag for tag in (dossier.language, "draft") if tag],
            "creator": "",
            "character_version": "0.1",
            "extensions": {"chatnvl": chatnvl},
            "character_book": lorebook(dossier, terms),
        },
    }


def _rule(language: str) -> str:
    """What `inference.prompt` says by itself in the languages that it has; "" there."""
    if language.partition("-")[0] in ("", *_SERVED):
        return ""
    return _RULE.replace("<language>", language)


def _sentences(rows: Iterable[ProfileRow], topics: Sequence[str], base: str) -> str:
    """The answers on `topics`, in their order, as long as there is room."""
    by_topic = {row.topic: row.answer for row in rows}
    chosen: list[str] = []
    room = _LETTERS
    for topic in topics:
        answer = by_topic.get(topic, "")
        if answer and len(answer) <= room:
            chosen.append(answer)
            room -= len(answer)
    return (" " if base == "en" else "").join(chosen)


def _place(evidence: Evidence) -> dict[str, Any]:
    place = asdict(evidence)
    del place["text"]  # the card has it already, or has it in other words
    return place
