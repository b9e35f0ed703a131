"""The whole way on QQ: a frame in, the real chat service on a real Valkey, a frame out."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from bot import app
from bot.chat import ChatService
from bot.gateways.qq import QQGateway
from bot.messages import Person, Place
from bot.settings import BotSettings
from tests.fakes.model import FakeModel
from tests.fakes.onebot import FakeOneBot

ACCOUNT = "123456789"
GROUP = Place("qq", ACCOUNT, "group", "987654")
FRIEND = Place("qq", ACCOUNT, "private", "10001")
ALICE = Person("10001", "Alice")


@dataclass
class Bot:
    chat: ChatService
    gateway: QQGateway

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.gateway.port}/onebot/v11/ws"

    async def mine(self, place: Place, turn: int = -1) -> str | None:
        """How Alice voted on a reply."""
        return [line for line in await self.chat.history(place, ALICE) if line.reply][turn].mine


Running = Callable[..., AbstractAsyncContextManager[Bot]]


@pytest.fixture
def running(settings: BotSettings) -> Running:
    @asynccontextmanager
    async def begin(**changes: Any) -> AsyncIterator[Bot]:
        gateway = QQGateway(
            **({"port": 0, "pace": (0, 0), "look_after": (0.05,) * 10, "patience": 0.5} | changes)
        )
        gateway.burst = 0.1
        stop = asyncio.Event()
        async with app.chat_service(settings, [gateway]) as chat:
            serving = asyncio.create_task(gateway.run(chat, stop))
            while gateway.port == 0:  # it has no event to wait for
                await asyncio.sleep(0)
            yield Bot(chat, gateway)
            await chat.drain()
            stop.set()
            await serving

    return begin


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await true():  # what is waited for is not announced
            await asyncio.sleep(0.01)


async def test_group_and_private_are_answered_where_they_were_asked(
    running: Running, model: FakeModel
) -> None:
    async with running() as bot, FakeOneBot(bot.url) as qq:
        asked = await qq.say("in the group", user=10001, group=987654, name="Alice")
        await qq.say("among ourselves", user=10002, group=987654, at=False)
        await qq.say("just us", user=10001, name="Alice")
        in_group = await qq.wait_reply(lambda sent: sent.group == 987654)
        in_private = await qq.wait_reply(lambda sent: sent.user == 10001)
        assert "in the group" in in_group.text
        assert in_group.quotes == str(asked)
        assert "just us" in in_private.text
        assert in_private.quotes is None
        assert len(qq.sent) == 2
        assert all("among ourselves" not in str(body) for body in model.requests)


async def test_messages_in_a_burst_get_one_reply(running: Running) -> None:
    async with running() as bot, FakeOneBot(bot.url) as qq:
        await qq.say("one", user=10001)
        await qq.say("two", user=10001)
        await qq.say("three", user=10001)
        assert "three" in (await qq.wait_reply()).text
        await qq.say("four", user=10001)
        await qq.wait_reply(2)
        assert len(qq.sent) == 2


@pytest.mark.parametrize("dialect", ["napcat", "llbot", "lagrange"])
async def test_everything_about_a_person_comes_as_a_file_to_her_alone(running: Running, dialect: Any) -> None:
    async with running() as bot, FakeOneBot(bot.url, dialect=dialect) as qq:
        await qq.say("hello", user=10001, group=987654, name="Alice")
        await qq.wait_reply()
        await qq.say("/export", user=10001, group=987654)
        told = (await qq.wait_reply(2)).text
        if dialect == "lagrange":  # takes files of its own machine only
            assert "could not be given" in told
            assert not qq.files
            return
        assert "You have it: 1 turns" in told
        (file,) = qq.files
        assert str(file["user_id"]) == "10001"
        assert json.loads(file["file"])["turns"][0]["said"][0]["text"] == "hello"


async def test_a_replayed_event_is_answered_once(running: Running) -> None:
    async with running() as bot, FakeOneBot(bot.url) as qq:
        for _ in range(3):
            await qq.say("once", user=10001, message_id=5)
        await qq.wait_reply()
        await qq.say("once", user=10001, message_id=5)
        await qq.say("next", user=10001, message_id=6)
        assert "next" in (await qq.wait_reply(2)).text
        assert len(qq.sent) == 2


@pytest.mark.parametrize("dialect", ["napcat", "llbot", "lagrange"])
async def test_a_reaction_is_a_vote_until_it_is_taken_away(running: Running, dialect: Any) -> None:
    async with running() as bot, FakeOneBot(bot.url, dialect=dialect) as qq:
        await qq.say("hello", user=10001, group=987654, name="Alice")
        shown = await qq.wait_reply()
        for emoji, added, vote in (("76", True, "up"), ("76", False, None), ("77", True, "down")):

            async def counted(vote: str | None = vote) -> bool:
                return await bot.mine(GROUP) == vote

            await until(lambda: bot.chat.is_ours(GROUP, str(shown.id)))
            await qq.react(shown.id, emoji, 10001, added=added)
            await until(counted)


async def test_a_vote_on_a_reply_whose_confirmation_was_lost(running: Running) -> None:
    """NapCat answers 1200 though it was shown: nothing is repeated, and the message is known all the same."""
    async with running() as bot, FakeOneBot(bot.url) as qq:
        qq.faults.append("1200 shown")
        await qq.say("hello", user=10001, group=987654, name="Alice")
        shown = await qq.wait_reply()
        await until(lambda: bot.chat.is_ours(GROUP, str(shown.id)))
        await qq.react(shown.id, "76", 10001)

        async def counted() -> bool:
            return await bot.mine(GROUP) == "up"

        await until(counted)
        assert len(qq.sent) == 1


async def test_a_lost_message_is_not_repeated(running: Running) -> None:
    """At most once: nobody can know, so silence is better than saying it twice."""
    async with running() as bot, FakeOneBot(bot.url) as qq:
        qq.faults.append("1200 lost")
        await qq.say("hello", user=10001)
        await qq.wait_call("send_private_msg")
        await qq.say("are you there?", user=10001)
        assert "are you there?" in (await qq.wait_reply()).text
        assert [each.text.count("hello") for each in qq.sent] == [0]


async def test_what_a_refusing_client_did_not_take_is_sent_again(running: Running) -> None:
    async with running() as bot, FakeOneBot(bot.url) as qq:
        qq.faults.append("refused")
        await qq.say("hello", user=10001)
        assert "hello" in (await qq.wait_reply()).text
        assert len([call for call in qq.calls if call["action"] == "send_private_msg"]) == 2


async def test_a_reply_waits_for_the_account(running: Running, model: FakeModel) -> None:
    async with running() as bot, FakeOneBot(bot.url) as qq:
        await qq.say("hello", user=10001)
        await until(lambda: bot.chat.active_places("qq", ACCOUNT, 60))
        qq.cut()
        await qq.closed()
        await asyncio.sleep(0.3)
        assert not qq.sent
        await qq.connect()
        assert "hello" in (await qq.wait_reply()).text
        assert len(qq.sent) == 1


async def test_what_was_said_while_nobody_listened_is_answered_once(running: Running) -> None:
    async with running() as bot, FakeOneBot(bot.url) as qq:
        await qq.say("hello", user=10001, group=987654)
        await qq.wait_reply()
        qq.cut()
        await qq.closed()
        await qq.say("meanwhile", user=10001, group=987654, heard=False)
        await qq.connect()
        assert "meanwhile" in (await qq.wait_reply(2)).text
        await asyncio.sleep(0.3)
        assert len(qq.sent) == 2


async def test_a_thumb_in_private_votes_on_the_quoted_reply(running: Running) -> None:
    async with running() as bot, FakeOneBot(bot.url) as qq:
        await qq.say("first", user=10001, name="Alice")
        first = await qq.wait_reply()
        await qq.say("second", user=10001, name="Alice")
        await qq.wait_reply(2)
        await until(lambda: bot.chat.is_ours(FRIEND, str(first.id)))
        await qq.say("👎", user=10001, name="Alice", reply_to=first.id)
        await qq.wait_reply(3)  # the notice
        assert await bot.mine(FRIEND, 0) == "down"
        assert await bot.mine(FRIEND, 1) is None


async def test_a_reply_longer_than_a_bubble(running: Running, model: FakeModel) -> None:
    model.reply = lambda body: "A sentence that goes on. " * 5 + "This is the end."
    async with running() as bot, FakeOneBot(bot.url) as qq:
        bot.gateway.limit = 60
        asked = await qq.say("tell me", user=10001, group=987654)
        await qq.wait_reply(lambda sent: sent.text.rstrip().endswith("the end."))
        parts = qq.sent
        assert len(parts) > 2
        assert [each.quotes for each in parts] == [str(asked)] + [None] * (len(parts) - 1)
        assert all(len(each.text) <= bot.gateway.limit for each in parts)
        for each in parts:
            await until(lambda each=each: bot.chat.is_ours(GROUP, str(each.id)))
