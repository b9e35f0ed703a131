"""The base model that the settings name: from packages, a folder or a hub, checked, ready for vLLM."""

import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path

from inference.base import Base, read_base, weight_files, weights_sha256
from inference.errors import ModelError
from inference.packaged import PACKAGED, make
from inference.progress import progress, say
from inference.settings import DEFAULT_MODEL, InferenceSettings, WrongSetting

FALLBACK_MODEL = "smollm2-135m"
_HUB_NAME = re.compile(r"([\w-][\w.-]*/[\w.-]+)(?:@([\w./-]+))?")
_HUB_FILES = [
    "*.safetensors",
    "*.json",
    "*.jinja",
    "*.model",
    "merges.txt",
    "vocab.txt",
    "LICENSE*",
    "NOTICE*",
]
_UNAVAILABLE_FOR = 24 * 3600.0  # seconds before `serve` tries again to get a default that could not be had


def cache_folder(settings: InferenceSettings) -> Path:
    """Where prepared models are kept."""
    if settings.cache is not None:
        return settings.cache.absolute()
    if sys.platform == "win32":
        home = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        home = Path.home() / "Library" / "Caches"
    else:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "chatnvl" / "models"


def prepare(settings: InferenceSettings, *, again: bool = True) -> Base:
    """The base model that the settings name, ready to be served. Takes no time when it is ready already.

    Without `again`, a default that could not be had within the last day is not tried for again.
    Raises `ModelError`, or `WrongSetting` for a name that means nothing.
    """
    model, cache = settings.model, cache_folder(settings)
    if model in PACKAGED:
        try:
            return _packaged(model, cache, again=again)
        except ModelError as error:
            if model != DEFAULT_MODEL or "model" in settings.model_fields_set:
                raise
            say(f"{error}")
            say(f"taking `{FALLBACK_MODEL}` in its place: English only, for characters with an adapter on it")
            return _packaged(FALLBACK_MODEL, cache)
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _local(folder, cache)
    hub = _HUB_NAME.fullmatch(model)
    if hub is None or model.startswith((".", "~")):
        known = ", ".join(f"`{name}`" for name in PACKAGED)
        raise WrongSetting(
            f"`CHATNVL_MODEL` is `{model}`: neither {known}, nor a folder, nor a hub name (owner/name)"
        )
    return _from_hub(hub[1], hub[2], cache)


def _packaged(model: str, cache: Path, *, again: bool = True) -> Base:
    from filelock import FileLock

    folder = cache / model
    if (ready := read_base(folder)) is not None:
        return ready
    failed = cache / f"{model}.unavailable"
    if not again and failed.is_file() and time.time() - failed.stat().st_mtime < _UNAVAILABLE_FOR:
        raise ModelError(f"`{model}` could not be had; `python -m inference prepare` tries again")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{model}.lock"):
            if (ready := read_base(folder)) is not None:  # another process made it while this one waited
                return ready
            try:
                base = make(model, folder)
            except ModelError:
                failed.touch()
                raise
            failed.unlink(missing_ok=True)
            return base
    except OSError as error:
        raise ModelError(f"`{model}` cannot be written to `{cache}`: {error.strerror or error}") from error


def _local(folder: Path, cache: Path, name: str = "", source: str = "") -> Base:
    """A model in a folder that we did not make. Its hash is taken once, and again when a file changed."""
    folder = folder.absolute()
    if (ready := read_base(folder)) is not None and ready.gguf is not None and ready.gguf.is_file():
        return ready  # a copy of a prepared model
    missing = []
    if not (folder / "config.json").is_file():
        missing.append("config.json")
    if not weight_files(folder):
        missing.append("*.safetensors")
    if not any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        missing.append("tokenizer.json")
    if missing:
        raise ModelError(
            f"`{folder}` is not a model in safetensors: no {', no '.join(f'`{name}`' for name in missing)}"
        )
    if not _has_chat_template(folder):
        raise ModelError(
            f"`{folder}` has no chat template (`chat_template.jinja`): take the instruct version of the model"
        )
    ggufs = sorted(folder.glob("*.gguf"))
    base = Base(
        id=_base_id(name or folder.name),
        folder=folder,
        sha256="",
        source=source or str(folder),
        gguf=ggufs[0] if len(ggufs) == 1 else None,
    )
    _ = base.config  # says what is wrong with it
    return base.model_copy(update={"sha256": _cached_sha256(folder, cache)})


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    try:
        return bool(json.loads((folder / "tokenizer_config.json").read_bytes()).get("chat_template"))
    except (OSError, ValueError, AttributeError):
        return False


def _base_id(name: str) -> str:
    """A folder's or a hub's name as an id of ours: `Qwen3-8B` is `qwen3-8b`."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.") or "model"


def _cached_sha256(folder: Path, cache: Path) -> str:
    files = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in weight_files(folder)]
    key = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]
    known = cache / "hashes" / f"{key}.json"
    try:
        found = json.loads(known.read_bytes())
        if found["files"] == files:
            return str(found["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    with progress(f"checking `{folder.name}` (once)", None):
        sha256 = weights_sha256(folder)
    try:
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text(
            json.dumps({"folder": str(folder), "files": files, "sha256": sha256}), encoding="utf-8"
        )
    except OSError as error:
        say(f"`{known}` cannot be written ({error.strerror}); the model will be checked again next time")
    return sha256


def _from_hub(name: str, revision: str | None, cache: Path) -> Base:
    """A model of a hub: data files only, no code."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        folder = snapshot_download(name, revision=revision, allow_patterns=_HUB_FILES)
    except RepositoryNotFoundError as error:
        raise ModelError(f"the hub has no model `{name}`, or it wants a token (`HF_TOKEN`)") from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"the hub cannot be reached for `{name}`, and it was not downloaded before; "
            "`CHATNVL_MODEL` may also name a folder"
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ModelError(f"`{name}` cannot be had from the hub: {str(error).splitlines()[0]}") from error
    return _local(
        Path(folder), cache, name=name.rpartition("/")[2], source=f"{name}@{revision or Path(folder).name}"
    )
