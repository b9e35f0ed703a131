"""The first adapter of a character: LoRA on her dialogues, on one CPU, read from top to bottom.

    python -m training.first_adapters --character maeve --base BASE --out characters/maeve/adapters/BASE_ID/v1

BASE is a folder with safetensors, tokenizer and chat template, as `python -m inference prepare` leaves it.
The folder above the version names the base, as everywhere. Dialogues come from `dialogues.jsonl` beside the
card, are rendered by `inference.prompt`, exactly as they will be served, and only the answers are learned.

A character's static part is three quarters of every row. So one step holds it once, with several dialogues
behind it; each dialogue sees the static part and itself, at the positions it would have alone. Loss and
gradients are those of one dialogue a row, in a third of the time.
"""

import argparse
import hashlib
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from dataset_builder.schema import Message
from inference.characters import Character, load_character
from inference.prompt import Exchange, exchange, training_row

Turns = Sequence[Exchange]
LIBRARIES = ("torch", "transformers", "peft", "safetensors", "tokenizers")


@dataclass(frozen=True)
class Recipe:
    """What may be turned. The defaults made the adapters in this repository."""

    epochs: int = 3
    rate: float = 3e-4
    rank: int = 8
    dropout: float = 0.0  # with it a step takes a third longer here, and so few epochs do not need it
    dialogues_a_step: int = 8
    seed: int = 7
    threads: int = 2
    held_out_every: int = 15  # of so many dialogues one is not learned and tells how she does on what is new


@dataclass(frozen=True)
class Tokens:
    """A dialogue as token ids; `learned` marks the answers, each with the token that ends it."""

    ids: list[int]
    learned: list[bool]


def tokens_of(tokenizer: Any, messages: Sequence[Message]) -> Tokens:
    """The ids of a conversation by the chat template, answers found by rendering up to each of them."""
    chat = [message.model_dump() for message in messages]

    def render(count: int, *, ask: bool) -> list[int]:
        text = tokenizer.apply_chat_template(chat[:count], tokenize=False, add_generation_prompt=ask)
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    ids = render(len(chat), ask=False)
    learned = [False] * len(ids)
    for at, message in enumerate(messages):
        if message.role == "assistant":
            before, after = render(at, ask=True), render(at + 1, ask=False)
            if ids[: len(before)] != before or ids[: len(after)] != after:
                raise ValueError("the chat template writes a turn differently once another follows")
            # Templates put a line end behind the ending token; she never gets to write that one.
            end = len(after) - after[::-1].index(tokenizer.eos_token_id)
            learned[len(before) : end] = [True] * (end - len(before))
    return Tokens(ids, learned)


def shared_start(rows: Sequence[Tokens]) -> int:
    """How many tokens, none of them learned, all rows begin with."""
    first = min(rows, key=lambda row: len(row.ids))
    for at, token in enumerate(first.ids):
        if first.learned[at] or any(row.ids[at] != token for row in rows):
            return at
    return len(first.ids)


def pack(rows: Sequence[Tokens], start: int, dtype: Any) -> tuple[dict[str, Any], Any]:
    """One step: the shared start once, then each row's rest. Arguments, and the tokens to predict."""
    import torch

    ids, positions = list(rows[0].ids[:start]), list(range(start))
    owner, learned = [-1] * start, [False] * start
    for index, row in enumerate(rows):
        ids += row.ids[start:]
        learned += row.learned[start:]
        owner += [index] * (len(row.ids) - start)
        positions += range(start, len(row.ids))
    who = torch.tensor(owner)
    seen = ((who[:, None] == who[None, :]) | (who[None, :] == -1)).tril()
    mask = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)
    targets = torch.tensor([at for at, yes in enumerate(learned) if yes])
    # What predicts a token stands right before it; an answer never begins a row, so it is of the same row.
    before = targets - 1
    arguments = {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "attention_mask": mask[None, None],
        "logits_to_keep": before,
        "use_cache": False,
    }
    return arguments, torch.tensor(ids)[targets]


def loss_of(model: Any, rows: Sequence[Tokens], start: int) -> Any:
    """Mean cross-entropy over the learned tokens of `rows`."""
    from torch.nn.functional import cross_entropy

    arguments, targets = pack(rows, start, model.dtype)
    return cross_entropy(model(**arguments).logits[0].float(), targets)


