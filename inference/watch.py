"""The adapters in the characters' folders, as they come and change while a server runs."""

import contextlib
from pathlib import Path

from inference.adapters import WEIGHTS, AdapterCheck, AdapterVersion, version_folders
from inference.base import file_sha256
from inference.errors import AdapterError
from inference.progress import say


class AdapterWatch:
    """What may be served. Each refusal is said once, until the folder's files change."""

    def __init__(self, characters: Path, check: AdapterCheck) -> None:
        self.characters = characters
        self.check = check
        self.accepted: dict[str, AdapterVersion] = {}  # by served name, which keeps its weights while we run
        self._seen: dict[Path, object] = {}  # folder -> its files when it was last judged
        self._settling: dict[Path, object] = {}  # folder -> its files at the last look: is it being copied?

    def scan(self) -> None:
        """Judges all folders, before a start."""
        for folder in version_folders(self.characters, self.check.base.id):
            if self._seen.get(folder) != (files := _files(folder)):
                self._judge(folder, files)
        for name, adapter in list(self.accepted.items()):
            try:
                same = file_sha256(adapter.folder / WEIGHTS) == adapter.sha256
            except OSError:
                same = False
            if not same:  # the server that had the old weights in memory is no more
                del self.accepted[name]
                say(f"`{name}` is not served any more: its weights in `{adapter.folder}` are gone or others")

    def look(self) -> list[AdapterVersion]:
        """New good versions, once their files have kept still between two looks."""
        new = []
        for folder in version_folders(self.characters, self.check.base.id):
            files = _files(folder)
            if self._seen.get(folder) == files:
                continue
            if self._settling.get(folder) != files:
                self._settling[folder] = files
                continue
            self._settling.pop(folder)
            if (adapter := self._judge(folder, files)) is not None:
                new.append(adapter)
        return new

    def _judge(self, folder: Path, files: object) -> AdapterVersion | None:
        """The version if it is new and good. Says why not, once until its files change."""
        self._seen[folder] = files
        served = next((one for one in self.accepted.values() if one.folder == folder.absolute()), None)
        try:
            adapter = self.check.check(folder)
        except AdapterError as error:
            say(f"refused: {error}" + (f"; `{served.name}` goes on with what was loaded" if served else ""))
            return None
        if served is not None:
            if served.sha256 != adapter.sha256:
                say(
                    f"refused: the weights of `{adapter.name}` changed while it is served, and it goes on "
                    f"with the old ones; put new weights into a new folder, `v{adapter.number + 1}`"
                )
            return None
        self.accepted[adapter.name] = adapter
        return adapter


def _files(folder: Path) -> object:
    """What would be different if a file in the folder changed."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.iterdir())]
    return None
