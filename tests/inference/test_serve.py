"""The supervisor, with a model server that is a process of its own but has no model: `tests/fakes/model.py`.

What needs the real vLLM stands in `test_vllm.py`.
"""

import asyncio
import itertools
import json
import os
import shutil
import signal
import socket
import stat
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dataset_builder.schema import Message, Tally, VersionTally
from inference import serve, watch
from inference.__main__ import main
from inference.base import Base
from inference.characters import Character, Sampling, load_character
from inference.client import Endpoint, InferenceClient
from inference.errors import InferenceRejected
from inference.release import (
    Canary,
    Release,
    change,
    first_release,
    read_release,
    write_release,
)
from inference.serve import ModelServer, free_port, last_errors
from inference.settings import InferenceSettings, ServeSettings, WrongSetting
from inference.vllm import VLLM, Launch, find_vllm, rank_for
from tests.inference.conftest import change_weights, write_adapter

ASKED = [Message(role="system", content="You are Maeve."), Message(role="user", content="hello")]


class FakeEngine:
    name = "the fake"
    log = "fake.log"

    def __init__(self, adds_while_running: bool = True, ends: str = "") -> None:
        self.adds_while_running = adds_while_running
        self.ends = ends  # code that runs in the server's place
        self.launches: list[Launch] = []

    def command(self, launch: Launch) -> list[str]:
        self.launches.append(launch)
        if self.ends:
            return [sys.executable, "-c", self.ends]
        served = [adapter.name for adapter in launch.adapters]
        return [sys.executable, "-m", "tests.fakes.model", str(launch.port), launch.base.id, *served]

    def environment(self, launch: Launch) -> dict[str, str]:
        return {"FAKE_KEY": launch.key}


