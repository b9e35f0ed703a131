"""The nouns of the fake Discord and the JSON that Discord's documents give them.

Only data and its shape; what happens to it is in `discord`, `discord_rest` and `discord_gateway`.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

Json = dict[str, Any]

EPOCH = 1_420_070_400_000  # Discord's first millisecond
TEXT, DM, GROUP_DM, THREAD = 0, 1, 3, 11  # channel types
MESSAGE, REPLY = 0, 19  # message types
EPHEMERAL, LOADING = 1 << 6, 1 << 7  # message flags

_worker = count(1)


def snowflake(at: float | None = None) -> int:
    """An id that carries its time, as Discord's do; never the same twice."""
    return int((time.time() if at is None else at) * 1000 - EPOCH) << 22 | next(_worker) % (1 << 22)


def stamp(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


@dataclass(eq=False)
class User:
    id: int
    name: str
    bot: bool = False
    locale: str = "en-US"
    takes_dms: bool = True

    def json(self) -> Json:
        return {
            "id": str(self.id),
            "username": self.name.lower(),
            "discriminator": "0",
            "global_name": self.name,
            "avatar": None,
            "avatar_decoration_data": None,
            "collectibles": None,
            "primary_guild": None,
            "public_flags": 0,
            "flags": 0,
            **({"bot": True} if self.bot else {}),
        }

    def member(self, *, roles: tuple[int, ...] = ()) -> Json:
        return {
            "avatar": None,
            "banner": None,
            "communication_disabled_until": None,
            "flags": 0,
            "joined_at": stamp(1_700_000_000),
            "nick": None,
            "pending": False,
            "premium_since": None,
            "roles": [str(role) for role in roles],
            "deaf": False,
            "mute": False,
        }


@dataclass(eq=False)
class Guild:
    id: int
    name: str
    owner: User
    bot_role: int
    channels: list["Channel"] = field(default_factory=list)

    def json(self, bot: User) -> Json:
        """GUILD_CREATE."""
        role = {
            "color": 0,
            "hoist": False,
            "icon": None,
            "unicode_emoji": None,
            "mentionable": False,
            "flags": 0,
        }
        role["colors"] = {"primary_color": 0, "secondary_color": None, "tertiary_color": None}
        nothing = (
            "icon",
            "splash",
            "discovery_splash",
            "afk_channel_id",
            "application_id",
            "system_channel_id",
            "rules_channel_id",
            "vanity_url_code",
            "description",
            "banner",
            "public_updates_channel_id",
            "safety_alerts_channel_id",
        )
        empty = (
            "emojis",
            "stickers",
            "features",
            "voice_states",
            "presences",
            "stage_instances",
            "guild_scheduled_events",
            "soundboard_sounds",
        )
        return {
            "id": str(self.id),
            "name": self.name,
            "owner_id": str(self.owner.id),
            "afk_timeout": 300,
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "system_channel_flags": 0,
            "max_members": 500_000,
            "premium_tier": 0,
            "preferred_locale": "en-US",
            "nsfw_level": 0,
            "premium_progress_bar_enabled": False,
            "joined_at": stamp(1_700_000_000),
            "large": False,
            "unavailable": False,
            "member_count": 2,
            **dict.fromkeys(nothing),
            **{key: [] for key in empty},
            "roles": [
                {
                    **role,
                    "id": str(self.id),
                    "name": "@everyone",
                    "position": 0,
                    "managed": False,
                    "permissions": "2248473465835073",
                },
                {
                    **role,
                    "id": str(self.bot_role),
                    "name": bot.name,
                    "position": 1,
                    "managed": True,
                    "permissions": "274877991936",
                    "tags": {"bot_id": str(bot.id)},
                },
            ],
            "members": [{**bot.member(roles=(self.bot_role,)), "user": bot.json()}],
            "channels": [channel.json(bot) for channel in self.channels if channel.type == TEXT],
            "threads": [channel.json(bot) for channel in self.channels if channel.type == THREAD],
        }


@dataclass(eq=False)
class Channel:
    id: int
    type: int
    name: str = ""
    guild: Guild | None = None
    parent: "Channel | None" = None
    people: tuple[User, ...] = ()  # of a DM or group DM, without the bot
    visible: bool = True  # to the bot
    messages: dict[int, "Message"] = field(default_factory=dict)

    def json(self, bot: User) -> Json:
        last = str(max(self.messages)) if self.messages else None
        base: Json = {"id": str(self.id), "type": self.type, "flags": 0, "last_message_id": last}
        if self.guild is None:
            base["recipients"] = [person.json() for person in self.people]
            if self.type == GROUP_DM:
                base |= {"name": self.name, "icon": None, "owner_id": str(self.people[0].id)}
            return base
        base |= {"guild_id": str(self.guild.id), "name": self.name, "rate_limit_per_user": 0}
        if self.type == THREAD:
            assert self.parent is not None
            made = stamp(1_700_000_000)
            return base | {
                "parent_id": str(self.parent.id),
                "owner_id": str(self.guild.owner.id),
                "message_count": len(self.messages),
                "member_count": 2,
                "total_message_sent": len(self.messages),
                "thread_metadata": {
                    "archived": False,
                    "auto_archive_duration": 1440,
                    "archive_timestamp": made,
                    "locked": False,
                    "create_timestamp": made,
                },
            }
        return base | {
            "position": 0,
            "permission_overwrites": [],
            "parent_id": None,
            "topic": None,
            "nsfw": False,
        }


@dataclass(eq=False)
class Message:
    id: int
    channel: Channel
    author: User
    content: str
    mentions: tuple[User, ...] = ()
    mention_roles: tuple[int, ...] = ()
    mention_everyone: bool = False
    attachments: tuple[Json, ...] = ()
    components: list[Json] = field(default_factory=list)
    reply_to: "Message | None" = None
    webhook: int | None = None
    nonce: str | int | None = None
    flags: int = 0
    edited: float | None = None
    deleted: bool = False
    reactions: dict[str, list[User]] = field(default_factory=dict)
    allowed_mentions: Json | None = None  # as the bot asked, for tests
    versions: list[str] = field(default_factory=list)  # every content it ever had, oldest first

    @property
    def time(self) -> float:
        return ((self.id >> 22) + EPOCH) / 1000

    @property
    def buttons(self) -> list[str]:
        return [button["custom_id"] for row in self.components for button in row["components"]]

    def json(self, bot: User, *, blind: bool = False, inner: bool = False) -> Json:
        """As the bot sees it; `blind` is without the message content intent."""
        readable = not blind or self.readable(bot)
        body: Json = {
            "id": str(self.id),
            "channel_id": str(self.channel.id),
            "type": MESSAGE if self.reply_to is None else REPLY,
            "author": self.author.json(),
            "content": self.content if readable else "",
            "attachments": list(self.attachments) if readable else [],
            "embeds": [],
            "components": self.components if readable else [],
            "mentions": [user.json() for user in self.mentions],
            "mention_roles": [str(role) for role in self.mention_roles],
            "mention_everyone": self.mention_everyone,
            "pinned": False,
            "tts": False,
            "flags": self.flags,
            "timestamp": stamp(self.time),
            "edited_timestamp": stamp(self.edited),
        }
        if self.reactions:
            body["reactions"] = [
                {
                    "emoji": {"id": None, "name": emoji},
                    "count": len(users),
                    "me": bot in users,
                    "me_burst": False,
                    "count_details": {"burst": 0, "normal": len(users)},
                    "burst_colors": [],
                }
                for emoji, users in self.reactions.items()
            ]
        if self.nonce is not None:
            body["nonce"] = self.nonce
        if self.webhook is not None:
            body["webhook_id"] = str(self.webhook)
        if self.reply_to is not None and not inner:
            there = {
                "message_id": str(self.reply_to.id),
                "channel_id": str(self.reply_to.channel.id),
                "type": 0,
            }
            guild = self.channel.guild
            body["message_reference"] = there | ({"guild_id": str(guild.id)} if guild else {})
            gone = self.reply_to.deleted
            body["referenced_message"] = None if gone else self.reply_to.json(bot, blind=blind, inner=True)
        return body

    def readable(self, bot: User) -> bool:
        """Whether an app without the content intent gets the words: own, DMs, where it is mentioned."""
        return self.author is bot or self.channel.type == DM or bot in self.mentions

    def event(self, bot: User, *, blind: bool) -> Json:
        """MESSAGE_CREATE and MESSAGE_UPDATE say more than the REST answer."""
        guild = self.channel.guild
        if guild is None:
            return self.json(bot, blind=blind) | {"channel_type": self.channel.type}
        more: Json = {"guild_id": str(guild.id), "channel_type": self.channel.type}
        if self.webhook is None:
            more["member"] = self.author.member(roles=(guild.bot_role,) if self.author is bot else ())
        return self.json(bot, blind=blind) | more
