"""A LoRA adapter in PEFT's safetensors -> the GGUF that llama.cpp reads."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from inference.adapters import CONFIG, WEIGHTS, AdapterVersion
from inference.base import Base
from inference.errors import AdapterError, ModelError
from inference.tensors import numbers, read_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# transformers' `model_type` -> GGUF's architecture; and whether llama.cpp wants each head's rotary halves
# interleaved.
_ARCHITECTURES = {
    "llama": ("llama", True),
    "mistral": ("llama", True),
    "qwen2": ("qwen2", False),
    "qwen3": ("qwen3", False),
}
_SCHEME = 1  # of this conversion: part of the cached file's name


def adapter_gguf(adapter: AdapterVersion, base: Base, cache: Path) -> Path:
    """The adapter as GGUF, made once and kept in `cache`. Raises `AdapterError` or `ModelError`."""
    config = json.loads((adapter.folder / CONFIG).read_bytes())
    alpha = float(config["lora_alpha"])
    if config.get("use_rslora"):
        alpha *= adapter.rank**0.5  # llama.cpp always divides by the rank, rsLoRA by its root
    path = cache / f"{adapter.sha256[:40]}-{alpha:g}-{base.id}.{_SCHEME}.gguf"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        try:
            _write(adapter, base, alpha, unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    return path


def _write(adapter: AdapterVersion, base: Base, alpha: float, path: Path) -> None:
    from gguf import MODEL_ARCH_NAMES, GGUFWriter, get_tensor_name_map

    config = base.config
    model_type = config.get("model_type")
    if model_type not in _ARCHITECTURES:
        known = ", ".join(f"`{name}`" for name in _ARCHITECTURES)
        raise ModelError(
            f"adapters of a `{model_type}` model cannot be given to llama.cpp; those of {known} can"
        )
    architecture, interleaved = _ARCHITECTURES[model_type]
    arch = next(arch for arch, name in MODEL_ARCH_NAMES.items() if name == architecture)
    names = get_tensor_name_map(arch, config["num_hidden_layers"])
    heads = config["num_attention_heads"]
    heads_of = {"q_proj": heads, "k_proj": config.get("num_key_value_heads") or heads} if interleaved else {}

    writer = GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    source = adapter.folder / WEIGHTS
    for name, tensor in sorted(read_header(source).items()):
        module, _, side = name.removeprefix("base_model.model.").removesuffix(".weight").rpartition(".lora_")
        target = names.get_name(module)
        if target is None:
            raise AdapterError(adapter.folder, f"llama.cpp has no place for `{module}`")
        values = numbers(source, tensor)
        if side == "B" and (count := heads_of.get(module.rpartition(".")[2])):
            values = interleave(values, count)
        writer.add_tensor(f"{target}.weight.lora_{side.lower()}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def interleave(rows: "NDArray[np.float32]", heads: int) -> "NDArray[np.float32]":
    """Each head's rows from transformers' order (first halves, second halves) to llama.cpp's (pairs)."""
    import numpy as np

    size, width = rows.shape
    pairs = rows.reshape(heads, 2, size // heads // 2, width).swapaxes(1, 2)
    return np.ascontiguousarray(pairs.reshape(size, width))
