"""A batch that holds each character's card once.

Every row of a character begins with the same system message, three quarters of its tokens. So a batch is one
long sequence: the card, then each dialogue's own part. A dialogue sees the card and itself, at the positions
it would have alone. Loss and gradients are those of a row each, with no padding and a fraction of the work.
(Prefix sharing is what serving does with its cache; here it is an attention mask.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.data import IGNORED


@dataclass(frozen=True)
class Packed:
    """One sequence of `length` tokens. Each list has one entry a token.

    `block` is which card (by its place in the batch) a token belongs to, `row` which row, -1 for the card
    itself. `labels` is what the token is, where it is learned.
    """

    ids: list[int]
    labels: list[int]
    positions: list[int]
    block: list[int]
    row: list[int]


def pack(rows: Sequence[dict[str, Any]]) -> Packed:
    """Rows of `input_ids`, `labels` and `prefix`, those of one prefix side by side behind it."""
    packed = Packed([], [], [], [], [])
    groups: dict[tuple[int, ...], list[int]] = {}
    for at, row in enumerate(rows):
        groups.setdefault(tuple(row["input_ids"][: row["prefix"]]), []).append(at)
    for block, (prefix, members) in enumerate(groups.items()):
        _append(packed, list(prefix), [IGNORED] * len(prefix), 0, block, -1)
        for at in members:
            ids, labels = rows[at]["input_ids"][len(prefix) :], rows[at]["labels"][len(prefix) :]
            _append(packed, ids, labels, len(prefix), block, at)
    return packed


def _append(packed: Packed, ids: list[int], labels: list[int], start: int, block: int, row: int) -> None:
    packed.ids.extend(ids)
    packed.labels.extend(labels)
    packed.positions.extend(range(start, start + len(ids)))
    packed.block.extend([block] * len(ids))
    packed.row.extend([row] * len(ids))


def tensors(packed: Packed) -> dict[str, Any]:
    """What a model of transformers takes, a batch of one.

    `input_ids`, `position_ids` and `labels` are [1, length], `attention_mask` is [1, 1, length, length] and
    True where a token sees another.
    """
    import torch

    block, row = torch.tensor(packed.block), torch.tensor(packed.row)
    seen = (block[:, None] == block[None, :]) & ((row[:, None] == row[None, :]) | (row[None, :] == -1))
    return {
        "input_ids": torch.tensor([packed.ids]),
        "position_ids": torch.tensor([packed.positions]),
        "attention_mask": seen.tril()[None, None],
        "labels": torch.tensor([packed.labels]),
    }


def additive(seen: Any, dtype: Any) -> Any:
    """The mask as what is added to attention's scores, of the same shape.

    On a CPU, PyTorch would make that of a mask of booleans once a layer, and keep each for the way back.
    """
    import torch

    return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)


def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """TRL's `data_collator`."""
    return tensors(pack(rows))
