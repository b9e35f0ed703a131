"""Learning from preferences: what people liked becomes likelier, what they did not becomes less so.

    python -m training preference method=kto parent=characters/maeve/adapters/smollm2-135m/v2 …

DPO (arXiv 2305.18290) learns from pairs of replies to one prompt, KTO (arXiv 2402.01306) from single replies
with a thumb up or down. Both go on from a version, `parent`, and measure against it: TRL keeps a frozen copy
of its adapter beside the one that learns. Training stops when held-out loss gets no better, and the best
state is written as a new version.

Of the held-out dialogues, one half chooses the best state, the other half is measured.
"""

import random
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from inference.progress import say
from training.base_replies import BaseReplies
from training.calibration import wilson
from training.config import Count, Positive, RunConfig
from training.data import Row, split, tokens_of
from training.errors import ConfigError, TrainingError
from training.made_pairs import Pairs, PairsConfig, gather
from training.model import (
    add_adapter,
    clear_errors,
    device_of,
    dtype_of,
    find_base,
    find_character,
    load_model,
    load_tokenizer,
)
from training.pairs import Judged, Preference, by_weight, fitted, messages_of, pairs_of_votes, votes_of_pairs
from training.prefix import share_prefix
from training.progress import watch
from training.run import Run, adapter_state, arguments, stop_early
from training.version import data_file, version_folder, write_version

FEWEST = 8  # rows to learn, and held-out pairs in each half


class PreferenceConfig(RunConfig):
    """`python -m training preference`."""

    method: Literal["dpo", "kto"] = "dpo"
    """`dpo` for pairs, `kto` for thumbs; each takes the other's rows too, as far as they can be turned."""
    pairs: PairsConfig = PairsConfig(made=300, unseen=100)
    beta: Positive = 0.1
    """How dear it is to move away from the parent; less moves further."""
    learning_rate: Positive = 5e-5
    """At its peak. A tenth of what supervised learning takes: the parent can already speak."""
    batch: Count = 4
    """Rows at once on each device; of a pair both replies are read, and her card with them."""
    accumulate: Count = 2
    """Batches behind one step of the optimiser."""
    epochs: Positive = 1
    """How often each row is learned, at most."""
    patience: Count = 2
    """Looks at held-out rows that may bring nothing better before training stops."""


def preference(config: PreferenceConfig) -> Path:
    """Trains and writes a version folder, which is returned. Raises `TrainingError`."""
    _check(config)
    from accelerate import PartialState

    started = time.monotonic()
    base = find_base(config)
    character = find_character(config.character)
    out = version_folder(config, base)
    # What the base says is drawn by one process and kept; the others read it.
    with PartialState().main_process_first(), clear_errors():
        pairs = gather(config.pairs, character, config.seed, BaseReplies(config, base))
    learned, choosing, measured = _rows(config, pairs)
    files = [data_file(path) for path in pairs.files]
    tokenizer = load_tokenizer(base)
    run = Run(config, config.method, base, character, files)
    with run.claimed(), clear_errors():
        device = device_of(config)
        trainer = _trainer(config.method)(
            model=add_adapter(load_model(base, config), base, config),
            args=_arguments(config, run, device, dtype_of(config, device), learned),
            train_dataset=_dataset(tokenizer, learned, config.max_length),
            eval_dataset=_dataset(tokenizer, choosing, config.max_length),
            processing_class=tokenizer,
            callbacks=[stop_early(config.patience)],
        )
        share_prefix(trainer.model)
        watch(trainer, f"{config.method.upper()} of {character.id} on {base.id}")
        checkpoint = run.checkpoint()
        result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        state = adapter_state(trainer)
        if PartialState().is_main_process:
            figures = {
                "steps": result.global_step,
                "best_step": trainer.state.best_global_step or result.global_step,
                "seconds": time.monotonic() - started,
                "rows": len(learned),
                "held_out_pairs": len(measured),
                **_measure(trainer.model, tokenizer, measured, config),
            }
            write_version(
                trainer.model,
                out,
                state=state,
                base=base,
                character=character,
                config=config,
                stage=config.method,
                data=files,
                figures=figures,
                history=trainer.state.log_history,
            )
            run.ended(out)
            say(
                f"{out}: of {len(measured)} held-out pairs, the better reply gained on the worse in "
                f"{figures['accuracy']:.0%} ({figures['accuracy_low']:.0%} to {figures['accuracy_high']:.0%})"
            )
    return out


def _check(config: PreferenceConfig) -> None:
    if config.parent is None:
        raise ConfigError("`parent` is missing: the version to go on from, which `sft` has written")
    if config.method == "kto" and config.batch < 2:
        raise ConfigError("`batch` is 1, and KTO compares a batch's rows with one another: take 4 or more")


