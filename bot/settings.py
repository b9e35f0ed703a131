"""The settings of the bot, from the environment and `.env`. `.env.example` lists them; a test compares."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from dataset_builder.schema import Grant
from inference.client import Endpoint


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class RedisSettings(_Group):
    url: SecretStr | None = None
    """A Redis >= 6.2 or Valkey, such as `redis://:password@host:6379/0`. Unset: one of our own is started in
    the data folder.
    """
    cluster: bool = False
    """The URL is one node of a Redis Cluster."""


class FeedbackSettings(_Group):
    journal: bool = True
    """Whether this bot writes what happens into `<data>/feedback/`. One bot of several on one Redis does;
    set it off for those on other machines, so that it is always the same.
    """
    daily_votes: Annotated[int, Field(ge=1)] = 30
    """Votes of one person for one character that count in a day."""
    answers: Annotated[int, Field(ge=1, le=20)] = 6
    """Answers to one message, with `/regenerate`."""
    discord_grant: Grant | None = None
    """Discord's written permission to train on message content, if there is one."""


class QQSettings(_Group):
    host: str = "127.0.0.1"
    """Where NapCat, LLBot or Lagrange connects to (reverse WebSocket). Beyond loopback only with a token."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """The port of it: `ws://<host>:<port>/onebot/v11/ws`."""
    token: SecretStr | None = None
    """The access token that is set on the other side too."""


class DiscordSettings(_Group):
    token: SecretStr
    """The bot's token, from Discord's developer portal."""


class WebSettings(_Group):
    host: str = "127.0.0.1"
    """Where the page listens. Beyond loopback only with a token."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8400
    """The page's port."""
    token: SecretStr | None = None
    """What people need to open the page: `http://<host>:<port>/?token=…`, once a browser."""
    owner_token: SecretStr | None = None
    """What you alone need to see how the versions fare: `http://<host>:<port>/owner?token=…`, once a browser.
    Unset: there is no such page.
    """


class NoneBotSettings(_Group):
    host: str = "127.0.0.1"
    """Where NoneBot's adapters listen. Beyond loopback only with a token."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8081
    """The port of it."""
    token: SecretStr | None = None
    """The access token of NoneBot's adapters."""
    adapters: tuple[str, ...] = ()
    """NoneBot adapters as Python modules, such as `["nonebot.adapters.telegram"]`; not those that we serve
    ourselves.
    """


class BotSettings(BaseSettings):
    """Everything `python -m bot` can be told. A gateway whose group is set is on; with none, the page is."""

    model_config = SettingsConfigDict(
        env_prefix="CHATNVL_",
        env_nested_delimiter="__",
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    characters: Path = Path("characters")
    """The folder with one folder a character."""
    data: Path = Path("data")
    """Where the memory, the logs and the model server's address are kept."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """How much is logged."""
    default_character: str | None = None
    """Who answers where nobody was chosen. Unset: the first in alphabetical order."""
    message_limit: Annotated[int, Field(ge=1, le=20_000)] = 2000
    """Characters that one message of a person may have."""
    messages_per_minute: Annotated[int, Field(ge=1)] = 20
    """Messages that one person may send in a minute at one place."""
    memory_days: Annotated[int, Field(ge=1)] = 90
    """A conversation that was silent for so long is deleted."""
    reply_days: Annotated[int, Field(ge=1)] = 30
    """How long a reply's record and its votes are kept in Redis."""
    patience_seconds: Annotated[float, Field(ge=0)] = 600
    """How long a message waits for a model server that is down."""
    prompt_tokens: Annotated[int, Field(ge=256)] | None = None
    """How long a prompt may get. Unset: what the model server allows, less the reply."""
    turns_at_once: Annotated[int, Field(ge=1)] = 32
    """Replies that this process has written at the same time."""

    inference: Endpoint = Endpoint()
    redis: RedisSettings = RedisSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    qq: QQSettings | None = None
    discord: DiscordSettings | None = None
    web: WebSettings | None = None
    nonebot: NoneBotSettings | None = None
