"""Which version of a character answers, and for which share of conversations another one is tried.

It stands in `characters/<id>/adapters/<base id>/release.json`, written by `python -m inference adapters`.
Servers load the versions that it names, and bots ask it for each reply. Without the file, the newest version
answers.

::

    Release
    ├── stable      answers
    ├── canary      answers `share` of the conversations, to be compared: the trial
    ├── previous    was stable before; a rollback goes there
    └── history     who did what when, and why
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from inference.characters import parse_served_name
from inference.errors import InferenceError

RELEASE_FILE = "release.json"
UNDER_WAY_SECONDS = 3 * 3600.0  # since its last turn, for which a conversation keeps its version
LOOK_EVERY = 2.0  # seconds between two looks at a release file
_LOCK_SECONDS = 10.0

Arm = Literal["", "stable", "canary"]
Action = Literal["publish", "canary", "promote", "rollback"]
State = Literal["stable", "canary", "previous", "published", "retired", "rolled-back", "unpublished"]


class ReleaseError(InferenceError):
    """A release that cannot be read, or must not be changed like that; nothing was changed."""


def _served(name: str) -> str:
    if parse_served_name(name) is None:
        raise ValueError(f"`{name}` is no version's name, such as `maeve.v2`")
    return name


Version = Annotated[str, AfterValidator(_served)]  # as it is served
Inside = Annotated[float, Field(gt=0, lt=1)]


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Canary(_Written):
    """A version on trial."""

    version: Version
    share: Inside
    """Of conversations."""
    since: Annotated[float, Field(allow_inf_nan=False)]
    """Unix seconds: votes of days before do not count."""
    decides: bool = False
    """Whether it is promoted or rolled back without a person as soon as the votes show which is better."""
    smallest: Inside = 0.1
    """The difference between the shares of likes that is worth showing."""
    alpha: Inside = 0.05
    """The chance that is taken to see a difference where there is none."""


class Change(_Written):
    """A line of the history."""

    time: Annotated[float, Field(allow_inf_nan=False)]
    action: Action
    version: Version
    """What was published, tried, promoted or taken back."""
    reason: str = ""
    by: str = ""
    sha256: str = ""
    """Of the weights that were published."""


class Release(_Written):
    """`release.json`. Its methods return another release, or raise `ReleaseError`."""

    stable: Version
    canary: Canary | None = None
    previous: Version | None = None
    history: tuple[Change, ...] = ()

    @model_validator(mode="after")
    def _one_character(self) -> Self:
        if self.canary is not None and self.canary.version == self.stable:
            raise ValueError(f"`{self.stable}` is stable and on trial")
        if len({name.rpartition(".")[0] for name in self.named}) > 1:
            raise ValueError("its versions are those of two characters")
        return self

    @property
    def named(self) -> frozenset[str]:
        """The versions that must be served."""
        trial = self.canary.version if self.canary else None
        return frozenset(name for name in (self.stable, trial, self.previous) if name)

    def vouched(self, version: str) -> bool:
        """Whether `version` may answer people: it was published, or has been stable."""
        return any(each.version == version and each.action in ("publish", "promote") for each in self.history)

    def sha256_of(self, version: str) -> str:
        """Of the weights that were published under this name; "" where none were."""
        published = (each for each in reversed(self.history) if each.action == "publish")
        return next((each.sha256 for each in published if each.version == version), "")

    def state(self, version: str) -> State:
        """What `version` is now. `retired`: it was stable once, longer ago than `previous`."""
        if version == self.stable:
            return "stable"
        if self.canary is not None and version == self.canary.version:
            return "canary"
        if version == self.previous:
            return "previous"
        last = next((each.action for each in reversed(self.history) if each.version == version), None)
        states: dict[Action | None, State] = {
            "publish": "published",
            "promote": "retired",
            "rollback": "rolled-back",
        }
        return states.get(last, "unpublished")

    def publish(self, version: str, sha256: str, *, by: str, reason: str = "") -> "Release":
        """`version` may be tried or promoted from now on."""
        return self._with("publish", version, by, reason, sha256=sha256)

    def with_canary(self, canary: Canary, *, by: str, reason: str = "") -> "Release":
        """`canary` is tried. One that is tried already gets its new share and goes on."""
        if canary.version == self.stable:
            raise ReleaseError(f"`{self.stable}` answers already")
        if self.canary is not None and self.canary.version != canary.version:
            raise ReleaseError(
                f"`{self.canary.version}` is on trial: `adapters promote` or `adapters rollback` ends that"
            )
        return self._with("canary", canary.version, by, reason, canary=canary)

    def promote(self, version: str, *, by: str, reason: str = "") -> "Release":
        """`version` answers everybody, and a trial is over."""
        if version == self.stable:
            raise ReleaseError(f"`{self.stable}` answers already")
        return self._with("promote", version, by, reason, stable=version, canary=None, previous=self.stable)

    def roll_back(self, *, by: str, reason: str = "") -> "Release":
        """The trial is over without success; without one, the version before answers again."""
        if self.canary is not None:
            return self._with("rollback", self.canary.version, by, reason, canary=None)
        if self.previous is None:
            raise ReleaseError(
                f"there is nothing before `{self.stable}` to go back to: "
                "`adapters promote` brings any version back that was published"
            )
        return self._with("rollback", self.stable, by, reason, stable=self.previous, previous=None)

    def _with(
        self, action: Action, version: str, by: str, reason: str, sha256: str = "", **fields: object
    ) -> "Release":
        change = Change(time=time.time(), action=action, version=version, reason=reason, by=by, sha256=sha256)
        history = (*self.history, change)
        return Release.model_validate({**dict(self), **fields, "history": history})


def first_release(stable: str, *, by: str, reason: str) -> Release:
    """The release that says what was so without one: `stable` answers."""
    change = Change(time=time.time(), action="promote", version=stable, reason=reason, by=by)
    return Release(stable=stable, history=(change,))


# --- who answers -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chosen:
    """The version that answers a conversation."""

    version: str
    arm: Arm = ""
    """"" where no trial is on."""
    probability: float = 1.0
    """With which a conversation comes into this arm."""


def version_for(release: Release, conversation: str, under_way: str | None = None) -> Chosen:
    """Who answers `conversation`: always the same, until the trial is over.

    `under_way` is the version of its last turn, if that was less than `UNDER_WAY_SECONDS` ago: nobody's
    voice changes in the middle of a conversation.
    """
    canary = release.canary
    if canary is None:
        return Chosen(release.stable)
    version = canary.version if _draw(canary.version, conversation) < canary.share else release.stable
    if under_way in (release.stable, canary.version):
        version = under_way
    if version == canary.version:
        return Chosen(version, "canary", canary.share)
    return Chosen(version, "stable", 1 - canary.share)


def _draw(salt: str, conversation: str) -> float:
    """A number from 0 to 1, the same each time; other salts draw anew."""
    digest = hashlib.sha256(f"{salt}\n{conversation}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


# --- the file --------------------------------------------------------------------------------------------


def read_release(folder: Path) -> Release | None:
    """The release in `<character>/adapters/<base id>`; None where there is none. Raises `ReleaseError`."""
    path = folder / RELEASE_FILE
    try:
        release = Release.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReleaseError(f"`{path}` cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise ReleaseError(
            f"`{path}`: `{place}` is wrong: {first['msg']}; put a good one in its place, or delete it"
        ) from error
    whose = release.stable.rpartition(".")[0]
    if folder.absolute().parents[1].name != whose:
        raise ReleaseError(f"`{path}` is the release of `{whose}`, whose folder this is not")
    return release


def write_release(folder: Path, release: Release) -> None:
    """Whole or not at all. Only for whoever has the folder `held`."""
    unfinished = folder / f".{RELEASE_FILE}.{os.getpid()}"
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(release.model_dump_json(indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(folder / RELEASE_FILE)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Nobody else changes the release meanwhile. Raises `ReleaseError` where somebody does for long."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / ".release.lock", timeout=_LOCK_SECONDS):
            yield
    except Timeout as error:
        raise ReleaseError(f"another command is changing `{folder}`; try again when it is done") from error
    except OSError as error:
        raise ReleaseError(f"`{error.filename or folder}` cannot be written: {error.strerror}") from error


def change(folder: Path, make: Callable[[Release | None], Release | None]) -> Release | None:
    """Writes what `make` makes of the release as it is now, if it makes one. Raises `ReleaseError`."""
    with held(folder):
        release = make(read_release(folder))
        if release is not None:
            write_release(folder, release)
        return release


class Releases:
    """Release files, read again when they change. One that cannot be read any more stays as it was; `warn` is
    told why, once until the file changes."""

    def __init__(self, warn: Callable[[str], object], every: float | None = None) -> None:
        self._warn = warn
        self._every = LOOK_EVERY if every is None else every
        self._known: dict[
            Path, tuple[float, object, Release | None]
        ] = {}  # looked at, its state, the release

    def of(self, folder: Path) -> Release | None:
        """The release in a folder; None where there is none."""
        looked, state, release = self._known.get(folder, (float("-inf"), None, None))
        now = time.monotonic()
        if now - looked < self._every:
            return release
        if (found := _state(folder / RELEASE_FILE)) != state:
            try:
                release = read_release(folder)
            except ReleaseError as error:
                holds = "what it said before holds" if release else "the newest version answers"
                self._warn(f"{error}; until then, {holds}")
        self._known[folder] = now, found, release
        return release


def _state(path: Path) -> object:
    """What would be different if the file had changed."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
