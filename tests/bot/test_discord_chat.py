"""The whole way on Discord: a person writes, the real chat service on a real Valkey, discord.py answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from bot import app
from bot.chat import ChatService
from bot.gateways.discord import DiscordGateway
from bot.messages import Person, Place, Utterance
from bot.settings import BotSettings
from tests.fakes.discord import Channel, FakeDiscord, Message, User
from tests.fakes.model import FakeModel

MESSAGES, EDITS = "/channels/*/messages", "/channels/*/messages/*"


@dataclass
class World:
    """A bot on Discord: a room with two people, and what the bot knows of them."""

    discord: FakeDiscord
    room: Channel
    alice: User
    bob: User
    chat: ChatService
    gateway: DiscordGateway

    def place(self, where: Channel | User) -> Place:
        kind = "private" if isinstance(where, User) else "group"
        return Place("discord", str(self.discord.bot.id), kind, str(where.id))  # type: ignore[arg-type]

    async def lines(self, where: Channel | User, who: User) -> list[Utterance]:
        return await self.chat.history(self.place(where), Person(str(who.id), who.name))

    async def mine(self, where: Channel | User, who: User) -> str | None:
        """How a person voted on the last reply."""
        return [line for line in await self.lines(where, who) if line.reply][-1].mine

    async def finished(self, words: str = "") -> Message:
        """A reply that is complete, and written down: only then a thumb can be on it."""
        shown = await self.discord.wait_message(
            lambda message: message.buttons and words in message.content, 10
        )
        where = shown.channel.people[0] if shown.channel.people else shown.channel
        await until(lambda: self.chat.is_ours(self.place(where), str(shown.id)))
        return shown


Running = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
async def discord() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as fake:
        with fake.in_place_of_discord():
            yield fake


@pytest.fixture
def running(settings: BotSettings, discord: FakeDiscord) -> Running:
    room = discord.add_channel(discord.add_guild())
    alice, bob = discord.add_user("Alice"), discord.add_user("Bob", locale="zh-CN")

    @asynccontextmanager
    async def begin(*, stream_every: float = 0.1, greeted: str = "") -> AsyncIterator[World]:
        """`greeted`: what Alice writes while the bot's line is up and nothing is known yet."""
        gateway = DiscordGateway(discord.token)
        gateway.burst, gateway.stream_every = 0.1, stream_every
        stop = asyncio.Event()
        async with app.chat_service(settings, [gateway]) as chat:
            serving = asyncio.create_task(gateway.run(chat, stop))
            try:
                if greeted:
                    await discord.wait(lambda: discord.gateway.connected, 10, "the bot")
                    assert not gateway.accounts(), "the line was up too long already"
                    await discord.dm(alice, greeted)
                async with asyncio.timeout(60):
                    while not gateway.accounts():  # it has no event
                        await asyncio.sleep(0.01)
                yield World(discord, room, alice, bob, chat, gateway)
                await chat.drain()
            finally:
                stop.set()
                await serving

    return begin


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await true():  # what is waited for is not announced
            await asyncio.sleep(0.01)


async def test_alone_and_in_a_server_each_is_answered_in_place(
    running: Running, model: FakeModel, discord: FakeDiscord
) -> None:
    model.delay = 0.1  # time to be seen typing
    async with running() as world:
        asked = await discord.say(world.room, world.alice, "in the room", mention=True)
        await discord.dm(world.bob, "just us")
        there, here = await world.finished("in the room"), await world.finished("just us")
        assert (there.channel, there.reply_to) == (world.room, asked)
        assert (here.channel, here.reply_to) == (discord.dm_channel(world.bob), None)
        assert set(discord.typings) == {there.channel, here.channel}
        assert len(discord.sent) == 2


async def test_a_growing_reply_is_edited_with_the_newest_words_only(
    running: Running, model: FakeModel, discord: FakeDiscord
) -> None:
    words = [f"word{number} " for number in range(60)]
    model.reply, model.delay = lambda body: words, 0.02
    discord.limit("PATCH", EDITS, 3, 0.5)  # discord.py makes edits wait for this
    discord.fail("PATCH", EDITS, 429, times=2)
    async with running() as world:
        await discord.dm(world.alice, "tell me a story")
        message = await world.finished()
        assert message.content == "".join(words).strip()
        assert 3 <= len(message.versions) <= 12  # of sixty
        assert all(message.content.startswith(version) for version in message.versions)
        assert len(discord.sent) == 1


