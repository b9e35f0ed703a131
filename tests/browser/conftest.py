"""A real Chromium and a whole bot with the page; only the model is fake. Skipped where no Chromium is."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from bot import app
from bot.gateways.web import WebGateway
from bot.memory.store import Store
from bot.settings import BotSettings
from tests.conftest import ROOT
from tests.fakes.model import FakeModel

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome") or ""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class House:
    """The bot and its page; it can be stopped, and started again at the same address."""

    settings: BotSettings
    model: FakeModel
    token: str | None = None
    port: int = 0
    url: str = ""
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _open: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        web = WebGateway(port=self.port, token=self.token)
        self._stop, self._open = asyncio.Event(), AsyncExitStack()
        chat = await self._open.enter_async_context(app.chat_service(self.settings, [web]))
        running = asyncio.create_task(web.run(chat, self._stop))
        self._open.push_async_callback(asyncio.wait_for, running, 10)
        self.url = await web.listening()
        self.port = web.port

    async def stop(self) -> None:
        self._stop.set()
        await self._open.aclose()


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    async with FakeModel() as model:
        yield model


@pytest.fixture
async def house(model: FakeModel, redis_url: str, store: Store, tmp_path: Path) -> AsyncIterator[House]:
    settings = BotSettings(
        _env_file=None,  # type: ignore[call-arg]
        characters=ROOT / "characters",
        data=tmp_path,
        inference={"base_url": model.base_url, "api_key": model.api_key},
        redis={"url": redis_url},
    )
    house = House(settings, model)
    await house.start()
    yield house
    await house.stop()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if not CHROMIUM:
        pytest.skip("no Chromium here: install one, or name it in CHROMIUM")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


Opening = Callable[..., "asyncio.Future[Page]"]


@pytest.fixture
async def opened(browser: Browser, house: House) -> AsyncIterator[Opening]:
    """`page = await opened(locale="zh-CN")`; fails if the page had an error or asked elsewhere."""
    wrong: list[str] = []

    async def open_page(path: str = "", locale: str = "en-GB", **options: object) -> Page:
        options.setdefault("viewport", {"width": 1280, "height": 800})
        context = await browser.new_context(locale=locale, **options)  # type: ignore[arg-type]
        context.set_default_timeout(60_000)  # milliseconds: a busy machine is slow
        page = await context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: wrong.append(asked.url) if not _ours(asked.url, house.url) else None)
        page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
        await page.goto(house.url + path)
        return page

    yield open_page  # type: ignore[misc]
    assert wrong == []


def _ours(url: str, home: str) -> bool:
    return url.startswith((home, home.replace("http", "ws"), "data:"))
