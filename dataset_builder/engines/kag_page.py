"""The message window of a game: what is printed into it, under which name, with which voice."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from dataset_builder.engines.kag_branches import Branches
from dataset_builder.engines.kag_script import Script
from dataset_builder.engines.kag_speakers import Rules
from dataset_builder.engines.kag_tags import Tag, Text
from dataset_builder.engines.kag_values import is_variable
from dataset_builder.engines.message import BLANKS, Message, is_bracketed
from dataset_builder.engines.voices import Voices
from dataset_builder.lines import clean_name, is_mask, spoken
from dataset_builder.report import Losses
from dataset_builder.schema import Scene, Source

_NAME = 40  # letters of a name that is printed into a layer of its own
_QUOTES = "「『（(【“"
_CUT = re.compile("[＠@/／]")


@dataclass(frozen=True, slots=True)
class Plate:
    """Who speaks, and what the name plate shows ("" where it is the same)."""

    name: str = ""
    shown: str = ""


NOBODY = Plate()


class Page:
    """Messages become lines of the scene that `begin` gives for the line of the file where one begins."""

    def __init__(
        self, script: Script, branches: Branches, begin: Callable[[int], Scene], losses: Losses
    ) -> None:
        self._script = script
        self._rules: Rules = script.rules
        self._branches = branches
        self._begin = begin
        self._losses = losses
        self._scene: Scene | None = None  # where the message belongs
        self._message: Message | None = None
        self._reading: tuple[str, int] | None = None  # for the letters that come next, and for how many
        self._clicked = False  # [l] is the last thing of the message
        self._bracketed = False  # the line that has just ended is brackets and what is in them
        self._telling = False  # the speech is over, and what follows on the page tells
        self._elsewhere = False  # letters go to another layer than the messages'
        self._used = False  # a line stands under the plate
        self._known: dict[tuple[str, str], Plate] = {}  # what names and plates have been made so far
        self.plate = NOBODY
        self.voices = Voices(script.learned.cast)

    # --- letters

    def print(self, text: str, place: Text | Tag, *, head: bool = False) -> None:
        """Letters; `head` tells that they begin a line of the file."""
        blank = not text.strip(BLANKS)
        if self._branches.muted:
            if not blank:
                self._branches.drop()
            return
        message = self._message
        if message is not None and not blank:
            if self._bracketed:
                self.flush()
                self._telling = text.lstrip(BLANKS)[0] not in _QUOTES
            elif (head or message.at_line_start) and self._rules.split(text.lstrip(BLANKS)):
                self.flush()
            message = self._message
        if message is None:
            if blank:
                return
            self._scene = self._begin(place.line)
            branches = self._branches
            branches.end_choices()
            message = self._message = Message(
                place.line, place.start, place.end, branches.name, len(branches), self._elsewhere
            )
        if not blank:
            self._clicked = False
        if self._reading is None:
            message.print(text)
        else:
            message.print(text, *self._reading)
            self._reading = None
        message.end = place.end

    def ruby(self, reading: str, count: int) -> None:
        """A reading over the next `count` letters."""
        self._reading = reading, count

    def newline(self) -> None:
        message = self._message
        if message is None:
            return
        if self._clicked and not message.is_unclosed:
            self.flush()
            return
        if message.closes():
            text = message.text
            found = self._rules.split(text)
            self._bracketed = is_bracketed(found[2] if found else text)
        message.newline()

    # --- the end of a message

    def click(self) -> None:
        """`[l]`: the message goes on, unless the line ends here or has just ended."""
        message = self._message
        if message is not None and message.at_line_start and not message.is_unclosed:
            self.flush()
        self._clicked = self._message is not None

    def clear(self) -> None:
        """The window is emptied, though nobody clicked."""
        self.flush(whole=True)
        self._telling = False
        if self._used:
            self._forget()

    def turn(self) -> None:
        """A click that clears the window, or the end of the play."""
        self.flush(whole=True)
        if unheard := self.voices.take():
            self._losses.skip("voice without text", len(unheard))
        self._telling = False
        self._forget()

    def pause(self) -> None:
        """A condition begins: what was clicked away before it is over."""
        if self._clicked:
            self.flush()

    @property
    def is_open(self) -> bool:
        """Whether a message has begun."""
        return self._message is not None

    def end_arm(self, depth: int) -> None:
        """A message that began inside `depth` conditions or more ends with the innermost one's arm."""
        if self._message is not None and self._message.depth >= depth:
            self.flush()

    def flush(self, *, whole: bool = False) -> None:
        """The message becomes a line. A name in it that stands alone names what follows; where the `whole`
        page ends with it, it is text."""
        message, self._message = self._message, None
        self._clicked = self._bracketed = False
        self._reading = None
        self._branches.message_ended()
        if message is None:
            return
        text = message.text
        if found := self._rules.split(text):
            name, shown, rest = found
            rest = rest.strip(BLANKS)
            if rest or not whole:
                self._name_by_line(name, shown)
                text = rest
        if text:
            self._say(text, message)

    def _say(self, text: str, message: Message) -> None:
        assert self._scene is not None
        plate = NOBODY if self._telling else self.plate
        name, shown = plate.name, plate.shown
        voice = self.voices.take()
        if voice and (not name or is_mask(name) or is_variable(name)) and (who := self.voices.whose(*voice)):
            name, shown = who, shown or name
        thought = name in self._rules.thoughts
        lines = self._scene.lines
        line = spoken(
            len(lines),
            None if thought else name,
            text,
            self._script.text[message.start : message.end],
            Source(self._script.file, message.line),
            display=None if thought else shown,
            ruby=tuple(message.rubies),
            voice=voice,
            branch=message.branch,
        )
        if not line.text:
            self._losses.skip("empty text")
            return
        if thought:
            line.kind = "thought"
        self._used = True
        lines.append(line)
        self._losses.emit()

    # --- who speaks

    def name(self, name: str, shown: str = "") -> None:
        """By a name, or by a character's id. What was printed before is somebody else's."""
        self.flush()
        self._name(name, shown)

    def show(self, plate: Plate) -> None:
        self.plate = plate
        self._used = self._telling = False

    def layer(self, name: str) -> None:
        """From here on letters go to this layer. A name plate may be a message layer of its own: what was
        printed there and is short is a name."""
        message = self._message
        if message is not None and message.elsewhere and message.size <= _NAME:
            self._message = None
            self._name(message.text, "")
        elif message is not None:
            self.flush()
        self._elsewhere = name not in ("message", "message0")

    def _name(self, name: str, shown: str) -> None:
        plate = self._known.get((name, shown))
        if plate is None:
            real, over = clean_name(name), clean_name(shown)
            real = self._script.learned.cast.get(real, real) or over
            plate = self._known[name, shown] = Plate(real, "" if over == real else over)
        self.show(plate)

    def _name_by_line(self, name: str, shown: str) -> None:
        """`【灯＠？？？】` is 灯 behind a mask. `【灯/少女】` is 灯 as a girl, and `【灯/凛】` both,
        where 凛 has plates of her own."""
        if not shown and (cut := _CUT.search(name)):
            real, other = name[: cut.start()].strip(), name[cut.end() :].strip()
            both = cut[0] in "/／" and other in self._script.learned.plates
            if real and other and not both:
                name, shown = real, other
        self._name(name, shown)

    def _forget(self) -> None:
        if not self._script.dialect.keeps_plate:
            self.show(NOBODY)
