"""What a reply is worth: a reward model's word, and rules that need no model.

Each rule gives 1 to a reply that keeps to it and 0 to one that does not, or something in between. They stand
beside the reward model because a policy finds what that one never saw: another language, a reply without
end, the same words again and again.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataset_builder.checks import wrong_language
from dataset_builder.schema import Message
from training.data import ending_tokens
from training.metrics import assistant_phrases, repetition, usual_length
from training.pairs import Conversation
from training.reward import RewardModel

PHRASES = Path(__file__).parent / "probes" / "assistant_phrases.json"
MODEL = "model"  # the reward model's name among the rewards
WEIGHTS = {MODEL: 1.0, "language": 1.0, "length": 0.5, "assistant": 1.0, "repetition": 1.0, "ending": 0.5}

Rule = Callable[[str, bool], float]
"""Of a reply's text, and whether it came to its end."""


def rules(language: str, lines: Sequence[str]) -> Mapping[str, Rule]:
    """The rules for a character who speaks `language`, by name; `lines` are her own, which show how long her
    replies are."""
    shortest, longest = usual_length(lines)
    phrases = assistant_phrases(PHRASES)[language]

    def in_language(text: str, ended: bool) -> float:
        return float(bool(text) and wrong_language(text, language) is None)

    def length(text: str, ended: bool) -> float:
        return near(len(text), shortest, longest)

    def assistant(text: str, ended: bool) -> float:
        return float(bool(text) and phrases.search(text) is None)

    def not_repeated(text: str, ended: bool) -> float:
        return 1 - repetition(text, language) if text else 0.0

    def ending(text: str, ended: bool) -> float:
        return float(ended)

    return {
        "language": in_language,
        "length": length,
        "assistant": assistant,
        "repetition": not_repeated,
        "ending": ending,
    }


def near(length: int, shortest: int, longest: int) -> float:
    """1 between `shortest` and `longest`, falling to 0 for nothing said and for twice the longest."""
    if length < shortest:
        return length / shortest
    if length > longest:
        return max(0.0, 2 - length / longest)
    return 1.0


class Worth:
    """The rewards of replies, each with its weight."""

    def __init__(
        self, model: RewardModel | None, language: str, lines: Sequence[str], weights: Mapping[str, float]
    ) -> None:
        """`model` may be None where its weight is 0."""
        self.model = model
        self.rules = rules(language, lines)
        self.weights = {name: weight for name, weight in weights.items() if weight}

    def one(
        self, name: str, prompts: Sequence[Conversation], replies: Sequence[str], ended: Sequence[bool]
    ) -> list[float]:
        """One reward of each reply, without its weight."""
        if name == MODEL:
            assert self.model is not None
            return self.model.score(prompts, replies)
        return [self.rules[name](reply, end) for reply, end in zip(replies, ended, strict=True)]

    def total(
        self, prompts: Sequence[Conversation], replies: Sequence[str], ended: Sequence[bool]
    ) -> list[float]:
        """The weighted sum for each reply."""
        columns = [
            [weight * value for value in self.one(name, prompts, replies, ended)]
            for name, weight in self.weights.items()
        ]
        return [sum(values) for values in zip(*columns, strict=True)]

    def functions(self, tokenizer: Any) -> list[Callable[..., list[float]]]:
        """As TRL calls them, in the order of `weights`."""
        ends = ending_tokens(tokenizer)
        return [self._function(name, ends) for name in self.weights]

    def _function(self, name: str, ends: frozenset[int]) -> Callable[..., list[float]]:
        def reward(prompts: Any, completions: Any, completion_ids: Any, **_: Any) -> list[float]:
            asked = [tuple(Message.model_validate(each) for each in prompt) for prompt in prompts]
            replies = [completion[0]["content"].strip() for completion in completions]
            ended = [bool(ids) and ids[-1] in ends for ids in completion_ids]
            return self.one(name, asked, replies, ended)

        reward.__name__ = name  # TRL logs it under this name
        return reward
