"""Compiled scenes of KiriKiri Z with Wamsoft's KAGEX: `x.ks.scn`, a PSB, or FreeMote's `x.ks.json` of it.

A file's root holds `scenes`, a scene its `label`, `title`, `texts`, `selects` and `nexts`; the stage
directions in `lines`, most of a file, are never read. A text has one of three shapes, and one file may hold
all of them::

    [name, shown, "text", voice, …]
    [name, shown, [[shown, "text", …], …one for each language], voice, …]
    [name, [[shown, "text", …], …one for each language], voice, …]

`name` is who speaks, `shown` what the name plate says where that is something else, so that `？？？` is no
riddle here. `voice` is a file, or a list of `{name, voice}` when several speak at once.

Facts: FreeMote, msg-tool, and Serifu.org's notes on games of Yuzusoft, NEKO WORKs and Lose.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from dataset_builder.decode import decode
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.engines.psb import Psb, PsbList, PsbObject
from dataset_builder.engines.psb_shell import is_shell
from dataset_builder.engines.scn_text import plain
from dataset_builder.errors import ScriptError
from dataset_builder.lines import clean_name, is_mask, other_line, spoken, together
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Scene, Source
from dataset_builder.work import ScriptFile

NAME = "scn"
TITLE = "KiriKiri Z scenes (PSB)"

_LISTS = (list, PsbList)
_OBJECTS = (dict, PsbObject)
_SCENES = re.compile(rb'"scenes"\s*:\s*\[')
_ENDINGS = re.compile(r"(?:\.ks|\.txt)?(?:\.scn|\.psb|\.json)?$")
# What games call their languages, where that is no BCP 47 tag.
_TAGS = {"jp": "ja", "cn": "zh", "chs": "zh", "tw": "zh-Hant", "cht": "zh-Hant", "kr": "ko"}
_PHONE = ("phonechat", "comumode")  # chats on a phone, somewhere inside the stage directions
_NO_PLATE = "＠"
_GALLERY = -1  # type of an exit that is taken when a scene is seen again
_VOICES = 64  # in one text
_LANGUAGES = 32
_LONGEST_NAME = 200
_LONGEST_TEXT = 10_000


def sniff(name: str, head: bytes) -> float:
    name = name.lower()
    if is_shell(head):
        return 0.95 if name.endswith(".scn") else 0.9 if name.endswith(".psb") else 0
    if not name.endswith(".json") or name.endswith(".resx.json"):
        return 0
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") or b'"name"' not in head:
        return 0
    named = name.endswith((".ks.json", ".txt.json", ".scn.json"))
    if _SCENES.search(head):
        return 0.9 if named else 0.8
    return 0.6 if named and b'"hash"' in head else 0  # keys are sorted: the scenes come last


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    """The scenes that have lines, choices or a way on. A way into another file that names no scene leads to
    `file#`, its first."""
    storages: dict[str, str] = {}
    for file in files:
        storages.setdefault(_storage(file.name), file.name)
    return read_each(files, options, losses, lambda file: _Script(file, options, losses, storages).scenes())


def _storage(name: str) -> str:
    """A script's name as scripts use it for one another: without folders, endings and case."""
    return _ENDINGS.sub("", name.rpartition("/")[2].lower(), count=1)