def train(character: Character, dialogues: Sequence[Turns], base: Path, out: Path, recipe: Recipe) -> None:
    """Write the version folder `out`. Its parent's name is the base's id."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup

    console = Console(stderr=True)
    started = time.monotonic()
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = [tokens_of(tokenizer, training_row(character, dialogue).messages) for dialogue in dialogues]
    start = shared_start(rows)
    held_out = rows[recipe.held_out_every - 1 :: recipe.held_out_every]
    learned = [row for at, row in enumerate(rows) if (at + 1) % recipe.held_out_every]

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    model = get_peft_model(
        model,
        LoraConfig(
            r=recipe.rank,
            lora_alpha=2 * recipe.rank,
            lora_dropout=recipe.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.rate, weight_decay=0.01)
    steps = recipe.epochs * -(-len(learned) // recipe.dialogues_a_step)
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 15, steps)

    order = random.Random(recipe.seed)
    losses: list[float] = []
    with Progress(console=console) as progress:
        bar = progress.add_task(f"{character.id} on {out.parent.name}", total=steps)
        for epoch in range(1, recipe.epochs + 1):
            order.shuffle(learned)
            losses = []
            model.train()
            for at in range(0, len(learned), recipe.dialogues_a_step):
                loss = loss_of(model, learned[at : at + recipe.dialogues_a_step], start)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                losses.append(loss.item())
                progress.advance(bar)
            model.eval()
            with torch.no_grad():
                unseen = loss_of(model, held_out, start).item()
            seen = sum(losses) / len(losses)
            console.print(f"epoch {epoch}: loss {seen:.3f}, on held-out dialogues {unseen:.3f}")

    trained = {
        "rows": len(learned),
        "exchanges": sum(map(len, dialogues)),
        "epochs": recipe.epochs,
        "rate": recipe.rate,
        "rank": recipe.rank,
        "seed": recipe.seed,
        "loss": round(seen, 4),
        "held_out": len(held_out),
        "held_out_loss": round(unseen, 4),
        "seconds": round(time.monotonic() - started),
        "libraries": {name: version(name) for name in LIBRARIES},
        "card": character.card_hash,
        "dialogues": sha256(character.folder / "dialogues.jsonl"),
    }
    write(model, base, out, trained)
    console.print(f"{out}: {(out / 'adapter_model.safetensors').stat().st_size:,} bytes")


def write(model: Any, base: Path, out: Path, trained: dict[str, object]) -> None:
    """The three files of a version: PEFT's two, and whose weights they belong to."""
    import torch
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    out.mkdir(parents=True)
    model.peft_config["default"].base_model_name_or_path = out.parent.name
    model.peft_config["default"].inference_mode = True
    model.peft_config["default"].save_pretrained(out)
    # Training keeps LoRA weights in float32; a server reads bfloat16, at half the size.
    state = get_peft_model_state_dict(model, save_embedding_layers=False)  # else it asks a hub for the base
    weights = out / "adapter_model.safetensors"
    halves = {name: value.to(torch.bfloat16).contiguous() for name, value in state.items()}
    save_file(halves, weights, {"format": "pt"})
    weights.chmod(0o644)
    about = {
        "base": out.parent.name,
        "base_sha256": sha256(base / "model.safetensors"),
        "sha256": sha256(weights),
        "trained": trained,
    }
    (out / "version.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    recipe = Recipe()
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--character", required=True, help="folder name below `characters/`")
    parser.add_argument("--base", type=Path, required=True, help="a prepared base model")
    parser.add_argument("--out", type=Path, required=True, help="characters/<id>/adapters/<base id>/v<n>")
    parser.add_argument("--characters", type=Path, default=Path("characters"))
    parser.add_argument("--epochs", type=int, default=recipe.epochs)
    parser.add_argument("--rate", type=float, default=recipe.rate)
    given = parser.parse_args()
    if given.out.exists():
        parser.error(f"`{given.out}` exists; a version is never written twice, take the next number")
    if not (given.base / "model.safetensors").is_file():
        parser.error(f"`{given.base}` is no prepared base model; run `python -m inference prepare` first")
    character = load_character(given.characters / given.character)
    lines = (character.folder / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()
    dialogues = [[exchange(*turn) for turn in json.loads(line)["turns"]] for line in lines]
    train(character, dialogues, given.base, given.out, Recipe(epochs=given.epochs, rate=given.rate))


if __name__ == "__main__":
    main()
