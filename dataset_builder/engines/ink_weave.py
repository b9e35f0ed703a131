"""Ink's weave: the lines of one knot or stitch, with choices, gathers and blocks as branches.

A choice opens a fork, or the next arm of the one that is open at its depth (`* *`); a gather (`-`) closes
the forks of its depth and deeper; a block `{ … }` is a fork whose arms begin with `-`.
"""

import re
from dataclasses import dataclass, field

from dataset_builder.engines import ink_content
from dataset_builder.engines.branches import DEPTH, Fork, Forks
from dataset_builder.engines.ink_names import split_name
from dataset_builder.engines.unity_text import hide_escapes, plain, reveal
from dataset_builder.errors import ScriptError
from dataset_builder.lines import other_line, spoken
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Scene, Source

_BULLETS = re.compile(r"([*+](?:\s*[*+])*)\s*(?:\(\s*(\w+)\s*\))?")
_GATHER = re.compile(r"(-(?!>)(?:\s*-(?!>))*)\s*(?:\(\s*(\w+)\s*\))?")
_DECLARATION = re.compile(r"(?:(?:VAR|CONST|LIST)\s+\w+\s*=|EXTERNAL\s+\w+\s*\(|INCLUDE\s+\S|TODO\b)")
_BLANKS = re.compile(r"[ \t]+")
_EXPRESSION = re.compile(r"\{[^{}]*\}")
_POINTS = re.compile(r"[.,;:!?…—–\-'\"”’)\s]*")
_GLUED = 4000  # letters of one line: more is no line of a story
_NOWHERE = frozenset(("END", "DONE"))


@dataclass(slots=True)
class _Frame:
    """A fork that is being read: `depth` is a choice's, and 0 for a block."""

    fork: Fork
    depth: int
    outer: str  # who was speaking when it began
    line: int
    sequence: bool = False
    branch: str = ""  # of the arm; "" before the first
    choice: Choice | None = None
    heard: set[str] = field(default_factory=set)  # who was speaking at the arms' ends


@dataclass(slots=True)
class _Last:
    """The last line of text, as long as glue may add to it."""

    branch: str
    name: str
    text: str
    raw: str
    line: int
    voice: tuple[str, ...]
    glue: bool


