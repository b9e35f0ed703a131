"""Ren'Py's statements as scenes: a scene begins at each global label, and local labels stay in it.

A label inside a choice or a condition begins no scene either; what jumps there leads to the scene around it.
Below such a label, what only jumps from further up lead to is one more arm of the choice above it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from dataset_builder.engines import ReadOptions
from dataset_builder.engines.renpy_characters import NARRATOR, Cast, Speaker
from dataset_builder.engines.renpy_nodes import (
    Call,
    If,
    Jump,
    Label,
    Menu,
    MenuItem,
    Node,
    Return,
    Say,
    Script,
    Voice,
    While,
)
from dataset_builder.engines.renpy_text import readable
from dataset_builder.engines.renpy_translations import Identifiers, Translations
from dataset_builder.lines import join_breaks, other_line, spoken
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Kind, Line, Ruby, Scene, Source

_FILE = re.compile(r"[\w/-]++\.[A-Za-z][A-Za-z0-9]{1,3}")  # what a statement of the game's own may open


@dataclass(frozen=True, slots=True)
class Game:
    """What all files of a game share. `places` tells the file and the scene of each label."""

    cast: Cast
    translations: Translations
    places: dict[str, tuple[str, str]]
    statements: set[str]  # words that its Python makes statements
    options: ReadOptions
    identifiers: Identifiers = field(default_factory=Identifiers)


def places(scripts: Iterable[Script]) -> dict[str, tuple[str, str]]:
    """The file and the scene of every label; the first of a name that is there twice."""
    found: dict[str, tuple[str, str]] = {}
    for script in scripts:
        scene, names = "", _Names()
        for label, begins in _labels(script.nodes, inside=False):
            scene = names.new(label.name) if begins else scene
            found.setdefault(label.name, (script.name, scene))
    return found


def _labels(nodes: list[Node], *, inside: bool) -> Iterator[tuple[Label, bool]]:
    """All labels in order, and whether a scene begins there; `inside` a choice or condition none does."""
    for node in nodes:
        match node:
            case Label():
                yield node, not inside and _is_place(node)
                yield from _labels(node.block, inside=inside)
            case If():
                for arm in node.arms:
                    yield from _labels(arm, inside=True)
            case While():
                yield from _labels(node.block, inside=True)
            case Menu():
                for item in node.items:
                    yield from _labels(item.block or [], inside=True)


def _is_place(label: Label) -> bool:
    return not label.within and "." not in label.name


class _Names:
    """Names of a file's scenes, each of which is there once."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def new(self, label: str) -> str:
        self._seen[label] += 1
        return label if self._seen[label] == 1 else f"{label} ({self._seen[label]})"


def scenes(script: Script, game: Game, losses: Losses) -> list[Scene]:
    """The scenes of one file in which something is read, or which lead on to others."""
    return _Reader(script, game, losses).scenes()


@dataclass(slots=True)
class _Draft:
    """A line to which `extend` may still add. `parts` are texts with their translations; a choice has a
    `target`, which may be ""."""

    number: int
    speaker: Speaker
    branch: str
    parts: list[tuple[str, dict[str, str]]]
    voice: tuple[str, ...] = ()
    target: str | None = None


