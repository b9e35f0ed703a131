"""discord.js against our Discord: what discord.py takes from it, another library must take too."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.bot.test_discord import discord as discord
from tests.bot.test_discord import world as world
from tests.fakes.discord import FakeDiscord
from tests.strangers.discord_node import node_program

pytestmark = [pytest.mark.slow, pytest.mark.strangers]


class Stranger:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.unread: list[dict[str, Any]] = []

    async def says(self, what: str) -> dict[str, Any]:
        """The next line of that kind; errors of its own fail the test."""
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while True:
                for said in self.unread:
                    assert said["what"] != "error", said
                    if said["what"] == what:
                        self.unread.remove(said)
                        return said
                line = await self.process.stdout.readline()
                assert line, f"discord.js ended before it said {what!r}"
                self.unread.append(json.loads(line))


@pytest.fixture
async def stranger(discord: FakeDiscord, world: Any) -> AsyncIterator[Stranger]:
    command = node_program("discord_js.mjs", "discord.js@14.28.1")
    process = await asyncio.create_subprocess_exec(
        *command, discord.base, discord.token, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Stranger(process)
    finally:
        process.terminate()
        await process.wait()


async def test_a_conversation(discord: FakeDiscord, stranger: Stranger, world: Any) -> None:
    ready = await stranger.says("ready")
    assert (ready["user"], ready["guilds"]) == ("heroine", ["Library"])
    assert set(ready["channels"]) == {"general", "aside"}
    await stranger.says("registered")

    said = await discord.dm(world.alice, "ping")
    heard = await stranger.says("message")
    assert (heard["content"], heard["author"], heard["dm"]) == ("ping", "Alice", True)
    assert await stranger.says("sent") == {"what": "sent", "same": True, "content": "pong!"}
    answer = await discord.wait_message()
    assert (answer.versions, answer.reply_to) == (["pong", "pong!"], said)
    assert said.reactions == {"👍": [discord.bot]}
    assert len(discord.sent) == 1

    await discord.react(answer, world.alice, "👎")
    while (seen := await stranger.says("reaction"))["user"] != str(world.alice.id):
        assert seen["user"] == str(discord.bot.id)  # its own
    assert seen["emoji"] == "👎"
    await discord.unreact(answer, world.alice, "👎")
    assert (await stranger.says("unreaction"))["emoji"] == "👎"


async def test_in_a_server_words_are_hidden_unless_it_is_mentioned(
    discord: FakeDiscord, stranger: Stranger, world: Any
) -> None:
    await stranger.says("ready")
    await discord.say(world.room, world.alice, "among ourselves")
    assert (await stranger.says("message"))["content"] == ""
    await discord.say(world.aside, world.bob, "you there?", mention=True)
    heard = await stranger.says("message")
    assert (heard["mentioned"], heard["dm"]) == (True, False)
    assert heard["content"].endswith("you there?")


async def test_a_command_and_a_resume(discord: FakeDiscord, stranger: Stranger, world: Any) -> None:
    await stranger.says("registered")
    slash = await discord.slash("echo", {"text": "boo"}, world.bob, world.room)
    assert await stranger.says("interaction") == {"what": "interaction", "command": "echo", "locale": "zh-CN"}
    answer = await slash.answer()
    assert (answer.content, answer.flags & 64) == ("you said boo", 64)
    await discord.gateway.reconnect()
    await stranger.says("resumed")
    assert len(discord.gateway.identifies) == 1
    await discord.dm(world.alice, "still here")
    assert (await stranger.says("message"))["content"] == "still here"
