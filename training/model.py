"""The base model, its tokenizer, and the adapter on it."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import Any

from inference.adapters import CONFIG, WEIGHTS
from inference.base import Base
from inference.characters import Character, load_character
from inference.errors import AdapterError, CharacterError, ModelError
from inference.manifest import Manifest
from inference.models import prepare
from inference.settings import InferenceSettings, WrongSetting
from inference.tensors import read_header
from training.config import LoraConfig, ModelConfig, RunConfig
from training.errors import ConfigError, TrainingError
from training.version import read_manifest


def find_base(config: ModelConfig) -> Base:
    """The base that the configuration names, ready in a folder. Raises `TrainingError`."""
    try:
        return prepare(InferenceSettings(model=config.base) if config.base else InferenceSettings())
    except WrongSetting as error:
        raise ConfigError(str(error).replace("CHATNVL_MODEL", "base")) from error
    except ModelError as error:
        raise TrainingError(str(error)) from error


def find_character(folder: Path) -> Character:
    """Raises `ConfigError`."""
    try:
        return load_character(folder)
    except CharacterError as error:
        raise ConfigError(str(error)) from error


def load_tokenizer(base: Base) -> Any:
    """The base's tokenizer, with a token for padding that does not end an answer where it has one.

    Raises `TrainingError`.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(base.folder)
    except (OSError, ValueError) as error:
        raise TrainingError(f"the tokenizer in `{base.folder}` cannot be read: {error}") from error
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        known = tokenizer.get_vocab()
        padding = ("<|endoftext|>", "<pad>", "<unk>", tokenizer.eos_token)
        tokenizer.pad_token = next(each for each in padding if each in known and each is not None)
    return tokenizer


def device_of(config: ModelConfig) -> str:
    """`cuda` or `cpu`. Raises `ConfigError` where a GPU is wanted and there is none."""
    import torch

    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "`device` is `cuda`, and PyTorch finds no GPU; leave it at `auto` or install a CUDA build"
        )
    return "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"


def dtype_of(config: ModelConfig, device: str) -> Any:
    """The torch dtype of the base model's weights."""
    import torch

    if config.precision != "auto":
        return getattr(torch, config.precision)
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if _multiplies_bfloat16() else torch.float32


def _multiplies_bfloat16() -> bool:
    """Elsewhere bfloat16 is emulated on a CPU, slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def load_model(base: Base, config: ModelConfig, *, kind: str = "AutoModelForCausalLM", **options: Any) -> Any:
    """The base's weights, frozen or quantised as the configuration says. Raises `TrainingError`."""
    import torch
    import transformers

    device = device_of(config)
    torch.set_num_threads(config.threads or torch.get_num_threads())
    if config.quantise != "none":
        options["quantization_config"] = _quantisation(config, device)
    with clear_errors():
        try:
            model = getattr(transformers, kind).from_pretrained(
                base.folder, dtype=dtype_of(config, device), attn_implementation="sdpa", **options
            )
        except (OSError, ValueError) as error:
            raise TrainingError(f"the base model in `{base.folder}` cannot be loaded: {error}") from error
        return model if config.quantise != "none" else model.to(device)


def _quantisation(config: ModelConfig, device: str) -> Any:
    import torch
    from transformers import BitsAndBytesConfig
    from transformers.utils import is_bitsandbytes_available

    if device != "cuda" or not is_bitsandbytes_available():
        raise ConfigError(
            f"`quantise` is `{config.quantise}`, which needs a GPU and `pip install bitsandbytes`; "
            "without them leave it at `none`"
        )
    if config.quantise == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    compute = dtype_of(config, device)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        bnb_4bit_quant_storage=torch.uint8 if compute == torch.float16 else compute,
    )


