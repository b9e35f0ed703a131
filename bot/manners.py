"""How she speaks: a long reply is cut into several messages where a person would pause."""

_PAUSES = (
    "\n\n",
    "\n",
    ("。", "！", "？", "…", "」", "』", ". ", "! ", "? ", "; ", "；"),
    ("，", "、", ", "),
    " ",
)
_FENCE = "```"


def split(text: str, limit: int) -> list[str]:
    """`text` in pieces of at most `limit` characters, cut at paragraphs, else sentences, else words, else
    anywhere.

    A code block that is cut is closed and opened again. The pieces of a growing text agree in all but the
    last one.
    """
    text = text.strip()
    pieces: list[str] = []
    room = limit - 2 * len(_FENCE) - 2 if _FENCE in text else limit
    opened = False
    while text:
        piece = text if len(text) <= room else text[: _cut(text, room)]
        text = text[len(piece) :].lstrip()
        shown = (_FENCE + "\n" if opened else "") + piece.rstrip()
        opened ^= piece.count(_FENCE) % 2 == 1
        if opened and text:
            shown += "\n" + _FENCE
        pieces.append(shown)
    return pieces


def _cut(text: str, room: int) -> int:
    head = text[:room]
    for pause in _PAUSES:
        marks = (pause,) if isinstance(pause, str) else pause
        at = max(head.rfind(mark) + len(mark) if mark in head else 0 for mark in marks)
        if at >= room // 3:  # a cut too early makes a crumb
            return at
    return room
