"""Markup of Ren'Py's texts: values in brackets, tags in braces, ruby (facts: renpy/substitutions.py and
renpy/text/ of Ren'Py 8, MIT, and the documentation's page "Text")."""

import re
from collections.abc import Callable

from dataset_builder.report import Losses
from dataset_builder.schema import Ruby

_LONGEST_VALUE = 400  # characters between brackets

_VALUE = re.compile(r"\[\[|%%|%\((\w++)\)[sd]|\[")
_BRACKET = re.compile(r"[\[\]]")
_FORMATTED = re.compile(r"([\w.]++)\s*+:[^:]*+")
_MARKUP = re.compile(r"\{\{|\{([^{}]*+)\}|【【|【([^【】|｜]*+)[|｜]([^【】]*+)】")
_TAG = re.compile(r"/?+[^=:\s]*+")
_PRINTS = {"p": "\n", "vspace": "\n", "space": " "}
_SILENT = frozenset(
    {
        "", "a", "alpha", "axis", "b", "clear", "color", "cps", "fast", "feature", "font", "horiz", "i",
        "image", "instance", "k", "noalt", "nw", "outlinecolor", "plain", "s", "shader", "size", "u", "vert",
        "w",
    }
)  # fmt: skip


def readable(text: str, value: Callable[[str], str | None], losses: Losses) -> tuple[str, tuple[Ruby, ...]]:
    """A text as it is read, and its ruby.

    `value` gives what a variable contains, where that is certain; any other stays as `{name}`.
    """
    if "[" in text or "%" in text:
        text = _substitute(text, value)
    if "{" in text or "【" in text:
        return _strip(text, losses)
    return text, ()


def _substitute(text: str, value: Callable[[str], str | None]) -> str:
    """Braces in the result stand for tags, so that a `{name}` that stays is written `{{name}`."""
    parts: list[str] = []
    at = 0
    while found := _VALUE.search(text, at):
        parts.append(text[at : found.start()])
        at = found.end()
        if found[0] != "[":
            parts.append(f"{{{{{found[1]}}}" if found[1] else found[0][0])
        elif (end := _closing(text, at)) < 0:
            parts.append("[")
        else:
            expression, flags = _expression(text[at:end].strip())
            contents = value(expression)
            if contents is None:
                parts.append(f"{{{{{expression}}}")
            else:
                parts.append(contents.replace("{", "{{") if "q" in flags else contents)
            at = end + 1
    parts.append(text[at:])
    return "".join(parts)


def _closing(text: str, at: int) -> int:
    """Where the bracket closes that was opened in front of `at`; -1 where it does not."""
    depth = 1
    for bracket in _BRACKET.finditer(text, at, at + _LONGEST_VALUE):
        depth += 1 if bracket[0] == "[" else -1
        if not depth:
            return bracket.start()
    return -1


def _expression(value: str) -> tuple[str, str]:
    """The expression and its flags: `name!tq` -> `name`, `tq`; a format (`price:.2f`) is dropped."""
    expression, mark, flags = value.rpartition("!")
    flags = flags.partition(":")[0]
    if mark and flags.isalpha():
        return expression.strip(), flags
    formatted = _FORMATTED.fullmatch(value)
    return (formatted[1] if formatted else value), ""


def _strip(text: str, losses: Losses) -> tuple[str, tuple[Ruby, ...]]:
    shown: list[str] = []
    rubies: list[Ruby] = []
    to = shown  # what is above the line, or for listening only, goes elsewhere
    base_from, base, at = 0, "", 0
    for found in _MARKUP.finditer(text):
        to.append(text[at : found.start()])
        at = found.end()
        if found[2] is not None:
            to.append(found[2])
            rubies.append(Ruby(found[2], found[3]))
        elif found[1] is None:
            to.append(found[0][0])
        elif not found[1].startswith("#"):
            tag = _TAG.match(found[1])[0]  # type: ignore[index]  # it matches everywhere
            if tag == "rb":
                base_from = len(shown)
            elif tag == "/rb":
                base, base_from = "".join(shown[base_from:]), len(shown)
            elif tag in ("rt", "art", "alt"):
                to = []
            elif tag in ("/rt", "/art"):
                if base and to is not shown:
                    rubies.append(Ruby(base, "".join(to)))
                to, base = shown, ""
            elif tag == "/alt":
                to = shown
            elif tag == "done":
                at = len(text)
                break
            elif tag in _PRINTS:
                to.append(_PRINTS[tag])
            elif tag.removeprefix("/") not in _SILENT:
                losses.unknown[f"{{{tag}}}"] += 1
    to.append(text[at:])
    return "".join(shown), tuple(rubies)
