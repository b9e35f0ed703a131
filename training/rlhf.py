"""Reinforcement learning: replies are drawn, rewarded, and the better ones of a prompt made likelier.

    python -m training rlhf parent=characters/maeve/adapters/smollm2-135m/v2 …

GRPO (arXiv 2402.03300) and RLOO (arXiv 2402.14740) draw a group of replies to each prompt and compare them
with one another, so no model of values is needed. What a reply is worth is told by a reward model and by
rules (`reward_rules`); going far from `parent` costs (`kl`). The trainers are TRL's.

Every `save_every` steps the policy is looked at, and the run ends where it learns to please the reward and
not people; `looks` states the rule. A run without any state better than its parent writes no version.
"""

import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from inference.base import Base
from inference.characters import Character, Sampling
from inference.client import Endpoint
from inference.progress import say
from inference.prompt import Said, messages
from training.config import Count, Paths, Positive, RunConfig, Share
from training.data import read_rows, render, split
from training.errors import ConfigError, TrainingError
from training.looks import Watcher, best_of, looks_in, why_stop
from training.made_pairs import Asked, asked_of, laid_over
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
from training.pairs import Conversation
from training.preference import beside_its_parent
from training.prefix import share_prefix
from training.progress import watch
from training.reward import REWARD, RewardModel
from training.reward_rules import MODEL, WEIGHTS, Worth
from training.rollouts import ServerRollouts
from training.run import Run, adapter_state, arguments
from training.version import data_file, version_folder, write_version

PROBES = Path(__file__).parent / "probes"
FAR = 0.5  # nats a token between drawing and learning from which a bad reply teaches nothing any more


class RlhfConfig(RunConfig):
    """`python -m training rlhf`."""

    method: Literal["grpo", "rloo"] = "grpo"
    """How a reply's reward is compared with its group's: divided by the spread, or with the others' mean."""
    reward_model: Path | None = None
    """Unset: her newest, `characters/<id>/rewards/<base>/r<n>`."""
    weights: Annotated[dict[str, float], BeforeValidator(partial(laid_over, WEIGHTS))] = WEIGHTS
    """Of the reward model (`model`, in log-odds) and of the rules, each from 0 to 1: her `language`, her
    usual `length`, no `assistant` phrases, no `repetition`, an `ending`. Those that are not named keep their
    weight."""
    data: Paths = ()
    """Dialogues whose prompts are asked; unset: her `dialogues.jsonl`. Small talk is asked besides."""
    held_out: Share = 0.1
    """Share of the dialogues that is not asked. The same as in `sft` holds out the same ones."""
    looked_at: Count = 24
    """Held-out prompts that are answered at each look."""
    steps: Count = 100
    """Of the optimiser, at most."""
    batch: Count = 8
    """Replies that are learned at once on each device. All of a step are drawn at once, `accumulate` times as
    many."""
    accumulate: Count = 2
    """Batches behind one step of the optimiser."""
    group: Annotated[int, Field(ge=2)] = 8
    """Replies to one prompt."""
    kl: Annotated[float, Field(gt=0)] = 0.04
    """What a nat away from the parent costs, in rewards. Never 0: from afar any reward can be pleased."""
    temperature: Positive = 1.0
    """Of the drawing. Below 1 the replies of a group are too alike to tell which is better."""
    max_tokens: Count = 64
    """Of a reply."""
    max_length: Count = 1536
    """Tokens of a prompt; longer ones are not asked."""
    learning_rate: Positive = 5e-5
    """At its peak."""
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "constant_with_warmup"
    """How the rate falls behind the peak."""
    save_every: Count = 10
    """Steps between looks, and between checkpoints."""
    patience: Count = 3
    """Looks without a new best state until training stops."""
    tolerance: Share = 0.1
    """Share of ability, nearness and manner that may be lost."""
    rollouts: Literal["here", "server"] = "here"
    """Who draws the replies: this process, or the vLLM that `python -m inference serve` has started."""
    server: Endpoint = Endpoint()
    """Where that is, by `server.base_url` and `server.api_key`; unset: on this machine."""
    refresh_every: Count = 4
    """Steps for which the server draws with one state of the adapter. Each takes one of its spare slots."""


