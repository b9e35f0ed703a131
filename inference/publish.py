"""A version is published: checked as a server checks it, compared with the stable one, and put in its place.

Publishing changes nothing for people: whoever answered goes on answering until the version is tried or
promoted. A folder from elsewhere is copied as the next free version, whole or not at all.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inference.adapters import AdapterVersion
from inference.characters import VERSION, parse_served_name, served_name
from inference.errors import AdapterError, InferenceRejected
from inference.gate import refusals
from inference.release import Release, ReleaseError, first_release, held, read_release, write_release
from inference.shelf import Shelf
from inference.versions import evaluation_line, read_evaluation, read_manifest


class NotGoodEnough(ReleaseError):
    """A version that loses on the exam; `why` has the figures, in a line each."""

    def __init__(self, source: Path, stable: str | None, why: list[str]) -> None:
        self.source = source
        self.stable = stable  # what it was compared with
        self.why = why
        super().__init__(f"`{source}` is not published: " + "; ".join(why))


@dataclass(frozen=True)
class Published:
    """What was done."""

    version: AdapterVersion
    release: Release
    overruled: tuple[str, ...]
    """Why it would have been refused without `force`."""


def publish(shelf: Shelf, what: str, *, by: str, reason: str = "", force: bool = False) -> Published:
    """Publishes a version by its name or its folder. With `force`, a `reason` overrules the exam, but never
    the check that a server makes.

    Raises `NotGoodEnough`, `AdapterError`, `ReleaseError`, and `InferenceRejected` (404) for what is not
    there.
    """
    source = _source(shelf, what)
    character = _character(shelf, source)
    versions = shelf.adapters(character)
    with held(versions):
        release = read_release(versions)
        if _is_in_place(shelf, source):
            version = shelf.check.check(source)
            before = release or _adopted(shelf, version, by)
            overruled = _judged(shelf, before, version, source, force=force)
        else:
            with _staged(source, versions, character, _next_number(shelf, release, character)) as staged:
                version = _checked(shelf, staged, source)
                before = release or _adopted(shelf, version, by)
                overruled = _judged(shelf, before, version, source, force=force)
                if before is not None:  # first, or a server takes the new one for the newest, which answers
                    write_release(versions, before)
                version = _put(staged, versions, version)
        told = [reason, *(f"in spite of: {each}" for each in overruled)]
        if not overruled:
            told.append(_in_a_line(source))
        before = before or Release(stable=version.name)
        after = before.publish(version.name, version.sha256, by=by, reason="; ".join(filter(None, told)))
        write_release(versions, after)
    return Published(version, after, tuple(overruled))


# --- what, and where -------------------------------------------------------------------------------------


def _source(shelf: Shelf, what: str) -> Path:
    if parse_served_name(what) is not None:
        return shelf.folder(what)
    if not (folder := Path(what)).is_dir():
        raise InferenceRejected(
            f"`{what}` is neither a version's name, such as `maeve.v2`, nor a folder", status=404
        )
    return folder


def _is_in_place(shelf: Shelf, source: Path) -> bool:
    """Whether it lies where versions of this base belong. Raises `AdapterError` for another place among the
    characters."""
    inside = Path(os.path.abspath(shelf.characters))
    folder = Path(os.path.abspath(source))
    if not folder.is_relative_to(inside):
        return False
    parts = folder.relative_to(inside).parts
    if len(parts) != 4 or (parts[1], parts[2]) != ("adapters", shelf.base.id):
        raise AdapterError(
            source, f"versions on `{shelf.base.id}` lie in `<character>/adapters/{shelf.base.id}/v<n>`"
        )
    return True


def _character(shelf: Shelf, source: Path) -> str:
    if _is_in_place(shelf, source):
        return Path(os.path.abspath(source)).parents[2].name
    character = read_manifest(source).character
    if not character:
        raise AdapterError(
            source, "its `version.json` names no `character`: copy it to where her versions lie yourself"
        )
    shelf.adapters(character)
    return character


def _next_number(shelf: Shelf, release: Release | None, character: str) -> int:
    """Never one that was there before: others remember it."""
    names = [*shelf.names(character), *(each.version for each in (release.history if release else ()))]
    return max((parsed[1] for name in names if (parsed := parse_served_name(name))), default=0) + 1


# --- whether ---------------------------------------------------------------------------------------------


def _checked(shelf: Shelf, staged: Path, source: Path) -> AdapterVersion:
    try:
        return shelf.check.check(staged)
    except AdapterError as error:
        raise AdapterError(source, error.reason) from error


def _adopted(shelf: Shelf, version: AdapterVersion, by: str) -> Release | None:
    """What was so without a release: of the other versions, the newest that may be served answers."""
    for name in reversed(shelf.names(version.character)):
        if name == version.name:
            continue
        try:
            shelf.check.check(shelf.folder(name))
        except AdapterError:
            continue
        return first_release(name, by=by, reason="it answered before there was a release")
    return None


def _judged(
    shelf: Shelf, before: Release | None, version: AdapterVersion, source: Path, *, force: bool
) -> list[str]:
    """What speaks against it, which `force` overrules."""
    if before is not None and before.stable == version.name:
        raise ReleaseError(f"`{version.name}` answers already")
    why = list(_against(shelf, before, version.character, source))
    if why and not force:
        raise NotGoodEnough(source, before.stable if before else None, why)
    return why


def _against(shelf: Shelf, before: Release | None, character: str, source: Path) -> Iterator[str]:
    new = read_evaluation(source)
    if new is None:
        yield f"it was not evaluated: `python -m training evaluate version={source}`"
        return
    if (new.character, new.base) != (character, shelf.base.id):
        yield f"its evaluation is that of `{new.version}` on `{new.base}`"
        return
    old = None
    if before is not None:
        try:
            stable = shelf.folder(before.stable)
        except InferenceRejected as error:
            yield f"there is nothing to compare with: {error}"
            return
        if (old := read_evaluation(stable)) is None:
            yield (
                f"`{before.stable}`, which answers, was not evaluated, so there is nothing to compare with: "
                f"`python -m training evaluate version={stable}`"
            )
    yield from refusals(new, old)


def _in_a_line(folder: Path) -> str:
    found = read_evaluation(folder)
    return evaluation_line(found) if found else ""


# --- how -------------------------------------------------------------------------------------------------


@contextmanager
def _staged(source: Path, versions: Path, character: str, number: int) -> Iterator[Path]:
    """A copy of `source` beside its place, under names that no server looks at, gone afterwards."""
    root = versions / ".publishing"
    shutil.rmtree(root, ignore_errors=True)  # of somebody who was killed: we hold the folder
    # The check wants the folder's own names around it.
    staged = root / character / "adapters" / versions.name / f"v{number}"
    try:
        try:
            for path in source.rglob("*"):
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    raise AdapterError(source, f"`{path.name}` is neither a file nor a folder")
            shutil.copytree(source, staged, ignore=shutil.ignore_patterns(".*"))
            for path in staged.rglob("*"):
                if path.is_file():
                    _reach_the_disk(path)
        except OSError as error:  # shutil's own error is one
            raise AdapterError(source, f"it cannot be copied to `{versions}`: {error}") from error
        yield staged
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _reach_the_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _put(staged: Path, versions: Path, version: AdapterVersion) -> AdapterVersion:
    assert VERSION.fullmatch(staged.name)
    place = versions / staged.name
    try:
        staged.rename(place)
    except OSError as error:  # training has written one of this number meanwhile
        name = served_name(version.character, staged.name)
        raise ReleaseError(f"`{name}` is there meanwhile; publish again") from error
    return version.model_copy(update={"folder": place.absolute()})
