"""simcord, somebody else's Discord in memory, drives our gateway: its idea of Discord must do as well."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.strangers.onebot_environment import environment

pytestmark = [pytest.mark.slow, pytest.mark.strangers]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found() -> Any:
    python = environment("simcord[pytest]==3.2.1", "discord.py==2.7.1")
    run = subprocess.run(
        [python, "-W", "ignore::DeprecationWarning", "-m", "tests.strangers.discord_simcord"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_what_people_write_is_heard(found: Any) -> None:
    assert found["heard"] == [["hello", True], ["and here?", True]]


def test_what_she_says_is_shown(found: Any) -> None:
    assert found["said"] == ["I see you. @everyone", "In here.", True]
    assert found["buttons"] == ["fb:up:r2", "fb:down:r2", "fb:again:r2"]


def test_reactions_and_buttons_count_also_after_a_restart(found: Any) -> None:
    assert found["reactions"] == [["up", True, True], ["up", False, True]]
    assert found["buttons pressed"] == [
        [True, "Noted: 👎. Press it again to take it back."],
        [True, "Taken back."],
    ]


def test_slash_commands(found: Any) -> None:
    assert found["commands"] == [
        *("bad", "character", "consent", "export", "forget"),
        *("good", "help", "regenerate", "reset"),
    ]
    assert found["slash"] == ["/character zhiwei", True, "You are now talking with 知微."]
