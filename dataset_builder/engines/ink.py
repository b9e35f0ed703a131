"""Ink, inkle's script language for stories: `.ink` files.

Facts from "Writing with ink" (https://github.com/inkle/ink/blob/master/Documentation/WritingWithInk.md).
A scene is a knot or a stitch, named `knot` or `knot.stitch`; what stands before the first knot is the scene
"". Ink has no speakers: they come from `Name: text` and from tags `# speaker: Name`, which last until the
next one or the knot's end. Alternatives inside a line are read as their first; a line that is nothing but
alternatives, as arms.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from dataset_builder.decode import decode
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.engines.ink_weave import Weave
from dataset_builder.engines.targets import Elsewhere
from dataset_builder.report import Losses
from dataset_builder.schema import Scene
from dataset_builder.work import ScriptFile

NAME = "ink"
TITLE = "Ink"

_COMMENT = re.compile(r"//[^\n]*|/\*[^*]*(?:\*(?!/)[^*]*)*(?:\*/)?")
_KNOT = re.compile(r"\s*={2,}\s*(function\s+)?(\w+)")
_STITCH = re.compile(r"\s*=(?!=)\s*(\w+)\s*(?:\(.*)?$")
_HEADER = re.compile(r"^[ \t]*(={1,9})[ \t]*(function[ \t]+)?(\w+)", re.MULTILINE)
_SYNTAX = re.compile(rb"^\s*(?:={2,}\s*\w|->|<-|[*+-]\s|~\s|VAR\s|CONST\s|LIST\s|INCLUDE\s)", re.MULTILINE)


def sniff(name: str, head: bytes) -> float:
    if not name.lower().endswith(".ink") or b"\0" in head:
        return 0.0
    return 0.95 if _SYNTAX.search(head) else 0.6


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    elsewhere = Elsewhere(files, options.encoding, _scene_names)
    yield from read_each(files, options, losses, lambda file: _read(file, options, losses, elsewhere))


def _read(file: ScriptFile, options: ReadOptions, losses: Losses, elsewhere: Elsewhere) -> Iterator[Scene]:
    text = decode(file.read(), file.name, options.encoding)
    if "/" in text:
        text = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text)
    story = _Story(file.name, options, losses)
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip()[:1] != "=" or not story.header(line):
            story.weave.read(line, number)
    yield from story.scenes(elsewhere)


def _scene_names(text: str) -> Iterator[str]:
    knot = ""
    for bar, function, name in _HEADER.findall(text):
        if len(bar) > 1:
            knot = name
        if not function:
            yield name if len(bar) > 1 else f"{knot}.{name}"


class _Story:
    """The knots of one file."""

    def __init__(self, file: str, options: ReadOptions, losses: Losses) -> None:
        self._file = file
        self._options = options
        self._losses = losses
        self._names = frozenset(options.names)
        self._weaves: dict[str, Weave] = {}
        self._counts: Counter[str] = Counter()
        self._knot = ""
        self.weave = self._begin("")

    def _begin(self, name: str, *, silent: bool = False) -> Weave:
        self._counts[name] += 1
        unique = f"{name}~{self._counts[name]}" if self._counts[name] > 1 else name
        scene = Scene(self._options.work, self._file, unique, language=self._options.language)
        weave = self._weaves[unique] = Weave(scene, self._losses, self._names, silent=silent)
        return weave

    def header(self, line: str) -> bool:
        """Whether a line begins a knot or a stitch, which is then `weave`."""
        if knot := _KNOT.match(line):
            self.weave.finish()
            self._knot = knot[2]
            self.weave = self._begin(self._knot, silent=bool(knot[1]))
            return True
        stitch = _STITCH.match(line)
        if not stitch:
            return False
        self.weave.finish()
        name = f"{self._knot}.{stitch[1]}" if self._knot else stitch[1]
        if self.weave.scene.scene == self._knot and self.weave.empty:
            self.weave.targets.append(name)  # a knot without text of its own begins with its first stitch
        self.weave = self._begin(name)
        return True

    def scenes(self, elsewhere: Elsewhere) -> Iterator[Scene]:
        """The scenes, once it is known where their diverts lead. Empty ones only where they lead on."""
        self.weave.finish()
        homes = self._homes()
        for weave in self._weaves.values():
            scene = weave.scene
            for choice in scene.choices:
                home = self._resolve(choice.target, scene.scene, homes, elsewhere) if choice.target else None
                choice.target = home if home and home != scene.scene else ""
            scene.next = self._next(weave, homes, elsewhere)
            if scene.lines or scene.choices or (scene.next and not weave.silent):
                yield scene

    def _homes(self) -> dict[str, str]:
        """Every name that a divert may use, with the scene that it leads to."""
        homes = {name: name for name in self._weaves if name}
        for name, weave in self._weaves.items():
            knot = name.partition(".")[0]
            for label in weave.labels:
                homes.setdefault(f"{name}.{label}" if name else label, name)
                homes.setdefault(f"{knot}.{label}" if knot else label, name)
        return homes

    def _next(self, weave: Weave, homes: dict[str, str], elsewhere: Elsewhere) -> list[str]:
        found: dict[str, None] = {}
        for target in weave.targets:
            home = self._resolve(target, weave.scene.scene, homes, elsewhere)
            if home is None:
                self._losses.unknown[f"-> {target}"] += 1
            elif home != weave.scene.scene:
                found[home] = None
        return list(found)

    def _resolve(self, target: str, scene: str, homes: dict[str, str], elsewhere: Elsewhere) -> str | None:
        """The scene that a divert in `scene` leads to; None if it is not known, such as a variable's."""
        knot = scene.partition(".")[0]
        for path in (f"{scene}.{target}", f"{knot}.{target}", target):
            if path in homes:
                return homes[path]
        return elsewhere.find(target, self._file) or None