async def test_a_long_reply_is_several_messages(
    running: Running, model: FakeModel, discord: FakeDiscord
) -> None:
    story = "\n\n".join(f"Chapter {number}. " + "So it went on. " * 60 for number in range(5))
    model.reply = lambda body: story.splitlines(keepends=True)  # few tokens, many characters
    async with running() as world:
        await discord.say(world.room, world.alice, "everything, please", mention=True)
        last = await world.finished("Chapter 4")
        assert [bool(each.buttons) for each in discord.sent] == [False] * (len(discord.sent) - 1) + [True]
        assert len(discord.sent) == 3
        assert "".join("".join(each.content for each in discord.sent).split()) == "".join(story.split())
        await discord.react(discord.sent[0], world.bob, "👍🏻")  # any of them stands for the reply
        await until(lambda: _is(world.mine(world.room, world.bob), "up"))
        await discord.click(last, last.buttons[1], world.bob)
        await until(lambda: _is(world.mine(world.room, world.bob), "down"))


async def _is(value: Any, wanted: object) -> bool:
    return await value == wanted


async def test_thumbs_come_and_go(running: Running, discord: FakeDiscord) -> None:
    async with running() as world:
        await discord.dm(world.alice, "hello")
        message = await world.finished()
        for put, wanted in (
            (lambda: discord.react(message, world.alice, "👍🏽"), "up"),
            (lambda: discord.react(message, world.alice, "💔"), "down"),
            (lambda: discord.unreact(message, world.alice, "💔"), "up"),
            (lambda: discord.unreact(message, world.alice, "👍🏽"), None),
            (lambda: discord.react(message, world.alice, "👍"), "up"),
        ):
            await put()
            await until(lambda wanted=wanted: _is(world.mine(world.alice, world.alice), wanted))
        click = await discord.click(message, message.buttons[0], world.alice)
        assert (await click.answer()).content.startswith("Noted")
        click = await discord.click(message, message.buttons[0], world.alice)
        assert (await click.answer()).content == "Taken back."
        assert await world.mine(world.alice, world.alice) == "up"  # the reaction is still there


async def test_a_button_after_a_restart(running: Running, discord: FakeDiscord) -> None:
    async with running() as world:
        await discord.dm(world.alice, "hello")
        message = await world.finished()
    async with running() as world:
        await (await discord.click(message, message.buttons[1], world.alice)).answer()
        assert await world.mine(world.alice, world.alice) == "down"


async def test_another_answer_by_button_and_by_command(
    running: Running, model: FakeModel, discord: FakeDiscord
) -> None:
    answers = iter(("First.", "Second.", "Third."))
    model.reply = lambda body: next(answers)
    async with running() as world:
        await discord.say(world.room, world.alice, "say something", mention=True)
        first = await world.finished("First.")
        await discord.click(first, first.buttons[2], world.bob)
        second = await world.finished("Second.")
        await discord.slash("regenerate", None, world.alice, world.room)
        await world.finished("Third.")
        kept = [line.text for line in await world.lines(world.room, world.alice) if line.reply]
        assert kept == ["Third."]
        click = await discord.click(second, second.buttons[0], world.bob)
        assert "Noted" in (await click.answer()).content or "记下了" in (await click.answer()).content


async def test_commands_speak_the_language_of_who_gives_them(running: Running, discord: FakeDiscord) -> None:
    async with running() as world:
        slash = await discord.slash("character", {"name": "zhiwei"}, world.alice, world.room)
        assert "You are now talking with" in (await slash.answer()).content
        slash = await discord.slash("character", None, world.bob, world.room)
        assert "这里有" in (await slash.answer()).content
        await discord.say(world.room, world.alice, "你好", mention=True)
        assert (await world.finished()).content.startswith("zhiwei.v1 heard")
        for name in ("help", "good", "bad", "reset"):
            assert (await (await discord.slash(name, None, world.bob, world.room)).answer()).content


async def test_a_typed_command_is_the_same_and_answered_at_the_place(
    running: Running, discord: FakeDiscord
) -> None:
    async with running() as world:
        await discord.dm(world.alice, "/character zhiwei")
        assert "知微" in (await discord.wait_message()).content
        await discord.say(world.room, world.bob, "/nonsense", mention=True)
        await discord.wait_message(lambda message: "no command" in message.content)


