"""The composition root: the only place where long-lived things are made, and where they end in order."""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
import webbrowser
from collections.abc import AsyncIterator, Sequence
from importlib import import_module
from typing import Protocol, runtime_checkable

from bot.chat import ChatService
from bot.errors import BotError, ConfigurationError
from bot.feedback.consent import Consents
from bot.feedback.events import Events
from bot.feedback.files import EventFiles
from bot.feedback.journal import Journal
from bot.feedback.ledger import Ledger
from bot.feedback.names import Names
from bot.feedback.votes import Votes
from bot.gateway import Gateway
from bot.memory.places import Places
from bot.memory.store import Store, connect
from bot.memory.turns import Turns
from bot.overview import Overview
from bot.rights import Rights
from bot.settings import BotSettings, WebSettings
from bot.worker import Worker
from inference.characters import Character, load_characters
from inference.client import InferenceClient
from inference.errors import InferenceError

_INBOX = 20  # messages that may wait in one conversation
_DAY = 86_400

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def open_store(settings: BotSettings) -> AsyncIterator[Store]:
    """The memory: the Redis of the settings, else a server of our own that is kept up meanwhile."""
    if settings.redis.url is not None:
        store = connect(url=settings.redis.url.get_secret_value(), cluster=settings.redis.cluster)
        embedded, keeper = None, None
    else:
        from bot.memory.embedded import EmbeddedValkey  # Windows cannot import it, and need not

        embedded = EmbeddedValkey(settings.data / "valkey")
        store = connect(socket=str(await embedded.start()))
        keeper = asyncio.create_task(embedded.keep())
    try:
        await store.do("PING")
        yield store
    finally:
        await store.close()
        if embedded and keeper:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
            await embedded.stop()


@contextlib.asynccontextmanager
async def chat_service(settings: BotSettings, gateways: Sequence[Gateway]) -> AsyncIterator[ChatService]:
    """A `ChatService` that works for these gateways until the `with` ends."""
    characters, default = find_characters(settings)
    by_platform = {gateway.platform: gateway for gateway in gateways}
    async with open_store(settings) as store, InferenceClient(settings.inference, settings.data) as client:
        keep, keep_reply = settings.memory_days * _DAY, settings.reply_days * _DAY
        owner = f"{os.getpid()}-{secrets.token_hex(6)}"
        turns = Turns(
            store,
            owner,
            keep_seconds=keep,
            reply_seconds=keep_reply,
            inbox=_INBOX,
            rate=settings.messages_per_minute,
        )
        places = Places(store, keep_seconds=keep, rate=settings.messages_per_minute)
        names = await Names.open(store)
        ledger = Ledger(store, names, grant=settings.feedback.discord_grant)
        worker = Worker(
            turns,
            places,
            ledger,
            client,
            characters,
            by_platform,
            patience=settings.patience_seconds,
            prompt_tokens=settings.prompt_tokens,
            at_once=settings.turns_at_once,
        )
        votes = Votes(store, names, keep_seconds=keep_reply, daily=settings.feedback.daily_votes)
        chat = ChatService(
            characters,
            default,
            places,
            turns,
            ledger,
            votes,
            Rights(
                characters,
                turns,
                votes,
                Consents(store, names, keep_seconds=keep),
                by_platform,
                memory_days=settings.memory_days,
            ),
            worker,
            by_platform,
            message_limit=settings.message_limit,
            messages_per_minute=settings.messages_per_minute,
            answers=settings.feedback.answers,
        )
        overview = Overview(store, characters, settings.data / "feedback", keep_seconds=keep_reply)
        for gateway in gateways:
            if isinstance(gateway, WithOwnerPage):
                gateway.show_owner(overview)
        sweeping = asyncio.create_task(worker.run())
        async with _journal(settings, store, owner):
            try:
                yield chat
            finally:
                await worker.drain()
                await sweeping


@contextlib.asynccontextmanager
async def _journal(settings: BotSettings, store: Store, owner: str) -> AsyncIterator[None]:
    if not settings.feedback.journal:
        yield
        return
    journal = Journal(Events(store, owner), EventFiles(settings.data / "feedback"))
    stop = asyncio.Event()
    writing = asyncio.create_task(journal.run(stop))
    try:
        yield
    finally:
        stop.set()
        await writing


