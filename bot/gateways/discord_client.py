"""What people do on Discord, handed to the rest of the bot: messages, reactions, buttons, slash commands.

discord.py keeps the session, the pace and the caches. What goes out is in `bot.gateways.discord`.
"""

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakValueDictionary

import aiohttp
import discord
from discord import app_commands

from bot.errors import DeliveryFailed, StorageUnavailable
from bot.gateways import discord_words as words
from bot.messages import IncomingMessage, Language, Part, Person, Place, Reaction, Vote

if TYPE_CHECKING:
    from bot.chat import ChatService
    from bot.gateways.discord import DiscordGateway

PLATFORM = "discord"
CATCH_UP = 600.0  # seconds: what was said in a longer gap is no longer waiting for an answer
REMEMBERED = 1000  # reactions and explanations that are kept in mind

# What discord.py lets through when Discord or the line to it is unwell.
TROUBLE = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError)

Interaction = discord.Interaction[Any]

log = logging.getLogger(__name__)


class DiscordClient(discord.Client):
    """One login. It asks for no privileged intent: of what is said in servers Discord then shows only what
    mentions the bot; direct messages and commands are always shown."""

    def __init__(self, gateway: "DiscordGateway", chat: "ChatService", trace: aiohttp.TraceConfig) -> None:
        super().__init__(
            intents=discord.Intents(
                guilds=True, guild_messages=True, dm_messages=True, guild_reactions=True, dm_reactions=True
            ),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            guild_ready_timeout=0.1,  # nothing here waits for the list of servers to be complete
            max_ratelimit_timeout=60,
            http_trace=trace,
        )
        self.chat = chat
        self._gateway = gateway
        self._ready_once = asyncio.Event()
        self._catching: set[asyncio.Task[None]] = set()
        self.tree = _commands(self)
        self._orders: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._seen: OrderedDict[tuple[int, int, str], Reaction] = OrderedDict()  # message, person, emoji
        self._told: OrderedDict[tuple[int, int], bool] = OrderedDict()  # channel, person

    # Coming and going.

    async def setup_hook(self) -> None:
        self.add_dynamic_items(_Button)
        try:
            # Raw: discord.py 2.7.1's own AppCommand misreads contexts and integration types by one bit.
            known = await self.http.get_global_commands(self.application_id or 0)
            ours = [command.to_dict(self.tree) for command in self.tree.get_commands()]
            if _shape(known) != _shape(ours):
                await self.tree.sync()  # only when they changed: Discord limits it by the day
        except (discord.HTTPException, app_commands.AppCommandError) as error:
            log.warning("the slash commands could not be registered: %s", error)

    async def on_ready(self) -> None:
        """After every new session. (A resumed one gets what it missed from Discord.)"""
        self._ready_once.set()
        self.announce()
        # A task of ours, so that a stop ends it: a request of its own in the air would outlive the session.
        task = asyncio.create_task(self._catch_up())
        self._catching.add(task)
        task.add_done_callback(self._catching.discard)

    async def close(self) -> None:
        for task in self._catching:
            task.cancel()
        await asyncio.gather(*self._catching, return_exceptions=True)
        await super().close()

    async def on_resumed(self) -> None:
        self.announce()

    @property
    def ready(self) -> bool:
        """Whether this login was ever complete."""
        return self._ready_once.is_set()

    def announce(self) -> None:
        self.chat.connected(PLATFORM, self.account)

    @property
    def account(self) -> str:
        assert self.user is not None, "nothing happens before the login"
        return str(self.user.id)

    def place(self, guild: int | None, channel: int, person: int) -> Place:
        if guild is None:
            return Place(PLATFORM, self.account, "private", str(person))
        return Place(PLATFORM, self.account, "group", str(channel))  # a thread is a place of its own

    # What people write.

    async def on_message(self, message: discord.Message) -> None:
        place = self.place(message.guild.id if message.guild else None, message.channel.id, message.author.id)
        async with self._order(message.channel.id):
            # People's words come as soon as the line is up, before the list of servers is complete, and until
            # then nothing can be answered.
            await self._ready_once.wait()
            await self._take(message, place)

    def _order(self, channel: int) -> asyncio.Lock:
        """discord.py runs each event as a task of its own; people's messages keep their order."""
        return self._orders.setdefault(channel, asyncio.Lock())

    async def _catch_up(self) -> None:
        since = discord.utils.utcnow() - timedelta(seconds=CATCH_UP)
        for place in await self.chat.active_places(PLATFORM, self.account, CATCH_UP):
            try:
                channel = await self._gateway.channel_at(self, place)
                async with self._order(channel.id):
                    missed = [
                        each async for each in channel.history(limit=20, after=since, oldest_first=False)
                    ]
                    for message in reversed(missed):
                        await self._take(message, place)
            except TROUBLE as error:
                log.warning("what was said at %s meanwhile is not known: %s", place, words.outline(error))

    async def _take(self, message: discord.Message, place: Place) -> None:
        ordinary = message.type in (discord.MessageType.default, discord.MessageType.reply)
        if message.author.bot or message.webhook_id or not ordinary:
            return
        quotes, quoted_text, ours = await self._quoted(message, place)
        mentioned = any(user.id == int(self.account) for user in message.mentions)
        role = message.guild.self_role if message.guild else None
        called = role is not None and role in message.role_mentions
        if place.kind == "group" and not (mentioned or called or ours):
            return
        text = self._text(message, role)
        if not text and place.kind == "group" and not mentioned:
            await self._explain(message, place)
            return
        notice = await self.chat.receive(
            IncomingMessage(
                place=place,
                id=str(message.id),
                person=Person(str(message.author.id), message.author.display_name),
                text=text,
                time=message.created_at.timestamp(),
                quotes=quotes,
                quoted_text=quoted_text,
            )
        )
        if notice:
            await self._tell(place, notice, message.id)

    async def _quoted(self, message: discord.Message, place: Place) -> tuple[str | None, str, bool]:
        """The message that it replies to, what that said, and whether we said it."""
        reference = message.reference
        if reference is None or reference.message_id is None or message.type is not discord.MessageType.reply:
            return None, "", False
        quotes = str(reference.message_id)
        if isinstance(reference.resolved, discord.Message):
            original = reference.resolved
            return quotes, self._text(original, None), original.author.id == int(self.account)
        return quotes, "", await self.chat.is_ours(place, quotes)

    def _text(self, message: discord.Message, role: discord.Role | None) -> str:
        """The words as people see them, without the mention of us."""
        text = re.sub(rf"[ \t]*<@!?{self.account}>[ \t]*", " ", message.content)
        if role is not None:
            text = re.sub(rf"[ \t]*<@&{role.id}>[ \t]*", " ", text)
        for user in message.mentions:
            text = re.sub(rf"<@!?{user.id}>", lambda _, name=user.display_name: f"@{name}", text)  # type: ignore[misc]
        text = re.sub(r"<a?(:\w+:)\d+>", r"\1", text).strip()
        kinds = [(each.content_type or "file").partition("/")[0] for each in message.attachments]
        kinds += ["sticker"] * len(message.stickers)
        return "\n".join(filter(None, [text, *(f"[{kind if kind.isalpha() else 'file'}]" for kind in kinds)]))

    async def _explain(self, message: discord.Message, place: Place) -> None:
        """A reply to us with its ping off: Discord hides the words. Said once to a person at a place."""
        key = message.channel.id, message.author.id
        if key in self._told:
            return
        _remember(self._told, key, True)
        try:
            language: Language = (await self.chat.current(place)).notices
        except StorageUnavailable:
            language = "en"
        await self._tell(place, words.TEXTS["unread"][language], message.id)

    async def _tell(self, place: Place, notice: str, answers: int) -> None:
        for index, text in enumerate(words.pieces(notice)):
            try:
                await self._gateway.send(Part(place, "", index, text, None if index else str(answers), ""))
            except DeliveryFailed as error:
                log.warning("a notice could not be shown: %s", error)
                return

    # What people think of it.

    async def on_raw_reaction_add(self, payload: discord.RawReactionActionEvent) -> None:
        await self._react(payload, added=True)

    async def on_raw_reaction_remove(self, payload: discord.RawReactionActionEvent) -> None:
        await self._react(payload, added=False)

    async def _react(self, payload: discord.RawReactionActionEvent, *, added: bool) -> None:
        emoji, member = payload.emoji.name, payload.member
        vote = words.vote(emoji) if payload.emoji.is_unicode_emoji() else None
        if vote is None or payload.user_id == int(self.account) or (member is not None and member.bot):
            return
        known = member or self.get_user(payload.user_id)
        reaction = Reaction(
            place=self.place(payload.guild_id, payload.channel_id, payload.user_id),
            message=str(payload.message_id),
            person=Person(str(payload.user_id), known.display_name if known else ""),
            vote=vote,
            added=added,
            mark=emoji,
            time=time.time(),
        )
        key = payload.message_id, payload.user_id, emoji
        async with self._order(payload.channel_id):
            if not added:
                self._seen.pop(key, None)
            if await self.chat.react(reaction) and added:
                _remember(self._seen, key, reaction)

    async def on_raw_reaction_clear(self, payload: discord.RawReactionClearEvent) -> None:
        await self._clear(payload.channel_id, payload.message_id, None)

    async def on_raw_reaction_clear_emoji(self, payload: discord.RawReactionClearEmojiEvent) -> None:
        await self._clear(payload.channel_id, payload.message_id, payload.emoji.name)

    async def _clear(self, channel: int, message: int, emoji: str | None) -> None:
        """A moderator took reactions away. Discord does not say whose they were; we know those we saw."""
        async with self._order(channel):
            for key in [key for key in self._seen if key[0] == message and emoji in (None, key[2])]:
                await self.chat.react(replace(self._seen.pop(key), added=False, time=time.time()))

    # Buttons and slash commands.

    async def press(self, interaction: Interaction, what: str) -> None:
        assert interaction.message is not None, "a button is on a message"
        message = str(interaction.message.id)
        if what == "forget":
            if await self._acknowledge(interaction, new=False):
                await self._answer(interaction, await self._ask(interaction, "/forget yes"))
        elif await self._acknowledge(interaction):
            if what == "again":
                notice = await self._ask(interaction, "/regenerate", quotes=message)
            else:
                notice = await self._vote(interaction, message, "up" if what == "up" else "down")
            await self._answer(interaction, notice)

    async def command(self, interaction: Interaction, text: str) -> None:
        if not await self._acknowledge(interaction):
            return
        guild = interaction.guild_id
        here = self.get_guild(guild) is not None if guild else interaction.context.dm_channel
        if not here:  # who installed the app may use it anywhere, but only its commands
            await self._answer(interaction, _say("elsewhere", interaction))
        elif text == "/forget":
            sure = discord.ui.View(timeout=None)
            sure.add_item(_Button("forget", str(interaction.user.id), label=_say("forget", interaction)))
            await self._answer(interaction, _say("forget?", interaction), sure)
        else:
            await self._answer(interaction, await self._ask(interaction, text))

    async def _acknowledge(self, interaction: Interaction, *, new: bool = True) -> bool:
        """Within Discord's three seconds, before anything slow. Refused (too late, or it came twice): then
        the person sees that it failed, or that it was done, and nothing is done now."""
        if self._gateway.silent:
            return False
        try:
            await interaction.response.defer(ephemeral=True, thinking=new)
        except TROUBLE as error:
            log.warning("a command or button came too late, or twice: %s", words.outline(error))
            return False
        return True

    async def _ask(self, interaction: Interaction, text: str, quotes: str | None = None) -> str:
        notice = await self.chat.receive(
            IncomingMessage(
                place=self._where(interaction),
                id=str(interaction.id),
                person=Person(str(interaction.user.id), interaction.user.display_name),
                text=text,
                time=interaction.created_at.timestamp(),
                quotes=quotes,
                language=_language(interaction),
            )
        )
        return notice or _say("taken", interaction)

    async def _vote(self, interaction: Interaction, message: str, vote: Vote) -> str:
        person = Person(str(interaction.user.id), interaction.user.display_name)
        reaction = Reaction(self._where(interaction), message, person, vote, True, "button", time.time())
        if await self.chat.react(reaction):
            return _say(vote, interaction)
        taken_back = await self.chat.react(replace(reaction, added=False))
        return _say("back" if taken_back else "unknown", interaction)

    def _where(self, interaction: Interaction) -> Place:
        return self.place(interaction.guild_id, interaction.channel_id or 0, interaction.user.id)

    async def _answer(self, interaction: Interaction, text: str, view: discord.ui.View | None = None) -> None:
        first, *rest = words.pieces(text)
        try:
            await interaction.edit_original_response(content=first, view=view)
            for piece in rest:
                await interaction.followup.send(piece, ephemeral=True)
        except TROUBLE as error:
            log.warning("a command's answer could not be shown: %s", words.outline(error))


