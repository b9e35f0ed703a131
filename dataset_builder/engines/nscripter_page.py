"""The message window of an NScripter game: what is printed into it, under which name, with which voice."""

from collections.abc import Callable

from dataset_builder.engines.message import BLANKS, Message, is_bracketed
from dataset_builder.engines.nscripter_names import Names
from dataset_builder.engines.nscripter_text import CODES, HOLD, LEAD, PAGE, WAIT, Letters, pieces
from dataset_builder.engines.voices import Voices
from dataset_builder.lines import spoken
from dataset_builder.report import Losses
from dataset_builder.schema import Ruby, Scene, Source

_QUOTES = "「『（(【“"


class Page:
    """Messages become lines of the scene that `begin` gives for the line of the file where one begins."""

    def __init__(
        self, file: str, text: str, names: Names, begin: Callable[[int], Scene], losses: Losses
    ) -> None:
        self._file = file
        self._text = text
        self._names = names
        self._begin = begin
        self._losses = losses
        self._scene: Scene | None = None
        self._message: Message | None = None
        self._name = ""
        self._once = False  # the name is that of one message, not of the page
        self._clicked = False  # a click is the last thing of the message
        self._bracketed = False  # the line that has just ended is brackets and what is in them
        self._telling = False  # the speech is over, and what follows on the page tells
        self.voices = Voices({})

    def say(self, line: str, number: int, start: int) -> None:
        """A line of text, the `number`-th of the file, which `start`s at this offset."""
        end = start + len(line)
        said = line.lstrip(" \t")
        if said[0] in CODES and (lead := LEAD.match(said)):
            said = said[lead.end() :]
        alone = self._message is None
        if self._message is None or self._message.at_line_start:
            found = self._names.split(said)
            if found and found.rest.strip() not in (WAIT, PAGE):
                self._flush()
                alone = True
                self._name, self._once, self._telling = found.name, found.once, False
                if found.beside:
                    self.voices.record(found.beside, "[", "")
                if not found.rest.strip(BLANKS):
                    return
                said = found.rest
        if alone and (said[-1:] == PAGE or said[-1:] == WAIT) and self._say_whole(said, number, line):
            return
        held = False
        for piece in pieces(said):
            if piece == WAIT:
                self._clicked = self._message is not None
            elif piece == PAGE:
                self.turn()
            elif piece == HOLD:
                held = True
            elif isinstance(piece, Letters):
                self._print(piece, number, start, end)
        if not held:
            self.newline()

    def _say_whole(self, said: str, number: int, raw: str) -> bool:
        """The quick way of nearly every line: a message from its beginning to its click."""
        text = said[:-1].strip(BLANKS)
        if (
            not text
            or not CODES.isdisjoint(text)
            or (said[-1] == WAIT and text.count("「") > text.count("」"))
        ):
            return False
        self._scene = self._begin(number)
        self._add(text, raw.strip(BLANKS), number)
        if said[-1] == PAGE:
            self.turn()
        return True

    def _print(self, letters: Letters, number: int, start: int, end: int) -> None:
        blank = not letters.text.strip(BLANKS)
        if self._bracketed and not blank:
            telling = letters.text.lstrip(BLANKS)[0] not in _QUOTES
            self._flush()
            self._telling = telling
        if self._message is None:
            if blank:
                return
            self._scene = self._begin(number)
            self._message = Message(number, start, end)
        if not blank:
            self._clicked = False
        self._message.print(letters.text)
        self._message.rubies += letters.rubies
        self._message.end = end

    def newline(self) -> None:
        message = self._message
        if message is None:
            return
        if self._clicked and not message.is_unclosed:
            self._flush()
            return
        self._bracketed = message.closes() and is_bracketed(message.text)
        message.newline()

    def turn(self) -> None:
        """The page ends."""
        if self._message is not None:
            self._flush()
        if unheard := self.voices.take():
            self._losses.skip("voice without text", len(unheard))
        self._name, self._once, self._telling = "", False, False

    def _flush(self) -> None:
        message, self._message = self._message, None
        self._clicked = self._bracketed = False
        if message is not None:
            raw = self._text[message.start : message.end].strip(BLANKS)
            self._add(message.text, raw, message.line, tuple(message.rubies))

    def _add(self, text: str, raw: str, number: int, rubies: tuple[Ruby, ...] = ()) -> None:
        assert self._scene is not None
        lines = self._scene.lines
        line = spoken(
            len(lines),
            None if self._telling else self._name,
            text,
            raw,
            Source(self._file, number),
            ruby=rubies,
            voice=self.voices.take(),
        )
        if self._once:
            self._name, self._once = "", False
        if line.text:
            lines.append(line)
            self._losses.emit()
        else:
            self._losses.skip("empty text")
