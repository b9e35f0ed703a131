"""Looking at a policy while it learns from rewards, and seeing when it goes wrong.

A policy learns to please its reward model rather than people (arXiv 2210.10760). So its greedy replies to
held-out prompts are looked at by probes that give no reward: general ability, nearness to her own lines, and
how often it does not speak like an assistant. **The rule:** a look *holds* while each probe is within a
tolerance of what it was at the start. The best state is the one with the highest held-out reward among those
that hold, and it must be above the start's. So many looks in a row without a new best one, and the run ends;
whether the reward rose meanwhile while a probe fell, or nothing got better at all, is said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from inference.characters import Sampling
from training.ability import ability
from training.data import ending_tokens, render
from training.made_pairs import Asked
from training.metrics import rouge1
from training.reward_rules import Worth, rules
from training.voice import Voice

PROBES = ("ability", "style", "manner")


@dataclass(frozen=True, slots=True)
class Look:
    """Held-out reward at a step, and what gives no reward."""

    step: int
    reward: float
    probes: Mapping[str, float]


def fallen(look: Look, start: Look, tolerance: float) -> list[str]:
    """The probes that are lower than they may be."""
    return [name for name, value in look.probes.items() if value < start.probes[name] * (1 - tolerance)]


def best_of(looks: Sequence[Look], tolerance: float) -> Look | None:
    """The best state by the rule above; `looks` begin with the start."""
    start, *later = looks
    held = [look for look in later if look.reward > start.reward and not fallen(look, start, tolerance)]
    return max(held, key=lambda look: look.reward, default=None)


def why_stop(looks: Sequence[Look], tolerance: float, patience: int) -> str:
    """Why the run should end now, in words; empty while it should go on."""
    start, best = looks[0], best_of(looks, tolerance)
    since = [look for look in looks if look.step > (best or start).step]
    if len(since) < patience:
        return ""
    hacked = [look for look in since if look.reward > (best or start).reward]
    if hacked:
        lost = ", ".join(fallen(hacked[-1], start, tolerance))
        return f"the held-out reward rises while {lost} falls: it learns to please the reward, not people"
    return f"{patience} looks brought nothing better"


class Watcher:
    """Looks at the policy as it is now."""

    def __init__(
        self, voice: Voice, worth: Worth, language: str, held_out: Sequence[Asked], max_tokens: int
    ) -> None:
        self._voice = voice
        self._worth = worth
        self._language = language
        self._held_out = held_out
        self._max_tokens = max_tokens
        self._manner = rules(language, [one.reply for one in held_out])["assistant"]

    def __call__(self, step: int) -> Look:
        replies, ended = self._answers()
        asked = [one.prompt for one in self._held_out]
        near = [
            rouge1(reply, one.reply, self._language)
            for reply, one in zip(replies, self._held_out, strict=True)
        ]
        probes = {
            "ability": ability(self._voice, [self._language]).share,
            "style": fmean(near),
            "manner": fmean(self._manner(reply, True) for reply in replies),
        }
        return Look(step, fmean(self._worth.total(asked, replies, ended)), probes)

    def _answers(self) -> tuple[list[str], list[bool]]:
        greedy = Sampling(temperature=0, repetition_penalty=1, max_tokens=self._max_tokens)
        ends = ending_tokens(self._voice.tokenizer)
        chats = [[message.model_dump() for message in one.prompt] for one in self._held_out]
        asked = [render(self._voice.tokenizer, chat, ask=True) for chat in chats]
        ids = self._voice.continued(asked, greedy)
        return [self._voice.text_of(each) for each in ids], [bool(each) and each[-1] in ends for each in ids]


def looks_in(history: Sequence[Mapping[str, Any]]) -> list[Look]:
    """The looks that a trainer has logged."""
    return [
        Look(entry["step"], entry["eval_reward"], {name: entry[f"eval_{name}"] for name in PROBES})
        for entry in history
        if "eval_reward" in entry
    ]
