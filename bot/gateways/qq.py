"""QQ through OneBot v11: NapCat, LLBot or another client connects to our reverse WebSocket (aiocqhttp).

aiocqhttp brings the server, its paths, events and errors. What it leaves to chance is done here: whose socket
it is, which answer belongs to which call, and what is known about a message when no answer came.
"""

import asyncio
import base64
import hmac
import itertools
import json
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from aiocqhttp import CQHttp, Event
from aiocqhttp.exceptions import ActionFailed, ApiNotAvailable, Error, NetworkError
from quart import abort, websocket

from bot.errors import BotError, DeliveryFailed
from bot.gateways import listen, onebot
from bot.messages import IncomingMessage, Part, Person, Place, Reaction

if TYPE_CHECKING:
    from bot.chat import ChatService

logger = logging.getLogger(__name__)

PATHS = ("/onebot/v11/ws", "/onebot/v11")  # what guides tell people to type; aiocqhttp has /ws and below it
OFFICIAL_HELPERS = frozenset({"2854196310"})  # QQ's own group robot talks to everybody: never answer it
QUOTED = 500  # characters of a quoted message that are passed on
CATCH_UP = 600.0  # seconds: what was said in a longer gap is no longer waiting for an answer


class Link:
    """One socket of one account, and the calls that wait for an answer on it."""

    def __init__(self, account: str, role: str) -> None:
        self.account = account
        self.role = role
        self.socket: Any = websocket._get_current_object()  # type: ignore[attr-defined]  # outlives the request context
        self.waiting: dict[str, asyncio.Future[onebot.Frame]] = {}
        self.reading = asyncio.timeout(None)
        self.silence: float | None = None  # seconds without a frame after which it is dead
        self.online = True

    def answer(self, frame: onebot.Frame) -> None:
        """An answer that nobody waits for, or that comes twice, is no reason to fall over."""
        echo = frame.get("echo")
        future = self.waiting.get(echo) if isinstance(echo, str) else None
        if future is not None and not future.done():
            future.set_result(frame)

    def lose(self) -> None:
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(NetworkError("the connection was lost before the answer came"))

    async def close(self, reason: str) -> None:
        with suppress(RuntimeError, TimeoutError):  # closed already; a dead peer, whose buffer never empties
            async with asyncio.timeout(1):
                await self.socket.close(1001, reason)


