"""A version folder: the adapter, and all that tells where it came from.

::

    characters/<id>/adapters/<base>/v<n>/
        adapter_config.json  adapter_model.safetensors    PEFT's, as vLLM takes them
        version.json                                      the manifest
        history.jsonl                                     the curves: one logged step a line
        evaluation.json                                   written by `python -m training evaluate`

A version never changes and is never written twice: servers remember what they computed with it.
"""

import json
import os
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inference.adapters import RANKS, VERSION_FILE, WEIGHTS, AdapterCheck
from inference.base import Base, file_sha256
from inference.characters import VERSION, Character
from inference.errors import AdapterError
from inference.manifest import Ancestor, DataFile, Manifest
from training.config import RunConfig
from training.errors import TrainingError

HISTORY = "history.jsonl"
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "safetensors")


def data_file(path: Path) -> DataFile:
    """What the manifest tells of a file of rows."""
    with path.open("rb") as file:
        count = sum(1 for line in file if not line.isspace())
    return DataFile(path=path.as_posix(), sha256=file_sha256(path), rows=count)


def read_manifest(folder: Path) -> Manifest:
    """Raises `TrainingError`."""
    path = folder / VERSION_FILE
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise TrainingError(f"`{folder}` is no adapter version: `{VERSION_FILE}` cannot be read") from error
    except ValidationError as error:
        raise TrainingError(f"`{path}` is wrong: {error.errors()[0]['msg']}") from error


def served_as(folder: Path) -> str:
    """A version folder's served name, `maeve.v2`."""
    return f"{folder.absolute().parents[2].name}.{folder.name}"


def version_folder(config: RunConfig, base: Base) -> Path:
    """Where the version goes: `config.out`, or the next free number. Raises `TrainingError` if it exists."""
    versions = config.character / "adapters" / base.id
    if config.out is None:
        taken = [int(each.name[1:]) for each in versions.glob("v*") if VERSION.fullmatch(each.name)]
        return versions / f"v{max(taken, default=0) + 1}"
    if config.out.exists():
        raise TrainingError(
            f"`{config.out}` exists, and a version is never written twice; take the next number"
        )
    if not VERSION.fullmatch(config.out.name) or config.out.absolute().parent.name != base.id:
        raise TrainingError(
            f"`out` is `{config.out}`; a version's folder is `<character>/adapters/{base.id}/v<n>`, "
            "which names the base it belongs to"
        )
    return config.out


def lineage(parent: Path | None) -> tuple[Ancestor, ...]:
    """The versions behind one that goes on from `parent`."""
    if parent is None:
        return ()
    above = read_manifest(parent)
    return (Ancestor(name=served_as(parent), sha256=above.sha256, stage=above.stage), *above.lineage)


def write_version(
    model: Any,
    out: Path,
    *,
    state: Mapping[str, Any],
    base: Base,
    character: Character,
    config: RunConfig,
    stage: str,
    data: Sequence[DataFile],
    figures: Mapping[str, float],
    history: Sequence[Mapping[str, Any]],
) -> Path:
    """Writes the version `out`, whole or not at all, after the check that serving makes.

    `model` is a PEFT model, `state` its adapter's weights as PEFT stores them. Here they
    are stored in bfloat16: vLLM computes in it, and it is half the size.
    Raises `TrainingError` for weights that are not finite or that vLLM would refuse.
    """
    # The check wants the folder's own names around it.
    staged = out.parent / ".unfinished" / character.id / "adapters" / base.id / out.name
    shutil.rmtree(out.parent / ".unfinished", ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        sha256 = write_adapter(model, state, staged, base)
        manifest = manifest_of(config, base, character, stage, data, figures, sha256)
        (staged / VERSION_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        lines = "".join(json.dumps(entry) + "\n" for entry in history)
        (staged / HISTORY).write_text(lines, encoding="utf-8")
        try:
            AdapterCheck(base, max(RANKS)).check(staged)
        except AdapterError as error:
            raise TrainingError(f"the trained adapter would not be served: {error}") from error
        staged.rename(out)
    except FileExistsError as error:
        raise TrainingError(f"`{out}` exists meanwhile; take the next number") from error
    finally:
        shutil.rmtree(out.parent / ".unfinished", ignore_errors=True)
    return out


def manifest_of(
    config: RunConfig,
    base: Base,
    character: Character,
    stage: str,
    data: Sequence[DataFile],
    figures: Mapping[str, float],
    sha256: str,
) -> Manifest:
    """What is to be known of weights with the hash `sha256`, trained here and now."""
    return Manifest(
        base=base.id,
        base_sha256=base.sha256,
        sha256=sha256,
        character=character.id,
        card=character.card_hash,
        stage=stage,
        config=config.model_dump(mode="json", exclude={"run", "out", "character", "threads"}),
        data=tuple(data),
        lineage=lineage(config.parent),
        figures={name: round(value, 6) for name, value in figures.items()},
        seed=config.seed,
        libraries=_libraries(),
        hardware=_hardware(),
    )


def write_adapter(model: Any, state: Mapping[str, Any], folder: Path, base: Base) -> str:
    """PEFT's two files, in bfloat16; the weights' sha256 is returned."""
    import torch
    from safetensors.torch import save_file

    config = model.peft_config["default"]
    trained_on, config.base_model_name_or_path = config.base_model_name_or_path, base.id
    config.inference_mode = True
    config.save_pretrained(folder)
    # What goes on with this model in memory finds it as it was.
    config.base_model_name_or_path, config.inference_mode = trained_on, False
    weights = folder / WEIGHTS
    halves = {name: value.detach().to("cpu", torch.bfloat16).contiguous() for name, value in state.items()}
    save_file(halves, weights, {"format": "pt"})
    weights.chmod(0o644)
    with weights.open("rb+") as file:
        os.fsync(file.fileno())
    return file_sha256(weights)


def _libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _hardware() -> dict[str, str | int | float]:
    import torch

    hardware: dict[str, str | int | float] = {"cpu": _processor(), "cores": os.cpu_count() or 1}
    if torch.cuda.is_available():
        hardware["gpu"] = torch.cuda.get_device_name()
        hardware["gpus"] = torch.cuda.device_count()
    return hardware


def _processor() -> str:
    try:
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    named = re.search(r"^model name\s*:\s*(.+)$", about, re.MULTILINE)
    return named[1] if named else platform.machine()
