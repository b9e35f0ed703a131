"""The test's end of the line to a stranger's process."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.strangers.onebot_environment import environment

HERE = Path(__file__).parent


class Peer:
    """What people do at his end: `await peer.do("private", user=1, text="hi")`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def answer(self) -> Any:
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            line = await self._process.stdout.readline()
        assert line, "the stranger's process has ended"
        return json.loads(line)

    async def do(self, command: str, **what: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command} | what).encode() + b"\n")
        return await self.answer()


@asynccontextmanager
async def peer(
    script: str, requirements: list[str], url: str, token: str, folder: Path
) -> AsyncIterator[Peer]:
    """His program with our pipe, in his own environment and folder."""
    python = await asyncio.to_thread(environment, *requirements)
    process = await asyncio.create_subprocess_exec(
        python,
        HERE / script,
        url,
        token,
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(HERE), "HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )
    try:
        peer = Peer(process)
        assert await peer.answer() == "ready"
        yield peer
    finally:
        process.kill()
        await process.communicate()