class ReverseServer(CQHttp):  # type: ignore[misc]  # untyped library
    """aiocqhttp's server with the defects that matter to us mended."""

    def __init__(self, token: str | None, arrived: Any) -> None:
        # With its default import_name its logger would be the root logger. It is not given the token: it does
        # not compare in constant time, and swallows a misspelt keyword and lets everybody in.
        super().__init__(__name__)
        self._token = token
        self._arrived = arrived
        self._numbers = itertools.count(1)
        self.links: dict[str, Link] = {}  # by account: the one that takes calls
        self.sockets: set[Link] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.loss = logging.WARNING  # how bad it is to lose a connection
        for path in PATHS:
            self.server_app.add_websocket(path, strict_slashes=False, view_func=self._handle_wsr)

    async def _handle_http_event(self) -> None:
        """Events by HTTP POST: aiocqhttp would take them from anybody."""
        abort(404)

    async def _handle_wsr(self) -> None:
        peer = websocket.headers.get("Remote-Addr", "?")
        self._admit(websocket.headers.get("Authorization", ""), peer)
        account = websocket.headers.get("X-Self-Id", "").strip()
        role = websocket.headers.get("X-Client-Role", "universal").strip().lower()
        if not account or role not in ("universal", "api", "event"):
            logger.warning("refused a connection from %s: no X-Self-ID, or an unknown X-Client-Role", peer)
            abort(400)
        link = Link(account, role)
        try:
            async with link.reading:
                await websocket.accept()
                self.sockets.add(link)
                if role != "event":
                    self._install(link, peer)
                while True:
                    self._take(link, await websocket.receive())
        except TimeoutError:
            return  # a newer connection took over, or no heartbeat came
        finally:
            self.sockets.discard(link)
            link.lose()
            if self.links.get(account) is link:  # never a newer one's place
                del self.links[account]
                logger.log(self.loss, "QQ account %s disconnected", account)

    def _admit(self, authorization: str, peer: str) -> None:
        if self._token is None:
            return
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() not in ("bearer", "token") or not given.strip():
            logger.warning("refused a connection from %s: it sent no token", peer)
            abort(401)
        if not hmac.compare_digest(given.strip().encode(), self._token.encode()):
            logger.warning("refused a connection from %s: its token is not ours", peer)
            abort(403)

    def _install(self, link: Link, peer: str) -> None:
        """The newest connection of an account is the living one: the older may be dead without knowing it."""
        older = self.links.get(link.account)
        self.links[link.account] = link
        if older is None:
            logger.info("QQ account %s connected from %s", link.account, peer)
        else:
            logger.warning(
                "QQ account %s connected again from %s, the older connection is closed; if this repeats, "
                "its client has two entries for this bot",
                link.account,
                peer,
            )
            self.spawn(self._retire(older))
        self.spawn(self._arrived(link))

    async def _retire(self, link: Link) -> None:
        link.lose()
        await link.close("a newer connection of this account took over")
        if not link.reading.expired():
            link.reading.reschedule(asyncio.get_running_loop().time())

    def _take(self, link: Link, data: str | bytes) -> None:
        if link.silence is not None and not link.reading.expired():
            link.reading.reschedule(asyncio.get_running_loop().time() + link.silence)
        try:
            frame = json.loads(data)
        except (ValueError, RecursionError):
            frame = None
        if not isinstance(frame, dict):
            logger.debug("junk frame from QQ account %s", link.account)
        elif "post_type" not in frame:
            link.answer(frame)
        elif all(isinstance(frame.get(name, ""), str) for name in (f"{frame['post_type']}_type", "sub_type")):
            # Never awaited here: a handler may wait for an answer that comes on this socket.
            self.spawn(self._handle_event({**frame, "self_id": link.account, "link": link}))

    async def _handle_event(self, payload: dict[str, Any]) -> None:
        """Without aiocqhttp's line in the log for every heartbeat, and without its quick operations."""
        event = Event.from_payload(payload)
        if event is not None:
            await self._bus.emit(event.name, event)

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(self._guarded(work))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    @staticmethod
    async def _guarded(work: Coroutine[Any, Any, object]) -> None:
        """The boundary: what one frame brings down must not reach the next."""
        try:
            await work
        except (BotError, Error) as error:
            logger.warning("QQ: %s", error)
        except Exception:
            logger.exception("QQ: a frame could not be handled")

    async def call_action(self, action: str, *, self_id: str, patience: float = 5.0, **params: Any) -> Any:
        """ApiNotAvailable: nothing was written. ActionFailed: the client said no. NetworkError: nobody knows.

        aiocqhttp's own makes room for the answer after writing, breaks the socket when an answer comes twice,
        and lets the calls of a lost socket wait on.
        """
        link = self.links.get(self_id)
        if link is None or not link.online:
            raise ApiNotAvailable(f"QQ account `{self_id}` is not connected")
        echo = f"nvl-{next(self._numbers)}"
        future: asyncio.Future[onebot.Frame] = asyncio.get_running_loop().create_future()
        link.waiting[echo] = future
        try:
            async with asyncio.timeout(patience):
                await link.socket.send(json.dumps({"action": action, "params": params, "echo": echo}))
                frame = await future
        except TimeoutError:
            raise NetworkError(f"no answer to `{action}` within {patience:g} s") from None
        finally:
            del link.waiting[echo]
        if frame.get("status") == "failed" or frame.get("retcode", 0) != 0:
            raise ActionFailed({"retcode": None, **frame})
        return frame.get("data")


