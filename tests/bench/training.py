"""What a step of ours costs beside TRL's own trainer, in one run.

    python -m tests.bench.training [--base smollm2-135m] [--character maeve] [--steps 12]

Three processes hold the same base and the same new adapter: TRL's SFTTrainer as it is and ours, both with
rows of about one length side by side, so that they see the same batches in the same order; and ours with the
card once a batch, which is what it takes by itself. They take turns, a step each, and only one computes at a
time: what else the machine does hits all of them alike. A step is all from one batch to the next, logging and
progress too; checkpoints and looks at held-out rows are left out. The first step of each is not counted.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from training.model import (
    add_adapter,
    device_of,
    dtype_of,
    find_base,
    find_character,
    load_model,
    load_tokenizer,
)
from training.progress import watch
from training.run import arguments
from training.sft import SftConfig, character_trainer, dataset, rows_of

ROOT = Path(__file__).parents[2]
KINDS = {"trl": "TRL, padded", "padded": "ours, padded", "shared": "ours, shared"}


@dataclass
class Measured:
    """A process's steps: seconds, loss, tokens of the rows and places computed for them, of each."""

    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    epoch_tokens: int = 0
    epoch_places: int = 0
    peak: float = 0.0  # MB

    @property
    def speed(self) -> float:
        """Tokens of rows a second, over the counted steps."""
        counted = self.tokens[1 : len(self.seconds) + 1]
        return sum(counted) / sum(self.seconds)


