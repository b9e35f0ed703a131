"""Reading what a batch begins with once changes neither what TRL is told nor the gradients."""

from collections.abc import Sequence
from typing import Any

import pytest

pytestmark = pytest.mark.slow

FIELDS = ("log_probs", "entropy", "mean_logits", "is_top1")
IGNORED = -100


def config(**options: Any) -> Any:
    from transformers import LlamaConfig

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaConfig(vocab_size=100, num_key_value_heads=2, pad_token_id=0, **sizes, **options)


def rows(shared: int = 40, own: Sequence[int] = (5, 9, 12)) -> list[list[int]]:
    import torch

    torch.manual_seed(1)
    card = torch.randint(1, 100, (shared,)).tolist()
    return [card + torch.randint(1, 100, (length,)).tolist() for length in own]


def batch(rows: Sequence[Sequence[int]], learned: int, side: str) -> dict[str, Any]:
    """Padded as DPO (`right`) and GRPO (`left`) do; the tokens behind the first `learned` are predicted."""
    import torch

    longest = max(map(len, rows))
    columns: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
    for row in rows:
        gap = longest - len(row)
        labels = [IGNORED] * learned + list(row[learned:])
        parts = {
            "input_ids": (list(row), 0),
            "attention_mask": ([1] * len(row), 0),
            "labels": (labels, IGNORED),
        }
        for name, (values, filler) in parts.items():
            padding = [filler] * gap
            columns[name].append(values + padding if side == "right" else padding + values)
    return {name: torch.tensor(values) for name, values in columns.items()}


def adapted(model: Any, **options: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(
        model, LoraConfig(r=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False, **options)
    )


def policy() -> Any:
    import torch
    from transformers import LlamaForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    torch.manual_seed(0)
    model = adapted(LlamaForCausalLM(config()))
    add_fused_lm_head(model.get_base_model(), temperature=0.7, outputs=FIELDS)
    return model


def told(model: Any, inputs: dict[str, Any]) -> tuple[Any, Any]:
    import torch

    model.zero_grad()
    out = model(**inputs, fused_lm_head=True, use_cache=False)
    out.log_probs.sum().backward()
    return out, torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("learned", [43, 40], ids=["behind a question", "right behind the card"])
def test_what_trl_is_told_and_gradients_are_the_same(side: str, learned: int) -> None:
    import torch

    from training.prefix import share_prefix

    model, inputs = policy(), batch(rows(), learned, side)
    padded, gradients = told(model, inputs)
    read: list[int] = []
    share_prefix(model, temperature=0.7)
    model.get_base_model().model.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    shared, others = told(model, inputs)
    for name in FIELDS:
        torch.testing.assert_close(
            getattr(shared, name).float(), getattr(padded, name).float(), atol=1e-5, rtol=1e-5
        )
    torch.testing.assert_close(others, gradients, atol=1e-5, rtol=1e-4)
    assert read[0] < 0.6 * inputs["input_ids"].numel(), "the card was read more than once"


def test_rows_that_share_little_are_read_as_they_are() -> None:
    from training.prefix import share_prefix

    model = policy()
    inputs = batch(rows(shared=1, own=(11, 11, 11)), 6, "right")
    padded, _ = told(model, inputs)
    share_prefix(model, temperature=99.0)
    assert (told(model, inputs)[0].log_probs == padded.log_probs).all()


def test_a_row_of_which_nothing_is_predicted_has_no_gradient() -> None:
    from training.prefix import share_prefix

    model, inputs = policy(), batch(rows(), 43, "right")
    inputs["labels"][:] = IGNORED
    share_prefix(model, temperature=0.7)
    out, gradients = told(model, inputs)
    assert out.log_probs.shape == (3, 51)
    assert not gradients.any()


def test_rewards_are_the_same_at_each_rows_end() -> None:
    import torch
    from transformers import LlamaForSequenceClassification

    from training.prefix import share_prefix

    torch.manual_seed(0)
    model = adapted(
        LlamaForSequenceClassification(config(num_labels=1)), task_type="SEQ_CLS", modules_to_save=["score"]
    )
    inputs = batch(rows(), 0, "right")
    del inputs["labels"]
    padded = model(**inputs, use_cache=False).logits
    share_prefix(model)
    torch.testing.assert_close(model(**inputs, use_cache=False).logits, padded, atol=1e-5, rtol=1e-5)
