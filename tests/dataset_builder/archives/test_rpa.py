"""Ren'Py's archives."""

import random
import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.archives import rpa
from dataset_builder.errors import ProtectedScript, ScriptError
from dataset_builder.work import memory_file
from tests.dataset_builder.engines.renpy_compiler import dumps

KEY = 0x42424242
ROWS = [(64 ^ KEY, KEY)] * 1000  # pieces of nothing
FILES = {"script.rpy": b'label start:\n    "Hello."\n', "images/bg.png": b"\x89PNG" * 4, "empty.txt": b""}


def with_index(body: bytes, index: Any, *, kind: str = "RPA-3.0", key: int = KEY, protocol: int = 2) -> bytes:
    """An archive: `body` begins at byte 64, behind the header."""
    keys = f" {key:08x}" if kind == "RPA-3.0" else ""
    header = f"{kind} {64 + len(body):016x}{keys}\n".encode().ljust(64, b"\0")
    return header + body + zlib.compress(dumps(index, protocol))


def archive(files: Mapping[str, bytes] = FILES, *, kind: str = "RPA-3.0", **options: Any) -> bytes:
    key = KEY if kind == "RPA-3.0" else 0
    body, index = b"", {}
    for name, data in files.items():
        index[name] = [((64 + len(body)) ^ key, len(data) ^ key)]
        body += data
    return with_index(body, index, kind=kind, **options)


def members(data: bytes) -> dict[str, bytes]:
    return {member.name: member.read() for member in rpa.members(memory_file("game/a.rpa", data))}


@pytest.mark.parametrize("kind", ["RPA-2.0", "RPA-3.0"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_members(kind: str, protocol: int) -> None:
    data = archive(kind=kind, protocol=protocol)
    assert rpa.sniff(data[:4096])
    assert members(data) == {f"game/a.rpa/{name}": content for name, content in sorted(FILES.items())}


def test_members_know_their_size_and_beginning() -> None:
    found = {member.name: member for member in rpa.members(memory_file("a.rpa", archive()))}
    script = found["a.rpa/script.rpy"]
    assert (script.size, script.peek(5), script.head) == (26, b"label", FILES["script.rpy"])


@pytest.mark.parametrize("prefix", [b"la", "la", b"", ""])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_piece_may_begin_in_the_index(prefix: Any, protocol: int) -> None:
    body = b"bel start:\n" if prefix else b"label start:\n"
    index = {"a.rpy": [(64 ^ KEY, 13 ^ KEY, prefix)]}
    assert members(with_index(body, index, protocol=protocol)) == {"game/a.rpa/a.rpy": b"label start:\n"}


def test_a_file_may_have_several_pieces() -> None:
    index = {"a.rpy": [(67 ^ KEY, 3 ^ KEY), (64 ^ KEY, 3 ^ KEY, b"-")]}
    (member,) = rpa.members(memory_file("a.rpa", with_index(b"defabc", index)))
    assert (member.size, member.read(), member.peek(4)) == (6, b"abc-de", b"abc-")


def test_names_lead_nowhere_else() -> None:
    assert list(members(archive({"../../etc/passwd": b"x", "\\game\\a.rpy": b"y"}))) == [
        "game/a.rpa/etc/passwd",
        "game/a.rpa/game/a.rpy",
    ]


@pytest.mark.parametrize("kind", ["RPA-3.2", "RPA-4.0", "ALT-1.0", "ZiX-12B"])
def test_other_kinds_are_named_and_left_alone(kind: str) -> None:
    data = f"{kind} 0000000000000040 42424242\n".encode().ljust(80, b"\0")
    assert rpa.sniff(data)
    with pytest.raises(ProtectedScript, match=kind):
        members(data)


def test_other_files_are_no_archives() -> None:
    assert not rpa.sniff(b"XP3\r\n \n\x1a\x8b\x67\x01")
    assert not rpa.sniff(b"RENPY RPC2")
    assert not rpa.sniff(b"")


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('sprung')",)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"RPA-3.0 zz 42424242\n", "header is broken"),
        (b"RPA-3.0\n", "header is broken"),
        (b"RPA-3.0 0000000000000022 42424242\n", "cut off"),
        (b"RPA-3.0 ffffffffffffffff 42424242\n", "cut off"),
        (b"RPA-3.0 -0000000000000001 42424242\n", "header is broken"),
        (archive()[:-20], "cut off"),
        (with_index(b"", ["a.rpy"]), "lists no files"),
        (with_index(b"", _Trap()), "lists no files"),
        (with_index(b"", {"a.rpy": _Trap()}), "lists no files"),
        (with_index(b"", {"a.rpy": [_Trap()]}), "index is broken"),
        (with_index(b"", {"a.rpy": [(64 ^ KEY, 1 << 62)]}), "lies outside"),
        (with_index(b"", {"a.rpy": [(-1, 0)]}), "lies outside"),
        (with_index(b"", {"a.rpy": [(64 ^ KEY, 0 ^ KEY, b"longer than the file")]}), "lies outside"),
        (
            with_index(b"x" * 999, {name: [(64 ^ KEY, 999 ^ KEY)] for name in "abcdefgh"}),
            "larger than the archive",
        ),
        (with_index(b"", {str(number): ROWS for number in range(500)}), "pieces"),
    ],
)
def test_broken_archives_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ScriptError, match=reason):
        members(data)


@given(st.integers(0), st.integers(1, 8))
def test_a_damaged_archive_is_read_or_refused(seed: int, count: int) -> None:
    chance = random.Random(seed)
    index = bytearray(dumps({name: [(64 ^ KEY, 3 ^ KEY, b"x")] for name in FILES}))
    for _ in range(count):
        index[chance.randrange(len(index))] = chance.randrange(256)
    body = b"RPA-3.0 0000000000000040 42424242\n".ljust(64, b"\0") + zlib.compress(bytes(index))
    with suppress(ScriptError):
        members(body)
