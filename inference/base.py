"""A base model that is ready to be served, and its identity: the sha256 of its weights.

Adapters name that sha256, since an adapter on other weights talks nonsense without any error.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from inference.errors import ModelError

BASE_FILE = "base.json"


class Base(BaseModel):
    """A model folder. `id` is the name it is served under, and that of the folders below `adapters/`."""

    model_config = ConfigDict(frozen=True)

    id: str
    folder: Path
    sha256: str  # see `weights_sha256`
    source: str
    licence: str = ""
    gguf: Path | None = None  # the quantised original, for llama.cpp

    @property
    def config(self) -> dict[str, Any]:
        """Its `config.json`. Raises `ModelError`."""
        path = self.folder / "config.json"
        try:
            config = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ModelError(f"`{path}` cannot be read: {error}") from error
        if not isinstance(config, dict):
            raise ModelError(f"`{path}` is not a model's configuration")
        return config

    @property
    def context(self) -> int | None:
        """How many tokens it was made for, if it says so."""
        length = self.config.get("max_position_embeddings")
        return length if isinstance(length, int) else None

    def save(self) -> None:
        """Writes `base.json` into the folder."""
        written = self.model_dump(exclude={"folder", "gguf"}) | {
            "gguf": self.gguf.name if self.gguf else None
        }
        (self.folder / BASE_FILE).write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def read_base(folder: Path) -> Base | None:
    """The model in a folder that was prepared to the end; None for anything else."""
    try:
        found = json.loads((folder / BASE_FILE).read_bytes())
        gguf = folder / found["gguf"] if found.get("gguf") else None
        base = Base(**(found | {"folder": folder, "gguf": gguf}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return base if weight_files(folder) else None


def weight_files(folder: Path) -> list[Path]:
    """The files with a model's weights, in order."""
    return sorted(path for path in folder.glob("*.safetensors") if path.is_file())


def weights_sha256(folder: Path) -> str:
    """What a model's weights are: the sha256 of `model.safetensors`.

    Of several files it is the sha256 of the lines `sha256  name`, as `sha256sum *.safetensors | sha256sum`
    says.
    """
    files = weight_files(folder)
    if len(files) == 1:
        return file_sha256(files[0])
    lines = "".join(f"{file_sha256(path)}  {path.name}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