def rlhf(config: RlhfConfig) -> Path:
    """Trains and writes a version folder, which is returned. Raises `TrainingError`."""
    _check(config)
    from accelerate import PartialState

    started = time.monotonic()
    base = find_base(config)
    character = find_character(config.character)
    out = version_folder(config, base)
    tokenizer = load_tokenizer(base)
    paths = config.data or (character.folder / "dialogues.jsonl",)
    prompts, held_out, lines = _prompts(config, character, tokenizer, paths)
    files = [data_file(path) for path in paths]
    run = Run(config, config.method, base, character, files)
    with run.claimed(), clear_errors():
        device = device_of(config)
        worth = Worth(_reward_model(config, base), character.language, lines, config.weights)
        model = add_adapter(load_model(base, config), base, config)
        with _known_warnings():
            trainer = _trainer(config)(
                model=model,
                args=_arguments(config, run, device, dtype_of(config, device)),
                reward_funcs=worth.functions(tokenizer),
                train_dataset=_dataset(prompts),
                eval_dataset=_dataset([one.prompt for one in held_out]),
                processing_class=tokenizer,
                **_server(config, character, base, run),
            )
        share_prefix(trainer.model, temperature=config.temperature)
        trainer.voice, trainer.sampling = _voice(model, tokenizer, config)
        trainer.look = Watcher(trainer.voice, worth, character.language, held_out, config.max_tokens)
        watch(trainer, f"{config.method.upper()} of {character.id} on {base.id}")
        checkpoint = run.checkpoint()
        result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        state = adapter_state(trainer)
        if PartialState().is_main_process:
            history = trainer.state.log_history
            if trainer.state.best_global_step is None:
                raise TrainingError(
                    f"no state was better than `{config.parent}` by held-out reward without losing what it "
                    f"could; no version is written, and the curves are in `{run.folder}`. Try a smaller "
                    "`learning_rate`, a larger `kl`, more `steps`, or a better reward model"
                )
            figures = {
                "steps": result.global_step,
                "seconds": time.monotonic() - started,
                "prompts": len(prompts),
                **_gained(history, trainer.state.best_global_step),
            }
            write_version(
                model,
                out,
                state=state,
                base=base,
                character=character,
                config=config,
                stage=config.method,
                data=files,
                figures=figures,
                history=history,
            )
            run.ended(out)
            before, after = figures["reward_before"], figures["reward_after"]
            say(f"{out}: held-out reward {before:.2f} before and {after:.2f} after")
    return out


def _check(config: RlhfConfig) -> None:
    if config.parent is None:
        raise ConfigError("`parent` is missing: the version to go on from, which `sft` has written")
    if config.batch * config.accumulate % config.group:
        raise ConfigError(
            f"`batch` times `accumulate` is {config.batch * config.accumulate}, which is no whole number of "
            f"groups of {config.group} replies; change `group` or `batch`"
        )
    if unknown := set(config.weights) - set(WEIGHTS):
        raise ConfigError(f"`weights`: there is no reward `{min(unknown)}`, but {', '.join(WEIGHTS)}")
    if not any(config.weights.values()):
        raise ConfigError("`weights` are all 0: nothing would be rewarded")
    if config.rollouts == "server" and config.temperature != 1:
        raise ConfigError("`rollouts: server` needs `temperature: 1`, at which its probabilities are given")
    if config.rollouts == "server" and config.method == "rloo":
        raise ConfigError("`rollouts: server` needs `method: grpo`: TRL's RLOO has no place for it")


# --- what is asked -------------------------------------------------------------------------------------


def _prompts(
    config: RlhfConfig, character: Character, tokenizer: Any, paths: Sequence[Path]
) -> tuple[list[Conversation], list[Asked], list[str]]:
    """What is asked, the held-out prompts with her own answers, and all her lines."""
    rows = [row for path in paths for row in read_rows(path, character)]
    learned, unseen = split(rows, config.held_out, config.seed)
    asked = [one.prompt for one in asked_of(learned)]
    talk = PROBES / f"smalltalk.{character.language}.jsonl"
    for line in talk.read_text(encoding="utf-8").splitlines():
        asked.append(tuple(messages(character, [], [Said(text=json.loads(line)["prompt"])])))
    fitting = [
        prompt
        for prompt in dict.fromkeys(asked)
        if len(render(tokenizer, [each.model_dump() for each in prompt], ask=True)) <= config.max_length
    ]
    held_out = asked_of(unseen)[: config.looked_at]
    if len(fitting) < config.batch * config.accumulate // config.group or not held_out:
        raise TrainingError(
            f"{len(fitting)} prompts to ask and {len(held_out)} held out are too few; give more rows in "
            "`data`, or raise `max_length`"
        )
    return fitting, held_out, [answer for row in rows for answer in row.answers]


def _dataset(prompts: Sequence[Conversation]) -> Any:
    from datasets import Dataset

    return Dataset.from_list([{"prompt": [message.model_dump() for message in prompt]} for prompt in prompts])


# --- what a reply is worth -----------------------------------------------------------------------------


