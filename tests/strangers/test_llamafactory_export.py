"""What `export-llamafactory` writes, as LLaMA-Factory takes it: the same settings, tokens and answers."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.strangers.onebot_environment import environment
from tests.strangers.test_llamafactory_loader import ITSELF, REQUIREMENTS, pytestmark  # noqa: F401
from training.config import LoraConfig
from training.data import IGNORED, tokens_of
from training.llamafactory import ExportLlamaFactoryConfig, export_llamafactory
from training.sft import find_character, rows_of


def read_there(folder: Path, *overrides: str) -> dict[str, Any]:
    """The exported folder by LLaMA-Factory's parser and loader."""
    python = environment(*REQUIREMENTS)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", ITSELF]
    subprocess.run(install, check=True)
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [python, Path(__file__).with_name("llamafactory_export.py"), home / "found.json", *overrides],
        check=False,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"HOME": str(home), "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads((home / "found.json").read_bytes())
    return found


@pytest.mark.parametrize(("character", "base"), [("zhiwei", "qwen2.5-coder-0.5b"), ("maeve", "smollm2-135m")])
def test_the_same_is_trained_there(character: str, base: str, tmp_path: Path) -> None:
    from training.model import find_base, load_tokenizer

    config = ExportLlamaFactoryConfig(
        character=ROOT / "characters" / character,
        base=base,
        folder=tmp_path / "export",
        max_length=400,  # so that long dialogues are cut
        quantise="4bit",
        precision="bfloat16",
        lora=LoraConfig(rank=8, alpha=24, dropout=0.05, modules=("q_proj", "v_proj")),
        learning_rate=1e-4,
        accumulate=2,
    )
    there = read_there(export_llamafactory(config), "use_cpu=true")
    assert there["arguments"] == {
        "lora": [8, 24, 0.05],
        "modules": ["q_proj", "v_proj"],
        "rate": 1e-4,
        "schedule": "cosine",
        "warmup": 8,  # of 100 steps
        "epochs": 3.0,
        "batch": [8, 2],
        "bits": 4,
        "bf16": True,
        "decay": 0.01,
        "clip": 1.0,
        "best": [True, "loss"],
        "patience": 3,
    }
    tokenizer = load_tokenizer(find_base(config))
    line_end = tokenizer("\n", add_special_tokens=False)["input_ids"]
    learned, held_out, _ = rows_of(config, find_character(config.character))
    for rows, split in ((learned, "train"), (held_out, "eval")):
        assert len(rows) == len(there[split])
        for row, (ids, labels) in zip(rows, there[split], strict=True):
            ours = tokens_of(tokenizer, row, config.max_length)
            assert ids == ours.ids
            # The one difference: LLaMA-Factory's templates learn the line end behind an answer too.
            more = [at for at, label in enumerate(labels) if label != ours.labels[at]]
            assert len(more) == len(
                [at for at, each in enumerate(ours.labels) if _ends(ours.labels, at, each)]
            )
            assert all([ids[at]] == line_end and ours.labels[at] == IGNORED for at in more)
            assert all(ours.labels[at - 1] != IGNORED for at in more)


def _ends(labels: list[int], at: int, label: int) -> bool:
    """Whether an answer ends with this token."""
    return label != IGNORED and (at + 1 == len(labels) or labels[at + 1] == IGNORED)