class QQGateway:
    """Private chats and groups of every QQ account that connects."""

    platform = "qq"
    limit = 800
    idempotent = False
    stream_every: float | None = None
    burst = 1.2

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        token: str | None = None,
        pace: tuple[float, float] = (0.7, 1.6),
        patience: float = 20.0,
        look_after: tuple[float, ...] = (0.5, 1.5, 3.0, 5.0, 5.0),
    ) -> None:
        """`pace`: seconds between bubbles; `patience`: for an answer; `look_after`: then ask the history."""
        listen.check_token("QQ", host, token)
        self.host = host
        self.port = port  # 0: any; the one in use as soon as `run` listens
        self._pace = pace
        self._patience = patience
        self._look_after = look_after
        self._stop = asyncio.Event()
        self._sending = 0
        self._idle = asyncio.Event()
        self._published: deque[tuple[Place, str]] = deque(maxlen=500)
        self._napcat: set[str] = set()
        self._through: dict[Place, str] = {}  # a stranger's private chat -> the group it goes through
        self._order: WeakValueDictionary[Place, asyncio.Lock] = WeakValueDictionary()
        self._server = ReverseServer(token, self._arrived)
        self._server.on_message(self._heard)
        self._server.on_notice(self._noticed)
        self._server.on_meta_event("heartbeat")(self._beat)

    def accounts(self) -> Collection[str]:
        return [account for account, link in self._server.links.items() if link.online]

    async def run(self, chat: "ChatService", stop: asyncio.Event) -> None:
        self._chat = chat
        self._stop = stop
        listener = listen.listen("QQ", self.host, self.port)
        self.port = listener.getsockname()[1]
        logger.info("QQ: clients may connect to ws://%s:%d/ws/", self.host, self.port)
        try:
            await listen.serve(self._server.asgi, listener, self._closing)
        finally:
            if tasks := list(self._server.tasks):
                await asyncio.wait(tasks, timeout=2)  # what is being taken right now is worth two seconds
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _closing(self) -> None:
        """Let answers to what was written come in, then say goodbye: a client cut off would see an error."""
        await self._stop.wait()
        if self._sending:
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self._idle.wait()
        self._server.loss = logging.INFO
        await asyncio.gather(*(link.close("the bot is going away") for link in list(self._server.sockets)))

    # What comes in

    async def _arrived(self, link: Link) -> None:
        self._chat.connected(self.platform, link.account)
        try:
            version = await self._server.call_action("get_version_info", self_id=link.account)
        except Error:
            version = None  # an old or small client: everything but typing works without knowing it
        name = str(version.get("app_name") or "?") if isinstance(version, dict) else "?"
        (self._napcat.add if "napcat" in name.lower() else self._napcat.discard)(link.account)
        logger.info("QQ account %s speaks through %s", link.account, name[:40])
        await self._catch_up(link.account)

    async def _catch_up(self, account: str) -> None:
        """Clients keep no events for us: ask what was said meanwhile. The core drops what it knows."""
        since = time.time() - CATCH_UP
        for place in await self._chat.active_places(self.platform, account, CATCH_UP):
            try:
                lines = await self._history(place)
            except Error as error:
                logger.info("QQ: no history of %s: %s", place, error)
                continue
            for line in lines:
                where = {"group_id": place.id} if place.kind == "group" else {}
                said = onebot.said({"message_type": place.kind, **where, **line})
                if said is not None and (said.time or 0) >= since:
                    await self._receive(said, place)

    async def _history(self, place: Place) -> list[onebot.Frame]:
        if place.kind == "group":
            data = await self._server.call_action(
                "get_group_msg_history", self_id=place.account, group_id=onebot.wire(place.id), count=20
            )
        else:  # NapCat wants this id as text
            data = await self._server.call_action(
                "get_friend_msg_history", self_id=place.account, user_id=place.id, count=20
            )
        return onebot.history(data)

    async def _beat(self, event: Event) -> None:
        status, interval = event.get("status"), event.get("interval")
        if isinstance(interval, int) and interval > 0:
            event["link"].silence = 3 * interval / 1000
        self._set_online(event["link"], not (isinstance(status, dict) and status.get("online") is False))

    def _set_online(self, link: Link, online: bool) -> None:
        if link.online == online:
            return
        link.online = online
        if online:
            logger.info("QQ account %s is online again", link.account)
            self._chat.connected(self.platform, link.account)
        else:
            logger.error("QQ account %s was logged out: log in again in its client", link.account)

    async def _heard(self, event: Event) -> None:
        said = onebot.said(event)
        if said is None:
            return
        place = Place(self.platform, event["self_id"], said.kind, said.where)
        if said.through is not None:
            if len(self._through) >= 1000:
                self._through.pop(next(iter(self._through)))
            self._through[place] = said.through
        await self._receive(said, place)

    async def _receive(self, said: onebot.Said, place: Place) -> None:
        if said.person.id in {place.account, *self._server.links, *OFFICIAL_HELPERS}:
            return  # our own words, or two of our accounts in one group, who would never stop talking
        words = onebot.words(said.message, place.account)
        order = self._order.setdefault(place, asyncio.Lock())
        async with order:  # looking up a quote takes time, and later words must not overtake it
            ours, quoted = False, ""
            if words.quotes is not None:
                ours, quoted = await self._quoted(place, words.quotes)
            text = words.text
            if ours and place.kind == "private" and words.thumb is not None:
                text = "/good" if words.thumb == "up" else "/bad"
            notice = await self._chat.receive(
                IncomingMessage(
                    place=place,
                    id=said.id,
                    person=said.person,
                    text=text,
                    time=said.time or time.time(),
                    addressed=place.kind == "private" or words.at_me or ours,
                    quotes=words.quotes,
                    quoted_text=quoted,
                )
            )
        if notice is not None:
            await self.send(Part(place, reply="", index=0, text=notice, quotes=said.id, character=""))

    async def _quoted(self, place: Place, message: str) -> tuple[bool, str]:
        """Whether we said what is quoted, and what it says, if the client still knows."""
        ours = await self._chat.is_ours(place, message)
        try:
            line = await self._server.call_action(
                "get_msg", self_id=place.account, message_id=onebot.wire(message), patience=2.0
            )
        except Error:
            return ours, ""
        if not isinstance(line, dict):
            return ours, ""
        return ours or onebot.author(line) == place.account, onebot.spoken(line, place.account).text[:QUOTED]

    async def _noticed(self, event: Event) -> None:
        account = event["self_id"]
        if event.get("notice_type") == "bot_offline":
            self._set_online(event["link"], False)
        for mark in onebot.marks(event):
            vote = onebot.VOTES.get(mark.emoji)
            if vote is None or mark.user in self._server.links or mark.user == account:
                continue
            place = Place(self.platform, account, "group", mark.group) if mark.group else None
            place = place or self._where(account, mark.message)
            if place is not None:
                person, when = Person(mark.user, mark.user), mark.time or time.time()
                reaction = Reaction(place, mark.message, person, vote, mark.added, mark.emoji, when)
                await self._chat.react(reaction)

    def _where(self, account: str, message: str) -> Place | None:
        """Some clients do not say in which group a reaction was."""
        ours = (place for place, known in self._published if known == message and place.account == account)
        return next(ours, None)

    # What goes out

    async def send(self, part: Part) -> str:
        """Publish one bubble. OneBot has no nonces: what may be shown already is looked for, not repeated."""
        if part.index and await listen.within(random.uniform(*self._pace), self._stop):
            raise DeliveryFailed(self.platform, "the bot is stopping", sent=False)
        self._sending += 1
        self._idle.clear()
        try:
            return await self._publish(part)
        finally:
            self._sending -= 1
            if not self._sending:
                self._idle.set()

    async def hand(self, place: Place, person: Person, name: str, data: bytes) -> None:
        """In private, where the client takes a file's bytes (NapCat and LLBot do)."""
        file = "base64://" + base64.b64encode(data).decode()
        try:
            await self._server.call_action(
                "upload_private_file",
                self_id=place.account,
                patience=self._patience,
                user_id=onebot.wire(person.id),
                file=file,
                name=name,
            )
        except Error as error:
            raise DeliveryFailed(self.platform, f"a file was not taken: {error}") from error

    async def _publish(self, part: Part) -> str:
        began = time.time()
        target: dict[str, Any]
        if part.place.kind == "group":
            action, target = "send_group_msg", {"group_id": onebot.wire(part.place.id)}
        else:
            action, target = "send_private_msg", {"user_id": onebot.wire(part.place.id)}
            if through := self._through.get(part.place):
                target["group_id"] = onebot.wire(through)
        message = onebot.bubble(part.text, part.quotes if part.place.kind == "group" else None)
        try:
            data = await self._server.call_action(
                action, self_id=part.place.account, patience=self._patience, **target, message=message
            )
        except ApiNotAvailable as error:
            raise DeliveryFailed(self.platform, str(error), sent=False) from error
        except ActionFailed as error:
            wording = error.result.get("wording") or error.result.get("message") or ""
            reason = f"{error.retcode} {wording}".strip()[:200]
            if error.retcode in onebot.REFUSED:
                raise DeliveryFailed(self.platform, reason, sent=False) from error
        except NetworkError as error:
            reason = str(error)
        else:
            reason = "the answer names no message"
            known = onebot.identity(data.get("message_id")) if isinstance(data, dict) else None
            if known is not None and known != "0":
                self._published.append((part.place, known))
                return known
        logger.warning("QQ: nobody knows whether a message to %s was shown: %s", part.place, reason)
        found = await self._find(part, began) if part.reply else None
        if found is None:
            raise DeliveryFailed(self.platform, reason, sent=None)
        logger.info("QQ: it was shown as message %s", found)
        self._published.append((part.place, found))
        return found

    async def _find(self, part: Part, began: float) -> str | None:
        """Look for our own words in the history of the place, also after the client came back."""
        for pause in self._look_after:
            if await listen.within(pause, self._stop):
                return None
            try:
                lines = await self._history(part.place)
            except Error:
                continue
            for known in onebot.own(lines, part.place.account, part.text, began - 10):  # two clocks differ
                before = (part.place, known) in self._published or await self._chat.is_ours(part.place, known)
                if not before:  # else she said it in the same words a moment ago
                    return known
        return None

    def typing(self, place: Place) -> AbstractAsyncContextManager[None]:
        return self._typing(place)

    @asynccontextmanager
    async def _typing(self, place: Place) -> AsyncIterator[None]:
        """NapCat shows it in private chats; elsewhere nothing does."""
        if place.kind == "private" and place.account in self._napcat:
            self._server.spawn(self._show_typing(place))
        yield

    async def _show_typing(self, place: Place) -> None:
        with suppress(Error):
            await self._server.call_action(
                "set_input_status", self_id=place.account, user_id=onebot.wire(place.id), event_type=1
            )
