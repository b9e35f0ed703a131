"""A Discord of our own on 127.0.0.1: REST v10 and the gateway, written from Discord's documents.

discord.py, discord.js and others talk to it unmodified. Tests play the people: they write, react, click, use
slash commands, and cut lines. ::

    async with FakeDiscord() as discord:
        alice = discord.add_user("Alice")
        with discord.in_place_of_discord():
            ...  # a discord.Client that starts here reaches the fake
        await discord.dm(alice, "hello")
        answer = await discord.wait_message(lambda message: message.author is discord.bot)
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Any, Self

import yarl
from aiohttp import web
from discord.gateway import DiscordWebSocket
from discord.http import Route

from tests.fakes.discord_gateway import MESSAGE_CONTENT, FakeGateway
from tests.fakes.discord_rest import Bucket, Call, FakeRest, Fault
from tests.fakes.discord_shapes import (
    DM,
    GROUP_DM,
    TEXT,
    THREAD,
    Channel,
    Guild,
    Json,
    Message,
    User,
    snowflake,
)

__all__ = ["Channel", "FakeDiscord", "Guild", "Interaction", "Message", "User", "in_place_of_discord"]

TOKEN = (
    "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"  # the example of Discord's own documents
)
COMMAND, COMPONENT, AUTOCOMPLETE = 2, 3, 4  # interaction types


@contextmanager
def in_place_of_discord(rest: str, gateway: str) -> Iterator[None]:
    """Point discord.py at another host: the two addresses it knows, and nothing else of it, are exchanged."""
    before = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = rest, yarl.URL(gateway)
    try:
        yield
    finally:
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = before


@dataclass(eq=False)
class Interaction:
    """A command or a click on its way, and what the bot answered."""

    discord: "FakeDiscord"
    type: int
    user: User
    channel: Channel
    data: Json
    message: Message | None = None
    id: int = field(default_factory=snowflake)
    token: str = field(default_factory=lambda: token_urlsafe(40))
    created: float = field(default_factory=time.monotonic)
    response: int | None = None  # the callback type the bot chose
    answers: list[Message] = field(default_factory=list)
    choices: list[Json] | None = None

    async def answer(self, timeout: float = 5) -> Message:  # noqa: ASYNC109 - tests say how long they wait
        """The first answer with words in it."""
        found = await self.discord.wait(
            lambda: next((each for each in self.answers if each.content), None), timeout, "an answer"
        )
        assert isinstance(found, Message)
        return found

    def json(self) -> Json:
        bot, guild = self.discord.bot, self.channel.guild
        body: Json = {
            "id": str(self.id),
            "application_id": str(bot.id),
            "type": self.type,
            "data": self.data,
            "token": self.token,
            "version": 1,
            "channel": self.channel.json(bot),
            "channel_id": str(self.channel.id),
            "locale": self.user.locale,
            "app_permissions": "274877991936",
            "entitlements": [],
            "attachment_size_limit": 10_485_760,
            "context": 0 if guild else 1 if self.channel.type == DM else 2,
            "authorizing_integration_owners": {"0": str(guild.id) if guild else "0"},
        }
        if self.channel.type == GROUP_DM or (guild and guild not in self.discord.guilds):
            body["authorizing_integration_owners"] = {"1": str(self.user.id)}
        if self.message is not None:
            body["message"] = self.message.json(bot)
        if guild is None:
            return body | {"user": self.user.json()}
        member = self.user.member() | {"user": self.user.json(), "permissions": "2248473465835073"}
        where = {"id": str(guild.id), "locale": "en-US", "features": []}
        return body | {"guild_id": str(guild.id), "guild": where, "guild_locale": "en-US", "member": member}


class FakeDiscord:
    def __init__(self, *, token: str = TOKEN, bot: str = "Heroine", privileged: int = 0) -> None:
        self.token = token
        self.privileged = privileged  # intents that the owner has switched on in the portal
        self.bot = User(snowflake(), bot, bot=True)
        self.users: dict[int, User] = {self.bot.id: self.bot}
        self.owner = self.add_user("Owner")
        self.guilds: list[Guild] = []
        self.channels: dict[int, Channel] = {}
        self.interactions: list[Interaction] = []
        self.typings: list[Channel] = []
        self.files: dict[tuple[int, str], bytes] = {}  # by message and name
        self.events: list[tuple[str, Json]] = []  # everything that went out of the gateway
        self.patience = 3.0  # seconds until an unanswered interaction is void
        self.gateway = FakeGateway(self)
        self.rest = FakeRest(self)
        self._change = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self.rest.door])
        app.add_routes(self.rest.routes())
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port: int = self._runner.addresses[0][1]
        self.base = f"http://127.0.0.1:{self.port}/api"
        self.gateway_url = f"ws://127.0.0.1:{self.port}/gateway-socket"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.rest.over.set()
        await self.gateway.hang_up()
        assert self._runner is not None
        await self._runner.cleanup()

    @contextmanager
    def in_place_of_discord(self) -> Iterator[Self]:
        with in_place_of_discord(self.base + "/v10", self.gateway_url):
            yield self

    @property
    def blind(self) -> bool:
        return not self.privileged & MESSAGE_CONTENT

    def application(self) -> Json:
        return {
            "id": str(self.bot.id),
            "name": self.bot.name,
            "icon": None,
            "description": "",
            "type": None,
            "flags": 0,
            "flags_new": "0",
            "bot": self.bot.json(),
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": "00" * 32,
            "owner": self.owner.json(),
            "team": None,
            "redirect_uris": [],
            "interactions_endpoint_url": None,
            "role_connections_verification_url": None,
            "integration_types_config": {"0": {}, "1": {}},
            "approximate_guild_count": len(self.guilds),
            "approximate_user_install_count": 0,
            "approximate_user_authorization_count": 0,
            "eligible_oauth2_scopes": [],
            "explicit_content_filter": 0,
            "rpc_origins": [],
        }

    # Faults and limits.

    def fail(
        self, method: str, path: str, kind: int | str, *, times: int = 1, retry_after: float = 0.05
    ) -> Fault:
        """Spoil a route's next calls: `fail("POST", "/channels/*/messages", "reset after")`; see `Fault`."""
        self.rest.faults.append(fault := Fault(method, path, kind, times, retry_after))
        return fault

    def limit(self, method: str, path: str, count: int, seconds: float) -> None:
        """Give a route a rate limit, with Discord's headers."""
        self.rest.buckets[method, path] = Bucket(count, seconds)

    def calls(self, method: str, end: str) -> list[Call]:
        return [call for call in self.rest.calls if call.method == method and call.path.endswith(end)]

    # Waiting for what the bot does.

    def changed(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    async def wait(self, condition: Callable[[], Any], timeout: float = 60, what: str = "it") -> Any:  # noqa: ASYNC109
        """The first true value of `condition`."""
        try:
            async with asyncio.timeout(timeout):
                while not (value := condition()):
                    await self._change.wait()
                return value
        except TimeoutError:
            said = [message.content for message in self.sent]
            raise AssertionError(f"waited {timeout} s for {what}; the bot has said {said!r}") from None

    async def wait_message(
        self,
        predicate: Callable[[Message], object] = lambda message: True,
        timeout: float = 5,  # noqa: ASYNC109
    ) -> Message:
        """The bot's first message that the predicate takes."""
        found = await self.wait(lambda: next(filter(predicate, self.sent), None), timeout, "a message")
        assert isinstance(found, Message)
        return found

    @property
    def sent(self) -> list[Message]:
        """The bot's messages, oldest first; `versions` holds what each said before."""
        every = (message for channel in self.channels.values() for message in channel.messages.values())
        return sorted(
            (message for message in every if message.author is self.bot), key=lambda message: message.id
        )

    # The world.

    def add_user(self, name: str, *, locale: str = "en-US", bot: bool = False) -> User:
        user = User(snowflake(), name, bot, locale)
        self.users[user.id] = user
        return user

    def add_guild(self, name: str = "Library") -> Guild:
        """Before the bot connects: it learns its guilds when it identifies."""
        self.guilds.append(guild := self.foreign_guild(name))
        return guild

    def foreign_guild(self, name: str = "Elsewhere") -> Guild:
        """Where the bot is not; people who installed the app for themselves may use its commands there."""
        return Guild(snowflake(), name, self.owner, snowflake())

    def _add(self, channel: Channel) -> Channel:
        self.channels[channel.id] = channel
        if channel.guild is not None:
            channel.guild.channels.append(channel)
        return channel

    def add_channel(self, guild: Guild, name: str = "general") -> Channel:
        return self._add(Channel(snowflake(), TEXT, name, guild))

    def add_thread(self, parent: Channel, name: str = "aside") -> Channel:
        return self._add(Channel(snowflake(), THREAD, name, parent.guild, parent))

    def add_group_dm(self, *people: User) -> Channel:
        """Where an app can be used by who installed it, but never is present."""
        return self._add(Channel(snowflake(), GROUP_DM, "friends", people=people, visible=False))

    def dm_channel(self, user: User) -> Channel:
        found = (each for each in self.channels.values() if each.type == DM and each.people == (user,))
        return next(found, None) or self._add(Channel(snowflake(), DM, people=(user,)))

    async def publish(self, message: Message) -> Message:
        message.channel.messages[message.id] = message
        message.versions.append(message.content)
        await self.gateway.message("MESSAGE_CREATE", message)
        self.changed()
        return message

    # What people do.

    async def dm(self, user: User, text: str, **options: Any) -> Message:
        return await self.say(self.dm_channel(user), user, text, **options)

    async def say(
        self,
        channel: Channel,
        user: User,
        text: str,
        *,
        mention: bool = False,
        mention_role: bool = False,
        reply_to: Message | None = None,
        ping: bool = True,
        also: Sequence[User] = (),
        attachments: tuple[Json, ...] = (),
        webhook: bool = False,
        age: float = 0,
    ) -> Message:
        """Write; `mention` puts the bot's in front, `ping` is the switch of a reply, `age` dates it back."""
        mentions, roles = list(also), ()
        if mention:
            text = f"<@{self.bot.id}> {text}"
            mentions.append(self.bot)
        if mention_role and channel.guild:
            text, roles = f"<@&{channel.guild.bot_role}> {text}", (channel.guild.bot_role,)
        if reply_to is not None and ping and reply_to.author not in mentions:
            mentions.append(reply_to.author)
        message = Message(
            snowflake(time.time() - age),
            channel,
            user,
            text,
            tuple(mentions),
            roles,
            "@everyone" in text,
            attachments,
            reply_to=reply_to,
            webhook=snowflake() if webhook else None,
        )
        return await self.publish(message)

    async def delete(self, message: Message) -> None:
        message.deleted = True
        message.channel.messages.pop(message.id, None)
        guild = message.channel.guild
        where = {"id": str(message.id), "channel_id": str(message.channel.id)}
        await self.gateway.dispatch("MESSAGE_DELETE", where | ({"guild_id": str(guild.id)} if guild else {}))

    async def react(self, message: Message, user: User, emoji: str, *, burst: bool = False) -> None:
        users = message.reactions.setdefault(emoji, [])
        if user in users:
            return
        users.append(user)
        data: Json = {
            "user_id": str(user.id),
            "emoji": {"id": None, "name": emoji},
            "burst": burst,
            "type": int(burst),
        }
        data["message_author_id"] = str(message.author.id)
        if message.channel.guild:
            data["member"] = user.member() | {"user": user.json()}
        await self.gateway.reaction("MESSAGE_REACTION_ADD", message, data)

    async def unreact(self, message: Message, user: User, emoji: str) -> None:
        message.reactions[emoji].remove(user)
        if not message.reactions[emoji]:
            del message.reactions[emoji]
        data: Json = {
            "user_id": str(user.id),
            "emoji": {"id": None, "name": emoji},
            "burst": False,
            "type": 0,
        }
        await self.gateway.reaction("MESSAGE_REACTION_REMOVE", message, data)

    async def clear_reactions(self, message: Message, emoji: str | None = None) -> None:
        """A moderator takes everybody's reactions away: all, or one emoji's."""
        if emoji is None:
            message.reactions.clear()
            await self.gateway.reaction("MESSAGE_REACTION_REMOVE_ALL", message, {})
        else:
            del message.reactions[emoji]
            gone: Json = {"emoji": {"id": None, "name": emoji}}
            await self.gateway.reaction("MESSAGE_REACTION_REMOVE_EMOJI", message, gone)

    async def interact(self, interaction: Interaction) -> Interaction:
        self.interactions.append(interaction)
        await self.gateway.dispatch("INTERACTION_CREATE", interaction.json())
        return interaction

    async def click(self, message: Message, custom_id: str, user: User) -> Interaction:
        assert custom_id in message.buttons, f"no button {custom_id!r} on {message.buttons}"
        button = next(
            each for row in message.components for each in row["components"] if each["custom_id"] == custom_id
        )
        data = {"component_type": 2, "custom_id": custom_id, "id": button["id"]}
        return await self.interact(Interaction(self, COMPONENT, user, message.channel, data, message))

    def _command(self, name: str, options: Json, *, focused: str | None = None) -> Json:
        command = next((each for each in self.rest.commands if each["name"] == name), None)
        assert command is not None, (
            f"`/{name}` is not registered: {[each['name'] for each in self.rest.commands]}"
        )
        known = {each["name"]: each for each in command.get("options", [])}
        assert options.keys() <= known.keys(), f"`/{name}` has the options {list(known)}"
        given = [
            {"name": key, "type": known[key]["type"], "value": value}
            | ({"focused": True} if key == focused else {})
            for key, value in options.items()
        ]
        return {"id": command["id"], "name": name, "type": 1, "options": given}

    async def slash(self, name: str, options: Json | None, user: User, channel: Channel) -> Interaction:
        data = self._command(name, options or {})
        return await self.interact(Interaction(self, COMMAND, user, channel, data))

    async def autocomplete(
        self, name: str, option: str, typed: str, user: User, channel: Channel
    ) -> list[Json]:
        data = self._command(name, {option: typed}, focused=option)
        interaction = await self.interact(Interaction(self, AUTOCOMPLETE, user, channel, data))
        await self.wait(lambda: interaction.choices is not None, what="choices")
        return interaction.choices or []
