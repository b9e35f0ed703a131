"""SFT on models of a few kilobytes: what is learned, what is written, what goes on after a crash."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from inference.base import Base
from inference.characters import Character
from training.ability import Ability
from training.config import load_config
from training.errors import ConfigError, RowError, TrainingError

pytestmark = pytest.mark.slow

MakeBase = Callable[..., Base]


def config_of(character: Character, base: Base, *overrides: str) -> Any:
    from training.sft import SftConfig

    fixed = [
        f"character={character.folder}",
        f"base={base.folder}",
        f"run={character.folder.parent.parent / 'run'}",
        "precision=float32",
        "probe=false",
        "replay_share=0",
        "lora.rank=8",
        "learning_rate=0.02",
        "batch=4",
        "epochs=2",
        "save_every=4",
        "threads=1",
    ]
    return load_config(SftConfig, None, [*fixed, *overrides])


def history(version: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (version / "history.jsonl").read_text(encoding="utf-8").splitlines()]


def losses(version: Path, key: str = "loss") -> list[float]:
    return [entry[key] for entry in history(version) if key in entry]


@pytest.mark.parametrize("architecture", ["Llama", "Qwen2", "Qwen3", "Glm4"])
def test_a_character_is_learned_and_the_version_tells_how(
    character: Character, tiny_base: MakeBase, architecture: str
) -> None:
    from inference.adapters import AdapterCheck
    from training.sft import sft
    from training.version import read_manifest

    base = tiny_base(architecture)
    # Fused projections have other names than Llama's.
    modules = ["lora.modules=all-linear"] if architecture == "Glm4" else []
    version = sft(config_of(character, base, "replay_share=0.2", "epochs=4", *modules))

    assert version == character.folder / "adapters" / base.id / "v1"
    assert sorted(each.name for each in version.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "history.jsonl",
        "version.json",
    ]
    AdapterCheck(base, 64).check(version)
    manifest = read_manifest(version)
    assert (manifest.stage, manifest.character, manifest.card) == ("sft", "nene", character.card_hash)
    own, *general = [Path(file.path).name for file in manifest.data]
    assert own == "dialogues.jsonl"
    assert all(name.startswith("replay.") for name in general)
    assert general
    assert manifest.figures["tokens"] > 0
    assert "trl" in manifest.libraries
    looks = losses(version, "eval_loss")
    assert looks[-1] < looks[0]
    assert manifest.figures["eval_loss"] == pytest.approx(min(looks), abs=1e-5)


def test_the_layouts_teach_the_same(character: Character, tiny_base: MakeBase, tmp_path: Path) -> None:
    """One sequence with the card once, and rows side by side: the same loss at each step."""
    from training.sft import sft

    base = tiny_base()
    curves = []
    for layout in ("shared", "padded"):
        # One batch an epoch, so that no order of rows differs.
        out = f"out={tmp_path}/{layout}/nene/adapters/{base.id}/v1"
        config = config_of(
            character,
            base,
            f"layout={layout}",
            "batch=64",
            "epochs=5",
            "learning_rate=0.002",
            out,
            f"run={tmp_path}/{layout}",
        )
        curves.append(losses(sft(config)))
    assert curves[0] == pytest.approx(curves[1], abs=2e-3)
    assert curves[0][-1] < curves[0][0]


def test_trl_alone_computes_the_same_loss(character: Character, tiny_base: MakeBase) -> None:
    """The answers' logits alone, against TRL's own loss over all positions."""
    import torch
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    from training.data import read_rows
    from training.model import load_tokenizer
    from training.sft import character_trainer, dataset

    base = tiny_base()
    tokenizer = load_tokenizer(base)
    rows = dataset(tokenizer, list(read_rows(character.folder / "dialogues.jsonl", character)), 2048)
    found = []
    for kind in (SFTTrainer, character_trainer()):
        trainer = kind(
            model=AutoModelForCausalLM.from_pretrained(base.folder),
            args=SFTConfig(
                output_dir=str(base.folder / "out"),
                use_cpu=True,
                bf16=False,
                max_length=None,
                report_to="none",
            ),
            train_dataset=rows,
            processing_class=tokenizer,
        )
        batch = next(iter(trainer.get_train_dataloader()))
        with torch.no_grad():
            found.append(trainer.compute_loss(trainer.model, dict(batch)).item())
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_a_run_that_was_killed_goes_on_to_the_same_end(
    character: Character, tiny_base: MakeBase, tmp_path: Path
) -> None:
    from training.sft import sft

    base = tiny_base()
    out = f"{tmp_path}/whole/nene/adapters/{base.id}/v1"
    whole = sft(config_of(character, base, "epochs=10", f"out={out}", f"run={tmp_path}/whole"))

    command = [sys.executable, "-m", "training", "sft", "epochs=10", f"run={tmp_path}/killed"]
    given = config_of(character, base).model_dump(mode="json", exclude_unset=True)
    lora = given.pop("lora")
    given = {**given, **{f"lora.{key}": value for key, value in lora.items()}}
    command += [f"{key}={json.dumps(value)}" for key, value in given.items() if key not in ("epochs", "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 240
    while not list((tmp_path / "killed").glob("checkpoint-*/trainer_state.json")):
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (character.folder / "adapters").exists() or not list(
        (character.folder / "adapters").glob("*/v*")
    )

    again = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert again.returncode == 0, again.stderr
    assert "going on from step" in again.stderr
    version = character.folder / "adapters" / base.id / "v1"
    assert losses(version) == pytest.approx(losses(whole), abs=1e-3)
    assert not list((tmp_path / "killed").glob("checkpoint-*"))  # the version is what remains


def test_two_processes_have_the_loss_of_one(
    character: Character, tiny_base: MakeBase, tmp_path: Path
) -> None:
    from training.sft import sft

    base = tiny_base()
    out = f"{tmp_path}/one/nene/adapters/{base.id}/v1"
    whole = ["epochs=3", "schedule=constant_with_warmup"]
    one = sft(config_of(character, base, "batch=64", *whole, f"out={out}", f"run={tmp_path}/one"))

    config = config_of(character, base, "batch=32", *whole, f"run={tmp_path}/two").model_dump_json(
        exclude_unset=True
    )
    (tmp_path / "two.yaml").write_text(config, encoding="utf-8")  # JSON is YAML
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    launch += [
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--main_process_port",
        "0",
    ]
    launch += ["-m", "training", "sft", "--config", str(tmp_path / "two.yaml")]
    done = subprocess.run(launch, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    two = character.folder / "adapters" / base.id / "v1"
    assert losses(two) == pytest.approx(losses(one), abs=2e-3)
    assert losses(two, "eval_loss") == pytest.approx(losses(one, "eval_loss"), abs=2e-3)


def test_training_goes_on_from_a_version(character: Character, tiny_base: MakeBase) -> None:
    from training.sft import sft
    from training.version import read_manifest

    base = tiny_base()
    first = sft(config_of(character, base))
    second = sft(config_of(character, base, f"parent={first}"))
    assert second.name == "v2"
    assert [each.name for each in read_manifest(second).lineage] == ["nene.v1"]
    assert losses(second)[0] < losses(first)[0]


def test_a_loss_that_is_no_number_ends_the_run(character: Character, tiny_base: MakeBase) -> None:
    from training.sft import sft

    with pytest.raises(TrainingError, match=r"is no number any more; take half the `learning_rate`"):
        sft(config_of(character, tiny_base(), "learning_rate=1e30", "clip=1e30", "epochs=4"))
    assert not list((character.folder / "adapters").rglob("version.json"))


def test_ability_and_style_are_looked_at_on_the_way(
    character: Character, tiny_base: MakeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    import training.ability
    from training.sft import sft

    few = training.ability.read_items("en")[:6]
    monkeypatch.setattr(training.ability, "read_items", lambda language: few)
    monkeypatch.setattr(training.ability, "read_texts", lambda language: {"en-text-1": "rain on a roof"})
    version = sft(config_of(character, tiny_base(), "probe=true", "epochs=1", "ability_limit=1"))
    looks = [entry for entry in history(version) if "eval_loss" in entry]
    assert looks
    assert all(0 <= entry["eval_ability"] <= 1 and 0 <= entry["eval_style"] <= 1 for entry in looks)


def test_a_probe_that_falls_keeps_its_state_from_being_the_best(
    character: Character, tiny_base: MakeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    import training.sft

    shares = iter([50, 50, 49] + [10] * 99)  # at the first look, of the bare base, then later looks

    def look() -> tuple[Ability, float]:
        right = next(shares)
        return Ability({f"en-{number}": number < right for number in range(100)}, {}), 0.0

    monkeypatch.setattr(training.sft, "_probe", lambda *_: look)
    version = training.sft.sft(config_of(character, tiny_base(), "probe=true", "epochs=8"))
    looks = [entry for entry in history(version) if "eval_loss" in entry]
    best = json.loads((version / "version.json").read_text(encoding="utf-8"))["figures"]["best_step"]
    assert best in (looks[0]["step"], looks[1]["step"])
    assert looks[-1]["eval_loss"] < looks[1]["eval_loss"]  # it was learned still, at the cost of ability
    assert len(looks) == 5  # patience of three looks behind the second


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["data={character}/none.jsonl"], TrainingError, "cannot be read"),
        (["data={character}/tiny.jsonl"], TrainingError, "too few"),
        (["data={character}/empty.jsonl"], TrainingError, "0 rows to learn"),
        (["data={character}/broken.jsonl"], RowError, "line 2"),
        (["data={character}/foreign.jsonl"], TrainingError, "line 3: her answer is not in en"),
        (["max_length=20"], RowError, "raise `max_length`"),
        (["layout=packed"], ConfigError, "needs a GPU"),
        (["quantise=4bit"], ConfigError, "needs a GPU"),
        (["device=cuda"], ConfigError, "finds no GPU"),
        (["lora.layers=7"], ConfigError, "the layers 0 to 1"),
        (["lora.modules=nothing"], ConfigError, "`lora`"),
        (["parent={character}"], TrainingError, "it has no weights"),
        (["replay_share=1"], ConfigError, "`replay_share` is 1"),
        (["out={character}/v1"], TrainingError, "names the base it belongs to"),
    ],
)
def test_bad_input_is_named(
    character: Character, tiny_base: MakeBase, overrides: Sequence[str], error: type[Exception], message: str
) -> None:
    from training.sft import sft

    row = json.dumps({"turns": [["hi", "hello there, come in"]]}) + "\n"
    foreign = json.dumps({"turns": [["hi", "你好，进来坐坐喝杯茶吧"]]}) + "\n"
    texts = {"tiny": row * 3, "empty": "\n\n", "broken": row + "{\n", "foreign": row * 2 + foreign + row * 30}
    for name, text in texts.items():
        (character.folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    given = [each.format(character=character.folder) for each in overrides]
    with pytest.raises(error) as caught:
        sft(config_of(character, tiny_base(), *given))
    assert message in str(caught.value)


def test_an_adapter_of_another_base_and_a_pickle_are_refused(
    character: Character, tiny_base: MakeBase
) -> None:
    from training.sft import sft

    llama, qwen = tiny_base("Llama"), tiny_base("Qwen2")
    version = sft(config_of(character, llama))
    with pytest.raises(TrainingError, match="train on its own base"):
        sft(config_of(character, qwen, f"parent={version}"))
    (version / "adapter_model.safetensors").rename(version / "adapter_model.bin")
    with pytest.raises(TrainingError, match="is a pickle, which may run code when opened"):
        sft(config_of(character, llama, f"parent={version}"))


def test_a_template_without_a_system_message_is_said(character: Character, tiny_base: MakeBase) -> None:
    from training.sft import sft

    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    with pytest.raises(TrainingError, match="no system here"):
        sft(config_of(character, tiny_base(template=template)))


def test_an_unfinished_run_of_other_settings_is_not_mixed(character: Character, tiny_base: MakeBase) -> None:
    from training.sft import sft

    base = tiny_base()
    run = character.folder.parent.parent / "run"
    with pytest.raises(TrainingError, match="no number"):
        sft(config_of(character, base, "learning_rate=1e30", "clip=1e30", "epochs=4"))
    (run / "checkpoint-4").mkdir()
    (run / "checkpoint-4" / "trainer_state.json").write_text("{}", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"`clip` was 1e\+30 and is 1.0|`learning_rate` was 1e\+30"):
        sft(config_of(character, base))
    (run / "checkpoint-4" / "trainer_state.json").write_text(
        "{", encoding="utf-8"
    )  # never written to its end
    assert sft(config_of(character, base)).name == "v1"
