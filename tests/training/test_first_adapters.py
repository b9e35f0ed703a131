"""The first adapters' script, on a model of a few kilobytes: what is learned, what is written."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inference.characters import Character, load_character
from inference.prompt import exchange, training_row
from training.first_adapters import Recipe, loss_of, sha256, shared_start, tokens_of, train

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DIALOGUES = (
    [exchange("hi", "well, hello"), exchange("who?", "me")],
    [exchange("a name?", "Nene.")],
    [exchange("hi", "again"), exchange("bye", "no"), exchange("why", "the door stays open")],
)


@pytest.fixture
def character(tmp_path: Path) -> Character:
    folder = tmp_path / "characters" / "nene"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text('{"name": "Nene", "description": "a gardener"}', encoding="utf-8")
    pairs = [[(turn.said[0].text, turn.reply) for turn in dialogue] for dialogue in DIALOGUES]
    lines = [json.dumps({"turns": each}) for each in pairs]
    (folder / "dialogues.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_character(folder)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A Llama of two thin layers that reads bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    reader = Tokenizer(models.BPE({token: number for number, token in enumerate(alphabet)}, []))
    reader.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reader.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=reader, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
    )
    folder = tmp_path / "base"
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def read(base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base)


def test_only_answers_are_learned_each_with_its_end(base: Path, character: Character) -> None:
    tokenizer = read(base)
    row = tokens_of(tokenizer, training_row(character, DIALOGUES[0]).messages)
    runs: list[list[int]] = [[]]
    for token, learned in zip(row.ids, row.learned, strict=True):
        if learned:
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    assert [tokenizer.decode(run) for run in runs if run] == ["well, hello<|im_end|>", "me<|im_end|>"]


def test_dialogues_behind_one_shared_start_lose_as_much_as_alone(base: Path, character: Character) -> None:
    from torch.nn.functional import cross_entropy
    from transformers import AutoModelForCausalLM

    tokenizer = read(base)
    rows = [tokens_of(tokenizer, training_row(character, dialogue).messages) for dialogue in DIALOGUES]
    start = shared_start(rows)
    assert tokenizer.decode(rows[0].ids[:start]).endswith("<|im_start|>user\n")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    with torch.no_grad():
        together = loss_of(model, rows, start).item()
        total, count = 0.0, 0
        for row in rows:
            logits = model(input_ids=torch.tensor([row.ids])).logits[0]
            at = torch.tensor([at for at, learned in enumerate(row.learned) if learned])
            total += cross_entropy(logits[at - 1], torch.tensor(row.ids)[at], reduction="sum").item()
            count += len(at)
    assert together == pytest.approx(total / count, rel=1e-5)


def test_a_version_folder_is_whole_and_the_same_again(
    base: Path, character: Character, tmp_path: Path
) -> None:
    from safetensors import safe_open

    recipe = Recipe(epochs=2, rank=4, dialogues_a_step=2, held_out_every=3, threads=1)
    folders = [tmp_path / again / "tiny-base" / "v1" for again in ("one", "two")]
    for folder in folders:
        train(character, DIALOGUES, base, folder, recipe)
    written = folders[0]
    assert sorted(path.name for path in written.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "version.json",
    ]
    config = json.loads((written / "adapter_config.json").read_bytes())
    assert config["base_model_name_or_path"] == "tiny-base"
    assert (config["r"], config["modules_to_save"]) == (4, None)
    assert str(tmp_path) not in json.dumps(config)
    about = json.loads((written / "version.json").read_bytes())
    assert about["base"] == "tiny-base"
    assert about["base_sha256"] == sha256(base / "model.safetensors")
    assert about["sha256"] == sha256(written / "adapter_model.safetensors")
    assert about["sha256"] == json.loads((folders[1] / "version.json").read_bytes())["sha256"]
    assert about["trained"]["rows"] == 2
    assert about["trained"]["dialogues"] == sha256(character.folder / "dialogues.jsonl")
    with safe_open(written / "adapter_model.safetensors", "pt") as weights:
        tensors = [weights.get_tensor(name) for name in weights.keys()]  # noqa: SIM118 (no mapping)
    assert {tensor.dtype for tensor in tensors} == {torch.bfloat16}
    assert len(tensors) == 2 * 7 * 2
    assert all(tensor.isfinite().all() for tensor in tensors)
    assert any(tensor.abs().sum() > 0 for tensor in tensors)


def test_a_version_is_never_written_twice(base: Path, character: Character, tmp_path: Path) -> None:
    out = tmp_path / "tiny-base" / "v1"
    out.mkdir(parents=True)
    command = [sys.executable, "-m", "training.first_adapters", "--character", "nene", "--base", str(base)]
    command += ["--characters", str(character.folder.parent), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 2
    assert "never written twice" in done.stderr
    assert list(out.iterdir()) == []
