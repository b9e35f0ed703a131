"""How fast scripts are read, a reader and an archive at a time; beside it, in the same run, what peers need.

    python -m tests.bench.readers [--mb 20] [--work 100] [--peers]

Each format is read from files in memory until its size is reached, scenes thrown away; times are CPU seconds
of one core. The last line is a whole work of PSB scenes by `extract`, with all of it kept. Peers (unrpa,
polib, openpyxl) are installed into an environment of their own and read the same bytes. Scripts come from the
tests' own fixtures, and from the corpora beside the checkout where they are.
"""

import argparse
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from dataset_builder.archives import rpa
from dataset_builder.engines import Engine, ReadOptions
from dataset_builder.extract import ENGINES, engine_named, extract
from dataset_builder.report import Losses
from dataset_builder.work import ScriptFile, Work, memory_file
from tests.bench.fuzz import FIXTURES
from tests.conftest import ROOT
from tests.dataset_builder.archives.test_rpa import archive
from tests.dataset_builder.psb_writer import write_psb
from tests.strangers.onebot_environment import environment

CORPORA = ROOT.parent / "shared" / "corpora"
# What a format should do, in MB a second (docs: 20 for lines, 5 for Ren'Py and KAG, 50 for PSB scenes).
GOALS = {"renpy": 5, "kag": 5, "tyrano": 5, "ink": 5, "scn": 50, "bgi": 50, "catsystem2": 50}
PEERS = ("unrpa==2.3.0", "polib==1.2.0", "openpyxl==3.1.5")

_UNRPA = """
import sys, time, tempfile
from unrpa import UnRPA
start = time.process_time()
with tempfile.TemporaryDirectory() as folder:
    UnRPA(sys.argv[1], path=folder, mkdir=True, verbosity=-1).extract_files()
print(time.process_time() - start)
"""
_POLIB = """
import sys, time, polib
start = time.process_time()
entries = [(e.msgid, e.msgstr) for e in polib.pofile(open(sys.argv[1], encoding="utf-8").read())]
print(time.process_time() - start)
"""
_OPENPYXL = """
import sys, time, openpyxl
start = time.process_time()
book = openpyxl.load_workbook(sys.argv[1], read_only=True)
rows = [row for sheet in book for row in sheet.iter_rows(values_only=True)]
print(time.process_time() - start)
"""


def psb_scenes(number: int) -> bytes:
    """A file of 200 lines, each with the snapshot of a stage that real files have, of about 1.5 kB."""
    state = {
        "data": [
            [f"layer{n}", {"x": n * 37, "y": -n, "file": f"ev_{number}_{n}", "on": True}] for n in range(16)
        ]
    }
    texts = [
        [
            ("灯", "颯太", "")[n % 3],
            None,
            f"「{number}番目の場面の{n}行目です。今日もいい天気ですね」",
            [{"name": "灯", "voice": f"akr_{number:04}_{n:04}"}] if n % 3 == 0 else None,
            n,
            state | {"n": n},
        ]
        for n in range(200)
    ]
    scene = {
        "label": "*start",
        "title": "朝",
        "firstLine": 1,
        "spCount": 0,
        "lines": [],
        "texts": texts,
        "nexts": [],
    }
    return write_psb({"name": f"{number}.ks", "hash": "0" * 32, "scenes": [scene]}, 2)


def samples() -> dict[str, list[ScriptFile]]:
    """Small scripts by reader: the fixtures', the corpora's, and some that are written here."""
    found: dict[str, list[ScriptFile]] = {}
    for folder in (FIXTURES, CORPORA):
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if not path.is_file() or path.stat().st_size > 2**20:
                continue
            file = memory_file(path.relative_to(folder).as_posix(), path.read_bytes())
            sure, best = max(
                ((engine.sniff(file.name, file.head), engine) for engine in ENGINES), key=lambda p: p[0]
            )
            if sure >= 0.5 and "truncated" not in file.name and "key2AF" not in file.name:
                found.setdefault(best.NAME, []).append(file)
    found["scn"] = [memory_file(f"{number}.ks.scn", psb_scenes(number)) for number in range(4)]
    found["po"] = [memory_file("a.po", po(2000))]
    return found


def po(entries: int) -> bytes:
    rows = (f'# NAME: 灯\nmsgid "「{n}番目の行です」"\nmsgstr "「第{n}行。」"\n' for n in range(entries))
    return ('msgid ""\nmsgstr ""\n\n' + "\n".join(rows)).encode()