class _Script:
    """One file, and what its scenes have in common."""

    def __init__(
        self, file: ScriptFile, options: ReadOptions, losses: Losses, storages: dict[str, str]
    ) -> None:
        self._file = file
        self._options = options
        self._losses = losses
        self._storages = storages
        self._own = {_storage(file.name)}
        self._languages: tuple[str, ...] = (options.translation,) if options.translation else ()
        self._unnamed = False  # whether it was said that there are more languages than names

    def scenes(self) -> Iterator[Scene]:
        root = self._root()
        if not isinstance(root, _OBJECTS):
            raise ScriptError(self._file.name, 0, "it holds no scenes")
        scenes = root.get("scenes")
        if not isinstance(scenes, _LISTS):
            self._losses.skip("a PSB without scenes")
            return
        if isinstance(name := root.get("name"), str):
            self._own.add(_storage(name))
        if isinstance(languages := root.get("languages"), _LISTS):
            names = [each for each in languages[:_LANGUAGES] if isinstance(each, str)]
            self._languages = tuple(_TAGS.get(each.lower(), each) for each in names) or self._languages
        labels: set[str] = set()
        for number in range(len(scenes)):
            path = f"scenes/{number}"
            try:
                scene = self._scene(scenes[number], path)
            except ScriptError as error:
                self._lost("broken scene", path, error.reason)
                continue
            if not scene.scene or scene.scene in labels:
                scene.scene += f"~{number}"
            labels.add(scene.scene)
            if scene.lines or scene.next:
                self._losses.emit(len(scene.lines))
                yield scene

    def _root(self) -> Any:
        data = self._file.read()
        if is_shell(data):
            psb = Psb(data, self._file.name, self._options.psb_key)
            for odd in psb.odd:
                self._losses.warn(self._file.name, odd)
            root: Any = psb.root
            chats = any(name in psb for name in _PHONE)
        else:
            text = decode(data, self._file.name, self._options.encoding)
            try:
                root = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                raise ScriptError(self._file.name, error.lineno, f"no JSON: {error.msg}") from error
            chats = any(f'"{name}"' in text for name in _PHONE)
        if chats:
            self._losses.warn(self._file.name, "its phone chats are not read")
        return root

    def _scene(self, told: Any, path: str) -> Scene:
        if not isinstance(told, _OBJECTS):
            raise ScriptError(self._file.name, 0, "a scene that is no object")
        label, title = told.get("label"), told.get("title")
        if isinstance(title, _LISTS):
            title = title[0] if len(title) else None
        scene = Scene(
            work=self._options.work,
            file=self._file.name,
            scene=label if isinstance(label, str) else "",
            title=self._plain(title).strip() if isinstance(title, str) else "",
            language=self._options.language,
        )
        for key, read, lost in (
            ("texts", self._text, "broken text"),
            ("selects", self._select, "broken choice"),
            ("nexts", self._next, "broken way on"),
        ):
            items: Any = told.get(key)
            for number in range(len(items) if isinstance(items, _LISTS) else 0):
                place = f"{path}/{key}/{number}"
                try:
                    read(scene, items[number], place)
                except ScriptError as error:
                    self._lost(lost, place, error.reason)
        scene.next = list(dict.fromkeys(scene.next))
        return scene

    def _text(self, scene: Scene, told: Any, place: str) -> None:
        """One text, if it is one, as a line at the scene's end."""
        parts = told[:4] if isinstance(told, _LISTS) else ()
        name, shown, said, voice = (*parts, None, None, None, None)[:4]
        if isinstance(shown, _LISTS):
            shown, said, voice = None, shown, said
        translations: dict[str, str] = {}
        if isinstance(said, _LISTS):
            shown, said, translations = self._in_languages(said, shown)
        if not isinstance(said, str) or not (name is None or isinstance(name, str)):
            self._losses.skip("no text")
            return
        name, shown = name or "", shown if isinstance(shown, str) else ""
        if len(said) > _LONGEST_TEXT or max(len(name), len(shown)) > _LONGEST_NAME:
            self._losses.skip("longer than a text or a name can be")
            return
        heard, recordings = _voices(voice)
        hidden = _NO_PLATE in (name, shown)
        if name == _NO_PLATE:
            name = ""
        if len(heard) == 1 and heard[0] != name and (not name or is_mask(name)):
            name, shown = heard[0], shown or name
        text, ruby = plain(said, self._losses.unknown)
        line = spoken(
            len(scene.lines),
            name,
            text,
            said,
            Source(self._file.name, 0, place),
            display=shown,
            ruby=ruby,
            voice=recordings,
            speakers=heard if len(heard) > 1 else _together(name, shown),
            translations=translations,
        )
        if hidden:
            line.display_name = None
        if line.text:
            scene.lines.append(line)
        else:
            self._losses.skip("empty text")

    def _in_languages(self, entries: Any, shown: Any) -> tuple[Any, Any, dict[str, str]]:
        """What the plate shows and the text in the first language, and the text in the others."""
        if len(entries) > 1 + len(self._languages) and not self._unnamed:
            self._unnamed = True
            self._losses.warn(self._file.name, "it has texts in languages that it does not name")
        said = None
        translations = {}
        for number, entry in enumerate(entries[: 1 + len(self._languages)]):
            plate, text = entry[:2] if isinstance(entry, _LISTS) and len(entry) > 1 else (None, None)
            if number == 0:
                said, shown = text, plate or shown
            elif isinstance(text, str) and 0 < len(text) <= _LONGEST_TEXT:
                translations[self._languages[number - 1]] = self._plain(text)
        return shown, said, translations

    def _select(self, scene: Scene, told: Any, place: str) -> None:
        """One choice, as a line at the scene's end too: each is another arm of the same fork."""
        said = told.get("text") if isinstance(told, _OBJECTS) else None
        languages = told.get("language") if isinstance(told, _OBJECTS) else None
        translations = {}
        if isinstance(languages, _LISTS):
            for number, entry in enumerate(languages[: 1 + len(self._languages)]):
                text = entry.get("text") if isinstance(entry, _OBJECTS) else None
                if not isinstance(text, str) or len(text) > _LONGEST_TEXT:
                    continue
                if number == 0:
                    said = text
                else:
                    translations[self._languages[number - 1]] = self._plain(text)
        if not isinstance(said, str) or len(said) > _LONGEST_TEXT:
            self._losses.skip("no text")
            return
        branch = f"1.{len(scene.choices) + 1}"
        line = other_line(
            len(scene.lines),
            "choice",
            self._plain(said),
            said,
            Source(self._file.name, 0, place),
            translations=translations,
            branch=branch,
        )
        if not line.text:
            self._losses.skip("empty text")
            return
        scene.lines.append(line)
        scene.choices.append(Choice(line.text, self._target(told)))

    def _next(self, scene: Scene, told: Any, place: str) -> None:
        if not isinstance(told, _OBJECTS) or told.get("type") == _GALLERY:
            return
        if target := self._target(told):
            scene.next.append(target)

    def _target(self, told: Any) -> str:
        """Where a choice or an exit leads: to `target` in the file `storage`; each may be missing."""
        storage, label = told.get("storage"), told.get("target")
        label = label if isinstance(label, str) else ""
        if not isinstance(storage, str) or not storage or (file := _storage(storage)) in self._own:
            return label
        return f"{self._storages.get(file, storage)}#{label}"

    def _plain(self, text: str) -> str:
        return plain(text, self._losses.unknown)[0]

    def _lost(self, what: str, path: str, why: str) -> None:
        self._losses.skip(what)
        self._losses.warn(f"{self._file.name} {path}", why)


def _voices(told: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who speaks, where a recording says so, and the recordings. `a|b` is one or the other."""
    if isinstance(told, str):
        return (), tuple(filter(None, told.split("|")))
    if not isinstance(told, _LISTS):
        return (), ()
    names: dict[str, None] = {}
    recordings: list[str] = []
    for entry in told[:_VOICES]:
        if not isinstance(entry, _OBJECTS):
            continue
        name, voice = entry.get("name"), entry.get("voice")
        if isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME:
            names[clean_name(name)] = None
        if isinstance(voice, str):
            recordings += filter(None, voice.split("|"))
    return tuple(names), tuple(recordings)


def _together(name: str, shown: str) -> tuple[str, ...]:
    """Everybody on a plate that shows several people, if who speaks is one of them."""
    if not name or not shown or name == shown:
        return ()
    everybody = together(clean_name(shown))
    return everybody if len(everybody) > 1 and clean_name(name) in everybody else ()
