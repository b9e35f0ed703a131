"""What a run would need before it begins: memory and time, with the formula in words.

    python -m training sft --config training/configs/qwen3-8b-24gb.yaml --dry-run

Everything is computed from the base's `config.json`: the model and its adapter are built without weights,
so their parameters are counted and not guessed. Memory is what PyTorch keeps between the forward and the
backward pass (compared with small models of the same families, see the tests); time is floating-point
operations over what a device multiplies. Figures of GPUs are from their makers' data sheets; nothing was
measured on one.
"""

import os
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inference.base import read_base
from inference.models import cache_folder
from inference.packaged import PACKAGED
from inference.settings import InferenceSettings
from training.config import RunConfig
from training.data import Row, tokens_of
from training.errors import RowError
from training.model import device_of, dtype_of, find_character
from training.sft import SftConfig, rows_of
from training.shape import Shape, base_config, shape_of

GIB = 2**30
NF4 = (4 + 8 / 64 + 32 / (64 * 256)) / 8  # bytes a weight: 4 bits, and its block's scale, itself in 8 bits
INT8 = 1.0
ADAMW = 16  # bytes a trained weight: itself, its gradient and two moments, in float32
LIBRARIES = 1.1 * GIB  # Python, PyTorch and TRL at work (measured on Linux)
CUDA = 0.9 * GIB  # a CUDA context with its kernels
# What an allocator holds over what is in use, of tensors up to 32 MB: glibc's leaves holes between steps
# (measured; with MALLOC_MMAP_THRESHOLD_=1048576 in the environment it is about 1.2). CUDA's is PyTorch's own
# (assumed).
LOOSE = {"cpu": 2.1, "cuda": 1.1}
LARGE = 1.1  # the same, of larger ones: logits
SHARED = 48  # see `sft`: from so many tokens on a batch holds the card once
UTILISATION = {"none": 0.35, "4bit": 0.25, "8bit": 0.2}  # of a GPU's peak; fewer bits have to be unpacked
CPU_UTILISATION = 0.5  # of what one large matrix multiplication reaches on the same CPU
TOGETHER = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "gate", "up_proj": "gate"}


@dataclass(frozen=True)
class Work:
    """How much is read. Tokens of the largest step, of them learned, and the longest row."""

    step: int
    learned: int
    longest: int
    epoch: float = 0.0  # tokens computed; 0: unknown
    attended: float = 0.0  # an epoch's sum of tokens times the tokens that each is compared with
    rows: int = 0
    shared: bool = False
    source: str = ""


@dataclass(frozen=True)
class Device:
    """Where a run would be: `flops` a second at its peak, `gib` of memory each, `count` of them."""

    name: str
    kind: str  # cpu, cuda
    gib: float
    flops: float
    count: int = 1


DEVICES = (
    Device("1 GPU of 24 GB (figures of an RTX 3090)", "cuda", 24, 71e12),
    Device("1 GPU of 80 GB (figures of an A100)", "cuda", 80, 312e12),
    Device("4 GPUs of 24 GB, the base shared out (FSDP2, ZeRO-3)", "cuda", 24, 71e12, 4),
    Device("8 GPUs of 80 GB, the base shared out (FSDP2, ZeRO-3)", "cuda", 80, 312e12, 8),
)


@dataclass(frozen=True)
class Place:
    """A run on a device: bytes by part, seconds for the whole run (0: unknown), and what to do if it
    does not fit."""

    device: Device
    parts: Mapping[str, float]
    seconds: float
    remedy: str = ""

    @property
    def bytes(self) -> float:
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        return self.bytes <= self.device.gib * GIB * (0.95 if self.device.kind == "cuda" else 0.9)


@dataclass(frozen=True)
class Estimate:
    base: str
    source: str
    shape: Shape
    work: Work
    config: RunConfig = field(repr=False)
    epochs: float
    places: tuple[Place, ...]

    @property
    def fits(self) -> bool:
        return any(place.fits for place in self.places)