def _reward_model(config: RlhfConfig, base: Base) -> RewardModel | None:
    if not config.weights.get(MODEL):
        return None
    folder = config.reward_model
    if folder is None:
        folders = config.character / "rewards" / base.id
        there = [each for each in folders.glob("r*") if REWARD.fullmatch(each.name)]
        if not there:
            raise ConfigError(
                f"there is no reward model in `{folders}`: train one by `python -m training reward`, name "
                "one by `reward_model`, or set `weights.model` to 0 to reward by rules alone"
            )
        folder = max(there, key=lambda each: int(each.name[1:]))
    return RewardModel.load(folder, base, config)


def _gained(history: Sequence[Mapping[str, Any]], best: int) -> dict[str, float]:
    looks = looks_in(history)
    after = next(look for look in looks if look.step == best)
    figures = {"best_step": float(best), "reward_before": looks[0].reward, "reward_after": after.reward}
    for name in after.probes:
        figures |= {f"{name}_before": looks[0].probes[name], f"{name}_after": after.probes[name]}
    away = [entry["kl"] for entry in history if "kl" in entry and entry["step"] <= best]
    return figures | ({"kl": away[-1]} if away else {})


# --- TRL -----------------------------------------------------------------------------------------------


@contextmanager
def _known_warnings() -> Iterator[None]:
    """TRL warns of vLLM's version, though not TRL talks with it, and that `rollout_func` may change; its own
    version is fixed. What it imports is old in places."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "TRL currently supports vLLM")
        warnings.filterwarnings("ignore", "You are using 'rollout_func'")
        yield


def _arguments(config: RlhfConfig, run: Run, device: str, dtype: Any) -> Any:
    from trl import GRPOConfig, RLOOConfig

    common = {
        **arguments(config, run, device, dtype),
        "max_steps": config.steps,
        "num_generations": config.group,
        "max_completion_length": config.max_tokens,
        "temperature": config.temperature,
        "beta": config.kl,
        "reward_weights": [weight for weight in config.weights.values() if weight],
        "eval_strategy": "steps",
        "eval_steps": config.save_every,
        "eval_on_start": True,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_held_reward",
        "greater_is_better": True,
    }
    # A group is drawn for one optimiser step; evaluation is ours and draws no groups.
    common["per_device_eval_batch_size"] = config.group
    if config.method == "rloo":
        return RLOOConfig(**common)
    if config.rollouts == "server":
        common["off_policy_mask_threshold"] = FAR
    return GRPOConfig(**common)


def _server(config: RlhfConfig, character: Character, base: Base, run: Run) -> dict[str, Any]:
    if config.rollouts == "here":
        return {}
    return {
        "rollout_func": ServerRollouts(
            config.server,
            character,
            base,
            run.folder / "rollouts",
            max_tokens=config.max_tokens,
            refresh_every=config.refresh_every,
        )
    }


def _voice(model: Any, tokenizer: Any, config: RlhfConfig) -> tuple[Any, Sampling]:
    from training.voice import Voice

    drawn = Sampling(
        temperature=config.temperature, top_p=1, repetition_penalty=1, max_tokens=config.max_tokens
    )
    return Voice(model, tokenizer), drawn


def _trainer(config: RlhfConfig) -> Any:
    from trl import GRPOTrainer, RLOOTrainer

    kind = beside_its_parent(GRPOTrainer if config.method == "grpo" else RLOOTrainer)

    class Rewarded(kind):
        """Draws replies with the card read once for all of them, and is looked at from outside."""

        voice: Any = None
        sampling: Any = None
        look: Any = None

        def _generate_single_turn(self, prompt_ids: list[list[int]], *_: Any, **__: Any) -> Any:
            drawn = self.voice.continued(prompt_ids, self.sampling)
            return (drawn, None) if config.method == "grpo" else drawn

        def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
            looks = looks_in(self.state.log_history)
            if not looks or looks[-1].step != self.state.global_step:  # a resumed run has this one already
                self.model.eval()
                began = time.monotonic()
                look = self.look(self.state.global_step)
                seen = {"eval_reward": look.reward, "eval_seconds": time.monotonic() - began}
                self.log(seen | {f"eval_{name}": value for name, value in look.probes.items()})
                self.model.train()
                looks.append(look)
            figures = {"eval_reward": looks[-1].reward, "eval_held_reward": float("-inf")}
            if best_of(looks, config.tolerance) is looks[-1]:
                figures["eval_held_reward"] = looks[-1].reward
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, figures)
            if why := why_stop(looks, config.tolerance, config.patience):
                say(why)
                self.control.should_training_stop = True
            return figures

    return Rewarded
