"""What a person sees of a run: steps, loss, tokens a second, and when it will end."""

import math
import time
from collections.abc import Mapping
from typing import Any

from inference.progress import console, say
from training.errors import TrainingError

LINE_EVERY = 30.0  # seconds between two lines where nobody can see a bar move
SHOWN = ("loss", "eval_loss", "reward", "eval_reward", "kl", "rewards/margins", "eval_ability", "eval_style")


def watch(trainer: Any, what: str) -> None:
    """Shows a run of one of transformers' trainers, and ends it when its loss is no number."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_watcher(what))


def _watcher(what: str) -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        def __init__(self) -> None:
            self._screen = console()
            self._bar: Progress | None = None
            self._task: Any = None
            self._figures: dict[str, float] = {}
            self._began = self._said = time.monotonic()
            self._begin_step = self._begin_tokens = 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._began = self._said = time.monotonic()
            self._begin_step, self._begin_tokens = state.global_step, -1
            if not state.is_world_process_zero:
                return
            if state.global_step:
                say(f"{what}: going on from step {state.global_step} of {state.max_steps}")
            if self._screen.is_terminal:
                columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
                rest = (TimeRemainingColumn(), TextColumn("{task.fields[figures]}"))
                self._bar = Progress(*columns, *rest, console=self._screen, transient=True)
                self._bar.start()
                self._task = self._bar.add_task(
                    what, total=state.max_steps, completed=state.global_step, figures=""
                )
            else:
                say(f"{what}: {state.max_steps} steps …")

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any
        ) -> None:
            numbers = {key: value for key, value in (logs or {}).items() if isinstance(value, int | float)}
            for key in ("loss", "grad_norm"):
                if not math.isfinite(numbers.get(key, 0.0)):
                    self._stop()
                    what_is = key.replace("_", " ")
                    raise TrainingError(
                        f"at step {state.global_step} the {what_is} is no number any more; take "
                        "half the `learning_rate`, a shorter `clip`, or `precision: float32`, and start with "
                        "another `run`. The last good checkpoint is kept"
                    )
            self._figures |= {key: numbers[key] for key in SHOWN if key in numbers}
            if "num_tokens" in numbers:
                if self._begin_tokens < 0:
                    # The first step is not counted: it holds what is compiled and loaded once.
                    self._begin_tokens, self._began = numbers["num_tokens"], time.monotonic()
                elif numbers["num_tokens"] > self._begin_tokens:
                    passed = time.monotonic() - self._began
                    self._figures["tokens/s"] = (numbers["num_tokens"] - self._begin_tokens) / passed
            self._show(state)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._show(state)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._stop()

        def _show(self, state: Any) -> None:
            if not state.is_world_process_zero:
                return
            figures = "  ".join(f"{key} {_short(value)}" for key, value in self._figures.items())
            if self._bar is not None:
                self._bar.update(self._task, completed=state.global_step, figures=figures)
            elif time.monotonic() - self._said >= LINE_EVERY:
                self._said = time.monotonic()
                done = max(1, state.global_step - self._begin_step)
                left = (state.max_steps - state.global_step) * (self._said - self._began) / done
                say(f"{what}: step {state.global_step} of {state.max_steps}, {_clock(left)} left  {figures}")

        def _stop(self) -> None:
            if self._bar is not None:
                self._bar.stop()
                self._bar = None

    return Watcher()


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
