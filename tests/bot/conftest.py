"""The bot with everything real but the model and the platform."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from bot import app
from bot.memory.store import Store
from bot.settings import BotSettings
from tests.conftest import ROOT
from tests.fakes.gateway import PaperGateway, Talk
from tests.fakes.model import FakeModel

Talking = Callable[..., AbstractAsyncContextManager[Talk]]


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    async with FakeModel() as model:
        yield model


@pytest.fixture
def settings(model: FakeModel, redis_url: str, store: Store, tmp_path: Path) -> BotSettings:
    return settings_for(model, redis_url, tmp_path)


def settings_for(model: FakeModel, redis_url: str, data: Path, **more: object) -> BotSettings:
    return BotSettings(
        _env_file=None,  # type: ignore[call-arg]
        characters=ROOT / "characters",
        data=data,
        default_character="maeve",
        inference={
            "base_url": model.base_url,
            "api_key": model.api_key,
            "idle_seconds": 2,
            "first_token_seconds": 2,
        },
        redis={"url": redis_url},
        **more,
    )


@pytest.fixture
def talking(settings: BotSettings) -> Talking:
    """`async with talking() as talk`: a bot on paper; keywords change its settings or its gateway."""

    @asynccontextmanager
    async def begin(gateway: PaperGateway | None = None, **changes: object) -> AsyncIterator[Talk]:
        gateway = gateway or PaperGateway()
        async with app.chat_service(settings.model_copy(update=changes), [gateway]) as chat:
            yield Talk(chat, gateway)

    return begin


@pytest.fixture(autouse=True)
async def _heartbeats_end() -> AsyncIterator[None]:
    """discord.py's heartbeat is a thread, which may outlive a socket that was cut and the test's loop."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("keep-alive-handler"):
            thread.stop()  # type: ignore[attr-defined]
            await asyncio.to_thread(thread.join, 5)