async def test_forgetting_by_button(running: Running, discord: FakeDiscord) -> None:
    async with running() as world:
        await discord.dm(world.alice, "my secret")
        await world.finished()
        slash = await discord.slash("forget", None, world.alice, discord.dm_channel(world.alice))
        question = await slash.answer()
        assert await world.lines(world.alice, world.alice)
        await discord.click(question, question.buttons[0], world.alice)
        await discord.wait(lambda: "Forgotten" in question.content)
        assert await world.lines(world.alice, world.alice) == []


async def test_everything_about_a_person_comes_as_a_file_to_her_alone(
    running: Running, discord: FakeDiscord
) -> None:
    async with running() as world:
        await discord.say(world.room, world.alice, "hello", mention=True)
        await world.finished()
        slash = await discord.slash("consent", {"answer": "on"}, world.alice, world.room)
        assert "cannot un-learn" in (await slash.answer()).content
        slash = await discord.slash("export", None, world.alice, world.room)
        assert "You have it: 1 turns" in (await slash.answer()).content
        ((message, name),) = discord.files
        assert message in discord.dm_channel(world.alice).messages
        about = json.loads(discord.files[message, name])
        assert about["turns"][0]["said"][0]["text"] == "hello"
        assert about["consent"]["on"] is True
        world.bob.takes_dms = False
        slash = await discord.slash("export", None, world.bob, world.room)
        assert "allow" in (await slash.answer()).content or "允许" in (await slash.answer()).content


@pytest.mark.parametrize("how", [4000, 4009])
async def test_what_is_delivered_twice_is_answered_once(
    running: Running, discord: FakeDiscord, how: int
) -> None:
    """A resume that repeats events, and a new session after which the history is looked through."""
    async with running() as world:
        await discord.dm(world.alice, "hello")
        await world.finished("hello")
        discord.gateway.replay = 3
        before = len(discord.gateway.sessions)
        await discord.gateway.close(how)
        await discord.wait(
            lambda: discord.gateway.resumes if how == 4000 else len(discord.gateway.identifies) == 2, 15
        )
        assert before == 1
        await discord.dm(world.alice, "and now?")
        await world.finished("and now?")
        assert len(discord.sent) == 2
        said = [line.text for line in await world.lines(world.alice, world.alice) if not line.reply]
        assert said == ["hello", "and now?"]


async def test_what_was_said_while_she_was_away_is_answered(running: Running, discord: FakeDiscord) -> None:
    async with running() as world:
        await discord.dm(world.alice, "hello")
        await world.finished("hello")
    await discord.dm(world.alice, "are you there?")
    async with running() as world:
        await world.finished("are you there?")
        assert len(discord.sent) == 2


@pytest.mark.parametrize("kind", ["reset after", "502 after", "reset", 503])
async def test_a_reply_on_a_bad_line_is_there_once(
    running: Running, discord: FakeDiscord, kind: int | str
) -> None:
    async with running() as world:
        await discord.dm(world.alice, "hello")
        await world.finished("hello")
        discord.fail("POST", MESSAGES, kind)
        discord.fail("PATCH", EDITS, kind)
        await discord.dm(world.alice, "and now?")
        await world.finished("and now?")
        assert len(discord.sent) == 2


@pytest.mark.parametrize(
    "said", ["@everyone come here", "<@1> <@&2> hey", "x" * 10_000, "  \n ", "<|im_end|>"]
)
async def test_whatever_the_model_says_does_no_harm(
    running: Running, model: FakeModel, discord: FakeDiscord, said: str
) -> None:
    model.reply = lambda body: said
    async with running() as world:
        await discord.dm(world.alice, "hello")
        await discord.wait_message(lambda message: message.buttons or "found no words" in message.content, 10)
        assert all(message.allowed_mentions == {"parse": []} for message in discord.sent)
        assert all(len(message.content) <= 2000 for message in discord.sent)


async def test_a_removed_channel_does_not_hold_up_the_others(running: Running, discord: FakeDiscord) -> None:
    async with running() as world:
        await discord.say(world.room, world.alice, "hello", mention=True)
        world.room.visible = False
        await discord.dm(world.bob, "hello")
        assert (await world.finished()).channel is discord.dm_channel(world.bob)


async def test_a_command_that_came_before_the_bot_was_ready_is_answered(running: Running) -> None:
    async with running(greeted="/help") as world:
        assert "/character" in (await world.discord.wait_message(lambda message: True, 10)).content
