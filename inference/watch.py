"""The adapters in the characters' folders, as they come, change and are released while a server runs."""

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

from inference.adapters import WEIGHTS, AdapterCheck, AdapterVersion, version_folders
from inference.base import file_sha256
from inference.characters import CHARACTER_ID, load_character, served_name
from inference.errors import AdapterError, CharacterError
from inference.progress import say
from inference.release import Releases


class AdapterWatch:
    """What may be served: what a release names, or a card; all versions of a character without a release.

    Each refusal is said once, until the folder's files change. A version that nobody needs any more is due to
    be unloaded after `linger` seconds: a reply may still be written by it.
    """

    def __init__(self, characters: Path, check: AdapterCheck, linger: float) -> None:
        self.characters = characters
        self.check = check
        self.linger = linger
        self.accepted: dict[str, AdapterVersion] = {}  # by served name
        self._weights: dict[str, str] = {}  # served name -> sha256 that it has for as long as we run
        self._releases = Releases(say, every=0)
        self._cards: frozenset[str] = frozenset()  # served names that cards ask for
        self._seen: dict[Path, object] = {}  # folder -> its files when it was last judged
        self._settling: dict[Path, object] = {}  # folder -> its files at the last look: is it being copied?
        self._unneeded: dict[str, float] = {}  # served name -> since when

    def scan(self) -> None:
        """Judges all folders, before a start. The server that had others in memory is no more."""
        self._cards = _named_by_cards(self.characters)
        self._unneeded.clear()
        needed = self._needed()
        for name, adapter in list(self.accepted.items()):
            if not _holds(needed, adapter):
                self.forget(adapter)
                continue
            try:
                same = file_sha256(adapter.folder / WEIGHTS) == adapter.sha256
            except OSError:
                same = False
            if not same:
                del self.accepted[name]
                say(f"`{name}` is not served any more: its weights in `{adapter.folder}` are gone or others")
        for folder in needed:
            if self._seen.get(folder) != (files := _files(folder)):
                self._judge(folder, files)

    def look(self) -> list[AdapterVersion]:
        """New good versions, once their files have kept still between two looks."""
        new = []
        needed = self._needed()
        for folder in needed:
            files = _files(folder)
            if self._seen.get(folder) == files:
                continue
            if self._settling.get(folder) != files:
                self._settling[folder] = files
                continue
            self._settling.pop(folder)
            if (adapter := self._judge(folder, files)) is not None:
                new.append(adapter)
        unneeded = [name for name, adapter in self.accepted.items() if not _holds(needed, adapter)]
        self._unneeded = {name: self._unneeded.get(name, time.monotonic()) for name in unneeded}
        return new

    def due(self) -> list[AdapterVersion]:
        """Versions that nobody has needed for `linger` seconds."""
        now = time.monotonic()
        return [self.accepted[name] for name, since in self._unneeded.items() if now - since >= self.linger]

    def forget(self, adapter: AdapterVersion) -> None:
        """It is not served any more, and is judged anew if it is needed again."""
        self.accepted.pop(adapter.name, None)
        self._unneeded.pop(adapter.name, None)
        self._seen = {
            folder: files for folder, files in self._seen.items() if folder.absolute() != adapter.folder
        }

    def reject(self, adapter: AdapterVersion) -> None:
        """The server does not take it: it is judged anew when its files change."""
        self.accepted.pop(adapter.name, None)
        self._weights.pop(adapter.name, None)

    def _needed(self) -> list[Path]:
        return [
            folder
            for folder in version_folders(self.characters, self.check.base.id)
            if self._is_needed(folder)
        ]

    def _is_needed(self, folder: Path) -> bool:
        release = self._releases.of(folder.parent)
        name = served_name(folder.parents[2].name, folder.name)
        return release is None or name in release.named or name in self._cards

    def _judge(self, folder: Path, files: object) -> AdapterVersion | None:
        """The version if it is new and good. Says why not, once until its files change."""
        self._seen[folder] = files
        served = next((one for one in self.accepted.values() if one.folder == folder.absolute()), None)
        goes_on = f"; `{served.name}` goes on with what was loaded" if served else ""
        try:
            adapter = self.check.check(folder)
        except AdapterError as error:
            say(f"refused: {error}{goes_on}")
            return None
        if self._weights.setdefault(adapter.name, adapter.sha256) != adapter.sha256:
            say(
                f"refused: the weights of `{adapter.name}` are others than it was served with{goes_on}; "
                f"put new weights into a new folder, `v{adapter.number + 1}`"
            )
            return None
        if served is not None:
            return None
        self.accepted[adapter.name] = adapter
        return adapter


def _holds(folders: Iterable[Path], adapter: AdapterVersion) -> bool:
    return any(folder.absolute() == adapter.folder for folder in folders)


def _named_by_cards(characters: Path) -> frozenset[str]:
    """The served names that cards ask for; who cannot be read asks for none."""
    names = set()
    for folder in characters.iterdir() if characters.is_dir() else ():
        if CHARACTER_ID.fullmatch(folder.name):
            with contextlib.suppress(CharacterError):
                names.add(load_character(folder).model)
    return frozenset(name for name in names if name)


def _files(folder: Path) -> object:
    """What would be different if a file in the folder changed."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.iterdir())]
    return None
