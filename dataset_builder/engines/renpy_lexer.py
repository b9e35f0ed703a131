"""Ren'Py's logical lines and strings (facts: renpy/lexer.py of Ren'Py 8, MIT).

A logical line goes on while a bracket or a string is open, and after a backslash at its end; a comment is no
part of it. What a pattern here has taken it never gives back (possessive), so none of them can be slow.
"""

import re
from typing import NamedTuple

from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses

LONGEST = 65_536  # characters of a logical line: Ren'Py refuses longer ones
_BROKEN_LINES = 10  # are left out; a file with more is no script

NAME = r"[A-Za-z_\u00a0-\ufffd][0-9A-Za-z_\u00a0-\ufffd]*+"
IMAGE_WORD = r"[-0-9A-Za-z_\u00a0-\ufffd]++"
STRING = "(?:{})".format(
    "|".join(
        f"{quote * 3}(?:[^\\\\{quote}]++|\\\\.|{quote}(?!{quote * 2}))*+{quote * 3}"
        f"|{quote}(?!{quote * 2})(?:[^\\\\{quote}]++|\\\\.)*+{quote}"
        for quote in "\"'`"
    )
)
TEXT = re.compile(f"r?+{STRING}", re.S)  # what is said


def _brackets(depth: int) -> str:
    """Brackets and all within, up to `depth` deep. Which kind closes which does not matter, as in Ren'Py."""
    inside = f"[^\"'`#()\\[\\]{{}}]++|{STRING}"
    pattern = f"[(\\[{{](?:{inside})*+[)\\]}}]"
    for _ in range(depth - 1):
        pattern = f"[(\\[{{](?:{inside}|{pattern})*+[)\\]}}]"
    return pattern


BRACKETS = _brackets(4)

_NOTHING = re.compile(r"(?:[ \t\f]*+(?:#[^\n]*+)?+\n)++")
_INDENT = re.compile(r"[ \t]*+")
_SIMPLE = re.compile(
    f"((?:[^\n\"'`#(\\[{{\\\\]++|{STRING}|{BRACKETS}|\\\\\n?+)*+)(?:#[^\n]*+)?+(?:\n|\\Z)", re.S
)
_PIECE = re.compile(f"[^\n\"'`#()\\[\\]{{}}\\\\]++|{STRING}|\\\\\n?+|#[^\n]*+|.", re.S)
_BLANKS = re.compile(r"[ \n]+")
_AROUND_BREAK = re.compile(r" *+\n *")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{1,4})|(.))", re.S)
_ESCAPED = {"{": "{{", "[": "[[", "%": "%%", "n": "\n", "u": ""}


class LogicalLine(NamedTuple):
    number: int  # of its first physical line, from 1
    indent: int  # columns
    text: str  # from its first letter on, without comments


def logical_lines(text: str, file: str, losses: Losses) -> list[LogicalLine]:
    """All lines that say something. One that never ends is left out with a warning.

    Raises `ScriptError` when too many of them never end.
    """
    lines: list[LogicalLine] = []
    count, size = text.count, len(text)
    at, number, broken = 0, 1, 0
    while at < size:
        if nothing := _NOTHING.match(text, at):
            number += count("\n", at, nothing.end())
            at = nothing.end()
        start = _INDENT.match(text, at).end()  # type: ignore[union-attr]  # it matches everywhere
        simple = _SIMPLE.match(text, start, start + LONGEST)
        if simple and (simple.end() < start + LONGEST or simple.end() == size):
            body, end = simple[1], simple.end()
        else:
            pieces, end = _pieces(text, start)
            if pieces is None:
                broken += 1
                losses.skip("line that never ends")
                losses.warn(f"{file}:{number}", "a string or bracket is never closed; the line is left out")
                if broken > _BROKEN_LINES:
                    raise ScriptError(file, number, "too many strings or brackets are never closed")
            body = "".join(pieces or ())
        if body := body.rstrip():
            if "\\\n" in body:
                body = body.replace("\\\n", " \n")
            indent = start - at if "\t" not in text[at:start] else len(text[at:start].expandtabs(8))
            lines.append(LogicalLine(number, indent, body))
        number += count("\n", at, end)
        at = end
    return lines


def _pieces(text: str, start: int) -> tuple[list[str] | None, int]:
    """A logical line piece by piece, for what is too deep for a pattern or has comments between brackets;
    None where it does not end. And where the next line begins."""
    pieces: list[str] = []
    depth, at, stop = 0, start, min(len(text), start + LONGEST)
    while at < stop:
        piece = _PIECE.match(text, at, stop)[0]  # type: ignore[index]  # it matches everywhere
        at += len(piece)
        if piece in "([{":
            depth += 1
        elif piece in ")]}":
            depth = max(0, depth - 1)
        elif piece in "\"'`":
            break
        elif piece == "\n" and not depth:
            return pieces, at
        if piece[0] != "#":
            pieces.append(piece)
    else:
        if at == len(text) and not depth:
            return pieces, at
    end = text.find("\n", start) + 1
    return None, end or len(text)


def ren_py(text: str) -> str:
    """A `_ren.py` file as the script it stands for, line by line.

    There is Ren'Py between `\"\"\"renpy` and `\"\"\"`, and then Python, in the block that this has opened.
    """
    lines: list[str] = []
    inside, indent = False, None
    for line in text.split("\n"):
        if not inside and line.startswith('"""renpy'):
            inside, indent = True, ""
            lines.append("")
        elif inside and line.rstrip() == '"""':
            inside = False
            lines.append("")
        elif inside:
            lines.append(line)
            if (said := line.strip()) and said[0] != "#":
                indent = line[: len(line) - len(line.lstrip())] + ("    " if said[-1] == ":" else "")
        else:
            lines.append("" if indent is None else indent + line)
    return "\n".join(lines)


def unquote(token: str) -> str:
    """What a string of a say statement says: blanks run together, escapes resolved; `\\{` becomes `{{`."""
    if raw := token[0] == "r":
        token = token[1:]
    quotes = 3 if len(token) >= 6 and token[:3] == token[0] * 3 else 1
    return token[quotes:-quotes] if raw else _unescape(_BLANKS.sub(" ", token[quotes:-quotes]))


def monologue(token: str, delimiter: str) -> list[str]:
    """What a string in three quotes says, one piece a click.

    `delimiter` is a blank line, or what `rpy monologue` has set: a line break, or "" for one piece only.
    """
    if token[0] == "r":
        return [token[4:-3]]
    text = _AROUND_BREAK.sub("\n", token[3:-3])
    pieces = text.split(delimiter) if delimiter else [text]
    return [_unescape(_BLANKS.sub(" ", piece.strip())) for piece in pieces if piece.strip()]


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    if not found[1]:
        return _ESCAPED.get(found[2], found[2])
    code = int(found[1], 16)
    return chr(code) if not 0xD800 <= code < 0xE000 else "\ufffd"  # half of a pair is no letter
