"""Rows as Parquet, read back from their JSON lines piece by piece: a data set need not fit into memory."""

from pathlib import Path
from typing import Any

from dataset_builder.errors import DatasetError

_BLOCK = 8 << 20  # bytes of JSON at once; a row is smaller


def check() -> None:
    """Raises `DatasetError` when `pyarrow` is missing."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise DatasetError(
            "Parquet needs `pyarrow`; run `pip install 'chatnvl[dataset]'`, or say `--no-parquet`"
        ) from error


def convert(rows: Path, out: Path) -> None:
    """A file of JSON lines as Parquet: fixed schema, fixed compression, no times. Raises `OSError`."""
    import pyarrow
    from pyarrow import json, parquet

    schema = _schema(pyarrow)
    with parquet.ParquetWriter(out, schema, compression="zstd", compression_level=3, version="2.6") as file:
        if rows.stat().st_size == 0:
            return
        reading = json.open_json(
            rows,
            read_options=json.ReadOptions(use_threads=False, block_size=_BLOCK),
            parse_options=json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
        for batch in reading:
            file.write_batch(batch)


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
