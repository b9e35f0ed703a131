"""The export for LLaMA-Factory: templates told apart, rows and settings written, what it cannot do refused.

What LLaMA-Factory itself makes of the folder is in `tests/strangers`.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from inference.base import Base
from inference.characters import Character
from training.config import LoraConfig
from training.errors import ConfigError, RowError, TrainingError
from training.llamafactory import ExportLlamaFactoryConfig, export_llamafactory, find_format

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. "
    "You are a helpful assistant.<|im_end|>\n{% endif %}" + CHATML
)
DATED = (
    "{{ bos_token }}<|start_header_id|>system<|end_header_id|>\n\nToday: 26 Jul 2024\n\n"
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}"
    "{% set messages = messages[1:] %}{% endif %}"
    "<|eot_id|>{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}"
    "<|eot_id|>{% endfor %}"
)
GLM = "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
THINKING = CHATML.replace(
    "{{ m.content }}", "{% if loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}"
)


class Reader:
    """A tokenizer, as far as its chat template."""

    bos_token = "<s>"

    def __init__(self, template: str) -> None:
        self.template = template

    def apply_chat_template(self, chat: Sequence[dict[str, str]], *, tokenize: bool) -> str:
        from jinja2 import Template

        return Template(self.template).render(messages=chat, bos_token=self.bos_token)


@pytest.mark.parametrize(
    ("template", "name", "added", "default"),
    [
        (QWEN, "qwen", "", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
        (CHATML, "chatml", "", ""),
        ("{{ bos_token }}" + CHATML, "intern2", "", ""),
        (DATED, "llama3", "Today: 26 Jul 2024\n\n", "Today: 26 Jul 2024\n\n"),
        (GLM, "glm4", "", ""),
    ],
)
def test_the_template_that_writes_the_same_is_found(
    template: str, name: str, added: str, default: str
) -> None:
    found = find_format(Reader(template), "a base")
    assert (found.name, found.added, found.default) == (name, added, default)


def test_a_template_that_nobody_there_has_is_an_error() -> None:
    for template in (THINKING, "{% for m in messages %}{{ m.content }}{% endfor %}"):
        with pytest.raises(
            TrainingError, match="none of LLaMA-Factory's templates known here writes what the"
        ):
            find_format(Reader(template), "a base")


@pytest.fixture
def config(character: Character, tmp_path: Path) -> Callable[..., ExportLlamaFactoryConfig]:
    def make(**settings: Any) -> ExportLlamaFactoryConfig:
        given = {
            "character": character.folder,
            "folder": tmp_path / "out",
            "replay_share": 0.3,
            "held_out": 0.2,
        }
        return ExportLlamaFactoryConfig(**(given | settings))

    return make


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"lora": LoraConfig(layers=("0-3",))}, "`lora.layers`"),
        ({"lora": LoraConfig(alpha=2.5)}, r"`lora.alpha` is 2\.5"),
        ({"parent": Path("x")}, "`parent`"),
    ],
)
def test_what_has_no_setting_there_is_refused(
    settings: dict[str, Any], wrong: str, config: Callable[..., ExportLlamaFactoryConfig], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=wrong):
        export_llamafactory(config(**settings))
    assert not (tmp_path / "out").exists()


def written(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.slow
def test_a_folder_is_written_whole(
    config: Callable[..., ExportLlamaFactoryConfig], tiny_base: Callable[..., Base], tmp_path: Path
) -> None:
    base = tiny_base(template=CHATML)
    out = export_llamafactory(config(base=str(base.folder), deepspeed=True, quantise="4bit", max_length=4000))
    settings = yaml.safe_load((out / "train.yaml").read_text())
    assert settings["model_name_or_path"] == str(base.folder)
    assert (settings["template"], settings["default_system"]) == ("chatml", "")
    assert (settings["quantization_bit"], settings["bf16"], settings["deepspeed"]) == (4, True, "ds_z3.json")
    info = json.loads((out / "data" / "dataset_info.json").read_bytes())
    assert list(info) == ["nene_train", "nene_held_out"] == [settings["dataset"], settings["eval_dataset"]]
    rows = [
        [json.loads(line)["messages"] for line in written(out / "data" / info[name]["file_name"])]
        for name in info
    ]
    learned, held_out = rows
    hers = [row for row in learned if row[0]["role"] == "system"]
    assert len(hers) + len(held_out) == 20
    assert held_out
    assert 0.2 < 1 - len(hers) / len(learned) < 0.4  # general questions, without the card
    assert all("a gardener" in row[0]["content"] for row in (*hers, *held_out))
    assert "bitsandbytes,deepspeed" in (out / "README.md").read_text()
    assert "FORCE_TORCHRUN=1 llamafactory-cli train train.yaml" in (out / "README.md").read_text()
    with pytest.raises(TrainingError, match="exists; delete it"):
        export_llamafactory(config(base=str(base.folder)))
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.slow
def test_long_rows_lose_their_oldest_turns_and_half_learned_ones_are_refused(
    config: Callable[..., ExportLlamaFactoryConfig], tiny_base: Callable[..., Base], tmp_path: Path
) -> None:
    base = tiny_base(template=CHATML)
    data = tmp_path / "rows.jsonl"
    turns = [[f"number {at}?", "yes. " * 10] for at in range(5)]
    data.write_text((json.dumps({"turns": turns}) + "\n") * 12 + json.dumps({"turns": turns[:2]}) + "\n")
    given = {
        "base": str(base.folder),
        "data": (data,),
        "held_out": 0.5,
        "replay_share": 0,
        "max_length": 400,
    }
    with pytest.raises(TrainingError):  # one row twelve times: nothing is left to hold out or to learn
        export_llamafactory(config(**given))
    lines = [json.dumps({"turns": [[f"{at}: hello?", "well."], *turns]}) for at in range(20)]
    data.write_text("\n".join(lines) + "\n")
    out = export_llamafactory(config(**given))
    for line in written(out / "data" / "train.jsonl"):
        messages = json.loads(line)["messages"]
        assert messages[0]["role"] == "system"
        assert messages[1]["content"] not in ("0: hello?", "number 0?")
        assert messages[-2]["content"] == "number 4?"
    said = [
        {"role": role, "content": text}
        for role, text in (("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    ]
    half = {"prompt": said[:3], "completion": said[3:]}
    data.write_text("\n".join([json.dumps(half), *lines]) + "\n")
    with pytest.raises(RowError, match="line 1: only some of its answers are to be learned"):
        export_llamafactory(config(**{**given, "folder": tmp_path / "again"}))
