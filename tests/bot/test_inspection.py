"""What the owner asks at the command line: votes and their weights, what is held back, conversations."""

import asyncio
import json

import pytest

from bot.memory.store import Store
from bot.messages import Person, Place
from bot.settings import BotSettings
from tests.bot.conftest import Talking
from tests.fakes.command import Command
from tests.fakes.gateway import ANNA, BEN, Talk
from tests.fakes.shown import shown_by

ROOM = Place("paper", "bot", "group", "room")


@pytest.fixture
def command(
    settings: BotSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    return Command(settings, monkeypatch, capsys)


async def test_votes_are_listed_with_their_weights_and_explained(
    talking: Talking, command: Command, store: Store
) -> None:
    assert "Nobody has voted yet" in (await command("feedback")).out
    async with talking() as talk:
        room = Talk(talk.chat, talk.gateway, ROOM)
        await room.say("one [bold]of[/bold] anna's", ANNA)
        await shown_by(store, ROOM, "m1")
        await room.react("m1", "up", person=ANNA)
        await room.react("m1", "down", person=BEN)
        await room.say("two", ANNA)
    listed = (await command("feedback")).out
    row = next(line for line in listed.splitlines() if "anna's" in line)
    _, reply, version, up, down, where, text = (cell.strip() for cell in row.strip("│").split("│"))
    assert (version, up, down, where) == ("maeve.v1", "1 (0.25)", "1 (0.3)", "paper")
    assert "[bold]of[/bold]" in text
    assert "1 up, 1 down; by weight 0.25 to 0.3" in listed
    explained = (await command("feedback", "--reply", reply)).out
    assert "less than a day before" in explained
    assert "only looked on" in explained
    assert not {ANNA.id, BEN.id} & set(explained.split())
    assert (await command("feedback", "--reply", "nosuchreply0")).code == 1


async def rush(talk: Talk, store: Store, count: int) -> str:
    """So many strangers dislike the same reply at once; its id."""
    room = Talk(talk.chat, talk.gateway, ROOM)
    await room.say("hello", ANNA)
    reply = await shown_by(store, ROOM, "m1")
    for number in range(count):
        await room.react("m1", "down", person=Person(f"stranger-{number}", ""))
    return reply


def tally(settings: BotSettings) -> tuple[int, int]:
    """Votes that count against her, and those that are held back."""
    (day,) = json.loads((settings.data / "feedback" / "tally.json").read_text())["versions"]
    return day["down"], day["quarantined"]


async def test_a_rush_is_held_back_shown_and_released(
    talking: Talking, command: Command, settings: BotSettings, store: Store
) -> None:
    assert "Nothing is held back" in (await command("feedback", "--quarantine")).out
    async with talking() as talk:
        await rush(talk, store, 16)
    assert tally(settings) == (0, 16)
    listed = (await command("feedback", "--quarantine")).out
    rows = [line for line in listed.splitlines() if "quarantine-" in line]
    assert len(rows) == 1  # one rush, though it grew and was held back again and again
    cells = [cell.strip() for cell in rows[0].strip("│").split("│")]
    assert cells[1] == "maeve"
    assert cells[4:6] == ["16", "0 up, 16 down"]
    assert "newcomers" in listed
    assert "16 votes are held back" in (await command("feedback")).out

    assert (await command("feedback", "--release", "quarantine-none")).code == 1
    done = await command("feedback", "--release", cells[0])
    assert "0 up, 16 down will count again" in done.out
    async with talking():
        pass  # the journal takes it up
    assert tally(settings) == (16, 0)
    assert "Nothing is held back" in (await command("feedback", "--quarantine")).out


async def test_one_more_newcomer_does_not_hold_back_again_whom_the_owner_released(
    talking: Talking, command: Command, settings: BotSettings, store: Store
) -> None:
    async with talking() as talk:
        await rush(talk, store, 16)
    held = json.loads(
        next(
            line
            for path in (settings.data / "feedback").glob("events-*")
            for line in path.read_text().splitlines()
            if '"quarantine"' in line
        )
    )
    await command("feedback", "--release", held["id"])
    async with talking() as talk:
        while tally(settings)[1]:
            await asyncio.sleep(0.1)
        room = Talk(talk.chat, talk.gateway, ROOM)
        await room.react("m1", "down", person=Person("one-more", ""))
    assert tally(settings) == (17, 0)


async def test_held_back_votes_are_explained(talking: Talking, command: Command, store: Store) -> None:
    async with talking() as talk:
        reply = await rush(talk, store, 16)
    explained = (await command("feedback", "--reply", reply)).out
    assert len([line for line in explained.splitlines() if "held back: " in line]) == 16


async def test_a_prompt_is_shown_as_it_would_be_sent(talking: Talking, command: Command) -> None:
    async with talking() as talk:
        await talk.say("what was said before")
    assert f"{talk.place}:maeve" in (await command("prompt")).out
    shown = (await command("prompt", f"{talk.place}:maeve", "--say", "and now")).out
    assert "what was said before" in shown
    assert "and now" in shown
    assert (await command("prompt", "nowhere")).code == 2
    assert (await command("prompt", f"{talk.place}:nobody")).code == 1
