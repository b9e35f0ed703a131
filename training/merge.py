"""An adapter merged into its base: one model folder, for programs that take no adapters.

    python -m training merge version=characters/maeve/adapters/smollm2-135m/v2 out=models/maeve

The folder is what transformers and vLLM load, and a `base` here: the base's own files, with the adapter added
to the weights it changes. Each is added in float32 and stored in the base's own precision, one file after the
other, so that a large model needs no more memory than its largest file. What PEFT's `merge_and_unload` makes
in float32 is the same (tested).
"""

import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import model_validator

from inference.adapters import CONFIG, RANKS, WEIGHTS, AdapterCheck
from inference.base import BASE_FILE, Base, file_sha256, weight_files
from inference.errors import AdapterError, ModelError
from inference.progress import progress
from training.config import ModelConfig
from training.errors import TrainingError
from training.model import clear_errors, find_base
from training.version import read_manifest, served_as

MERGED_FILE = "merged.json"
COPIED = ("*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt", "LICENSE*", "NOTICE*")


class MergeConfig(ModelConfig):
    """`python -m training merge`."""

    version: Path
    """The version folder to merge; it is left as it is."""
    out: Path
    """The folder to write; it must not exist."""

    @model_validator(mode="before")
    @classmethod
    def _whose(cls, raw: Any) -> Any:
        """A version folder lies in its character's."""
        if isinstance(raw, dict) and "character" not in raw and "version" in raw:
            return {**raw, "character": Path(str(raw["version"])).absolute().parents[2]}
        return raw


def merge(config: MergeConfig) -> Path:
    """Writes `config.out`, whole or not at all, and returns it. Raises `TrainingError`."""
    base = find_base(config)
    _check(config, base)
    staged = config.out.with_name(f".{config.out.name}.unfinished")
    shutil.rmtree(staged, ignore_errors=True)
    try:
        with clear_errors():
            staged.mkdir(parents=True)
            for path in _files(base.folder):
                shutil.copyfile(path, staged / path.name)
            _write_weights(config, base, staged)
            _write_origin(config, base, staged)
            os.rename(staged, config.out)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return config.out


def _check(config: MergeConfig, base: Base) -> None:
    """That the adapter is sound and this base's, and that there is a place for the result."""
    if config.out.exists():
        raise TrainingError(f"`{config.out}` exists; delete it or name another `out`")
    try:
        AdapterCheck(base, max(RANKS)).check(config.version)
    except (AdapterError, ModelError) as error:
        raise TrainingError(str(error)) from error
    needed = sum(path.stat().st_size for path in (*weight_files(base.folder), *_files(base.folder)))
    existing = next(each for each in config.out.absolute().parents if each.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise TrainingError(
            f"`{config.out}` would have {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free there; "
            "make room or name another `out`"
        )


def _files(folder: Path) -> Iterator[Path]:
    """What belongs to a model besides its weights. `base.json` says what was prepared, which this is not."""
    for pattern in COPIED:
        yield from (
            path for path in sorted(folder.glob(pattern)) if path.name not in (BASE_FILE, MERGED_FILE)
        )


def _write_weights(config: MergeConfig, base: Base, out: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    adapter = load_file(config.version / WEIGHTS)
    scale = _scale(config.version)
    files = weight_files(base.folder)
    with progress(f"merging {served_as(config.version)} into {base.id}", len(files)) as advance:
        for done, path in enumerate(files, 1):
            with safe_open(path, "pt") as weights:
                merged = {
                    name: _merged(name, weights.get_tensor(name), adapter, scale)
                    for name in weights.keys()  # noqa: SIM118 (no mapping)
                }
                save_file(merged, out / path.name, weights.metadata() or {"format": "pt"})
            (out / path.name).chmod(0o644)
            advance(done)


def _scale(version: Path) -> float:
    about = json.loads((version / CONFIG).read_bytes())
    rank = about["r"]
    return float(about["lora_alpha"] / (math.sqrt(rank) if about.get("use_rslora") else rank))


def _merged(name: str, weight: Any, adapter: dict[str, Any], scale: float) -> Any:
    """[out, in] + scale x B [out, rank] A [rank, in]; a weight that is not adapted stays as it is."""
    key = f"base_model.model.{name.removesuffix('.weight')}.lora_"
    if f"{key}A.weight" not in adapter:
        return weight
    update = adapter[f"{key}B.weight"].float() @ adapter[f"{key}A.weight"].float()
    return (weight.float() + update * scale).to(weight.dtype)


def _write_origin(config: MergeConfig, base: Base, out: Path) -> None:
    """What the folder was made from. A merged model's own identity is the hash of its weights."""
    origin = {
        "version": served_as(config.version),
        "sha256": read_manifest(config.version).sha256,
        "base": base.id,
        "base_sha256": base.sha256,
        "licence": base.licence,
        "files": {path.name: file_sha256(path) for path in weight_files(out)},
    }
    (out / MERGED_FILE).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
