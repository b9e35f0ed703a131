"""A reward model: a number for each reply, higher for the better one.

    python -m training reward --config training/configs/cpu.yaml character=characters/maeve

A sequence classifier with one output, learned from pairs by Bradley and Terry's model: the probability that
one reply is better than another is the sigmoid of the difference of their rewards. The trainer is TRL's. It
is written as an adapter and a head, a few megabytes beside the base, and is merged when it is loaded::

    characters/<id>/rewards/<base>/r<n>/
        adapter_config.json  adapter_model.safetensors    PEFT's, the head among the weights
        version.json                                      the manifest, as of an adapter version
        reward.json                                       how often it is right, by kind of pair, and how sure
        history.jsonl                                     the curves

Of the held-out dialogues, one half chooses the best state and the temperature, the other half is measured.
"""

import json
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.adapters import VERSION_FILE
from inference.base import Base
from inference.characters import Character
from inference.manifest import DataFile
from inference.progress import say
from training.base_replies import BaseReplies
from training.calibration import Accuracy, Calibration, accuracy, calibration, temperature_of
from training.config import Count, LoraConfig, ModelConfig, Positive, RunConfig
from training.data import split
from training.errors import ConfigError, TrainingError
from training.made_pairs import PairsConfig, gather
from training.model import (
    check_parent,
    clear_errors,
    device_of,
    dtype_of,
    find_base,
    find_character,
    load_model,
    load_tokenizer,
    peft_config,
    resume_adapter,
)
from training.pairs import Conversation, Preference, by_weight, ids_of, pairs_of_votes, recent
from training.prefix import share_prefix
from training.progress import watch
from training.run import Run, adapter_state, arguments, stop_early
from training.version import HISTORY, data_file, manifest_of, write_adapter

REPORT = "reward.json"
REWARD = re.compile(r"r[1-9][0-9]{0,5}")
FEWEST = 16  # pairs on each side: with less, nothing is learned and nothing measured


class RewardConfig(RunConfig):
    """`python -m training reward`."""

    pairs: PairsConfig = PairsConfig(unseen=300)
    parent: Path | None = None
    """A reward model's folder to go on from, with new votes for instance; unset: a new one."""
    out: Path | None = None
    """The folder to write; unset: the next free `characters/<id>/rewards/<base>/r<n>`."""
    lora: LoraConfig = LoraConfig(rank=8)
    card: bool = False
    """Whether it reads the card before each conversation. It judges one character, whose card is always the
    same, and without it judging is several times as fast."""
    centre: Annotated[float, Field(ge=0)] = 0.01
    """Pull of the rewards' mean towards 0 (arXiv 2312.09244), so that rewards of two runs can be compared."""
    context: Count = 192
    """Tokens of a conversation that it reads, the reply among them, and at least the last turn: older turns
    tell little about a reply, and each token takes megabytes while learning."""
    batch: Count = 4
    """Pairs a step on each device."""
    epochs: Positive = 1
    """How often each pair is learned, at most. Reward models overfit in the second round."""
    patience: Count = 3
    """Looks at held-out pairs that may bring nothing better before training stops."""


class RewardReport(BaseModel):
    """`reward.json`: all of it on held-out pairs that chose nothing."""

    model_config = ConfigDict(frozen=True)

    character: str
    base: str
    card_sha256: str
    overall: Accuracy
    kinds: dict[str, Accuracy]
    """By what is wrong with the worse reply; `given` and `vote` are people's own."""
    calibration: Calibration
    chosen_mean: float
    """The mean reward of the better replies, in log-odds."""
    rejected_mean: float


def reward(config: RewardConfig) -> Path:
    """Trains and writes a reward model; its folder is returned. Raises `TrainingError`."""
    from accelerate import PartialState

    started = time.monotonic()
    base = find_base(config)
    character = find_character(config.character)
    out = _folder(config, base)
    # What the base says is drawn by one process and kept; the others read it.
    with PartialState().main_process_first(), clear_errors():
        pairs = gather(config.pairs, character, config.seed, BaseReplies(config, base))
    learned = by_weight(pairs.learned + pairs_of_votes(pairs.votes, config.seed), config.seed)
    unseen = pairs.held_out + pairs_of_votes(pairs.held_out_votes, config.seed)
    choosing, measured = split(unseen, 0.5, config.seed + 1)
    if len(learned) < FEWEST or min(len(choosing), len(measured)) < FEWEST:
        raise TrainingError(
            f"{len(learned)} pairs to learn and {len(unseen)} held out are too few: it takes {FEWEST} and "
            f"twice as many; raise `pairs.made` and `pairs.unseen`, or give more rows in `pairs.data`"
        )
    files = [data_file(path) for path in pairs.files]
    tokenizer = load_tokenizer(base)
    run = Run(config, "reward", base, character, files)
    with run.claimed(), clear_errors():
        device = device_of(config)
        trainer = _trainer()(
            model=_with_adapter(classifier(base, config, tokenizer), base, config),
            args=_arguments(config, run, device, dtype_of(config, device)),
            train_dataset=_dataset(tokenizer, learned, config),
            eval_dataset=_dataset(tokenizer, choosing, config),
            processing_class=tokenizer,
            callbacks=[stop_early(config.patience)],
        )
        share_prefix(trainer.model)
        watch(trainer, f"reward model of {character.id} on {base.id}")
        checkpoint = run.checkpoint()
        result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        figures = {
            "steps": result.global_step,
            "seconds": time.monotonic() - started,
            "pairs": len(learned),
            "held_out_pairs": len(unseen),
            "best_step": trainer.state.best_global_step or result.global_step,
        }
        state = adapter_state(trainer)
        if PartialState().is_main_process:
            history = trainer.state.log_history
            _write(
                trainer.model,
                state,
                out,
                config,
                base,
                character,
                files,
                figures,
                history,
                choosing,
                measured,
            )
            run.ended(out)
            report = read_report(out)
            say(
                f"{out}: {report.overall.value:.0%} of {report.overall.n} held-out pairs right "
                f"({report.overall.low:.0%} to {report.overall.high:.0%})"
            )
    return out


