"""Naninovel: `.nani` scripts of Unity's visual novels.

Facts from Naninovel's guide (https://naninovel.com/guide/scenario-scripting) and the tests of its parser
(MIT, https://github.com/naninovel/common). A scene is what follows a label; what stands before the first one
is the scene "". What belongs to a choice or condition is told by indentation, or ends with `@endif` in
scripts that have it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from dataset_builder.decode import decode
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.engines.branches import DEPTH, Fork, Forks
from dataset_builder.engines.unity_text import hide_escapes, plain, reveal
from dataset_builder.errors import ScriptError
from dataset_builder.lines import other_line, spoken
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Scene, Source
from dataset_builder.work import ScriptFile

NAME = "naninovel"
TITLE = "Naninovel"

_TAB = 4  # columns, as Naninovel counts
_SYNTAX = re.compile(rb"^[ \t]*(?:@\w|#[ \t]*\w|[^\s\":]{1,60}: )", re.MULTILINE)
_ENDIF = re.compile(r"^[ \t]*@endif\b", re.MULTILINE | re.IGNORECASE)
_COMMAND = re.compile(r"\s*(\w+)(.*)", re.DOTALL)
_PARAMETER = re.compile(r'(?:(\w+):)?((?:"[^"]*"|\{[^{}]*\}|[^\s"{])++)')
_AUTHOR = re.compile(r'([^\s":\[\]]+):[ \t]+(?=\S)')
_INLINE = re.compile(r'\[((?:"[^"]*"|[^\[\]"])*+)\]')
_TEXT_ID = re.compile(r"\|#[^|]*\|?")
_EXPRESSION = re.compile(r"\{[^{}]*\}")
_BLANKS = re.compile(r"  +")
# Commands also go by the names of their classes.
_CLASSES = {
    "printtext": "print",
    "appendtext": "append",
    "addchoice": "choice",
    "beginif": "if",
    "playvoice": "voice",
}
_STATEMENTS = frozenset(
    ("print", "append", "choice", "voice", "if", "unless", "random", "else", "elseif", "endif",
     "goto", "gosub", "stop", "return", "title", "exit")
)  # fmt: skip


def sniff(name: str, head: bytes) -> float:
    if not name.lower().endswith(".nani"):
        return 0.0
    return 0.95 if _SYNTAX.search(head) else 0.6


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    scripts: dict[str, list[str]] = {}
    for file in files:
        scripts.setdefault(PurePosixPath(file.name).stem.casefold(), []).append(file.name)
    yield from read_each(files, options, losses, lambda file: _read(file, options, losses, scripts))


def _read(
    file: ScriptFile, options: ReadOptions, losses: Losses, scripts: dict[str, list[str]]
) -> Iterator[Scene]:
    """The scenes of one script; `scripts` are the work's files by their names."""
    text = decode(file.read(), file.name, options.encoding)
    ends = _ENDIF.search(text) is not None
    passages: dict[str, _Passage] = {}
    counts: Counter[str] = Counter()

    def begin(label: str) -> _Passage:
        counts[label] += 1
        name = f"{label}~{counts[label]}" if counts[label] > 1 else label
        scene = Scene(options.work, file.name, name, language=options.language)
        passage = passages[name] = _Passage(scene, losses, ends=ends)
        return passage

    def resolve(path: str) -> str:
        """The scene of `.Label`, `#Label`, `Script`, `Script.Label` or `Script#Label`; "" if not known."""
        script, _, label = path.partition("#" if "#" in path else ".")
        homes = scripts.get(PurePosixPath(script).name.casefold(), []) if script else [file.name]
        if len(homes) != 1:
            return ""
        if homes[0] != file.name:
            return f"{homes[0]}#{label}"
        return label if label in passages else ""

    passage = begin("")
    for number, line in enumerate(text.split("\n"), 1):
        start = line.lstrip()[:1]
        if start == "#":
            before, passage = passage, begin(line.strip()[1:].strip())
            if not before.over:
                before.scene.next.append(f"#{passage.scene.scene}")
        elif start and start != ";":
            passage.read(line, number)
    for passage in passages.values():
        scene = passage.scene
        for choice in scene.choices:
            choice.target = resolve(choice.target)
        scene.next = [
            each for each in dict.fromkeys(map(resolve, scene.next)) if each not in ("", scene.scene)
        ]
        if scene.lines or scene.choices or scene.next:
            yield scene