def estimate(
    config: RunConfig, rows: Sequence[Row] | None = None, devices: Iterable[Device] = ()
) -> Estimate:
    """Memory and time of a run over `rows` (unset: what `sft` would learn), on `devices`, or on this machine
    and the usual GPUs. Where no rows are known, the memory is that of rows of `max_length`, and no time is
    given.

    Raises `TrainingError` for a base of which nothing is known here.
    """
    base = config.base or InferenceSettings().model
    raw, source = base_config(base)
    shape = shape_of(raw, config)
    work = work_of(config, _learned(config) if rows is None else rows, _tokenizer(base))
    epochs = float(getattr(config, "epochs", 1))
    chosen = tuple(devices) or _devices(config)
    places = tuple(_place(config, shape, work, epochs, device) for device in chosen)
    return Estimate(base, source, shape, work, config, epochs, places)


def _learned(config: RunConfig) -> Sequence[Row]:
    if not isinstance(config, SftConfig):
        return ()
    return rows_of(config, find_character(config.character))[0]


def work_of(config: RunConfig, rows: Sequence[Row], tokenizer: Any = None) -> Work:
    """What the rows amount to in steps. Without a tokenizer tokens are guessed from letters."""
    layout = str(getattr(config, "layout", "auto"))
    if not rows:
        step = config.batch * config.max_length
        return Work(step, step, config.max_length, source="rows of `max_length`, the most there may be")
    lengths = [_lengths(row, config.max_length, tokenizer) for row in rows]
    prefix = max(each[0] for each in lengths)
    mean = sum(each[0] for each in lengths) / len(lengths)
    shared = layout == "shared" or (layout == "auto" and mean >= SHARED)
    longest = max(each[1] for each in lengths)
    steps = -(-len(lengths) // config.batch)
    batches = _drawn(lengths, config.batch)
    learned = max(sum(each[2] for each in batch) for batch in batches)
    source = "the rows' own tokens" if tokenizer is not None else "tokens guessed from the rows' letters"
    if not shared:
        whole = sum(each[1] for each in lengths)
        attended = float(sum(each[1] ** 2 for each in lengths))
        step = min(config.batch, len(rows)) * longest
        return Work(step, learned, longest, whole, attended, len(rows), False, source)
    tails = sum(each[1] - each[0] for each in lengths)
    step = prefix + max(sum(each[1] - each[0] for each in batch) for batch in batches)
    usual = mean + tails / steps
    return Work(step, learned, step, tails + steps * mean, steps * usual**2, len(rows), True, source)


def _drawn(lengths: Sequence[tuple[int, int, int]], batch: int) -> list[list[tuple[int, int, int]]]:
    """The batches of 20 epochs: the longest rows of all hardly ever meet in one."""
    order, found = random.Random(0), []
    for _ in range(20):
        drawn = order.sample(list(lengths), len(lengths))
        found += [drawn[at : at + batch] for at in range(0, len(drawn), batch)]
    return found


def _lengths(row: Row, most: int, tokenizer: Any) -> tuple[int, int, int]:
    """Tokens of the first message, of the whole row, and those that are learned."""
    if tokenizer is not None:
        try:
            tokens = tokens_of(tokenizer, row, most)
        except RowError:  # the run itself says it, with the remedy
            return 0, most, most
        return tokens.prefix, len(tokens.ids), sum(label >= 0 for label in tokens.labels)
    sizes = [_guessed(message.content) for message in row.messages]
    head = sizes[0] if row.messages[0].role == "system" else 0
    return min(head, most), min(sum(sizes), most), min(sum(sizes[at] for at in row.learned), most)


def _guessed(text: str) -> int:
    """A token is about one and a half letters of Chinese or Japanese, or four of others; 5 mark the turn."""
    wide = sum(letter > "\u2e80" for letter in text)
    return round(wide / 1.5 + (len(text) - wide) / 4) + 5


def _tokenizer(base: str) -> Any:
    """The base's, if it lies here already."""
    from transformers import AutoTokenizer

    ready = read_base(cache_folder(InferenceSettings()) / base) if base in PACKAGED else None
    folder = ready.folder if ready else Path(base).expanduser()
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        return None
    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError):
        return None


def _devices(config: RunConfig) -> tuple[Device, ...]:
    """This machine, and what else the configuration is for."""
    here = device_of(config) if config.device != "cuda" else "cuda"
    found = [] if config.device == "cuda" and not _has_gpu() else [_this(config, here)]
    if config.device == "cpu":
        return tuple(found)
    if config.quantise != "none":
        found = [each for each in found if each.kind == "cuda"]
    return (*found, *DEVICES)


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _this(config: RunConfig, kind: str) -> Device:
    import torch

    flops = measured_flops(kind, dtype_of(config, kind), config.threads)
    if kind == "cuda":
        about = torch.cuda.get_device_properties(0)
        return Device(f"the GPU here, {about.name}", kind, about.total_memory / GIB, flops)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return Device("this machine's CPU", kind, pages / GIB or 16.0, flops)