async def run(
    settings: BotSettings, *, open_page: bool = False, gateways: Sequence[Gateway] | None = None
) -> None:
    """The bot, until SIGINT or SIGTERM, or until a gateway cannot go on. Raises `BotError`."""
    if gateways is None:
        gateways = make_gateways(settings)
    asked, stop = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows has none on the loop; there Ctrl-C cancels
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, asked.set)
    try:
        _refuse_double_service(gateways)
        async with chat_service(settings, gateways) as chat, asyncio.TaskGroup() as group:
            serving = [
                group.create_task(gateway.run(chat, stop), name=f"gateway {gateway.platform}")
                for gateway in gateways
            ]
            for task in serving:
                task.add_done_callback(lambda _: asked.set() if all(one.done() for one in serving) else None)
            announcing = [
                group.create_task(_announce(gateway, open_page))
                for gateway in gateways
                if isinstance(gateway, WithPage)
            ]
            await asked.wait()
            for task in announcing:
                task.cancel()
            await chat.drain()  # while the gateways can still send
            stop.set()
    except* BotError as errors:
        raise errors.exceptions[0] from errors


@runtime_checkable
class WithPage(Protocol):
    """A gateway that people reach with a browser."""

    async def listening(self) -> str:
        """Its address, as soon as it can be opened."""


@runtime_checkable
class WithOwnerPage(Protocol):
    """A gateway that shows the owner how the versions fare."""

    def show_owner(self, overview: Overview) -> None:
        """What there is to show."""


async def _announce(gateway: WithPage, open_it: bool) -> None:
    url = await gateway.listening()
    sys.stdout.write(f"\n  Talk with her at {url}\n  Ctrl-C ends it; what was said is kept.\n\n")
    sys.stdout.flush()
    # Without a screen `webbrowser` would start a text browser over our terminal.
    screen = sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    if open_it and screen:
        await asyncio.to_thread(webbrowser.open, url)


def _refuse_double_service(gateways: Sequence[Gateway]) -> None:
    """Two ways to one platform would answer everybody twice. Raises `ConfigurationError`."""
    for gateway in gateways:
        elsewhere = {other.platform for other in gateways if other is not gateway}
        if twice := elsewhere & getattr(gateway, "also_serves", frozenset()):
            raise ConfigurationError(
                f"`{gateway.platform}` has an adapter for {', '.join(sorted(twice))}, which is served "
                "already: people would be answered twice; take it out of `CHATNVL_NONEBOT__ADAPTERS`"
            )


def find_characters(settings: BotSettings) -> tuple[dict[str, Character], str]:
    """The characters, and who answers where nobody was chosen. Raises `ConfigurationError`."""
    try:
        characters = load_characters(settings.characters)
    except InferenceError as error:
        raise ConfigurationError(str(error)) from error
    default = settings.default_character or min(characters)
    if default not in characters:
        known = ", ".join(f"`{name}`" for name in sorted(characters))
        raise ConfigurationError(f"`CHATNVL_DEFAULT_CHARACTER` is `{default}`, but there are: {known}")
    return characters, default


def make_gateways(settings: BotSettings) -> list[Gateway]:
    """The gateways that the settings turn on. Their libraries are imported only here: each costs half a
    second.
    """
    made: list[Gateway] = []
    for name, kind in (
        ("qq", "QQGateway"),
        ("discord", "DiscordGateway"),
        ("web", "WebGateway"),
        ("nonebot", "NoneBotGateway"),
    ):
        group = getattr(settings, name)
        if name == "web" and group is None and not made and settings.nonebot is None:
            group = WebSettings()
        if group is None:
            continue
        options = {
            key: value.get_secret_value() if hasattr(value, "get_secret_value") else value
            for key, value in group
        }
        try:
            made.append(getattr(import_module(f"bot.gateways.{name}"), kind)(**options))
        except ImportError as error:
            raise ConfigurationError(
                f"`{name}` needs a package that is missing ({error.name}): `pip install .[bot]`"
            ) from error
    return made
