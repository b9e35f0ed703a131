"""From people who talk with the real bot to rows: what it writes down is what the exporter can put together
again."""

import json
from pathlib import Path
from typing import Any

from bot.messages import Place
from bot.settings import BotSettings
from dataset_builder.__main__ import main
from tests.bot.conftest import Talking, model, settings, talking  # noqa: F401
from tests.conftest import ROOT
from tests.fakes.gateway import ANNA, BEN, PaperGateway, Talk
from tests.fakes.model import FakeModel

GROUP = Place("paper", "bot", "group", "room")


def export(settings: BotSettings, out: Path) -> dict[str, Any]:  # noqa: F811
    feedback = str(settings.data / "feedback")
    assert main(["feedback", feedback, "--characters", str(ROOT / "characters"), "-o", str(out)]) == 0
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_bytes())
    return manifest


def rows(out: Path, view: str) -> list[dict[str, Any]]:
    paths = sorted(out.rglob(f"{view}.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


async def test_what_people_did_with_the_bot_becomes_rows(
    talking: Talking,  # noqa: F811
    settings: BotSettings,  # noqa: F811
    model: FakeModel,  # noqa: F811
    tmp_path: Path,
) -> None:
    words = map("answer {}, and some more of it: {}".format, range(9), "abcdefghi")
    model.reply = lambda _: next(words)
    async with talking() as talk:
        await talk.send("/consent on")
        for number in range(3):
            await talk.say(f"<b>message</b> {number}\u200b\r\nsecond line")
        await talk.react("m3", "up")
        await talk.say("which one?")
        await talk.say("/regenerate")
        chat, place = talk.chat, talk.place
        first = (await chat.history(place, ANNA, "maeve"))[-1].answers[0].reply
        assert await chat.choose(place, ANNA, "maeve", first)
        assert await chat.edit(place, ANNA, "maeve", first, "my own words")
        await talk.say("and then?")
        await talk.react("m6", "down")
    manifest = export(settings, tmp_path / "rows")
    assert "replies" not in manifest["left_out"]
    liked, disliked = rows(tmp_path / "rows", "votes")
    assert (liked["label"], disliked["label"]) == (True, False)
    assert liked["prompt"][1]["content"] == "‹b>message‹/b> 0\nsecond line"
    assert [message["content"] for message in disliked["prompt"][-3:]] == [
        "which one?",
        "my own words",
        "and then?",
    ]
    edits = rows(tmp_path / "rows", "preference")
    assert [row["kind"] for row in edits] == ["edit", "edit"]
    assert {row["chosen"][0]["content"] for row in edits} == {"my own words"}


async def test_a_group_and_whoever_is_forgotten_there(
    talking: Talking,  # noqa: F811
    settings: BotSettings,  # noqa: F811
    tmp_path: Path,
) -> None:
    async with talking(PaperGateway(burst=0.2)) as talk:
        room = Talk(talk.chat, talk.gateway, GROUP)
        for person in (ANNA, BEN):
            await room.send("/consent on", person)
        await room.send("from anna", ANNA)
        await room.send("from ben", BEN)
        await room.gateway.wait(1)
        await room.say("ben alone", BEN, quoted_text="from anna")
        for message in ("m1", "m2"):
            await room.react(message, "up", person=BEN)
    manifest = export(settings, tmp_path / "rows")
    # What is quoted in a group the bot does not write down, so that prompt cannot be put together again.
    (row,) = rows(tmp_path / "rows", "votes")
    assert row["prompt"][-1]["content"] == "Anna: from anna\nBen: from ben"
    assert sum(manifest["left_out"]["replies"].values()) == 1
    async with talking() as talk:
        room = Talk(talk.chat, talk.gateway, GROUP)
        assert await room.send("/forget yes", ANNA, id="in100")
    export(settings, tmp_path / "rows")
    written = "".join(path.read_text() for path in (tmp_path / "rows").rglob("*.json*"))
    assert "anna" not in written
