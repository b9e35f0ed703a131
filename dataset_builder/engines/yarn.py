"""Yarn Spinner: `.yarn` files of versions 1 to 3.

Facts from Yarn Spinner's documentation (https://docs.yarnspinner.dev) and its grammar and tests (MIT).
A scene is a node; nodes of a group share a title, and are called `title.subtitle`, or `title~2` from the
second on. Options and line groups nest by indentation, conditions by their commands; an empty line in front
of an option begins another set of options.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dataset_builder.decode import decode
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.engines.branches import DEPTH, Fork, Forks
from dataset_builder.engines.targets import Elsewhere
from dataset_builder.engines.yarn_text import YarnText, is_expression, yarn_text
from dataset_builder.errors import ScriptError
from dataset_builder.lines import other_line, spoken
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Scene, Source
from dataset_builder.work import ScriptFile

NAME = "yarn"
TITLE = "Yarn Spinner"

_GROUP = 64  # nodes of one title that a jump is followed to
_TAB = 8  # columns, as Yarn Spinner counts
_HEADER = re.compile(r"\s*(\w+)\s*:(.*)")
_TITLE = re.compile(r"^[ \t]*title[ \t]*:[ \t]*([^\n]*)", re.MULTILINE)
_NODE = re.compile(r'\{\s*"([^"]*)"\s*\}|([^\s{}]+)')
_LINK = re.compile(r"\[\[([^\[\]|]*)(?:\|([^\[\]|]*))?\]\]")
_SYNTAX = re.compile(rb"^[ \t]*title[ \t]*:[^\n]*\n(?:[^\n]*\n){0,40}?---[ \t\r]*$", re.MULTILINE)


def sniff(name: str, head: bytes) -> float:
    if not name.lower().endswith((".yarn", ".yarn.txt")):
        return 0.0
    return 0.95 if _SYNTAX.search(head.removeprefix(b"\xef\xbb\xbf")) else 0.6


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    elsewhere = Elsewhere(files, options.encoding, lambda text: map(_bare, _TITLE.findall(text)))
    yield from read_each(files, options, losses, lambda file: _read(file, options, losses, elsewhere))


def _bare(title: str) -> str:
    return title.partition("//")[0].strip()


def _read(file: ScriptFile, options: ReadOptions, losses: Losses, elsewhere: Elsewhere) -> Iterator[Scene]:
    text = decode(file.read(), file.name, options.encoding)
    nodes = list(_nodes(text, file.name, options, losses))
    if not nodes:
        raise ScriptError(file.name, 0, "it has no node of Yarn Spinner's (`title: …`, `---`, `===`)")
    groups: dict[str, list[str]] = {}
    for title, node in nodes:
        groups.setdefault(title, []).append(node.scene.scene)

    def scenes_of(title: str) -> list[str]:
        if title in groups:
            return groups[title][:_GROUP]
        found = elsewhere.find(title, file.name) if title else ""
        return [found] if found else []

    for _, node in nodes:
        scene = node.scene
        for choice in scene.choices:
            choice.target = next(iter(scenes_of(choice.target)), "")
        found = (each for title in dict.fromkeys(node.targets) for each in scenes_of(title))
        scene.next = [each for each in dict.fromkeys(found) if each != scene.scene]
        if scene.lines or scene.choices or scene.next:
            yield scene


def _nodes(text: str, file: str, options: ReadOptions, losses: Losses) -> Iterator[tuple[str, "_Node"]]:
    """The nodes of a file with their titles."""
    counts: Counter[str] = Counter()
    header: dict[str, str] = {}
    node: _Node | None = None
    for number, line in enumerate(text.split("\n"), 1):
        if node is not None:
            if line[:3] == "===" or line.lstrip()[:3] == "===":
                node.finish()
                node = None
            else:
                node.read(line, number)
        elif line.lstrip()[:3] == "---":
            title = header.get("title", "")
            name = f"{title}.{header['subtitle']}" if header.get("subtitle") else title
            counts[name] += 1
            unique = f"{name}~{counts[name]}" if counts[name] > 1 else name
            node = _Node(Scene(options.work, file, unique, language=options.language), losses)
            yield title, node
            header = {}
        elif match := _HEADER.match(line):
            header[match[1]] = _bare(match[2])
    if node is not None:
        node.finish()
        losses.warn(file, f"the node `{node.scene.scene}` has no end (`===`)")


@dataclass(slots=True)
class _Frame:
    """A fork that is being read. `arrow` is that of a group of options (`->`) or lines (`=>`), and "" for
    an `<<if>>` or `<<once>>`; `indent` an option's columns, `body` those of what belongs to it."""

    fork: Fork
    branch: str
    arrow: str = ""
    indent: int = 0
    body: int | None = None
    choice: Choice | None = None


