"""What all rows of a batch begin with is read once, in TRL's preference and RL trainers too.

Every prompt of a character begins with the same card, most of its tokens. `share_prefix` puts a layer over a
model's forward pass: a padded batch is laid out as `training.batches` does it, the common beginning once and
the rows behind it, and what TRL asks for is handed back in the padded batch's places. The head reads the
positions that predict something alone, where TRL's own reads all of them on a CPU. Loss and gradients are the
same.
"""

import functools
from collections.abc import Sequence
from typing import Any

from training.batches import Packed, pack, tensors
from training.data import IGNORED

WORTH = 0.7  # of a padded batch's tokens: with more left, little is saved


def share_prefix(model: Any, *, temperature: float = 1.0) -> None:
    """`model` is what a trainer of TRL's has made ready, PEFT's or a sequence classifier; logits are divided
    by `temperature`, as the trainer has it."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    forward = base.forward

    @functools.wraps(type(base).forward)  # `generate` checks its arguments against this signature
    def shared(*args: Any, **kwargs: Any) -> Any:
        rows = _rows(kwargs) if kwargs.get("fused_lm_head") or hasattr(base, "score") else None
        if rows is None:
            return forward(*args, **kwargs)
        packed = pack(rows)
        if hasattr(base, "score"):
            return _rewards(base, packed)
        return _log_probabilities(base, packed, kwargs["labels"], temperature)

    base.forward = shared


def _rows(inputs: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The batch without padding, as `pack` takes it; None where sharing does not pay."""
    ids, seen = inputs.get("input_ids"), inputs.get("attention_mask")
    if ids is None or seen is None or seen.dim() != 2 or len(ids) < 2:
        return None
    labels = inputs.get("labels")
    rows = []
    for at, (own, there) in enumerate(zip(ids, seen.bool(), strict=True)):
        marks = own if labels is None else labels[at]
        rows.append({"input_ids": own[there].tolist(), "labels": marks[there].tolist()})
    prefix = _common([row["input_ids"] for row in rows])
    if labels is not None:
        # The token that predicts the first label stays the row's own.
        prefix = max(0, min(prefix, *(_first(row["labels"]) - 1 for row in rows)))
    left = prefix + sum(len(row["input_ids"]) - prefix for row in rows)
    # Attention takes memory for each pair of tokens in a sequence, and one sequence is longer than each row.
    worth = left <= WORTH * ids.numel() and left**2 <= ids.numel() * ids.shape[1]
    return [row | {"prefix": prefix} for row in rows] if worth else None


def _common(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with; each keeps one of its own."""
    first, last = min(rows), max(rows)
    most = min(len(row) for row in rows) - 1
    return next((at for at in range(most) if first[at] != last[at]), most)


def _first(labels: Sequence[int]) -> int:
    return next((at for at, label in enumerate(labels) if label != IGNORED), len(labels))


def _hidden(base: Any, packed: Packed) -> Any:
    """The last layer's output, [length, width], and where each label stands in it."""
    inputs = {name: value.to(base.device) for name, value in tensors(packed).items() if name != "labels"}
    return base.base_model(**inputs, use_cache=False).last_hidden_state[0]


def _rewards(base: Any, packed: Packed) -> Any:
    """A sequence classifier's output: each row is judged at its last token."""
    import torch
    from transformers.modeling_outputs import SequenceClassifierOutputWithPast

    ends = {row: at for at, row in enumerate(packed.row) if row >= 0}
    places = torch.tensor([ends[row] for row in sorted(ends)], device=base.device)
    return SequenceClassifierOutputWithPast(logits=base.score(_hidden(base, packed)[places]))


def _log_probabilities(base: Any, packed: Packed, labels: Any, temperature: float) -> Any:
    """TRL's output of a fused head: each field is [rows, length - 1], and 0 where nothing is predicted."""
    import torch
    from trl.trainer.utils import FusedCausalLMOutput

    there = labels[:, 1:] != IGNORED
    places = torch.tensor(
        [at for at, label in enumerate(packed.labels) if label != IGNORED],
        dtype=torch.long,
        device=base.device,
    )
    # What predicts a token stands right before it, in the same row.
    hidden = _hidden(base, packed)[places - 1]
    logits = base.get_output_embeddings()(hidden).float() / temperature
    wanted = labels[:, 1:][there]
    every = torch.log_softmax(logits, -1)
    with torch.no_grad():
        entropy = -(every.exp() * every).sum(-1)
        mean, best = logits.mean(-1), logits.argmax(-1) == wanted

    def placed(values: Any) -> Any:
        # Stays connected to the model when nothing is predicted, so that `backward` has something to walk.
        return values.new_zeros(there.shape).masked_scatter(there, values)

    return FusedCausalLMOutput(
        log_probs=placed(every.gather(1, wanted[:, None])[:, 0]),
        entropy=placed(entropy),
        mean_logits=placed(mean),
        is_top1=placed(best),
        label_mask=there,
    )
