"""`python -m bot chat`: lines in, words out."""

import io
import json
from pathlib import Path

import pytest

from bot import app
from bot.gateways.terminal import TerminalGateway
from bot.settings import BotSettings


async def talked(settings: BotSettings, *lines: str) -> str:
    """What stands on the screen after these lines."""
    screen = io.StringIO()
    source = io.StringIO("".join(line + "\n" for line in lines))
    await app.run(settings, gateways=[TerminalGateway("maeve", source=source, output=screen)])
    return screen.getvalue()


async def test_a_line_is_answered_and_a_command_obeyed(settings: BotSettings) -> None:
    shown = await talked(settings, "hello", "/consent")
    assert "maeve.v1 heard: hello" in shown
    assert "Now: no" in shown


async def test_everything_about_a_person_is_put_beside_what_is_there(
    settings: BotSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chatnvl.json").write_text("mine")
    shown = await talked(settings, "hello", "/export", "/export")
    assert (tmp_path / "chatnvl.json").read_text() == "mine"
    for name in ("chatnvl-2.json", "chatnvl-3.json"):
        assert str(tmp_path / name) in shown
        assert json.loads((tmp_path / name).read_text())["turns"][0]["said"][0]["text"] == "hello"
