"""Rows that say which of two replies is better: read, checked, turned into one another, tokenised.

Read from JSON lines, with TRL's column names:

- `{"prompt": […], "chosen": […], "rejected": […]}`: a pair; also `kind`, `margin` (how much better at least,
  in the reward's unit) and `weight` (how often it is drawn, beside 1);
- `{"prompt": […], "completion": […], "label": true}`: one reply and whether it was good, TRL's unpaired row;
- `{"prompt": […], "reply": "…", "vote": "up"}`: the same as a thumb.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from dataset_builder.schema import Message
from inference.characters import Character
from inference.prompt import system_text
from training.data import IGNORED, Row, check_turns, render, tokens_of
from training.errors import RowError
from training.files import json_rows, naming_row

GIVEN, VOTE = "given", "vote"  # kinds of pairs that nobody made

Conversation = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Preference:
    """`chosen` is a better reply to `prompt` than `rejected` is; or than `rejected` is to `rejected_prompt`,
    where that is not empty."""

    prompt: Conversation
    chosen: str
    rejected: str
    kind: str = GIVEN
    margin: float = 0.0
    weight: float = 1.0
    rejected_prompt: Conversation = ()
    path: Path = Path()
    line: int = 0

    @property
    def id(self) -> str:
        return dialogue_id(self.prompt)


@dataclass(frozen=True, slots=True)
class Judged:
    """A reply, and whether somebody found it good."""

    prompt: Conversation
    reply: str
    good: bool
    weight: float = 1.0
    path: Path = Path()
    line: int = 0

    @property
    def id(self) -> str:
        return dialogue_id(self.prompt)


def dialogue_id(prompt: Conversation) -> str:
    """The same for all prompts that begin with the same words of a person: they are one dialogue."""
    first = next((message.content for message in prompt if message.role == "user"), "")
    return sha256(first.encode()).hexdigest()[:16]


# --- rows that are read --------------------------------------------------------------------------------


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True)

    prompt: Conversation
    weight: Annotated[float, Field(gt=0, le=100)] = 1.0


class _Pair(_Given):
    chosen: Conversation
    rejected: Conversation
    kind: Annotated[str, Field(min_length=1)] = GIVEN
    margin: Annotated[float, Field(ge=0, le=100)] = 0.0


class _Labelled(_Given):
    completion: Conversation
    label: StrictBool


class _Thumb(_Given):
    reply: str
    vote: Literal["up", "down"]


def read_feedback(path: Path, character: Character | None = None) -> Iterator[Preference | Judged]:
    """The rows of a file. A prompt without a system message gets the card of `character`.

    Raises `RowError` for the first wrong row, `TrainingError` if the file cannot be read.
    """
    for number, raw in json_rows(path):
        with naming_row(path, number):
            found = _feedback(raw, character)
        yield replace(found, path=path, line=number)


def _feedback(raw: dict[str, Any], character: Character | None) -> Preference | Judged:
    if "chosen" in raw or "rejected" in raw:
        pair = _Pair.model_validate(raw)
        prompt = _prompt(pair.prompt, character)
        chosen = _reply(prompt, pair.chosen, "chosen")
        rejected = _reply(prompt, pair.rejected, "rejected")
        if chosen == rejected:
            raise ValueError("`chosen` and `rejected` are the same; which is better?")
        return Preference(prompt, chosen, rejected, pair.kind, pair.margin, pair.weight)
    if "completion" in raw:
        row = _Labelled.model_validate(raw)
        prompt = _prompt(row.prompt, character)
        return Judged(prompt, _reply(prompt, row.completion, "completion"), row.label, row.weight)
    if "vote" in raw:
        thumb = _Thumb.model_validate(raw)
        prompt = _prompt(thumb.prompt, character)
        reply = _reply(prompt, (Message(role="assistant", content=thumb.reply),), "reply")
        return Judged(prompt, reply, thumb.vote == "up", thumb.weight)
    raise ValueError(
        "it has neither `chosen` and `rejected`, `completion` and `label`, nor `reply` and `vote`"
    )


def _prompt(prompt: Conversation, character: Character | None) -> Conversation:
    if character is not None and prompt and prompt[0].role != "system":
        prompt = (Message(role="system", content=system_text(character)), *prompt)
    return prompt


def _reply(prompt: Conversation, completion: Conversation, name: str) -> str:
    if len(completion) != 1 or completion[0].role != "assistant":
        raise ValueError(f"`{name}` is not one message of the assistant's")
    if not prompt or prompt[-1].role != "user":
        raise ValueError("`prompt` does not end with what a person said")
    check_turns((*prompt, *completion), (len(prompt),))
    return completion[0].content


# --- votes -------------------------------------------------------------------------------------------


def pairs_of_votes(votes: Sequence[Judged], seed: int) -> list[Preference]:
    """Each liked reply against a disliked one: to the same prompt while there are any, then to another.

    A reward model learns one order of all replies, so a pair need not share its prompt (arXiv 2411.04991).
    """
    order = random.Random(seed)
    liked = order.sample([vote for vote in votes if vote.good], sum(vote.good for vote in votes))
    disliked = [vote for vote in votes if not vote.good]
    order.shuffle(disliked)
    found = []
    for same in (True, False):
        for up in liked[:]:
            down = next((each for each in disliked if not same or each.prompt == up.prompt), None)
            if down is None:
                continue
            liked.remove(up)
            disliked.remove(down)
            found.append(
                Preference(
                    up.prompt,
                    up.reply,
                    down.reply,
                    VOTE,
                    weight=min(up.weight, down.weight),
                    rejected_prompt=() if same else down.prompt,
                    path=up.path,
                    line=up.line,
                )
            )
    return found


def votes_of_pairs(pairs: Sequence[Preference]) -> list[Judged]:
    """Both replies of each pair on their own."""
    return [
        Judged(prompt, reply, good, pair.weight, pair.path, pair.line)
        for pair in pairs
        for prompt, reply, good in (
            (pair.prompt, pair.chosen, True),
            (pair.rejected_prompt or pair.prompt, pair.rejected, False),
        )
    ]


Weighted = TypeVar("Weighted", Preference, Judged)


def by_weight(rows: Sequence[Weighted], seed: int) -> list[Weighted]:
    """Each row as often as its weight says; of the rest behind the point, a draw decides."""
    order = random.Random(seed)
    return [row for row in rows for _ in range(int(row.weight + order.random()))]


# --- as the model reads them --------------------------------------------------------------------------


def fitted(
    tokenizer: Any,
    prompt: Conversation,
    replies: Sequence[str],
    max_length: int,
    row: Preference | Judged,
) -> Conversation:
    """`prompt` without its oldest turns, as far as it must be for each reply to fit behind it.

    Raises `RowError` when even the last turn is too long.
    """
    prompt, longest = recent(tokenizer, prompt, replies, max_length)
    if longest > max_length:
        raise RowError(
            row.path,
            row.line,
            f"the last turn has {longest:,} tokens; raise `max_length` ({max_length:,}) or shorten it",
        )
    return prompt


def recent(
    tokenizer: Any, prompt: Conversation, replies: Sequence[str], length: int
) -> tuple[Conversation, int]:
    """The system message, as many of the last turns as fit into `length` tokens with each reply behind them,
    one at least; and how many tokens that are with the longest."""
    measure = partial(render, tokenizer, ask=False)
    head = 1 if prompt[0].role == "system" else 0
    while True:
        chat = [message.model_dump() for message in prompt]
        longest = max(len(measure([*chat, {"role": "assistant", "content": reply}])) for reply in replies)
        if longest <= length or len(prompt) < head + 3:
            return prompt, longest
        prompt = prompt[:head] + prompt[head + 2 :]


def messages_of(prompt: Conversation, reply: str) -> tuple[Conversation, tuple[int]]:
    """The whole conversation, and where the reply stands in it."""
    return (*prompt, Message(role="assistant", content=reply)), (len(prompt),)


def ids_of(tokenizer: Any, prompt: Conversation, reply: str) -> list[int]:
    """Token ids of a conversation up to the token that ends the reply: the place where it is judged."""
    tokens = tokens_of(tokenizer, Row(*messages_of(prompt, reply), Path(), 0), 2**31)
    last = max(at for at, label in enumerate(tokens.labels) if label != IGNORED)
    return tokens.ids[: last + 1]
