"""A loaded model that speaks and judges: replies to conversations, and how probable it finds given words.

Evaluation, the probes during training and the sweep use it. A conversation's first messages (the card) are
computed once for all conversations that begin with them.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dataset_builder.schema import Message
from inference.characters import Sampling
from training.batches import pack, tensors
from training.data import IGNORED, Tokens, ending_tokens, render

Conversation = Sequence[Message]
PACK = 1024  # tokens of rows read as one sequence, beside what they share


@dataclass(frozen=True, slots=True)
class Score:
    """How probable given words are: the sum of their natural log-probabilities, over `tokens` tokens."""

    log_probability: float
    tokens: int

    @property
    def loss(self) -> float:
        """Mean negative log-probability a token, in nats; e to its power is the perplexity."""
        return -self.log_probability / max(1, self.tokens)


def together(scores: Sequence[Score]) -> Score:
    """One score over all words."""
    return Score(sum(each.log_probability for each in scores), sum(each.tokens for each in scores))


class Voice:
    """`model` is transformers' or PEFT's causal language model, `tokenizer` its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, *, rows: int = 32) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.rows = rows  # conversations side by side

    def replies(
        self, conversations: Sequence[Conversation], sampling: Sampling, *, seed: int = 0
    ) -> list[str]:
        """What is answered to each conversation, which ends with a user's message. Temperature 0 is greedy.

        The same seed gives the same replies on the same machine.
        """
        import torch

        rendered = [
            render(self.tokenizer, [message.model_dump() for message in each], ask=True)
            for each in conversations
        ]
        answered: dict[int, str] = {}
        state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        try:
            for group in _by_card(conversations):
                new = self.continued([rendered[at] for at in group], sampling)
                answered |= zip(group, map(self.text_of, new), strict=True)
        finally:
            torch.random.set_rng_state(state)
        return [answered[at] for at in range(len(conversations))]

    def continued(self, rows: Sequence[list[int]], sampling: Sampling) -> list[list[int]]:
        """New tokens behind each row of ids, with the one that ends them if it came."""
        found: dict[int, list[int]] = {}
        order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
        with self._reading():
            begun = self._begin(rows)
            for first in range(0, len(order), self.rows):
                batch = order[first : first + self.rows]
                new = self._continue([rows[at] for at in batch], copy.deepcopy(begun), sampling)
                found |= zip(batch, new, strict=True)
        return [found[at] for at in range(len(rows))]

    def text_of(self, ids: Sequence[int]) -> str:
        """What an answer's ids say."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def _begin(self, rows: Sequence[list[int]]) -> Any:
        """The cache of what all rows begin with, a batch of one."""
        import torch
        from transformers import DynamicCache

        cache = DynamicCache(config=self.model.config)
        if shared := _shared(rows):
            ids = torch.tensor([rows[0][:shared]], device=self.model.device)
            self.model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return cache

    def _continue(self, rows: Sequence[list[int]], cache: Any, sampling: Sampling) -> list[list[int]]:
        """One batch of `continued`; `cache` holds what the rows begin with."""
        import torch
        from transformers import GenerationConfig

        device, padding = self.model.device, self.tokenizer.pad_token_id
        shared = cache.get_seq_length()
        longest = max(len(row) for row in rows)
        # The padding stands between what all share and what each says.
        ids = torch.tensor([row[:shared] + [padding] * (longest - len(row)) + row[shared:] for row in rows])
        seen = torch.tensor(
            [[1] * shared + [0] * (longest - len(row)) + [1] * (len(row) - shared) for row in rows]
        )
        if shared:
            cache.batch_repeat_interleave(len(rows))
        ends = ending_tokens(self.tokenizer)
        drawn = sampling.temperature > 0
        config = GenerationConfig(
            do_sample=drawn,
            **({"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0} if drawn else {}),
            max_new_tokens=sampling.max_tokens,
            pad_token_id=padding,
            eos_token_id=sorted(ends),
        )
        out = self.model.generate(
            input_ids=ids.to(device),
            attention_mask=seen.to(device),
            past_key_values=cache,
            generation_config=config,
            logits_processor=[_penalty(sampling.repetition_penalty, rows)],
        )
        return [_ended(row, ends) for row in out[:, longest:].tolist()]

    def scores(self, rows: Sequence[Tokens]) -> list[Score]:
        """How probable the learned tokens of each row are."""
        import torch

        found: list[Score | None] = [None] * len(rows)
        order = sorted(range(len(rows)), key=lambda at: (rows[at].ids[: rows[at].prefix], len(rows[at].ids)))
        with self._reading():
            for batch in self._packs(rows, order):
                packed = pack(
                    [
                        {"input_ids": rows[at].ids, "labels": rows[at].labels, "prefix": rows[at].prefix}
                        for at in batch
                    ]
                )
                targets = torch.tensor([at for at, label in enumerate(packed.labels) if label != IGNORED])
                if not len(targets):
                    continue
                inputs = {name: value.to(self.model.device) for name, value in tensors(packed).items()}
                labels = inputs.pop("labels")[0, targets]
                # What predicts a token stands right before it, in the same row.
                logits = self.model(**inputs, logits_to_keep=targets - 1, use_cache=False).logits[0].float()
                log_probabilities = torch.log_softmax(logits, -1).gather(1, labels[:, None])[:, 0].cpu()
                owners = torch.tensor(packed.row)[targets]
                for place, at in enumerate(batch):
                    own = log_probabilities[owners == place]
                    found[at] = Score(own.sum().item(), len(own))
        return [each or Score(0.0, 0) for each in found]

    def _packs(self, rows: Sequence[Tokens], order: Sequence[int]) -> Iterator[list[int]]:
        """Places in `order` that are read as one sequence: attention looks at every pair of its tokens."""
        chosen: list[int] = []
        length = 0
        for at in order:
            own = len(rows[at].ids) - rows[at].prefix
            if chosen and (len(chosen) == self.rows or length + own > PACK):
                yield chosen
                chosen, length = [], 0
            chosen.append(at)
            length += own
        if chosen:
            yield chosen

    def text_scores(self, texts: Sequence[str]) -> list[Score]:
        """How probable plain texts are, without any chat template; the first token is given."""
        rows = []
        for text in texts:
            ids = list(self.tokenizer(text, add_special_tokens=True)["input_ids"])
            rows.append(Tokens(ids, [IGNORED, *ids[1:]], 0))
        return self.scores(rows)

    def answer_scores(self, pairs: Sequence[tuple[Conversation, str]]) -> list[Score]:
        """How probable each answer is behind its conversation, without the token that would end it."""
        rows = []
        for conversation, answer in pairs:
            before = render(self.tokenizer, [message.model_dump() for message in conversation], ask=True)
            after = list(self.tokenizer(answer, add_special_tokens=False)["input_ids"])
            rows.append(Tokens(before + after, [IGNORED] * len(before) + after, len(before)))
        return self.scores(rows)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Without gradients and dropout; a model in training goes on training behind it."""
        import torch

        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.model.train(training)

    @contextmanager
    def without_adapter(self) -> Iterator["Voice"]:
        """The bare base model, for a comparison. `model` must be PEFT's."""
        with self.model.disable_adapter():
            yield self


