"""Lines of an NScripter script become scenes."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from dataset_builder.engines import ReadOptions
from dataset_builder.engines.branches import Forks
from dataset_builder.engines.message import BLANKS
from dataset_builder.engines.nscripter_names import Names
from dataset_builder.engines.nscripter_page import Page
from dataset_builder.engines.nscripter_text import Letters, pieces
from dataset_builder.lines import other_line
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Scene, Source

_TEXT = frozenset(">`^[!#@\\/$%_")  # beside wide letters: what a line of text may begin with
_CHOOSING = frozenset(("select", "selgosub", "selnum", "csel"))
_CONDITIONS = frozenset(("if", "notif"))
_TELLING = _CHOOSING | _CONDITIONS | frozenset(
    ("goto", "gosub", "tablegoto", "return", "end", "reset", "textclear", "br", "br2", "puttext", "wave")
)  # fmt: skip
_CHOICES = 200  # lines that one choice may go on for

_MENTIONED = re.compile(r"\*([A-Za-z_0-9]\w{0,80})", re.ASCII)
_DEFINED = re.compile(r"\n[ \t]*\*+([A-Za-z_0-9]\w{0,80})", re.ASCII)
_DEFSUB = re.compile(r"defsub[ \t]+([A-Za-z_]\w{0,60})", re.ASCII)
_LABEL = re.compile(r"\*+([A-Za-z_0-9]\w{0,80})", re.ASCII)
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_COMMAND = re.compile(r'(?:[^:;"`]++|"[^"]*+"?|`[^`]*+`?)++')
_WORDS = "|".join(sorted(_TELLING - _CONDITIONS))
_CONDITIONAL = re.compile(rf"\b(?:{_WORDS}|dwave\w*)\b", re.IGNORECASE)  # what a condition stands in front of
_BEHIND = re.compile(rf":[ \t]*+(?:(?:{_WORDS}|if|notif|dwave\w*)\b|[^\x00-\x7f]|[>`^])", re.IGNORECASE)
_ARGUMENT = re.compile(r'"([^"]*)"|`([^`]*)`|\*([A-Za-z_0-9]\w*)|\$([A-Za-z_0-9]\w*)', re.ASCII)
_STRING = re.compile(r'"([^"]*)"')


class Labels:
    """Where the labels of a work are, which of them are jumped to, and which commands are the work's own."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._homes: dict[str, str] = {}
        self._tops: dict[str, str] = {}
        self.own: set[str] = set()
        mentioned: Counter[str] = Counter()
        for file, text in texts.items():
            mentioned.update(map(str.lower, _MENTIONED.findall(text)))
            self.own.update(map(str.lower, _DEFSUB.findall(text)))
            for label in map(str.lower, _DEFINED.findall("\n" + text)):
                self._homes.setdefault(label, file)
                mentioned[label] -= 1
            first = next((line for line in text.split("\n", 200) if line.strip() and line[:1] != ";"), "")
            top = _LABEL.match(first.strip())
            self._tops[file] = top[0].lstrip("*").lower() if top else ""
        # The first label of a file is where the file before it goes on, `start` where `game` leads.
        self.used = {label for label, times in mentioned.items() if times > 0} | {"start"}

    def place(self, label: str, file: str) -> str:
        """A label as `file` leads to it."""
        label = label.lower()
        home = self._homes.get(label, file)
        return label if home == file else f"{home}#{label}"

    def begins_plainly(self, file: str) -> bool:
        """Whether a file begins without a label, so that its first scene has no name."""
        return not self._tops.get(file)

    def top(self, file: str) -> str:
        """Where a file begins, as another one leads to it."""
        return f"{file}#{self._tops.get(file, '')}"


