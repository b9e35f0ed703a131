"""A work: the file, folder or archive that somebody points at, as named files. Nothing goes to the disk."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dataset_builder.errors import DatasetError, ScriptError

FILE_LIMIT = 1 << 30  # bytes of one script file: no script is larger
HEAD = 4096  # bytes by which a format is told
# Folders that hold no script of the work: version control, engines, caches.
_SKIPPED = frozenset({"__pycache__", "node_modules", ".git", ".svn", "saves"})


@dataclass(frozen=True)
class ScriptFile:
    """One file. `name` is relative to what the user gave, with `/` between folders; inside an archive
    `data.xp3/scenario/a.ks`."""

    name: str
    size: int
    load: Callable[[], bytes]
    peek: Callable[[int], bytes]

    @cached_property
    def head(self) -> bytes:
        """The first 4 KiB."""
        return self.peek(HEAD)

    def read(self) -> bytes:
        """All of it. Raises `ScriptError`."""
        if self.size > FILE_LIMIT:
            raise ScriptError(self.name, 0, f"{self.size:,} bytes are too many for a script")
        try:
            return self.load()
        except OSError as error:
            raise ScriptError(self.name, 0, f"cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class Work:
    """`name` stands in every scene; `files` are sorted by name."""

    name: str
    files: tuple[ScriptFile, ...]


def memory_file(name: str, data: bytes) -> ScriptFile:
    """A file that is in memory already, such as an archive's member."""
    return ScriptFile(name, len(data), lambda: data, lambda count: data[:count])


def disk_file(path: Path, name: str) -> ScriptFile:
    def peek(count: int) -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(count)
        except OSError as error:
            raise ScriptError(name, 0, f"cannot be read: {error.strerror}") from error

    return ScriptFile(name, path.stat().st_size, path.read_bytes, peek)


def open_work(path: Path, name: str | None = None) -> Work:
    """The work at `path`, a file or a folder. Links are not followed; hidden files are left out.

    Archives stay what they are here; `dataset_builder.archives` opens them. Raises `DatasetError`.
    """
    try:
        if not path.exists():
            raise DatasetError(f"`{path}` does not exist")
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be looked at: {error.strerror}") from error
    if path.is_file():
        return Work(name or path.stem.partition(".")[0] or path.name, (disk_file(path, path.name),))
    return Work(name or path.resolve().name, tuple(_walk(path)))


def _walk(root: Path) -> Iterator[ScriptFile]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each not in _SKIPPED)
        for file in sorted(files):
            path = Path(folder, file)
            if not file.startswith(".") and path.is_file() and not path.is_symlink():
                # A name may be Shift-JIS on a disk that knows only bytes; a row's text is Unicode.
                yield disk_file(
                    path, os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "replace")
                )