def add_adapter(model: Any, base: Base, config: RunConfig) -> Any:
    """PEFT's model: a new adapter by `config.lora`, or that of `config.parent` to go on with.

    Raises `TrainingError`.
    """
    from peft import get_peft_model
    from transformers import set_seed

    if config.quantise != "none":
        from peft import prepare_model_for_kbit_training

        model = prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=config.gradient_checkpointing
        )
    if config.parent is None:
        set_seed(config.seed)  # TRL seeds later, and an adapter begins at random
        try:
            return get_peft_model(model, peft_config(config.lora, model))
        except ValueError as error:  # no layer has such a name
            raise ConfigError(f"`lora`: {error}") from error
    return resume_adapter(model, config.parent, base)


def resume_adapter(model: Any, folder: Path, base: Base) -> Any:
    """PEFT's model with the adapter in `folder`, to be trained on. Raises `TrainingError`."""
    from peft import PeftModel

    check_parent(folder, base)
    model = PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    # By the base's id alone, PEFT would ask a hub about it at every checkpoint.
    model.peft_config["default"].base_model_name_or_path = str(base.folder)
    return model


def check_parent(folder: Path, base: Base) -> Manifest:
    """The manifest of a version to go on from. Raises `TrainingError` for one of another base, or one whose
    weights are a pickle: opening that may run anybody's code."""
    if not (folder / WEIGHTS).is_file():
        pickles = [path.name for path in folder.glob("*.bin")] if folder.is_dir() else []
        what = (
            f"`{pickles[0]}` is a pickle, which may run code when opened" if pickles else "it has no weights"
        )
        raise TrainingError(f"`{folder}`: {what}; an adapter's weights are `{WEIGHTS}`, beside `{CONFIG}`")
    manifest = read_manifest(folder)
    if manifest.base_sha256 != base.sha256:
        raise TrainingError(
            f"`{folder}` was trained on `{manifest.base}` with the sha256 {manifest.base_sha256[:12]}…, and "
            f"`{base.id}` here has {base.sha256[:12]}…; train on its own base, or without `parent`"
        )
    try:
        read_header(folder / WEIGHTS)
    except (OSError, ValueError, AdapterError) as error:
        raise TrainingError(f"`{folder / WEIGHTS}` cannot be read: {error}") from error
    return manifest


def peft_config(lora: LoraConfig, model: Any, task: str = "CAUSAL_LM", **options: Any) -> Any:
    """PEFT's configuration of a new adapter. Raises `ConfigError` for layers that the model has not."""
    import peft

    count = model.config.get_text_config().num_hidden_layers
    layers = sorted(_layers(lora.layers, count))
    modules = "all-linear" if lora.modules == ("all-linear",) else list(lora.modules)
    try:
        return peft.LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha or 2 * lora.rank,
            lora_dropout=lora.dropout,
            target_modules=modules,
            layers_to_transform=layers or None,
            use_rslora=lora.rslora,
            task_type=task,
            **options,
        )
    except ValueError as error:
        raise ConfigError(f"`lora`: {error}") from error


def _layers(ranges: Sequence[str], count: int) -> Iterator[int]:
    for each in ranges:
        first, _, last = str(each).partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not last)):
            raise ConfigError(f"`lora.layers`: `{each}` is neither a number nor a range such as `0-11`")
        if int(last or first) >= count:
            raise ConfigError(f"`lora.layers`: `{each}`, and the model has the layers 0 to {count - 1}")
        yield from range(int(first), int(last or first) + 1)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turns what a machine runs out of into a `TrainingError` with a remedy."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        gc.collect()
        torch.cuda.empty_cache()
        raise TrainingError(_memory("the GPU")) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise TrainingError(_memory("this machine")) from error
    except MemoryError as error:
        raise TrainingError(_memory("this machine")) from error
    except OSError as error:
        if error.errno != ENOSPC:
            raise
        raise TrainingError(
            "the disk is full; make room and run the same command again, it resumes"
        ) from error


def _memory(where: str) -> str:
    return (
        f"the memory of {where} is full: set `batch` to half and `accumulate` to twice as much, then "
        "`gradient_checkpointing: true`, a smaller `max_length`, or `quantise: 4bit` on a GPU. The same "
        "command resumes from the last checkpoint"
    )