def measured_flops(kind: str, dtype: Any, threads: int = 0) -> float:
    """What one large matrix multiplication reaches here, in operations a second; takes a second."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    size = 4096 if kind == "cuda" else 1024
    one = torch.ones(size, size, dtype=dtype, device=kind)
    best = 0.0
    for _ in range(8):
        began = time.perf_counter()
        one @ one
        if kind == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def _place(config: RunConfig, shape: Shape, work: Work, epochs: float, device: Device) -> Place:
    width = 2 if device.kind == "cuda" and config.precision == "auto" else _width(config, device.kind)
    parts = memory(config, shape, work, device.kind, width, device.count)
    rate = device.flops * device.count
    rate *= UTILISATION[config.quantise] if device.kind == "cuda" else CPU_UTILISATION
    place = Place(device, parts, epochs * operations(config, shape, work) / rate)
    return place if place.fits else replace(place, remedy=_remedy(config, shape, work, device, width))


def _width(config: RunConfig, kind: str) -> int:
    return int(dtype_of(config, kind).itemsize)


def memory(
    config: RunConfig, shape: Shape, work: Work, kind: str, width: int, devices: int = 1
) -> dict[str, float]:
    """Bytes on each device at the worst moment, by part. `width`: bytes of one of the base's numbers."""
    layer = kept(shape, work, width, autocast=kind == "cuda", quantised=config.quantise != "none")
    mask = width * work.step**2 if work.shared else 0
    if config.gradient_checkpointing:
        # Each layer's input stays; one layer at a time is computed again.
        activations = shape.layers * shape.hidden * work.step * max(width, 2) + layer
    else:
        activations = shape.layers * layer
    head = shape.vocab * work.learned * (12 if width == 4 else 14)
    base = weights(config, shape, width)
    gathered = 2 * base / shape.layers if devices > 1 else 0.0
    return {
        "base": base / devices + gathered,
        "adapter and AdamW": ADAMW * shape.adapter / devices,
        "activations": (activations + mask) * LOOSE[kind],
        "logits": head * LARGE,
        "libraries": CUDA if kind == "cuda" else LIBRARIES,
    }


def weights(config: RunConfig, shape: Shape, width: int) -> float:
    """Bytes of the base. Quantised, what is no layer's matrix is held in float32, as PEFT prepares it."""
    if config.quantise == "none":
        return float(shape.parameters * width)
    return shape.linear * (NF4 if config.quantise == "4bit" else INT8) + 4 * (shape.parameters - shape.linear)


def kept(shape: Shape, work: Work, width: int, *, autocast: bool = False, quantised: bool = False) -> float:
    """Bytes that one layer keeps of a step's forward pass for the backward pass, weights being frozen.

    A frozen linear layer keeps nothing; what is kept are the inputs of normalisations, attention, the
    feed-forward part's product, and each adapted layer's input and its `rank` numbers.
    """
    numbers = 4 if quantised else width
    attention = shape.queries + (2 * shape.queries if work.shared else 2 * shape.keys)
    token: float = 4 * shape.norms + width * attention + numbers * 3 * shape.inner
    inputs = dict(shape.inputs)
    if width == 4 and not autocast:
        # Layers with one input keep it once; the output projection's is what attention keeps anyway.
        groups = {TOGETHER.get(kind, kind): size for kind, size in inputs.items()}
        token += 4 * (sum(groups.values()) + (shape.queries if "o_proj" not in inputs else 0))
    else:
        # The adapter's precision is another one: each adapted layer keeps a copy of its own.
        token += (2 if autocast else 4) * sum(inputs.values()) + width * shape.queries
    token += (2 if autocast else 4) * shape.rank * len(inputs)
    return token * work.step


def operations(config: RunConfig, shape: Shape, work: Work) -> float:
    """Floating-point operations of one epoch.

    Forward: 2 for each weight and token. Backward through frozen weights: 2 again (4 only where weights
    learn, which are the adapter's). Attention: 4 for each pair of tokens and each query number, and 2.5 times
    that on the way back. Checkpointing: one forward pass more.
    """
    share = work.learned / max(1, work.step)
    head = shape.hidden * shape.vocab * share
    forward = 2 * work.epoch * (shape.linear + head + shape.adapter)
    backward = 2 * work.epoch * (shape.linear + head + 2 * shape.adapter)
    attention = 4 * work.attended * shape.queries * shape.layers
    again = forward + attention if config.gradient_checkpointing else 0.0
    return forward + backward + 3.5 * attention + again