class _Node:
    """The lines of one node. `targets` are titles of nodes, as written."""

    def __init__(self, scene: Scene, losses: Losses) -> None:
        self.scene = scene
        self.targets: list[str] = []
        self._losses = losses
        self._forks = Forks()
        self._frames: list[_Frame] = []
        self._blank = False  # the line before was empty
        self._ending: Fork | None = None  # the options at the node's end (Yarn 1)

    def read(self, line: str, number: int) -> None:
        """One line of the node's body. Raises `ScriptError`."""
        text = line.strip()
        if not text:
            self._blank = True
            return
        start = text[:2]
        if start == "//":
            return
        arrow = start if start in ("->", "=>") else ""
        if self._frames:
            self._leave(_indent(line), arrow)
        self._blank = False
        if arrow:
            self._option(arrow, text[2:].lstrip(), line, number)
        elif start == "<<":
            self._commands(text, number)
        elif start == "[[":
            self._links(text, number)
        elif start[0] != "#":
            self._say(yarn_text(text), text, number)

    def finish(self) -> None:
        """The end of the node."""
        unclosed = sum(not frame.arrow for frame in self._frames)
        if unclosed:
            self._losses.warn(f"{self.scene.file}, node `{self.scene.scene}`", "an `<<if>>` is not closed")
        self._frames.clear()

    # --- forks

    @property
    def _branch(self) -> str:
        return self._frames[-1].branch if self._frames else ""

    def _open(self, number: int, arrow: str = "", indent: int = 0) -> None:
        if len(self._frames) >= DEPTH:
            raise ScriptError(self.scene.file, number, f"options and conditions are more than {DEPTH} deep")
        fork = self._forks.open(self._branch)
        self._frames.append(_Frame(fork, fork.arm(), arrow, indent))

    def _leave(self, indent: int, arrow: str) -> None:
        """Options that a line of this indentation does not belong to any more are closed. An option of the
        same set, which is their next arm, leaves its frame open, without a `body`."""
        while self._frames and (frame := self._frames[-1]).arrow:
            if frame.body is None and indent > frame.indent:
                frame.body = indent
            if frame.body is not None and indent >= frame.body:
                return
            outer = self._frames[-2].body if len(self._frames) > 1 else None
            if arrow == frame.arrow and not self._blank and (outer is None or indent >= outer):
                frame.body = None
                frame.indent = indent
                return
            self._frames.pop()

    def _condition(self, number: int, word: str) -> _Frame | None:
        """The `<<if>>` or `<<once>>` that an `<<else>>` or an end belongs to; options inside it are over."""
        if all(frame.arrow for frame in self._frames):
            self._losses.warn(f"{self.scene.file}, line {number}", f"`<<{word}>>` without its beginning")
            return None
        while self._frames[-1].arrow:
            self._frames.pop()
        return self._frames[-1]

    # --- statements

    def _commands(self, text: str, number: int) -> None:
        """`<<word …>>`, mostly one on a line."""
        start = 0
        while start >= 0 and (end := text.find(">>", start)) >= 0:
            word, *rest = text[start + 2 : end].split(maxsplit=1) or ("",)
            self._command(word, "".join(rest), number)
            start = text.find("<<", end)

    def _command(self, word: str, rest: str, number: int) -> None:
        if word in ("if", "once"):
            self._open(number)
        elif word in ("elseif", "else"):
            if frame := self._condition(number, word):
                frame.branch = frame.fork.arm()
        elif word in ("endif", "endonce"):
            if self._condition(number, word):
                self._frames.pop()
        elif word in ("jump", "detour") and (node := _NODE.match(rest)):
            self._lead(node[1] or node[2], leave=word == "jump")

    def _lead(self, title: str, *, leave: bool) -> None:
        """Where the flow goes; a choice leads where its own arm leaves for."""
        self.targets.append(title)
        choice = self._frames[-1].choice if self._frames else None
        if leave and choice is not None and not choice.target:
            choice.target = title

    def _option(self, arrow: str, text: str, line: str, number: int) -> None:
        frame = self._frames[-1] if self._frames else None
        if frame is not None and frame.arrow == arrow and frame.body is None:
            frame.branch, frame.choice = frame.fork.arm(), None
        else:
            self._open(number, arrow, _indent(line))
        said = yarn_text(text)
        if arrow == "=>":
            self._say(said._replace(conditional=False), text, number)
        else:
            self._frames[-1].choice = self._choose(said, self._branch, text, number)

    def _links(self, text: str, number: int) -> None:
        """Yarn 1: `[[text|node]]` is one of the options at the node's end, `[[node]]` a jump."""
        for said, node in _LINK.findall(text):
            if not node:
                self._lead(said.strip(), leave=True)
                continue
            if self._ending is None:
                self._ending = self._forks.open("")
            self.targets.append(node.strip())
            choice = self._choose(yarn_text(said.strip()), self._ending.arm(), text, number)
            if choice is not None:
                choice.target = node.strip()

    # --- lines

    def _choose(self, said: YarnText, branch: str, raw: str, number: int) -> Choice | None:
        """An option of the player's."""
        lines = self.scene.lines
        source = Source(self.scene.file, number)
        line = other_line(len(lines), "choice", said.text, raw, source, branch=branch)
        if not line.text:
            self._losses.skip("empty text")
            return None
        if said.name:
            line.speaker, line.display_name, line.speakers = (
                said.name,
                said.display or said.name,
                (said.name,),
            )
        lines.append(line)
        self._losses.emit()
        choice = Choice(line.text)
        self.scene.choices.append(choice)
        return choice

    def _say(self, said: YarnText, raw: str, number: int) -> None:
        branch = self._branch
        if said.conditional:  # `text <<if …>>` is a fork of its own
            branch = self._forks.open(branch).arm()
        lines = self.scene.lines
        line = spoken(
            len(lines),
            said.name,
            said.text,
            raw,
            Source(self.scene.file, number),
            display=said.display,
            ruby=said.ruby,
            branch=branch,
        )
        if not line.text or is_expression(line.text):
            self._losses.skip("an expression alone" if line.text else "empty text")
            return
        lines.append(line)
        self._losses.emit()


def _indent(line: str) -> int:
    """Columns in front of a line."""
    width = len(line) - len(line.lstrip())
    return len(line[:width].expandtabs(_TAB)) if "\t" in line[:width] else width