class Weave:
    """One knot or stitch. `targets` and its choices' targets are as written, for the story to resolve;
    `silent` is a function: its text is part of other lines."""

    def __init__(self, scene: Scene, losses: Losses, names: frozenset[str], *, silent: bool = False) -> None:
        self.scene = scene
        self.labels: list[str] = []
        self.targets: list[str] = []
        self.empty = True
        self.silent = silent
        self._losses = losses
        self._names = names
        self._forks = Forks()
        self._frames: list[_Frame] = []
        self._blocks = 0
        self._speaker = ""  # set by a tag, until the next
        self._voice: tuple[str, ...] = ()
        self._last: _Last | None = None
        self._waiting = False  # a choice whose text is on the next line, after its conditions
        self._raw = ""

    def read(self, line: str, number: int) -> None:
        """One line of the script, without comments. Raises `ScriptError`."""
        self._raw = line.strip()
        if not self._raw:
            return
        text = hide_escapes(self._raw, letters=True)
        if "{" not in text and "}" not in text:
            self._statement(text, number)
            return
        opened = False
        for piece, brace in ink_content.pieces(text):
            if opened:
                self._frames[-1].sequence, piece = ink_content.block(piece)
            self._statement(piece, number)
            opened = brace == "{"
            if opened:
                self._begin_arm()
                self._open(0, number)
            elif brace:
                self._close(number)

    def finish(self) -> None:
        """The end of the knot."""
        while self._frames:
            frame = self._pop()
            if not frame.depth:
                self._losses.warn(f"{self.scene.file}, line {frame.line}", "a `{` is never closed")

    # --- forks

    @property
    def _branch(self) -> str:
        return self._frames[-1].branch if self._frames else ""

    def _open(self, depth: int, number: int) -> None:
        if len(self._frames) >= DEPTH:
            raise ScriptError(self.scene.file, number, f"choices and blocks are more than {DEPTH} deep")
        self._frames.append(_Frame(self._forks.open(self._branch), depth, self._speaker, number))
        self._blocks += not depth
        self._last = None

    def _arm(self) -> None:
        frame = self._frames[-1]
        if frame.branch:
            frame.heard.add(self._speaker)
        self._speaker = frame.outer
        frame.branch = frame.fork.arm()
        frame.choice = None
        self._last = None

    def _begin_arm(self) -> None:
        """The first arm of a block, when something stands in it that begins with no `-`."""
        if self._frames and not self._frames[-1].branch:
            self._arm()

    def _pop(self) -> _Frame:
        frame = self._frames.pop()
        heard = {*frame.heard, self._speaker}
        if not frame.depth:
            self._blocks -= 1
            heard.add(frame.outer)  # perhaps none of its arms is played
        self._speaker = heard.pop() if len(heard) == 1 else ""
        self._last = None
        return frame

    def _close(self, number: int) -> None:
        """A `}`: the end of the innermost block."""
        if not self._blocks:
            self._losses.warn(f"{self.scene.file}, line {number}", "a `}` closes nothing")
            return
        while self._pop().depth:
            pass

    # --- statements

    def _statement(self, text: str, number: int) -> None:
        while text := text.strip():
            sign = text[0]
            if self._waiting:
                if sign not in "*+-=~" or text.startswith("->"):
                    self._choice(text, number)
                    return
                self._waiting = False
            if sign == "-" and text[1:2] != ">":
                text = self._dash(text)
                continue
            self._begin_arm()
            if sign in "*+":
                self._bullets(text, number)
            elif sign == "#":
                self._tags(text[1:].split("#"))
            elif sign != "~" and not (sign.isupper() and _DECLARATION.match(text)):
                self._content(text, number)
            return

    def _dash(self, text: str) -> str:
        """An arm of a block, or a gather; gives what follows on the line."""
        if self._blocks:
            while self._frames[-1].depth:
                self._pop()
            self._arm()
            head, colon, rest = text[1:].partition(":")
            if colon and not self._frames[-1].sequence and ink_content.is_expression(head):
                return rest
            return text[1:]
        match = _GATHER.match(text)
        assert match is not None  # it begins with a dash that is no arrow
        depth = match[1].count("-")
        while self._frames and self._frames[-1].depth >= depth:
            self._pop()
        if match[2]:
            self.labels.append(match[2])
        return text[match.end() :]

    def _bullets(self, text: str, number: int) -> None:
        match = _BULLETS.match(text)
        assert match is not None  # it begins with a bullet
        depth = len(match[1]) - sum(map(str.isspace, match[1]))
        while self._frames and self._frames[-1].depth > depth:
            self._pop()
        if not self._frames or self._frames[-1].depth != depth:
            self._open(depth, number)
        self._arm()
        if match[2]:
            self.labels.append(match[2])
        rest = text[match.end() :]
        self._waiting = bool(match[2] or rest)
        self._choice(rest, number)

    def _choice(self, text: str, number: int) -> None:
        rest = ink_content.without_conditions(text)
        if not rest:
            return  # the text may follow label and conditions on the next line
        self._waiting = False
        before, only, found = ink_content.choice(rest)
        self._tags(found.tags)
        shown = _tidy((before if only is None else before + only).replace("<>", ""))
        if shown:
            self._show(shown, number)
        # Without brackets the game prints the choice once more, which nobody needs twice.
        if only is not None and (printed := before + found.text).strip() and _tidy(printed) != shown:
            self._say(printed, number)
        self._lead(found)

    def _show(self, text: str, number: int) -> None:
        """A choice as the player sees it."""
        name, said = split_name(text, self._names)
        lines = self.scene.lines
        source = Source(self.scene.file, number)
        shown = reveal(plain(said)[0])
        line = other_line(len(lines), "choice", shown, self._raw, source, branch=self._branch)
        if self.silent or not line.text:
            self._losses.skip("text of a function" if self.silent else "empty text")
            return
        if name:
            line.speaker = line.display_name = reveal(name)
            line.speakers = (line.speaker,)
        lines.append(line)
        self._losses.emit()
        choice = self._frames[-1].choice = Choice(line.text)
        self.scene.choices.append(choice)

    def _content(self, text: str, number: int) -> None:
        alternatives = ink_content.line_alternatives(text)
        if alternatives is not None:
            self._open(0, number)
            for each in alternatives:
                self._arm()
                if each := each.strip():
                    self._content(each, number)
            self._pop()
            return
        found = ink_content.content(text)
        self._tags(found.tags)
        if found.text.strip():
            self._say(found.text, number)
        elif "{" in text and not found.targets:
            self._losses.skip("nothing in the first alternative")
        self._lead(found)

    def _lead(self, found: ink_content.Content) -> None:
        """Where a line leads. A choice leads where its own arm goes on, whatever happens in between."""
        self.empty = False
        self.targets += [each for each in found.targets if each not in _NOWHERE]
        if not found.leaves_for:
            return
        self._last = None
        choice = self._frames[-1].choice if self._frames else None
        if choice is not None and not choice.target and found.leaves_for not in _NOWHERE:
            choice.target = found.leaves_for

    def _tags(self, tags: list[str]) -> None:
        for tag in tags:
            key, _, value = tag.partition(":")
            key = key.strip().lower()
            if key == "speaker":
                self._speaker = reveal(value.strip())
            elif key == "voice" and value.strip():
                self._voice = (reveal(value.strip()),)

    # --- text

    def _say(self, text: str, number: int) -> None:
        glued, glue = text.lstrip().startswith("<>"), text.rstrip().endswith("<>")
        text = text.replace("<>", "")
        last = self._last
        if not text.strip():
            if last:
                last.glue = True
            return
        lines = self.scene.lines
        raw, voice = self._raw, self._voice
        joins = last is not None and (glued or last.glue) and last.branch == self._branch
        if last is not None and joins and len(last.text) < _GLUED:
            text, name, raw, number = last.text + text, last.name, f"{last.raw}\n{raw}", last.line
            voice = last.voice + voice
        else:
            last = None
            name, text = split_name(text.lstrip(), self._names)
            name = name or self._speaker
            if reason := self._reason(text, glued):
                self._losses.skip(reason)
                return
        said, ruby = plain(_tidy(text))
        line = spoken(
            len(lines) - (last is not None),
            reveal(name),
            reveal(said),
            raw,
            Source(self.scene.file, number),
            ruby=ruby,
            voice=voice,
            branch=self._branch,
        )
        if last is not None and line.text:
            lines[-1] = line
        elif line.text:
            lines.append(line)
            self._losses.emit()
        else:
            self._losses.skip("empty text")
            return
        self._voice = ()
        self._last = _Last(self._branch, name, text, raw, number, voice, glue)

    def _reason(self, text: str, glued: bool) -> str:
        """Why a text is no line; "" if it is one."""
        if self.silent:
            return "text of a function"
        if _EXPRESSION.fullmatch(reveal(text.strip())):
            return "an expression alone"
        return "a full stop glued to another branch" if glued and _POINTS.fullmatch(text) else ""


def _tidy(text: str) -> str:
    """The text with single blanks, as Ink prints it."""
    return (_BLANKS.sub(" ", text) if "  " in text or "\t" in text else text).strip()
