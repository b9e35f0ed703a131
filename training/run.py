"""A training run's folder: what it was started with, its checkpoints, and whether it came to its end.

::

    data/training/<character>-<base>-<stage>/
        run.json                  what it was started with; behind its end, the version it wrote
        checkpoint-<step>/        transformers': the adapter, the optimiser, the curves so far

The same command again goes on from the newest checkpoint that was written to its end.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inference.base import Base
from inference.characters import Character
from inference.manifest import DataFile
from training.config import RunConfig
from training.errors import TrainingError
from training.files import held, write_whole

DEFAULT = Path("data/training")
# What may differ between two parts of one run: it changes nothing that is learned.
FREE = {"run", "out", "threads", "save_every", "report_to"}


class Run:
    """One run of a stage. Use it `with run.claimed():`; only one process may have it."""

    def __init__(
        self,
        config: RunConfig,
        stage: str,
        base: Base,
        character: Character,
        data: Sequence[DataFile],
    ) -> None:
        self.folder = config.run or DEFAULT / f"{character.id}-{base.id}-{stage}"
        self.data = tuple(data)
        self._started = {
            "stage": stage,
            "base": base.sha256,
            "card": character.card_hash,
            "data": {each.path: each.sha256 for each in data},
            "config": config.model_dump(mode="json", exclude=FREE),
        }

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Holds the folder, ready to begin or to go on.

        Raises `TrainingError` where another process holds it, or it has an unfinished run of other settings.
        """
        from accelerate import PartialState

        if not PartialState().is_main_process:
            yield
            return
        with held(self.folder, f"another process trains in `{self.folder}`; name a second run by `run`"):
            self._begin()
            yield

    def _begin(self) -> None:
        before = self._read()
        if before is not None and not before.get("version"):
            different = _different(before, self._started)
            if different and self.checkpoint() is not None:
                raise TrainingError(
                    f"`{self.folder}` holds an unfinished run with other settings ({different}). Give "
                    "those to finish it, name another `run`, or delete the folder"
                )
        if before is None or before.get("version") or _different(before, self._started):
            for checkpoint in self.folder.glob("checkpoint-*"):
                shutil.rmtree(checkpoint)
        self._write(self._started)

    def checkpoint(self) -> Path | None:
        """The newest one that was written to its end: transformers writes its state last."""
        found = sorted(self.folder.glob("checkpoint-*"), key=lambda each: int(each.name.rpartition("-")[2]))
        for folder in reversed(found):
            try:
                json.loads((folder / "trainer_state.json").read_bytes())
            except (OSError, ValueError):
                continue
            return folder
        return None

    def ended(self, version: Path) -> None:
        """Notes the version that the run wrote, and frees the disk of the checkpoints."""
        self._write({**self._started, "version": str(version)})
        for checkpoint in self.folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)

    def _read(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.folder / "run.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _write(self, content: Mapping[str, Any]) -> None:
        write_whole(self.folder / "run.json", json.dumps(content, indent=2) + "\n")


def _different(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first setting that is another one, in words; empty if all are the same."""
    old, new = dict(_flat(before)), dict(_flat(now))
    old.pop("version", None)
    for key in (*new, *old):
        if old.get(key) != new.get(key):
            name = key.removeprefix("config.")
            return f"`{name}` was {old.get(key)} and is {new.get(key)}"
    return ""


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def arguments(config: RunConfig, run: Run, device: str, dtype: Any) -> dict[str, Any]:
    """The keywords that the configurations of all of TRL's trainers share."""
    import torch

    return {
        "output_dir": str(run.folder),
        "per_device_train_batch_size": config.batch,
        "per_device_eval_batch_size": 2 * config.batch,  # without gradients there is room
        "gradient_accumulation_steps": config.accumulate,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.schedule,
        "warmup_steps": config.warmup,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.clip,
        "seed": config.seed,
        "use_cpu": device == "cpu",
        # On a CPU the base is in its own precision already, and autocast would only convert again and again.
        "bf16": device == "cuda" and dtype is torch.bfloat16,
        "fp16": device == "cuda" and dtype is torch.float16,
        "gradient_checkpointing": config.gradient_checkpointing,
        "save_strategy": "steps",
        "save_steps": config.save_every,
        "save_total_limit": 2,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a loss that is no number must be seen; see `progress`
        "report_to": list(config.report_to) or "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": device == "cuda",
    }


def stop_early(patience: int) -> Any:
    """A callback that ends a run when so many looks brought nothing better."""
    from transformers import EarlyStoppingCallback

    return EarlyStoppingCallback(early_stopping_patience=patience)


def adapter_state(trainer: Any) -> dict[str, Any]:
    """The adapter's weights as PEFT stores them, gathered from all processes; each of them must ask."""
    from peft import get_peft_model_state_dict

    whole = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    # Without embeddings, or PEFT asks a hub for the base's configuration.
    return dict(get_peft_model_state_dict(model, state_dict=whole, save_embedding_layers=False))
