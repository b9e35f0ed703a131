"""Codes inside the texts of KAGEX, which KiriKiri Z's TextRender draws.

Facts: the head of Wamsoft's TextRender.tjs, and texts of games that Serifu.org's notes and msg-tool quote.
"""

import re
from collections.abc import MutableMapping

from dataset_builder.schema import Ruby

# All repetitions have an end, so that a text takes time in proportion to its length.
_CODE = re.compile(
    r"""
      \\ (?P<escaped> . )                          # \n is a line break, \% a percent sign
    | \[ (?P<reading> [^\[\]]{0,100} ) \]          # [よみ]漢 and [よみ,1]漢字
    | % (?: l [^;]{0,200} ; [^;]{0,200} ;          # a word that is explained: %lKEY;#AARRGGBB;word%l;#;
          | f [^;]{0,200} ;                        # font
          | D \$ [^;]{0,200} ;                     # time, by a label
          | [Ddpw] -? \d{0,9} ;?                   # time, speed, pitch, wait
          | \d{0,9} (?: ; | (?=\#) ) | \d{3}       # size; its end may be missing
          | [bies] .?                              # bold, italic, edge, shadow: one letter says how
          | [BSrCRL] ;?                            # big, small, reset, alignment: nothing has to end them
        )
    | (?P<unknown> % [A-Za-z]? )
    | \# [0-9A-Fa-f]{0,8} ;                        # colour
    | & [^;\s]{1,100} ;                            # picture
    | \$ (?P<variable> [^;\s\d] [^;\n]{0,100} ) ;  # a variable's value
    """,
    re.VERBOSE | re.DOTALL,
)
_MARKED = re.compile(r"[\\\[%#&$]")
# Tab and blank; indents, waits for a key and NUL draw nothing. Any other letter stands for itself.
_ESCAPED = {"n": "\n", "t": " ", "w": " ", "i": "", "r": "", "k": "", "x": ""}


def plain(text: str, unknown: MutableMapping[str, int]) -> tuple[str, tuple[Ruby, ...]]:
    """What a reader sees of a text, and the readings above its words; variables become `{name}`.

    A percent sign that begins no code is dropped with its letter and counted in `unknown`.
    """
    if _MARKED.search(text) is None:
        return text, ()
    pieces: list[str] = []
    readings: list[tuple[int, str]] = []  # where in the result, what the brackets hold
    length = end = 0
    for match in _CODE.finditer(text):
        piece = text[end : match.start()]
        end = match.end()
        kind = match.lastgroup
        if kind == "escaped":
            piece += _ESCAPED.get(match["escaped"], match["escaped"])
        elif kind == "variable":
            piece += f"{{{match['variable']}}}"
        elif kind == "unknown":
            unknown[match["unknown"]] = unknown.get(match["unknown"], 0) + 1
        elif kind == "reading":
            readings.append((length + len(piece), match["reading"]))
        pieces.append(piece)
        length += len(piece)
    said = "".join((*pieces, text[end:]))
    return said, tuple(filter(None, (_ruby(said, at, inside) for at, inside in readings)))


def _ruby(said: str, at: int, inside: str) -> Ruby | None:
    """A reading stands over one letter, and over as many more as the number behind it says.

    So do games: `[イビ,1]伊日川`, `[ダブルムーン,3]二つの月`. TextRender's own account can be read as if it
    were the number of all letters; one letter of hiragana too many shows who did: `[そうた,2]颯太くん`.
    """
    reading, comma, count = inside.rpartition(",")
    more = int(count) if comma and re.fullmatch(r" ?[0-9]{1,2}", count) else None
    base = said[at : at + 1 + (more or 0)].partition("\n")[0]
    if more and len(base) == more + 1 and "\u3041" <= base[-1] <= "\u309f":
        base = base[:-1]
    reading = inside if more is None else reading
    return Ruby(base, reading) if base and reading else None