@dataclass(slots=True)
class _Frame:
    """A fork that is being read: a `choice`, an `if`, or a `random` block, whose every line is an arm."""

    kind: str
    fork: Fork
    branch: str
    indent: int
    body: int | None = None  # columns of what stands in it
    choice: Choice | None = None


class _Passage:
    """What follows one label. `scene.next` and the choices' targets are as written, for `_read` to resolve;
    `ends` says that conditions have an `@endif`."""

    def __init__(self, scene: Scene, losses: Losses, *, ends: bool) -> None:
        self.scene = scene
        self.over = False  # nothing leads on from here
        self._losses = losses
        self._ends = ends
        self._forks = Forks()
        self._frames: list[_Frame] = []
        self._waits = False  # a choice without `goto:` goes on behind the `@stop`
        self._voice: tuple[str, ...] = ()
        self._author = ""

    def read(self, line: str, number: int) -> None:
        """A line that is no label. Raises `ScriptError`."""
        raw = line.strip()
        text = hide_escapes(raw)
        if text[0] == "@":
            self._command(text[1:], raw, _indent(line), number)
            return
        if self._frames:
            self._leave(_indent(line))
        self._generic(text, raw, number)

    # --- forks

    @property
    def _branch(self) -> str:
        return self._frames[-1].branch if self._frames else ""

    def _open(self, kind: str, indent: int, number: int) -> _Frame:
        if len(self._frames) >= DEPTH:
            raise ScriptError(self.scene.file, number, f"choices and conditions are more than {DEPTH} deep")
        fork = self._forks.open(self._branch)
        frame = _Frame(kind, fork, fork.arm(), indent)
        self._frames.append(frame)
        return frame

    def _leave(self, indent: int, command: str = "") -> None:
        """What a statement of this indentation does not belong to any more is closed."""
        while self._frames:
            frame = self._frames[-1]
            if indent > frame.indent:
                if frame.kind == "random" and frame.body is not None and indent <= frame.body:
                    frame.branch = frame.fork.arm()
                if frame.body is None:
                    frame.body = indent
                return
            if frame.kind == "if":
                joins = command in ("else", "elseif", "endif") and indent == frame.indent
                if joins or self._ends or frame.body is None:
                    return
            elif frame.kind == "choice" and command == "choice" and indent == frame.indent:
                return
            self._frames.pop()

    # --- commands

    def _command(self, text: str, raw: str, indent: int, number: int) -> None:
        match = _COMMAND.match(text)
        if match is None:
            return
        name = _CLASSES.get(match[1].lower(), match[1].lower())
        if name not in _STATEMENTS:
            frame = self._frames[-1] if self._frames else None
            # A silent command ends nothing, but it may be the first of a block, and an arm of a random one.
            if frame is not None and (
                frame.kind == "random" or (frame.body is None and indent > frame.indent)
            ):
                self._leave(indent, name)
            if '"' in match[2]:
                self._losses.unknown[f"@{name}"] += 1  # perhaps it shows a text
            return
        if self._frames:
            self._leave(indent, name)
        self._run(name, _parameters(match[2]), raw, indent, number)

    def _run(self, name: str, given: dict[str, str], raw: str, indent: int, number: int) -> None:
        if name in ("print", "append"):
            author = given.get("author", self._author if name == "append" else "")
            self._say(author, given.get("", given.get("text", "")), raw, number, given.get("as", ""))
        elif name == "choice":
            self._choose(given, raw, indent, number)
        elif name in ("if", "unless", "random"):
            self._open("random" if name == "random" else "if", indent, number)
        elif name in ("else", "elseif", "endif"):
            self._join(name, number)
        elif name in ("goto", "gosub"):
            self._lead(given.get("", given.get("path", "")), leave=name == "goto" and "if" not in given)
        elif name == "voice":
            self._voice = (reveal(given[""]),) if given.get("") else ()
        elif name == "stop" and self._waits:
            self._waits = False
        elif not self._frames and "if" not in given:
            self.over = True

    def _join(self, name: str, number: int) -> None:
        """`@else`, `@elseif`, `@endif`."""
        if all(frame.kind != "if" for frame in self._frames):
            self._losses.warn(f"{self.scene.file}, line {number}", f"`@{name}` without its `@if`")
            return
        while self._frames[-1].kind != "if":
            self._frames.pop()
        if name == "endif":
            self._frames.pop()
        else:
            self._frames[-1].branch = self._frames[-1].fork.arm()

    def _lead(self, path: str, *, leave: bool) -> None:
        """Where the flow goes; a choice leads where its own block leaves for."""
        path = reveal(path)
        self.scene.next.append(path)
        if not leave:
            return
        if not self._frames:
            self.over = True
        elif (choice := self._frames[-1].choice) is not None and not choice.target:
            choice.target = path

    def _choose(self, given: dict[str, str], raw: str, indent: int, number: int) -> None:
        frame = self._frames[-1] if self._frames else None
        if frame is not None and frame.kind == "choice" and frame.indent == indent:
            frame.branch, frame.body, frame.choice = frame.fork.arm(), None, None
        else:
            frame = self._open("choice", indent, number)
        self.over = False
        target = reveal(given.get("goto", given.get("gosub", "")))
        if target:
            self.scene.next.append(target)
        else:
            self._waits = True
        text = reveal(plain(self._printed(given.get("", ""), number))[0])
        source = Source(self.scene.file, number)
        line = other_line(len(self.scene.lines), "choice", text, raw, source, branch=frame.branch)
        if not line.text:
            self._losses.skip("a choice without text")
            return
        self.scene.lines.append(line)
        self._losses.emit()
        frame.choice = Choice(line.text, target)
        self.scene.choices.append(frame.choice)

    # --- text

    def _generic(self, text: str, raw: str, number: int) -> None:
        """`Author.Appearance: text`, or text."""
        author = _AUTHOR.match(text) if ":" in text else None
        if author is None:
            self._say("", text, raw, number)
        else:
            self._say(author[1].partition(".")[0], text[author.end() :], raw, number)

    def _say(self, author: str, text: str, raw: str, number: int, display: str = "") -> None:
        printed = self._printed(text, number)
        self._author = author
        if not printed and "[" in text:
            return  # commands alone
        said, ruby = plain(printed)
        line = spoken(
            len(self.scene.lines),
            reveal(author),
            reveal(said),
            raw,
            Source(self.scene.file, number),
            display=reveal(display),
            ruby=ruby,
            speakers=tuple(map(reveal, author.split(","))) if "," in author else (),
            voice=self._voice,
            branch=self._branch,
        )
        if not line.text or _EXPRESSION.fullmatch(line.text):
            self._losses.skip("an expression alone" if line.text else "empty text")
            return
        self.over = self._waits = False
        self._voice = ()
        self.scene.lines.append(line)
        self._losses.emit()

    def _printed(self, text: str, number: int) -> str:
        """The text without identifiers and inlined commands, which are carried out. Of an inlined condition
        the first arm stays."""
        if "|#" in text:
            text = _TEXT_ID.sub("", text)
        if "[" not in text:
            return text.strip()
        pieces, start, skipped = [], 0, False
        for match in _INLINE.finditer(text):
            if not skipped:
                pieces.append(text[start : match.start()])
            start = match.end()
            command = _COMMAND.match(match[1])
            name = command[1].lower() if command else ""
            if name == "br":
                pieces.append("\n")
            elif name in ("else", "elseif"):
                skipped = True
            elif name == "endif":
                skipped = False
            elif name in ("goto", "gosub", "voice", "stop") and command:
                self._run(name, _parameters(command[2]), "", 0, number)
        if not skipped:
            pieces.append(text[start:])
        return _BLANKS.sub(" ", "".join(pieces)).strip()


def _parameters(text: str) -> dict[str, str]:
    """`"Go home" goto:.Home wait!` as a dictionary; the nameless parameter's key is ""."""
    found: dict[str, str] = {}
    for name, value in _PARAMETER.findall(text):
        if name or (value[0] != "!" and value[-1] != "!") or value[0] == '"':
            value = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
            found.setdefault(name.lower(), value)
    return found


def _indent(line: str) -> int:
    """Columns in front of a line."""
    width = len(line) - len(line.lstrip())
    return len(line[:width].expandtabs(_TAB)) if "\t" in line[:width] else width
