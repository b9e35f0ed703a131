"""Adapter versions: which there are, and which may be loaded.

A version is a folder `characters/<id>/adapters/<base id>/v<n>/` with PEFT's `adapter_config.json` and
`adapter_model.safetensors`, and our `version.json`. It never changes: new weights are a new version, since
vLLM answers from what it cached for the old ones. Everything is checked before the server sees it, because
vLLM checks little: it takes not-a-numbers and answers nothing, and takes an adapter of another model and
answers nonsense.
"""

import json
import math
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.base import Base, file_sha256, weight_files
from inference.characters import CHARACTER_ID, VERSION, served_name
from inference.errors import AdapterError, ModelError
from inference.release import RELEASE_FILE
from inference.tensors import base_shapes, read_header, unsound

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
VERSION_FILE = "version.json"
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM can be started with
_JSON_LIMIT = 2**20
_RUNNABLE = {
    ".bin",
    ".pt",
    ".pth",
    ".pkl",
    ".pickle",
    ".ckpt",
    ".py",
    ".so",
    ".npy",
}  # opening one may run code
_KEY = re.compile(r"base_model\.model\.(?P<module>[\w.]+)\.lora_(?P<side>[AB])\.weight")
_SOUND_STARTS = (
    True,
    False,
    "gaussian",
    "eva",
    "orthogonal",
)  # other ways to begin change the base's weights too
_UNSUPPORTED = (
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "megatron_config",
    "use_dora",
    "use_qalora",
    "lora_bias",
    "fan_in_fan_out",
)


class VersionFile(BaseModel):
    """`version.json`: what the weights are, and what they were trained on. Other fields are allowed."""

    model_config = ConfigDict(frozen=True, extra="allow")

    base: str
    base_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class AdapterVersion(BaseModel):
    """A version that may be loaded."""

    model_config = ConfigDict(frozen=True)

    character: str
    number: int
    folder: Path
    rank: int
    sha256: str

    @property
    def name(self) -> str:
        """The model name it is served under, such as `maeve.v2`."""
        return served_name(self.character, f"v{self.number}")


