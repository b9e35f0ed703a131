"""The page: a gateway of our own, for everybody with a browser.

Its WebSocket, `/chat`, carries JSON objects, one a frame, of at most 64 KiB. From the page:

    {type: "hello", character?, language?}       first, and to change whom one talks to; a history comes back
    {type: "say", id, character, text}           `id` is random, the page's; said twice, it is taken once
    {type: "vote", reply, vote: "up"|"down", added}
    {type: "regenerate", reply}                  another answer instead of the last one
    {type: "command", text, character}           what a button does: "/reset", "/forget yes"

and to it:

    {type: "history", character, utterances: [{reply, message, name, text, time, mine, version}], thinking,
     after?}                                     the whole conversation; `after`: the command that changed it
    {type: "unavailable"}                        the memory cannot be read now; say hello again later
    {type: "taken", id}                          a message is safe: it will be answered
    {type: "said", id, character, text, time}    a message of this visitor, from another of her tabs
    {type: "part", reply, index, text, final, last, version, character, answers}
                                                 a reply as it grows, each time the whole part; `answers`: the
                                                 message's id (an older reply to it is replaced)
    {type: "typing", on}                         she is thinking
    {type: "vote", reply, vote, added, counted}  a vote of this visitor, in any tab; refused if not `counted`
    {type: "notice", text, id?, reply?, answers?}
                                                 `id`: instead of "taken"; `reply`: it cannot be said again
    {type: "character", character}               a command changed whom one talks to
    {type: "file", name, text}                   for the visitor to keep: the answer to /export

Close codes: 1001 the bot stops (come back), 1013 too slow a reader (come back), 4401 open the page again.
"""

import asyncio
import contextlib
import itertools
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from quart import websocket

from bot.errors import ConfigurationError, DeliveryFailed, StorageUnavailable
from bot.gateways import listen
from bot.gateways.owner import Overview, OwnerPage
from bot.gateways.page import Page
from bot.messages import IncomingMessage, Language, Part, Person, Place, Reaction, Vote

if TYPE_CHECKING:
    from bot.chat import ChatService

FRAME_LIMIT = 64 * 2**10  # bytes
_WAITING_LIMIT = 500  # frames for a tab that reads too slowly
_ACCOUNT = "page"
_TEXTS: dict[str, dict[Language, str]] = {
    "too-large": {
        "zh": "这条太长了，没有收下，请分开发。",
        "en": "That is far too long and was not taken; please send it in pieces.",
    },
    "unreadable": {
        "zh": "这个页面和服务器对不上了，请刷新页面。",
        "en": "This page and the server do not understand each other; please reload the page.",
    },
}

log = logging.getLogger(__name__)

_Reply = Annotated[str, Field(pattern=r"^[a-z0-9]{1,20}$")]
_CharacterId = Annotated[str, Field(max_length=64)]


class _Hello(BaseModel):
    type: Literal["hello"]
    character: _CharacterId | None = None
    language: Language | None = None


class _Say(BaseModel):
    type: Literal["say"]
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
    character: _CharacterId
    text: str


class _Vote(BaseModel):
    type: Literal["vote"]
    reply: _Reply
    vote: Vote
    added: bool


class _Regenerate(BaseModel):
    type: Literal["regenerate"]
    reply: _Reply


class _Command(BaseModel):
    type: Literal["command"]
    text: Annotated[str, Field(pattern=r"^/[a-z]", max_length=200)]
    character: _CharacterId


_FRAME: TypeAdapter[_Hello | _Say | _Vote | _Regenerate | _Command] = TypeAdapter(
    Annotated[_Hello | _Say | _Vote | _Regenerate | _Command, Field(discriminator="type")]
)


class _Tab:
    """One open page of a visitor, and what it has yet to be told."""

    def __init__(self, visitor: str) -> None:
        self.place = Place("web", _ACCOUNT, "private", visitor)
        self.person = Person(visitor, "")
        self.language: Language | None = None
        self._socket: Any = websocket._get_current_object()  # type: ignore[attr-defined]  # outlives the request context
        self._waiting: dict[object, dict[str, Any]] = {}
        self._more = asyncio.Event()
        self._numbers = itertools.count()

    def tell(self, frame: dict[str, Any]) -> None:
        """Send it soon. The newest text of a part takes the place of one that has not left yet."""
        if len(self._waiting) >= _WAITING_LIMIT:
            return  # `write` is about to close this tab
        part = (frame["reply"], frame["index"]) if frame["type"] == "part" else None
        self._waiting[part or next(self._numbers)] = frame
        self._more.set()

    async def write(self) -> None:
        """Send what waits, for as long as the tab is open."""
        while True:
            await self._more.wait()
            while self._waiting:
                if len(self._waiting) >= _WAITING_LIMIT:
                    await self.close(1013, "too slow")
                    return
                key = next(iter(self._waiting))
                await self._socket.send(orjson.dumps(self._waiting.pop(key)).decode())
            self._more.clear()

    async def close(self, code: int, reason: str) -> None:
        with contextlib.suppress(RuntimeError, TimeoutError):  # closed already; nobody reads
            async with asyncio.timeout(1):
                await self._socket.close(code, reason)


