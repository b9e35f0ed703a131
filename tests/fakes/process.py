"""The bot in a process of its own, as people run it, so that it can be killed.

python -m tests.fakes.process REST GATEWAY …      what `python -m bot …` does, with Discord elsewhere
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import Self

from tests.conftest import ROOT
from tests.fakes.discord import FakeDiscord, in_place_of_discord


class BotProcess:
    """`async with BotProcess(...) as bot`; `kill()` is SIGKILL, `start()` begins again with the same data."""

    def __init__(self, log: Path, environment: dict[str, str], discord: FakeDiscord | None = None) -> None:
        self._log = log
        self._environment = {
            k: v for k, v in os.environ.items() if not k.startswith("CHATNVL_")
        } | environment
        self._where = (discord.base + "/v10", discord.gateway_url) if discord else ("", "")
        self._process: Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.fakes.process", *self._where),
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=output,
            )

    async def kill(self) -> None:
        assert self._process is not None
        assert self._process.returncode is None, f"the bot ended by itself:\n{self._log.read_text()[-3000:]}"
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
        return await self._process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


if __name__ == "__main__":
    from bot.__main__ import main

    rest, gateway, *arguments = sys.argv[1:]
    if not rest:
        sys.exit(main(arguments))
    with in_place_of_discord(rest, gateway):
        sys.exit(main(arguments))
