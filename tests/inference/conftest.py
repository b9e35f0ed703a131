"""Adapters and bases made for tests, and one real vLLM for the whole session."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from inference.base import Base, weights_sha256
from inference.models import prepare
from inference.settings import InferenceSettings

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")


def shapes_of(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Rows and columns of the linear layers of a Llama or Qwen2 model."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim") or hidden // config["num_attention_heads"]
    queries, keys = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    return {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }


def write_adapter(
    folder: Path,
    base: Base,
    *,
    seed: int = 0,
    rank: int = 8,
    strength: float = 1.0,
    modules: tuple[str, ...] = ATTENTION + MLP,
    dtype: str = "float32",
    config: dict[str, Any] | None = None,
    version: dict[str, Any] | None = None,
) -> Path:
    """A version folder with random weights. `strength` 1 changes what is said, but not beyond sense."""
    rng = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {}
    for layer in range(base.config["num_hidden_layers"]):
        for module, (rows, columns) in shapes_of(base.config).items():
            if module.rpartition(".")[2] not in modules:
                continue
            name = f"base_model.model.model.layers.{layer}.{module}"
            a = rng.normal(0, columns**-0.5, (rank, columns))
            b = rng.normal(0, strength * 0.75 * rank**-0.5, (rows, rank))
            weights[f"{name}.lora_A.weight"] = a.astype(dtype)
            weights[f"{name}.lora_B.weight"] = (b * columns**-0.25).astype(dtype)
    folder.mkdir(parents=True)
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    peft = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.id,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "target_modules": sorted(modules),
        "bias": "none",
        "use_dora": False,
        "modules_to_save": None,
    }
    (folder / "adapter_config.json").write_text(json.dumps(peft | (config or {})))
    write_version(folder, base, **(version or {}))
    return folder


def write_version(folder: Path, base: Base, /, **fields: Any) -> None:
    sha256 = hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()
    found = {"base": base.id, "base_sha256": base.sha256, "sha256": sha256}
    (folder / "version.json").write_text(json.dumps(found | fields))


def change_weights(folder: Path, base: Base, **tensors: np.ndarray) -> None:
    """Other weights in a version folder, with a `version.json` that agrees."""
    path = folder / "adapter_model.safetensors"
    save_file(load_file(path) | tensors, path)
    write_version(folder, base)


@pytest.fixture
def tiny_base(tmp_path: Path) -> Base:
    """A Qwen2-shaped model of a few kilobytes, good for checks and not for talking."""
    config = {
        "model_type": "qwen2",
        "architectures": ["Qwen2ForCausalLM"],
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 2,
        "max_position_embeddings": 128,
        "vocab_size": 32,
    }
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    weights = {"model.embed_tokens.weight": np.zeros((32, 16), "float32")}
    for layer in range(2):
        for module, shape in shapes_of(config).items():
            weights[f"model.layers.{layer}.{module}.weight"] = np.ones(shape, "float32")
        weights[f"model.layers.{layer}.input_layernorm.weight"] = np.ones((16,), "float32")
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return Base(id="tiny", folder=folder, sha256=weights_sha256(folder), source="made here")


# --- the real thing
# ---------------------------------------------------------------------------------------------------


CACHE = os.environ.get("CHATNVL_CACHE")  # read before the tests take all such variables away


def real_settings(model: str = "smollm2-135m") -> InferenceSettings:
    """Settings with the models that were prepared on this machine."""
    return InferenceSettings(model=model, cache=Path(CACHE) if CACHE else None)


@pytest.fixture(scope="session")
def real_base() -> Base:
    """SmolLM2, prepared (downloaded once if need be)."""
    return prepare(real_settings())


@dataclass
class Served:
    """A running `python -m inference serve`."""

    process: subprocess.Popen[bytes]
    characters: Path
    data: Path
    output: Path
    base: Base

    @property
    def endpoint(self) -> dict[str, Any]:
        return json.loads((self.data / "inference.json").read_bytes())

    @property
    def base_url(self) -> str:
        return self.endpoint["base_url"]

    @property
    def api_key(self) -> str:
        return self.endpoint["api_key"]

    @property
    def said(self) -> str:
        return self.output.read_text()

    def children(self) -> list[int]:
        """Its processes: vLLM's API server, engine and workers."""
        tree: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                after = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            tree.setdefault(int(after[1]), []).append(int(stat.parent.name))
        found, todo = [], [self.process.pid]
        while todo:
            below = tree.get(todo.pop(), [])
            found += below
            todo += below
        return found

    def wait_for(self, line: str, count: int = 1, seconds: float = 900) -> None:
        """Until `line` was said `count` times."""
        end = time.monotonic() + seconds
        while self.said.count(line) < count:
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{line!r} was not said {count} times:\n{self.said}")
            time.sleep(0.2)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(90)
        finally:
            self.kill()

    def kill(self) -> None:
        """What it started ends by itself then; a test sees to that."""
        self.process.kill()
        self.process.wait()


def start_serve(folder: Path, base: Base, characters: Path, *arguments: str, **environment: str) -> Served:
    """`python -m inference serve` on a free port, as a user starts it."""
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / "serve.txt"
    variables = {
        "CHATNVL_MODEL": str(base.folder),
        "CHATNVL_CHARACTERS": str(characters),
        "CHATNVL_DATA": str(folder / "data"),
        "CHATNVL_SERVE__PORT": "0",
        "CHATNVL_SERVE__CONTEXT": "2048",
        "CHATNVL_SERVE__UNLOAD_SECONDS": "5",
    } | ({"CHATNVL_CACHE": CACHE} if CACHE else {})
    with output.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "inference", "serve", *arguments],
            env=os.environ | variables | environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    return Served(process, characters, folder / "data", output, base)


@pytest.fixture(scope="session")
def vllm_server(tmp_path_factory: pytest.TempPathFactory, real_base: Base) -> Iterator[Served]:
    """A real vLLM with three random adapters, `zhiwei.v1`, `maeve.v1` and `maeve.v2`, shared by the session.

    Tests may add versions of other characters to it; whoever kills it starts their own.
    """
    folder = tmp_path_factory.mktemp("vllm")
    characters = folder / "characters"
    write_adapter(characters / "zhiwei" / "adapters" / real_base.id / "v1", real_base, seed=1, rank=16)
    write_adapter(characters / "maeve" / "adapters" / real_base.id / "v1", real_base, seed=2)
    write_adapter(characters / "maeve" / "adapters" / real_base.id / "v2", real_base, seed=3)
    served = start_serve(folder, real_base, characters)
    try:
        served.wait_for("is ready after")
        yield served
    finally:
        served.stop()
        shutil.rmtree(folder, ignore_errors=True)
