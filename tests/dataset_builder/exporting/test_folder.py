"""Files that are there whole or not at all, in one folder and nowhere else."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_builder.errors import DatasetError
from dataset_builder.exporting.folder import MARK, Folder


def test_files_are_written_and_their_digests_known(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new" / "out")
    folder.write("a/b/c.txt", [b"one", b"two"])
    assert (tmp_path / "new/out/a/b/c.txt").read_bytes() == b"onetwo"
    assert folder.digests == {"a/b/c.txt": hashlib.sha256(b"onetwo").hexdigest()}


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("a.txt", [b"old"])

    def half() -> Iterator[bytes]:
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.write("a.txt", half())
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    folder.write("a.txt", [b"newer"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_bytes() == b"newer"


def test_somebody_elses_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not touch")
    with pytest.raises(DatasetError, match="something else"):
        Folder(tmp_path)
    (tmp_path / MARK).write_text("{}")
    Folder(tmp_path).write("README.md", [b"ours"])
    with pytest.raises(DatasetError, match="thesis"):
        Folder(tmp_path / "thesis.txt")


def test_links_are_not_followed(tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    (home / "kept.txt").write_text("kept")
    out.mkdir()
    folder = Folder(out)
    (out / "data").symlink_to(home, target_is_directory=True)
    with pytest.raises(DatasetError, match="link"):
        folder.write("data/a.txt", [b"a"])
    with pytest.raises(DatasetError, match="link"):
        folder.remove(["data/kept.txt"])
    (out / "b.txt").symlink_to(home / "kept.txt")
    (out / ".b.txt.part").symlink_to(home / "kept.txt")
    folder.write("b.txt", [b"b"])
    assert not (out / "b.txt").is_symlink()
    assert [path.name for path in home.iterdir()] == ["kept.txt"]
    assert (home / "kept.txt").read_text() == "kept"


def test_what_is_removed_takes_its_empty_folders_along(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("a/b/c.txt", [b"c"])
    folder.write("a/d.txt", [b"d"])
    folder.remove(["a/b/c.txt", "a/b/never.txt", "e/f.txt"])
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["d.txt"]
    folder.remove(["a/d.txt"])
    assert list(tmp_path.iterdir()) == []
