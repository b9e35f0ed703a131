"""ASAR archives: every file as it was packed, and broken headers refused."""

import json
import random
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.archives import asar
from dataset_builder.engines import ReadOptions, tyrano
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.work import memory_file

SCENE = "#灯\nおはよう。[p]\n".encode()
FILES = {
    "data/scenario/first.ks": b"@jump storage=scene1.ks\n",
    "data/scenario/scene1.ks": SCENE,
    "index.html": b"<html></html>",
    "main.js": b"",
}


def packed(tree: Any, data: bytes = b"") -> bytes:
    """An archive with this header, as `asar pack` writes it."""
    text = json.dumps(tree, ensure_ascii=False).encode()
    padded = text + bytes(-len(text) % 4)
    return struct.pack("<4I", 4, 8 + len(padded), 4 + len(padded), len(text)) + padded + data


def tree_of(files: dict[str, bytes]) -> dict[str, Any]:
    tree: dict[str, Any] = {"files": {}}
    offset = 0
    for name, data in files.items():
        *folders, last = name.split("/")
        node = tree
        for folder in folders:
            node = node["files"].setdefault(folder, {"files": {}})
        node["files"][last] = {"size": len(data), "offset": str(offset)}
        offset += len(data)
    return tree


def contents(archive: bytes) -> dict[str, bytes]:
    return {member.name: member.read() for member in asar.members(memory_file("app.asar", archive))}


def test_files_are_as_they_were_packed() -> None:
    archive = packed(tree_of(FILES), b"".join(FILES.values()))
    assert asar.sniff(archive[:4096])
    assert contents(archive) == {f"app.asar/{name}": data for name, data in FILES.items()}
    members = list(asar.members(memory_file("app.asar", archive)))
    assert [member.head for member in members] == [FILES[name] for name in sorted(FILES)]
    assert members[1].size == len(SCENE)
    (scene,) = [s for s in tyrano.read(members[:2], ReadOptions(), Losses()) if s.lines]
    assert (scene.file, scene.lines[0].text) == ("app.asar/data/scenario/scene1.ks", "おはよう。")


def test_what_is_not_in_it_is_left_out() -> None:
    tree = tree_of({"a.ks": b"a"})
    tree["files"]["b.node"] = {"size": 10, "unpacked": True}
    tree["files"]["c"] = {"link": "../../etc/passwd"}
    tree["files"]["empty"] = {"files": {}}
    tree["files"]["d.ks"] = {
        "size": 0,
        "offset": "1",
        "executable": True,
        "integrity": {"algorithm": "SHA256"},
    }
    assert contents(packed(tree, b"a")) == {"app.asar/a.ks": b"a", "app.asar/d.ks": b""}


def test_names_lead_nowhere_else() -> None:
    tree = {"files": {"..": {"files": {"/etc": {"files": {"..\\x.ks": {"size": 1, "offset": "0"}}}}}}}
    assert contents(packed(tree, b"x")) == {"app.asar/etc/x.ks": b"x"}


def test_a_file_outside_the_archive_fails_alone() -> None:
    tree = tree_of({"a.ks": b"aa", "b.ks": b"bb"})
    good, bad = asar.members(memory_file("app.asar", packed(tree, b"aab")))
    assert good.read() == b"aa"
    assert bad.head == b"b"
    with pytest.raises(ScriptError, match=r"`app\.asar/b\.ks`: it lies outside"):
        bad.read()


@pytest.mark.parametrize(
    "tree",
    [
        [],
        {},
        {"files": []},
        {"files": {"a": 1}},
        {"files": {"a": {"files": None}}},
        {"files": {"a": {"size": 1}}},
        {"files": {"a": {"size": 1, "offset": 1}}},
        {"files": {"a": {"size": 1, "offset": "-1"}}},
        {"files": {"a": {"size": 1, "offset": "１"}}},
        {"files": {"a": {"size": 1, "offset": "9" * 16}}},
        {"files": {"a": {"size": -1, "offset": "0"}}},
        {"files": {"a": {"size": True, "offset": "0"}}},
        {"files": {"a": {"size": 1.5, "offset": "0"}}},
    ],
)
def test_a_broken_header_is_refused(tree: Any) -> None:
    with pytest.raises(ScriptError, match=r"`app\.asar`"):
        contents(packed(tree))


def test_nests_and_numbers_of_files_have_an_end() -> None:
    deep = '{"files":{"a":' * 5000 + "{}" + "}}" * 5000
    head = struct.pack("<4I", 4, 8 + len(deep), 4 + len(deep), len(deep))
    with pytest.raises(ScriptError, match="header is broken"):
        contents(head + deep.encode())
    with pytest.raises(ScriptError, match="claims"):
        contents(struct.pack("<4I", 4, 2**31 + 8, 2**31 + 4, 2**31) + b"{")


@pytest.mark.parametrize(
    "head", [b"", b"\4\0\0\0", bytes(32), b"PK\3\4" + bytes(28), b"*start\n" * 9, packed({})[:16]]
)
def test_what_is_none(head: bytes) -> None:
    assert not asar.sniff(head)
    with pytest.raises(ScriptError):
        contents(head)


@given(st.binary(max_size=120))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    for archive in (data, packed({"files": {}})[:16] + data, packed(tree_of({"a": data}), data)):
        asar.sniff(archive)
        with suppress(ScriptError):
            contents(archive)


def test_flipped_bytes() -> None:
    good = packed(tree_of(FILES), b"".join(FILES.values()))
    dice = random.Random(3)
    for _ in range(1000):
        data = bytearray(good)
        for _ in range(dice.randrange(1, 5)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        with suppress(ScriptError):
            contents(bytes(data[: dice.randrange(1, len(data) + 1)]))
