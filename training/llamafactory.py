"""The same training for LLaMA-Factory: its yaml, its data, and the command, in one folder.

    python -m training export-llamafactory --config training/configs/qwen3-8b-24gb.yaml

Rows are written as messages, with the card as the system message and her held-out rows as the evaluation set.
Its templates are its own, written down by name and not read from the tokenizer; which of them writes what
the base's chat template writes is found by comparing (`FORMATS`, from hiyouga/LLaMA-Factory 0.9.5,
`data/template.py`). What a chat template adds to a system message by itself (a date) is written out in the
rows, and what it writes in place of one is `default_system`.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dataset_builder.schema import Message
from inference.characters import Character
from inference.packaged import PACKAGED
from inference.settings import InferenceSettings
from training.data import Row, tokens_of
from training.errors import ConfigError, RowError, TrainingError
from training.model import find_base, find_character
from training.sft import SftConfig, rows_of

DEFAULT = Path("data/llamafactory")
TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}
ZERO3 = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "zero_allow_untested_optimizer": True,
    "bf16": {"enabled": "auto"},
    "fp16": {"enabled": "auto"},
    "zero_optimization": {
        "stage": 3,
        "overlap_comm": False,
        "contiguous_gradients": True,
        "stage3_gather_16bit_weights_on_model_save": True,
    },
}


class ExportLlamaFactoryConfig(SftConfig):
    """`python -m training export-llamafactory`: `sft`'s configuration, and where to write it."""

    folder: Path | None = None
    """What to write; unset: `data/llamafactory/<character>`. It must not exist."""
    template: str = ""
    """LLaMA-Factory's name of the chat template; unset: the one that writes what the base's own writes."""
    deepspeed: bool = False
    """For several GPUs: the base's weights shared out by DeepSpeed ZeRO-3."""


@dataclass(frozen=True)
class Format:
    """A chat template of LLaMA-Factory. What stands before and behind each message; `{bos}` is the
    token that begins a sequence."""

    name: str
    prefix: str
    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]
    default: str = ""  # its system message where a row has none

    def write(self, messages: Sequence[tuple[str, str]]) -> str:
        around = {"user": self.user, "assistant": self.assistant}
        return "".join(text.join(around[role]) for role, text in messages)


