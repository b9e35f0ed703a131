"""The page's side of its WebSocket, without a browser: a cookie jar, frames in, frames out."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import websockets
from websockets.asyncio.client import ClientConnection

Frame = dict[str, Any]


@dataclass
class Tab:
    """An open page. `frames` is all that it was told; `next` waits for the first not asked for yet."""

    socket: ClientConnection
    frames: list[Frame] = field(default_factory=list)
    _taken: set[int] = field(default_factory=set)
    _ids: Any = field(default_factory=lambda: itertools.count(1))

    async def send(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def say(self, text: str, character: str = "maeve", message: str = "") -> str:
        message = message or f"message-{id(self):x}-{next(self._ids)}"
        await self.send(type="say", id=message, character=character, text=text)
        return message

    async def hello(self, character: str | None = None, language: str = "en") -> Frame:
        await self.send(type="hello", character=character, language=language)
        return await self.next("history")

    async def next(self, kind: str, that: Callable[[Frame], object] = bool) -> Frame:
        async with asyncio.timeout(60):
            while True:
                for number, frame in enumerate(self.frames):
                    if number not in self._taken and frame["type"] == kind and that(frame):
                        self._taken.add(number)
                        return frame
                self.frames.append(json.loads(await self.socket.recv()))

    async def reply(self) -> Frame:
        return await self.next("part", lambda part: part["final"] and part["last"])

    async def closed(self) -> int | None:
        """Read to the end; the code it was closed with."""
        async with asyncio.timeout(60):
            try:
                while True:
                    self.frames.append(json.loads(await self.socket.recv()))
            except websockets.ConnectionClosed:
                return self.socket.close_code


@dataclass
class Visitor:
    """A browser with its cookies."""

    url: str
    http: aiohttp.ClientSession

    @property
    def cookie(self) -> str:
        return "; ".join(f"{cookie.key}={cookie.value}" for cookie in self.http.cookie_jar)

    @asynccontextmanager
    async def tab(self, **headers: str) -> AsyncIterator[Tab]:
        address = self.url.replace("http://", "ws://") + "chat"
        headers = {"Cookie": self.cookie, **headers}
        origin = headers.pop("Origin", self.url.rstrip("/"))
        async with websockets.connect(
            address,
            origin=origin or None,
            additional_headers=headers,
            proxy=None,  # type: ignore[arg-type]
        ) as socket:
            yield Tab(socket)


@asynccontextmanager
async def visit(url: str, path: str = "characters") -> AsyncIterator[Visitor]:
    """A new browser that has opened the page."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.get(url + path) as answer:
            await answer.read()
        yield Visitor(url, http)
