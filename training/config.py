"""A training run's configuration: a YAML file, and `key=value` behind it on the command line.

Each stage has its own keys on top of `ModelConfig` or `RunConfig`. The docstring below a field is its
explanation, which `python -m training <stage> --keys` prints.
"""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from training.errors import ConfigError

Config = TypeVar("Config", bound="ModelConfig")

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


def _several(value: Any) -> Any:
    """One value is a list of one, and YAML's numbers are names too."""
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]


Paths = Annotated[tuple[Path, ...], BeforeValidator(_several)]
Names = Annotated[tuple[str, ...], BeforeValidator(_several)]


class Section(BaseModel):
    """A group of keys; an unknown one is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LoraConfig(Section):
    """The adapter: what vLLM serves, so nothing that it refuses (DoRA, biases, whole modules)."""

    rank: Literal[8, 16, 32, 64, 128, 256] = 16
    """Size of the update; `serve` starts vLLM with the largest it finds."""
    alpha: Positive | None = None
    """The update is scaled by `alpha / rank`; unset: twice the rank."""
    dropout: Share = 0.0
    """Of the adapter's input while training. A third slower on CPU, and short runs do not need it."""
    modules: Names = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Which linear layers are adapted, by the end of their names; `all-linear` is all but the head."""
    layers: Names = ()
    """Which of the model's layers: numbers and ranges such as `0-11`; unset: all."""
    rslora: bool = False
    """Scale by `alpha / sqrt(rank)` instead (arXiv 2312.03732); worth it above rank 64."""


class ModelConfig(Section):
    """Whose model, and how it is held: what every stage needs to know, evaluation too."""

    character: Path
    """Her folder, `characters/<id>`: the card is the system prompt that she is trained and served with."""
    base: str = ""
    """A packaged model (`qwen2.5-coder-0.5b`, `smollm2-135m`), a folder, or a hub name; unset: what
    `CHATNVL_MODEL` says."""
    max_length: Count = 2048
    """Tokens of a row. A longer dialogue is cut at its start, turn by turn; see `data`."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 7
    """Of everything random."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: a GPU if there is one."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the base model; the adapter itself is always trained in float32. `auto`: bfloat16 where the
    processor multiplies it, else float32."""
    quantise: Literal["none", "4bit", "8bit"] = "none"
    """QLoRA (arXiv 2305.14314): the frozen base in 4 or 8 bits, by bitsandbytes, on a GPU."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Of the CPU; 0: one a core."""

    @property
    def character_id(self) -> str:
        return self.character.absolute().name


class RunConfig(ModelConfig):
    """What every stage that trains needs to know."""

    parent: Path | None = None
    """A version folder to go on from; unset: a new adapter."""
    out: Path | None = None
    """The version folder to write; unset: the next free `characters/<id>/adapters/<base>/v<n>`."""
    run: Path | None = None
    """Checkpoints and logs; unset: `data/training/<character>-<base>-<stage>`. The same folder resumes."""
    lora: LoraConfig = LoraConfig()
    learning_rate: Positive = 2e-4
    """At its peak. LoRA wants about ten times what a whole model wants."""
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    """How the rate falls behind the peak."""
    warmup: Share = 0.07
    """Share of the steps until the peak."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """How fast the adapter's weights shrink without a reason to be large."""
    clip: Positive = 1.0
    """Longest gradient; longer ones are shortened."""
    batch: Count = 8
    """Rows a step on each device."""
    accumulate: Count = 1
    """Batches behind one step of the optimiser."""
    gradient_checkpointing: bool = False
    """Half the memory for a third more time."""
    save_every: Count = 25
    """Steps between checkpoints: what a crash can lose."""
    report_to: Names = ()
    """`tensorboard`, `wandb`, both or none; install what is named."""


def load_config(kind: type[Config], path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """The configuration in `path` with `key=value` laid over it; `lora.rank=8` reaches into a section.

    Relative paths mean the folder that the command runs in. Raises `ConfigError` with the key that is wrong.
    """
    raw: Any = {}
    if path is not None:
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise ConfigError(f"`{path}` cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"`{path}` is no YAML: {' '.join(str(error).split())}") from error
        if not isinstance(raw, dict):
            raise ConfigError(f"`{path}` is no list of keys and values")
    for override in overrides:
        _lay(raw, override)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_first_wrong(kind, error, path)) from error


def _lay(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"`{override}` is no `key=value`")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"`{override}`: the value is no YAML") from error
    # YAML 1.1 takes 2e-4 for a word.
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    *sections, last = key.split(".")
    inside = raw
    for section in sections:
        inside = inside.setdefault(section, {})
        if not isinstance(inside, dict):
            raise ConfigError(f"`{override}`: `{section}` is no section")
    inside[last] = value


def _first_wrong(kind: type[BaseModel], error: ValidationError, path: Path | None) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    where = f"`{path}`: " if path else ""
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place, [name for name, *_ in keys(kind)], 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        return f"{where}there is no key `{place}`{hint}"
    if first["type"] == "missing":
        return f"{where}`{place}` is missing"
    return f"{where}`{place or 'the whole'}` is `{first['input']}`: {first['msg']}"


def keys(kind: type[BaseModel], above: str = "") -> Iterator[tuple[str, str, str]]:
    """Each key of a configuration with its default and its explanation."""
    for name, field in kind.model_fields.items():
        section = next(
            (each for each in (field.annotation, *get_args(field.annotation)) if _is_section(each)), None
        )
        if section is not None:
            yield from keys(section, f"{above}{name}.")
            continue
        default = "needed" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        yield f"{above}{name}", default, " ".join((field.description or "").split())


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(each) for each in value) or "none"
    if value is None or value == "":
        return "unset"
    return str(value).lower() if isinstance(value, bool) else str(value)