def repeated(files: Sequence[ScriptFile], size: int) -> list[ScriptFile]:
    """Copies of the files under other names, until they have `size` bytes."""
    copies: list[ScriptFile] = []
    total = number = 0
    while total < size:
        number += 1
        for file in files:
            copies.append(replace(file, name=f"{number}/{file.name}"))
            total += file.size
    return copies


def seconds(what: Callable[[], object]) -> float:
    began = time.process_time()
    what()
    return time.process_time() - began


def read_all(engine: Engine, files: Iterable[ScriptFile]) -> int:
    lines = 0
    for file in files:  # as many works of one file: none is a patch of another
        for scene in engine.read([file], ReadOptions(work="w"), Losses()):
            lines += len(scene.lines)
    return lines


def peer(program: str, path: Path) -> float:
    python = environment(*PEERS)
    done = subprocess.run([python, "-c", program, path], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def compared(name: str, ours: float, theirs: float) -> None:
    print(f"  {name}: {theirs:.2f} s, ours {ours:.2f} s: ours is {theirs / ours:.1f} times as fast")


def beside_peers(found: dict[str, list[ScriptFile]], size: int) -> None:
    print("beside peers, on the same bytes:")
    with tempfile.TemporaryDirectory() as folder:
        scripts = found.get("renpy") or found["yarn"]
        packed = archive({f"{n}/{file.name}": file.read() for n, file in enumerate(repeated(scripts, size))})
        (path := Path(folder, "a.rpa")).write_bytes(packed)
        file = memory_file("a.rpa", packed)
        ours = seconds(lambda: [member.read() for member in rpa.members(file)])
        compared(
            f"unrpa, {len(packed) / 1e6:.0f} MB unpacked to a folder (ours: in memory)",
            ours,
            peer(_UNRPA, path),
        )

        text = po(60_000)
        (path := Path(folder, "a.po")).write_bytes(text)
        ours = seconds(lambda: read_all(engine_named("po"), [memory_file("a.po", text)]))
        compared(f"polib, {len(text) / 1e6:.0f} MB of PO", ours, peer(_POLIB, path))

        book = FIXTURES / "sheets" / "vntextpatch.xlsx"
        if book.is_file():
            ours = seconds(
                lambda: read_all(engine_named("sheets"), [memory_file("a.xlsx", book.read_bytes())] * 200)
            )
            compared("openpyxl, a small XLSX", ours / 200, peer(_OPENPYXL, book))


def whole_work(size: int) -> None:
    files: list[ScriptFile] = []
    while (
        sum(file.size for file in files) < size
    ):  # each says something else, or it would be dropped as a replay
        files.append(memory_file(f"{len(files)}.ks.scn", psb_scenes(len(files))))
    megabytes = sum(file.size for file in files) / 1e6
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    losses = Losses()
    spent = seconds(lambda: extract(Work("work", tuple(files)), ReadOptions(), losses))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"a work of {megabytes:.0f} MB of PSB scenes: {spent:.1f} s of CPU (goal 6), {losses.seen:,} lines, "
        f"{(peak - before) / 1024:.0f} MB more memory than the files"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mb", type=float, default=20, help="size of each format (default: 20)")
    parser.add_argument(
        "--work", type=float, default=100, help="size of the whole work (default: 100; 0: none)"
    )
    parser.add_argument("--peers", action="store_true", help="install and time the peers")
    given = parser.parse_args()
    found = samples()
    for engine in ENGINES:
        if not (files := found.get(engine.NAME)):
            print(f"{engine.NAME:14} no sample")
            continue
        files = repeated(files, int(given.mb * 1e6))
        lines = 0

        def run(engine: Engine = engine, files: Sequence[ScriptFile] = files) -> None:
            nonlocal lines
            lines = read_all(engine, files)

        spent = seconds(run)
        megabytes = sum(file.size for file in files) / 1e6
        goal = GOALS.get(engine.NAME, 20)
        print(
            f"{engine.NAME:14} {megabytes / spent:7.1f} MB/s of {goal:3}   "
            f"{spent / max(lines, 1) * 1e6:6.1f} µs a line   {megabytes:.0f} MB, {lines:,} lines",
            flush=True,
        )
    if given.work:
        whole_work(int(given.work * 1e6))
    if given.peers:
        beside_peers(found, int(given.mb * 1e6))


if __name__ == "__main__":
    main()
