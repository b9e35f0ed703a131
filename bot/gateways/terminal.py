"""Talk in the terminal: one person, one line a message."""

import asyncio
import contextlib
import itertools
import secrets
import sys
import threading
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

from bot.chat import ChatService
from bot.errors import DeliveryFailed
from bot.messages import IncomingMessage, Part, Person, Place

_HERE = Place("terminal", "local", "private", "you")
_YOU = Person("you", "")


class TerminalGateway:
    """`python -m bot chat`. Ends at the end of the input (Ctrl-D), when the last reply is there."""

    platform = "terminal"
    limit = 100_000
    idempotent = True
    stream_every: float | None = 0.05
    burst = 0.0

    def __init__(
        self, character: str | None = None, *, source: TextIO | None = None, output: TextIO | None = None
    ) -> None:
        self._character = character
        self._source = source or sys.stdin
        self._output = output or sys.stdout
        self._written: tuple[str, str] = ("", "")  # reply id, what of it is on the screen
        self._answered = asyncio.Event()

    def accounts(self) -> Collection[str]:
        return ("local",)

    async def run(self, chat: ChatService, stop: asyncio.Event) -> None:
        lines: asyncio.Queue[str | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def read() -> None:  # a daemon thread: nothing can interrupt a blocking read at the end
            with contextlib.suppress(RuntimeError, ValueError):
                for line in self._source:
                    loop.call_soon_threadsafe(lines.put_nowait, line)
                loop.call_soon_threadsafe(lines.put_nowait, None)

        session = secrets.token_hex(6)
        if self._character:
            self._show(await self._say(chat, f"/character {self._character}", f"{session}-0"))
        else:
            self._show((await chat.current(_HERE)).card.first_mes)
        threading.Thread(target=read, daemon=True).start()
        stopped = asyncio.create_task(stop.wait())
        for number in itertools.count(1):
            self._write("> ")
            line = asyncio.create_task(lines.get())
            await asyncio.wait((line, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not line.done() or (text := line.result()) is None:
                line.cancel()
                break
            if not text.strip():
                continue
            self._answered.clear()
            notice = await self._say(chat, text, f"{session}-{number}")
            if notice is not None:
                self._show(notice)
            else:
                answered = asyncio.create_task(self._answered.wait())
                await asyncio.wait((answered, stopped), return_when=asyncio.FIRST_COMPLETED)
                answered.cancel()
        stopped.cancel()
        self._write("\n")

    async def send(self, part: Part) -> str:
        reply, written = self._written
        if part.reply != reply or not part.text.startswith(written):
            # A new reply, or one that was begun again: it starts on a line of its own.
            self._write("\n" if written and part.reply == reply else "")
            written = ""
        self._write(part.text[len(written) :])
        self._written = (part.reply, part.text)
        if part.final:
            self._write("\n")
            self._written = ("", "")
            self._answered.set()
        return f"{part.reply or secrets.token_hex(4)}-{part.index}"

    async def hand(self, place: Place, person: Person, name: str, data: bytes) -> None:
        """Into the current folder, beside what is there."""
        try:
            path = _keep(Path(name), data)
        except OSError as error:
            raise DeliveryFailed(self.platform, f"`{name}` cannot be written: {error.strerror}") from error
        self._write(f"{path.absolute()}\n")

    @asynccontextmanager
    async def typing(self, place: Place) -> AsyncIterator[None]:
        yield

    async def _say(self, chat: ChatService, text: str, message_id: str) -> str | None:
        return await chat.receive(IncomingMessage(_HERE, message_id, _YOU, text, time.time()))

    def _show(self, text: str | None) -> None:
        if text:
            self._write(text + "\n")

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()


def _keep(path: Path, data: bytes) -> Path:
    """Writes a new file, of another name where one is there. Raises `OSError`."""
    for number in itertools.count(2):
        try:
            with path.open("xb") as file:
                file.write(data)
            break
        except FileExistsError:
            path = path.with_name(f"{path.stem.removesuffix(f'-{number - 1}')}-{number}{path.suffix}")
    return path
