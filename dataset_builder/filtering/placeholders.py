"""What stands in a term's place: a numbered placeholder (〔人物1〕), or an ordinary word (学校, a school).

The brackets 〔〕 are rare in scripts, and `inference.prompt` leaves them alone: there `<人物1>` looks like a
special token of a chat template, and `[…]` is taken out of names.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from dataset_builder.filtering.address import without_address
from dataset_builder.filtering.keyness import ENDINGS
from dataset_builder.filtering.terms import Term, TermKind

PLACEHOLDER = re.compile(r"〔[^〔〕\n]{1,40}〕")

_WORDS: dict[str, dict[TermKind, str]] = {
    "zh": {"person": "人物", "school": "学校", "place": "地点", "group": "团体", "work": "作品",
           "term": "名词"},
    "ja": {"person": "人物", "school": "学校", "place": "場所", "group": "団体", "work": "作品",
           "term": "用語"},
    "en": {"person": "Person", "school": "School", "place": "Place", "group": "Group", "work": "Work",
           "term": "Term"},
}  # fmt: skip
_GENERAL: dict[str, dict[TermKind, str]] = {
    "zh": {"person": "那个人", "school": "学校", "place": "那个地方", "group": "那个团体", "work": "那部作品",
           "term": "那个东西"},
    "ja": {"person": "あの人", "school": "学校", "place": "あの場所", "group": "あの団体",
           "work": "あの作品", "term": "あれ"},
    "en": {"person": "someone", "school": "a school", "place": "a place", "group": "a group",
           "work": "a work", "term": "something"},
}  # fmt: skip
# Of a person's name: the part that stands first, the part that stands last, and what is neither.
_PARTS = {
    "zh": ("姓", "名", "爱称"),
    "ja": ("姓", "名", "愛称"),
    "en": (" first name", " last name", " nickname"),
}


def general_word(term: Term) -> str:
    """An ordinary word for what it is: the common noun at its own end, or one for its kind."""
    for ending in ENDINGS.get(term.kind, ()):
        if len(ending) > 1 and term.text.endswith(ending):
            return ending
    return _GENERAL[_known(term.language)][term.kind]


def with_placeholders(terms: Iterable[Term]) -> list[Term]:
    """The terms, each that needs a placeholder with one, numbered as they come; those that are there stay.

    A part of one person's name has that person's number: 绫濑忍 〔人物3〕, 绫濑 〔人物3姓〕, 忍 〔人物3名〕.
    """
    named = list(terms)
    used = {term.replacement for term in named}
    whole = {term.text: term.replacement for term in named if PLACEHOLDER.fullmatch(term.replacement)}
    numbers: Counter[str] = Counter()
    missing = [at for at, term in enumerate(named) if term.action == "placeholder" and not term.replacement]
    for at in sorted(missing, key=lambda at: _is_part(named[at])):  # parts take the numbers of whole names
        term = named[at]
        language = _known(term.language)
        if _is_part(term) and term.of[0] in whole:
            stem = whole[term.of[0]][1:-1] + _part(term.text, term.of[0], language)
            first = stem
        else:
            stem = _WORDS[language][term.kind] + (" " if language == "en" else "")
            first = f"{stem}1"
        placeholder = ""
        while not placeholder or placeholder in used:
            numbers[stem] += 1
            placeholder = f"〔{first if numbers[stem] == 1 else f'{stem}{numbers[stem]}'}〕"
        used.add(placeholder)
        whole[term.text] = placeholder
        named[at] = replace(term, replacement=placeholder)
    return named


def _is_part(term: Term) -> bool:
    return len(term.of) == 1 and term.of[0] != term.text


def _part(text: str, owner: str, language: str) -> str:
    first, last, neither = _PARTS[language]
    if text == without_address(owner, language):
        return last  # もち子 of もち子さん
    if owner.startswith(text):
        return first
    return last if owner.endswith(text) else neither


def _known(language: str) -> str:
    base = language.partition("-")[0]
    return base if base in _WORDS else "en"
