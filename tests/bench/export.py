"""What an export of 50,000 lines costs; and its duplicates beside `datasketch`, in one run.

    python -m tests.bench.export [--lines 50000]

All formats, the card and its pictures, near duplicates among them; no names are filtered. `datasketch` is
measured where it is installed, on the same shingles with the same 128 hashes.
"""

import argparse
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dataset_builder.export import ExportOptions, export
from dataset_builder.exporting.near_duplicates import near_duplicates, shingles
from dataset_builder.schema import Dialogue
from tests.dataset_builder.talks import character, many

LINES_A_DIALOGUE = 13.5  # of `many` with up to eight exchanges: narration, what is said, the answer


def dialogues(lines: int) -> Iterator[Dialogue]:
    """One in twenty stands twice, as in a game with a replay mode."""
    count = round(lines / LINES_A_DIALOGUE)
    found = list(many(count * 19 // 20, scenes=count // 6, lines=8))
    yield from found
    yield from random.Random(7).sample(found, count // 20)


def seconds(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def with_datasketch(texts: list[str]) -> None:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(0.8, 128)
    sketches = MinHash.generator(([each.encode() for each in shingles(text)] for text in texts), num_perm=128)
    for at, sketch in enumerate(sketches):
        if not index.query(sketch):
            index.insert(str(at), sketch)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=50_000, help="lines to export (default: 50,000)")
    found = list(dialogues(parser.parse_args().lines))
    lines = sum(len(turn.said) + 1 for each in found for turn in each.turns)
    print(f"{lines:,} lines in {len(found):,} dialogues")
    with tempfile.TemporaryDirectory(prefix="cnv") as folder:
        zhiwei = character(Path(folder))
        whole = seconds(lambda: export(found, zhiwei, Path(folder, "first"), ExportOptions()))
        again = seconds(lambda: export(found, zhiwei, Path(folder, "again"), ExportOptions()))
        text = ExportOptions(formats=("trl",), plots=False)
        bare = seconds(lambda: export(found, zhiwei, Path(folder, "bare"), text))
        size = sum(path.stat().st_size for path in Path(folder, "first").rglob("*") if path.is_file())
    texts = ["\n".join(turn.answered for turn in each.turns) for each in found]
    ours = seconds(lambda: near_duplicates(texts, 0.8, 7))
    print(f"export, everything              {whole:6.2f} s, {again:.2f} s again   (at most 10)")
    print(f"export, TRL's rows alone        {bare:6.2f} s")
    print(f"written                         {size / 2**20:6.1f} MiB")
    print(f"near duplicates of the answers  {ours:6.2f} s")
    try:
        theirs = seconds(lambda: with_datasketch(texts))
        print(f"the same with datasketch        {theirs:6.2f} s   ratio {ours / theirs:.2f}")
    except ImportError:
        print("datasketch is not installed; its figure is left out")
    print(
        f"peak memory                     {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:6.0f} MB"
    )


if __name__ == "__main__":
    main()
