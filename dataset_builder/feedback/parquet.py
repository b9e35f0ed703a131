"""Rows as Parquet, read back from their JSON lines piece by piece: a data set need not fit into memory.

Reading JSON is most of the work. Data sets that have rows in common are made of one reading.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dataset_builder.errors import DatasetError

_PIECE = 1 << 20  # bytes of JSON lines that become one group of rows, about


def check() -> None:
    """Raises `DatasetError` when `pyarrow` is missing; it is imported when its memory is there."""
    if find_spec("pyarrow") is None:
        raise DatasetError(
            "Parquet needs `pyarrow`; run `pip install 'chatnvl[dataset]'`, or say `--no-parquet`"
        )


def convert(rows: Mapping[Path, Mapping[Path, bytes]], unlabelled: Path) -> None:
    """For each file of JSON lines the Parquet files that take rows of it, with a byte for each row: 1 if they
    do. The column `label` of `unlabelled` stays empty.

    Fixed schema, fixed compression, no times. Raises `OSError`.
    """
    import pyarrow
    from pyarrow import parquet

    schema = _schema(pyarrow)
    with ExitStack() as stack:
        writers = {
            out: stack.enter_context(
                parquet.ParquetWriter(out, schema, compression="zstd", compression_level=1, version="2.6")
            )
            for out in dict.fromkeys(out for taken in rows.values() for out in taken)
        }
        for source, taken in rows.items():
            begin = 0
            for table in _tables(source, schema):
                end = begin + table.num_rows
                for out, mask in taken.items():
                    part = table.filter(pyarrow.array(map(bool, mask[begin:end]), pyarrow.bool_()))
                    if out == unlabelled:
                        none = pyarrow.nulls(part.num_rows, pyarrow.bool_())
                        part = part.set_column(schema.get_field_index("label"), "label", none)
                    writers[out].write_table(part)
                begin = end


def _tables(rows: Path, schema: Any) -> Iterator[Any]:
    """The rows, some at a time; the next ones are read meanwhile."""
    import pyarrow
    from pyarrow import json

    parsing = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")

    def parse(lines: list[bytes]) -> Any:
        piece = pyarrow.py_buffer(b"".join(lines))
        reading = json.ReadOptions(use_threads=False, block_size=piece.size)
        return json.read_json(pyarrow.BufferReader(piece), reading, parsing)

    with rows.open("rb") as file, ThreadPoolExecutor(1) as pool:
        ahead: Future[Any] | None = None
        while lines := file.readlines(_PIECE):
            before, ahead = ahead, pool.submit(parse, lines)
            if before is not None:
                yield before.result()
        if ahead is not None:
            yield ahead.result()


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