class Running:
    """A supervisor at work, and what it says."""

    def __init__(self, server: ModelServer, task: "asyncio.Task[int]", said: list[str]) -> None:
        self.server = server
        self.task = task
        self.said = said
        self.client = InferenceClient(Endpoint(), server.settings.data)

    async def until(self, true: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            while not true():
                assert not self.task.done() or true(), self.said
                await asyncio.sleep(0.02)

    async def heard(self, words: str, times: int = 1) -> None:
        await self.until(lambda: sum(words in line for line in self.said) >= times)

    def engine_pid(self) -> int:
        stats = (path.read_text() for path in Path("/proc").glob("[0-9]*/stat") if path.exists())
        mine = [line for line in stats if line.rpartition(")")[2].split()[1] == str(os.getpid())]
        return next(
            int(line.split()[0])
            for line in mine
            if b"fakes.model" in Path(f"/proc/{line.split()[0]}/cmdline").read_bytes()
        )


@pytest.fixture
def start(tmp_path: Path, tiny_base: Base, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    said: list[str] = []
    monkeypatch.setattr(serve, "say", said.append)
    monkeypatch.setattr(watch, "say", said.append)
    monkeypatch.setattr(serve, "WATCH_EVERY", 0.05)
    monkeypatch.setattr("inference.release.LOOK_EVERY", 0.1)
    monkeypatch.chdir(Path(__file__).parents[2])  # the fake is found from the checkout

    @asynccontextmanager
    async def running(
        engine: FakeEngine | None = None, command: str | None = None, **fields: Any
    ) -> AsyncIterator[Running]:
        settings = InferenceSettings(
            characters=tmp_path / "characters", data=tmp_path / "data", serve=ServeSettings(**fields)
        )
        server = ModelServer(settings, tiny_base, engine or FakeEngine(), free_port(0))
        running = Running(server, asyncio.create_task(server.run(command)), said)
        try:
            async with running.client:
                yield running
        finally:
            server._stop.set()
            async with asyncio.timeout(60):
                await asyncio.gather(running.task, return_exceptions=True)

    return running


@pytest.fixture
def adapters(tmp_path: Path, tiny_base: Base) -> Path:
    """One good version of `maeve`."""
    folder = tmp_path / "characters" / "maeve" / "adapters" / "tiny"
    write_adapter(folder / "v1", tiny_base, seed=1)
    return folder


async def test_serves_what_lies_there_and_tells_the_client_where(
    start: Any, adapters: Path, tmp_path: Path
) -> None:
    async with start() as running:
        await running.heard("is ready")
        assert await running.client.served() == ["maeve.v1", "tiny"]
        file = tmp_path / "data" / "inference.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_bytes())["base"] == "tiny"
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running.task == 0
    assert not file.exists()


async def test_a_version_dropped_in_is_loaded_under_its_own_name(
    start: Any, adapters: Path, tiny_base: Base
) -> None:
    async with start() as running:
        await running.heard("is ready")
        write_adapter(adapters.parents[2] / "zhiwei" / "adapters" / "tiny" / "v3", tiny_base, seed=2)
        await running.heard("`zhiwei.v3` is served")
        assert await running.client.served(fresh=True) == ["maeve.v1", "tiny", "zhiwei.v3"]
        with pytest.raises(InferenceRejected) as refusal:
            await running.client.version_of(_character(adapters.parents[2] / "x"))
        assert refusal.value.known == ("maeve.v1", "tiny", "zhiwei.v3")


def _character(folder: Path) -> Character:
    folder.mkdir(exist_ok=True)
    (folder / "card.json").write_text('{"name": "X"}')
    return load_character(folder)


async def test_a_bad_one_is_refused_once_and_taken_when_it_is_good(
    start: Any, adapters: Path, tiny_base: Base
) -> None:
    folder = adapters / "v2"
    async with start() as running:
        await running.heard("is ready")
        write_adapter(folder, tiny_base, version={"sha256": "0" * 64})
        await running.heard("refused")
        await asyncio.sleep(0.5)
        assert sum("refused" in line for line in running.said) == 1
        change_weights(folder, tiny_base)
        await running.heard("`maeve.v2` is served")


async def test_new_weights_under_a_served_name_are_refused(
    start: Any, adapters: Path, tiny_base: Base
) -> None:
    async with start() as running:
        await running.heard("is ready")
        name = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
        from numpy import ones

        change_weights(adapters / "v1", tiny_base, **{name: ones((16, 8), "float32")})
        await running.heard("put new weights into a new folder, `v2`")
        assert await running.client.served(fresh=True) == ["maeve.v1", "tiny"]
        os.kill(running.engine_pid(), signal.SIGKILL)  # with it goes the only copy of the old ones
        await running.heard("is ready", times=2)
        assert await running.client.served(fresh=True) == ["tiny"], "other weights under a name that was used"


async def test_a_dead_server_is_started_again_with_everything(
    start: Any, adapters: Path, tiny_base: Base
) -> None:
    async with start() as running:
        await running.heard("is ready")
        write_adapter(adapters / "v2", tiny_base, seed=2)
        await running.heard("`maeve.v2` is served")
        address = running.server.root
        os.kill(running.engine_pid(), signal.SIGKILL)
        await running.heard("is ready", times=2)
        assert any("exit code -9" in line for line in running.said)
        assert running.server.root == address
        assert await running.client.served(fresh=True) == ["maeve.v1", "maeve.v2", "tiny"]


async def test_no_room_left_is_a_restart_with_more(start: Any, adapters: Path, tiny_base: Base) -> None:
    engine = FakeEngine()
    async with start(engine, spare_slots=1) as running:
        await running.heard("is ready")
        for number in (2, 3):
            write_adapter(adapters / f"v{number}", tiny_base, seed=number)
            await running.until(lambda name=f"maeve.v{number}": name in running.server.adapters.accepted)
        await running.heard("is ready", times=2)
        assert [launch.slots for launch in engine.launches] == [2, 4]
        assert await running.client.served(fresh=True) == ["maeve.v1", "maeve.v2", "maeve.v3", "tiny"]


async def test_a_higher_rank_is_a_restart(start: Any, adapters: Path, tiny_base: Base) -> None:
    engine = FakeEngine()
    async with start(engine) as running:
        await running.heard("is ready")
        write_adapter(adapters / "v2", tiny_base, rank=20)
        await running.heard("is ready", times=2)
        assert [launch.rank for launch in engine.launches] == [16, 32]


async def test_an_engine_that_reads_adapters_at_its_start_is_restarted(
    start: Any, adapters: Path, tiny_base: Base
) -> None:
    async with start(FakeEngine(adds_while_running=False)) as running:
        await running.heard("is ready")
        write_adapter(adapters / "v2", tiny_base)
        await running.heard("is ready", times=2)
        assert await running.client.served(fresh=True) == ["maeve.v1", "maeve.v2", "tiny"]


# --- releases ----------------------------------------------------------------------------------------------


@pytest.fixture
def release(adapters: Path, tiny_base: Base) -> Callable[[Callable[[Release], Release]], None]:
    """Four versions of `maeve`, of which the second answers; and a way to change her release."""
    for number in (2, 3, 4):
        write_adapter(adapters / f"v{number}", tiny_base, seed=number)
    write_release(adapters, first_release("maeve.v2", by="me", reason=""))

    def to(make: Callable[[Release], Release]) -> None:
        change(adapters, lambda now: make(now) if now else None)

    return to


def tried(version: str, **fields: Any) -> Callable[[Release], Release]:
    canary = Canary.model_validate({"version": version, "share": 0.5, "since": time.time(), **fields})
    return lambda now: now.with_canary(canary, by="me")


async def test_only_what_a_release_names_is_served(start: Any, release: Any, adapters: Path) -> None:
    async with start(unload_seconds=0.3) as running:
        await running.heard("is ready")
        assert await running.client.served(fresh=True) == ["maeve.v2", "tiny"]
        release(tried("maeve.v3"))
        await running.heard("`maeve.v3` is served")
        release(lambda now: now.promote("maeve.v3", by="me"))
        release(tried("maeve.v4"))
        await running.heard("`maeve.v4` is served")
        release(lambda now: now.roll_back(by="me"))
        await running.heard("`maeve.v4` is not served any more: no release names it")
        assert await running.client.served(fresh=True) == ["maeve.v2", "maeve.v3", "tiny"]
        release(lambda now: now.roll_back(by="me"))
        await running.heard("`maeve.v3` is not served any more")
        release(lambda now: now.promote("maeve.v3", by="me"))  # the same weights may come back
        await running.heard("`maeve.v3` is served", times=2)
        assert not any("ended" in line or "restarting" in line for line in running.said)


async def test_what_is_named_again_in_time_stays(start: Any, release: Any, adapters: Path) -> None:
    async with start(unload_seconds=60) as running:
        await running.heard("is ready")
        release(tried("maeve.v3"))
        await running.heard("`maeve.v3` is served")
        release(lambda now: now.roll_back(by="me"))
        await running.until(lambda: running.server.adapters._unneeded)
        assert await running.client.served(fresh=True) == ["maeve.v2", "maeve.v3", "tiny"]
        release(tried("maeve.v3"))
        await running.until(lambda: not running.server.adapters._unneeded)
        os.kill(running.engine_pid(), signal.SIGKILL)
        release(lambda now: now.roll_back(by="me"))
        await running.heard("is ready", times=2)
        assert await running.client.served(fresh=True) == ["maeve.v2", "tiny"], (
            "a new start needs no patience"
        )


async def test_unloading_makes_room(start: Any, release: Any, adapters: Path, tiny_base: Base) -> None:
    """One spare slot is enough for any number of trials: nothing is ever restarted."""
    engine = FakeEngine()
    async with start(engine, spare_slots=1, unload_seconds=0) as running:
        await running.heard("is ready")
        for number in (3, 4, 5, 6):
            if number > 4:
                write_adapter(adapters / f"v{number}", tiny_base, seed=number)
            release(tried(f"maeve.v{number}"))
            await running.heard(f"`maeve.v{number}` is served")
            release(lambda now: now.roll_back(by="me"))
            await running.heard(f"`maeve.v{number}` is not served any more")
        assert len(engine.launches) == 1


async def test_an_unloaded_name_never_gets_other_weights(
    start: Any, release: Any, adapters: Path, tiny_base: Base
) -> None:
    """vLLM, and everybody who has heard the name, remembers the old ones."""
    async with start(unload_seconds=0) as running:
        await running.heard("is ready")
        release(tried("maeve.v3"))
        await running.heard("`maeve.v3` is served")
        release(lambda now: now.roll_back(by="me"))
        await running.heard("`maeve.v3` is not served any more")
        shutil.rmtree(adapters / "v3")
        write_adapter(adapters / "v3", tiny_base, seed=33)
        release(tried("maeve.v3"))
        await running.heard("put new weights into a new folder, `v4`")
        assert await running.client.served(fresh=True) == ["maeve.v2", "tiny"]


async def test_what_a_card_names_is_served_too(start: Any, release: Any, adapters: Path) -> None:
    card = {"name": "Maeve", "extensions": {"chatnvl": {"model": "maeve.v1"}}}
    (adapters.parents[1] / "card.json").write_text(json.dumps(card))
    async with start(unload_seconds=0) as running:
        await running.heard("is ready")
        assert await running.client.served(fresh=True) == ["maeve.v1", "maeve.v2", "tiny"]


async def test_an_engine_that_cannot_unload_keeps_it_until_its_next_start(
    start: Any, release: Any, adapters: Path
) -> None:
    async with start(FakeEngine(adds_while_running=False), unload_seconds=0) as running:
        await running.heard("is ready")
        release(tried("maeve.v3"))
        await running.heard("is ready", times=2)
        assert await running.client.served(fresh=True) == ["maeve.v2", "maeve.v3", "tiny"]
        release(lambda now: now.roll_back(by="me"))
        await running.until(lambda: running.server.adapters._unneeded)
        await asyncio.sleep(0.3)
        assert await running.client.served(fresh=True) == ["maeve.v2", "maeve.v3", "tiny"]
        release(tried("maeve.v4"))
        await running.heard("is ready", times=3)
        assert await running.client.served(fresh=True) == ["maeve.v2", "maeve.v4", "tiny"]


async def test_a_release_that_cannot_be_read_changes_nothing(
    start: Any, release: Any, adapters: Path
) -> None:
    async with start(unload_seconds=0) as running:
        await running.heard("is ready")
        (adapters / "release.json").write_text("{")
        await running.heard("what it said before holds")
        await asyncio.sleep(0.3)
        assert await running.client.served(fresh=True) == ["maeve.v2", "tiny"]
        assert sum("release.json" in line for line in running.said) == 1


def votes(data: Path, **liked: tuple[str, int, int]) -> None:
    """A tally of today: version by number, with its arm, likes and dislikes."""
    day = datetime.now(UTC).date().isoformat()
    rows = [
        VersionTally(
            character="maeve",
            version=f"maeve.{version}",
            arm=arm,  # type: ignore[arg-type]
            day=day,
            up=up,
            down=down,
            weighted_up=up,
            weighted_down=down,
        )
        for version, (arm, up, down) in liked.items()
    ]
    (data / "feedback").mkdir(parents=True, exist_ok=True)
    unfinished = data / "feedback" / "tally.unfinished"
    unfinished.write_text(Tally(time=time.time(), versions=tuple(rows)).model_dump_json())
    unfinished.replace(data / "feedback" / "tally.json")


@pytest.mark.parametrize(
    ("canary", "words", "stable"),
    [
        ((900, 100), "`maeve.v3` answers everybody now: canary: liked in 90 %", "maeve.v3"),
        ((300, 700), "`maeve.v3` is taken back: canary: liked in 30 %", "maeve.v2"),
    ],
)
async def test_a_trial_that_decides_is_decided_by_the_votes(
    start: Any, release: Any, adapters: Path, tmp_path: Path, canary: tuple[int, int], words: str, stable: str
) -> None:
    async with start(unload_seconds=60) as running:
        await running.heard("is ready")
        release(tried("maeve.v3", decides=True))
        votes(tmp_path / "data", v2=("stable", 30, 10), v3=("canary", 1, 9))
        await asyncio.sleep(0.3)
        found = read_release(adapters)
        assert found is not None
        assert found.canary is not None, "too few votes"
        votes(tmp_path / "data", v2=("stable", 600, 400), v3=("canary", *canary))
        await running.heard(words)
        found = read_release(adapters)
        assert found is not None
        assert (found.stable, found.canary) == (stable, None)
        assert "e-value" in found.history[-1].reason
        assert found.history[-1].by == "the trial"


async def test_no_turn_fails_while_versions_change(start: Any, release: Any, adapters: Path) -> None:
    """Every turn is answered, by the version that was chosen for it."""
    maeve = _character(adapters.parents[1])
    turns: Counter[str] = Counter()

    async def talk(running: Running, name: str) -> None:
        under_way = None
        while not done.is_set():
            chosen = await running.client.version_of(maeve, name, under_way)
            async with running.client.chat(chosen.version, ASKED, Sampling()) as completion:
                text = "".join([piece async for piece in completion])
            assert text == f"{chosen.version} heard: hello"
            turns[chosen.version] += 1
            under_way = chosen.version

    done = asyncio.Event()
    async with start(unload_seconds=0.5) as running, asyncio.TaskGroup() as group:
        await running.heard("is ready")
        for number in range(6):
            group.create_task(talk(running, f"web:0:private:{number}"))
        release(tried("maeve.v3"))
        await running.heard("`maeve.v3` is served")
        release(lambda now: now.promote("maeve.v3", by="me"))
        release(lambda now: now.promote("maeve.v4", by="me"))  # not loaded yet: the one before answers
        await running.heard("`maeve.v4` is served")
        await running.heard("`maeve.v2` is not served any more")
        release(lambda now: now.roll_back(by="me"))
        await running.heard("`maeve.v4` is not served any more")
        done.set()
    assert turns["maeve.v2"] > 5
    assert turns["maeve.v3"] > 5
    assert sum(turns.values()) > 30


async def test_a_server_that_never_becomes_ready(start: Any, adapters: Path) -> None:
    ends = "import sys; print('INFO starting'); raise ValueError('no such flag --x')"
    async with start(FakeEngine(ends=ends)) as running:
        assert await running.task == 1
        assert any("ValueError: no such flag --x" in line for line in running.said)
        assert any("never ready in 3 attempts" in line for line in running.said)


@pytest.mark.parametrize(("command", "code"), [("python -c 'exit(7)'", 7), ("no-such-program", None)])
async def test_the_command_decides_when_it_ends(
    start: Any, adapters: Path, command: str, code: int | None
) -> None:
    async with start(command=command) as running:
        if code is None:
            with pytest.raises(WrongSetting, match="no-such-program"):
                await running.task
        else:
            assert await running.task == code
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get(f"{running.server.root}/health")


async def test_signals_reach_the_command_first(start: Any, adapters: Path, tmp_path: Path) -> None:
    script = tmp_path / "command.py"
    script.write_text(
        "import json, pathlib, signal, sys, time, urllib.request\n"
        f"found = json.loads(pathlib.Path({str(tmp_path / 'data' / 'inference.json')!r}).read_bytes())\n"
        "address = found['base_url']\n"
        "def end(*_):\n"
        "    urllib.request.urlopen(address.removesuffix('/v1') + '/health')  # the model is still there\n"
        "    sys.exit(5)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"pathlib.Path({str(tmp_path / 'started')!r}).touch()\n"
        "time.sleep(60)\n"
    )
    async with start(command=f"python {script}") as running:
        await running.until((tmp_path / "started").exists)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running.task == 5


def test_a_taken_port(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("CHATNVL_SERVE__PORT", str(taken.getsockname()[1]))
        assert main(["serve"]) == 2
    assert "is taken" in capsys.readouterr().err


def test_the_command_line(tiny_base: Base, tmp_path: Path) -> None:
    settings = ServeSettings(context=100_000, arguments="--seed 3", threads=3)
    launch = Launch(base=tiny_base, adapters=(), slots=6, rank=16, port=1, key="secret")
    cpu, cuda = VLLM(settings, cpu=True), VLLM(settings, cpu=False)
    words = cpu.command(launch)
    options = dict(itertools.pairwise(words))
    assert options["--host"] == "127.0.0.1"
    assert options["--max-loras"] == "7", (
        "with as many slots as adapters, base requests get the last one's weights"
    )
    assert options["--max-model-len"] == "128", "not more than the model has"
    assert options["--seed"] == "3"
    assert "secret" not in " ".join(words)
    assert cpu.environment(launch)["OMP_NUM_THREADS"] == "3"
    assert "--block-size" not in cuda.command(launch)
    assert "LD_PRELOAD" not in cuda.environment(launch)


def test_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def installed(**versions: str) -> Callable[[str], str]:
        def version(name: str) -> str:
            if name not in versions:
                raise metadata.PackageNotFoundError(name)
            return versions[name]

        return version

    monkeypatch.setattr(metadata, "version", installed(vllm="0.33.0"))
    assert (found := find_vllm(ServeSettings())) is not None
    assert not found.cpu
    monkeypatch.setattr(metadata, "version", installed(vllm="0.32.0+cpu"))
    assert (found := find_vllm(ServeSettings())) is not None
    assert found.cpu
    monkeypatch.setattr(metadata, "version", installed())
    assert find_vllm(ServeSettings()) is None
    with pytest.raises(WrongSetting, match="not installed"):
        find_vllm(ServeSettings(engine="vllm"))


def test_rank() -> None:
    assert rank_for(()) == 16


def test_last_errors(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text(
        "\n=== start one\nValueError: old\n"
        "\n=== start two\n(APIServer pid=3) INFO 11-24 03:33:35 [launcher.py:186] all well\n"
        '(Worker pid=5) ERROR 11-24 03:33:28 [core.py:9]   File "x.py", line 3, in f\n'
        "(Worker pid=5) ERROR 11-24 03:33:28 [core.py:9] ValueError: no memory\n"
        "ValueError: no memory\n"
    )
    assert last_errors(log) == ["ValueError: no memory"]
    assert last_errors(tmp_path / "none.log") == []
