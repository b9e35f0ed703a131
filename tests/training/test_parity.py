"""Trained here, served there: the same words with the same probabilities."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from inference.models import prepare
from tests.inference.conftest import real_settings, start_serve
from training.config import load_config
from training.errors import TrainingError
from training.parity import RESULT, Parity, ParityConfig, parity

CHARACTERS = Path(__file__).parents[2] / "characters"
SHIPPED = sorted(path.parent for path in CHARACTERS.glob("*/adapters/*/v*/version.json"))


def figures(**changes: Any) -> Parity:
    good = {"version": "a.v1", "prompts": 10, "tokens": 60, "ids_equal": 10, "same_first": 10}
    good |= {"mean": 0.03, "largest": 0.2, "base_mean": 1.5, "tolerance": 0.1}
    return Parity.model_validate(good | changes)


def test_parity_holds_where_only_rounding_differs() -> None:
    assert figures().holds


@pytest.mark.parametrize(
    "changes",
    [
        {"ids_equal": 9},
        {"mean": 0.11},
        {"mean": 0.09, "base_mean": 0.1},  # it may as well be the base that answers
        {"mean": math.nan},
    ],
)
def test_parity_does_not_hold(changes: dict[str, Any]) -> None:
    assert not figures(**changes).holds


def test_a_server_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.parity.find_base", lambda config: None)
    monkeypatch.setattr("training.parity.check_parent", lambda folder, base: None)
    version = SHIPPED[0]
    config = load_config(ParityConfig, None, [f"version={version}", "url=http://127.0.0.1:9/v1", "prompts=1"])
    with pytest.raises(TrainingError, match="python -m inference serve"):
        parity(config)


@pytest.mark.slow
@pytest.mark.parametrize("base_id", sorted({version.parent.name for version in SHIPPED}))
def test_what_is_shipped_is_served_as_it_was_trained(
    base_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every adapter of this repository. And an adapter served under the name of another is found out."""
    from shutil import copytree

    characters = copytree(CHARACTERS, tmp_path / "characters")
    versions = sorted(characters.glob(f"*/adapters/{base_id}/v*"))
    base = prepare(real_settings(base_id))
    served = start_serve(tmp_path / "serve", base, characters)
    monkeypatch.setenv("CHATNVL_DATA", str(served.data))
    try:
        served.wait_for("is ready after")
        for version in versions:
            given = [f"version={version}", f"base={base.folder}", "prompts=5"]
            found = parity(load_config(ParityConfig, None, given))
            assert found.holds
            assert found.tokens >= 5
            written = json.loads((version / RESULT).read_text(encoding="utf-8"))
            assert written["largest"] == found.largest
        if len(versions) > 1:
            weights = "adapter_model.safetensors"
            other = (versions[1] / weights).read_bytes()
            (versions[0] / weights).write_bytes(other)  # here only: the server has read its own
            with pytest.raises(TrainingError, match="does not say what was trained"):
                parity(
                    load_config(
                        ParityConfig, None, [f"version={versions[0]}", f"base={base.folder}", "prompts=3"]
                    )
                )
    finally:
        served.stop()