class _Reader:
    """Goes through a file from top to bottom."""

    def __init__(self, script: Script, game: Game, losses: Losses) -> None:
        self._script = script
        self._game = game
        self._losses = losses
        self._names = _Names()
        self._scenes: list[Scene] = []
        self._begin("")
        self._speaker = NARRATOR  # of the last line
        self._voice: tuple[str, ...] = ()  # is heard with the next line
        self._left_for = ""  # the label to which the last jump leads

    def scenes(self) -> list[Scene]:
        self._game.identifiers.begin(self._script.identifiers)
        self._walk(self._script.nodes, "")
        self._finish()
        return self._scenes

    def _begin(self, name: str) -> None:
        self._name = name
        self._drafts: list[_Draft] = []
        self._next: dict[str, None] = {}  # in the order in which they are found
        self._forks: Counter[str] = Counter()  # how many a branch has had
        self._arms: dict[str, int] = {}  # how many a fork has had

    def _finish(self) -> None:
        options = self._game.options
        scene = Scene(options.work, self._script.name, self._name, language=options.language)
        for draft in self._drafts:
            if line := self._line(draft, len(scene.lines)):
                scene.lines.append(line)
                self._losses.emit()
                if draft.target is not None:
                    scene.choices.append(Choice(line.text, draft.target))
        scene.next = list(self._next)
        if scene.lines or (scene.next and scene.scene):  # no jump leads above all labels
            self._scenes.append(scene)

    # --- from node to node

    def _walk(self, nodes: list[Node], branch: str) -> bool:
        """Goes through a block; whether the story goes on behind it."""
        goes_on, here = True, branch
        for node in nodes:
            match node:
                case Say():
                    self._say(node, here)
                case Voice():
                    self._voice = (node.file,)
                case Label():
                    if not branch and _is_place(node):
                        self._enter_scene(node, reached=goes_on)
                        here = branch
                    elif not goes_on and self._left_for != node.name:
                        here = self._another_arm(branch)
                    if not node.hidden:
                        self._game.identifiers.enter(node.name)
                    goes_on = self._walk(node.block, here)
                case If():
                    goes_on = (self._alternatives(here, node.arms) or not node.exhaustive) and goes_on
                case Menu():
                    goes_on = self._menu(node, here) and goes_on
                case While():
                    self._walk(node.block, here)
                case Call():
                    self._lead_to(node.target)
                case Jump():
                    self._lead_to(node.target)
                    goes_on, self._left_for = False, node.target
                case Return():
                    goes_on, self._left_for = False, ""
        return goes_on

    def _enter_scene(self, label: Label, *, reached: bool) -> None:
        name = self._names.new(label.name)
        if reached:
            self._next[name] = None
        self._finish()
        self._begin(name)

    def _menu(self, menu: Menu, branch: str) -> bool:
        choices: list[tuple[MenuItem, list[Node]]] = []
        for item in menu.items:
            if item.block is None:
                self._drafts.append(_Draft(item.line, NARRATOR, branch, [self._string(item.text)]))
            else:
                choices.append((item, item.block))
        return self._alternatives(branch, [block for _, block in choices], [item for item, _ in choices])

    def _alternatives(
        self, branch: str, blocks: Sequence[list[Node]], choices: Sequence[MenuItem] = ()
    ) -> bool:
        """Goes through the arms of a fork, each of them a branch; whether the story goes on behind any."""
        before = len(self._drafts)
        fork = self._fork(branch)
        goes_on = not blocks
        for number, block in enumerate(blocks):
            arm = f"{fork}.{number + 1}"
            if choices:
                item = choices[number]
                target = next((self._place(node.target) for node in block if isinstance(node, Jump)), "")
                said = [self._string(item.text)]
                self._drafts.append(_Draft(item.line, NARRATOR, arm, said, target=target))
            goes_on = self._walk(block, arm) or goes_on
        if len(self._drafts) == before:
            self._forks[branch] -= 1  # nothing is read in any of them
        else:
            self._arms[fork] = len(blocks)
        return goes_on

    def _fork(self, branch: str) -> str:
        """The name of a branch's next fork."""
        self._forks[branch] += 1
        return f"{branch}/{self._forks[branch]}" if branch else f"{self._forks[branch]}"

    def _another_arm(self, branch: str) -> str:
        """For what only jumps lead to: an arm of the fork right above it, or of a fork of its own."""
        fork = f"{branch}/{self._forks[branch]}" if branch else f"{self._forks[branch]}"
        if not self._drafts or not self._drafts[-1].branch.startswith(f"{fork}."):
            fork = self._fork(branch)
        self._arms[fork] = self._arms.get(fork, 0) + 1
        return f"{fork}.{self._arms[fork]}"

    def _lead_to(self, label: str) -> None:
        if place := self._place(label):
            self._next[place] = None

    def _place(self, label: str) -> str:
        """The scene of a label as other scenes name it; "" where it is not known."""
        file, scene = self._game.places.get(label, ("", ""))
        return scene if file == self._script.name else f"{file}#{scene}" if file else ""

    # --- what is read

    def _say(self, say: Say, branch: str) -> None:
        part = say.what, self._game.translations.line(self._game.identifiers.of(say), say.what)
        voice, self._voice = self._voice, ()
        speaker = self._game.cast.speaker(say.who, say.shown_as)
        if speaker is None and say.who == "extend":
            last = self._drafts[-1] if self._drafts else None
            if last and last.branch == branch and last.target is None:
                last.parts.append(part)
                last.voice += voice
                return
            speaker = self._speaker
        elif speaker is None:
            if not say.certain or say.who in self._game.statements or _FILE.fullmatch(say.what):
                if say.code:
                    self._losses.skip("text in a statement of the game's own")
                return
            self._losses.unknown[f"speaker `{say.who}`"] += 1
            speaker = Speaker(say.who or "", say.who or "")
        self._speaker = speaker
        self._drafts.append(_Draft(say.line, speaker, branch, [part], voice))

    def _line(self, draft: _Draft, index: int) -> Line | None:
        read = [self._readable(text) for text, _ in draft.parts]
        text = "".join(part for part, _ in read)
        if not text.strip():
            self._losses.skip("empty text")
            return None
        raw = "".join(text for text, _ in draft.parts)
        source = Source(self._script.name, draft.number)
        languages = dict.fromkeys(language for _, said in draft.parts for language in said)
        translations = {
            language: "".join(self._readable(said.get(language, text))[0] for text, said in draft.parts)
            for language in languages
        }
        ruby = tuple(ruby for _, rubies in read for ruby in rubies)
        speaker = draft.speaker
        # Nobody's words in these brackets are a notice (`『门还是锁着。』`): somebody's would have a plate.
        notice = not speaker.name and text.strip().startswith("『")
        if draft.target is not None or notice:
            kind: Kind = "narration" if draft.target is None else "choice"
            translations = {language: join_breaks(said).strip() for language, said in translations.items()}
            line = other_line(index, kind, text, raw, source, translations=translations, branch=draft.branch)
            line.ruby, line.voice = ruby, draft.voice
            return line
        before, behind = (self._readable(around)[0] for around in (speaker.prefix, speaker.suffix))
        return spoken(
            index,
            speaker.name,
            f"{before}{text}{behind}",
            raw,
            source,
            display=speaker.shown,
            ruby=ruby,
            voice=draft.voice,
            speakers=speaker.everybody,
            translations={language: f"{before}{said}{behind}" for language, said in translations.items()},
            branch=draft.branch,
        )

    def _string(self, text: str) -> tuple[str, dict[str, str]]:
        return text, self._game.translations.string(text)

    def _readable(self, text: str) -> tuple[str, tuple[Ruby, ...]]:
        return readable(text, self._game.cast.value, self._losses)