def _rows(
    config: PreferenceConfig, pairs: Pairs
) -> tuple[list[Preference] | list[Judged], list[Preference] | list[Judged], list[Preference]]:
    """What is learned, what chooses the best state, and the pairs that are measured."""
    unseen = [*pairs.held_out, *pairs_of_votes(pairs.held_out_votes, config.seed)]
    # Whether a reply is better than one to another prompt says nothing about the odds of either.
    choosing, measured = split([pair for pair in unseen if not pair.rejected_prompt], 0.5, config.seed + 1)
    learned: list[Any]
    if config.method == "dpo":
        voted = pairs_of_votes(pairs.votes, config.seed)
        learned = by_weight([pair for pair in pairs.learned + voted if not pair.rejected_prompt], config.seed)
    else:
        learned = kto_rows(by_weight(pairs.votes + votes_of_pairs(pairs.learned), config.seed), config)
        choosing = kto_rows(votes_of_pairs(choosing), config)
    if len(learned) < FEWEST or min(len(choosing), len(measured)) < FEWEST:
        raise TrainingError(
            f"{len(learned)} rows to learn and {len(choosing) + len(measured)} held out are too few: it "
            f"takes {FEWEST} and twice as many; raise `pairs.made` and `pairs.unseen`, or give more rows in "
            "`pairs.data`"
        )
    return learned, choosing, measured


def kto_rows(votes: Sequence[Judged], config: PreferenceConfig) -> list[Judged]:
    """Whole batches in a drawn order. KTO estimates how far the model has moved from each prompt with its
    neighbour's reply: two rows of one prompt side by side would make that nothing."""
    rows = list(votes)
    random.Random(config.seed).shuffle(rows)
    return rows[: len(rows) // config.batch * config.batch]


def _dataset(tokenizer: Any, rows: Sequence[Preference | Judged], max_length: int) -> Any:
    """TRL's columns; a prompt that is too long loses its oldest turns."""
    from datasets import Dataset

    def said(reply: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": reply}]

    found = []
    for row in rows:
        replies = [row.chosen, row.rejected] if isinstance(row, Preference) else [row.reply]
        prompt = fitted(tokenizer, row.prompt, replies, max_length, row)
        given: dict[str, Any] = {"prompt": [message.model_dump() for message in prompt]}
        if isinstance(row, Preference):
            given |= {"chosen": said(row.chosen), "rejected": said(row.rejected)}
        else:
            given |= {"completion": said(row.reply), "label": row.good}
        found.append(given)
    return Dataset.from_list(found)


def _arguments(
    config: PreferenceConfig, run: Run, device: str, dtype: Any, learned: Sequence[Preference | Judged]
) -> Any:
    from trl import DPOConfig, KTOConfig

    common = {
        **arguments(config, run, device, dtype),
        "num_train_epochs": config.epochs,
        "max_length": None,  # conversations are cut already, by turns
        "beta": config.beta,
        "eval_strategy": "steps",
        "eval_steps": config.save_every,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
    }
    if config.method == "dpo":
        return DPOConfig(**common)
    good = sum(row.good for row in learned if isinstance(row, Judged))
    bad = len(learned) - good
    # The rarer kind weighs as much in all as the other one (section 4.2 of the paper).
    return KTOConfig(
        **common | {"per_device_eval_batch_size": config.batch},  # TRL has made up the batches of both so
        train_sampling_strategy="sequential",
        desirable_weight=max(1.0, bad / max(1, good)),
        undesirable_weight=max(1.0, good / max(1, bad)),
    )


def _trainer(method: str) -> Any:
    from trl import DPOTrainer, KTOTrainer

    return beside_its_parent(DPOTrainer if method == "dpo" else KTOTrainer)


def beside_its_parent(kind: Any) -> Any:
    """A trainer of TRL's that goes on from an adapter, of which it keeps a frozen copy named `ref`."""

    class BesideItsParent(kind):
        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            # transformers finds the copy's folder in the checkpoint, and then loads that one alone.
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            model = model or self.model
            model.load_adapter(resume_from_checkpoint, "default", is_trainable=True)
            model.set_adapter("default")

        def create_model_card(self, *arguments: Any, **options: Any) -> None:
            """Checkpoints are nobody's to read; the version folder has a manifest."""

    return BesideItsParent


def _measure(
    model: Any, tokenizer: Any, pairs: Sequence[Preference], config: PreferenceConfig
) -> dict[str, float]:
    """On held-out pairs: how often the better reply gained on the worse (`accuracy`, with its interval), by
    how much (`margin`, in DPO's reward), how often it is the likelier one a token, before and after, and how
    probable better replies are, in nats a token. That last must not rise much: a model may learn a preference
    by finding both replies improbable."""
    from training.voice import Voice

    voice = Voice(model, tokenizer)
    rows = [
        tokens_of(tokenizer, Row(*messages_of(pair.prompt, reply), pair.path, pair.line), config.max_length)
        for pair in pairs
        for reply in (pair.chosen, pair.rejected)
    ]
    after = voice.scores(rows)
    model.set_adapter("ref")
    before = voice.scores(rows)
    model.set_adapter("default")
    gained = [new.log_probability - old.log_probability for new, old in zip(after, before, strict=True)]
    margins = [better - worse for better, worse in zip(gained[::2], gained[1::2], strict=True)]
    right = sum(margin > 0 for margin in margins)
    low, high = wilson(right, len(margins))
    figures = {
        "accuracy": right / len(margins),
        "accuracy_low": low,
        "accuracy_high": high,
        "margin": config.beta * fmean(margins),
    }
    for name, scores in (("before", before), ("after", after)):
        figures[f"prefers_{name}"] = fmean(
            better.loss < worse.loss for better, worse in zip(scores[::2], scores[1::2], strict=True)
        )
        figures[f"chosen_loss_{name}"] = fmean(score.loss for score in scores[::2])
    return figures