class _Button(
    discord.ui.DynamicItem[discord.ui.Button[Any]], template=r"fb:(up|down|again|forget):([a-z0-9]{1,20})"
):
    """Found again by its id alone, so that it works after a restart."""

    def __init__(self, what: str, of: str, *, label: str | None = None) -> None:
        style = discord.ButtonStyle.danger if what == "forget" else discord.ButtonStyle.secondary
        super().__init__(
            discord.ui.Button(
                custom_id=f"fb:{what}:{of}", emoji=words.BUTTONS.get(what), label=label, style=style
            )
        )
        self._what = what

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match[1], match[2], label=getattr(item, "label", None))

    async def callback(self, interaction: Interaction) -> None:
        await interaction.client.press(interaction, self._what)


def buttons(reply: str) -> discord.ui.View:
    """The thumbs under a reply."""
    view = discord.ui.View(timeout=None)
    for what in words.BUTTONS:
        view.add_item(_Button(what, reply))
    return view


def _commands(client: DiscordClient) -> app_commands.CommandTree[DiscordClient]:
    """The slash commands. The core parses them; here is only what Discord wants to know."""
    tree = app_commands.CommandTree(
        client,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True),
        allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
    )

    async def plain(interaction: Interaction) -> None:
        assert interaction.command is not None, "it was called as a command"
        await client.command(interaction, f"/{interaction.command.name}")

    for name, description in words.COMMANDS.items():
        tree.add_command(app_commands.Command(name=name, description=description, callback=plain))

    @tree.command(description=words.CHARACTER)
    @app_commands.describe(name=words.CHARACTER_NAME)
    async def character(interaction: Interaction, name: str | None = None) -> None:
        await client.command(interaction, f"/character {name or ''}".strip())

    answers = [
        app_commands.Choice(name=shown, value=answer) for answer, shown in words.CONSENT_ANSWERS.items()
    ]

    @tree.command(description=words.CONSENT)
    @app_commands.describe(answer=words.CONSENT_ANSWER)
    @app_commands.choices(answer=answers)
    async def consent(interaction: Interaction, answer: str | None = None) -> None:
        await client.command(interaction, f"/consent {answer or ''}".strip())

    @character.autocomplete("name")
    async def complete(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        known = client.chat.characters.values()
        found = [who for who in known if typed.casefold() in f"{who.id} {who.name}".casefold()]
        return [app_commands.Choice(name=who.name[:100], value=who.id) for who in found[:25]]

    return tree


def _shape(commands: Iterable[Any]) -> dict[str, Any]:
    """What of a command is ours to decide, so that two lists of them can be compared."""
    return {
        command["name"]: (
            command["description"],
            sorted(command.get("contexts") or ()),
            sorted(command.get("integration_types") or ()),
            [
                (each["name"], each["description"], bool(each.get("autocomplete")))
                for each in command["options"]
            ],
        )
        for command in commands
    }


def _language(interaction: Interaction) -> Language:
    return "zh" if str(interaction.locale).startswith("zh") else "en"


def _say(key: str, interaction: Interaction) -> str:
    return words.TEXTS[key][_language(interaction)]


def _remember(known: OrderedDict[Any, Any], key: object, value: object) -> None:
    known[key] = value
    if len(known) > REMEMBERED:
        known.popitem(last=False)