def train(kind: str, config: SftConfig, steps: int, pipe: Connection) -> None:
    """A process: one of `KINDS`, which takes a step whenever it is told to."""
    from transformers import TrainerCallback
    from transformers.utils.logging import disable_progress_bar
    from trl import SFTConfig, SFTTrainer

    disable_progress_bar()
    base, character = find_base(config), find_character(config.character)
    rows = rows_of(config, character)[0]
    tokenizer, device = load_tokenizer(base), device_of(config)
    measured = Measured()

    class Turns(TrainerCallback):
        """Waits before each step for its turn, and tells how long the one before took."""

        began = 0.0

        def on_step_begin(self, *arguments: Any, **_: Any) -> None:
            self._tell()
            pipe.recv()
            self.began = time.perf_counter()

        def on_log(self, arguments: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" in logs:
                measured.losses.append(logs["loss"])

        def on_train_end(self, *arguments: Any, **_: Any) -> None:
            self._tell()

        def _tell(self) -> None:
            pipe.send(time.perf_counter() - self.began if self.began else 0.0)

    with tempfile.TemporaryDirectory(prefix="cnv") as folder:
        place: Any = SimpleNamespace(folder=Path(folder))
        same = arguments(config, place, device, dtype_of(config, device)) | {"save_strategy": "no"}
        trainer = (SFTTrainer if kind == "trl" else character_trainer())(
            model=add_adapter(load_model(base, config), base, config),
            args=SFTConfig(
                **same,
                max_steps=steps + 1,
                max_length=None,
                train_sampling_strategy="random" if kind == "shared" else "group_by_length",
            ),
            train_dataset=dataset(tokenizer, rows, config.max_length),
            processing_class=tokenizer,
            callbacks=[Turns()],
        )
        trainer.data_collator = _counted(kind, trainer.data_collator, measured)
        if kind != "trl":
            watch(trainer, KINDS[kind])
        with redirect_stdout(StringIO()):  # TRL's trainer prints every log
            trainer.train()
        measured.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        _count_an_epoch(trainer, measured)
    pipe.send(measured)


def _counted(
    kind: str, collator: Callable[..., dict[str, Any]], measured: Measured
) -> Callable[..., dict[str, Any]]:
    from training.batches import collate

    inner = collate if kind == "shared" else collator

    def counted(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        batch = inner(rows)
        measured.tokens.append(sum(len(row["input_ids"]) for row in rows))
        measured.places.append(batch["input_ids"].numel())
        return batch

    return counted


def _count_an_epoch(trainer: Any, measured: Measured) -> None:
    """All batches of an epoch without a model; the steps alone would be too few to tell of padding."""
    before = len(measured.tokens)
    for _ in trainer.get_train_dataloader():
        pass
    measured.epoch_tokens = sum(measured.tokens[before:])
    measured.epoch_places = sum(measured.places[before:])
    del measured.tokens[before:], measured.places[before:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="smollm2-135m", help="as for `sft` (default: smollm2-135m)")
    parser.add_argument("--character", default="maeve", help="folder below characters/ (default: maeve)")
    parser.add_argument("--steps", type=int, default=12, help="steps of each to measure (default: 12)")
    parser.add_argument("--batch", type=int, default=8, help="rows a step (default: 8)")
    given = parser.parse_args()
    if given.steps < 1:
        parser.error("`--steps` is at least 1")
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # those whose turn it is not must not spin
    config = SftConfig(character=ROOT / "characters" / given.character, base=given.base, batch=given.batch)
    found = measure(config, given.steps)
    for line in lines(found):
        print(line)


def measure(config: SftConfig, steps: int) -> dict[str, Measured]:
    """The processes take turns, the other way round every second time."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for kind in KINDS:
        pipes[kind], there = context.Pipe()
        processes.append(context.Process(target=train, args=(kind, config, steps, there), daemon=True))
        processes[-1].start()
        there.close()  # or nobody would notice that the process died
        pipes[kind].recv()  # it is ready; one after the other, or all of them load at once
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for step in range(steps + 1):
        for kind in list(KINDS)[:: -1 if step % 2 else 1]:
            pipes[kind].send("go")
            seconds[kind].append(pipes[kind].recv())
    found = {}
    for kind, pipe in pipes.items():
        found[kind] = pipe.recv()
        found[kind].seconds = seconds[kind][1:]
    for process in processes:
        process.join()
    return found


def lines(found: dict[str, Measured]) -> list[str]:
    trl, padded, shared = (found[kind] for kind in KINDS)

    def step(of: Measured) -> float:
        return statistics.median(of.seconds)

    def more(than_trl: Measured) -> str:
        return f"{100 * (than_trl.peak / trl.peak - 1):+.1f} %"

    def places(of: Measured) -> float:
        return of.epoch_places / of.epoch_tokens

    # Of the same batch in both, one right behind the other.
    ratio = statistics.median(ours / bare for ours, bare in zip(padded.seconds, trl.seconds, strict=True))
    waste = 100 * (1 - 1 / places(padded))
    apart = max(abs(ours - bare) for ours, bare in zip(padded.losses, trl.losses, strict=True))
    theirs = statistics.median(trl.seconds)
    rows = [
        f"a step, TRL's trainer, padded   {theirs:8.2f} s   median of {len(trl.seconds)}",
        f"a step, ours, padded            {step(padded):8.2f} s   ratio {ratio:.2f} (at most 1.05)",
        f"a step, ours, shared            {step(shared):8.2f} s   ratio {step(shared) / theirs:.2f}",
        f"peak memory, TRL's, padded      {trl.peak:8.0f} MB",
        f"peak memory, ours, padded       {padded.peak:8.0f} MB  {more(padded)} (within 5 %)",
        f"peak memory, ours, shared       {shared.peak:8.0f} MB  {more(shared)}",
        f"padding, rows grouped by length {waste:8.1f} %   of an epoch's places (at most 15)",
        f"places for a token of rows      {places(padded):8.2f}     padded, {places(shared):.2f} shared",
        f"losses of TRL's and ours, apart {apart:8.4f}     at most, over the same batches",
    ]
    rows += [f"tokens of rows a second, {KINDS[kind]:<13}{each.speed:8.0f}" for kind, each in found.items()]
    return rows


if __name__ == "__main__":
    main()