def read_report(folder: Path) -> RewardReport:
    """Raises `TrainingError`."""
    try:
        return RewardReport.model_validate_json((folder / REPORT).read_bytes())
    except OSError as error:
        raise TrainingError(f"`{folder}` is no reward model: `{REPORT}` cannot be read") from error
    except ValidationError as error:
        raise TrainingError(f"`{folder / REPORT}` is wrong: {error.errors()[0]['msg']}") from error


class RewardModel:
    """Rewards of replies, in log-odds: the sigmoid of a difference is how probably the one is better.

    `model` is a sequence classifier with one output; `temperature` is what its output is divided by.
    """

    def __init__(self, model: Any, tokenizer: Any, *, card: bool, temperature: float, context: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.card = card
        self.temperature = temperature
        self.context = context
        self.rows = 16  # conversations side by side
        share_prefix(model)

    @classmethod
    def load(cls, folder: Path, base: Base, config: ModelConfig) -> Self:
        """The reward model in `folder`. Raises `TrainingError` for one of another base."""
        report = read_report(folder)
        return cls._load(folder, base, config, report.calibration.temperature)

    @classmethod
    def _load(cls, folder: Path, base: Base, config: ModelConfig, temperature: float) -> Self:
        from peft import PeftModel

        manifest = check_parent(folder, base)
        tokenizer = load_tokenizer(base)
        model = PeftModel.from_pretrained(classifier(base, config, tokenizer), str(folder))
        if config.quantise == "none":
            model = model.merge_and_unload()
        return cls(
            model.eval().requires_grad_(False),
            tokenizer,
            card=bool(manifest.config.get("card")),
            temperature=temperature,
            context=int(manifest.config.get("context", 192)),
        )

    def score(self, prompts: Sequence[Conversation], replies: Sequence[str]) -> list[float]:
        """The reward of each reply to the prompt at its place. An empty reply is one, too."""
        import torch

        ids = [
            _ids(self.tokenizer, prompt, reply, self.card, self.context)
            for prompt, reply in zip(prompts, replies, strict=True)
        ]
        rewards = [0.0] * len(ids)
        order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
        padding = self.tokenizer.pad_token_id
        with torch.inference_mode():
            for first in range(0, len(order), self.rows):
                batch = order[first : first + self.rows]
                longest = max(len(ids[at]) for at in batch)
                given = [ids[at] + [padding] * (longest - len(ids[at])) for at in batch]
                there = [[1] * len(ids[at]) + [0] * (longest - len(ids[at])) for at in batch]
                logits = self.model(
                    input_ids=torch.tensor(given, device=self.model.device),
                    attention_mask=torch.tensor(there, device=self.model.device),
                    use_cache=False,
                ).logits
                for at, value in zip(batch, logits[:, 0].float().tolist(), strict=True):
                    rewards[at] = value / self.temperature
        return rewards

    def margins(self, pairs: Sequence[Preference]) -> list[float]:
        """Of each pair, the reward of the better reply less that of the worse."""
        chosen = self.score([pair.prompt for pair in pairs], [pair.chosen for pair in pairs])
        rejected = self.score(
            [pair.rejected_prompt or pair.prompt for pair in pairs], [pair.rejected for pair in pairs]
        )
        return [better - worse for better, worse in zip(chosen, rejected, strict=True)]


def classifier(base: Base, config: ModelConfig, tokenizer: Any) -> Any:
    """The base with a head of one output instead of words; all rewards are 0 before anything is learned.

    The head computes in float32: in bfloat16 two good replies would often get the very same reward.
    Raises `TrainingError` for a base that has no such form.
    """
    import torch

    model = load_model(base, config, kind="AutoModelForSequenceClassification", num_labels=1)
    if not isinstance(getattr(model, "score", None), torch.nn.Linear):
        raise TrainingError(f"`{base.id}` has no sequence classifier with a `score` head; take another base")
    # The classifier of transformers judges at the last token that is not this one.
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    model.score = model.score.float()
    torch.nn.init.zeros_(model.score.weight)
    model.score.register_forward_pre_hook(_in_its_precision)
    return model


def _in_its_precision(head: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].to(head.weight.dtype),)


