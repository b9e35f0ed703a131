"""A folder that is there as a whole: the old one until the new one is complete, and no half of either."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataset_builder.errors import DatasetError

MANIFEST = "manifest.json"
_ABANDONED = 3600.0  # seconds after which an unfinished folder is nobody's


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of `out` at the end, or is removed if writing fails.

    `out` is new, empty or was written so before: it has a `manifest.json`. A process that is killed leaves
    `out` as it was; if that happens in the moment between two renames, the next run puts it back. Raises
    `DatasetError`.
    """
    out = out.absolute()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _mend(out)
        _check(out)
        unfinished = _beside(out, "unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
    except OSError as error:
        raise _refused(out, error) from error
    try:
        yield unfinished
        _swap(unfinished, out)
    except OSError as error:
        raise _refused(out, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _check(out: Path) -> None:
    if out.is_dir() and not (out / MANIFEST).is_file() and any(out.iterdir()):
        raise DatasetError(f"`{out}` holds something else than rows of feedback; give another folder by `-o`")
    if out.exists() and not out.is_dir():
        raise DatasetError(f"`{out}` is a file; give a folder by `-o`")


def _swap(new: Path, out: Path) -> None:
    old = _beside(out, "old")
    if out.exists():
        out.rename(old)
    new.rename(out)
    _sync(out.parent)
    shutil.rmtree(old, ignore_errors=True)


def _mend(out: Path) -> None:
    """After a run that was killed: the old folder back, if it is away, and what is left of others gone."""
    for old in sorted(out.parent.glob(f".{out.name}.*.old")):
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(out)
    for left in out.parent.glob(f".{out.name}.*.unfinished"):
        if time.time() - left.stat().st_mtime > _ABANDONED:
            shutil.rmtree(left, ignore_errors=True)


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f".{out.name}.{os.getpid()}.{what}")


def _sync(folder: Path) -> None:
    if os.name == "posix":  # Windows cannot open a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _refused(path: Path, error: OSError) -> DatasetError:
    return DatasetError(f"`{path}` cannot be written: {error.strerror}")
