"""What the environment says about the model and its server: `CHATNVL_…`, or the same names in `.env`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from inference.errors import InferenceError

DEFAULT_MODEL = "qwen2.5-coder-0.5b"


class WrongSetting(InferenceError):
    """A setting that cannot work on this machine: nothing was started."""


class ServeSettings(BaseModel):
    """`CHATNVL_SERVE__…`: how the model server is started. It always listens on 127.0.0.1 only."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    engine: Literal["auto", "vllm", "llamacpp"] = "auto"
    """`vllm`, `llamacpp` (Windows and macOS too), or `auto`: vLLM where it is installed, else llama.cpp."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """The port of the OpenAI routes; 0 takes a free one. The bot finds it through the data folder."""
    context: Annotated[int, Field(ge=256)] = 4096
    """Tokens that a prompt and its reply may have together; less if the model has less."""
    spare_slots: Annotated[int, Field(ge=0, le=256)] = 4
    """How many adapters may be added while running before the server restarts itself with more room."""
    unload_seconds: Annotated[float, Field(ge=0)] = 600.0
    """How long an adapter that no release names any more stays loaded: a reply may still be written by it."""
    max_rank: Annotated[Literal[8, 16, 32, 64, 128, 256, 320, 512], BeforeValidator(int)] = 64
    """The largest LoRA rank that is accepted. The server is started with what the adapters need."""
    kv_cache_gib: Annotated[int, Field(ge=1)] = 1
    """GiB of memory for what conversations have read (on a CPU; on a GPU vLLM takes what is free)."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """Threads on a CPU; unset: one a core that this process may use."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """In what numbers vLLM computes; `auto` is what the model was saved in. Old GPUs want `float16`."""
    arguments: str = ""
    """More arguments for vLLM, as on its command line, such as `--gpu-memory-utilization 0.8`."""
    ready_seconds: Annotated[float, Field(gt=0)] = 900.0
    """How long the server may take to become ready before that counts as a failure."""


class InferenceSettings(BaseSettings):
    """The settings of `python -m inference`."""

    model_config = SettingsConfigDict(
        env_prefix="CHATNVL_",
        env_nested_delimiter="__",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    model: Annotated[str, Field(min_length=1)] = DEFAULT_MODEL
    """The base: `qwen2.5-coder-0.5b` or `smollm2-135m` (both come in packages), a folder, or a hub name."""
    characters: Path = Path("characters")
    """The folder with one folder a character."""
    data: Path = Path("data")
    """Where the memory, the logs and the model server's address are kept."""
    cache: Path | None = None
    """Where prepared models are kept; unset: `chatnvl` in the user's cache folder."""
    serve: ServeSettings = ServeSettings()

    @field_validator("characters", "data", "cache")
    @classmethod
    def _at_home(cls, path: Path | None) -> Path | None:
        return path.expanduser() if path is not None else None