class Story:
    """One file."""

    def __init__(
        self, file: str, text: str, names: Names, labels: Labels, options: ReadOptions, losses: Losses
    ) -> None:
        self._file = file
        self._lines = text.split("\n")
        self._labels = labels
        self._options = options
        self._losses = losses
        self._scene = Scene(options.work, file, "", language=options.language)
        self._finished: list[Scene] = []
        self._label = ""
        self._times: dict[str, int] = {}  # label -> how often it has stood in the file
        self._led: set[str] = set()  # where the scene leads
        self._ended = False  # nothing leads from here to the next line
        self._defining = False  # between `*define` and `game`, where nothing is said
        self._forks = Forks()
        self._page = Page(file, text, names, self._alive, losses)

    def scenes(self, follower: str) -> Iterator[Scene]:
        """The scenes in order. `follower` is where the script goes on behind this file, "" if nowhere."""
        start = 0
        skipped = 0  # lines that belong to a choice above
        for number, line in enumerate(self._lines, 1):
            begin, start = start, start + len(line) + 1
            if skipped:
                skipped -= 1
                continue
            stripped = line.lstrip(" \t")
            if not stripped:
                continue
            first = stripped[0]
            if first == "*":
                self._at_label(stripped)
            elif self._defining:
                self._define(stripped)
            elif first > "\x7f" or first in _TEXT:
                self._page.say(line, number, begin)
            elif word := _WORD.match(stripped):
                name = word[0].lower()
                if name in _CHOOSING:
                    more = self._continued(number)
                    skipped = len(more)
                    self._commands(" ".join((stripped, *more)), number, begin)
                elif name in _TELLING or name[:5] == "dwave" or _BEHIND.search(stripped):
                    self._commands(stripped, number, begin)
                elif name in self._labels.own:
                    self._losses.unknown[name] += 1
            if self._finished:
                yield from self._finished
                self._finished.clear()
        self._page.turn()
        if follower and not self._ended:
            self._lead(follower)
        self._close()
        yield from self._finished

    def _define(self, line: str) -> None:
        """Settings, until `game` goes to `*start`."""
        word = _WORD.match(line)
        if word is not None and word[0].lower() == "game":
            self._defining = False
            self._go((self._labels.place("start", self._file),), ends=True)

    def _continued(self, number: int) -> list[str]:
        """The lines on which a choice goes on: behind a comma, or with one."""
        more: list[str] = []
        last = self._lines[number - 1].strip()
        for line in self._lines[number : number + _CHOICES]:
            here = line.strip()
            if not here or not (last.endswith(",") or here[0] == "," or last.lower() in _CHOOSING):
                break
            more.append(here)
            last = here
        return more

    # --- scenes

    def _close(self) -> None:
        """A scene without lines is kept where something leads to it and it leads on."""
        old = self._scene
        wanted = old.scene in self._labels.used if old.scene else self._labels.begins_plainly(self._file)
        if old.lines or (old.next and wanted):
            self._finished.append(old)

    def _begin(self, name: str) -> None:
        self._close()
        count = self._times.get(name, 0) + 1
        self._times[name] = count
        named = name if count == 1 else f"{name}:{count}"
        self._scene = Scene(self._options.work, self._file, named, language=self._options.language)
        self._led.clear()
        self._ended = False
        self._forks = Forks()

    def _at_label(self, line: str) -> None:
        """A label to which nothing leads is a mark inside a scene."""
        match = _LABEL.match(line)
        if match is None:
            return
        self._page.turn()
        name = match[1].lower()
        self._label = name
        self._defining = name == "define"
        told = self._scene.scene or self._scene.lines
        if self._ended or not told or name in self._labels.used:
            if not self._ended:
                self._lead(name)
            self._begin(name)

    def _alive(self, line: int) -> Scene:
        """The scene of what stands on this line: one of its own behind a jump."""
        if self._ended:
            self._begin(f"{self._label}@{line}")
        return self._scene

    def _lead(self, place: str) -> None:
        if place and place not in self._led:
            self._led.add(place)
            self._scene.next.append(place)

    def _go(self, places: Iterable[str], *, ends: bool) -> None:
        if ends:
            self._page.turn()
        for place in places:
            self._lead(place)
        self._ended = self._ended or ends

    # --- commands

    def _commands(self, line: str, number: int, start: int) -> None:
        """A line of commands; text may stand behind them."""
        conditional = False
        for match in _COMMAND.finditer(line):
            command = match[0].lstrip()
            if command and (command[0] > "\x7f" or command[0] in ">`^"):
                self._page.say(line[match.end() - len(command) :], number, start)
                return
            if word := _WORD.match(command):
                name = word[0].lower()
                if name in _CONDITIONS:
                    conditional = True
                    if inner := _CONDITIONAL.search(command):
                        command, name = command[inner.start() :], inner[0].lower()
                self._command(name, command, number, start, conditional=conditional)
            if line[match.end() : match.end() + 1] == ";":
                return

    def _command(self, name: str, command: str, number: int, start: int, *, conditional: bool) -> None:
        if name == "goto":
            self._go(self._targets(command)[:1], ends=not conditional)
        elif name in ("gosub", "tablegoto"):
            self._go(self._targets(command), ends=False)
        elif name in ("return", "end", "reset"):
            self._go((), ends=not conditional)
        elif name in _CHOOSING:
            self._offer(command, number)
            self._ended = name in ("select", "csel") and not conditional
        elif name == "textclear":
            self._page.turn()
        elif name in ("br", "br2"):
            self._page.newline()
        elif name in ("puttext", "wave") or name.startswith("dwave"):
            if string := _STRING.search(command):
                if name == "puttext":
                    self._page.say(string[1] or "/", number, start)
                else:
                    self._play(string[1], command)
        elif name in self._labels.own:
            self._losses.unknown[name] += 1

    def _targets(self, command: str) -> list[str]:
        return [self._labels.place(label, self._file) for label in _MENTIONED.findall(command)]

    def _play(self, file: str, command: str) -> None:
        file = file.rpartition(";")[2].replace("\\", "/")  # what stands before `;` says how it is read
        if self._page.voices.is_voice(file):
            channel = command.partition(",")[0].rpartition(" ")[2]
            self._page.voices.record(file, channel, "")

    def _offer(self, command: str, number: int) -> None:
        """`select "text",*label,…`: lines in arms of one fork, and the scene's choices."""
        self._page.turn()
        scene = self._alive(number)
        fork = self._forks.open("")
        for words, place in self._offered(command):
            shown = "".join(each.text for each in pieces(words) if isinstance(each, Letters)).strip(BLANKS)
            if not shown:
                self._losses.skip("choice without words")
                self._lead(place)
                continue
            source = Source(self._file, number)
            line = other_line(len(scene.lines), "choice", shown, words, source, branch=fork.arm())
            scene.lines.append(line)
            scene.choices.append(Choice(line.text, place))
            self._losses.emit()

    def _offered(self, command: str) -> Iterator[tuple[str, str]]:
        """Words of choices and where they lead, "" for those that lead nowhere by themselves."""
        words = ""
        for double, single, label, variable in _ARGUMENT.findall(command):
            if label:
                yield words, self._labels.place(label, self._file)
                words = ""
                continue
            if words:
                yield words, ""
            words = double or single or (f"${variable}" if variable else "")
        if words:
            yield words, ""