class WebGateway:
    """Serves the page and its WebSocket. A visitor's tabs all show the same conversation."""

    platform = "web"
    limit = 4000
    idempotent = True
    stream_every: float | None = 0.03
    burst = 0.0

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8400,
        token: str | None = None,
        owner_token: str | None = None,
    ) -> None:
        listen.check_token("the page", host, token)
        self.host = host
        self.port = port  # 0: any; the one in use as soon as `run` listens
        self._page = Page(token)
        self._owner = OwnerPage(self._page.app, host, owner_token, page_token=token)
        self._page.app.add_websocket("/chat", "chat", self._meet)
        self._tabs: dict[str, set[_Tab]] = {}  # by visitor
        self._thinking: Counter[str] = Counter()
        self._listening = asyncio.Event()

    @property
    def url(self) -> str:
        """Where the page is for somebody on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "[::]": "[::1]"}.get(self.host, self.host)
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        return f"http://{host}:{self.port}/"

    def accounts(self) -> Collection[str]:
        return (_ACCOUNT,)

    def show_owner(self, overview: Overview) -> None:
        """What the owner's page shows."""
        self._owner.show(overview)

    async def listening(self) -> str:
        """The page's address, as soon as it can be opened."""
        await self._listening.wait()
        return self.url

    async def run(self, chat: "ChatService", stop: asyncio.Event) -> None:
        self._chat = chat
        self._page.show(chat.characters)
        try:
            listener = listen.listen("the page", self.host, self.port)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} (`CHATNVL_WEB__PORT`)") from error
        self.port = listener.getsockname()[1]
        self._listening.set()
        chat.connected(self.platform, _ACCOUNT)
        await listen.serve(self._page.app, listener, lambda: self._closing(stop))

    async def send(self, part: Part) -> str:
        """Show it in every open tab. With none nothing is lost: a page that opens asks for the history."""
        if part.reply:
            self._tell(
                part.place,
                {
                    "type": "part",
                    "reply": part.reply,
                    "index": part.index,
                    "text": part.text,
                    "final": part.final,
                    "last": part.last,
                    "version": part.version,
                    "character": part.character,
                    "answers": part.quotes,
                },
            )
        else:
            self._tell(part.place, {"type": "notice", "text": part.text, "answers": part.quotes})
        return f"{part.reply or secrets.token_hex(8)}-{part.index}"

    async def hand(self, place: Place, person: Person, name: str, data: bytes) -> None:
        """As a frame: the page saves it."""
        if not self._tabs.get(place.id):
            raise DeliveryFailed(self.platform, "no page is open")
        self._tell(place, {"type": "file", "name": name, "text": data.decode()})

    def typing(self, place: Place) -> AbstractAsyncContextManager[None]:
        return self._typing(place)

    @asynccontextmanager
    async def _typing(self, place: Place) -> AsyncIterator[None]:
        self._thinking[place.id] += 1
        self._tell(place, {"type": "typing", "on": True})
        try:
            yield
        finally:
            self._thinking[place.id] -= 1
            if not self._thinking[place.id]:
                del self._thinking[place.id]
                self._tell(place, {"type": "typing", "on": False})

    def _tell(self, place: Place, frame: dict[str, Any], *, but: _Tab | None = None) -> None:
        for tab in self._tabs.get(place.id, ()):
            if tab is not but:
                tab.tell(frame)

    async def _closing(self, stop: asyncio.Event) -> None:
        await stop.wait()
        tabs = [tab for tabs in self._tabs.values() for tab in tabs]
        await asyncio.gather(*(tab.close(1001, "the bot is going away") for tab in tabs))

    # What a tab says

    async def _meet(self) -> None:
        self._page.check_socket()
        visitor = self._page.visitor()
        await websocket.accept()
        if visitor is None:
            await websocket.close(4401, "open the page again")
            return
        tab = _Tab(visitor)
        self._tabs.setdefault(visitor, set()).add(tab)
        writing = asyncio.create_task(tab.write())
        try:
            while True:
                await self._take(tab, await websocket.receive())
        finally:
            writing.cancel()
            self._tabs[visitor].discard(tab)
            if not self._tabs[visitor]:
                del self._tabs[visitor]

    async def _take(self, tab: _Tab, data: str | bytes) -> None:
        if len(data) > FRAME_LIMIT or len(data.encode() if isinstance(data, str) else data) > FRAME_LIMIT:
            self._notice(tab, "too-large")
            return
        try:
            frame = _FRAME.validate_json(data)
        except ValidationError:
            self._notice(tab, "unreadable")
            return
        try:
            match frame:
                case _Hello():
                    await self._hello(tab, frame)
                case _Say():
                    await self._say(tab, frame)
                case _Vote():
                    await self._vote(tab, frame)
                case _Regenerate():
                    await self._regenerate(tab, frame)
                case _Command():
                    await self._command(tab, f"button-{secrets.token_hex(8)}", frame.text, frame.character)
        except StorageUnavailable as error:
            log.error("a page could not be shown: %s", error)
            tab.tell({"type": "unavailable"})

    async def _hello(self, tab: _Tab, frame: _Hello) -> None:
        tab.language = frame.language
        if frame.character:
            await self._choose(tab, frame.character)
        await self._history(tab, (await self._chat.current(tab.place)).id)

    async def _say(self, tab: _Tab, frame: _Say) -> None:
        if frame.text.lstrip().startswith(("/", "／")):
            await self._command(tab, frame.id, frame.text, frame.character)
            return
        refused = await self._receive(tab, frame.id, frame.text, frame.character)
        if refused is not None:
            tab.tell({"type": "notice", "text": refused, "id": frame.id})
            return
        tab.tell({"type": "taken", "id": frame.id})
        said = {"id": frame.id, "character": frame.character, "text": frame.text, "time": time.time()}
        self._tell(tab.place, {"type": "said", **said}, but=tab)

    async def _command(self, tab: _Tab, message: str, text: str, character: str) -> None:
        """It may change whom one talks to, or what there is to see: the page hears of both."""
        await self._choose(tab, character)
        answer = await self._receive(tab, message, text, character)
        now = (await self._chat.current(tab.place)).id
        if now != character:
            tab.tell({"type": "character", "character": now})
        elif answer is not None:
            await self._history(tab, now, after=message)
        told = {"type": "taken"} if answer is None else {"type": "notice", "text": answer}
        tab.tell({**told, "id": message})

    async def _vote(self, tab: _Tab, frame: _Vote) -> None:
        shown = f"{frame.reply}-0"  # as `send` named it
        mark = Reaction(tab.place, shown, tab.person, frame.vote, frame.added, "button", time.time())
        told = {"type": "vote", "reply": frame.reply, "vote": frame.vote, "added": frame.added}
        if await self._chat.react(mark):
            self._tell(tab.place, {**told, "counted": True})
        else:
            tab.tell({**told, "counted": False})

    async def _regenerate(self, tab: _Tab, frame: _Regenerate) -> None:
        click = f"button-{secrets.token_hex(8)}"
        refused = await self._receive(tab, click, "/regenerate", None, quotes=f"{frame.reply}-0")
        if refused is not None:
            tab.tell({"type": "notice", "text": refused, "reply": frame.reply})

    async def _choose(self, tab: _Tab, character: str) -> None:
        """The place remembers whom she talks to: the next page opens with her."""
        if character in self._chat.characters and (await self._chat.current(tab.place)).id != character:
            await self._receive(tab, f"choice-{secrets.token_hex(8)}", f"/character {character}", None)

    async def _receive(
        self, tab: _Tab, message: str, text: str, character: str | None, quotes: str | None = None
    ) -> str | None:
        return await self._chat.receive(
            IncomingMessage(
                place=tab.place,
                id=message,
                person=tab.person,
                text=text,
                time=time.time(),
                quotes=quotes,
                character=character,
                language=tab.language,
            )
        )

    async def _history(self, tab: _Tab, character: str, after: str | None = None) -> None:
        utterances = [
            {
                "reply": line.reply,
                "message": line.message,
                "name": line.name,
                "text": line.text,
                "time": line.time,
                "mine": line.mine,
                "version": line.version,
            }
            for line in await self._chat.history(tab.place, tab.person, character)
        ]
        thinking = tab.place.id in self._thinking
        shown = {"character": character, "utterances": utterances, "thinking": thinking}
        tab.tell({"type": "history", **shown, **({"after": after} if after else {})})

    def _notice(self, tab: _Tab, key: str) -> None:
        tab.tell({"type": "notice", "text": _TEXTS[key][tab.language or "en"]})
