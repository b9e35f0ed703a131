"""Broken scripts by the thousand: a reader answers with scenes or with one `DatasetError`, within a second.

python -m tests.bench.fuzz --seconds 1800 [--seed 7] [FOLDER …]      folders with scripts to break

What breaks a reader is written to the folder named by --keep, and the exit code is 1.
"""

import argparse
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from dataset_builder.archives import Archive
from dataset_builder.engines import Engine, ReadOptions
from dataset_builder.errors import DatasetError
from dataset_builder.extract import ARCHIVES, ENGINES
from dataset_builder.report import Losses
from dataset_builder.work import ScriptFile, memory_file
from tests.conftest import ROOT

FIXTURES = ROOT / "tests" / "dataset_builder" / "fixtures"
LONGEST = 1.0  # seconds of our CPU for one file
LARGEST = 200_000  # bytes of a seed: a small file breaks in as many ways, and faster
_SPICE = (
    b"\x00", b"\xff" * 8, b"\xff\xff\xff\x7f", b"{", b"[" * 300, b"(" * 300, b'"', b"'''", b"\\", b"\r",
    b"\n" * 50, b"*" * 200, b"#", b"<<if", b"->", b"\xe3\x80\x8c", b"\xef\xbc\x9f", b"%", b"@", b"&", b";",
    b"-1", b"999999999999", b"\x20\x0d\x00\x0d", b"\x21", b"[macro name=a]", b"[a]", b"    " * 80,
    b"label a:\n", b"jump a\n", b"\t",
)  # fmt: skip


class TooLong(Exception):
    """A reader went on for more than a second."""


@dataclass(frozen=True)
class Broken:
    """A reader, the file that broke it, and how."""

    reader: str
    name: str
    data: bytes
    trace: str


def seeds(folders: Sequence[Path]) -> list[tuple[str, bytes]]:
    """Scripts to start from, small ones."""
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and 0 < path.stat().st_size <= LARGEST and path.suffix != ".md":
                found.append((path.name, path.read_bytes()))
    return found


def mutate(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Flipped, cut, doubled, spiced or crossed with another."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(7):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << rng.randrange(8)
            case 1:
                changed[at : at + rng.randrange(1, 200)] = b""
            case 2:
                changed[at:at] = changed[at : at + rng.randrange(1, 400)] * rng.choice((1, 2, 50))
            case 3:
                changed[at:at] = rng.choice(_SPICE) * rng.choice((1, 1, 3))
            case 4:
                start = rng.randrange(len(other) + 1)
                changed[at : at + rng.randrange(200)] = other[start : start + rng.randrange(400)]
            case 5:
                del changed[at:]
            case _:
                changed[at : at + 4] = rng.randbytes(4)
    return bytes(changed[: 2 * LARGEST])


def attempts(engines: Sequence[Engine], archives: Sequence[Archive], file: ScriptFile) -> Iterator[str]:
    """Read the file by every reader that it may reach, and name each before it begins."""
    options = ReadOptions(work="w", psb_key=0x2AF31B05)
    for engine in engines:
        yield engine.NAME
        if engine.sniff(file.name, file.head) > 0:
            for scene in engine.read([file], options, Losses()):
                assert [line.index for line in scene.lines] == list(range(len(scene.lines))), scene.scene
    for archive in archives:
        yield archive.NAME
        if archive.sniff(file.head):
            for member in archive.members(file):
                member.read()


def _stop(number: int, frame: FrameType | None) -> None:
    raise TooLong(f"more than {LONGEST} s")


def fuzz(
    scripts: Sequence[tuple[str, bytes]], *, seconds: float = float("inf"), files: int = 10**12, seed: int = 0
) -> Iterator[Broken | Counter[str]]:
    """What breaks, as it is found; at the end how many files each outcome had."""
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    previous = signal.signal(signal.SIGVTALRM, _stop)
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end and outcomes.total() < files:
            name, data = rng.choice(scripts)
            broken = mutate(data, rng.choice(scripts)[1], rng)
            file = memory_file(name, broken)
            reader = ""
            runs = attempts(ENGINES, ARCHIVES, file)
            while True:
                signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
                try:
                    reader = next(runs)
                except StopIteration:
                    outcomes["read"] += 1
                    break
                except DatasetError as error:
                    outcomes[type(error).__name__] += 1
                    break
                except Exception:  # anything else is what is looked for
                    outcomes["broken"] += 1
                    yield Broken(reader, name, broken, traceback.format_exc())
                    break
                finally:
                    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    finally:
        signal.signal(signal.SIGVTALRM, previous)
    yield outcomes


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, help="scripts to start from, besides the tests' own")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("data/fuzz"), help="where broken files go")
    given = parser.parse_args()
    scripts = seeds([FIXTURES, *given.folders])
    print(f"{len(scripts)} scripts to start from, {len(ENGINES)} readers, {len(ARCHIVES)} archives")
    failures = 0
    for found in fuzz(scripts, seconds=given.seconds, seed=given.seed):
        if isinstance(found, Counter):
            print(
                f"{found.total():,} files: " + ", ".join(f"{n:,} {what}" for what, n in found.most_common())
            )
        else:
            failures += 1
            given.keep.mkdir(parents=True, exist_ok=True)
            kept = given.keep / f"{failures:03}-{found.reader}-{found.name}"
            kept.write_bytes(found.data)
            print(f"{kept}\n{found.trace}", flush=True)
            if failures >= 50:
                break
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
