"""`python -m inference serve`: keeps the model server running, with the adapters in the characters' folders.

vLLM ends as a whole when its engine fails, so it is started again. Adapters that are put in place or released
meanwhile are loaded under their own names, and unloaded a while after no release names them any more; when
there is no room left for one, the server is restarted with more. Trials that decide by themselves are decided
here.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shlex
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Protocol

from inference.adapters import AdapterCheck, AdapterVersion
from inference.base import Base
from inference.characters import parse_served_name
from inference.errors import InferenceError, InferenceUnavailable
from inference.processes import end, start_server, sweep
from inference.progress import progress, say
from inference.settings import InferenceSettings, WrongSetting
from inference.trial import Trials
from inference.vllm import Launch, find_vllm, rank_for
from inference.watch import AdapterWatch

ENDPOINT_FILE = "inference.json"  # where the client looks for address and key
LOG_LIMIT = 20 * 2**20
WATCH_EVERY = 2.0  # seconds between two looks for new adapters
STABLE_AFTER = 60.0  # seconds of serving after which an end counts as the first one again
LONGEST_WAIT = 5.0  # a start takes longer than that anyway
ATTEMPTS = 3  # starts without ever becoming ready, then there is no use in going on


class Engine(Protocol):
    """A kind of model server."""

    name: str
    log: str  # its log's file name
    adds_while_running: bool  # and takes away

    def command(self, launch: Launch) -> list[str]: ...
    def environment(self, launch: Launch) -> dict[str, str]: ...


def serve(settings: InferenceSettings, run: str | None = None) -> int:
    """Serves until stopped; the exit code. With `run`, until that command ends, with its exit code."""
    from inference.models import prepare

    engine = find_engine(settings)
    port = free_port(settings.serve.port)
    base = prepare(settings, again=False)
    if parse_served_name(base.id) is not None:
        raise WrongSetting(
            f"the model's name `{base.id}` looks like an adapter's; give its folder another one"
        )
    return asyncio.run(ModelServer(settings, base, engine, port).run(run))


def find_engine(settings: InferenceSettings) -> Engine:
    """vLLM where it is installed, else llama.cpp. Raises `WrongSetting` if neither can be."""
    if settings.serve.engine != "llamacpp" and (vllm := find_vllm(settings.serve)) is not None:
        return vllm
    from inference.llamacpp import find_llamacpp
    from inference.models import cache_folder

    return find_llamacpp(settings.serve, cache_folder(settings) / "adapters")


def free_port(port: int) -> int:
    """`port` if nobody has it, or a free one for 0. Raises `WrongSetting`."""
    with socket.socket() as probe:
        if sys.platform != "win32":  # there the option means that two may share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise WrongSetting(
                f"port {port} is taken ({error.strerror}): is another server running? "
                "`CHATNVL_SERVE__PORT` names another port, 0 takes a free one"
            ) from error
        return int(probe.getsockname()[1])


class ModelServer:
    """One model server, from the first start to the last end."""

    def __init__(self, settings: InferenceSettings, base: Base, engine: Engine, port: int) -> None:
        self.settings = settings
        self.base = base
        self.engine = engine
        self.port = port
        self.key = secrets.token_urlsafe(32)
        check = AdapterCheck(base, settings.serve.max_rank)
        self.adapters = AdapterWatch(settings.characters, check, settings.serve.unload_seconds)
        self.trials = Trials(settings.characters, base.id, settings.data)
        self.log = settings.data / "logs" / engine.log
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._launch: Launch | None = None
        self._loaded = 0  # adapters that this start of the server has been given and not rid of

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def run(self, command: str | None = None) -> int:
        """Serves until a signal comes or `command` ends; the exit code."""
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WrongSetting(
                f"`CHATNVL_DATA`: `{error.filename}` cannot be made: {error.strerror}"
            ) from error
        signals = _Signals(self._stop)
        with signals:
            keeping = asyncio.create_task(self._keep())
            try:
                return await (
                    self._alone(keeping) if command is None else self._with(command, keeping, signals)
                )
            finally:
                self._stop.set()
                await asyncio.gather(keeping, return_exceptions=True)
                self._forget_endpoint()

    async def _alone(self, keeping: "asyncio.Task[int]") -> int:
        return await keeping

    async def _with(self, command: str, keeping: "asyncio.Task[int]", signals: "_Signals") -> int:
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait({ready, keeping}, return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            ready.cancel()
            return keeping.result()
        words = shlex.split(command)
        if words[0] in ("python", "python3"):
            words[0] = sys.executable  # the environment that we run in
        try:
            child = await asyncio.create_subprocess_exec(*words)
        except OSError as error:
            raise WrongSetting(f"`{words[0]}` cannot be started: {error.strerror}") from error
        signals.child = child
        running = asyncio.create_task(child.wait())
        try:
            await asyncio.wait({running, keeping}, return_when=asyncio.FIRST_COMPLETED)
            return _exit_code(running.result()) if running.done() else keeping.result()
        finally:
            running.cancel()
            signals.child = None
            if child.returncode is None:
                await end(child, 40)

    # --- start, tend, start again
    # ---------------------------------------------------------------------------------

    async def _keep(self) -> int:
        failures, ever, wait = 0, False, 1.0
        while not self._stop.is_set():
            process = await self._start(with_adapters=failures == 0)
            try:
                if await self._until_ready(process):
                    ever, failures, began = True, 0, time.monotonic()
                    if await self._tend(process) == "restart":
                        say(f"restarting {self.engine.name} to make room for another adapter")
                        continue
                    wait = 1.0 if time.monotonic() - began > STABLE_AFTER else wait
                else:
                    failures += 1
            finally:
                await end(process, self._drain_seconds + 15)
            if self._stop.is_set():
                break
            for line in last_errors(self.log):
                say(f"  {line}")
            code = f"{self.engine.name} ended with exit code {process.returncode}"
            if not ever and failures >= ATTEMPTS:
                say(f"{code} and was never ready in {failures} attempts; the whole log is `{self.log}`")
                return 1
            say(f"{code}; starting it again in {wait:.0f} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), wait)
            wait = min(wait * 2, LONGEST_WAIT)
        return 0

    @property
    def _drain_seconds(self) -> int:
        return self._launch.drain_seconds if self._launch else 30

    async def _start(self, *, with_adapters: bool) -> asyncio.subprocess.Process:
        """Starts the server; after a failure without adapters, to load them singly and learn which it was."""
        await asyncio.to_thread(self.adapters.scan)
        adapters = tuple(self.adapters.accepted.values())
        at_once = adapters if with_adapters or not self.engine.adds_while_running else ()
        spare = self.settings.serve.spare_slots if self.engine.adds_while_running else 0
        self._launch = Launch(
            base=self.base,
            adapters=at_once,
            slots=len(adapters) + spare,
            rank=rank_for(adapters),
            port=self.port,
            key=self.key,
        )
        self._loaded = len(at_once)
        if self.log.is_file() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        command = self.engine.command(self._launch)
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"\n=== {time.strftime('%Y-%m-%d %H:%M:%S')} {shlex.join(command)}\n")
        return await start_server(command, self.engine.environment(self._launch), self.log)

    async def _until_ready(self, process: asyncio.subprocess.Process) -> bool:
        began = time.monotonic()
        assert self._launch is not None
        with progress(f"starting {self.engine.name} with `{self.base.id}`", None) as advance:
            while not await asyncio.to_thread(self._healthy):
                seconds = time.monotonic() - began
                if self._stop.is_set() or process.returncode is not None:
                    return False
                if seconds > self.settings.serve.ready_seconds:
                    say(f"{self.engine.name} was not ready after {seconds:.0f} s")
                    return False
                advance(0, f"{seconds:.0f} s")
                await asyncio.sleep(0.3)
        for adapter in tuple(self.adapters.accepted.values()):
            if adapter not in self._launch.adapters:
                await self._load(adapter)
        self._write_endpoint()
        seconds = time.monotonic() - began
        names = ", ".join(f"`{name}`" for name in self.adapters.accepted) or "no adapter"
        say(f"{self.engine.name} is ready after {seconds:.1f} s at {self.root}/v1: `{self.base.id}`, {names}")
        self._ready.set()
        return True

    async def _tend(self, process: asyncio.subprocess.Process) -> str:
        """Watches until there is a reason to end: "stop", "died" or "restart"."""
        stopped, died = asyncio.create_task(self._stop.wait()), asyncio.create_task(process.wait())
        try:
            while True:
                await asyncio.wait({stopped, died}, timeout=WATCH_EVERY, return_when=asyncio.FIRST_COMPLETED)
                if stopped.done():
                    return "stop"
                if died.done():
                    sweep(process)
                    return "died"
                for adapter in await asyncio.to_thread(self.adapters.look):
                    if not self._has_room(adapter):
                        return "restart"
                    await self._load(adapter)
                if self.engine.adds_while_running:
                    for adapter in self.adapters.due():
                        await self._unload(adapter)
                for line in await asyncio.to_thread(self.trials.look):
                    say(line)
        finally:
            stopped.cancel()
            died.cancel()

    # --- adapters
    # -------------------------------------------------------------------------------------------------

    def _has_room(self, adapter: AdapterVersion) -> bool:
        launch = self._launch
        if launch is None or not self.engine.adds_while_running:
            return False
        return self._loaded < launch.slots and adapter.rank <= launch.rank

    async def _load(self, adapter: AdapterVersion) -> None:
        began = time.monotonic()
        body = {"lora_name": adapter.name, "lora_path": str(adapter.folder)}
        self._loaded += 1  # a failed load may have taken its place too
        try:
            await asyncio.to_thread(self._call, "/v1/load_lora_adapter", body, 120.0)
        except InferenceError as error:
            self.adapters.reject(adapter)
            say(f"refused: {self.engine.name} does not load `{adapter.name}`: {error}")
        else:
            say(f"`{adapter.name}` is served; loaded in {(time.monotonic() - began) * 1000:.0f} ms")

    async def _unload(self, adapter: AdapterVersion) -> None:
        self.adapters.forget(adapter)
        try:
            await asyncio.to_thread(self._call, "/v1/unload_lora_adapter", {"lora_name": adapter.name}, 30.0)
        except InferenceError as error:  # then its place stays taken until the next start
            say(f"{self.engine.name} does not unload `{adapter.name}`: {error}")
        else:
            self._loaded -= 1
            say(f"`{adapter.name}` is not served any more: no release names it")

    # --- the server's routes
    # --------------------------------------------------------------------------------------

    def _healthy(self) -> bool:
        try:
            self._call("/health", None, 2.0)
        except InferenceError:
            return False
        return True

    def _call(self, path: str, body: dict[str, Any] | None, seconds: float) -> None:
        request = urllib.request.Request(
            self.root + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({})
        )  # a proxy cannot reach 127.0.0.1
        try:
            with direct.open(request, timeout=seconds) as response:
                response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise InferenceUnavailable(_message(error.read())) from error
        except OSError as error:
            raise InferenceUnavailable(str(error)) from error

    def _write_endpoint(self) -> None:
        """Where the client finds the server. Only this user may read it: the key is in it."""
        path = self.settings.data / ENDPOINT_FILE
        text = json.dumps(
            {
                "base_url": f"{self.root}/v1",
                "api_key": self.key,
                "pid": os.getpid(),
                "base": self.base.id,
                "engine": self.engine.name,
            }
        )
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        unfinished.unlink(missing_ok=True)
        with open(
            os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text + "\n")
        unfinished.replace(path)

    def _forget_endpoint(self) -> None:
        path = self.settings.data / ENDPOINT_FILE
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads(path.read_bytes())["pid"] == os.getpid():
                path.unlink()


class _Signals:
    """SIGINT and SIGTERM: end the command that runs with us, which ends us; or us."""

    def __init__(self, stop: asyncio.Event) -> None:
        self.stop = stop
        self.child: asyncio.subprocess.Process | None = None

    def __enter__(self) -> None:
        if sys.platform == "win32":
            return  # there Ctrl-C is a KeyboardInterrupt, and `finally` ends the server
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._came, number)

    def __exit__(self, *_: object) -> None:
        if sys.platform == "win32":
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)

    def _came(self, number: signal.Signals) -> None:
        if self.child is None:
            self.stop.set()
        elif (
            number != signal.SIGINT or not sys.stdin.isatty()
        ):  # Ctrl-C in a terminal reaches the command by itself
            with contextlib.suppress(ProcessLookupError):
                self.child.send_signal(number)


def _exit_code(code: int) -> int:
    return code if code >= 0 else 128 - code


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")


def last_errors(log: Path, count: int = 5) -> list[str]:
    """The lines of a log's end that say what went wrong, without dates and code."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 2**16))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = [line.rpartition("] ")[2].strip() for line in text.rpartition("\n=== ")[2].splitlines()[1:]]
    wrong = [
        line for line in lines if "Error" in line and not line.startswith(("File ", "raise ", "Traceback"))
    ]
    return list(dict.fromkeys(wrong or [line for line in lines if line]))[-count:]
