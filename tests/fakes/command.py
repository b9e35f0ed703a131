"""The command line of the bot, run inside a test: on the memory and the files of its settings."""

import asyncio
from dataclasses import dataclass

import pytest

from bot.__main__ import main
from bot.settings import BotSettings


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


class Command:
    """`await command("trace", reply)` is `python -m bot trace REPLY` in a wide terminal."""

    def __init__(
        self, settings: BotSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert settings.redis.url is not None
        self._capsys = capsys
        monkeypatch.setenv("COLUMNS", "240")
        monkeypatch.setenv("CHATNVL_CHARACTERS", str(settings.characters))
        monkeypatch.setenv("CHATNVL_DATA", str(settings.data))
        monkeypatch.setenv("CHATNVL_REDIS__URL", settings.redis.url.get_secret_value())

    async def __call__(self, *arguments: str) -> Done:
        self._capsys.readouterr()
        code = await asyncio.to_thread(main, arguments)
        return Done(code, *self._capsys.readouterr())
