"""Supervised fine-tuning: the character learns her own answers.

    python -m training sft --config training/configs/cpu.yaml character=characters/maeve

Her dialogues and, by share, rows of general ability are rendered by the base's own chat template; the loss is
on answers alone. Every `save_every` steps the held-out dialogues and a probe of general ability are looked
at; the version written is the best of them by held-out loss among those that kept the ability. Training stops
when `patience` looks brought nothing better. The trainer is TRL's; `CharacterTrainer` says what is different.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from inference.characters import Character
from inference.manifest import DataFile
from inference.progress import say
from training.ability import Ability, ability, has_lost
from training.batches import additive, collate
from training.config import Count, Paths, Positive, RunConfig, Share
from training.data import Row, read_rows, replay, split, tokens_of, wrong_language_rows
from training.errors import ConfigError, TrainingError
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
from training.progress import watch
from training.run import Run, adapter_state, arguments, stop_early
from training.version import data_file, version_folder, write_version

PROBES = Path(__file__).parent / "probes"
KEPT = ("eval_loss", "eval_ability", "eval_style")  # of the best look, in the manifest
FEWEST = 8  # learned rows: with less there is nothing to hold out, and one batch is all
SHARED = 48  # tokens of a common system message from which holding it once a batch pays


class SftConfig(RunConfig):
    """`python -m training sft`."""

    data: Paths = ()
    """Files of rows; unset: her `dialogues.jsonl`. A data set's `train.jsonl` goes too."""
    held_out: Share = 0.1
    """Share of the dialogues that is not learned and tells how she does on what is new."""
    evaluation: Paths = ()
    """Files of held-out rows instead of a share."""
    replay: Paths = ()
    """Files with rows of general ability; unset: our own, `training/probes/replay.*.jsonl`."""
    replay_share: Share = 0.2
    """Of all rows: general questions, learned along so that what the base can do stays."""
    foreign: Literal["refuse", "drop", "keep"] = "refuse"
    """What happens to rows in which she answers in a language that is not hers."""
    epochs: Positive = 3
    """How often each row is learned, at most."""
    patience: Count = 3
    """Looks at the held-out rows that may bring nothing better before training stops."""
    ability_limit: Share = 0.05
    """Share of general ability that may be lost; a state that lost more, and more than chance takes away, is
    never the best one."""
    probe: bool = True
    """Look at general ability and style during training, not only at the held-out loss."""
    layout: Literal["auto", "shared", "packed", "padded"] = "auto"
    """How rows become a batch. `shared`: her card once, the rows behind it (see `batches`); `packed`: TRL's
    packing, which needs a GPU with FlashAttention; `padded`: rows of about one length side by side."""


def sft(config: SftConfig) -> Path:
    """Trains and writes a version folder, which is returned. Raises `TrainingError`."""
    from accelerate import PartialState

    started = time.monotonic()
    base = find_base(config)
    character = find_character(config.character)
    out = version_folder(config, base)
    learned, held_out, files = rows_of(config, character)
    tokenizer = load_tokenizer(base)
    train = dataset(tokenizer, learned, config.max_length)
    unseen = dataset(tokenizer, held_out, config.max_length)
    run = Run(config, "sft", base, character, files)
    with run.claimed(), clear_errors():
        device = device_of(config)
        model = add_adapter(load_model(base, config), base, config)
        layout = _layout(config, train["prefix"], device)
        trainer = character_trainer()(
            model=model,
            args=_arguments(config, run, device, dtype_of(config, device), layout),
            train_dataset=train,
            eval_dataset=unseen,
            processing_class=tokenizer,
            data_collator=collate if layout == "shared" else None,
            callbacks=[stop_early(config.patience)],
        )
        watch(trainer, f"{character.id} on {base.id}")
        if config.probe:
            trainer.probe = _probe(model, tokenizer, character, held_out)
            trainer.ability_limit = config.ability_limit
        checkpoint = run.checkpoint()
        result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        history = trainer.state.log_history
        figures = {
            "steps": result.global_step,
            "seconds": time.monotonic() - started,
            "tokens": sum(len(ids) for ids in train["input_ids"]) * (trainer.state.epoch or 0),
            "rows": len(learned),
            "held_out_rows": len(held_out),
            **_best(history, trainer.state.best_global_step),
        }
        state = adapter_state(trainer)
        if PartialState().is_main_process:
            write_version(
                model,
                out,
                state=state,
                base=base,
                character=character,
                config=config,
                stage="sft",
                data=files,
                figures=figures,
                history=history,
            )
            run.ended(out)
            loss, step = figures["eval_loss"], figures["best_step"]
            say(f"{out}: held-out loss {loss:.3f} at step {step:.0f}")
    return out


