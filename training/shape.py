"""How large a base and the adapter on it are, told from the base's `config.json` alone.

Both are built as they would be trained, without weights, and counted. The `config.json` of the bases that the
configurations here name is written down in `training/configs/shapes/`, so that it can be told anywhere.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.models import cache_folder
from inference.packaged import PACKAGED
from inference.settings import InferenceSettings
from training.config import RunConfig
from training.errors import ConfigError, TrainingError
from training.model import peft_config

SHAPES = Path(__file__).parent / "configs" / "shapes"


@dataclass(frozen=True)
class Shape:
    """A base and the adapter on it, by number of weights; the lower part is of one layer."""

    family: str
    parameters: int
    linear: int  # in all layers' linear layers: what is multiplied, and what is quantised
    adapter: int
    layers: int
    hidden: int
    vocab: int
    queries: int  # heads x their size
    keys: int
    inner: int  # of the feed-forward part
    norms: int  # numbers a token that normalisations keep, in float32
    inputs: tuple[tuple[str, int], ...]  # adapted linear layers: name, numbers a token that go in
    rank: int


def base_config(base: str) -> tuple[dict[str, Any], str]:
    """A base's `config.json`, and where it is from: its folder, the hub's cache, the shapes written down
    here, or the hub, in this order. Nothing but that one file is ever fetched. Raises `TrainingError`."""
    folder = cache_folder(InferenceSettings()) / base if base in PACKAGED else Path(base).expanduser()
    if (folder / "config.json").is_file():
        return _json(folder / "config.json"), f"{folder / 'config.json'}"
    fetched = _from_hub(base, local=True)
    if fetched is not None:
        return _json(fetched), "its config.json, fetched before"
    name = re.sub(r"[^a-z0-9._-]+", "-", base.rstrip("/").rpartition("/")[2].partition("@")[0].lower())
    written = SHAPES / f"{name}.json"
    if written.is_file():
        return _json(written), f"the shape written down in training/configs/shapes/{written.name}"
    fetched = _from_hub(base, local=False) if "/" in base and not base.startswith((".", "/", "~")) else None
    if fetched is not None:
        return _json(fetched), "its config.json from the hub"
    known = ", ".join(sorted(f"`{path.stem}`" for path in SHAPES.glob("*.json")))
    raise ConfigError(
        f"`base` is `{base}`: it is no folder with a `config.json`, the hub gave none, and its shape is not "
        f"written down here ({known})"
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TrainingError(f"`{path}` cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise TrainingError(f"`{path}` is not a model's configuration")
    return found


def _from_hub(base: str, *, local: bool) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name, _, revision = base.partition("@")
    try:
        found = hf_hub_download(name, "config.json", revision=revision or None, local_files_only=local)
    except (HfHubHTTPError, HFValidationError, OSError):
        return None
    return Path(found)


def shape_of(raw: Mapping[str, Any], config: RunConfig) -> Shape:
    """Counted on the model and the adapter that would be trained, built without weights."""
    import torch
    from peft import get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    about = {key: value for key, value in raw.items() if key not in ("model_type", "quantization_config")}
    family = str(raw.get("model_type", ""))
    try:
        known = AutoConfig.for_model(family, **about)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(known, dtype=torch.bfloat16)
            parameters = model.num_parameters()
            linear = _linear(model)
            lora = peft_config(config.lora, model)
            norms = _norms(model)
            adapted = get_peft_model(model, lora, low_cpu_mem_usage=True)
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"no model can be built from the base's `config.json`: {error}") from error
    text = known.get_text_config()
    heads = text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    return Shape(
        family=family,
        parameters=parameters,
        linear=linear,
        adapter=adapted.get_nb_trainable_parameters()[0],
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        vocab=text.vocab_size,
        queries=heads * size,
        keys=(getattr(text, "num_key_value_heads", None) or heads) * size,
        inner=text.intermediate_size,
        norms=norms,
        inputs=_inputs(adapted, text.num_hidden_layers),
        rank=config.lora.rank,
    )


def _layer(name: str) -> str:
    """`0` of `model.layers.0.mlp.up_proj`; empty outside of layers."""
    found = re.search(r"\.(\d+)\.", name)
    return found[1] if found else ""


def _linear(model: Any) -> int:
    from torch.nn import Linear

    return sum(
        each.weight.numel()
        for name, each in model.named_modules()
        if isinstance(each, Linear) and _layer(name)
    )


def _norms(model: Any) -> int:
    """Numbers a token that the first layer's normalisations keep; one of a head keeps all heads'."""
    text = model.config.get_text_config()
    heads = {"q_norm": text.num_attention_heads, "k_norm": getattr(text, "num_key_value_heads", 0)}
    kept = 0
    for name, each in model.named_modules():
        if _layer(name) == "0" and "Norm" in type(each).__name__:
            own = name.rpartition(".")[2]
            size = each.weight.numel()
            kept += size * (heads.get(own, 1) if size != text.hidden_size else 1)
    return kept


def _inputs(adapted: Any, layers: int) -> tuple[tuple[str, int], ...]:
    """Each kind of adapted layer once, with its width; `lora.layers` may leave some out, so it is a mean."""
    widths: dict[str, int] = {}
    for name, each in adapted.named_modules():
        if hasattr(each, "lora_A") and len(each.lora_A):
            kind = name.rpartition(".")[2]
            widths[kind] = widths.get(kind, 0) + each.in_features
    return tuple((kind, round(width / layers)) for kind, width in widths.items())
