"""Text of an NScripter script: waits, colours, variables and readings inside it.

Facts: the NScripter API reference and ONScripter. `@` waits for a click, `\\` for one that clears the page, a
`/` at the end holds the line open. `!w100` `!d50` wait, `!s10` `!sd` set the speed, `#RRGGBB` the colour;
`%name` and `$name` print a variable; `(漢字/かんじ)` is a word with its reading.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dataset_builder.schema import Ruby

_CODE = re.compile(
    r"(?P<wait>@)|(?P<page>\\)|(?P<quiet>![wd]\d{1,9}|!sd|!s\d{1,9}|#[0-9A-Fa-f]{6})"
    r"|[%$](?P<variable>[A-Za-z_][A-Za-z0-9_]{0,60}|\d{1,9})"
    r"|\((?=[^()/\n]{0,40}[^\x00-\x7f])(?P<base>[^()/\n]{1,40})/(?P<reading>[^()/\n]{1,40})\)|(?P<hold>/$)|(?P<mark>[`^_])"
)
CODES = frozenset("@\\!#%$(/`^_>")  # a text without any of them is letters alone
LEADING = r"(?:![wd]\d{1,9}|!sd|!s\d{1,9}|#[0-9A-Fa-f]{6}|[>`^])"  # what may stand before a name
LEAD = re.compile(f"{LEADING}++")
WAIT, PAGE, HOLD = "@", "\\", "/"


@dataclass(slots=True)
class Letters:
    """Printed letters with the readings over them."""

    text: str
    rubies: tuple[Ruby, ...] = ()


def pieces(text: str) -> Iterator[Letters | str]:
    """Letters, and between them `WAIT`, `PAGE` or, at the very end, `HOLD`."""
    if CODES.isdisjoint(text):
        yield Letters(text)
        return
    parts: list[str] = []
    rubies: list[Ruby] = []
    at = 0
    for match in _CODE.finditer(text):
        kind = match.lastgroup
        if match.start() > at:
            parts.append(text[at : match.start()])
        at = match.end()
        if kind == "variable":
            name = match["variable"]
            parts.append("{" + (match[0] if name.isdecimal() else name) + "}")
        elif kind == "reading":
            parts.append(match["base"])
            rubies.append(Ruby(match["base"], match["reading"]))
        elif kind in ("wait", "page", "hold"):
            if parts:
                yield Letters("".join(parts), tuple(rubies))
                parts, rubies = [], []
            yield match[0]
    if at < len(text):
        parts.append(text[at:])
    if parts:
        yield Letters("".join(parts), tuple(rubies))
