"""The server's process: started so that it never outlives us, signalled, and ended with all its children."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


async def start_server(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> asyncio.subprocess.Process:
    """A process in a group of its own: Ctrl-C in the terminal does not reach it, we decide when it ends."""
    with log.open("ab") as out:
        if sys.platform == "win32":
            return await asyncio.create_subprocess_exec(
                *command,
                env={**os.environ, **environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        return await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=_end_with_us(),
        )


def _end_with_us() -> Callable[[], None] | None:
    """On Linux: if we are killed, the kernel asks the server to end. Elsewhere nothing does."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def set_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # we were killed before the line above
            os._exit(1)

    return set_signal


def ask_to_end(process: asyncio.subprocess.Process) -> None:
    """Running replies may end first."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()


async def end(process: asyncio.subprocess.Process, seconds: float) -> None:
    """Asks the process to end, and after `seconds` makes it; none of its children stay."""
    ask_to_end(process)
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    finally:
        sweep(process)


def sweep(process: asyncio.subprocess.Process) -> None:
    """Ends what a server that died has left: vLLM's engine is a process of its own and holds the memory."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
