"""An adapter that would break the server or answer wrongly is refused before the server sees it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.adapters import AdapterCheck
from inference.base import Base
from inference.errors import AdapterError
from inference.tensors import numbers, read_header
from tests.inference.conftest import change_weights, write_adapter, write_version

Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def folder(tmp_path: Path, tiny_base: Base) -> Path:
    return write_adapter(tmp_path / "characters" / "maeve" / "adapters" / "tiny" / "v1", tiny_base)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_good_one(tmp_path: Path, tiny_base: Base, dtype: str) -> None:
    folder = tmp_path / "characters" / "maeve" / "adapters" / "tiny" / "v12"
    write_adapter(folder, tiny_base, rank=16, dtype=dtype)
    version = AdapterCheck(tiny_base).check(folder)
    assert (version.name, version.rank, version.folder) == ("maeve.v12", 16, folder)


def test_bfloat16_is_read_as_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    values = np.array([1.0, -2.5, 3e38, np.inf, np.nan], "<f4")
    raw = (values.view("<u4") >> 16).astype("<u2").tobytes()
    header = json.dumps({"x": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + raw)
    found = numbers(path, read_header(path)["x"])
    np.testing.assert_allclose(found[:3], values[:3], rtol=0.01)
    assert np.isinf(found[3])
    assert np.isnan(found[4])


def _config(**fields: Any) -> Callable[[Path, Base], None]:
    def change(folder: Path, base: Base) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


def _tensor(name: str, value: Any) -> Callable[[Path, Base], None]:
    return lambda folder, base: change_weights(folder, base, **{name: np.asarray(value)})


def _file(name: str, data: bytes) -> Callable[[Path, Base], None]:
    def change(folder: Path, base: Base) -> None:
        (folder / name).write_bytes(data)

    return change


def _cut(folder: Path, base: Base) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    write_version(folder, base)


def _appended(folder: Path, base: Base) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes() + b"PK")
    write_version(folder, base)


def _linked_out(folder: Path, base: Base) -> None:
    outside = folder.parents[4] / "outside.safetensors"
    shutil.move(folder / "adapter_model.safetensors", outside)
    (folder / "adapter_model.safetensors").symlink_to(outside)


def _linked_folder(folder: Path, base: Base) -> None:
    shutil.move(folder, folder.parents[4] / "elsewhere")
    folder.symlink_to(folder.parents[4] / "elsewhere")


def _other_base(folder: Path, base: Base) -> None:
    write_version(folder, base, base_sha256="0" * 64)


A, B = f"{Q}.lora_A.weight", f"{Q}.lora_B.weight"


def _bfloat_nan(folder: Path, base: Base) -> None:
    """Rewrites the weights as BF16 with one not-a-number: numpy has no such type, so nothing else sees it."""
    source = folder / "adapter_model.safetensors"
    header, data = {}, b""
    for name, tensor in read_header(source).items():
        raw = (numbers(source, tensor).view("<u4") >> 16).astype("<u2")
        if name == B:
            raw[0, 0] = 0x7FC0
        header[name] = {
            "dtype": "BF16",
            "shape": tensor.shape,
            "data_offsets": [len(data), len(data) + raw.nbytes],
        }
        data += raw.tobytes()
    text = json.dumps(header).encode()
    source.write_bytes(len(text).to_bytes(8, "little") + text + data)
    write_version(folder, base)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_config(peft_type="LOHA"), "not a LoRA"),
        (_config(use_dora=True), "use_dora"),
        (_config(modules_to_save=["lm_head"]), "modules_to_save"),
        (_config(rank_pattern={"q_proj": 4}), "rank_pattern"),
        (_config(bias="all"), "biases"),
        (_config(r=4), "shape"),
        (_config(r=True), "rank"),
        (_config(r="8"), "rank"),
        (_config(r=128), "MAX_RANK"),
        (_config(lora_alpha=None), "lora_alpha"),
        (_config(init_lora_weights="pissa"), "changed the base"),
        (_file("adapter_config.json", b"[1]"), "not an object"),
        (_file("adapter_config.json", b"{" * 50_000), "not JSON"),
        (_file("adapter_config.json", b" " * 2_000_000), "too large"),
        (_file("adapter_model.bin", b"x"), "may run code"),
        (_file("training_args.PT", b"x"), "may run code"),
        (_file("version.json", b"{}"), "`base`"),
        (_file("adapter_model.safetensors", b""), "safetensors"),
        (_file("adapter_model.safetensors", b"\xff" * 64), "safetensors"),
        (_cut, "cut off"),
        (_appended, "appended"),
        (_other_base, "was trained on"),
        (lambda f, b: write_version(f, b, base="other"), "was trained on"),
        (lambda f, b: write_version(f, b, sha256="0" * 64), "was changed"),
        (lambda f, b: (f / "version.json").unlink(), "no `version.json`"),
        (lambda f, b: (f / "adapter_model.safetensors").unlink(), "no `adapter_model.safetensors`"),
        (_linked_out, "link to a place outside"),
        (_linked_folder, "link to a place outside"),
        (_tensor(B, np.full((16, 8), np.nan, "float32")), "infinite"),
        (_tensor(B, np.full((16, 8), np.inf, "float16")), "infinite"),
        (_bfloat_nan, "infinite"),
        (_tensor(B, np.zeros((15, 8), "float32")), "shape"),
        (_tensor(A, np.zeros((8, 16), "int8")), "stored as I8"),
        (_tensor(A.replace("q_proj", "z_proj"), np.zeros((8, 16), "float32")), "no linear layer"),
        (_tensor(A.replace("layers.0", "layers.9"), np.zeros((8, 16), "float32")), "no linear layer"),
        (
            _tensor("base_model.model.model.embed_tokens.lora_A.weight", np.zeros((8, 32), "float32")),
            "no linear",
        ),
        (
            _tensor("base_model.model.model.layers.0.input_layernorm.weight", np.ones(16, "float32")),
            "no weight of",
        ),
        (_tensor("base_model.model.lm_head.weight", np.ones(16, "float32")), "no weight of"),
    ],
)
def test_a_bad_one_is_refused(
    folder: Path, tiny_base: Base, change: Callable[[Path, Base], None], reason: str
) -> None:
    AdapterCheck(tiny_base).check(folder)  # it was good
    change(folder, tiny_base)
    with pytest.raises(AdapterError, match=reason) as refusal:
        AdapterCheck(tiny_base).check(folder)
    assert str(folder) in str(refusal.value)


def test_half_an_adapter(tmp_path: Path, tiny_base: Base) -> None:
    from safetensors.numpy import load_file, save_file

    folder = write_adapter(tmp_path / "characters" / "maeve" / "adapters" / "tiny" / "v1", tiny_base)
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    del weights[B]
    save_file(weights, path)
    write_version(folder, tiny_base)
    with pytest.raises(AdapterError, match="only half"):
        AdapterCheck(tiny_base).check(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(folder: Path, tiny_base: Base) -> None:
    (folder / "version.json").chmod(0)
    with pytest.raises(AdapterError, match="cannot be read"):
        AdapterCheck(tiny_base).check(folder)


def test_scan_finds_good_and_refused(tmp_path: Path, tiny_base: Base) -> None:
    characters = tmp_path / "characters"
    for character, version in (("maeve", "v10"), ("maeve", "v2"), ("zhiwei", "v1")):
        write_adapter(characters / character / "adapters" / "tiny" / version, tiny_base)
    write_adapter(characters / "zhiwei" / "adapters" / "tiny" / "v2", tiny_base, config={"use_dora": True})
    write_adapter(characters / "zhiwei" / "adapters" / "other" / "v3", tiny_base)
    (characters / "zhiwei" / "adapters" / "tiny" / "latest").mkdir()
    (characters / "zhiwei" / "adapters" / "tiny" / ".v4.unfinished").mkdir()
    (characters / "Not A Character" / "adapters" / "tiny" / "v1").mkdir(parents=True)
    (characters / "LICENSE.md").write_text("x")
    found = AdapterCheck(tiny_base).scan(characters)
    assert [version.name for version in found.good] == ["maeve.v2", "maeve.v10", "zhiwei.v1"]
    assert [error.path.name for error in found.refused] == ["latest", "v2"]


def test_nothing_to_scan(tmp_path: Path, tiny_base: Base) -> None:
    assert AdapterCheck(tiny_base).scan(tmp_path / "missing").good == ()


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 2**63))
def test_any_bytes_are_a_value_error_or_sound(tmp_path_factory: Any, data: bytes, length: int) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    for content in (data, length.to_bytes(8, "little") + data, len(data).to_bytes(8, "little") + data):
        path.write_bytes(content)
        try:
            tensors = read_header(path)
        except ValueError:
            continue
        assert sum(t.end - t.begin for t in tensors.values()) <= len(content)


def _headers() -> st.SearchStrategy[Any]:
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-3, 99)
        | st.text(max_size=3)
        | st.sampled_from(["F32", "BF16"])
    )
    entry = st.fixed_dictionaries(
        {},
        optional={"dtype": scalars, "shape": st.lists(scalars) | scalars, "data_offsets": st.lists(scalars)},
    )
    return st.dictionaries(st.text(max_size=3), entry | scalars) | scalars


@settings(max_examples=300)
@given(_headers(), st.integers(0, 64))
def test_any_header_is_a_value_error_or_sound(tmp_path_factory: Any, header: Any, size: int) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    try:
        tensors = read_header(path)
    except ValueError:
        return
    assert sum(tensor.end - tensor.begin for tensor in tensors.values()) == size
