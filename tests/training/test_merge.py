"""Merged models: the same answers as with the adapter, and nothing written where something is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from inference.base import Base, weights_sha256
from inference.characters import Character
from training.config import LoraConfig, load_config
from training.errors import ConfigError, TrainingError
from training.merge import MergeConfig, merge

pytestmark = pytest.mark.slow


class Made(NamedTuple):
    base: Base
    version: Path


@pytest.fixture(params=["Llama", "Qwen2"])
def made(request: pytest.FixtureRequest, character: Character, tiny_base: Callable[..., Base]) -> Made:
    """A version whose adapter changes a lot."""
    import torch
    from peft import get_peft_model_state_dict

    from training.config import RunConfig
    from training.model import add_adapter, load_model
    from training.version import version_folder, write_version

    base = tiny_base(request.param)
    lora = LoraConfig(rank=8, alpha=24, rslora=True, modules=("all-linear",))
    config = RunConfig(
        character=character.folder, base=str(base.folder), lora=lora, device="cpu", precision="float32"
    )
    model = add_adapter(load_model(base, config), base, config)
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    version = version_folder(config, base)
    version.parent.mkdir(parents=True)
    write_version(
        model,
        version,
        state=get_peft_model_state_dict(model, save_embedding_layers=False),
        base=base,
        character=character,
        config=config,
        stage="sft",
        data=(),
        figures={},
        history=(),
    )
    return Made(base, version)


def config_of(made: Made, out: Path, **changed: Any) -> MergeConfig:
    return MergeConfig(**({"base": str(made.base.folder), "version": made.version, "out": out} | changed))


def test_a_merged_model_says_what_the_adapter_says(made: Made, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = merge(config_of(made, tmp_path / "models" / "nene"))
    plain = AutoModelForCausalLM.from_pretrained(made.base.folder).eval()
    ids = torch.randint(0, 200, (3, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = plain(ids).logits
        adapted = PeftModel.from_pretrained(plain, str(made.version)).eval()
        with_adapter = adapted(ids).logits
        merged = AutoModelForCausalLM.from_pretrained(out).eval()(ids).logits
        by_peft = adapted.merge_and_unload()
    assert (merged - with_adapter).abs().max() < 1e-3 < 0.1 < (merged - before).abs().max()
    mine, theirs = AutoModelForCausalLM.from_pretrained(out).state_dict(), by_peft.state_dict()
    assert mine.keys() == theirs.keys()
    for name, weight in mine.items():
        torch.testing.assert_close(weight, theirs[name], rtol=0, atol=1e-6)
    chat = [{"role": "user", "content": "hi"}]
    there = AutoTokenizer.from_pretrained(out).apply_chat_template(chat, tokenize=False)
    assert there == AutoTokenizer.from_pretrained(made.base.folder).apply_chat_template(chat, tokenize=False)


def test_weights_keep_their_precision_and_the_folder_is_a_base(made: Made, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from training.model import find_base

    out = merge(config_of(made, tmp_path / "nene"))
    base = find_base(config_of(made, tmp_path / "x", base=str(out)))
    assert (base.id, base.sha256) == ("nene", weights_sha256(out))
    assert base.sha256 != made.base.sha256
    origin = json.loads((out / "merged.json").read_bytes())
    assert (origin["version"], origin["base_sha256"]) == ("nene.v1", made.base.sha256)
    # A base in halves stays one: the sum is made in float32 and rounded once.
    import torch

    whole = load_file(made.base.folder / "model.safetensors")
    halves = {name: weight.bfloat16() for name, weight in whole.items()}
    save_file(halves, made.base.folder / "model.safetensors", {"format": "pt"})
    about = json.loads((made.version / "version.json").read_bytes())
    about["base_sha256"] = weights_sha256(made.base.folder)
    (made.version / "version.json").write_text(json.dumps(about))
    again = load_file(merge(config_of(made, tmp_path / "halves")) / "model.safetensors")
    assert {weight.dtype for weight in again.values()} == {torch.bfloat16}


def test_what_is_wrong_is_said_and_nothing_is_written(
    made: Made, tmp_path: Path, tiny_base: Callable[..., Base], monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    out = tmp_path / "nene"
    other = tiny_base("Qwen3")
    with pytest.raises(TrainingError, match=r"it was trained on `tiny-.*`tiny-qwen3` here has"):
        merge(config_of(made, out, base=str(other.folder)))
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real._replace(free=1000))
    with pytest.raises(TrainingError, match=r"`.*nene` would have 0.0 GB, and 0.0 GB are free there"):
        merge(config_of(made, out))
    monkeypatch.undo()
    monkeypatch.setenv("CHATNVL_CACHE", str(tmp_path / "cache"))
    adapter = made.version / "adapter_model.safetensors"
    adapter.write_bytes(adapter.read_bytes()[:-4])
    with pytest.raises(TrainingError, match="cut off"):
        merge(config_of(made, out))
    assert not list(tmp_path.glob("*nene*"))
    out.mkdir()
    with pytest.raises(TrainingError, match="exists; delete it"):
        merge(config_of(made, out))
    assert list(out.iterdir()) == []


def test_whose_it_is_stands_in_the_version_s_path(tmp_path: Path) -> None:
    version = tmp_path / "characters" / "nene" / "adapters" / "tiny" / "v3"
    config = load_config(MergeConfig, None, [f"version={version}", "out=x"])
    assert config.character_id == "nene"
    with pytest.raises(ConfigError, match="`version` is missing"):
        load_config(MergeConfig, None, ["out=x", "character=c"])
