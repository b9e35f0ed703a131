"""Every body that our Discord answers, and that our bot sends it, against Discord's own OpenAPI schemas."""

import asyncio
import json
import re
from typing import Any

import pytest

from tests.bot.test_discord import Chat, gateway, group, part, private, published, world
from tests.bot.test_discord import chat as chat
from tests.bot.test_discord import discord as discord
from tests.fakes.discord import FakeDiscord
from tests.strangers.discord_node import node_program

pytestmark = [pytest.mark.slow, pytest.mark.strangers]
__all__ = ["gateway", "world"]

SPEC = "discord-api-spec@10.0.266135"
CHANNEL, MESSAGE, ORIGINAL = (
    r"/channels/\d+",
    r"/channels/\d+/messages/\d+",
    r"/webhooks/\d+/[^/]+/messages/@original",
)
# Route -> schema of what is sent, schema of what is answered; [] is a list of it.
ROUTES = {
    r"GET /users/@me": (None, "UserPIIResponse"),
    r"GET /(oauth2/)?applications/@me": (None, "PrivateApplicationResponse"),
    r"GET /gateway/bot": (None, "GatewayBotResponse"),
    r"POST /users/@me/channels": ("CreatePrivateChannelRequest", "PrivateChannelResponse"),
    rf"GET {CHANNEL}/messages": (None, "[]MessageResponse"),
    rf"POST {CHANNEL}/messages": ("MessageCreateRequest", "MessageResponse"),
    rf"GET {MESSAGE}": (None, "MessageResponse"),
    rf"PATCH {MESSAGE}": ("MessageEditRequestPartial", "MessageResponse"),
    rf"POST {CHANNEL}/typing": (None, None),
    r"GET /applications/\d+/commands": (None, "[]ApplicationCommandResponse"),
    r"PUT /applications/\d+/commands": ("[]ApplicationCommandUpdateRequest", "[]ApplicationCommandResponse"),
    r"POST /interactions/\d+/[^/]+/callback": ("callback", "InteractionCallbackResponse"),
    rf"PATCH {ORIGINAL}": ("IncomingWebhookUpdateRequestPartial", "MessageResponse"),
    r"POST /webhooks/\d+/[^/]+": ("IncomingWebhookRequestPartial", "MessageResponse"),
}
CALLBACKS = {
    4: "CreateMessageInteractionCallbackRequest",
    5: "CreateMessageInteractionCallbackRequest",
    7: "UpdateMessageInteractionCallbackRequest",
    8: "ApplicationCommandAutocompleteCallbackRequest",
}
# What the gateway says of a message beyond its REST form.
ONLY_IN_EVENTS = {"guild_id", "member", "channel_type"}
# What discord.py sends although the document does not have it there.
UNDOCUMENTED = {"tts", "nsfw"}
# discord.py sends these ids as numbers where the document wants strings. Discord takes both.
NUMBERS = ("message_reference.message_id", "message_reference.channel_id", "recipient_id")


async def talk(discord: FakeDiscord, chat: Chat, gateway: Any, world: Any) -> None:
    """A bit of everything."""
    said = await discord.say(world.room, world.alice, "hello", mention=True)
    await discord.dm(world.bob, "hi")
    shown = await gateway.send(part(group(discord, world.room), "Well", quotes=str(said.id), final=False))
    await gateway.send(part(group(discord, world.room), "Well, well.", edits=shown))
    mine = await published(discord, chat, gateway, private(discord, world.bob))
    await discord.react(mine, world.bob, "👍")
    await discord.say(world.room, world.alice, "hidden", reply_to=discord.sent[0], ping=False)
    async with gateway.typing(group(discord, world.room)):
        await discord.wait(lambda: discord.typings)
    await (await discord.click(mine, mine.buttons[0], world.bob)).answer()
    chat.notice = "x" * 4000
    help_ = await discord.slash("help", None, world.alice, world.room)
    await discord.wait(lambda: len(help_.answers) == 3)
    chat.notice = None
    await discord.autocomplete("character", "name", "m", world.alice, world.room)
    question = await (await discord.slash("forget", None, world.bob, discord.dm_channel(world.bob))).answer()
    await discord.click(question, question.buttons[0], world.bob)
    await discord.wait(lambda: not question.buttons)
    chat.places = [group(discord, world.room), private(discord, world.bob)]
    await discord.gateway.close(4009)
    await discord.wait(
        lambda: len([each for each in discord.calls("GET", "/messages") if each.status]) == 2, 15
    )


def bodies(discord: FakeDiscord) -> list[tuple[str, str, Any]]:
    found: list[tuple[str, str, Any]] = []

    def add(what: str, schema: str | None, body: Any) -> None:
        if schema is None:
            return
        if schema == "callback":
            schema = CALLBACKS.get(body["type"])
        for each in body if schema and schema.startswith("[]") else [body]:
            if schema:
                found.append((what, schema.removeprefix("[]"), each))

    for call in discord.rest.calls:
        route = f"{call.method} {call.path}"
        request, response = next(value for key, value in ROUTES.items() if re.fullmatch(key, route))
        add(f"{route} sent", request, call.body)
        if call.status and call.status < 300:
            add(f"{route} answered", response, call.answer)
    for name, data in discord.events:
        if name in ("MESSAGE_CREATE", "MESSAGE_UPDATE"):
            plain = {key: value for key, value in data.items() if key not in ONLY_IN_EVENTS}
            add(f"event {name}", "MessageResponse", plain)
        elif name == "INTERACTION_CREATE" and "message" in data:
            add(f"event {name}", "MessageResponse", data["message"])
        elif name == "GUILD_CREATE":
            for channel in data["channels"]:
                add(f"event {name}", "GuildChannelResponse", channel)
            for role in data["roles"]:
                add(f"event {name}", "GuildRoleResponse", role)
    return found


async def check(rows: list[tuple[str, str, Any]]) -> list[dict[str, list[str]]]:
    process = await asyncio.create_subprocess_exec(
        *node_program("discord_spec.mjs", SPEC, "zod@4"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    lines = "".join(json.dumps({"schema": schema, "body": body}) + "\n" for _, schema, body in rows)
    out, _ = await process.communicate(lines.encode())
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


async def test_all_bodies_are_discords(discord: FakeDiscord, chat: Chat, gateway: Any, world: Any) -> None:
    await talk(discord, chat, gateway, world)
    rows = bodies(discord)
    seen = {schema for _, schema, _ in rows}
    wanted = {name.removeprefix("[]") for pair in ROUTES.values() for name in pair if name} - {"callback"}
    assert wanted - seen <= {"GatewayBotResponse"}, "a route that nothing went through"
    verdicts = await check(rows)
    assert len(verdicts) == len(rows) > 60
    wrong = {
        f"{what}: {each}" for (what, *_), found in zip(rows, verdicts, strict=True) for each in found["wrong"]
    }
    unknown = {
        f"{what}: {each}"
        for (what, *_), found in zip(rows, verdicts, strict=True)
        for each in found["unknown"]
    }
    assert {each for each in wrong if not each.partition(" sent: ")[2].startswith(NUMBERS)} == set()
    assert {each for each in unknown if each.rpartition(": ")[2] not in UNDOCUMENTED} == set()


async def test_the_check_can_fail() -> None:
    verdicts = await check([("", "MessageResponse", {"id": "1"}), ("", "GatewayBotResponse", {"url": 5})])
    assert all(found["wrong"] for found in verdicts)
