"""NoneBot2: every platform that we do not serve ourselves, and a door for people who already run a NoneBot.

Their way is `nonebot.load_plugin("bot.gateways.nonebot")`: this module is the plugin, and the chat lives as
long as their NoneBot. Ours is `NoneBotGateway`, which hosts the adapters that are named. Both are text in and
text out: what the platforms have in common. Votes are `/good` and `/bad` there.
"""

import asyncio
import itertools
import logging
import random
import time
import uuid
from collections import OrderedDict
from collections.abc import Collection, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import nonebot
from nonebot.adapters import Bot, Event
from nonebot.drivers import Driver
from nonebot.exception import ApiNotAvailable
from nonebot.plugin import PluginMetadata, on_message
from nonebot.rule import to_me

from bot.errors import ConfigurationError, DeliveryFailed
from bot.gateways import listen
from bot.messages import IncomingMessage, Part, Person, Place

if TYPE_CHECKING:
    from bot.chat import ChatService

logger = logging.getLogger(__name__)

__plugin_meta__ = PluginMetadata(
    name="ChatNVL",
    description="Talk with a visual novel's characters",
    usage="Mention the bot or write to it in private; /help lists the commands.",
    type="application",
)

DISCORD = (
    "Discord"  # as NoneBot's adapter calls itself; its messages keep Discord's name, on which rules hang
)
OURS = {"onebot.v11": "qq", "discord": "discord"}  # the ends of adapters' modules -> the gateway that we have
ENV_FILE = ".env.nonebot"  # the adapters' own settings; in `.env` NoneBot would find, and log, ours
PLACES_KNOWN = 5000


class Bridge:
    """The bots of a NoneBot as one gateway. NoneBot answers events, so the last one of each place is kept."""

    limit = 800
    idempotent = False
    stream_every: float | None = None
    burst = 1.2

    def __init__(self, platform: str = "nonebot", *, pace: tuple[float, float] = (0.7, 1.6)) -> None:
        self.platform = platform
        self._pace = pace
        self._chat: ChatService | None = None
        self._stop = asyncio.Event()
        self._bots: dict[str, Bot] = {}
        self._events: OrderedDict[Place, Event] = OrderedDict()
        self._numbers = itertools.count(1)

    def accounts(self) -> Collection[str]:
        return list(self._bots)

    async def run(self, chat: "ChatService", stop: asyncio.Event) -> None:
        self._chat = chat
        self._stop = stop
        for account in self._bots:  # some may have come while the chat was being made
            chat.connected(self.platform, account)
        await stop.wait()

    def joined(self, bot: Bot) -> None:
        self._bots[_account(bot)] = bot
        if self._chat is not None:
            self._chat.connected(self.platform, _account(bot))

    def left(self, bot: Bot) -> None:
        if self._bots.get(_account(bot)) is bot:
            del self._bots[_account(bot)]

    async def take(self, bot: Bot, event: Event) -> None:
        if self._chat is None or event.get_user_id() == bot.self_id:
            return
        user = event.get_user_id()
        session = event.get_session_id()
        group = getattr(event, "group_id", None)  # what OneBot and its many relatives have
        if group is None:  # what the others have tells private chats apart, and people within a group
            group = None if session == user else session
        place = Place(
            self.platform, _account(bot), "private" if group is None else "group", str(group or user)
        )
        self._events[place] = event
        self._events.move_to_end(place)
        if len(self._events) > PLACES_KNOWN:
            self._events.popitem(last=False)
        notice = await self._chat.receive(
            IncomingMessage(
                place=place,
                id=str(getattr(event, "message_id", None) or getattr(event, "id", None) or uuid.uuid4()),
                person=Person(user, _name(event) or user),
                text=event.get_plaintext().strip(),
                time=time.time(),
            )
        )
        if notice is not None:
            await self.send(Part(place, reply="", index=0, text=notice, quotes=None, character=""))

    async def send(self, part: Part) -> str:
        if part.index and await listen.within(random.uniform(*self._pace), self._stop):
            raise DeliveryFailed(self.platform, "the bot is stopping", sent=False)
        bot, event = self._bots.get(part.place.account), self._events.get(part.place)
        if bot is None:
            raise DeliveryFailed(self.platform, f"`{part.place.account}` is not connected", sent=False)
        if event is None:
            raise DeliveryFailed(
                self.platform, "nobody has written there since the start", sent=False, gone=True
            )
        # As a text segment: adapters read codes out of a string, and she would mention everybody.
        words = type(event.get_message()).get_segment_class()
        text = words.text(part.text) if hasattr(words, "text") else part.text
        try:
            shown = await bot.send(event, text)
        except ApiNotAvailable as error:
            raise DeliveryFailed(self.platform, repr(error), sent=False) from error
        except Exception as error:  # an adapter is somebody else's code: whatever it raises, it may have sent
            logger.warning("NoneBot: a message to %s may be lost: %r", part.place, error)
            raise DeliveryFailed(self.platform, repr(error)[:200], sent=None) from error
        known = shown.get("message_id") if isinstance(shown, dict) else getattr(shown, "message_id", None)
        return str(known or f"unnamed-{next(self._numbers)}")

    async def hand(self, place: Place, person: Person, name: str, data: bytes) -> None:
        raise DeliveryFailed(self.platform, "NoneBot has no way to send a file that all its adapters know")

    def typing(self, place: Place) -> AbstractAsyncContextManager[None]:
        return nullcontext()


