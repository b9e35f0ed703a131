"""Train a character: a stage at a time, each by a YAML file and `key=value` behind it.

python -m training sft --config training/configs/cpu.yaml character=characters/maeve
python -m training sft --keys            every key with its meaning
python -m training sft … --dry-run       memory and time, before anything is loaded
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from inference.progress import console
from training.config import RunConfig, keys, load_config
from training.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Stage:
    """A subcommand: `config` and `function` stand in `module`, which is imported when it is wanted."""

    module: str
    function: str
    config: str
    what: str

    def load(self) -> tuple[Any, Any]:
        module = import_module(self.module)
        return getattr(module, self.config), getattr(module, self.function)


STAGES = {
    "sft": Stage("training.sft", "sft", "SftConfig", "learn her own answers: the adapter to begin with"),
    "evaluate": Stage(
        "training.evaluate", "evaluate", "EvaluateConfig", "measure a version beside its base model"
    ),
    "report": Stage("training.report", "report", "ReportConfig", "write what was measured as a page to read"),
    "tune": Stage("training.tune", "tune", "TuneConfig", "try a small grid of settings and explain the best"),
    "reward": Stage("training.reward", "reward", "RewardConfig", "learn from pairs what people like"),
    "preference": Stage(
        "training.preference", "preference", "PreferenceConfig", "go on from votes and pairs: DPO, KTO"
    ),
    "rlhf": Stage("training.rlhf", "rlhf", "RlhfConfig", "go on from rewards: GRPO, RLOO"),
    "parity": Stage(
        "training.parity", "parity", "ParityConfig", "compare a version's words here with those of the server"
    ),
    "benchmark": Stage(
        "training.benchmarks", "benchmark", "BenchmarkConfig", "answer CharacterEval's or RoleBench's tests"
    ),
    "judge": Stage("training.judge", "judge", "JudgeConfig", "let a language model compare replies in pairs"),
    "merge": Stage("training.merge", "merge", "MergeConfig", "write a version and its base as one model"),
    "export-llamafactory": Stage(
        "training.llamafactory",
        "export_llamafactory",
        "ExportLlamaFactoryConfig",
        "write what trains the same thing with LLaMA-Factory",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 it went wrong, 2 the command or configuration is wrong, 130 interrupted."""
    given = _parser().parse_args(argv)
    try:
        config_kind, run = STAGES[given.stage].load()
        if given.keys:
            _print_keys(config_kind)
            return 0
        config = load_config(config_kind, given.config, given.overrides)
        if given.dry_run:
            return _print_estimate(config)
        _quiet()
        run(config)
    except TrainingError as error:
        console().print(str(error), style="red", markup=False)
        return 2 if type(error).__name__ == "ConfigError" else 1
    except KeyboardInterrupt:
        console().print("stopped; the same command goes on from the last checkpoint")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m training", description=__doc__, formatter_class=raw)
    stages = parser.add_subparsers(dest="stage", required=True, metavar="stage")
    for name, stage in STAGES.items():
        own = stages.add_parser(
            name,
            help=stage.what,
            description=f"{name}: {stage.what}.",
            epilog="`--keys` lists every key with its meaning and default.",
        )
        own.add_argument("--config", type=Path, help="a YAML file; training/configs holds some to begin with")
        own.add_argument("--keys", action="store_true", help="explain every key and end")
        own.add_argument("--dry-run", action="store_true", help="say what memory and time it takes, and end")
        own.add_argument("overrides", nargs="*", metavar="key=value", help="laid over the file")
    return parser


def _print_keys(kind: Any) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 1, 0))
    for column in ("key", "default", "meaning"):
        table.add_column(column, overflow="fold")
    for row in keys(kind):
        table.add_row(*row)
    console_of_answers().print(table)


def console_of_answers() -> Any:
    from rich.console import Console

    return Console(highlight=False, markup=False)


def _print_estimate(config: Any) -> int:
    if not isinstance(config, RunConfig):
        console().print("only what trains has a `--dry-run`")
        return 2
    from training.estimate import estimate, lines

    console_of_answers().print("\n".join(lines(estimate(config))))
    return 0


def _quiet() -> None:
    """Libraries' own bars and hints would tear ours."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import logging

    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for name in ("trl", "peft", "accelerate", "datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
