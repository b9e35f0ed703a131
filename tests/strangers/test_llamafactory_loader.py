"""Our LLaMA-Factory rows as LLaMA-Factory itself reads them: every row, all of her answers, nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.errors import DatasetError
from dataset_builder.export import ExportOptions, export
from dataset_builder.exporting.formats import Row
from dataset_builder.exporting.llamafactory import check
from dataset_builder.schema import Message
from tests.dataset_builder.talks import character, many, talks
from tests.strangers.onebot_environment import environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.strangers,
    pytest.mark.skipif(
        sys.platform == "linux" and not os.environ.get("PIP_FIND_LINKS"),
        reason="PyPI's torch for Linux brings gigabytes of CUDA; PIP_FIND_LINKS names a CPU build's folder",
    ),
]

# What its data loader imports and checks, of the versions it asks for.
REQUIREMENTS = (
    "torch==2.13.0",
    "transformers>=4.57.1,<=5.6.0",
    "datasets>=2.16.0,<=4.0.0",
    "peft>=0.18.0,<=0.18.1",
    "accelerate>=1.3.0,<=1.11.0",
    "trl>=0.18.0,<=0.24.0",
    "omegaconf",
)
ITSELF = "llamafactory==0.9.5"  # without what else it brings: a web page, video, sound


def loaded(folder: Path, *names: str) -> dict[str, Any]:
    python = environment(*REQUIREMENTS)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", ITSELF]
    subprocess.run(install, check=True)
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    subprocess.run(
        [python, Path(__file__).with_name("llamafactory_loader.py"), folder, home / "found.json", *names],
        check=True,
        cwd=home,
        stdout=subprocess.DEVNULL,
        env={"HOME": str(home), "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"},
    )
    found: dict[str, Any] = json.loads((home / "found.json").read_bytes())
    return found


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_every_row_is_read_and_all_her_answers_are_trained(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "llamafactory"
    replay = tmp_path / "replay.jsonl"
    replay.write_text(
        '{"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]}\n'
    )
    options = ExportOptions(
        formats=("llamafactory",), languages="bilingual", replay=(replay,), replay_share=0.02, plots=False
    )
    made = export([*talks(), *many(80, scenes=40)], character(tmp_path), tmp_path / "out", options)
    found = loaded(folder, *(f"zhiwei_{split}" for split in made.rows))
    assert {name: len(read) for name, read in found.items()} == {
        f"zhiwei_{split}": count for split, count in made.rows.items()
    }
    for split in made.rows:
        for written, read in zip(rows(folder / f"{split}.jsonl"), found[f"zhiwei_{split}"], strict=True):
            hers = [each["value"] for each in written["conversations"] if each["from"] == "gpt"]
            assert read["trained"] == "".join(f"{answer}<|im_end|>\n" for answer in hers)
            if written["system"]:
                assert f"<|im_start|>system\n{written['system']}<|im_end|>" in read["text"]


def test_what_we_refuse_is_left_out_there(tmp_path: Path) -> None:
    """So that our check is no stricter than the reader it stands for."""
    refused = [["user"], ["assistant", "user"], ["user", "user"], ["user", "assistant", "user"]]
    tags = {"user": "human", "assistant": "gpt"}
    folder = tmp_path / "out" / "llamafactory"
    options = ExportOptions(formats=("llamafactory",), validation=0, test=0, plots=False)
    export(many(5), character(tmp_path), tmp_path / "out", options)
    sound = rows(folder / "train.jsonl")
    with (folder / "train.jsonl").open("a") as file:
        for roles in refused:
            with pytest.raises(DatasetError):
                check(Row(tuple(Message(role=role, content="x") for role in roles), "wrong"))  # type: ignore[arg-type]
            said = [{"from": tags[role], "value": "x"} for role in roles]
            file.write(json.dumps(sound[0] | {"conversations": said}) + "\n")
    found = loaded(folder, "zhiwei_train")["zhiwei_train"]
    for row, read in zip(sound, found, strict=True):
        assert row["conversations"][0]["value"] in read["text"]
