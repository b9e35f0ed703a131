"""Ren'Py's say statement, and its spelling of which translations know it:
`e happy @ wink "Hello!" (name="???") with dissolve id hello_1`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dataset_builder.engines.renpy_expressions import Arguments, arguments
from dataset_builder.engines.renpy_lexer import (
    BRACKETS,
    IMAGE_WORD,
    NAME,
    STRING,
    TEXT,
    LogicalLine,
    monologue,
    unquote,
)
from dataset_builder.engines.renpy_nodes import Say

_EXPRESSION = rf"(?:{NAME}|{STRING}|{BRACKETS})(?:\.{NAME}|{BRACKETS})*+"
_ATTRIBUTES = rf"(?:\s*+(?!r[\"'`]){IMAGE_WORD})*+"
_SPEAKER = re.compile(
    rf"(?P<who>{_EXPRESSION})(?P<attributes>{_ATTRIBUTES})\s*+(?:@(?P<temporary>{_ATTRIBUTES})\s*+)?+", re.S
)
_CLAUSE = re.compile(
    rf"\s*+(?:(?P<nointeract>nointeract\b)|with\s++(?P<with>{_EXPRESSION})|id\s++(?P<id>\w++)|(?P<arguments>\())",
    re.S,
)
_BLANK_AFTER_BLANK = re.compile(r"(?<= ) ")


@dataclass(slots=True)
class _Clauses:
    """What stands behind the text."""

    interact: bool = True
    with_: str = ""
    identifier: str = ""
    arguments: Arguments | None = None


def say(line: LogicalLine, group: list[str], delimiter: str, *, interact: bool = True) -> list[Say] | None:
    """What a line says, in several pieces where it is a monologue; None where it is another statement.

    `group` holds the voice statements and the like right above it, which its identifier covers, and is empty
    afterwards. `delimiter` parts a monologue; `interact` is False in a menu.
    """
    who: str | None = None
    attributes: list[str] = []
    temporary: list[str] = []
    found = _said(line.text, 0)
    if not found and (speaker := _SPEAKER.match(line.text)):
        who, attributes = speaker["who"], speaker["attributes"].split()
        temporary = (speaker["temporary"] or "").split()
        found = _said(line.text, speaker.end())
    if not found:
        return None
    token, clauses = found
    in_pieces = token.lstrip("r").startswith(('"""', "'''", "```"))
    says: list[Say] = []
    for what in monologue(token, delimiter) if in_pieces else [unquote(token)]:
        if in_pieces and what == "{clear}":
            group.append("nvl clear")
            continue
        group.append(
            canonical(
                who,
                what,
                attributes,
                temporary,
                interact=interact and clauses.interact,
                identifier=clauses.identifier,
                arguments=clauses.arguments.code() if clauses.arguments else "",
                with_=clauses.with_,
            )
        )
        shown_as = clauses.arguments.keywords.get("name") if clauses.arguments else None
        says.append(Say(line.number, who, what, tuple(group), clauses.identifier, shown_as))
        group.clear()
    return says


def _said(text: str, at: int) -> tuple[str, _Clauses] | None:
    """The string that stands at `at`, and the clauses behind it, if nothing else follows."""
    if not (said := TEXT.match(text, at)):
        return None
    clauses, at = _Clauses(), said.end()
    while text[at:].strip():
        if not (clause := _CLAUSE.match(text, at)):
            return None
        at = clause.end()
        if clause["arguments"]:
            clauses.arguments = arguments(text, at - 1)
            if clauses.arguments is None:
                return None
            at = clauses.arguments.end
        elif clause["nointeract"]:
            clauses.interact = False
        elif clause["with"]:
            clauses.with_ = clause["with"]
        else:
            clauses.identifier = clause["id"]
    return said[0], clauses


def canonical(
    who: str | None,
    what: str,
    attributes: Sequence[str],
    temporary: Sequence[str],
    *,
    interact: bool,
    identifier: str,
    arguments: str,
    with_: str,
) -> str:
    """The statement in Ren'Py's own spelling, of which its identifier is made (`get_code`, renpy/ast.py)."""
    quoted = what.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    if "  " in quoted:
        quoted = _BLANK_AFTER_BLANK.sub("\\\\ ", quoted)
    words = [who] if who else []
    words += attributes
    if temporary:
        words += ["@", *temporary]
    words.append(f'"{quoted}"')
    if not interact:
        words.append("nointeract")
    if identifier:
        words += ["id", identifier]
    if arguments:
        words.append(arguments)
    if with_:
        words += ["with", with_]
    return " ".join(words)