def _with_adapter(model: Any, base: Base, config: RewardConfig) -> Any:
    from peft import get_peft_model

    if config.parent is not None:
        return resume_adapter(model, config.parent, base)
    return get_peft_model(model, peft_config(config.lora, model, "SEQ_CLS", modules_to_save=["score"]))


def _folder(config: RewardConfig, base: Base) -> Path:
    """Where it goes: `config.out`, or the next free number. Raises `TrainingError` if it exists."""
    if config.out is None:
        folders = config.character / "rewards" / base.id
        taken = [int(each.name[1:]) for each in folders.glob("r*") if REWARD.fullmatch(each.name)]
        return folders / f"r{max(taken, default=0) + 1}"
    if config.out.exists():
        raise TrainingError(f"`{config.out}` exists, and is never written twice; take the next number")
    if not REWARD.fullmatch(config.out.name) or config.out.absolute().parent.name != base.id:
        raise ConfigError(
            f"`out` is `{config.out}`; a reward model's folder is `<character>/rewards/{base.id}/r<n>`, "
            "which names the base it belongs to"
        )
    return config.out


def _dataset(tokenizer: Any, pairs: Sequence[Preference], config: RewardConfig) -> Any:
    from datasets import Dataset

    rows = []
    for pair in pairs:
        worse = pair.rejected_prompt or pair.prompt
        chosen = _ids(tokenizer, pair.prompt, pair.chosen, config.card, config.context)
        rejected = _ids(tokenizer, worse, pair.rejected, config.card, config.context)
        length = max(len(chosen), len(rejected))
        rows.append({"chosen_ids": chosen, "rejected_ids": rejected, "margin": pair.margin, "length": length})
    return Dataset.from_list(rows)


def _ids(tokenizer: Any, prompt: Conversation, reply: str, card: bool, context: int) -> list[int]:
    head = prompt[:1] if prompt[0].role == "system" else ()
    said, _ = recent(tokenizer, prompt[len(head) :], [reply], context)
    return ids_of(tokenizer, (*head, *said) if card else said, reply)


def _arguments(config: RewardConfig, run: Run, device: str, dtype: Any) -> Any:
    from trl import RewardConfig as Arguments

    return Arguments(
        **arguments(config, run, device, dtype),
        num_train_epochs=config.epochs,
        max_length=None,  # conversations are cut already, by turns
        train_sampling_strategy="group_by_length",
        center_rewards_coefficient=config.centre or None,
        eval_strategy="steps",
        eval_steps=config.save_every,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
    )


def _trainer() -> Any:
    from trl import RewardTrainer

    class BradleyTerryTrainer(RewardTrainer):
        def create_model_card(self, *arguments: Any, **options: Any) -> None:
            """Checkpoints are nobody's to read; the folder that is written has a manifest."""

    return BradleyTerryTrainer


def _write(
    model: Any,
    state: Mapping[str, Any],
    out: Path,
    config: RewardConfig,
    base: Base,
    character: Character,
    files: Sequence[DataFile],
    figures: Mapping[str, float],
    history: Sequence[Mapping[str, Any]],
    choosing: Sequence[Preference],
    measured: Sequence[Preference],
) -> None:
    """Writes `out`, whole or not at all. What is measured is what was written, read again."""
    staged = out.parent / ".unfinished" / out.name
    shutil.rmtree(staged.parent, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        sha256 = write_adapter(model, state, staged, base)
        manifest = manifest_of(config, base, character, "reward", files, figures, sha256)
        (staged / VERSION_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        lines = "".join(json.dumps(entry) + "\n" for entry in history)
        (staged / HISTORY).write_text(lines, encoding="utf-8")
        read_again = RewardModel._load(staged, base, config, 1.0)
        report = _measure(read_again, choosing, measured, base, character)
        (staged / REPORT).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        staged.rename(out)
    finally:
        shutil.rmtree(staged.parent, ignore_errors=True)


def _measure(
    model: RewardModel,
    choosing: Sequence[Preference],
    measured: Sequence[Preference],
    base: Base,
    character: Character,
) -> RewardReport:
    temperature = temperature_of(model.margins(choosing))
    chosen = model.score([pair.prompt for pair in measured], [pair.chosen for pair in measured])
    margins = model.margins(measured)
    kinds: dict[str, list[float]] = {}
    for pair, margin in zip(measured, margins, strict=True):
        kinds.setdefault(pair.kind, []).append(margin)
    better = sum(chosen) / len(chosen)
    return RewardReport(
        character=character.id,
        base=base.id,
        card_sha256=character.card_hash,
        overall=accuracy(margins),
        kinds={kind: accuracy(of_kind) for kind, of_kind in sorted(kinds.items())},
        calibration=calibration(margins, temperature),
        chosen_mean=better / temperature,
        rejected_mean=(better - sum(margins) / len(margins)) / temperature,
    )
