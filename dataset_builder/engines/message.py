"""A message while it is printed: letters, line breaks, readings."""

from dataclasses import dataclass, field

from dataset_builder.lines import unwrap
from dataset_builder.schema import Ruby

BLANKS = " \t\n\u3000\u00a0"
_CLOSING = frozenset("」』）)”»｣")
_PAIRS = (("「", "」"), ("『", "』"), ("（", "）"), ("“", "”"))
_LONG = 2000  # letters: a longer message is not looked at for brackets


@dataclass(slots=True)
class Message:
    """`line`, `start` and `end` are its place in the file, `branch` is the arm in which it began, inside
    `depth` conditions; `elsewhere`: it is printed into a layer that is not the messages'."""

    line: int
    start: int
    end: int
    branch: str = ""
    depth: int = 0
    elsewhere: bool = False
    rubies: list[Ruby] = field(default_factory=list)
    size: int = 0
    _parts: list[str] = field(default_factory=list)
    _covered: int = -1  # where the letters under the last reading end

    @property
    def text(self) -> str:
        return "".join(self._parts).strip(BLANKS)

    @property
    def at_line_start(self) -> bool:
        return self._parts[-1] == "\n"

    def print(self, text: str, reading: str = "", count: int = 1) -> None:
        """Letters, the first `count` of them under a reading. Readings of neighbours are one word's."""
        if reading:
            base = text[:count]
            if self.rubies and self._covered == self.size:
                last = self.rubies[-1]
                self.rubies[-1] = Ruby(last.base + base, last.text + reading)
            else:
                self.rubies.append(Ruby(base, reading))
            self._covered = self.size + len(base)
        self._parts.append(text)
        self.size += len(text)

    def newline(self) -> None:
        if not self.at_line_start:
            self._parts.append("\n")
            self.size += 1

    @property
    def is_unclosed(self) -> bool:
        """Whether a bracket is open, so that a click is in the midst of what somebody says."""
        if self.size >= _LONG:
            return False
        text = "".join(self._parts)
        return any(text.count(opening) > text.count(closing) for opening, closing in _PAIRS)

    def closes(self) -> bool:
        """Whether the line that has just ended may be the end of something in brackets."""
        return self.size < _LONG and self._parts[-1].rstrip(BLANKS)[-1:] in _CLOSING


def is_bracketed(text: str) -> bool:
    """Whether brackets stand around the whole of it."""
    return unwrap(text)[0] != text.strip(BLANKS)
