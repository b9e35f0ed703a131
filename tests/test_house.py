"""How the house is kept: settings and their example, commands that teach, imports without effects."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_settings import BaseSettings

from bot.__main__ import main
from bot.settings import BotSettings
from inference.settings import InferenceSettings
from tests.conftest import ROOT


def fields(model: type[BaseModel], prefix: str = "CHATNVL_") -> dict[str, tuple[Any, str]]:
    """Every variable of a settings class: its default and its docstring."""
    found: dict[str, tuple[Any, str]] = {}
    for name, field in model.model_fields.items():
        kinds = get_args(field.annotation) or (field.annotation,)
        groups = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if groups:
            found |= fields(groups[0], f"{prefix}{name.upper()}__")
        else:
            found[prefix + name.upper()] = (
                None if field.is_required() else field.get_default(),
                field.description or "",
            )
    return found


def as_written(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else "[]" if value == () else str(value)


def test_the_example_lists_every_setting_with_its_default_and_its_words() -> None:
    text = (ROOT / ".env.example").read_text()
    written = dict(re.findall(r"^#(CHATNVL_[A-Z_]+)=(.*)$", text, re.M))
    expected = fields(BotSettings) | fields(InferenceSettings)
    assert written == {name: as_written(default) for name, (default, _) in expected.items()}
    flat = " ".join(text.replace("\n# ", " ").split())
    for name, (_, words) in expected.items():
        assert words, f"{name} has no docstring"
        assert " ".join(words.split()) in flat, f"{name} is explained otherwise"


@pytest.mark.parametrize("settings", [BotSettings, InferenceSettings])
def test_the_example_is_a_working_env_file(settings: type[BaseSettings], tmp_path: Path) -> None:
    lines = (ROOT / ".env.example").read_text().replace("\n#CHATNVL", "\nCHATNVL")
    # With every line live the gateways are on; Discord's token is the one that has no default.
    (tmp_path / ".env").write_text(lines.replace("DISCORD__TOKEN=", "DISCORD__TOKEN=abc"))
    made = settings(_env_file=tmp_path / ".env")  # type: ignore[call-arg]
    for name in ("inference", "redis", "serve"):
        if name in settings.model_fields:
            assert getattr(made, name) == settings.model_fields[name].get_default()


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    variables = {name: value for name, value in os.environ.items() if not name.startswith("CHATNVL_")}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=variables | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [("bot",), ("bot", "prompt"), ("inference",)])
def test_help_teaches(arguments: tuple[str, ...]) -> None:
    done = run(*arguments, "--help")
    assert done.returncode == 0
    assert len(done.stdout) > 200


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CHATNVL_CHARACTERS": "/nowhere"}, "CHATNVL_CHARACTERS"),
        ({"CHATNVL_DEFAULT_CHARACTER": "nobody"}, "`maeve`"),
        ({"CHATNVL_WEB__PORT": "many"}, "CHATNVL_WEB__PORT"),
        ({"CHATNVL_WEB__HOST": "0.0.0.0"}, "token"),
        ({"CHATNVL_QQ__HOST": "0.0.0.0"}, "token"),
        ({"CHATNVL_REDIS__URL": "nonsense"}, "CHATNVL_REDIS__URL"),
    ],
)
def test_wrong_settings_are_one_line_and_exit_2(
    tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    done = run("bot", CHATNVL_DATA=str(tmp_path), **variables)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_redis_down_at_start_is_one_line_and_exit_1(tmp_path: Path) -> None:
    done = run("bot", CHATNVL_DATA=str(tmp_path), CHATNVL_REDIS__URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert "Redis" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_one_line_and_exit_2(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("bot", CHATNVL_DATA=str(tmp_path), CHATNVL_WEB__PORT=port)
    assert done.returncode == 2, done.stderr
    assert port in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_commands_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["dance"])
    assert stopped.value.code == 2
    assert "dance" in capsys.readouterr().err


def test_importing_has_no_effect() -> None:
    """No socket, no file, no thread, and none of the heavy packages."""
    code = """
import pathlib, pkgutil, sys, threading, importlib, socket
socket.socket.connect = None
import bot, inference, training, dataset_builder
for package in (bot, inference, training, dataset_builder):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__") and "gateways.nonebot" not in found.name:
            importlib.import_module(found.name)
heavy = {"torch", "transformers", "trl", "peft", "vllm"} & set(sys.modules)
assert not heavy, heavy
assert threading.active_count() == 1
"""
    before = set(ROOT.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(ROOT.iterdir()) == before
