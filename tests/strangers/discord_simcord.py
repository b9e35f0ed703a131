"""Runs in simcord's environment: its in-memory Discord drives our gateway. Prints what came of it."""

import asyncio
import json
import sys
from typing import Any

import discord
import simcord

from bot.gateways.discord import DiscordGateway
from bot.messages import Place
from tests.bot.test_discord import Chat, part


async def main() -> dict[str, Any]:
    chat, gateway = Chat(), DiscordGateway("a.simulated.token")
    async with simcord.run(gateway.connect(chat)) as env:  # type: ignore[arg-type]
        room = env.create_guild("Library").create_text_channel("general")
        alice = env.guild.add_member(env.create_user("alice"))
        account = gateway.accounts()[0]
        found: dict[str, Any] = {"commands": sorted(alice.available_commands(room))}

        await alice.send_dm("hello")
        private = Place("discord", account, "private", str(alice.id))
        await alice.send(room, "among ourselves")
        await alice.send(room, f"<@{account}> and here?")
        group = Place("discord", account, "group", str(room.id))
        found["heard"] = [[each.text, each.place == (private, group)[n]] for n, each in enumerate(chat.heard)]

        shown = await gateway.send(part(private, "I see", final=False))
        await gateway.send(part(private, "I see you. @everyone", edits=shown))
        in_room = await gateway.send(part(group, "In here.", reply="r2", quotes=chat.heard[1].id))
        await env.settle()
        chat.ours |= {shown, in_room}
        client = env.bot
        dm = await (await client.create_dm(discord.Object(alice.id))).fetch_message(int(shown))
        message = await client.get_channel(room.id).fetch_message(int(in_room))
        found["said"] = [dm.content, message.content, message.reference is not None]
        found["buttons"] = [button.custom_id for button in message.components[0].children]

        await alice.react(message, "👍")
        await alice.unreact(message, "👍")
        await alice.react(message, "🤔")
        found["reactions"] = [[each.vote, each.added, each.message == in_room] for each in chat.reactions]

        pressed = await alice.click(message, custom_id="fb:down:r2")
        await env.restart_bot(gateway.connect(chat))  # type: ignore[arg-type]
        again = await alice.click(message, custom_id="fb:down:r2")
        found["buttons pressed"] = [[each.ephemeral, each.response.content] for each in (pressed, again)]

        chat.notice = "You are now talking with 知微."
        result = await alice.slash(room, "character", name="zhiwei")
        found["slash"] = [chat.heard[-1].text, result.ephemeral, result.response.content]
        return found


if __name__ == "__main__":
    json.dump(asyncio.run(main()), sys.stdout)
