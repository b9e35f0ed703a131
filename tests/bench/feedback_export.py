"""What rows of feedback cost: 100,000 replies with a vote on each, beside reading the same lines alone.

    python -m tests.bench.feedback_export [--replies 100000] [--voted 1.0]

The command runs as its users run it, in a process of its own, with near duplicates and Parquet. Its peer
reads the same lines by `json.loads` and checks them by pydantic, and makes nothing of them.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from dataset_builder.schema import FEEDBACK
from inference.characters import Character, load_character
from inference.prompt import Exchange, Said, messages
from tests.conftest import ROOT

CHARACTERS = ROOT / "characters"
START = 1_790_000_000.0
TURNS = 20  # of a conversation
WINDOW = 12  # turns, cut to half when it is full
SWIPED = 20  # one turn in so many has two answers
# The peak of the process itself: what `resource` tells of a child may be its parent's.
RUN = """
import sys, time
from dataset_builder.__main__ import main
code = main(sys.argv[1:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.process_time(), int(peak.split()[1]) * 1024 / 1e6)
sys.exit(code)
"""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Talk:
    """Words that nobody said."""

    def __init__(self, seed: int) -> None:
        self.luck = random.Random(seed)
        letters = self.luck.choices
        self._words = ["".join(letters(_LETTERS, k=self.luck.randint(2, 9))) for _ in range(4000)]

    def line(self) -> str:
        return " ".join(self.luck.choices(self._words, k=self.luck.randint(5, 18))).capitalize() + "."


def events(maeve: Character, replies: int, voted: float) -> Iterator[dict[str, Any]]:
    """Conversations one after another, each of one person who consents and votes."""
    talk = Talk(7)
    number = at = 0
    while at < replies:
        place, person = f"p{number:015x}", f"u{number:015x}"
        number += 1
        about = {"place": place, "character": maeve.id}
        yield {"kind": "consent", **about, "character": "", "person": person, "on": True, "terms": "2026-11"}
        window: list[tuple[str, list[list[str]]]] = []  # turn, its messages as they are hashed
        for turn in range(min(TURNS, replies - at)):
            said, id_ = talk.line(), f"{number:08x}{turn:08x}"
            for swipe in range(2 if turn % SWIPED == 1 else 1):
                answer = talk.line()
                system, user, reply, _ = messages(
                    maeve, [Exchange(said=(Said(text=said),), reply=answer)], [Said(text="x")]
                )
                before = [["system", system.content], *(each for _, part in window for each in part)]
                digest = hashlib.sha256(orjson.dumps([*before, ["user", user.content]])).hexdigest()
                yield {
                    "kind": "reply",
                    **about,
                    "reply": f"{id_}{swipe}",
                    "turn": id_,
                    "swipe": swipe,
                    "people": [person],
                    "platform": "qq",
                    "card": maeve.card_hash,
                    "base": "smollm2-135m",
                    "version": "maeve.v1",
                    "prompt": digest,
                    "turns": [each for each, _ in window],
                    "sampling": maeve.sampling.model_dump(),
                    "seed": at,
                    "finish_reason": "stop",
                    "prompt_tokens": 700,
                    "cached_tokens": 640,
                    "completion_tokens": 30,
                    "first_token_ms": 91.5,
                    "total_ms": 1204.2,
                    "software": "0.2.0",
                    "consent": True,
                    "said": [{"text": said, "name": "", "quoted": ""}],
                    "text": answer,
                }
                at += 1
                if talk.luck.random() < voted:
                    thumb = "up" if talk.luck.random() < 0.7 else "down"
                    vote = {"version": "maeve.v1", "person": person, "old": None, "new": thumb, "weight": 1.0}
                    yield {"kind": "vote", **about, "reply": f"{id_}{swipe}", **vote}
            window.append((id_, [["user", user.content], ["assistant", reply.content]]))
            if len(window) > WINDOW:
                window = window[WINDOW // 2 :]


def write(folder: Path, maeve: Character, replies: int, voted: float) -> Path:
    folder.mkdir()
    path = folder / "events-2026-11-27.jsonl"
    with path.open("wb") as file:
        for number, event in enumerate(events(maeve, replies, voted)):
            line = {**event, "id": f"{number % 16:x}-{1_790_000_000_000 + number}-0", "time": START + number}
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    return path


def peer(path: Path) -> float:
    began = time.perf_counter()
    with path.open("rb") as file:
        for line in file:
            FEEDBACK.validate_python(json.loads(line))
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replies", type=int, default=100_000, help="default: 100,000")
    parser.add_argument("--voted", type=float, default=1.0, help="share of them with a vote (default: 1.0)")
    given = parser.parse_args()
    maeve = load_character(CHARACTERS / "maeve")
    with tempfile.TemporaryDirectory(prefix="cnv") as name:
        path = write(Path(name, "feedback"), maeve, given.replies, given.voted)
        out = Path(name, "rows")
        command = [sys.executable, "-c", RUN, "feedback", str(path.parent), "-o", str(out)]
        began = time.perf_counter()
        run = subprocess.run(
            [*command, "--characters", str(CHARACTERS)],
            check=True,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        ours = time.perf_counter() - began
        spent, memory = map(float, run.stdout.split()[-2:])
        manifest = json.loads((out / "manifest.json").read_bytes())
        read = manifest["read"][0]["events"]
        size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
        assert manifest["replies"] >= given.replies
        assert "replies" not in manifest["left_out"], manifest["left_out"]
        theirs = peer(path)
        print(f"{manifest['replies']:,} replies, {read:,} events, {path.stat().st_size / 2**20:.0f} MiB")
        print(run.stdout.rpartition("\n")[0])
        print(f"rows, all of them    {ours:6.2f} s   (at most 20), {spent:.2f} s of them on a processor")
        print(f"written              {size / 2**20:6,.0f} MiB")
        print(f"peak memory          {memory:6.0f} MB  (at most 300)")
        print(f"json.loads, pydantic {theirs:6.2f} s   ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
