"""Who answers a conversation: sticky, by share, never another in the middle; and the file that says so."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.release import (
    RELEASE_FILE,
    Canary,
    Chosen,
    Release,
    ReleaseError,
    Releases,
    change,
    first_release,
    held,
    read_release,
    version_for,
    write_release,
)
from tests.conftest import ROOT

CONVERSATIONS = [f"qq:1:private:{number}:maeve" for number in range(4000)]
conversations = st.text(min_size=1, max_size=40)
shares = st.floats(0.01, 0.99)


def on_trial(share: float, version: str = "maeve.v3", **fields: object) -> Release:
    canary = Canary.model_validate({"version": version, "share": share, "since": 0.0, **fields})
    return first_release("maeve.v2", by="me", reason="").with_canary(canary, by="me")


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("version", ["maeve.v3", "maeve.v4"])
def test_the_canary_gets_its_share_of_conversations(share: float, version: str) -> None:
    release = on_trial(share, version)
    arms = [version_for(release, each).arm for each in CONVERSATIONS]
    spread = math.sqrt(share * (1 - share) / len(arms))
    assert abs(arms.count("canary") / len(arms) - share) < 4 * spread


def test_each_trial_draws_anew() -> None:
    one, two = on_trial(0.5, "maeve.v3"), on_trial(0.5, "maeve.v4")
    same = sum(version_for(one, each).arm == version_for(two, each).arm for each in CONVERSATIONS)
    assert abs(same / len(CONVERSATIONS) - 0.5) < 4 * 0.5 / math.sqrt(len(CONVERSATIONS))


@given(conversations, shares, shares)
def test_a_larger_share_only_moves_conversations_into_the_canary(
    conversation: str, one: float, two: float
) -> None:
    less, more = (version_for(on_trial(share), conversation) for share in sorted((one, two)))
    assert less.arm == "stable" or more.arm == "canary"


@given(conversations, shares)
def test_a_conversation_stays_where_it_is(conversation: str, share: float) -> None:
    release = on_trial(share)
    chosen = version_for(release, conversation)
    assert version_for(release, conversation) == chosen
    assert version_for(release, conversation, chosen.version) == chosen
    assert chosen.probability == (share if chosen.arm == "canary" else 1 - share)
    assert (chosen.version == "maeve.v3") == (chosen.arm == "canary")


@given(
    conversations,
    st.lists(st.sampled_from(["canary 3", "canary 4", "wider", "promote", "rollback"]), max_size=12),
    shares,
)
def test_nothing_moves_in_the_middle_of_a_conversation(
    conversation: str, actions: list[str], share: float
) -> None:
    """Whatever the owner does: the version of the last turn goes on for as long as it is stable or tried."""
    release = first_release("maeve.v2", by="me", reason="")
    speaks = version_for(release, conversation).version
    for action in actions:
        before = release
        release = _done(release, action, share)
        chosen = version_for(release, conversation, speaks)
        running = {release.stable, release.canary.version if release.canary else release.stable}
        assert chosen.version in running
        if speaks in running:
            assert chosen.version == speaks
        if release.canary is None:
            assert chosen == Chosen(release.stable), "everybody is answered by the stable one"
        assert release.history[: len(before.history)] == before.history, "what was done stays written"
        speaks = chosen.version


def _done(release: Release, action: str, share: float) -> Release:
    try:
        match action.split():
            case ["canary", number]:
                canary = Canary(version=f"maeve.v{number}", share=share, since=0)
                return release.with_canary(canary, by="me")
            case ["wider"] if release.canary:
                canary = release.canary.model_copy(update={"share": (1 + release.canary.share) / 2})
                return release.with_canary(canary, by="me")
            case ["promote"] if release.canary:
                return release.promote(release.canary.version, by="me")
            case ["rollback"]:
                return release.roll_back(by="me", reason="worse")
    except ReleaseError:
        pass
    return release


def test_a_rollback_ends_the_trial_first_and_then_goes_back_once() -> None:
    release = on_trial(0.1).promote("maeve.v3", by="me")
    assert (release.stable, release.previous, release.canary) == ("maeve.v3", "maeve.v2", None)
    release = release.with_canary(Canary(version="maeve.v4", share=0.1, since=0), by="me")
    release = release.roll_back(by="me", reason="dull")
    assert (release.stable, release.previous, release.canary) == ("maeve.v3", "maeve.v2", None)
    release = release.roll_back(by="me", reason="dull too")
    assert (release.stable, release.previous) == ("maeve.v2", None)
    assert [each.version for each in release.history if each.action == "rollback"] == ["maeve.v4", "maeve.v3"]
    with pytest.raises(ReleaseError, match=r"nothing before `maeve\.v2`"):
        release.roll_back(by="me")


def test_what_must_not_be() -> None:
    release = on_trial(0.1)
    with pytest.raises(ReleaseError, match="answers already"):
        release.promote("maeve.v2", by="me")
    with pytest.raises(ReleaseError, match=r"`maeve\.v3` is on trial"):
        release.with_canary(Canary(version="maeve.v4", share=0.1, since=0), by="me")
    assert not release.vouched("maeve.v5")
    release = release.publish("maeve.v5", "a" * 64, by="me").promote("maeve.v5", by="me")
    assert release.vouched("maeve.v5")
    assert release.vouched("maeve.v2"), "it has answered before there was a release"
    assert (release.sha256_of("maeve.v5"), release.sha256_of("maeve.v2")) == ("a" * 64, "")


# --- the file --------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "maeve" / "adapters" / "tiny"
    folder.mkdir(parents=True)
    return folder


def test_what_is_written_is_read(folder: Path) -> None:
    assert read_release(folder) is None
    release = on_trial(0.1, decides=True).publish("maeve.v4", "b" * 64, by="me", reason="它更像她")
    write_release(folder, release)
    assert read_release(folder) == release
    assert [path.name for path in folder.iterdir()] == [RELEASE_FILE]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "the whole"),
        ('{"stable": "../x"}', r"`stable` is wrong: .*`\.\./x` is no version's name"),
        ('{"stable": "maeve.v1", "stabel": 1}', "stabel"),
        ('{"stable": "maeve.v1", "canary": {"version": "maeve.v1", "share": 0.1, "since": 0}}', "on trial"),
        ('{"stable": "maeve.v1", "canary": {"version": "maeve.v2", "share": 1, "since": 0}}', "canary.share"),
        ('{"stable": "maeve.v1", "previous": "zhiwei.v1"}', "two characters"),
        ('{"stable": "zhiwei.v1"}', "whose folder this is not"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(folder: Path, text: str, words: str) -> None:
    (folder / RELEASE_FILE).write_text(text)
    with pytest.raises(ReleaseError, match=words):
        read_release(folder)


def test_a_file_that_goes_wrong_is_told_once_and_what_it_said_holds(folder: Path) -> None:
    warnings: list[str] = []
    releases = Releases(warnings.append, every=0)
    assert releases.of(folder) is None
    write_release(folder, first_release("maeve.v1", by="me", reason=""))
    assert _stable(releases, folder) == "maeve.v1"
    (folder / RELEASE_FILE).write_text('{"stable"')
    for _ in range(3):
        assert _stable(releases, folder) == "maeve.v1"
    assert len(warnings) == 1
    assert "what it said before holds" in warnings[0]
    write_release(folder, first_release("maeve.v2", by="me", reason=""))
    assert _stable(releases, folder) == "maeve.v2"
    (folder / RELEASE_FILE).unlink()
    assert releases.of(folder) is None


def _stable(releases: Releases, folder: Path) -> str:
    release = releases.of(folder)
    assert release is not None
    return release.stable


def test_files_are_not_looked_at_for_every_reply(folder: Path) -> None:
    releases = Releases(pytest.fail, every=60)
    assert releases.of(folder) is None
    write_release(folder, first_release("maeve.v1", by="me", reason=""))
    assert releases.of(folder) is None


WRITER = """
import sys
from pathlib import Path
from inference.release import change, first_release
folder, who = Path(sys.argv[1]), sys.argv[2]
for number in range(30):
    change(folder, lambda now: now.publish(f"maeve.v{who}", "c" * 64, by=who, reason=str(number)))
"""


def test_two_writers_lose_nothing(folder: Path) -> None:
    write_release(folder, first_release("maeve.v1", by="me", reason=""))
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(folder), number], cwd=ROOT) for number in "23"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    release = read_release(folder)
    assert release is not None
    for number in "23":
        mine = [each.reason for each in release.history if each.by == number]
        assert mine == [str(at) for at in range(30)]


def test_a_folder_that_is_held_is_waited_for_and_then_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.release._LOCK_SECONDS", 0.1)
    with held(folder), pytest.raises(ReleaseError, match="another command is changing"):
        change(folder, lambda _: None)


def test_no_change_writes_nothing(folder: Path) -> None:
    assert change(folder, lambda now: now) is None
    assert read_release(folder) is None


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ReleaseError, match="cannot be written"):
        change(tmp_path / "file" / "tiny", lambda _: first_release("maeve.v1", by="me", reason=""))


@settings(max_examples=20)
@given(st.binary(max_size=200))
def test_no_bytes_are_a_surprise(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("f") / "maeve" / "adapters" / "tiny"
    folder.mkdir(parents=True)
    (folder / RELEASE_FILE).write_bytes(data)
    with pytest.raises(ReleaseError):
        read_release(folder)