def _by_card(conversations: Sequence[Conversation]) -> Iterator[list[int]]:
    """Places of the conversations that have one card, or none."""
    cards: dict[str, list[int]] = {}
    for at, each in enumerate(conversations):
        cards.setdefault(each[0].content if each[0].role == "system" else "", []).append(at)
    yield from cards.values()


def _penalty(penalty: float, prompts: Sequence[list[int]]) -> Callable[[Any, Any], Any]:
    """The repetition penalty as vLLM reckons it, of the tokens of the prompt and of the answer so far.

    That of transformers would count the padding too, and padding may be the token that ends an answer.
    """
    import torch

    start = max(map(len, prompts))

    def lower(ids: Any, scores: Any) -> Any:
        if penalty == 1:
            return scores
        said = torch.zeros_like(scores, dtype=torch.bool)
        for at, prompt in enumerate(prompts):
            said[at, prompt] = True
        said.scatter_(1, ids[:, start:], True)
        return torch.where(said, torch.where(scores > 0, scores / penalty, scores * penalty), scores)

    return lower


def _shared(rows: Sequence[list[int]]) -> int:
    """How many tokens all rows begin with, at least one short of the shortest: a model must read one."""
    first, last = min(rows), max(rows)
    most = min(len(row) for row in rows) - 1
    return next((at for at in range(most) if first[at] != last[at]), most)


def _ended(ids: list[int], ends: frozenset[int]) -> list[int]:
    """Up to the first token that ends an answer; behind it there is padding."""
    return ids[: next((at + 1 for at, id_ in enumerate(ids) if id_ in ends), len(ids))]
