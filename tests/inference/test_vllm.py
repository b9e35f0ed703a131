"""`python -m inference serve` with the real vLLM: what it serves, refuses and survives."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dataset_builder.schema import Message
from inference.base import Base
from inference.characters import Sampling
from inference.client import Endpoint, InferenceClient
from inference.errors import InferenceRejected
from inference.release import first_release, write_release
from inference.settings import ServeSettings
from tests.inference.conftest import Served, start_serve, write_adapter

pytestmark = pytest.mark.slow
MESSAGES = [
    Message(role="system", content="You are Maeve."),
    Message(role="user", content="Hello! How was your day?"),
]
GREEDY = Sampling(temperature=0, max_tokens=24)


async def _say(served: Served, model: str, sampling: Sampling = GREEDY) -> str:
    async with (
        InferenceClient(Endpoint(), served.data) as client,
        client.chat(model, MESSAGES, sampling) as answer,
    ):
        return "".join([piece async for piece in answer])


async def test_each_name_has_its_own_words(vllm_server: Served, real_base: Base) -> None:
    said = [await _say(vllm_server, name) for name in (real_base.id, "maeve.v1", "maeve.v2", "zhiwei.v1")]
    assert len(set(said)) == 4, said


async def test_a_version_dropped_in_while_running(vllm_server: Served, real_base: Base) -> None:
    with pytest.raises(InferenceRejected, match="does not exist") as refusal:
        await _say(vllm_server, "late.v1")
    assert refusal.value.status == 404
    folder = vllm_server.characters / "late" / "adapters" / real_base.id / "v1"
    write_adapter(folder, real_base, seed=9)
    vllm_server.wait_for("`late.v1` is served")
    said = [await _say(vllm_server, name) for name in (real_base.id, "maeve.v1", "late.v1")]
    assert len(set(said)) == 3, said


async def test_released_versions_come_and_go_while_running(vllm_server: Served, real_base: Base) -> None:
    """More versions than there are slots, one after another: each says its own words, the base its own."""
    adapters = vllm_server.characters / "changing" / "adapters" / real_base.id
    slots = 3 + ServeSettings().spare_slots
    before, starts = await _say(vllm_server, real_base.id), vllm_server.said.count("is ready after")
    heard = {}
    for number in range(1, slots + 3):
        write_adapter(adapters / f"v{number}", real_base, seed=100 + number)
        write_release(adapters, first_release(f"changing.v{number}", by="me", reason=""))
        vllm_server.wait_for(f"`changing.v{number}` is served")
        heard[number] = await _say(vllm_server, f"changing.v{number}")
        if number > 1:
            vllm_server.wait_for(f"`changing.v{number - 1}` is not served any more")
        # Beside an adapter, since a base request alone is always right; later words may differ by rounding.
        base, _ = await asyncio.gather(
            _say(vllm_server, real_base.id), _say(vllm_server, f"changing.v{number}")
        )
        assert base.split()[:2] == before.split()[:2]
    assert len(set(heard.values())) == len(heard)
    assert vllm_server.said.count("is ready after") == starts
    write_release(adapters, first_release("changing.v1", by="me", reason=""))
    vllm_server.wait_for("`changing.v1` is served", 2)
    assert await _say(vllm_server, "changing.v1") == heard[1]


async def test_only_our_routes_names_and_fields(vllm_server: Served) -> None:
    key = {"Authorization": f"Bearer {vllm_server.api_key}"}
    root = vllm_server.base_url.removesuffix("/v1")
    chat: dict[str, Any] = {
        "model": "maeve.v1",
        "messages": [{"role": "user", "content": "a"}],
        "max_tokens": 2,
    }

    async def status(method: str, path: str, headers: dict[str, str] | None = None, **body: Any) -> int:
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, root + path, json=body or None) as answer,
        ):
            return answer.status

    assert await status("GET", "/health") == 200
    loading = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")
    for path in ("/v1/chat/completions", "/tokenize", "/adapters", "/invocations", *loading):
        assert await status("POST", path, **chat) == 401
        assert await status("POST", path, {"Authorization": "Bearer x"}, **chat) == 401
    for path in ("/adapters", "/invocations", "/v1/completions", "/v1/responses"):
        assert await status("POST", path, key, **chat) == 404
    assert await status("GET", "/metrics") == 401
    assert await status("GET", "/metrics", key) == 200
    assert await status("POST", "/v1/chat/completions", key, **chat) == 200
    for field in ("prompt_logprobs", "echo", "chat_template", "kv_transfer_params", "made_up"):
        assert await status("POST", "/v1/chat/completions", key, **chat, **{field: 1}) == 400
    for name in (str(vllm_server.characters / "maeve"), "../maeve", "nobody.v1"):
        assert await status("POST", "/v1/chat/completions", key, **(chat | {"model": name})) == 404


async def test_the_key_is_nowhere_to_be_read(vllm_server: Served) -> None:
    for pid in vllm_server.children():
        assert vllm_server.api_key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    logs = vllm_server.data / "logs"
    assert all(vllm_server.api_key not in log.read_text() for log in logs.iterdir())


async def test_ask(vllm_server: Served, tmp_path: Path) -> None:
    from shutil import copytree, ignore_patterns

    characters = copytree(Path("characters"), tmp_path / "c", ignore=ignore_patterns("adapters"))
    environment = os.environ | {"CHATNVL_DATA": str(vllm_server.data), "CHATNVL_CHARACTERS": str(characters)}

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "inference", "ask", *words],
            env=environment,
            capture_output=True,
            text=True,
        )

    first, again = await asyncio.gather(
        *(asyncio.to_thread(ask, "maeve", "Hello!", "--greedy") for _ in range(2))
    )
    assert first.returncode == 0, first.stderr
    assert len(first.stdout) > 3
    assert again.returncode == 0, again.stderr
    unknown = await asyncio.to_thread(ask, "nobody", "Hello!")
    assert unknown.returncode == 2
    assert "`maeve`, `zhiwei`" in unknown.stderr


async def test_a_killed_engine_comes_back_and_a_stop_lets_replies_end(
    tmp_path: Path, real_base: Base
) -> None:
    write_adapter(tmp_path / "characters" / "maeve" / "adapters" / real_base.id / "v1", real_base, seed=1)
    served = start_serve(tmp_path / "serve", real_base, tmp_path / "characters")
    try:
        served.wait_for("is ready after")
        before = await _say(served, "maeve.v1")
        engine = next(
            pid for pid in served.children() if b"EngineCore" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        os.kill(engine, signal.SIGKILL)
        await asyncio.to_thread(served.wait_for, "is ready after", 2)
        assert await _say(served, "maeve.v1") == before

        long = Sampling(temperature=0.9, max_tokens=40)  # on a busy machine, within the 30 s of a stop
        async with (
            InferenceClient(Endpoint(), served.data) as client,
            client.chat("maeve.v1", MESSAGES, long) as answer,
        ):
            pieces = aiter(answer)
            await anext(pieces)
            served.process.send_signal(signal.SIGTERM)
            said = [piece async for piece in pieces]
            assert len(said) > 2
            assert answer.finish_reason in ("stop", "length")
        assert await asyncio.to_thread(served.stop) == 0
        assert not (served.data / "inference.json").exists()
    finally:
        served.kill()


@pytest.mark.parametrize("when", ["while starting", "when ready"])
def test_nothing_outlives_a_killed_supervisor(tmp_path: Path, real_base: Base, when: str) -> None:
    (tmp_path / "characters").mkdir()
    served = start_serve(tmp_path, real_base, tmp_path / "characters")
    try:
        if when == "when ready":
            served.wait_for("is ready after")
        else:
            served.wait_for("starting vLLM")
            log = served.data / "logs" / "vllm.log"
            for _ in range(3000):  # until its engine is a process of its own
                if log.is_file() and "EngineCore" in log.read_text():
                    break
                time.sleep(0.1)
        children = served.children()
        assert len(children) > 1
    finally:
        served.kill()
    for _ in range(3000):
        if not any(_runs(pid) for pid in children):
            return
        time.sleep(0.1)
    left = [pid for pid in children if _runs(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    raise AssertionError(f"{left} outlived their supervisor")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_arguments_that_vllm_refuses(tmp_path: Path, real_base: Base) -> None:
    """The reason stands in what `serve` says, and it gives up."""
    (tmp_path / "characters").mkdir()
    served = start_serve(
        tmp_path, real_base, tmp_path / "characters", CHATNVL_SERVE__ARGUMENTS="--no-such-option 3"
    )
    assert served.process.wait(300) == 1
    assert "--no-such-option" in served.said
    assert "was never ready in 3 attempts" in served.said