def rows_of(config: SftConfig, character: Character) -> tuple[list[Row], list[Row], list[DataFile]]:
    """What is learned, replay rows among it, what is held out, and the files that both came from."""
    paths = config.data or (character.folder / "dialogues.jsonl",)
    own = _own_language([row for path in paths for row in read_rows(path, character)], config, character)
    if config.evaluation:
        learned, held_out = own, [row for path in config.evaluation for row in read_rows(path, character)]
    else:
        learned, held_out = split(own, config.held_out, config.seed)
    if len(learned) < FEWEST or not held_out:
        raise TrainingError(
            f"{len(learned)} rows to learn and {len(held_out)} held out are too few: at least {FEWEST} and "
            "1 it takes, and a character wants some 300 exchanges"
        )
    general = config.replay or tuple(sorted(PROBES.glob("replay.*.jsonl")))
    count = round(len(learned) * config.replay_share / max(1e-9, 1 - config.replay_share))
    if config.replay_share >= 1:
        raise ConfigError("`replay_share` is 1: nothing of hers would be learned")
    others = [row for path in general for row in read_rows(path)] if count else []
    learned += replay(others, count, config.seed)
    files = (*paths, *config.evaluation, *(general if count else ()))
    return learned, held_out, [data_file(path) for path in files]


def _own_language(rows: list[Row], config: SftConfig, character: Character) -> list[Row]:
    if config.foreign == "keep":
        return rows
    foreign = wrong_language_rows(rows, character.language)
    if foreign and config.foreign == "refuse":
        row, why = foreign[0]
        raise TrainingError(
            f"`{row.path}`, line {row.line}: her answer is {why}"
            + (f", and {len(foreign) - 1} more rows" if len(foreign) > 1 else "")
            + ". Set `foreign: drop` to leave such rows out, or `keep` to learn them"
        )
    if foreign:
        say(f"{len(foreign)} rows in another language are left out")
    wrong = {id(row) for row, _ in foreign}
    return [row for row in rows if id(row) not in wrong]


def dataset(tokenizer: Any, rows: Sequence[Row], max_length: int) -> Any:
    """A data set of `input_ids`, `labels` and `prefix`, see `data.Tokens`."""
    from datasets import Dataset

    tokens = [tokens_of(tokenizer, row, max_length) for row in rows]
    return Dataset.from_dict(
        {
            "input_ids": [each.ids for each in tokens],
            "labels": [each.labels for each in tokens],
            "prefix": [each.prefix for each in tokens],
        }
    )


def _layout(config: SftConfig, prefixes: Sequence[int], device: str) -> str:
    from transformers.utils import is_flash_attn_2_available

    if config.layout == "packed" and not (device == "cuda" and is_flash_attn_2_available()):
        raise ConfigError("`layout: packed` needs a GPU and `pip install flash-attn`; leave it at `auto`")
    if config.layout != "auto":
        return config.layout
    if sum(prefixes) >= SHARED * len(prefixes):
        return "shared"
    return "packed" if device == "cuda" and is_flash_attn_2_available() else "padded"


def _arguments(config: SftConfig, run: Run, device: str, dtype: Any, layout: str) -> Any:
    from trl import SFTConfig

    return SFTConfig(
        **arguments(config, run, device, dtype),
        num_train_epochs=config.epochs,
        max_length=None,  # rows are cut already, by turns
        packing=layout == "packed",
        eval_packing=False,
        train_sampling_strategy="group_by_length" if layout == "padded" else "random",
        eval_strategy="steps",
        eval_steps=config.save_every,
        load_best_model_at_end=True,
        metric_for_best_model="eval_kept_loss",
        greater_is_better=False,
    )


def _best(history: Sequence[Mapping[str, Any]], step: int | None) -> dict[str, float]:
    """The figures of the state that is written."""
    looks = [entry for entry in history if "eval_loss" in entry]
    best = next((entry for entry in looks if entry["step"] == step), looks[-1] if looks else {"step": 0})
    return {"best_step": best["step"], **{key: best[key] for key in KEPT if key in best}}


