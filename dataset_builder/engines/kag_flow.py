"""The scenes of a `.ks` file, and how they lead to one another."""

from dataset_builder.engines import ReadOptions
from dataset_builder.engines.kag_branches import Branches
from dataset_builder.engines.kag_page import NOBODY, Plate
from dataset_builder.engines.kag_script import Script
from dataset_builder.engines.kag_tags import Label
from dataset_builder.engines.kag_values import is_variable
from dataset_builder.schema import Choice, Line, Scene


class Flow:
    """The scene that is being told, and those that are finished."""

    def __init__(self, script: Script, options: ReadOptions) -> None:
        self._script = script
        self._options = options
        self._label = ""
        self._times = {"": 1}  # label -> how often it has stood in the file; its top has no name
        self._names = {""}  # of labels and scenes
        self._led: set[str] = set()  # where the scene leads
        self._plates: dict[str, Plate] = {}  # label -> who was named where the script leads there
        self.branches = Branches()
        self.ended = False  # nothing leads from the last statement to the next
        self._dead = False  # nothing leads to the scene
        self.finished: list[Scene] = []
        self.scene = self._empty("", "")

    def _empty(self, name: str, title: str) -> Scene:
        return Scene(self._options.work, self._script.file, name, title, self._options.language)

    def _begin(self, name: str, title: str = "") -> None:
        self.close()
        self.scene = self._empty(name, title)
        self.ended = self._dead = False
        self.branches.clear()
        self._led.clear()

    def close(self) -> None:
        """The scene is finished. One without lines is kept where something leads to it and it leads on."""
        old, learned = self.scene, self._script.learned
        if old.scene:
            wanted = old.scene in learned.targets
        else:
            wanted = self._script.file.rpartition("/")[2].lower() in learned.storages
        if old.lines or (old.next and wanted):
            self.finished.append(old)

    def at_label(self, label: Label, plate: Plate) -> Plate:
        """A label opens a scene where something leads to it or the play has ended; else it marks a place for
        saving in the midst of one. As in KAG, a label without a name repeats the last, and repeats are
        numbered.

        `plate` is shown before it; what is shown behind it is returned: where the play has ended, what was
        shown where the script leads here.
        """
        self._label = label.name or self._label
        name = self._unique(self._label)
        title = "" if label.caption.startswith("&") else label.caption
        if self.ended:
            self._begin(name, title)
            return self._plates.get(name, NOBODY)
        told = self.scene.scene or self.scene.lines
        if not told or self._dead or name in self._script.learned.targets:
            self.lead(name, plate)
            self._begin(name, title)
        else:
            self.scene.title = self.scene.title or title
        return plate

    def _unique(self, name: str) -> str:
        """The name, or `name:2` where it was used before."""
        count = self._times.get(name, 0) + 1
        numbered = name if count == 1 else f"{name}:{count}"
        while numbered in self._names:
            count += 1
            numbered = f"{name}:{count}"
        self._times[name] = count
        self._names.add(numbered)
        return numbered

    def alive(self, line: int) -> Scene:
        """The scene of what stands on this line. Behind a jump and before any label it is one of its own, to
        which nothing leads."""
        if self.ended and not self.branches:
            self._begin(self._unique(f"{self._label}@{line}"))
            self._dead = True
        return self.scene

    def place(self, storage: str, label: str) -> str:
        """A scene's name or `file#scene`; "" where only the running script knows."""
        if is_variable(storage) or is_variable(label):
            return ""
        label = label.removeprefix("*")
        if not storage:
            return label
        file = self._script.find(storage)
        return label if label and file == self._script.file else f"{file}#{label}"

    def lead(self, place: str, plate: Plate) -> None:
        """The scene leads there, with this plate on the screen."""
        if place:
            self._plates.setdefault(place, plate)
            if place not in self._led:
                self._led.add(place)
                self.scene.next.append(place)

    def offer(self, said: Line, place: str, plate: Plate) -> None:
        """A choice that leads there."""
        self._plates.setdefault(place, plate)
        self.scene.lines.append(said)
        self.scene.choices.append(Choice(said.text, place))