def _remedy(config: RunConfig, shape: Shape, work: Work, device: Device, width: int) -> str:
    """The usual remedies, each on top of those before it, up to the first with which it would fit."""
    said: list[str] = []

    def fits() -> bool:
        return Place(device, memory(config, shape, work, device.kind, width, device.count), 0.0).fits

    if not config.gradient_checkpointing:
        config = config.model_copy(update={"gradient_checkpointing": True})
        said.append("`gradient_checkpointing: true`")
    # If the base alone is most of it, smaller batches would not help.
    base = weights(config, shape, width) / device.count
    if device.kind == "cuda" and config.quantise == "none" and base > device.gib * GIB / 2 and not fits():
        config = config.model_copy(update={"quantise": "4bit"})
        said.append("`quantise: 4bit`")
    rows, step = config.batch, work.step
    while not fits() and rows > 1:
        rows //= 2
        share = rows / config.batch
        work = replace(work, step=round(step * share), learned=-(-work.learned // 2))
    if rows < config.batch:
        said.append(f"`batch: {rows}` with `accumulate: {config.accumulate * config.batch // rows}`")
    if fits():
        return ", ".join(said)
    if device.kind == "cpu":
        return "a smaller base, or a smaller `max_length`"
    return "more GPUs, a smaller base, or a smaller `max_length`"


def lines(estimate: Estimate) -> list[str]:
    """The estimate for a person, a line each."""
    shape, work, config = estimate.shape, estimate.work, estimate.config
    share = 100 * shape.adapter / shape.parameters
    found = [
        f"{estimate.base}: {_count(shape.parameters)} weights, {shape.layers} layers, from {estimate.source}",
        f"adapter of rank {config.lora.rank}: {_count(shape.adapter)} weights, {share:.2g} % of the base",
        f"at most {work.step:,} tokens a step, {work.learned:,} of them learned ({work.source})",
    ]
    for place in estimate.places:
        size = f"{place.bytes / GIB:.1f} of {place.device.gib:.0f} GiB"
        each = " each" if place.device.count > 1 else ""
        when = f", about {_duration(place.seconds)}" if place.seconds else ""
        found.append(f"{place.device.name}: {size}{each}{when}" + ("" if place.fits else ": does not fit"))
        parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in place.parts.items())
        found.append(f"    {parts}")
        if not place.fits:
            found.append(f"    what would help: {place.remedy}")
    return [*found, *_formula(estimate)]


def _formula(estimate: Estimate) -> list[str]:
    config = estimate.config
    bits = {"none": "2 or 4 bytes a weight", "4bit": "0.52 bytes a weight", "8bit": "1 byte a weight"}
    rest = "" if config.quantise == "none" else ", 4 for embeddings, head and normalisations"
    kept = "each layer's input, and one whole layer" if config.gradient_checkpointing else "of each layer"
    again = " + 2 x weights to compute layers again" if config.gradient_checkpointing else ""
    parts = (
        f"base ({bits[config.quantise]}{rest})",
        "adapter (16 bytes a weight: itself, its gradient, two moments)",
        f"activations ({kept}: inputs of normalisations, queries, keys, values, three times the feed-forward "
        "width, inputs of adapted layers)",
        "logits (12 or 14 bytes for each learned token and word of the vocabulary)",
        "libraries",
    )
    memory = f"memory = {' + '.join(parts)}"
    if not estimate.work.epoch:
        return [memory, "time: only with rows"]
    return [
        memory,
        f"time = epochs x tokens x (4 x weights{again} + attention) / speed; speed = "
        f"{UTILISATION[config.quantise]:.0%} of a GPU's peak (assumed), {CPU_UTILISATION:.0%} of a matrix "
        "multiplication measured on this CPU; looks at held-out rows come on top",
    ]


def _count(number: int) -> str:
    return f"{number / 1e9:.2f} billion" if number >= 1e9 else f"{number / 1e6:.1f} million"


def _duration(seconds: float) -> str:
    if seconds < 5400:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3600:.1f} h"
