"""Safetensors files, read without torch: what is in them, whether it is sound, and its numbers.

The format is a length, a JSON header, and raw numbers (https://huggingface.co/docs/safetensors). Unlike a
pickle it
cannot run anything; it can still lie about its sizes, so they are checked.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_HEADER_LIMIT = 100 * 2**20  # the format's own limit
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_BYTES |= {"F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "U32": 4, "U64": 8}


class Tensor(BaseModel):
    """Where one tensor lies in a file."""

    model_config = ConfigDict(frozen=True)

    dtype: str
    shape: tuple[int, ...]
    begin: int  # from the file's start
    end: int


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name. Raises `ValueError` for anything that is not sound, `OSError`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _HEADER_LIMIT):
            raise ValueError("it is not a safetensors file, or it is cut off")
        raw = file.read(length)
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError("its header is not JSON") from error
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")
    header.pop("__metadata__", None)
    tensors = {name: _tensor(name, entry, 8 + length) for name, entry in header.items()}
    position = 8 + length
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].begin):
        if tensor.begin != position:
            raise ValueError(f"`{name}` overlaps another tensor, or leaves a hole")
        position = tensor.end
    if position != size:
        raise ValueError(
            f"it has {size:,} bytes and should have {position:,}: cut off, or something is appended"
        )
    return tensors


def _tensor(name: str, entry: Any, start: int) -> Tensor:
    try:
        dtype, shape = entry["dtype"], tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        sound = all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end))
        if not sound or end - begin != math.prod(shape) * _BYTES[dtype]:
            raise ValueError(f"`{name}` is not as large as its shape says")
    except (KeyError, TypeError) as error:
        raise ValueError(f"`{name}` is not described as a tensor") from error
    return Tensor(dtype=dtype, shape=shape, begin=start + begin, end=start + end)


def base_shapes(files: list[Path]) -> dict[str, tuple[int, ...]]:
    """The shapes of a model's weights in one or several files. Raises `ValueError`, `OSError`."""
    return {name: tensor.shape for path in files for name, tensor in read_header(path).items()}


def unsound(path: Path, tensors: Mapping[str, Tensor]) -> str | None:
    """The first tensor that holds infinity or not-a-number: vLLM would answer with nothing at all. None:
    all finite."""
    for name, tensor in tensors.items():
        if not _finite(_raw(path, tensor), tensor.dtype):
            return name
    return None


def numbers(path: Path, tensor: Tensor) -> "NDArray[np.float32]":
    """A tensor's numbers, whatever they are stored in."""
    import numpy as np

    raw = _raw(path, tensor)
    if tensor.dtype == "BF16":
        wide: NDArray[np.float32] = (raw.astype(np.uint32) << 16).view(np.float32)
        return wide.reshape(tensor.shape)
    if tensor.dtype not in ("F64", "F32", "F16"):
        raise ValueError(f"numbers stored as {tensor.dtype} are not read")
    found: NDArray[np.float32] = raw.astype(np.float32)
    return found.reshape(tensor.shape)


def _raw(path: Path, tensor: Tensor) -> Any:
    import numpy as np

    kind = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}.get(tensor.dtype, "<u1")
    dtype = np.dtype(kind)
    return np.fromfile(path, dtype, (tensor.end - tensor.begin) // dtype.itemsize, offset=tensor.begin)


def _finite(raw: Any, dtype: str) -> bool:
    import numpy as np

    if dtype == "BF16":  # all bits of the exponent set: infinity or not-a-number
        return not bool(((raw & 0x7F80) == 0x7F80).any())
    return bool(np.isfinite(raw).all())
