"""Reads small dumps through a reader's door, for tests of the readers of dumps."""

import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dataset_builder.engines import Engine, ReadOptions
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Line, Scene
from dataset_builder.work import memory_file

FIXTURES = Path(__file__).parent / "fixtures"


def read(engine: Engine, files: Mapping[str, str | bytes], **options: Any) -> tuple[list[Scene], Losses]:
    """The scenes of files given by name, and what was lost; every record must be counted."""
    losses = Losses()
    made = [
        memory_file(name, data.encode() if isinstance(data, str) else data) for name, data in files.items()
    ]
    scenes = list(engine.read(made, ReadOptions(work="w", **options), losses))
    assert losses.emitted == sum(len(scene.lines) for scene in scenes)
    assert losses.seen == losses.emitted + losses.skipped.total()
    for scene in scenes:
        assert scene.work == "w"
        assert [line.index for line in scene.lines] == list(range(len(scene.lines)))
        assert all(line.text for line in scene.lines)
    return scenes, losses


def one(engine: Engine, name: str, data: str | bytes, **options: Any) -> list[Line]:
    """The lines of a file that is one scene and loses nothing."""
    (scene,), losses = read(engine, {name: data}, **options)
    assert not losses.skipped
    assert not losses.warnings
    return scene.lines


def said(lines: list[Line]) -> list[tuple[str, str]]:
    return [(line.speaker or "", line.text) for line in lines]


def survives(engine: Engine, name: str, data: bytes) -> None:
    """Any bytes are scenes or one `ScriptError`."""
    assert 0 <= engine.sniff(name, data[:4096]) <= 1
    with suppress(ScriptError):
        read(engine, {name: data})


def damaged(data: bytes, seed: int) -> bytes:
    """The same bytes with some of them changed, cut off or doubled."""
    chance = random.Random(seed)
    broken = bytearray(data)
    for _ in range(chance.choice((1, 2, 8, 32))):
        at = chance.randrange(len(broken)) if broken else 0
        match chance.randrange(4):
            case 0:
                broken[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del broken[at:]
            case 2:
                broken[at:at] = broken[at : at + chance.randrange(40)]
            case 3:
                del broken[at : at + chance.randrange(9)]
    return bytes(broken)