class NoneBotGateway(Bridge):
    """A NoneBot of our own, for the adapters that the settings name by their modules."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 8081,
        token: str | None = None,
        adapters: Iterable[str] = (),
        pace: tuple[float, float] = (0.7, 1.6),
    ) -> None:
        super().__init__(pace=pace)
        listen.check_token("NoneBot", host, token)
        self.host = host
        self.port = port  # 0: any; the one in use as soon as `run` listens
        self._token = token
        self._adapters = tuple(adapters)
        if not self._adapters:
            raise ConfigurationError(
                "NoneBot: no adapter is named; "
                'set e.g. `CHATNVL_NONEBOT__ADAPTERS=["nonebot.adapters.telegram"]`'
            )
        # The platforms on which somebody would be answered twice if our own gateway for them runs too.
        self.also_serves = frozenset(
            ours for end, ours in OURS.items() for name in self._adapters if name.endswith(end)
        )
        if "discord" in self.also_serves:
            raise ConfigurationError(
                "NoneBot: its Discord adapter is not hosted here; our own gateway does more, "
                "set `CHATNVL_DISCORD__TOKEN` instead"
            )

    async def run(self, chat: "ChatService", stop: asyncio.Event) -> None:
        driver = self._prepare()
        driver.on_bot_connect(self.joined)
        driver.on_bot_disconnect(self.left)
        on_message(rule=to_me(), priority=99, block=True).append_handler(self.take)
        listener = listen.listen("NoneBot", self.host, self.port)
        self.port = listener.getsockname()[1]
        self._chat = chat
        self._stop = stop
        logger.info("NoneBot: serving %s at %s:%d", ", ".join(self._adapters), self.host, self.port)
        await listen.serve(nonebot.get_asgi(), listener, stop.wait)

    def _prepare(self) -> Driver:
        clients = "".join(f"+~{name}" for name in ("httpx", "websockets") if find_spec(name))
        try:
            # Not None: that means NoneBot's own choice of files, `.env` among them.
            nonebot.init(
                driver=f"~quart{clients}",
                _env_file=(ENV_FILE,),
                host="127.0.0.1",  # these two are not used, but given, or `HOST` and `PORT` would be read
                port=self.port or 1,
                log_level="INFO",
                onebot_access_token=self._token,
            )
        except ImportError as error:
            raise ConfigurationError(f"NoneBot: {error}") from error
        driver = nonebot.get_driver()
        for name in self._adapters:
            try:
                driver.register_adapter(import_module(name).Adapter)
            except ImportError as error:
                raise ConfigurationError(f"NoneBot: adapter `{name}` is not installed: {error}") from error
            except AttributeError as error:
                raise ConfigurationError(f"NoneBot: `{name}` is no adapter's module") from error
        return driver


class Guest:
    """The chat in somebody else's NoneBot: begins and ends with it."""

    def __init__(self) -> None:
        self._bridges: dict[str, Bridge] = {}
        self._leaving = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    async def start(self) -> None:
        # Made now, not when a bot connects: a chat keeps its gateways.
        platforms = {_platform(name) for name in nonebot.get_adapters()} or {"nonebot"}
        self._bridges = {platform: Bridge(platform) for platform in platforms}
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(ready))
        await asyncio.wait((self._life, ready), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            self._life.result()  # raises what went wrong, and with it NoneBot's start

    async def _live(self, ready: asyncio.Future[None]) -> None:
        """A task of its own: NoneBot calls start and stop from wherever its driver likes."""
        # The accepted exception to who may import whom: here the plugin is the composition root.
        from bot import app
        from bot.settings import BotSettings

        async with app.chat_service(BotSettings(), list(self._bridges.values())) as chat:
            serving = [
                asyncio.create_task(bridge.run(chat, self._leaving)) for bridge in self._bridges.values()
            ]
            ready.set_result(None)
            await asyncio.gather(*serving)

    async def stop(self) -> None:
        self._leaving.set()
        if self._life is not None:
            await self._life

    def joined(self, bot: Bot) -> None:
        if bridge := self._bridges.get(_platform(bot.type)):
            bridge.joined(bot)

    def left(self, bot: Bot) -> None:
        if bridge := self._bridges.get(_platform(bot.type)):
            bridge.left(bot)

    async def take(self, bot: Bot, event: Event) -> None:
        if bridge := self._bridges.get(_platform(bot.type)):
            await bridge.take(bot, event)


def _platform(adapter: str) -> str:
    return "discord" if adapter == DISCORD else "nonebot"


def _account(bot: Bot) -> str:
    """Ids are unique within an adapter only."""
    return f"{bot.type.lower().replace(' ', '-')}/{bot.self_id}"


def _name(event: Event) -> str | None:
    sender: Any = getattr(event, "sender", None)
    names = (getattr(sender, "card", None), getattr(sender, "nickname", None))
    return next((name.strip() for name in names if isinstance(name, str) and name.strip()), None)


def _install(driver: Driver) -> None:
    guest = Guest()
    driver.on_startup(guest.start)
    driver.on_shutdown(guest.stop)
    driver.on_bot_connect(guest.joined)
    driver.on_bot_disconnect(guest.left)
    on_message(rule=to_me(), priority=99, block=True).append_handler(guest.take)


if "__plugin__" in globals():  # put here by NoneBot's loader: a plain import has no effects
    _install(nonebot.get_driver())
