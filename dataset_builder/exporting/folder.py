"""The folder of an export: each file is there whole or not at all, and none outside is touched."""

import hashlib
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from dataset_builder.errors import DatasetError

MARK = "export.json"  # tells a folder of ours from somebody's home


class Folder:
    """Writes into `path`, which is new, empty, or an earlier export. Raises `DatasetError` where it is not,
    and for whatever the disk refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digests: dict[str, str] = {}  # name -> sha256 of what was written
        try:
            if (
                path.exists()
                and not (path / MARK).is_file()
                and any(
                    not (each.name.startswith(".") and each.name.endswith(".part")) for each in path.iterdir()
                )
            ):
                raise DatasetError(
                    f"`{path}` holds something else than an earlier export; give another folder"
                )
        except OSError as error:
            raise _refused(path, error) from error

    def write(self, name: str, chunks: Iterable[bytes]) -> None:
        """The file `name`, with `/` between folders."""
        path = self._inside(name)
        part = path.with_name(f".{path.name}.part")
        digest = hashlib.sha256()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            with part.open("xb") as file:
                for chunk in chunks:
                    file.write(chunk)
                    digest.update(chunk)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise _refused(path, error) from error
        self.digests[name] = digest.hexdigest()

    def remove(self, names: Collection[str]) -> None:
        """Files of an earlier export that this one has not written, and folders that are empty then."""
        for name in names:
            path = self._inside(name)
            try:
                path.unlink(missing_ok=True)
                for above in path.parents[: name.count("/")]:
                    if above.is_dir() and not any(above.iterdir()):
                        above.rmdir()
            except OSError as error:
                raise _refused(path, error) from error

    def _inside(self, name: str) -> Path:
        path = self.path / name
        for above in path.parents[: name.count("/")]:
            if above.is_symlink():
                raise DatasetError(f"`{above}` is a link that may lead elsewhere; remove it")
        return path


def _refused(path: Path, error: OSError) -> DatasetError:
    return DatasetError(f"`{path}` cannot be written: {error.strerror}")
