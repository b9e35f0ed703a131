"""A reward model of a few kilobytes: it tells good from bad, says how surely, and is read again."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.schema import Message
from inference.base import Base
from inference.characters import Character
from training.config import load_config
from training.errors import ConfigError, TrainingError

MakeBase = Callable[..., Base]
THINGS = ("rain", "tea", "sea", "lamp", "bread", "cat", "snow", "song", "garden", "letter", "boat", "clock")


def toy_pairs(path: Path, count: int = 240) -> Path:
    """The better reply says `yes`, the worse one `no`; everything else is drawn."""
    order = random.Random(3)
    lines = []
    for number in range(count):
        thing = order.choice(THINGS)
        row = {
            "prompt": [{"role": "user", "content": f"{number}: {thing}?"}],
            "chosen": [{"role": "assistant", "content": f"{thing}, yes"}],
            "rejected": [{"role": "assistant", "content": f"{thing}, no"}],
            "kind": "toy" if number % 2 else "other toy",
        }
        lines.append(json.dumps(row) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def config_of(character: Character, base: Base, data: Path, *overrides: str) -> Any:
    from training.reward import RewardConfig

    fixed = [
        f"character={character.folder}",
        f"base={base.folder}",
        f"run={data.parent / 'run'}",
        f"pairs.data={data}",
        "pairs.made=0",
        "pairs.unseen=0",
        "pairs.held_out=0.4",
        "precision=float32",
        "learning_rate=0.01",
        "epochs=2",
        "batch=8",
        "save_every=9",
        "threads=1",
    ]
    return load_config(RewardConfig, None, [*fixed, *overrides])


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "precision"), [("Llama", "float32"), ("Qwen2", "bfloat16")])
def test_it_tells_good_from_bad_and_is_read_again(
    character: Character, tiny_base: MakeBase, tmp_path: Path, architecture: str, precision: str
) -> None:
    from training.reward import RewardModel, read_report, reward
    from training.version import read_manifest

    base = tiny_base(architecture)
    config = config_of(character, base, toy_pairs(tmp_path / "pairs.jsonl"), f"precision={precision}")
    out = reward(config)
    assert out == character.folder / "rewards" / base.id / "r1"
    report = read_report(out)
    assert report.overall.value > 0.9
    assert report.overall.low > 0.5
    assert set(report.kinds) == {"toy", "other toy"}
    assert sum(kind.n for kind in report.kinds.values()) == report.overall.n
    assert report.chosen_mean > report.rejected_mean
    manifest = read_manifest(out)
    assert manifest.stage == "reward"
    assert manifest.data[0].rows == 240
    assert not (out.parent / ".unfinished").exists()

    model = RewardModel.load(out, base, config)
    asked = (Message(role="user", content="moon?"),)
    card = (Message(role="system", content="you are somebody"), *asked)
    yes, no, with_card = model.score([asked, asked, card], ["moon, yes", "moon, no", "moon, yes"])
    assert yes > no
    exact = 1e-3 if precision == "float32" else 0.1
    assert with_card == pytest.approx(yes, abs=exact), "the card was not to be read"
    assert model.score([asked], ["moon, yes"])[0] == pytest.approx(yes, abs=exact), "neighbours change it"


@pytest.mark.slow
def test_it_goes_on_from_another_one(character: Character, tiny_base: MakeBase, tmp_path: Path) -> None:
    from training.reward import read_report, reward
    from training.version import read_manifest

    base = tiny_base()
    data = toy_pairs(tmp_path / "pairs.jsonl")
    first = reward(config_of(character, base, data))
    second = reward(config_of(character, base, data, f"parent={first}", "epochs=0.2", "learning_rate=1e-5"))
    assert second.name == "r2"
    assert [one.name for one in read_manifest(second).lineage] == [f"{character.id}.r1"]
    assert read_report(second).overall.value == pytest.approx(read_report(first).overall.value, abs=0.05)


@pytest.mark.slow
def test_another_base_is_refused(character: Character, tiny_base: MakeBase, tmp_path: Path) -> None:
    from training.reward import RewardModel, reward

    base = tiny_base()
    config = config_of(character, base, toy_pairs(tmp_path / "pairs.jsonl"), "epochs=0.1")
    out = reward(config)
    with pytest.raises(TrainingError, match="trained on `tiny-llama`"):
        RewardModel.load(out, tiny_base("Qwen2"), config)


def test_a_folder_without_a_report_is_no_reward_model(tmp_path: Path) -> None:
    from training.reward import read_report

    with pytest.raises(TrainingError, match="no reward model"):
        read_report(tmp_path)
    (tmp_path / "reward.json").write_text("{}", encoding="utf-8")
    with pytest.raises(TrainingError, match="is wrong"):
        read_report(tmp_path)


def test_wrong_keys_are_named(tmp_path: Path) -> None:
    from training.reward import RewardConfig

    with pytest.raises(ConfigError, match=r"pairs\.made"):
        load_config(RewardConfig, None, ["character=x", "pairs.made=-1"])
    with pytest.raises(ConfigError, match="did you mean `centre`"):
        load_config(RewardConfig, None, ["character=x", "center=1"])
