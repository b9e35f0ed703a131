"""A line of Ink taken apart: alternatives in braces, diverts, tags, a choice's brackets.

Facts from "Writing with ink" (https://github.com/inkle/ink/blob/master/Documentation/WritingWithInk.md).
Escaped letters are hidden (`unity_text.hide_escapes`) before a line comes here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from dataset_builder.engines.branches import DEPTH
from dataset_builder.engines.unity_text import hide

_BRACE = re.compile(r"[{}]")
_INNERMOST = re.compile(r"\{([^{}]*)\}")
_ALTERNATIVE = re.compile(r"[{}|]")
_FLOW = re.compile(r"->|<-")
_TARGET = re.compile(r"(?:->|<-)\s*([\w.]*\w)")
_ARGUMENTS = re.compile(r"\([^()]*\)")
_CHOICE_TAG = re.compile(r"#([^#\[\]]*)")
_TOKEN = re.compile(r'"[^"]*"|[\w.]+|\S')
_WORD_OPERATORS = frozenset(("and", "or", "mod", "has", "hasnt", "not"))
_OPERATORS = frozenset("+-*/%=<>!&|?^(),~")
_SEQUENCE = re.compile(r"\s*(?:(?:(?:once|cycle|shuffle|stopping)\b\s*)+:|[!&~$]+)")
_OPENING, _CLOSING = hide("{"), hide("}")


@dataclass(slots=True)
class Content:
    """What a line prints, the first of every alternative, and where it leads. Glue (`<>`) is in the text."""

    text: str
    tags: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)  # all of them: diverts, tunnels, threads
    leaves_for: str = ""  # where the flow goes on for good


def content(text: str) -> Content:
    """A line of text."""
    found = Content(text)
    found.text, *found.tags = _cut_diverts(_without_braces(text, found.targets), found).split("#")
    return found


def choice(text: str) -> tuple[str, str | None, Content]:
    """A choice's text as `(before, only, after)`: `before[only]after`. Without brackets `only` is None."""
    found = Content(text)
    text = _cut_diverts(_without_braces(text, found.targets), found)
    if "#" in text:
        found.tags = _CHOICE_TAG.findall(text)
        text = _CHOICE_TAG.sub("", text)
    before, bracket, rest = text.partition("[")
    if not bracket:
        return before, None, found
    only, _, found.text = rest.partition("]")
    return before, only, found


def _cut_diverts(text: str, found: Content) -> str:
    flow = _FLOW.search(text)
    if flow is None:
        return text
    rest = text[flow.start() :]
    found.targets += _TARGET.findall(rest)
    chain = _ARGUMENTS.sub("", rest).rstrip()
    if not chain.endswith("->") and (leaves := chain.rpartition("->")[2].split()):
        found.leaves_for = leaves[
            0
        ]  # `-> tunnel -> knot`; behind `-> tunnel ->` and `<- thread` it comes back
    return text[: flow.start()]


def _without_braces(text: str, targets: list[str]) -> str:
    """The text with the first alternative of each `{…|…}`; `{variable}` stays, with its braces hidden."""

    def first(match: re.Match[str]) -> str:
        alternatives = _alternatives(match[1])
        if alternatives is None:
            if "->" not in match[1]:
                return _OPENING + match[1].strip() + _CLOSING
            alternatives = [match[1]]
        for each in alternatives:
            targets.extend(_TARGET.findall(each))
        return _FLOW.split(alternatives[0], maxsplit=1)[0].partition("#")[0]

    for _ in range(DEPTH):
        text, found = _INNERMOST.subn(first, text)
        if not found:
            break
    return text


def _alternatives(inner: str) -> list[str] | None:
    """The alternatives of what stands in braces; None if it is a variable or another expression."""
    sure, rest = _without_head(inner)
    return rest.split("|") if sure or "|" in rest else None


def _without_head(inner: str) -> tuple[bool, str]:
    """Whether a condition or the kind of a sequence stands in front, and what stands behind it."""
    sequence = _SEQUENCE.match(inner)
    if sequence:
        return True, inner[sequence.end() :]
    condition, colon, rest = inner.partition(":")
    return (True, rest) if colon and is_expression(condition) else (False, inner)


def line_alternatives(text: str) -> list[str] | None:
    """The alternatives of a line that is nothing but one `{…}`; None for any other line."""
    if text[0] != "{" or text[-1] != "}":
        return None
    cuts, depth = [0], 0
    for match in _ALTERNATIVE.finditer(text):
        if match[0] == "|":
            if depth == 1:
                cuts.append(match.start())
        elif match[0] == "{":
            depth += 1
        else:
            depth -= 1
            if not depth and match.end() < len(text):
                return None
    if depth:
        return None
    parts = [text[start + 1 : end] for start, end in zip(cuts, [*cuts[1:], len(text) - 1], strict=True)]
    sure, parts[0] = _without_head(parts[0])
    return parts if sure or len(parts) > 1 else None


def is_expression(text: str) -> bool:
    """Whether it can be an expression of Ink's: no two words side by side, no sign that prose alone has."""
    operand = False
    for token in _TOKEN.findall(text):
        if token in _WORD_OPERATORS:
            operand = False
        elif token in _OPERATORS:
            operand = token == ")"
        elif operand or not (token[0] in '"_.' or token[0].isalnum()):
            return False
        else:
            operand = True
    return bool(text) and not text.isspace()


def without_conditions(text: str) -> str:
    """A choice's text without the `{condition}`s in front of it."""
    text = text.lstrip()
    while text.startswith("{"):
        end = text.find("}")
        inner = text[1:end]
        if end < 0 or "{" in inner or not is_expression(inner) or "|" in inner.replace("||", ""):
            break
        text = text[end + 1 :].lstrip()
    return text


def block(text: str) -> tuple[bool, str]:
    """What follows a `{` whose `}` is on another line: whether its arms are a sequence (`{ shuffle:`), and
    what is left of the line behind a condition or the kind of a sequence."""
    sequence = _SEQUENCE.match(text)
    if sequence:
        return True, text[sequence.end() :]
    return False, _without_head(text)[1]


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """A line cut at the braces that are not closed, or not opened, in it: what stands before each, and the
    brace; "" at the end."""
    start = 0
    opened: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            opened.append(match.start())
        elif opened:
            opened.pop()
        else:
            yield text[start : match.start()], "}"
            start = match.end()
    for at in opened:
        yield text[start:at], "{"
        start = at + 1
    yield text[start:], ""
