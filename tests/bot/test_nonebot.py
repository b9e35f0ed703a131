"""NoneBot: our module as a plugin in a stranger's process, and as the host of adapters in ours.

NoneBot lives once in a process and cannot be ended, so each of these runs in a process of its own.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.errors import ConfigurationError
from bot.gateways.nonebot import NoneBotGateway
from tests.conftest import ROOT
from tests.fakes.model import FakeModel
from tests.fakes.onebot import FakeOneBot

# What somebody with a NoneBot has: their bot.py, with one line added.
STRANGER = """
import nonebot
from nonebot.adapters.onebot.v11 import Adapter
nonebot.init(driver="{driver}", host="127.0.0.1", port={port}, _env_file=("none",), log_level="INFO")
nonebot.get_driver().register_adapter(Adapter)
assert nonebot.load_plugin("bot.gateways.nonebot"), "the plugin did not load"
assert nonebot.get_plugin("nonebot").metadata.name == "ChatNVL"
nonebot.run()
"""
HOST = "from bot.__main__ import main; raise SystemExit(main([]))"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def start(program: str, environment: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """A Python of its own; what it prints is shown when a test fails."""
    (folder / "main.py").write_text(program)
    return subprocess.Popen(
        [sys.executable, "main.py"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)} | environment,
    )


@asynccontextmanager
async def process(program: str, environment: dict[str, str], folder: Path) -> AsyncIterator[None]:
    """It is asked to end, and has to."""
    child = start(program, environment, folder)
    try:
        yield
        child.terminate()
        assert await asyncio.to_thread(child.wait, 20) in (0, -15)
    finally:
        child.kill()
        child.wait()


async def failing(program: str, environment: dict[str, str], folder: Path) -> int:
    """The exit code of one that has to fail."""
    child = start(program, environment, folder)
    try:
        return await asyncio.to_thread(child.wait, 30)
    finally:
        child.kill()
        child.wait()


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    async with FakeModel() as model:
        yield model


@pytest.fixture
def environment(model: FakeModel, redis_url: str, store: Any, tmp_path: Path) -> dict[str, str]:
    return {
        "CHATNVL_CHARACTERS": str(ROOT / "characters"),
        "CHATNVL_DATA": str(tmp_path),
        "CHATNVL_DEFAULT_CHARACTER": "maeve",
        "CHATNVL_INFERENCE__BASE_URL": model.base_url,
        "CHATNVL_INFERENCE__API_KEY": model.api_key,
        "CHATNVL_REDIS__URL": redis_url,
    }


async def converse(qq: FakeOneBot) -> None:
    """Everything at once, so that the bursts' pauses pass only twice."""
    await qq.say("[CQ:at,qq=all] hello", user=10001, name="Alice")  # the model repeats it
    await qq.say("among ourselves", user=10001, group=987654, at=False)
    await qq.say("in the group", user=10001, group=987654)
    await qq.say("/help", user=10002)
    private = await qq.wait_reply(lambda sent: sent.user == 10001 and sent.group is None, 30)
    group = await qq.wait_reply(lambda sent: sent.group == 987654, 30)
    notice = await qq.wait_reply(lambda sent: sent.user == 10002, 30)
    assert "[CQ:at,qq=all] hello" in private.text
    assert all(segment["type"] == "text" for segment in private.segments)
    assert "in the group" in group.text
    assert "/character" in notice.text
    await qq.say("/good", user=10001)
    voted = await qq.wait_reply(4, 30)
    assert voted.user == 10001
    await qq.say("again", user=10001, message_id=5)
    await qq.say("again", user=10001, message_id=5)
    assert "again" in (await qq.wait_reply(5, 30)).text
    assert not any("among ourselves" in sent.text for sent in qq.sent)


@pytest.mark.parametrize("driver", ["~quart", pytest.param("~fastapi", marks=pytest.mark.slow)])
async def test_a_stranger_loads_the_plugin(driver: str, environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    qq = FakeOneBot(f"ws://127.0.0.1:{port}/onebot/v11/ws")
    async with process(STRANGER.format(port=port, driver=driver), environment, tmp_path), qq:
        await converse(qq)


async def test_the_plugin_says_what_is_wrong_with_its_settings(
    environment: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment["CHATNVL_DEFAULT_CHARACTER"] = "nobody"
    assert await failing(STRANGER.format(port=free_port(), driver="~quart"), environment, tmp_path) != 0
    output = "".join(capfd.readouterr())
    assert "`CHATNVL_DEFAULT_CHARACTER` is `nobody`" in output


async def test_we_host_an_adapter(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    environment |= {
        "CHATNVL_NONEBOT__PORT": str(port),
        "CHATNVL_NONEBOT__TOKEN": "sesame",
        "CHATNVL_NONEBOT__ADAPTERS": '["nonebot.adapters.onebot.v11"]',
        "PORT": "1",  # NoneBot's own names must not reach it
        "HOST": "192.0.2.1",
        "DRIVER": "~none",
    }
    qq = FakeOneBot(f"ws://127.0.0.1:{port}/onebot/v11/ws", token="sesame")
    async with process(HOST, environment, tmp_path), qq:
        await converse(qq)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"adapters": []}, "no adapter"),
        ({"adapters": ["nonebot.adapters.discord"]}, "CHATNVL_DISCORD__TOKEN"),
        ({"adapters": ["nonebot.adapters.telegram"], "host": "0.0.0.0"}, "token"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        NoneBotGateway(**settings)


def test_an_adapter_for_what_we_serve_ourselves_is_told() -> None:
    assert NoneBotGateway(adapters=["nonebot.adapters.onebot.v11"]).also_serves == {"qq"}
    assert NoneBotGateway(adapters=["nonebot.adapters.telegram"]).also_serves == set()


@pytest.mark.parametrize(
    ("module", "says"),
    [("nonebot.adapters.nowhere", "not installed"), ("json", "no adapter's module")],
)
async def test_an_adapter_that_is_not_there(
    module: str, says: str, environment: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment |= {"CHATNVL_NONEBOT__PORT": "0", "CHATNVL_NONEBOT__ADAPTERS": f'["{module}"]'}
    assert await failing(HOST, environment, tmp_path) == 2
    output = "".join(capfd.readouterr())
    assert says in output
    assert "Traceback" not in output


def test_a_plain_import_has_no_effects() -> None:
    """Our module is imported above, without NoneBot having been begun."""
    program = "import bot.gateways.nonebot, nonebot.matcher as m; assert not any(m.matchers.values())"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
