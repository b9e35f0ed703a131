"""Everything at once and real: vLLM with both characters' own adapters, Valkey, the bot in its own process,
unmodified discord.py, aiocqhttp and WebSockets. Only Discord's servers and the QQ client are ours.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.feedback.names import Names
from bot.feedback.votes import Voted, Votes
from bot.memory.embedded import EmbeddedValkey
from bot.memory.store import connect
from inference.models import prepare
from inference.settings import InferenceSettings
from tests.conftest import ROOT
from tests.fakes.discord import FakeDiscord, User
from tests.fakes.onebot import FakeOneBot
from tests.fakes.page import Tab, visit
from tests.fakes.process import BotProcess
from tests.inference.conftest import Served, start_serve

pytestmark = pytest.mark.slow

PATIENCE = 120  # seconds for a reply: two cores answer four people at once
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`python -m inference serve` with the default model and the characters of the project."""
    base = prepare(InferenceSettings(_env_file=None))  # type: ignore[call-arg]
    server = start_serve(tmp_path_factory.mktemp("whole"), base, ROOT / "characters")
    try:
        server.wait_for("is ready after")
        yield server
    finally:
        server.stop()


@dataclass
class World:
    qq: FakeOneBot
    discord: FakeDiscord
    alice: User
    page: str
    data: Path

    async def votes(self) -> list[Voted]:
        store = connect(socket=str(EmbeddedValkey(self.data / "valkey").socket))
        try:
            votes = Votes(store, await Names.open(store), keep_seconds=99, daily=9)
            return [voted async for voted in votes.recent(50)]
        finally:
            await store.close()


@pytest.fixture
async def world(served: Served) -> AsyncIterator[World]:
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    async with FakeDiscord() as discord, AsyncExitStack() as stack:
        environment = {
            "CHATNVL_DATA": str(served.data),
            "CHATNVL_CHARACTERS": str(ROOT / "characters"),
            "CHATNVL_DEFAULT_CHARACTER": "zhiwei",
            "CHATNVL_QQ__PORT": str(ports[0]),
            "CHATNVL_WEB__PORT": str(ports[1]),
            "CHATNVL_DISCORD__TOKEN": discord.token,
        }
        alice = discord.add_user("Alice")
        await stack.enter_async_context(BotProcess(served.data / "bot.log", environment, discord))
        qq = await stack.enter_async_context(FakeOneBot(f"ws://127.0.0.1:{ports[0]}/onebot/v11/ws"))
        await discord.wait(lambda: discord.gateway.connected, 30, "the bot")
        yield World(qq, discord, alice, f"http://127.0.0.1:{ports[1]}/", served.data)


async def final(tab: Tab) -> dict[str, object]:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await tab.reply()
            except TimeoutError:
                continue


async def until_votes(world: World, count: int) -> list[Voted]:
    async with asyncio.timeout(60):
        while len(votes := await world.votes()) != count:
            await asyncio.sleep(0.2)
    return votes


async def test_four_doors_at_once(world: World) -> None:
    qq, discord = world.qq, world.discord
    async with visit(world.page) as visitor, visitor.tab() as tab:
        await tab.hello("maeve")
        # Discord talks with Maeve, the page too, QQ with Zhiwei.
        await discord.dm(world.alice, "/character maeve")
        switched = await discord.wait_message(lambda message: "Maeve" in message.content, 20)
        assert switched.content.startswith("You are now talking")  # a notice in her language
        await asyncio.gather(
            qq.say("我叫阿狸，你是谁？", user=10001),
            qq.say("今晚下雨了，你在做什么？", user=10002, group=987654, at=True),
            discord.dm(world.alice, "My name is Alice. Who are you?"),
            tab.say("I am called Robin. What do you do up there?", "maeve"),
        )
        private = await qq.wait_reply(lambda sent: sent.group is None, PATIENCE)
        group = await qq.wait_reply(lambda sent: sent.group == 987654, PATIENCE)
        direct = await discord.wait_message(
            lambda message: message is not switched and message.buttons, PATIENCE
        )
        shown = await final(tab)
        assert CHINESE.search(private.text)
        assert CHINESE.search(group.text)
        assert not CHINESE.search(direct.content)
        assert not CHINESE.search(str(shown["text"]))
        assert shown["version"] == "maeve.v1"

        # Memory is kept apart: each history holds its own words only.
        again = await tab.hello("maeve")
        said = " ".join(line["text"] for line in again["utterances"])
        assert "Robin" in said
        assert "Alice" not in said
        assert "阿狸" not in said

        # Reactions on every door, with the version that spoke.
        await qq.react(group.id, "76", 10002)
        await discord.react(direct, world.alice, "👍🏽")
        await tab.send(type="vote", reply=shown["reply"], vote="down", added=True)
        await qq.say("赞", user=10001, reply_to=private.id)
        votes = await until_votes(world, 4)
        versions = {voted.record["platform"]: voted.record["version"] for voted in votes}
        assert versions == {"qq": "zhiwei.v1", "discord": "maeve.v1", "web": "maeve.v1"}
        cast = sorted(each.vote for voted in votes for each in voted.votes.values())
        assert cast == ["down", "up", "up", "up"]

        # And taken back where they were put by a mark.
        await qq.react(group.id, "76", 10002, added=False)
        await discord.unreact(direct, world.alice, "👍🏽")
        await tab.send(type="vote", reply=shown["reply"], vote="down", added=False)
        (left,) = await until_votes(world, 1)
        assert list(left.votes) == ["10001"]


async def test_she_still_knows_after_a_restart_of_the_bot(world: World) -> None:
    """The bot of the test before was stopped and this one began: the page's visitor is the same."""
    async with visit(world.page) as visitor:
        async with visitor.tab() as tab:
            await tab.hello("maeve")
            await tab.say("Good evening!", "maeve")
            first = await final(tab)
        async with visitor.tab() as tab:
            history = await tab.hello("maeve")
    assert [line["text"] for line in history["utterances"]][-2:] == ["Good evening!", first["text"]]
