"""What a run would need: counted against real models, computed by hand, and said with a remedy."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.base import Base, weight_files
from inference.characters import Character
from inference.tensors import read_header
from tests.conftest import ROOT
from training.config import LoraConfig, RunConfig, load_config
from training.data import read_rows
from training.errors import ConfigError
from training.estimate import (
    ADAMW,
    DEVICES,
    GIB,
    Device,
    Estimate,
    Place,
    Work,
    estimate,
    kept,
    lines,
    memory,
    operations,
    weights,
    work_of,
)
from training.sft import SftConfig
from training.shape import SHAPES, Shape, base_config, shape_of

FAMILIES = ("Llama", "Qwen2", "Qwen3", "Glm4", "Glm")
SMALL_GPU = Device("a GPU", "cuda", 24, 71e12)
EIGHT_BILLION = Shape(
    family="qwen3",
    parameters=8_190_735_360,
    linear=6_945_767_424,
    adapter=43_646_976,
    layers=36,
    hidden=4096,
    vocab=151_936,
    queries=4096,
    keys=1024,
    inner=12_288,
    norms=2 * 4096 + 4096 + 1024,
    inputs=(("q_proj", 4096), ("down_proj", 12_288)),
    rank=16,
)


def run(**settings: Any) -> RunConfig:
    return RunConfig(**({"character": Path("characters/nene"), "base": "x", "device": "cuda"} | settings))


def test_an_eight_billion_base_by_hand() -> None:
    # bfloat16: two bytes each. NF4 with its block scales: 4.127 bits, and embeddings and head in float32.
    assert weights(run(), EIGHT_BILLION, 2) == pytest.approx(16.38e9, rel=1e-3)
    assert weights(run(quantise="4bit"), EIGHT_BILLION, 2) == pytest.approx(3.583e9 + 4.980e9, rel=1e-3)
    parts = memory(run(), EIGHT_BILLION, Work(step=1000, learned=200, longest=100), "cuda", 2)
    assert parts["adapter and AdamW"] == ADAMW * 43_646_976
    assert parts["logits"] == pytest.approx(151_936 * 200 * 14 * 1.1)


def test_checkpointing_keeps_an_input_a_layer_and_one_layer() -> None:
    work = Work(step=1000, learned=200, longest=100)
    whole = memory(run(), EIGHT_BILLION, work, "cuda", 2)["activations"]
    saved = memory(run(gradient_checkpointing=True), EIGHT_BILLION, work, "cuda", 2)["activations"]
    layer = kept(EIGHT_BILLION, work, 2, autocast=True)
    assert whole == pytest.approx(36 * layer * 1.1)
    assert saved == pytest.approx((36 * 4096 * 2 * 1000 + layer) * 1.1)


def test_several_gpus_share_the_base_and_the_adapter_out() -> None:
    work = Work(step=1000, learned=200, longest=100)
    alone = memory(run(), EIGHT_BILLION, work, "cuda", 2)
    four = memory(run(), EIGHT_BILLION, work, "cuda", 2, devices=4)
    assert four["adapter and AdamW"] == alone["adapter and AdamW"] / 4
    assert alone["base"] / 4 < four["base"] < alone["base"] / 3  # two layers at a time are whole
    assert four["activations"] == alone["activations"]


def test_frozen_weights_cost_four_operations_a_token_and_checkpointing_two_more() -> None:
    work = Work(step=100, learned=100, longest=100, epoch=10_000)
    read = 10_000 * (EIGHT_BILLION.linear + 4096 * 151_936)
    assert operations(run(), EIGHT_BILLION, work) == pytest.approx(4 * read, rel=0.01)
    again = operations(run(gradient_checkpointing=True), EIGHT_BILLION, work)
    assert again == pytest.approx(6 * read, rel=0.01)
    attended = Work(step=100, learned=100, longest=100, epoch=10_000, attended=1e9)
    more = operations(run(), EIGHT_BILLION, attended) - operations(run(), EIGHT_BILLION, work)
    assert more == pytest.approx(3.5 * 4 * 1e9 * 4096 * 36)


def test_rows_with_one_card_are_counted_with_the_card_once(character: Character) -> None:
    rows = list(read_rows(character.folder / "dialogues.jsonl", character))
    work = work_of(run(batch=4), rows)
    alone = [work_of(run(batch=1), [row]) for row in rows]
    assert (work.rows, work.shared) == (20, False)  # her card is a line: holding it once does not pay
    assert work.step == 4 * work.longest == 4 * max(each.step for each in alone)
    assert work.epoch == sum(each.epoch for each in alone)


def test_a_long_card_is_held_once(tmp_path: Path) -> None:
    from inference.characters import load_character

    folder = tmp_path / "mei"
    folder.mkdir()
    (folder / "card.json").write_text('{"name": "Mei", "description": "%s"}' % ("a baker " * 100))
    (folder / "dialogues.jsonl").write_text('{"turns": [["hi", "hello there"]]}\n' * 8)
    rows = list(read_rows(folder / "dialogues.jsonl", load_character(folder)))
    one, eight = work_of(run(batch=1), rows), work_of(run(batch=8), rows)
    assert eight.shared
    assert one.step < eight.step < 2 * one.step
    assert eight.epoch < one.epoch / 3


def test_what_does_not_fit_is_said_with_the_first_remedies_that_help() -> None:
    work = Work(step=16 * 1024, learned=16 * 1024, longest=1024)
    config = run(batch=16)
    assert not Place(SMALL_GPU, memory(config, EIGHT_BILLION, work, "cuda", 2), 0).fits
    from training.estimate import _place

    place = _place(config, EIGHT_BILLION, work, 1.0, SMALL_GPU)
    assert "gradient_checkpointing" in place.remedy
    assert "`quantise: 4bit`" in place.remedy
    batch = int(place.remedy.partition("`batch: ")[2].partition("`")[0])
    better = run(batch=batch, quantise="4bit", gradient_checkpointing=True)
    share = Work(step=batch * 1024, learned=batch * 1024, longest=1024)
    assert Place(SMALL_GPU, memory(better, EIGHT_BILLION, share, "cuda", 2), 0).fits
    found = Estimate("x", "nowhere", EIGHT_BILLION, work, config, 1.0, (place,))
    assert not found.fits
    said = "\n".join(lines(found))
    assert "does not fit" in said
    assert place.remedy in said


@pytest.mark.slow
def test_an_unknown_base_is_an_error_that_names_the_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match=r"`models/nothing-here`.*`qwen3-8b`"):
        base_config("models/nothing-here")


@pytest.mark.slow
class TestOnRealModels:
    @pytest.mark.parametrize(
        ("name", "published"),
        [
            ("qwen3-4b", 4_022_468_096),
            ("qwen3-8b", 8_190_735_360),
            ("qwen3-14b", 14_768_307_200),
            ("llama-3.1-8b-instruct", 8_030_261_248),
            ("glm-4-9b-0414", 9_400_279_040),
            ("internlm3-8b-instruct", 8_804_241_408),
        ],
    )
    def test_shapes_have_the_published_number_of_weights(self, name: str, published: int) -> None:
        modules = ("q_proj", "v_proj")
        raw, source = base_config(f"somebody/{name}")
        assert f"{name}.json" in source
        assert shape_of(raw, run(lora=LoraConfig(modules=modules))).parameters == published

    @pytest.mark.parametrize("name", sorted(path.stem for path in SHAPES.glob("*.json")))
    def test_every_shape_is_a_model_of_transformers(self, name: str) -> None:
        raw, _ = base_config(name)
        shape = shape_of(raw, run(lora=LoraConfig(modules=("all-linear",))))
        assert 0 < shape.adapter < shape.linear < shape.parameters

    @pytest.mark.parametrize("family", FAMILIES)
    @pytest.mark.parametrize("lora", [LoraConfig(modules=("all-linear",)), LoraConfig(rank=8, layers=("1",))])
    def test_weights_are_counted_exactly(
        self, family: str, lora: LoraConfig, tiny_base: Callable[..., Base]
    ) -> None:
        from peft import get_peft_model
        from transformers import AutoModelForCausalLM

        from training.model import peft_config

        base = tiny_base(family)
        shape = shape_of(base_config(str(base.folder))[0], run(lora=lora))
        tensors = [each for path in weight_files(base.folder) for each in read_header(path).values()]
        assert shape.parameters == sum((each.end - each.begin) // 4 for each in tensors)
        real = get_peft_model(
            AutoModelForCausalLM.from_pretrained(base.folder), peft_config(lora, base_model(base))
        )
        assert shape.adapter == real.get_nb_trainable_parameters()[0]

    @pytest.mark.parametrize("family", FAMILIES)
    @pytest.mark.parametrize("shared", [False, True])
    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_what_a_forward_pass_keeps(
        self, family: str, shared: bool, precision: str, tiny_base: Callable[..., Base]
    ) -> None:
        import torch

        base = tiny_base(family)
        config = run(lora=LoraConfig(modules=("all-linear",)), precision=precision)
        shape = shape_of(base_config(str(base.folder))[0], config)
        real = saved_bytes(base, config, getattr(torch, precision), rows=3, length=64, shared=shared)
        step = 3 * 64
        width = 4 if precision == "float32" else 2
        work = Work(step, step, 64, shared=shared)
        mask = width * step**2 if shared else 0
        assert shape.layers * kept(shape, work, width) + mask == pytest.approx(real, rel=0.08)

    def test_it_is_said_for_a_person(self, character: Character, tiny_base: Callable[..., Base]) -> None:
        base = tiny_base()
        rows = list(read_rows(character.folder / "dialogues.jsonl", character))
        config = RunConfig(character=character.folder, base=str(base.folder), device="cpu")
        found = estimate(config, rows)
        said = lines(found)
        assert found.fits
        assert found.work.source == "the rows' own tokens"
        assert said[0].startswith(f"{base.folder}: 0.0 million weights, 2 layers, from {base.folder}")
        assert any(line.startswith("this machine's CPU: ") and "about 1 min" in line for line in said)
        assert said[-1].startswith("time = epochs x tokens x (4 x weights + attention)")


def base_model(base: Base) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base.folder)


def saved_bytes(base: Base, config: RunConfig, dtype: Any, *, rows: int, length: int, shared: bool) -> int:
    """Bytes that autograd keeps of a forward pass, besides weights: of the layers, not of head and loss."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from training.model import peft_config

    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=dtype, attn_implementation="sdpa")
    model = get_peft_model(model, peft_config(config.lora, model)).train()
    known = {each.untyped_storage().data_ptr() for each in (*model.parameters(), *model.buffers())}
    found: dict[int, tuple[int, Any]] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = (storage.nbytes(), storage)  # held, so that no address comes twice
        return tensor

    ids = torch.randint(0, 100, (rows, length))
    options: dict[str, Any] = {}
    if shared:
        ids = ids.reshape(1, -1)
        seen = torch.ones(rows * length, rows * length, dtype=torch.bool).tril()
        options["attention_mask"] = torch.where(seen, 0.0, torch.finfo(dtype).min).to(dtype)[None, None]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.base_model.model.model(input_ids=ids, use_cache=False, **options)
    return sum(size for size, _ in found.values())


