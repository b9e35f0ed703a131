"""What every test may use: a real Valkey, a folder of its own, settings that read no file of ours."""

import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from bot.memory.embedded import find_binary
from bot.memory.store import Store, connect

ROOT = Path(__file__).parent.parent

# What lands is tried on the same examples each time; at home every run looks for new ones.
settings.register_profile("lands", derandomize=True, deadline=None)
settings.register_profile("home", deadline=None)
settings.load_profile("lands" if os.environ.get("CI") else "home")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Valkey on a unix socket, empty at first."""
    with tempfile.TemporaryDirectory(prefix="cnv") as folder:
        socket = Path(folder, "s")
        server = subprocess.Popen(
            [find_binary(), "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            while not socket.exists():
                assert server.poll() is None, "Valkey did not start"
                time.sleep(0.005)
            yield f"unix://{socket}"
        finally:
            server.terminate()
            server.wait()


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Store]:
    """A store on that server, emptied."""
    store = connect(url=redis_url)
    await store.do("FLUSHALL")
    yield store
    await store.close()


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own `CHATNVL_…` variables and `.env` must not change what is tested."""
    for name in os.environ:
        if name.startswith("CHATNVL_"):
            monkeypatch.delenv(name)
