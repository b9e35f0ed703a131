"""What every test may use: a real Valkey, a folder of its own, settings that read no file of ours."""

import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bot.memory.embedded import find_binary
from bot.memory.store import Store, connect

ROOT = Path(__file__).parent.parent


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
    import os

    for name in os.environ:
        if name.startswith("CHATNVL_"):
            monkeypatch.delenv(name)