CONFIGS = sorted((ROOT / "training" / "configs").glob("*.yaml"))
LAUNCHES = sorted((ROOT / "training" / "configs" / "accelerate").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_configuration_says_how_it_is_run(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    config = load_config(SftConfig, path, ["character=characters/maeve"])
    assert f"-m training sft --config training/configs/{path.name}" in text
    assert config.base
    assert (SHAPES / f"{config.base.rpartition('/')[2].lower()}.json").is_file()
    for named in re.findall(r"(?:training/configs|accelerate)/[\w./-]+\.(?:yaml|jinja|json)", text):
        assert (ROOT / "training" / "configs" / named.removeprefix("training/configs/")).is_file(), named
    assert path.name in (path.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_configuration_fits_where_it_is_for(path: Path) -> None:
    character = "maeve" if "character=characters/maeve" in path.read_text(encoding="utf-8") else "zhiwei"
    config = load_config(SftConfig, path, [f"character={ROOT / 'characters' / character}", "foreign=drop"])
    found = estimate(config, devices=() if path.stem.startswith("cpu") else DEVICES)
    assert found.work.rows > 300
    if path.stem.startswith("cpu"):
        assert found.places[0].bytes < 12 * GIB
        return
    place = {"24gb": 0, "80gb": 1, "gpus": 2}[path.stem.rpartition("-")[2]]
    assert found.places[place].fits, "\n".join(lines(found))


@pytest.mark.slow
@pytest.mark.parametrize("path", LAUNCHES, ids=lambda path: path.stem)
def test_accelerate_takes_its_configuration(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(path))
    assert config.num_processes > 1
    assert config.mixed_precision == "bf16"
