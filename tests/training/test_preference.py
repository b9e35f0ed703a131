"""DPO and KTO on a model of a few kilobytes: what is preferred gains, measured by the parent."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.schema import Message
from inference.base import Base
from inference.characters import Character
from tests.training.test_reward import toy_pairs
from training.config import load_config
from training.errors import ConfigError, TrainingError
from training.pairs import Judged
from training.preference import PreferenceConfig, kto_rows, preference

MakeBase = Callable[..., Base]


def config_of(character: Character, base: str, data: Path, *overrides: str) -> Any:
    fixed = [
        f"character={character.folder}",
        f"base={base}",
        f"run={data.parent / 'run'}",
        f"pairs.data={data}",
        "pairs.made=0",
        "pairs.unseen=0",
        "pairs.held_out=0.4",
        "precision=float32",
        "learning_rate=0.01",
        "batch=8",
        "accumulate=1",
        "save_every=6",
        "threads=1",
    ]
    return load_config(PreferenceConfig, None, [*fixed, *overrides])


@pytest.fixture
def parent(character: Character, tiny_base: MakeBase, tmp_path: Path) -> Path:
    """A version to go on from."""
    from training.sft import SftConfig, sft

    fixed = ["precision=float32", "probe=false", "replay_share=0", "lora.rank=8", "learning_rate=0.01"]
    where = [f"character={character.folder}", f"base={tiny_base().folder}", f"run={tmp_path / 'sft'}"]
    return sft(load_config(SftConfig, None, [*where, *fixed, "epochs=1", "batch=4", "threads=1"]))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_what_is_preferred_gains(
    character: Character, parent: Path, tiny_base: MakeBase, tmp_path: Path, method: str
) -> None:
    from inference.adapters import WEIGHTS, AdapterCheck
    from training.version import read_manifest

    base = tiny_base()
    data = toy_pairs(tmp_path / "pairs.jsonl")
    before = (parent / WEIGHTS).read_bytes()
    config = config_of(character, str(base.folder), data, f"parent={parent}", f"method={method}")
    out = preference(config)
    assert out == parent.parent / "v2"
    AdapterCheck(base).check(out)
    assert not list(out.rglob("ref")), "the frozen copy of the parent is nobody's version"
    assert (out / WEIGHTS).read_bytes() != before
    assert (parent / WEIGHTS).read_bytes() == before
    manifest = read_manifest(out)
    assert manifest.stage == method
    assert [one.name for one in manifest.lineage] == [f"{character.id}.v1"]
    figures = manifest.figures
    assert figures["accuracy"] > 0.9
    assert figures["accuracy_low"] > 0.5
    assert figures["margin"] > 0.1
    assert figures["prefers_after"] >= figures["prefers_before"]
    looks = [
        entry
        for entry in map(json.loads, (out / "history.jsonl").read_text().splitlines())
        if "eval_loss" in entry
    ]
    assert looks[-1]["eval_loss"] < looks[0]["eval_loss"]


@pytest.mark.slow
def test_a_run_goes_on_where_it_was_stopped(
    character: Character, parent: Path, tiny_base: MakeBase, tmp_path: Path
) -> None:
    """The adapter itself comes back, and not only the parent's copy that lies beside it."""
    from transformers import TrainerCallback

    import training.preference
    from training.progress import watch
    from training.version import read_manifest

    class Stopped(Exception):
        pass

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 8:
                raise Stopped

    base, data = tiny_base(), toy_pairs(tmp_path / "pairs.jsonl")
    whole = preference(config_of(character, str(base.folder), data, f"parent={parent}"))
    again = config_of(character, str(base.folder), data, f"parent={parent}", f"run={tmp_path / 'again'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            training.preference,
            "watch",
            lambda trainer, what: (watch(trainer, what), trainer.add_callback(Stop())),
        )
        with pytest.raises(Stopped):
            preference(again)
    resumed = preference(again)
    assert resumed.name == "v3"
    for figure in ("accuracy", "margin", "chosen_loss_after"):
        left, right = read_manifest(whole).figures[figure], read_manifest(resumed).figures[figure]
        assert left == pytest.approx(right, rel=1e-3, abs=1e-4), figure


def test_a_parent_is_needed(tmp_path: Path) -> None:
    config = load_config(PreferenceConfig, None, [f"character={tmp_path}"])
    with pytest.raises(ConfigError, match="`parent` is missing"):
        preference(config)


def test_kto_refuses_batches_of_one(tmp_path: Path) -> None:
    config = load_config(
        PreferenceConfig, None, [f"character={tmp_path}", f"parent={tmp_path}", "method=kto", "batch=1"]
    )
    with pytest.raises(ConfigError, match="`batch` is 1"):
        preference(config)


def test_kto_rows_are_whole_batches_in_another_order() -> None:
    config = load_config(PreferenceConfig, None, ["character=x", "batch=4"])
    votes = [
        Judged((Message(role="user", content=str(number // 2)),), "x", number % 2 == 0)
        for number in range(31)
    ]
    rows = kto_rows(votes, config)
    assert len(rows) == 28
    assert rows != votes[:28]
    assert rows == kto_rows(votes, config), "the same seed gives the same order"
    beside = sum(left.prompt == right.prompt for left, right in pairwise(rows))
    assert beside < 5


@pytest.mark.slow
def test_too_few_rows_are_said(
    character: Character, parent: Path, tiny_base: MakeBase, tmp_path: Path
) -> None:
    data = toy_pairs(tmp_path / "few.jsonl", 10)
    with pytest.raises(TrainingError, match=r"too few.*pairs\.data"):
        preference(config_of(character, str(tiny_base().folder), data, f"parent={parent}"))
