"""A trial: the canary's votes beside those of the stable version, and what follows from them.

The votes come from `data/feedback/tally.json`, which the bot keeps. Each counts by its weight, and only
those of conversations that chance had put into one of the two arms since the trial began.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from dataset_builder.schema import Tally
from inference.arms import Comparison, Rate, compare, rate
from inference.errors import InferenceError
from inference.release import RELEASE_FILE, Arm, Change, Release, ReleaseError, change, read_release

TALLY = Path("feedback", "tally.json")  # in the data folder
BY = "the trial"


def read_tally(data: Path) -> Tally | None:
    """The votes so far; None before the first. Raises `InferenceError`."""
    path = data / TALLY
    try:
        return Tally.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InferenceError(f"`{path}` cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise InferenceError(
            f"`{path}`: `{place}` is wrong: {first['msg']}; the bot writes it anew"
        ) from error


def compared(release: Release, tally: Tally | None) -> Comparison | None:
    """The arms of the trial; None where none is on."""
    canary = release.canary
    if canary is None:
        return None
    since = datetime.fromtimestamp(canary.since, UTC).date().isoformat()
    return compare(
        _rate(tally, release.stable, "stable", since),
        _rate(tally, canary.version, "canary", since),
        smallest=canary.smallest,
        alpha=canary.alpha,
    )


def settle(folder: Path, tally: Tally | None) -> Change | None:
    """Promotes or takes back a canary that was told to decide, once the votes show which version is liked
    better; what was done, if anything. Raises `ReleaseError`.
    """

    def decide(release: Release | None) -> Release | None:
        if release is None or release.canary is None or not release.canary.decides:
            return None
        found = compared(release, tally)
        if found is None or found.verdict == "undecided":
            return None
        if found.verdict == "better":
            return release.promote(release.canary.version, by=BY, reason=found.reason())
        return release.roll_back(by=BY, reason=found.reason())

    decided = change(folder, decide)
    return decided.history[-1] if decided else None


class Trials:
    """Settles the trials below `characters`, whenever there are new votes."""

    def __init__(self, characters: Path, base_id: str, data: Path) -> None:
        self._pattern = f"*/adapters/{base_id}/{RELEASE_FILE}"
        self._characters = characters
        self._data = data
        self._seen: object = None

    def look(self) -> list[str]:
        """What was done, or could not be, in a line each."""
        files = sorted(self._characters.glob(self._pattern))
        if (seen := _states([self._data / TALLY, *files])) == self._seen:
            return []
        self._seen = seen
        try:
            tally = read_tally(self._data)
        except InferenceError as error:
            return [str(error)]
        return [line for file in files if _decides(file.parent) and (line := _settled(file.parent, tally))]


def _decides(folder: Path) -> bool:
    try:
        release = read_release(folder)
    except ReleaseError:
        return False  # whoever serves it tells what is wrong
    return release is not None and release.canary is not None and release.canary.decides


def _settled(folder: Path, tally: Tally | None) -> str:
    try:
        done = settle(folder, tally)
    except ReleaseError as error:
        return str(error)
    if done is None:
        return ""
    what = "answers everybody now" if done.action == "promote" else "is taken back"
    return f"`{done.version}` {what}: {done.reason}"


def _rate(tally: Tally | None, version: str, arm: Arm, since: str) -> Rate:
    days = [
        each
        for each in (tally.versions if tally else ())
        if (each.version, each.arm) == (version, arm) and each.day >= since
    ]
    # A sum of weights that were taken back again may be off by a rounding.
    up = max(0.0, sum(each.weighted_up for each in days))
    down = max(0.0, sum(each.weighted_down for each in days))
    return rate(up, down)


def _states(paths: Iterable[Path]) -> object:
    found = []
    for path in paths:
        try:
            state = path.stat()
        except OSError:
            continue
        found.append((path, state.st_mtime_ns, state.st_size, state.st_ino))
    return found
