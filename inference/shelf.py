"""The versions of all characters on one base, and what an owner does with them: try, promote, roll back.

A refusal changes nothing: servers and bots see a release as it was or as it is to be.
"""

import time
from collections.abc import Callable
from pathlib import Path

from inference.adapters import AdapterCheck, AdapterVersion, version_folders
from inference.base import Base
from inference.characters import CHARACTER_ID, parse_served_name, served_name
from inference.errors import InferenceRejected
from inference.release import Canary, Release, ReleaseError, change, read_release


class Shelf:
    """`characters` is the folder of the characters."""

    def __init__(self, characters: Path, base: Base, max_rank: int) -> None:
        self.characters = characters
        self.base = base
        self.check = AdapterCheck(base, max_rank)

    # --- what there is ------------------------------------------------------------------------------------

    def adapters(self, character: str) -> Path:
        """The folder of her versions and her release."""
        if not CHARACTER_ID.fullmatch(character) or not (self.characters / character).is_dir():
            known = sorted(
                each.name for each in self.characters.iterdir() if CHARACTER_ID.fullmatch(each.name)
            )
            raise InferenceRejected(
                f"there is no character `{character}`; there are: {_listed(known)}", status=404, known=known
            )
        return self.characters / character / "adapters" / self.base.id

    def folder(self, name: str) -> Path:
        """That of a version, which is there. Raises `InferenceRejected` (404), with what there is."""
        parsed = parse_served_name(name)
        if parsed is None:
            raise InferenceRejected(
                f"`{name}` is no version's name: it takes a character and a number, such as `maeve.v2`",
                status=404,
            )
        folder = self.adapters(parsed[0]) / f"v{parsed[1]}"
        if not folder.is_dir():
            known = self.names(parsed[0])
            raise InferenceRejected(
                f"there is no `{name}` on `{self.base.id}`; there are: {_listed(known)}",
                status=404,
                known=known,
            )
        return folder

    def names(self, character: str) -> list[str]:
        """Her versions, the oldest first, whether they may be served or not."""
        folders = version_folders(self.characters, self.base.id)
        mine = (folder.name for folder in folders if folder.parents[2].name == character)
        return [name for each in mine if parse_served_name(name := served_name(character, each))]

    def release(self, character: str) -> Release | None:
        """Raises `ReleaseError` if it cannot be read."""
        return read_release(self.adapters(character))

    def releases(self) -> dict[str, Release]:
        """By character. Raises `ReleaseError` if one cannot be read."""
        folders = sorted(
            each for each in self.characters.iterdir() if CHARACTER_ID.fullmatch(each.name) and each.is_dir()
        )
        found = {each.name: self.release(each.name) for each in folders}
        return {character: release for character, release in found.items() if release}

    def on_trial(self, who: str | None) -> str:
        """The version on trial of `who`, a character; unset: the only trial there is."""
        trials = {name: each.canary.version for name, each in self.releases().items() if each.canary}
        if who is None and len(trials) == 1:
            return next(iter(trials.values()))
        if who is not None and who in trials:
            return trials[who]
        if who is not None:
            self.adapters(who)
            raise ReleaseError(f"no version of `{who}` is on trial: name the version, such as `{who}.v2`")
        raise ReleaseError(f"name the version: on trial are {_listed(sorted(trials.values())) or 'none'}")

    # --- what is done ---------------------------------------------------------------------------------------

    def try_out(self, canary: Canary, *, by: str, reason: str = "") -> Release:
        """Begins a trial, or goes on with it in another share. Raises `ReleaseError`, `AdapterError`."""

        def begin(release: Release) -> Release:
            running = release.canary
            same = running is not None and running.version == canary.version
            since = running.since if running is not None and same else time.time()
            return release.with_canary(canary.model_copy(update={"since": since}), by=by, reason=reason)

        return self._change(canary.version, begin)

    def promote(self, name: str, *, by: str, reason: str = "") -> Release:
        """`name` answers everybody. Raises `ReleaseError`, `AdapterError`."""
        return self._change(name, lambda release: release.promote(name, by=by, reason=reason))

    def roll_back(self, who: str | None, *, by: str, reason: str = "") -> Release:
        """Ends the trial of `who`, a character or one of her versions, or takes her stable version back.
        Unset: the only one with a trial, or the only one with a release. Raises `ReleaseError`.
        """
        character, version = self._whose(who)

        def back(release: Release | None) -> Release:
            if release is None:
                raise ReleaseError(_no_release(character))
            returned = release.roll_back(by=by, reason=reason)
            taken = returned.history[-1].version
            if version not in (None, taken):
                raise ReleaseError(f"a rollback would take back `{taken}` now, and not `{version}`")
            if returned.stable != release.stable:
                self.check.check(self.folder(returned.stable))
            return returned

        done = change(self.adapters(character), back)
        assert done is not None
        return done

    def vouched(self, release: Release | None, name: str) -> AdapterVersion:
        """`name` as it may be put before people. Raises `ReleaseError`, `AdapterError`."""
        folder = self.folder(name)
        if release is None or not release.vouched(name):
            raise ReleaseError(f"`{name}` was not published: `python -m inference adapters publish {name}`")
        found = self.check.check(folder)
        if (published := release.sha256_of(name)) not in ("", found.sha256):
            raise ReleaseError(
                f"the weights in `{folder}` are others than those that were published as `{name}` "
                f"({published[:12]}…): new weights are a new version"
            )
        return found

    def _change(self, name: str, make: Callable[[Release], Release]) -> Release:
        def checked(release: Release | None) -> Release:
            self.vouched(release, name)
            assert release is not None
            return make(release)

        done = change(self.folder(name).parent, checked)
        assert done is not None
        return done

    def _whose(self, who: str | None) -> tuple[str, str | None]:
        """The character, and the version if one was named."""
        if who is not None:
            parsed = parse_served_name(who)
            return (parsed[0], who) if parsed else (who, None)
        releases = self.releases()
        trials = [name for name, release in releases.items() if release.canary]
        for candidates in (trials, list(releases)):
            if len(candidates) == 1:
                return candidates[0], None
            if candidates:
                raise ReleaseError(f"whose? Name one of {_listed(candidates)}")
        raise ReleaseError("nothing was released yet, so there is nothing to take back")


def _no_release(character: str) -> str:
    return f"nothing of `{character}` was released yet, so there is nothing to take back"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