_CHATML = (
    ("<|im_start|>system\n", "<|im_end|>\n"),
    ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"),
    ("", "<|im_end|>\n"),
)
_LLAMA3 = (
    ("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
    (
        "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    ("", "<|eot_id|>"),
)
_GLM4 = (("<|system|>\n", ""), ("<|user|>\n", "<|assistant|>"), ("\n", ""))
_QWEN = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
FORMATS = (
    Format("qwen", "", *_CHATML, default=_QWEN),
    Format("chatml", "", *_CHATML),
    Format("intern2", "{bos}", *_CHATML, default="You are an AI assistant whose name is InternLM …"),
    Format("llama3", "{bos}", *_LLAMA3),
    Format("glm4", "[gMASK]<sop>", *_GLM4),
)


@dataclass(frozen=True)
class Found:
    """The format of a base's chat template. `added` stands before a system message, `default` in place of
    one; None: not known."""

    name: str
    added: str = ""
    default: str | None = None


def export_llamafactory(config: ExportLlamaFactoryConfig) -> Path:
    """Writes the folder, whole or not at all, and returns it. Raises `TrainingError`."""
    _check(config)
    character = find_character(config.character)
    out = config.folder or DEFAULT / character.id
    if out.exists():
        raise TrainingError(f"`{out}` exists; delete it or name another `folder`")
    learned, held_out, _ = rows_of(config, character)
    model, tokenizer = _model(config)
    found = Found(config.template) if config.template else find_format(tokenizer, model)
    staged = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(staged, ignore_errors=True)
    (staged / "data").mkdir(parents=True)
    try:
        info = {}
        for name, rows in (("train", learned), ("held_out", held_out)):
            lines = [_line(row, tokenizer, found, config.max_length) for row in rows]
            (staged / "data" / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
            info[f"{character.id}_{name}"] = {
                "file_name": f"{name}.jsonl",
                "formatting": "sharegpt",
                "columns": {"messages": "messages"},
                "tags": TAGS,
            }
        _write_json(staged / "data" / "dataset_info.json", info)
        if config.deepspeed:
            _write_json(staged / "ds_z3.json", ZERO3)
        settings = settings_of(config, character, model, found)
        text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
        (staged / "train.yaml").write_text(text, encoding="utf-8")
        (staged / "README.md").write_text(_readme(config, character), encoding="utf-8")
        os.rename(staged, out)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return out


def _check(config: ExportLlamaFactoryConfig) -> None:
    """Raises `ConfigError` for what LLaMA-Factory has no setting for."""
    if config.lora.layers:
        raise ConfigError(
            "`lora.layers`: LLaMA-Factory adapts a module in all layers or in none; leave it unset"
        )
    alpha = config.lora.alpha
    if alpha is not None and alpha != int(alpha):
        raise ConfigError(f"`lora.alpha` is {alpha}, and LLaMA-Factory takes whole numbers")
    if config.parent is not None:
        raise ConfigError(
            "`parent`: an adapter that learns on is not exported; `merge` it and give the folder as `base`"
        )


def _model(config: ExportLlamaFactoryConfig) -> tuple[str, Any]:
    """The base as LLaMA-Factory will be told, and its tokenizer: None if it is not here and not needed."""
    from transformers import AutoTokenizer

    name = config.base or InferenceSettings().model
    where: str | Path = name.partition("@")[0]
    if name in PACKAGED:
        where = find_base(config).folder
    elif Path(name).expanduser().is_dir():
        where = Path(name).expanduser().absolute()
    try:
        return str(where), AutoTokenizer.from_pretrained(where)
    except (OSError, ValueError) as error:
        if config.template:
            return str(where), None
        known = ", ".join(f"`{each.name}`" for each in FORMATS)
        raise TrainingError(
            f"the tokenizer of `{name}` cannot be had, so its chat template cannot be compared; set "
            f"`template` to LLaMA-Factory's name for it, such as {known}"
        ) from error


def find_format(tokenizer: Any, model: str) -> Found:
    """Which of LLaMA-Factory's templates writes a conversation as the tokenizer's does.

    Raises `TrainingError` if none of `FORMATS` does.
    """
    asked = [("user", "U1"), ("assistant", "A1"), ("user", "U2"), ("assistant", "A2")]
    with_card, without = _written(tokenizer, [("system", "S1"), *asked]), _written(tokenizer, asked)
    fitting: list[Found] = []
    for each in FORMATS:
        prefix, rest = each.prefix.replace("{bos}", tokenizer.bos_token or ""), each.write(asked)
        before, behind = (re.escape(text) for text in each.system)
        card = re.fullmatch(
            f"{re.escape(prefix)}{before}(.*?)S1{behind}{re.escape(rest)}", with_card, re.DOTALL
        )
        own = re.fullmatch(
            f"{re.escape(prefix)}(?:{before}(.*?){behind})?{re.escape(rest)}", without, re.DOTALL
        )
        if card is None or own is None:
            continue
        found = Found(each.name, added=card[1], default=own[1] or "")
        if found.default == each.default:
            return found
        fitting.append(found)
    if fitting:
        return fitting[0]  # `train.yaml` says the other default
    raise TrainingError(
        f"none of LLaMA-Factory's templates known here writes what the chat template of `{model}` writes; "
        "set `template` to its name there, and compare the first row in its log. (A template that writes "
        "thoughts, or drops them from earlier answers, fits none: put a plain `chat_template.jinja` into "
        "the base's folder)"
    )


def _written(tokenizer: Any, messages: Iterable[tuple[str, str]]) -> str:
    chat = [{"role": role, "content": text} for role, text in messages]
    return str(tokenizer.apply_chat_template(chat, tokenize=False))


def _line(row: Row, tokenizer: Any, found: Found, most: int) -> str:
    """A row as JSON. Too long ones lose their oldest turns here, as in our own training."""
    answers = [at for at, message in enumerate(row.messages) if message.role == "assistant"]
    if answers != list(row.learned):
        raise RowError(
            row.path,
            row.line,
            "only some of its answers are to be learned, and LLaMA-Factory learns all of a row; give rows "
            "of `messages`",
        )
    messages = row.messages if tokenizer is None else _cut(row, tokenizer, most)
    head = [message for message in messages if message.role == "system"]
    said = [Message(role="system", content=found.added + head[0].content)] if head else []
    said += messages[len(head) :]
    return json.dumps({"messages": [each.model_dump() for each in said]}, ensure_ascii=False) + "\n"


def _cut(row: Row, tokenizer: Any, most: int) -> tuple[Message, ...]:
    kept = len(tokens_of(tokenizer, row, most).ids)
    messages = row.messages
    head = 1 if messages[0].role == "system" else 0
    while len(_ids(tokenizer, messages)) > kept:
        messages = messages[:head] + messages[head + 2 :]
    return messages


def _ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    text = _written(tokenizer, [(each.role, each.content) for each in messages])
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def settings_of(
    config: ExportLlamaFactoryConfig, character: Character, model: str, found: Found
) -> dict[str, Any]:
    """`train.yaml`, in the order of LLaMA-Factory's own examples."""
    lora = config.lora
    settings: dict[str, Any] = {"model_name_or_path": model}
    if config.quantise != "none":
        settings |= {
            "quantization_method": "bnb",
            "quantization_bit": 4 if config.quantise == "4bit" else 8,
            "double_quantization": True,
            "quantization_type": "nf4",
        }
    settings |= {
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": lora.rank,
        "lora_alpha": int(lora.alpha or 2 * lora.rank),
        "lora_dropout": lora.dropout,
        "lora_target": "all" if lora.modules == ("all-linear",) else ",".join(lora.modules),
        "use_rslora": lora.rslora,
        "dataset_dir": "data",
        "dataset": f"{character.id}_train",
        "eval_dataset": f"{character.id}_held_out",
        "template": found.name,
        **({} if found.default is None else {"default_system": found.default}),
        "cutoff_len": config.max_length,
        "mask_history": False,  # all of her answers are learned, not only the last
        "train_on_prompt": False,
        "packing": False,
        "overwrite_cache": True,
        "output_dir": "adapter",
        "per_device_train_batch_size": config.batch,
        "per_device_eval_batch_size": config.batch,
        "gradient_accumulation_steps": config.accumulate,
        "learning_rate": config.learning_rate,
        "num_train_epochs": float(config.epochs),
        "lr_scheduler_type": config.schedule,
        "warmup_ratio": config.warmup,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.clip,
        "disable_gradient_checkpointing": not config.gradient_checkpointing,
        "eval_strategy": "steps",
        "eval_steps": config.save_every,
        "save_steps": config.save_every,
        "logging_steps": 1,
        "load_best_model_at_end": True,
        "early_stopping_steps": config.patience,
        "seed": config.seed,
        "report_to": list(config.report_to) or "none",
    }
    if config.device == "cpu":
        settings["use_cpu"] = True
    elif config.precision in ("auto", "bfloat16"):
        settings["bf16"] = True
    elif config.precision == "float16":
        settings["fp16"] = True
    if config.deepspeed:
        settings["deepspeed"] = "ds_z3.json"
    return settings


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _readme(config: ExportLlamaFactoryConfig, character: Character) -> str:
    several = "FORCE_TORCHRUN=1 " if config.deepspeed else ""
    quantised = ",bitsandbytes" if config.quantise != "none" else ""
    return f"""# {character.name}, for LLaMA-Factory

What `python -m training sft` would train, as LLaMA-Factory 0.9.5 takes it: `data/train.jsonl` is learned,
`data/held_out.jsonl` tells how she does on what is new, `train.yaml` says how.

```sh
pip install "llamafactory[metrics{quantised}{",deepspeed" if config.deepspeed else ""}]"
cd <this folder>
{several}llamafactory-cli train train.yaml
```

The adapter is written into `adapter/`. What is not the same there: the line end behind an answer is learned
too, general ability does not stop a run that loses it, and a batch is padded and not shared.
"""
