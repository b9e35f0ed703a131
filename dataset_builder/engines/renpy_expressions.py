"""Python expressions in Ren'Py scripts, as far as they can be understood without running them: string
literals and calls."""

import re
from dataclasses import dataclass

from dataset_builder.engines.renpy_lexer import BRACKETS, STRING

_CALL = re.compile(r"\s*+([A-Za-z_\u00a0-\ufffd][\w.]*+)\s*+\(", re.S)
_ARGUMENT = re.compile(f"(?:[^\"'`(\\[{{)\\]}},]++|{STRING}|{BRACKETS})*+", re.S)
_KEYWORD = re.compile(r"\s*+(\w++)\s*+=(?!=)\s*+")
_LITERAL = re.compile(f"\\s*+([rRuUbB]{{0,2}}+)({STRING})\\s*+\\+?+", re.S)
_TRANSLATED = re.compile(r"_(?:_|p)?+\s*+\(|\(")
_ESCAPE = re.compile(r"\\(\n|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[0-7]{1,3}|.)", re.S)
_ESCAPED = {
    "\n": "", "n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v",
    "\\": "\\", "'": "'", '"': '"',
}  # fmt: skip


@dataclass(slots=True)
class Arguments:
    """What stands between the parentheses of a call, each an expression as written."""

    positional: list[str]
    keywords: dict[str, str]
    end: int  # behind the closing parenthesis

    def code(self) -> str:
        """In Ren'Py's own spelling."""
        pairs = [f"{name}={value}" for name, value in self.keywords.items()]
        return f"({', '.join(self.positional + pairs)})"


def arguments(text: str, at: int) -> Arguments | None:
    """The arguments whose opening parenthesis stands at `at`; None where they cannot be told apart."""
    found = Arguments([], {}, 0)
    at += 1
    while True:
        argument = _ARGUMENT.match(text, at)[0]  # type: ignore[index]  # it matches everywhere
        at += len(argument)
        if argument.strip():
            if name := _KEYWORD.match(argument):
                found.keywords[name[1]] = argument[name.end() :].strip()
            else:
                found.positional.append(argument.strip())
        if text[at : at + 1] not in (",", ")"):
            return None
        at += 1
        if text[at - 1] == ")":
            found.end = at
            return found


def call(expression: str) -> tuple[str, Arguments] | None:
    """A call's function and arguments, where the whole expression is one call."""
    if not (function := _CALL.match(expression)):
        return None
    found = arguments(expression, function.end() - 1)
    if found is None or expression[found.end :].strip():
        return None
    return function[1], found


def literal(expression: str) -> str | None:
    """The text of a string literal, also of several in a row and inside `_( )`; None for anything else."""
    expression = expression.strip()
    for _ in range(3):
        if not (expression.endswith(")") and (opening := _TRANSLATED.match(expression))):
            break
        expression = expression[opening.end() : -1].strip()
    at, parts = 0, []
    while part := _LITERAL.match(expression, at):
        prefix, token = part.groups()
        quotes = 3 if len(token) >= 6 and token[:3] == token[0] * 3 else 1
        text = token[quotes:-quotes]
        parts.append(text if "r" in prefix.lower() else _ESCAPE.sub(_escaped, text))
        at = part.end()
    return "".join(parts) if parts and at == len(expression) else None


def _escaped(found: re.Match[str]) -> str:
    escape = found[1]
    if (known := _ESCAPED.get(escape)) is not None:
        return known
    if escape[0] in "xuU" and len(escape) > 1:
        code = int(escape[1:], 16)
    elif escape[0].isdigit() and escape[0] < "8":
        code = int(escape, 8)
    else:
        return found[0]
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
