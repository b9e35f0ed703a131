"""Who answers while a version is tried, promoted and taken back, as people see it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.messages import Place
from inference.release import Canary, Release, change, first_release, write_release
from tests.bot.conftest import Talking
from tests.conftest import ROOT
from tests.fakes.gateway import Talk
from tests.fakes.model import FakeModel

Turn = Callable[[Callable[[Release], Release]], object]


@pytest.fixture
def characters(tmp_path: Path, model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("inference.release.LOOK_EVERY", 0.0)
    model.served = ["maeve.v1", "maeve.v2"]
    folder = tmp_path / "characters" / "maeve"
    (folder / "adapters" / model.base).mkdir(parents=True)
    (folder / "card.json").write_bytes((ROOT / "characters" / "maeve" / "card.json").read_bytes())
    write_release(folder / "adapters" / model.base, first_release("maeve.v1", by="me", reason=""))
    return tmp_path / "characters"


@pytest.fixture
def turn(characters: Path, model: FakeModel) -> Turn:
    """Changes her release."""
    folder = characters / "maeve" / "adapters" / model.base
    return lambda make: change(folder, lambda now: make(now) if now else None)


def tried(share: float) -> Callable[[Release], Release]:
    canary = Canary(version="maeve.v2", share=share, since=0)
    return lambda now: now.with_canary(canary, by="me")


def elsewhere(talk: Talk, person: str) -> Talk:
    other = Talk(talk.chat, talk.gateway, Place("paper", "bot", "private", person))
    other._ids = iter(f"{person}{at}" for at in range(10))  # type: ignore[assignment]
    return other


async def test_a_conversation_keeps_its_version_while_it_goes_on(
    talking: Talking, characters: Path, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with talking(characters=characters) as talk:
        assert await talk.say("one") == "maeve.v1 heard: one"
        turn(tried(0.999))
        assert await talk.say("two") == "maeve.v1 heard: two"
        assert await elsewhere(talk, "ben").say("hi") == "maeve.v2 heard: hi"
        monkeypatch.setattr("bot.worker.UNDER_WAY_SECONDS", -1.0)  # as after a long silence
        assert await talk.say("three") == "maeve.v2 heard: three"


async def test_after_a_promotion_and_a_rollback_everybody_is_answered_by_the_stable_one(
    talking: Talking, characters: Path, turn: Turn
) -> None:
    async with talking(characters=characters) as talk:
        assert await talk.say("one") == "maeve.v1 heard: one"
        turn(tried(0.001))
        turn(lambda now: now.promote("maeve.v2", by="me"))
        assert await talk.say("two") == "maeve.v2 heard: two"
        turn(lambda now: now.roll_back(by="me"))
        assert await talk.say("three") == "maeve.v1 heard: three"


async def test_a_trial_divides_people(talking: Talking, characters: Path, turn: Turn) -> None:
    turn(tried(0.5))
    async with talking(characters=characters) as talk:
        said = {}
        for number in range(12):
            person = elsewhere(talk, f"p{number}")
            said[number] = await person.say("hi")
            assert await person.say("hi") == said[number], "and stays with them"
    assert set(said.values()) == {"maeve.v1 heard: hi", "maeve.v2 heard: hi"}