def _probe(model: Any, tokenizer: Any, character: Character, held_out: Sequence[Row]) -> Any:
    from training.metrics import rouge1
    from training.voice import Voice

    voice = Voice(model, tokenizer)
    greedy = character.sampling.model_copy(update={"temperature": 0.0, "max_tokens": 48})
    language = character.language
    asked = held_out[:12]

    def look() -> tuple[Ability, float]:
        replies = voice.replies([row.messages[: row.learned[0]] for row in asked], greedy)
        style = [rouge1(reply, row.answers[0], language) for reply, row in zip(replies, asked, strict=True)]
        return ability(voice, [language]), fmean(style)

    return look


def character_trainer() -> Any:
    """TRL's SFTTrainer, with two differences.

    The logits of answers alone are computed: TRL's fused head takes all positions, and on a CPU the head is a
    third of the work. And evaluation weighs every token alike, whatever batch it is in, and probes ability.
    """
    import torch
    from torch.nn.functional import cross_entropy
    from trl import SFTTrainer

    class CharacterTrainer(SFTTrainer):
        probe: Any = None
        ability_limit = 1.0
        _ability_before: Ability | None = None

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            if self.args.packing or return_outputs or self.aux_loss_enabled:
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            loss, count, right = self._summed(model, inputs)
            mode = "train" if self.model.training else "eval"
            if mode == "train":
                seen = torch.tensor(inputs["input_ids"].numel(), device=loss.device)
                self._total_train_tokens += int(self.accelerator.gather_for_metrics(seen).sum())
            self._metrics[mode]["num_tokens"] = [self._total_train_tokens]
            self._metrics[mode]["mean_token_accuracy"].append(right / max(1, count))
            loss = loss / (count if num_items_in_batch is None else num_items_in_batch)
            # DDP takes the mean over processes, and `num_items_in_batch` counts the tokens of all.
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                loss = loss * self.accelerator.num_processes
            return loss

        def _summed(self, model: Any, inputs: Mapping[str, Any]) -> tuple[Any, int, int]:
            """Cross-entropy summed over the learned tokens, how many these are, how many were likeliest."""
            labels = inputs["labels"]
            arguments = {
                key: inputs[key] for key in ("input_ids", "attention_mask", "position_ids") if key in inputs
            }
            seen = inputs["attention_mask"]
            if seen.ndim == 4 and seen.device.type == "cpu":
                arguments["attention_mask"] = additive(seen, self.model.dtype)
            # What predicts a token stands right before it. Of a padded batch the columns are kept in which
            # any row learns.
            columns = (labels != -100).any(0).nonzero()[:, 0]
            columns = columns[columns > 0]
            logits = model(**arguments, logits_to_keep=columns - 1, use_cache=False).logits
            wanted = labels[:, columns]
            learned = wanted != -100
            chosen, wanted = logits[learned], wanted[learned]
            loss = cross_entropy(chosen.float(), wanted, reduction="sum")
            return loss, len(wanted), int((chosen.detach().argmax(-1) == wanted).sum())

        def evaluate(
            self, *arguments: Any, metric_key_prefix: str = "eval", **options: Any
        ) -> dict[str, float]:
            # transformers takes the mean over batches, in which long and short ones weigh the same.
            self.model.eval()
            began = time.monotonic()
            summed = torch.zeros(2, dtype=torch.float64, device=self.accelerator.device)
            with torch.no_grad():
                for batch in self.get_eval_dataloader():
                    loss, count, _ = self._summed(self.model, self._prepare_inputs(batch))
                    summed += torch.tensor([loss.item(), count], dtype=torch.float64, device=summed.device)
            summed = self.accelerator.reduce(summed, "sum")
            loss = (summed[0] / summed[1].clamp(min=1)).item()
            figures = {f"{metric_key_prefix}_loss": loss, f"{metric_key_prefix}_kept_loss": loss}
            if self.probe is not None:
                now, style = self.probe()
                if self._ability_before is None:
                    with self.model.disable_adapter():
                        self._ability_before, _ = self.probe()
                figures |= {f"{metric_key_prefix}_ability": now.share, f"{metric_key_prefix}_style": style}
                if has_lost(self._ability_before, now, self.ability_limit):
                    figures[f"{metric_key_prefix}_kept_loss"] = float("inf")
            figures[f"{metric_key_prefix}_seconds"] = time.monotonic() - began
            self.log(dict(figures))
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, figures)
            self.model.train()
            return figures

        def create_model_card(self, *arguments: Any, **options: Any) -> None:
            """Checkpoints are nobody's to read; the version folder has a manifest."""

    return CharacterTrainer