class Found(BaseModel):
    """What lies in the characters' folders."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    good: tuple[AdapterVersion, ...]
    refused: tuple[AdapterError, ...]


class AdapterCheck:
    """The check for one base model, whose shapes are read once."""

    def __init__(self, base: Base, max_rank: int = 64) -> None:
        self.base = base
        self.max_rank = max_rank

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        try:
            return base_shapes(weight_files(self.base.folder))
        except (ValueError, OSError) as error:
            raise ModelError(f"the weights of `{self.base.id}` in `{self.base.folder}`: {error}") from error

    def check(self, folder: Path) -> AdapterVersion:
        """The version in `folder`. Raises `AdapterError` with the first thing that is wrong."""
        try:
            return self._check(folder)
        except OSError as error:
            raise AdapterError(folder, f"cannot be read: {error}") from error

    def _check(self, folder: Path) -> AdapterVersion:
        if not VERSION.fullmatch(folder.name):
            raise AdapterError(folder, "a version's folder is named `v1`, `v2`, …")
        characters, character = folder.parents[3], folder.parents[2].name
        if not CHARACTER_ID.fullmatch(character):
            raise AdapterError(folder, f"`{character}` is not a character's id")
        if not folder.is_dir():
            raise AdapterError(folder, "it is not a folder")
        self._files(folder, characters.resolve())
        version = _version(folder)
        if (version.base, version.base_sha256) != (self.base.id, self.base.sha256):
            raise AdapterError(
                folder,
                f"it was trained on `{version.base}` with the sha256 {version.base_sha256[:12]}…, "
                f"and `{self.base.id}` here has {self.base.sha256[:12]}…",
            )
        rank = self._config(folder)
        self._weights(folder, rank)
        sha256 = file_sha256(folder / WEIGHTS)
        if sha256 != version.sha256:
            raise AdapterError(
                folder,
                f"`{WEIGHTS}` has the sha256 {sha256[:12]}… and not {version.sha256[:12]}… as it should: "
                "it was changed (new weights are a new version) or not copied to the end",
            )
        return AdapterVersion(
            character=character,
            number=int(folder.name[1:]),
            folder=folder.absolute(),
            rank=rank,
            sha256=sha256,
        )

    def _files(self, folder: Path, characters: Path) -> None:
        for path in (folder, *sorted(folder.rglob("*"))):
            if not path.resolve().is_relative_to(characters):
                raise AdapterError(
                    folder, f"`{path.name}` is a link to a place outside of `{characters.name}`"
                )
            if path.suffix.lower() in _RUNNABLE:
                raise AdapterError(
                    folder, f"`{path.name}`: only safetensors are loaded; opening that may run code"
                )
        for needed in (CONFIG, WEIGHTS, VERSION_FILE):
            if not (folder / needed).is_file():
                raise AdapterError(folder, f"no `{needed}` in it")

    def _config(self, folder: Path) -> int:
        """The rank. The weights are then checked to be what the configuration says."""
        config = _json(folder, CONFIG)
        if config.get("peft_type") != "LORA":
            raise AdapterError(folder, f"it is a {config.get('peft_type')!r} adapter, not a LoRA")
        for field in _UNSUPPORTED:
            if config.get(field):
                raise AdapterError(folder, f"`{field}` in `{CONFIG}` cannot be served")
        if config.get("bias", "none") != "none":
            raise AdapterError(folder, "it changes biases, which cannot be served")
        if config.get("init_lora_weights", True) not in _SOUND_STARTS:
            raise AdapterError(
                folder,
                f"`init_lora_weights` {config['init_lora_weights']!r} changed the base's weights in training",
            )
        rank, alpha = config.get("r"), config.get("lora_alpha")
        if type(rank) is not int or rank < 1:
            raise AdapterError(folder, f"the rank is {rank!r}")
        if rank > self.max_rank:
            raise AdapterError(
                folder, f"its rank is {rank}, and `CHATNVL_SERVE__MAX_RANK` is {self.max_rank}"
            )
        if not isinstance(alpha, int | float) or not math.isfinite(alpha):
            raise AdapterError(folder, f"`lora_alpha` is {alpha!r}")
        return rank

    def _weights(self, folder: Path, rank: int) -> None:
        path = folder / WEIGHTS
        try:
            tensors = read_header(path)
        except ValueError as error:
            raise AdapterError(folder, f"`{WEIGHTS}`: {error}") from error
        if not tensors:
            raise AdapterError(folder, f"`{WEIGHTS}` is empty")
        sides: dict[str, set[str]] = {}
        for name, tensor in tensors.items():
            match = _KEY.fullmatch(name)
            if match is None:
                raise AdapterError(folder, f"`{name}` is no weight of a LoRA adapter for linear layers")
            module, side = str(match["module"]), str(match["side"])
            shape = self.shapes.get(f"{module}.weight")
            if shape is None or len(shape) != 2 or "embed" in module:
                raise AdapterError(folder, f"`{module}` is no linear layer of `{self.base.id}`")
            fits = (rank, shape[1]) if side == "A" else (shape[0], rank)
            if tensor.shape != fits:
                raise AdapterError(folder, f"`{name}` has the shape {tensor.shape}, and {fits} fits")
            if tensor.dtype not in ("F32", "F16", "BF16"):
                raise AdapterError(folder, f"`{name}` is stored as {tensor.dtype}")
            sides.setdefault(module, set()).add(side)
        for module, have in sides.items():
            if have != {"A", "B"}:
                raise AdapterError(folder, f"`{module}` has only half of its weights")
        if (bad := unsound(path, tensors)) is not None:
            raise AdapterError(folder, f"`{bad}` holds numbers that are infinite or none at all")

    def scan(self, characters: Path) -> Found:
        """All versions for this base below `characters`."""
        good: list[AdapterVersion] = []
        refused: list[AdapterError] = []
        for folder in version_folders(characters, self.base.id):
            try:
                good.append(self.check(folder))
            except AdapterError as error:
                refused.append(error)
        return Found(good=tuple(good), refused=tuple(refused))


def version_folders(characters: Path, base_id: str) -> Iterator[Path]:
    """What lies where versions belong, in order; hidden names are somebody's unfinished work."""
    for character in sorted(characters.iterdir()) if characters.is_dir() else ():
        versions = character / "adapters" / base_id
        if CHARACTER_ID.fullmatch(character.name) and versions.is_dir():
            found = (p for p in versions.iterdir() if not p.name.startswith((".", "_")))
            yield from sorted((p for p in found if p.name != RELEASE_FILE), key=_order)


def _order(folder: Path) -> tuple[int, str]:
    return (int(folder.name[1:]) if VERSION.fullmatch(folder.name) else 0, folder.name)


def _version(folder: Path) -> VersionFile:
    try:
        return VersionFile.model_validate(_json(folder, VERSION_FILE))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AdapterError(folder, f"`{VERSION_FILE}` is wrong at `{where}`: {first['msg']}") from error


def _json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    if path.stat().st_size > _JSON_LIMIT:
        raise AdapterError(folder, f"`{name}` is too large")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AdapterError(folder, f"`{name}` is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise AdapterError(folder, f"`{name}` is not an object")
    return found
