"""Rows as Parquet, read back from their JSON lines piece by piece: a data set need not fit into memory."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dataset_builder.errors import DatasetError

_PIECE = 2 << 20  # bytes of JSON lines that become one group of rows, about


def check() -> None:
    """Raises `DatasetError` when `pyarrow` is missing; it is imported when its memory is there."""
    if find_spec("pyarrow") is None:
        raise DatasetError(
            "Parquet needs `pyarrow`; run `pip install 'chatnvl[dataset]'`, or say `--no-parquet`"
        )


def convert(rows: Path, out: Path) -> None:
    """A file of JSON lines as Parquet: fixed schema, fixed compression, no times. Raises `OSError`."""
    import pyarrow
    from pyarrow import json, parquet

    schema = _schema(pyarrow)
    parsing = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    with (
        rows.open("rb") as file,
        parquet.ParquetWriter(out, schema, compression="zstd", compression_level=1, version="2.6") as made,
    ):
        while lines := file.readlines(_PIECE):
            piece = pyarrow.py_buffer(b"".join(lines))
            reading = json.ReadOptions(use_threads=False, block_size=piece.size)
            made.write_table(json.read_json(pyarrow.BufferReader(piece), reading, parsing))


def _schema(pyarrow: Any) -> Any:
    """One for all views, so that they can be read together; what a row does not have is null."""
    text = pyarrow.string()
    messages = pyarrow.list_(pyarrow.struct([("role", text), ("content", text)]))
    source = pyarrow.struct([("replies", pyarrow.list_(text)), ("events", pyarrow.list_(text))])
    return pyarrow.schema(
        [
            ("prompt", messages),
            ("completion", messages),
            ("label", pyarrow.bool_()),
            ("chosen", messages),
            ("rejected", messages),
            ("kind", text),
            ("weight", pyarrow.float64()),
            ("source", source),
        ]
    )
