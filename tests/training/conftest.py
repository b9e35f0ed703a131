"""A model of a few kilobytes that reads bytes, and somebody to train it for."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.base import Base, weights_sha256
from inference.characters import Character, load_character

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINGS = ("rain", "tea", "the sea", "a lamp", "bread", "the cat", "snow", "a song", "the garden", "a letter")


@pytest.fixture
def character(tmp_path: Path) -> Character:
    """Nene, with twenty dialogues of one or two turns."""
    folder = tmp_path / "characters" / "nene"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text('{"name": "Nene", "description": "a gardener"}', encoding="utf-8")
    dialogues = [[[f"do you like {thing}?", f"{thing}? only on Mondays."]] for thing in THINGS]
    dialogues += [[["hi", f"mind {thing}"], ["why?", f"{thing} is older than you"]] for thing in THINGS]
    lines = [json.dumps({"turns": turns}) + "\n" for turns in dialogues]
    (folder / "dialogues.jsonl").write_text("".join(lines), encoding="utf-8")
    return load_character(folder)


@pytest.fixture
def tiny_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Base]:
    """Makes a random model of two thin layers that is ready to be trained: `tiny_base("Qwen2")`."""
    monkeypatch.setenv("CHATNVL_CACHE", str(tmp_path / "cache"))

    def make(architecture: str = "Llama", *, template: str | None = TEMPLATE) -> Base:
        import torch
        import transformers
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        reader = Tokenizer(models.BPE({token: number for number, token in enumerate(alphabet)}, []))
        reader.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        reader.decoder = decoders.ByteLevel()
        special = ("<|im_start|>", "<|im_end|>", "<pad>")
        reader.add_special_tokens([AddedToken(each, special=True) for each in special])
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=reader, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<pad>"
        )
        tokenizer.chat_template = template
        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
        config = getattr(transformers, f"{architecture}Config")(
            vocab_size=len(tokenizer),
            num_key_value_heads=2,
            # The head is not adapted; with the usual 0.02 it could not tell any letter from another.
            initializer_range=0.3,
            max_position_embeddings=2048,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            **sizes,
            **({"head_dim": 8} if architecture in ("Qwen3", "Glm", "Glm4") else {}),
        )
        folder = tmp_path / "models" / f"tiny-{architecture.lower()}"
        getattr(transformers, f"{architecture}ForCausalLM")(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return Base(id=folder.name, folder=folder, sha256=weights_sha256(folder), source="random")

    return make
