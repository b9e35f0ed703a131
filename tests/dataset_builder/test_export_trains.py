"""A data set as others read it: `datasets` by the card alone, TRL's trainer on a model of a few kilobytes."""

from pathlib import Path
from typing import Any

import pytest

from dataset_builder.export import ExportOptions, export
from tests.dataset_builder.talks import answers, character, many, talks

pytestmark = pytest.mark.slow
pytest.importorskip("datasets")

# As ChatML, with the marks that TRL learns by; the ending token is hers to say.
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    replay = folder / "replay.jsonl"
    replay.write_text(
        '{"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]}\n'
    )
    options = ExportOptions(languages="bilingual", replay=(replay,), replay_share=0.02)
    export([*talks(), *many(60, scenes=30)], character(folder), folder / "out", options)
    return folder / "out"


@pytest.fixture
def load(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    import datasets

    datasets.disable_progress_bars()
    return lambda name: datasets.load_dataset(str(out), name, cache_dir=str(tmp_path))


def test_datasets_reads_every_configuration_of_the_card(out: Path, load: Any, tmp_path: Path) -> None:
    from datasets import get_dataset_config_names, load_dataset

    names = get_dataset_config_names(str(out))
    assert names == ["messages", "prompt_completion", "sharegpt", "openai", "llamafactory"]
    read = {name: load(name) for name in names}
    sizes = {name: {split: len(rows) for split, rows in found.items()} for name, found in read.items()}
    assert set(sizes["messages"]) == {"train", "validation", "test"}
    assert all(size == sizes["messages"] for size in sizes.values())
    parquet = load_dataset("parquet", data_files=str(out / "parquet/train.parquet"), cache_dir=str(tmp_path))
    assert parquet["train"].to_list() == read["messages"]["train"].to_list()
    assert read["messages"]["train"].unique("source") == ["dialogue", "replay"]


def small(folder: Path) -> tuple[Any, Any]:
    """A Llama of two thin layers, and a tokenizer that reads bytes."""
    import torch
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
        max_position_embeddings=4096,
    )
    return LlamaForCausalLM(config), tokenizer


@pytest.mark.parametrize("name", ["messages", "prompt_completion"])
def test_trl_trains_her_answers_and_nothing_else(load: Any, tmp_path: Path, name: str) -> None:
    pytest.importorskip("trl")
    from trl import SFTConfig, SFTTrainer

    rows = load(name)["train"]
    model, tokenizer = small(tmp_path)
    config = SFTConfig(
        output_dir=str(tmp_path / "run"),
        assistant_only_loss=name == "messages",
        max_length=None,
        max_steps=1,
        per_device_train_batch_size=4,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(model, args=config, train_dataset=rows, processing_class=tokenizer)
    assert len(trainer.train_dataset) == len(rows)
    batch = trainer.data_collator([trainer.train_dataset[at] for at in range(len(rows))])
    trained = [
        tokenizer.decode(ids[labels != -100])
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True)
    ]
    hers = [
        answers([row]) if name == "messages" else [row["completion"][0]["content"]] for row in rows.to_list()
    ]
    ends = [["".join(f"{answer}<|im_end|>" for answer in each)] for each in hers]
    assert [[each.replace("\n", "")] for each in trained] == ends
    assert trainer.train().training_loss > 0


def test_parquet_alone_is_read_by_its_card(tmp_path: Path) -> None:
    from datasets import load_dataset

    options = ExportOptions(formats=("parquet",), plots=False)
    made = export(many(60), character(tmp_path), tmp_path / "out", options)
    found = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in found.items()} == made.rows
