"""Values of tags: letters, arguments of a macro (`%name|default`), expressions (`&f.name`).

No expression is evaluated. A variable is printed as `{name}`, strings that are joined to it as they are.
"""

import re
from collections.abc import Mapping

_SCOPE = re.compile(r"(?:s?f|tf|mp)\.(?=[\w$])")
_STATEMENT = re.compile(r"[^=!<>]=[^=]|\+\+|--|;")  # what computes something and is printed by mistake
_PIECE = re.compile(
    r"""\s*+(?:"((?:[^"\\]|\\.)*+)"|'((?:[^'\\]|\\.)*+)'|([^+"']++))\s*+(?:\+|$)""", re.DOTALL
)
_LETTERS = 60  # of a variable: a longer expression is shown as `{…}`


def resolved(value: str, arguments: Mapping[str, str]) -> str:
    """What a value is inside a macro that was called with `arguments`; "" for an argument that is missing."""
    if value.startswith("%"):
        name, _, default = value[1:].partition("|")
        return arguments.get(name.strip().lower(), default)
    if value.startswith("&"):
        return printed(value[1:], arguments)
    return value


def printed(expression: str, arguments: Mapping[str, str]) -> str:
    """What `[emb exp=…]` prints: `f.day + '日目'` is `{day}日目`."""
    pieces: list[str] = []
    at = 0
    while at < len(expression):
        match = _PIECE.match(expression, at)
        if match is None:
            return _variable(expression)
        double, single, other = match.groups()
        pieces.append(
            _variable_or_argument(other, arguments) if other is not None else double or single or ""
        )
        at = match.end()
    return "".join(pieces)


def is_variable(value: str) -> bool:
    """Whether a resolved value, or a part of it, is known to the running script alone."""
    return "{" in value


def _variable_or_argument(expression: str, arguments: Mapping[str, str]) -> str:
    expression = expression.strip()
    if expression.startswith("mp."):
        key = expression[3:].lower()
        if key in arguments:
            return arguments[key]
        if key.isidentifier():
            return ""
    return _variable(expression)


def _variable(expression: str) -> str:
    expression = expression.strip()
    if _STATEMENT.search(expression):
        return ""
    name = _SCOPE.sub("", expression, count=1) if _SCOPE.match(expression) else expression
    if name.isdecimal() or not name:
        return name
    return "{" + (name if len(name) <= _LETTERS else "…").replace("{", "(").replace("}", ")") + "}"
