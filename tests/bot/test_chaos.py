"""kill -9, again and again, in the middle of turns: nothing lost, nothing twice, complete pairs."""

import asyncio
import os
import random
import re
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.memory.embedded import EmbeddedValkey
from bot.memory.store import connect
from bot.memory.turn import Turn
from bot.memory.turns import Turns
from bot.messages import Conversation, Place
from tests.conftest import ROOT
from tests.fakes.discord import Channel, FakeDiscord, User
from tests.fakes.model import FakeModel
from tests.fakes.onebot import FakeOneBot
from tests.fakes.process import BotProcess

pytestmark = pytest.mark.slow

KILLS = 20
TOKEN = re.compile(r"\bm\d+x\b")


@dataclass
class World:
    bot: BotProcess
    model: FakeModel
    qq: FakeOneBot
    discord: FakeDiscord
    alice: User
    channel: Channel
    data: Path

    async def friend(self, text: str) -> None:
        await self.qq.say(text, user=10001)

    async def group(self, text: str) -> None:
        await self.qq.say(text, user=10002, group=987654, at=True)

    async def direct(self, text: str) -> None:
        await self.discord.dm(self.alice, text)

    async def reconnect(self) -> None:
        """As a OneBot client does when its socket is gone."""
        await self.qq.close()
        await self.qq.connect(30)

    async def turns(self) -> dict[str, list[Turn]]:
        store = connect(socket=str(self.socket))
        turns = Turns(store, "reader", keep_seconds=99, reply_seconds=99, inbox=1, rate=1)
        account = str(self.discord.bot.id)
        places = {
            "friend": Place("qq", "123456789", "private", "10001"),
            "group": Place("qq", "123456789", "group", "987654"),
            "direct": Place("discord", account, "private", str(self.alice.id)),
        }
        try:
            return {
                name: await turns.turns(Conversation(p, "maeve"), last=1000) for name, p in places.items()
            }
        finally:
            await store.close()

    @property
    def socket(self) -> Path:
        return EmbeddedValkey(self.data / "valkey").socket


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with FakeModel(max_model_len=100_000) as model, FakeDiscord() as discord:
        alice = discord.add_user("Alice")
        channel = discord.dm_channel(alice)
        environment = {
            "CHATNVL_CHARACTERS": str(ROOT / "characters"),
            "CHATNVL_DATA": str(tmp_path),
            "CHATNVL_DEFAULT_CHARACTER": "maeve",
            "CHATNVL_MESSAGES_PER_MINUTE": "100000",
            "CHATNVL_INFERENCE__BASE_URL": model.base_url,
            "CHATNVL_INFERENCE__API_KEY": model.api_key,
            "CHATNVL_QQ__PORT": str(port),
            "CHATNVL_DISCORD__TOKEN": discord.token,
        }
        model.reply = lambda body: (
            [f"{word} " for word in body["messages"][-1]["content"].split()] + ["-", " ok"]
        )
        model.delay = 0.15
        qq = FakeOneBot(f"ws://127.0.0.1:{port}/onebot/v11/ws")
        async with BotProcess(tmp_path / "bot.log", environment, discord) as bot:
            await qq.connect(30)
            await discord.wait(lambda: discord.gateway.connected, 30, "the bot")
            world = World(bot, model, qq, discord, alice, channel, tmp_path)
            for number, send in enumerate((world.friend, world.group, world.direct)):
                await send(f"m{number}x hello")
            await discord.wait_message(lambda message: "m2x" in message.content, 30)
            yield world
            await qq.close()


def tokens(text: str) -> list[str]:
    return TOKEN.findall(text)


async def chaos(world: World, strike: Callable[[], Awaitable[None]]) -> None:
    rng = random.Random(7)
    number = 3
    asked: dict[str, set[str]] = {"friend": {"m0x"}, "group": {"m1x"}, "direct": {"m2x"}}
    sends = {"friend": world.friend, "group": world.group, "direct": world.direct}
    for _ in range(KILLS):
        for name in rng.sample(sorted(sends), 2):
            token = f"m{number}x"
            number += 1
            asked[name].add(token)
            await sends[name](f"{token} please answer")
        await asyncio.sleep(rng.uniform(0.0, 2.5))  # within the burst, the claim, the stream, the sending
        await strike()
    everything = set().union(*asked.values())

    async def kept() -> Counter[str]:
        return Counter(
            token
            for turns in (await world.turns()).values()
            for turn in turns
            for item in turn.said
            for token in tokens(item.text)
        )

    async with asyncio.timeout(90):
        while set(await kept()) != everything:
            await asyncio.sleep(0.5)
    await asyncio.sleep(15)  # what would come twice comes now
    assert await kept() == Counter(everything), "a message is in exactly one turn"
    for name, turns in (await world.turns()).items():
        assert {t for turn in turns for item in turn.said for t in tokens(item.text)} == asked[name]
        for turn in turns:
            wanted = [token for item in turn.said for token in tokens(item.text)]
            assert tokens(turn.kept.text) == wanted, "a complete pair"
    shown = Counter(token for message in world.discord.sent for token in tokens(message.content))
    assert shown == Counter(asked["direct"]), "on Discord exactly once"
    for group in (None, 987654):
        sent = Counter(token for each in world.qq.sent if each.group == group for token in tokens(each.text))
        assert not [token for token, count in sent.items() if count > 1], "on QQ at most once"


async def test_the_bot_is_killed(world: World) -> None:
    async def strike() -> None:
        await world.bot.kill()
        await asyncio.sleep(0.3)
        await world.bot.start()
        await world.reconnect()
        await world.discord.wait(lambda: world.discord.gateway.connected, 30, "Discord to be connected")

    await chaos(world, strike)


async def test_the_memory_is_killed(world: World) -> None:
    async def strike() -> None:
        store = connect(socket=str(world.socket))
        pid = (await store.do("INFO", "server"))["process_id"]
        await store.close()
        os.kill(int(pid), signal.SIGKILL)
        await asyncio.sleep(1)

    await chaos(world, strike)
