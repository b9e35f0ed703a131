"""The Discord gateway at its own border: the real discord.py, a real socket, a chat that takes notes."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from discord.backoff import ExponentialBackoff

from bot.errors import ConfigurationError, DeliveryFailed
from bot.gateways.discord import DiscordGateway
from bot.messages import IncomingMessage, Part, Place, Reaction
from tests.fakes.discord import FakeDiscord, Message

MESSAGES, EDITS = "/channels/*/messages", "/channels/*/messages/*"
CHARACTERS = {
    "zhiwei": SimpleNamespace(id="zhiwei", name="知微", language="zh", notices="zh"),
    "maeve": SimpleNamespace(id="maeve", name="Maeve", language="en", notices="en"),
}


@dataclass
class Chat:
    """What a gateway sees of the rest of the bot."""

    characters: dict[str, Any] = field(default_factory=lambda: CHARACTERS)
    heard: list[IncomingMessage] = field(default_factory=list)
    reactions: list[Reaction] = field(default_factory=list)
    votes: dict[tuple[str, str, str], str] = field(default_factory=dict)  # message, person, mark
    ours: set[str] = field(default_factory=set)
    places: list[Place] = field(default_factory=list)
    notice: str | None = None
    connections: int = 0
    change: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, message: IncomingMessage) -> str | None:
        if all(message.id != each.id for each in self.heard):
            self.heard.append(message)
        self.change.set()
        return self.notice

    async def react(self, reaction: Reaction) -> bool:
        self.reactions.append(reaction)
        self.change.set()
        key = reaction.message, reaction.person.id, reaction.mark
        if reaction.message not in self.ours or (self.votes.get(key) == reaction.vote) == reaction.added:
            return False
        if reaction.added:
            self.votes[key] = reaction.vote
        else:
            del self.votes[key]
        return True

    async def current(self, place: Place) -> Any:
        return self.characters["maeve"]

    async def is_ours(self, place: Place, message: str) -> bool:
        return message in self.ours

    async def active_places(self, platform: str, account: str, within: float) -> list[Place]:
        return [place for place in self.places if (place.platform, place.account) == (platform, account)]

    def connected(self, platform: str, account: str) -> None:
        self.connections += 1
        self.change.set()

    async def until(self, condition: Any, timeout: float = 5) -> Any:  # noqa: ASYNC109
        async with asyncio.timeout(timeout):
            while not (value := condition()):
                self.change.clear()
                await self.change.wait()
            return value

    async def hear(self, number: int) -> IncomingMessage:
        return await self.until(lambda: self.heard[number - 1] if len(self.heard) >= number else None)


@pytest.fixture
async def discord() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as fake:
        with fake.in_place_of_discord():
            yield fake


@pytest.fixture
def chat() -> Chat:
    return Chat()


@asynccontextmanager
async def serving(discord: FakeDiscord, chat: Chat, **options: Any) -> AsyncIterator[DiscordGateway]:
    gateway, stop, before = DiscordGateway(discord.token, **options), asyncio.Event(), chat.connections
    task = asyncio.create_task(gateway.run(chat, stop))  # type: ignore[arg-type]
    try:
        waiting = asyncio.create_task(chat.until(lambda: chat.connections > before, 15))
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            waiting.cancel()
            await task
        await waiting
        yield gateway
    finally:
        stop.set()
        await task
    assert not gateway.accounts()


@pytest.fixture
async def gateway(discord: FakeDiscord, chat: Chat, world: SimpleNamespace) -> AsyncIterator[DiscordGateway]:
    async with serving(discord, chat) as gateway:
        yield gateway


@pytest.fixture
def world(discord: FakeDiscord) -> SimpleNamespace:
    guild = discord.add_guild()
    room = discord.add_channel(guild)
    return SimpleNamespace(
        guild=guild,
        room=room,
        aside=discord.add_thread(room),
        alice=discord.add_user("Alice"),
        bob=discord.add_user("Bob", locale="zh-CN"),
    )


def private(discord: FakeDiscord, person: Any) -> Place:
    return Place("discord", str(discord.bot.id), "private", str(person.id))


def group(discord: FakeDiscord, channel: Any) -> Place:
    return Place("discord", str(discord.bot.id), "group", str(channel.id))


def part(place: Place, text: str, **more: Any) -> Part:
    return Part(
        place, **{"reply": "r1", "index": 0, "text": text, "quotes": None, "character": "maeve"} | more
    )


async def published(discord: FakeDiscord, chat: Chat, gateway: DiscordGateway, place: Place) -> Message:
    """A finished reply that the chat knows as its own."""
    shown = await gateway.send(part(place, "So be it."))
    chat.ours.add(shown)
    return await discord.wait_message(lambda message: str(message.id) == shown)


# What people write.


async def test_a_direct_message_is_heard_whole(discord, chat, gateway, world):
    said = await discord.dm(world.alice, "hello <:cat:123>")
    heard = await chat.hear(1)
    assert heard == IncomingMessage(
        place=private(discord, world.alice),
        id=str(said.id),
        person=heard.person,
        text="hello :cat:",
        time=heard.time,
    )
    assert (heard.person.id, heard.person.name) == (str(world.alice.id), "Alice")
    assert heard.time == pytest.approx(said.time, abs=0.01)


async def test_no_privileged_intent_is_asked_for(discord, chat, gateway):
    assert discord.gateway.identifies[0]["intents"] == 1 << 0 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 13


async def test_in_a_server_only_who_speaks_to_her_is_heard(discord, chat, gateway, world):
    mine = await published(discord, chat, gateway, group(discord, world.room))
    await discord.say(world.room, world.alice, "hello all")
    await discord.say(world.room, world.alice, "@everyone look")
    await discord.say(
        world.room, world.bob, "hi", reply_to=await discord.say(world.room, world.alice, "who?")
    )
    await discord.say(world.room, world.alice, "what do you think?", mention=True, also=[world.bob])
    await discord.say(world.room, world.bob, "and why?", reply_to=mine)
    first, second = await chat.hear(1), await chat.hear(2)
    assert (first.text, first.place, first.quotes) == ("what do you think?", group(discord, world.room), None)
    assert (second.text, second.quotes, second.quoted_text) == ("and why?", str(mine.id), "So be it.")
    assert len(chat.heard) == 2


async def test_the_mention_is_cut_out_and_others_keep_their_names(discord, chat, gateway, world):
    bot, alice = f"<@!{discord.bot.id}>", f"<@{world.alice.id}>"
    await discord.say(
        world.room, world.bob, f"ask {bot} about {alice}\nplease", also=[discord.bot, world.alice]
    )
    assert (await chat.hear(1)).text == "ask about @Alice\nplease"


async def test_a_quote_of_another_person_is_handed_on(discord, chat, gateway, world):
    original = await discord.dm(world.alice, "the sky is green")
    await discord.dm(world.alice, "is that true?", reply_to=original)
    heard = await chat.hear(2)
    assert (heard.quotes, heard.quoted_text) == (str(original.id), "the sky is green")


async def test_a_reply_whose_words_are_hidden_is_explained_once(discord, chat, gateway, world):
    mine = await published(discord, chat, gateway, group(discord, world.room))
    await discord.say(world.room, world.alice, "secret", reply_to=mine, ping=False)
    await discord.wait_message(lambda message: "switch the reply's @ on" in message.content)
    await discord.say(world.room, world.alice, "more secrets", reply_to=mine, ping=False)
    await discord.say(world.room, world.alice, "over", mention=True)
    assert (await chat.hear(1)).text == "over"
    assert len(discord.sent) == 2


async def test_her_role_is_not_her_name_and_this_is_explained(discord, chat, gateway, world):
    await discord.say(world.room, world.alice, "hello", mention_role=True)
    await discord.wait_message(lambda message: "mention me" in message.content)
    assert chat.heard == []


async def test_a_thread_is_a_place_of_its_own(discord, chat, gateway, world):
    await discord.say(world.aside, world.alice, "psst", mention=True)
    assert (await chat.hear(1)).place == group(discord, world.aside)


async def test_bots_webhooks_and_she_herself_are_not_heard(discord, chat, gateway, world):
    other = discord.add_user("Other", bot=True)
    await discord.dm(other, "beep")
    await discord.say(world.room, other, "beep", mention=True)
    await discord.say(world.room, world.alice, "hook", mention=True, webhook=True)
    await gateway.send(part(group(discord, world.room), f"<@{discord.bot.id}> talking to myself"))
    await discord.dm(world.alice, "last")
    assert (await chat.hear(1)).text == "last"


async def test_what_is_no_text_is_named(discord, chat, gateway, world):
    picture = {
        "id": "1",
        "filename": "cat.png",
        "size": 1,
        "url": "x",
        "proxy_url": "x",
        "content_type": "image/png",
    }
    await discord.dm(world.alice, "look", attachments=(picture,))
    assert (await chat.hear(1)).text == "look\n[image]"


async def test_a_notice_is_shown_at_the_place(discord, chat, gateway, world):
    chat.notice = "Slower, please."
    said = await discord.say(world.room, world.alice, "x", mention=True)
    notice = await discord.wait_message()
    assert (notice.content, notice.reply_to, notice.buttons) == ("Slower, please.", said, [])
    await discord.say(
        world.room, world.bob, "y", mention=True
    )  # the same words again are not taken for a repetition
    await discord.wait(lambda: len(discord.sent) == 2)


async def test_many_messages_keep_their_order(discord, chat, gateway, world):
    for number in range(20):
        await discord.dm(world.alice, str(number))
    await chat.hear(20)
    assert [each.text for each in chat.heard] == [str(number) for number in range(20)]


# What she writes.


async def test_a_reply_grows_in_one_message_and_gets_its_buttons_last(discord, chat, gateway, world):
    said = await discord.say(world.room, world.alice, "hi", mention=True)
    first = part(group(discord, world.room), "Well", quotes=str(said.id), final=False)
    shown = await gateway.send(first)
    message = await discord.wait_message()
    assert (message.reply_to, message.buttons) == (said, [])
    await gateway.send(replace(first, text="Well, well", edits=shown))
    assert message.buttons == []
    assert await gateway.send(replace(first, text="Well, well.", edits=shown, final=True)) == shown
    assert message.versions == ["Well", "Well, well", "Well, well."]
    assert message.buttons == ["fb:up:r1", "fb:down:r1", "fb:again:r1"]
    assert len(discord.sent) == 1


async def test_a_reply_of_two_messages_has_buttons_under_the_second(discord, chat, gateway, world):
    place = private(discord, world.alice)
    await gateway.send(part(place, "One.", last=False))
    await gateway.send(part(place, "Two.", index=1))
    assert [(each.content, bool(each.buttons)) for each in discord.sent] == [("One.", False), ("Two.", True)]


async def test_nobody_is_pinged_by_her_words(discord, chat, gateway, world):
    text = f"@everyone <@{world.alice.id}> <@&{world.guild.id}>"
    shown = await gateway.send(part(group(discord, world.room), text, final=False))
    await gateway.send(part(group(discord, world.room), text + "!", edits=shown))
    chat.notice = "@everyone"
    await discord.say(world.room, world.alice, "/help", mention=True)
    await discord.wait(lambda: len(discord.sent) == 2)
    slash = await discord.slash("help", None, world.alice, world.room)
    await slash.answer()
    bodies = [call.body for call in discord.rest.calls if call.body and "content" in call.body]
    assert len(bodies) == 4  # published, edited, a notice, a command's answer
    assert all(body["allowed_mentions"] == {"parse": []} for body in bodies)


async def test_words_that_discord_refuses_are_given_up(discord, chat, gateway, world):
    for text in ("x" * 2001, "   "):
        with pytest.raises(DeliveryFailed) as failed:
            await gateway.send(part(private(discord, world.alice), text))
        assert (failed.value.sent, failed.value.gone) == (False, True)
    assert await gateway.send(part(private(discord, world.alice), "好" * gateway.limit))


async def test_a_reply_to_a_deleted_message_is_still_said(discord, chat, gateway, world):
    said = await discord.say(world.room, world.alice, "hi", mention=True)
    await discord.delete(said)
    await gateway.send(part(group(discord, world.room), "Hm?", quotes=str(said.id)))
    assert (await discord.wait_message()).reply_to is None


async def test_where_she_may_not_speak_it_is_gone(discord, chat, gateway, world):
    world.room.visible = False
    world.alice.takes_dms = False
    deleted = await published(discord, chat, gateway, group(discord, world.aside))
    await discord.delete(deleted)
    for gone in (
        part(group(discord, world.room), "x"),
        part(private(discord, world.alice), "x"),
        part(group(discord, world.aside), "x", edits=str(deleted.id)),
        part(replace(group(discord, world.room), id="1"), "x"),
    ):
        with pytest.raises(DeliveryFailed) as failed:
            await gateway.send(gone)
        assert (failed.value.sent, failed.value.gone) == (False, True)


@pytest.mark.parametrize("kind", ["reset", "reset after", 503])
async def test_a_broken_line_is_tried_again_and_shows_one_message(discord, chat, gateway, world, kind):
    await discord.dm(world.alice, "hi")
    discord.fail("POST", MESSAGES, kind)
    shown = await gateway.send(part(private(discord, world.alice), "Hello."))
    assert [(str(each.id), each.content) for each in discord.sent] == [(shown, "Hello.")]
    posts = discord.calls("POST", "/messages")
    assert [call.body["nonce"] for call in posts] == ["r1-0", "r1-0"]
    assert all(call.body["enforce_nonce"] for call in posts)


async def test_a_line_that_stays_broken_is_reported_as_unknown(discord, chat, gateway, world):
    discord.fail("POST", MESSAGES, "reset", times=3)
    with pytest.raises(DeliveryFailed) as failed:
        await gateway.send(part(group(discord, world.room), "Hello."))
    assert (failed.value.sent, failed.value.gone) == (None, False)
    assert len(discord.calls("POST", "/messages")) == 3


async def test_a_request_that_hangs_is_given_up_and_repeated_without_harm(discord, chat, world):
    async with serving(discord, chat, patience=0.3) as gateway:
        discord.fail("POST", MESSAGES, "hang")
        with pytest.raises(DeliveryFailed) as failed:
            await gateway.send(part(group(discord, world.room), "Hello."))
        assert failed.value.sent is None
        await gateway.send(part(group(discord, world.room), "Hello."))
    assert [each.content for each in discord.sent] == ["Hello."]


@pytest.mark.parametrize("kind", [429, 500, "502 after"])
async def test_what_discord_py_repeats_shows_one_message(discord, chat, gateway, world, kind):
    discord.fail("POST", MESSAGES, kind)
    await gateway.send(part(group(discord, world.room), "Hello."))
    assert [each.content for each in discord.sent] == ["Hello."]
    assert {call.body["nonce"] for call in discord.calls("POST", "/messages")} == {"r1-0"}


async def test_a_reply_begun_by_a_process_that_died_is_finished_in_its_message(discord, chat, world):
    async with serving(discord, chat) as gateway:
        await gateway.send(part(group(discord, world.room), "It was a da", final=False))
    async with serving(discord, chat) as gateway:
        shown = await gateway.send(part(group(discord, world.room), "It was a dark night."))
    message = await discord.wait_message()
    assert [str(each.id) for each in discord.sent] == [shown]
    assert message.versions == ["It was a da", "It was a dark night."]
    assert message.buttons == ["fb:up:r1", "fb:down:r1", "fb:again:r1"]


async def test_a_ban_silences_everything_for_a_while(discord, chat, world, caplog):
    async with serving(discord, chat, pause=1.0) as gateway:
        discord.fail("POST", MESSAGES, "429 without via")
        with pytest.raises(DeliveryFailed) as failed:
            await gateway.send(part(group(discord, world.room), "Hello."))
        assert failed.value.sent is False
        before = len(discord.rest.calls)
        assert not gateway.accounts()
        with pytest.raises(DeliveryFailed):
            await gateway.send(part(group(discord, world.room), "Hello."))
        async with gateway.typing(group(discord, world.room)):
            await discord.slash("help", None, world.alice, world.room)
            await chat.until(lambda: chat.connections == 2)  # the pause is over
        assert len(discord.rest.calls) == before
        await gateway.send(part(group(discord, world.room), "Hello."))
    assert "nothing is sent for 1 s" in caplog.text


async def test_a_storm_of_refusals_ends_itself(discord, chat, world):
    world.room.visible = False
    async with serving(discord, chat, refusals=5) as gateway:
        for _ in range(9):
            with pytest.raises(DeliveryFailed):
                await gateway.send(part(group(discord, world.room), "Hello."))
    assert len(discord.calls("POST", "/messages")) == 5


async def test_typing_is_shown_and_never_in_the_way(discord, chat, gateway, world):
    await discord.dm(world.alice, "hi")
    for place in (private(discord, world.alice), group(discord, world.room)):
        async with gateway.typing(place):
            await discord.wait(lambda: discord.typings)
        assert discord.typings.pop().id
    discord.fail("POST", "/channels/*/typing", 403)
    discord.fail("POST", "/channels/*/typing", "hang")
    for _ in range(2):
        async with gateway.typing(group(discord, world.room)):
            await gateway.send(part(group(discord, world.room), "Hello."))


# What people think of it.


async def test_thumbs_are_put_and_taken_away(discord, chat, gateway, world):
    mine = await published(discord, chat, gateway, group(discord, world.room))
    await discord.react(mine, world.alice, "👍🏽")
    await discord.react(mine, world.alice, "❤️", burst=True)
    await discord.react(mine, world.alice, "👎")
    await discord.react(mine, world.alice, "🤔")
    await discord.unreact(mine, world.alice, "👍🏽")
    await chat.until(lambda: len(chat.reactions) == 4)
    assert [(each.vote, each.added, each.mark) for each in chat.reactions] == [
        ("up", True, "👍🏽"),
        ("up", True, "❤️"),
        ("down", True, "👎"),
        ("up", False, "👍🏽"),
    ]
    first = chat.reactions[0]
    assert (first.place, first.message, first.person.name) == (
        group(discord, world.room),
        str(mine.id),
        "Alice",
    )


async def test_a_thumb_in_a_direct_message(discord, chat, gateway, world):
    mine = await published(discord, chat, gateway, private(discord, world.alice))
    await discord.react(mine, world.alice, "👍")
    await chat.until(lambda: chat.reactions)
    assert chat.reactions[0].place == private(discord, world.alice)


async def test_her_own_and_other_bots_reactions_do_not_count(discord, chat, gateway, world):
    mine = await published(discord, chat, gateway, group(discord, world.room))
    await discord.react(mine, discord.bot, "👍")
    await discord.react(mine, discord.add_user("Other", bot=True), "👍")
    await discord.react(mine, world.bob, "👎")
    await chat.until(lambda: chat.reactions)
    assert [each.person.name for each in chat.reactions] == ["Bob"]


@pytest.mark.parametrize("emoji", ["👍", None])
async def test_reactions_that_a_moderator_clears_are_taken_back(discord, chat, gateway, world, emoji):
    mine = await published(discord, chat, gateway, group(discord, world.room))
    for person, mark in ((world.alice, "👍"), (world.bob, "👍"), (world.bob, "👎")):
        await discord.react(mine, person, mark)
    await chat.until(lambda: len(chat.reactions) == 3)
    await discord.clear_reactions(mine, emoji)
    gone = 2 if emoji else 3
    await chat.until(lambda: len(chat.reactions) == 3 + gone)
    assert all(not each.added for each in chat.reactions[3:])
    assert len(chat.votes) == 3 - gone


async def test_buttons_work_after_a_restart_and_toggle(discord, chat, world):
    async with serving(discord, chat) as gateway:
        mine = await published(discord, chat, gateway, group(discord, world.room))
    async with serving(discord, chat):
        answers = []
        for button, person in (("up", world.alice), ("up", world.alice), ("down", world.bob)):
            click = await discord.click(mine, f"fb:{button}:r1", person)
            answers.append((await click.answer()).content)
            assert click.answers[0].flags & 64  # only who clicked sees it
    assert answers == [
        "Noted: 👍. Press it again to take it back.",
        "Taken back.",
        "记下了：👎。再点一次就收回。",
    ]
    marks = [(each.person.name, each.vote, each.added, each.mark) for each in chat.reactions]
    assert marks == [
        ("Alice", "up", True, "button"),
        ("Alice", "up", True, "button"),
        ("Alice", "up", False, "button"),
        ("Bob", "down", True, "button"),
    ]
    assert {each.message for each in chat.reactions} == {str(mine.id)}


async def test_a_thumb_on_a_reply_without_record_says_so(discord, chat, gateway, world):
    mine = await published(discord, chat, gateway, group(discord, world.room))
    chat.ours.clear()
    click = await discord.click(mine, "fb:up:r1", world.alice)
    assert (await click.answer()).content == "There is no record of this reply any more."


async def test_the_third_button_asks_for_another_answer(discord, chat, gateway, world):
    mine = await published(discord, chat, gateway, private(discord, world.bob))
    click = await discord.click(mine, "fb:again:r1", world.bob)
    assert (await click.answer()).content == "好，马上。"
    heard = await chat.hear(1)
    assert (heard.text, heard.quotes, heard.id) == ("/regenerate", str(mine.id), str(click.id))
    assert (heard.place, heard.language) == (private(discord, world.bob), "zh")


async def test_a_click_that_comes_twice_counts_once(discord, chat, gateway, world):
    mine = await published(discord, chat, gateway, group(discord, world.room))
    click = await discord.click(mine, "fb:up:r1", world.alice)
    await click.answer()
    discord.gateway.replay = 1
    await discord.gateway.close(4000)
    await discord.wait(lambda: len(discord.calls("POST", "/callback")) == 2)
    await discord.dm(world.alice, "over")
    await chat.hear(1)
    assert [each.added for each in chat.reactions] == [True]


# Slash commands.


async def test_commands_are_registered_once_for_servers_people_and_everywhere(discord, chat):
    async with serving(discord, chat):
        names = {command["name"] for command in discord.rest.commands}
        assert names == {
            *("help", "character", "reset", "regenerate", "good", "bad"),
            *("consent", "export", "forget"),
        }
        for command in discord.rest.commands:
            assert (command["integration_types"], command["contexts"]) == ([0, 1], [0, 1, 2])
    async with serving(discord, chat):
        assert len(discord.calls("PUT", "/commands")) == 1
    discord.rest.commands[0]["description"] = "older"
    async with serving(discord, chat):
        assert len(discord.calls("PUT", "/commands")) == 2


async def test_commands_that_cannot_be_registered_do_not_stop_the_bot(discord, chat, world, caplog):
    discord.fail("PUT", "/applications/*/commands", 403)
    async with serving(discord, chat):
        await discord.dm(world.alice, "hi")
        await chat.hear(1)
    assert "slash commands could not be registered" in caplog.text


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("help", {}, "/help"),
        ("reset", {}, "/reset"),
        ("regenerate", {}, "/regenerate"),
        ("good", {}, "/good"),
        ("bad", {}, "/bad"),
        ("character", {}, "/character"),
        ("character", {"name": "zhiwei"}, "/character zhiwei"),
    ],
)
async def test_a_slash_command_is_the_command(discord, chat, gateway, world, name, options, text):
    chat.notice = "AsYouWish." * 250
    slash = await discord.slash(name, options, world.bob, world.room)
    await discord.wait(lambda: "".join(each.content for each in slash.answers) == chat.notice)
    assert all(answer.flags & 64 for answer in slash.answers)
    heard = await chat.hear(1)
    assert (heard.text, heard.id, heard.place) == (text, str(slash.id), group(discord, world.room))
    assert (heard.person.name, heard.language) == ("Bob", "zh")


async def test_a_slash_command_in_a_direct_message(discord, chat, gateway, world):
    slash = await discord.slash("regenerate", None, world.alice, discord.dm_channel(world.alice))
    assert (await slash.answer()).content == "On its way."
    assert (await chat.hear(1)).place == private(discord, world.alice)


async def test_names_are_completed(discord, chat, gateway, world):
    found = await discord.autocomplete("character", "name", "mae", world.alice, world.room)
    assert found == [{"name": "Maeve", "value": "maeve"}]
    every = await discord.autocomplete("character", "name", "", world.alice, world.room)
    assert [each["value"] for each in every] == ["zhiwei", "maeve"]


async def test_forgetting_is_asked_for_twice_and_survives_a_restart(discord, chat, world):
    async with serving(discord, chat):
        slash = await discord.slash("forget", None, world.alice, world.room)
        question = await slash.answer()
        assert "Are you sure?" in question.content
        assert chat.heard == []
    async with serving(discord, chat):
        chat.notice = "Forgotten."
        click = await discord.click(question, question.buttons[0], world.alice)
        await discord.wait(lambda: question.content == "Forgotten.")
    assert question.buttons == []
    assert [(each.text, each.id) for each in chat.heard] == [("/forget yes", str(click.id))]


async def test_where_she_is_not_she_says_so(discord, chat, gateway, world):
    foreign = discord.add_channel(discord.foreign_guild())
    for elsewhere in (discord.add_group_dm(world.alice, world.bob), foreign):
        slash = await discord.slash("character", None, world.bob, elsewhere)
        assert "我不在这个频道里" in (await slash.answer()).content
    assert chat.heard == []


async def test_a_command_that_comes_too_late_does_nothing(discord, chat, gateway, world, caplog):
    discord.patience = -1
    await discord.slash("reset", None, world.alice, world.room)
    await discord.wait(lambda: discord.calls("POST", "/callback"))
    await discord.dm(world.alice, "over")
    assert (await chat.hear(1)).text == "over"
    assert "too late, or twice" in caplog.text


# Lines that break.


@pytest.mark.parametrize("how", ["abort", "4000", "op 7", "op 9 resumable"])
async def test_a_lost_line_is_resumed_and_nothing_is_heard_twice(discord, chat, gateway, world, how):
    await discord.dm(world.alice, "one")
    await chat.hear(1)
    discord.gateway.replay = 1
    match how:
        case "abort":
            discord.gateway.abort()
        case "4000":
            await discord.gateway.close(4000)
        case "op 7":
            await discord.gateway.reconnect()
        case _:
            await discord.gateway.invalidate(resumable=True)
    await discord.wait(lambda: discord.gateway.resumes and discord.gateway.connected, 15)
    await discord.dm(world.alice, "two")
    await chat.hear(2)
    assert [each.text for each in chat.heard] == ["one", "two"]
    assert len(discord.gateway.identifies) == 1


@pytest.mark.parametrize("how", ["4009", "op 9", "restart"])
async def test_what_was_said_in_a_gap_is_caught_up_with(discord, chat, world, how):
    chat.places = [
        private(discord, world.alice),
        group(discord, world.room),
        replace(private(discord, world.alice), id="1"),  # who is no more
        group(discord, world.aside),
    ]
    other = discord.add_user("Other", bot=True)

    async def gap() -> None:
        await discord.dm(world.alice, "still there?")
        await discord.dm(world.alice, "long ago", age=700)
        await discord.say(world.room, world.bob, "hello?", mention=True)
        await discord.say(world.room, world.bob, "not for you")
        await discord.say(world.room, other, "beep", mention=True)

    if how == "restart":
        async with serving(discord, chat):
            await discord.dm(world.alice, "one")
            await chat.hear(1)
        await gap()
        async with serving(discord, chat):
            await chat.hear(3)
    else:
        async with serving(discord, chat):
            await discord.dm(world.alice, "one")
            await chat.hear(1)
            discord.gateway.refuse = 503
            await (discord.gateway.close(4009) if how == "4009" else discord.gateway.invalidate())
            await discord.wait(lambda: not discord.gateway.connected)
            await gap()
            discord.gateway.refuse = None
            await chat.until(lambda: len(chat.heard) == 3, 15)
    assert [(each.text, each.place) for each in chat.heard] == [
        ("one", private(discord, world.alice)),
        ("still there?", private(discord, world.alice)),
        ("hello?", group(discord, world.room)),
    ]


@pytest.mark.parametrize("refuse", [503, "reset"])
async def test_a_first_connection_that_fails_is_tried_again(discord, chat, world, refuse, caplog):
    discord.gateway.refuse = refuse

    async def mend() -> None:
        await discord.wait(lambda: len(discord.calls("GET", "/users/@me")) == 2, 10)  # it has started anew
        discord.gateway.refuse = None

    mending = asyncio.create_task(mend())
    async with serving(discord, chat):
        await mending
        await discord.dm(world.alice, "hi")
        await chat.hear(1)
    assert "Discord cannot be reached" in caplog.text


@pytest.mark.parametrize("kind", [503, "reset", "429 without via"])
async def test_a_login_that_fails_for_discords_sake_is_tried_again(discord, chat, kind):
    discord.fail("GET", "/users/@me", kind)
    async with serving(discord, chat, pause=0.5) as gateway:
        assert gateway.accounts() == (str(discord.bot.id),)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (4004, "`CHATNVL_DISCORD__TOKEN` is refused"),
        (4014, "`CHATNVL_DISCORD__TOKEN`"),
        (4013, "close code 4013"),
        (None, "`CHATNVL_DISCORD__TOKEN` is refused"),
    ],
)
async def test_what_can_never_work_ends_with_one_line(discord, chat, code, says, caplog):
    caplog.set_level(logging.DEBUG)
    discord.gateway.close_on_identify = code
    token = discord.token if code else "a.wrong.token"
    with pytest.raises(ConfigurationError) as refused:
        async with asyncio.timeout(60):
            await DiscordGateway(token).run(chat, asyncio.Event())  # type: ignore[arg-type]
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "discord.com/developers" in str(refused.value) or code == 4013
    assert len(discord.gateway.identifies) == (1 if code else 0)
    assert token not in caplog.text + str(refused.value)


@pytest.mark.parametrize("token", ["", "  ", "two words", "tök.en", "line\nbreak"])
def test_a_token_that_is_none_is_refused_at_once(token):
    with pytest.raises(ConfigurationError, match="CHATNVL_DISCORD__TOKEN"):
        DiscordGateway(token)


async def test_stopping_while_nothing_works_is_quick(discord, chat, monkeypatch):
    monkeypatch.setattr(ExponentialBackoff, "delay", lambda self: 60.0)
    discord.gateway.refuse = 503
    stop = asyncio.Event()
    task = asyncio.create_task(DiscordGateway(discord.token).run(chat, stop))  # type: ignore[arg-type]
    await discord.wait(lambda: discord.calls("GET", "/commands"))
    stop.set()
    async with asyncio.timeout(5):
        await task


async def test_nothing_is_sent_before_or_after(discord, chat, world):
    gateway = DiscordGateway(discord.token)
    with pytest.raises(DeliveryFailed) as failed:
        await gateway.send(part(group(discord, world.room), "x"))
    assert failed.value.sent is False
    async with gateway.typing(group(discord, world.room)):
        pass
    async with serving(discord, chat) as gateway:
        assert gateway.accounts() == (str(discord.bot.id),)
    with pytest.raises(DeliveryFailed):
        await gateway.send(part(group(discord, world.room), "x"))
