"""A line of Yarn taken apart: name, text, markup, condition, hashtags, comment.

Facts from Yarn Spinner's documentation (https://docs.yarnspinner.dev) and its grammar and tests (MIT).
"""

import re
from typing import NamedTuple

from dataset_builder.engines.unity_text import hide, hide_escapes, plain, reveal
from dataset_builder.schema import Ruby

_NAME_LENGTH = 40  # letters before a colon: more is no name
_HASHES = 8  # signs `#` of a line that may turn out to be no hashtags
_SIGNS = re.compile(r"[\\{<#/\[]")
_END = re.compile(r'\{(?:[^{}"\n]|"[^"\n]*")*+\}|<<|//|#')
_HASHTAGS = re.compile(r"(?:#[^\s#<]++\s*+)++(?:<<[^<>]*+>>\s*+)?+(?:#[^\s#<]++\s*+)*+(?://.*)?")
_MARKUP = re.compile(r'\[\s*+(/?)\s*+((?:[^\W\d]\w*+)?)((?:[^\[\]"\n]|"[^"\n]*")*+)\]')
_PROPERTY = re.compile(r'(?<![^\s=/])([^\s=/]++)\s*+=\s*+("[^"]*"|\{[^{}]*\}|[^\s"/]+)')
_LITERAL = re.compile(r"\[nomarkup\](.{0,400}?)\[/(?:nomarkup)?\]")
_CHARACTER = re.compile(r"\[character\b([^\[\]]*+)\]")
_CHARACTER_END = re.compile(r"\[/(?:character)?\]\s*")
_EXPRESSION = re.compile(r"\{[^{}]*\}")
_BLANKS = re.compile(r"  +")


class YarnText(NamedTuple):
    """What a line says. `display` is the plate's name where the markup names somebody else as speaking."""

    name: str
    display: str
    text: str
    ruby: tuple[Ruby, ...] = ()
    conditional: bool = False


def yarn_text(written: str) -> YarnText:
    """A line or an option, without its arrow and without blanks around it."""
    if not _SIGNS.search(written):
        name, said = _split_name(written)
        return YarnText(name, "", said)
    text, rest = _cut(hide_escapes(written))
    name = display = ""
    if "[" in text:
        if character := _CHARACTER.search(text):
            name, display, text = _character(text, character)
        text = _without_markup(text)
    text, ruby = plain(text)
    if not name:
        name, text = _split_name(text)
    return YarnText(reveal(name), reveal(display), reveal(text), ruby, "<<" in rest)


def is_expression(text: str) -> bool:
    """Whether a text is one `{…}`, so that nobody knows what it says."""
    return text.startswith("{") and _EXPRESSION.fullmatch(text) is not None


def _cut(text: str) -> tuple[str, str]:
    """The text and what follows it: its condition, hashtags, comment."""
    hashes = 0
    for match in _END.finditer(text):
        sign = match[0]
        if sign[0] == "{":
            continue
        if sign == "#":
            hashes += 1
            if hashes > _HASHES or not _HASHTAGS.fullmatch(text, match.start()):
                continue
        return text[: match.start()].rstrip(), text[match.start() :].partition("//")[0]
    return text, ""


def _split_name(text: str) -> tuple[str, str]:
    """Everything before the first colon is a name for Yarn Spinner. Not for us: a smiley (`sure :)`), an
    expression's colon, what is too long, and a sentence that ends with a colon."""
    name, colon, said = text.partition(":")
    if not colon or not name or len(name) > _NAME_LENGTH or ("{" in name and "}" not in name):
        return "", text
    if (name[-1] == " " and said[:1] != " ") or (not said and " " in name):
        return "", text
    return name.rstrip(), said.strip()


def _character(text: str, tag: re.Match[str]) -> tuple[str, str, str]:
    """`[character name="Mae"]???: [/character]Hi` as who speaks, what the plate shows, and the rest."""
    properties = _properties(tag[1])
    name = properties.get("name") or properties.get("") or ""
    rest, display = text[tag.end() :], ""
    end = None if tag[1].rstrip().endswith("/") else _CHARACTER_END.search(rest)
    if end and rest[: end.start()].rstrip().endswith(":"):
        display, rest = _without_markup(rest[: end.start()]).rstrip(": \t"), rest[end.end() :]
    return name, display if display != name else "", text[: tag.start()] + rest


def _properties(text: str) -> dict[str, str]:
    """`a=1 b="two"` as a dictionary; the key of a value right behind a tag's name (`[a=1]`) is ""."""
    if text.lstrip().startswith("="):
        text = "\0" + text.lstrip()
    return {key.strip("\0"): value.strip('"') for key, value in _PROPERTY.findall(text)}


def _without_markup(text: str) -> str:
    if "[nomarkup]" in text:
        text = _LITERAL.sub(lambda match: match[1].replace("[", hide("[")), text)

    def printed(match: re.Match[str]) -> str:
        closing, name, inner = match.groups()
        if closing or not name:
            return "" if closing else match[0]
        if name == "br":
            return "\n"
        if name not in ("select", "plural", "ordinal"):
            return ""
        properties = _properties(inner)
        value = properties.pop("value", "")
        first = next(iter(properties.values()), "")
        return first.replace("%", value)

    return _BLANKS.sub(" ", _MARKUP.sub(printed, text))
