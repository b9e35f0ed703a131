"""Ren'Py's statements as scenes: a scene begins at each global label, and local labels stay in it.

A label inside a choice or a condition begins no scene either; what jumps there leads to the scene around it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
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


@dataclass(frozen=True, slots=True)
class Work:
    """What all files of a work share. `places` tells the file and the scene of each label."""

    cast: Cast
    translations: Translations
    places: dict[str, tuple[str, str]]
    statements: set[str]
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


@dataclass(slots=True)
class _Draft:
    """A line to which `extend` may still add. `parts` are texts with their translations."""

    number: int
    speaker: Speaker
    branch: str
    parts: list[tuple[str, dict[str, str]]]
    voice: tuple[str, ...] = ()
    choice: bool = False


class Play:
    """The scenes of one file, read from top to bottom."""

    def __init__(self, script: Script, work: Work, losses: Losses) -> None:
        self._script = script
        self._work = work
        self._losses = losses
        self._names = _Names()
        self._scenes: list[Scene] = []
        self._begin("")
        self._speaker = NARRATOR  # of the last line
        self._voice: tuple[str, ...] = ()  # is heard with the next line

    def scenes(self) -> list[Scene]:
        """Those in which something is read, or which lead on to others."""
        self._work.identifiers.begin(self._script.identifiers)
        self._walk(self._script.nodes, "")
        self._finish()
        return self._scenes

    def _begin(self, name: str) -> None:
        self._scene = Scene(
            self._work.options.work, self._script.name, name, language=self._work.options.language
        )
        self._drafts: list[_Draft] = []
        self._alternatives: Counter[str] = Counter()  # how many a branch has had

    def _finish(self) -> None:
        for draft in self._drafts:
            if line := self._line(draft, len(self._scene.lines)):
                self._scene.lines.append(line)
                self._losses.emit()
        if self._scene.lines or (self._scene.next and self._scene.scene):  # no jump leads above all labels
            self._scenes.append(self._scene)

    # --- from node to node

    def _walk(self, nodes: list[Node], branch: str) -> bool:
        """Goes through a block; whether the story goes on behind it."""
        goes_on = True
        for node in nodes:
            match node:
                case Say():
                    self._say(node, branch)
                case Voice():
                    self._voice = (node.file,)
                case Label():
                    goes_on = self._label(node, branch, reached=goes_on)
                case If():
                    arms = self._arms(branch, [(None, arm) for arm in node.arms])
                    goes_on = goes_on and (any(arms) or not node.exhaustive)
                case Menu():
                    goes_on = self._menu(node, branch) and goes_on
                case While():
                    self._walk(node.block, branch)
                case Call():
                    self._lead_to(node.target)
                case Jump():
                    self._lead_to(node.target)
                    goes_on = False
                case Return():
                    goes_on = False
        return goes_on

    def _label(self, label: Label, branch: str, *, reached: bool) -> bool:
        if not label.hidden:
            self._work.identifiers.enter(label.name)
        if not branch and _is_place(label):
            name = self._names.new(label.name)
            if reached and name not in self._scene.next:
                self._scene.next.append(name)
            self._finish()
            self._begin(name)
        return self._walk(label.block, branch)

    def _menu(self, menu: Menu, branch: str) -> bool:
        choices: list[tuple[MenuItem | None, list[Node]]] = []
        for item in menu.items:
            if item.block is None:
                self._drafts.append(_Draft(item.line, NARRATOR, branch, [self._string(item.text)]))
            else:
                choices.append((item, item.block))
        return any(self._arms(branch, choices)) or not choices

    def _arms(self, branch: str, arms: list[tuple[MenuItem | None, list[Node]]]) -> list[bool]:
        """Goes through alternatives, each of which is a branch; for each, whether the story goes on."""
        before = len(self._drafts)
        self._alternatives[branch] += 1
        start = f"{branch}/{self._alternatives[branch]}" if branch else f"{self._alternatives[branch]}"
        go_on = []
        for number, (item, block) in enumerate(arms, 1):
            arm = f"{start}.{number}"
            if item:
                text = self._string(item.text)
                self._drafts.append(_Draft(item.line, NARRATOR, arm, [text], choice=True))
                target = next((self._place(node.target) for node in block if isinstance(node, Jump)), "")
                self._scene.choices.append(Choice(self._readable(item.text)[0].strip(), target))
            go_on.append(self._walk(block, arm))
        if len(self._drafts) == before:
            self._alternatives[branch] -= 1  # nothing is read in any of them
        return go_on

    def _lead_to(self, label: str) -> None:
        place = self._place(label)
        if place and place not in self._scene.next:
            self._scene.next.append(place)

    def _place(self, label: str) -> str:
        """The scene of a label as other scenes name it; "" where it is not known."""
        file, scene = self._work.places.get(label, ("", ""))
        return scene if file == self._script.name else f"{file}#{scene}" if file else ""

    # --- what is read

    def _say(self, say: Say, branch: str) -> None:
        part = say.what, self._work.translations.line(self._work.identifiers.of(say), say.what)
        voice, self._voice = self._voice, ()
        speaker = self._work.cast.speaker(say.who, say.shown_as)
        if speaker is None and say.who == "extend":
            last = self._drafts[-1] if self._drafts else None
            if last and last.branch == branch and not last.choice:
                last.parts.append(part)
                last.voice += voice
                return
            speaker = self._speaker
        elif speaker is None:
            if not say.certain or say.who in self._work.statements:
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
        if draft.choice or notice:
            kind: Kind = "choice" if draft.choice else "narration"
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
        return text, self._work.translations.string(text)

    def _readable(self, text: str) -> tuple[str, tuple[Ruby, ...]]:
        return readable(text, self._work.cast.value, self._losses)
