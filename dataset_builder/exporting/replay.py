"""Rows of general ability among the character's own, so that learning her does not unlearn the rest.

In ChatNVL's log of 2023 such rows won back 64 to 89 % of what a character's adapter had lost elsewhere.
"""

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

from dataset_builder.exporting.formats import Row
from dataset_builder.exporting.splits import fraction
from dataset_builder.rows import read_rows
from dataset_builder.schema import Message


class _Given(BaseModel):
    """A row of somebody else's file: `messages`, and whatever else, which is left there."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    messages: tuple[Message, ...]

    @model_validator(mode="after")
    def _takes_turns(self) -> Self:
        roles = [message.role for message in self.messages]
        chat = roles[1:] if roles[:1] == ["system"] else roles
        if not chat or chat != ["user", "assistant"] * (len(chat) // 2):
            raise ValueError("user and assistant do not take turns with an answer last")
        return self


_GIVEN = TypeAdapter(_Given)


def read_replay(path: Path) -> Iterator[Row]:
    """JSONL of `{"messages": [{"role", "content"}, …]}`: one system prompt or none, then user and assistant
    in turn, an answer last.

    The id of a row is a hash of its content. Raises `ScriptError` with the line that is not so.
    """
    for given in read_rows(path, _GIVEN):
        said = "\n".join(f"{message.role}: {message.content}" for message in given.messages)
        name = hashlib.sha256(said.encode()).hexdigest()[:16]
        yield Row(messages=given.messages, dialogue=f"replay-{name}", source="replay")


def mix(rows: Sequence[Row], replay: Iterable[Row], share: float, seed: int) -> list[Row]:
    """`rows` with so many of `replay` spread evenly among them that these are `share` (0 to below 1) of all.

    Which ones is told by their hash. Where too few are there, all of them are taken, and none twice.
    """
    wanted = round(len(rows) * share / (1 - share))
    each_once = {row.id: row for row in replay}.values()
    chosen = heapq.nsmallest(wanted, each_once, key=lambda row: (fraction(seed, row.id), row.id))
    mixed: list[Row] = []
    taken = 0
    for at, row in enumerate(rows, 1):
        mixed.append(row)
        due = at * len(chosen) // len(rows)
        mixed += chosen[taken:due]
        taken = due
    return mixed
