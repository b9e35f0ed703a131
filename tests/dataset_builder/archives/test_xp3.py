"""XP3 archives: what nobody has locked is read, and what somebody has is named."""

import random
import struct
import zlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.archives import xp3
from dataset_builder.engines import ReadOptions, scn
from dataset_builder.errors import ProtectedScript, ScriptError
from dataset_builder.report import Losses
from dataset_builder.work import ScriptFile, memory_file
from tests.dataset_builder.psb_writer import write_psb

SCENE = "*start\n【灯】\n「おはよう」[p]\n".encode("utf-16")
LIST = b'{"name": "a"}' * 900


def chunk(tag: bytes, content: bytes) -> bytes:
    return tag + struct.pack("<Q", len(content)) + content


def entry(
    name: str,
    segments: list[tuple[int, int, int, int]],
    *,
    flags: int = 0,
    checksum: int | None = None,
    size: int | None = None,
) -> bytes:
    written = name.encode("utf-16-le", "surrogatepass")
    size = sum(each[2] for each in segments) if size is None else size
    info = struct.pack("<IQQH", flags, size, sum(each[3] for each in segments), len(written) // 2) + written
    content = chunk(b"time", bytes(8)) + chunk(b"info", info + b"\0\0")
    content += chunk(b"segm", b"".join(struct.pack("<IQQQ", *each) for each in segments))
    if checksum is not None:
        content += chunk(b"adlr", struct.pack("<I", checksum))
    return chunk(b"File", content)


def archive(
    files: dict[str, bytes], *, pieces: int = 1, packed: bool = True, newer: bool = False, flags: int = 0
) -> bytes:
    """An XP3. `newer` is KiriKiri Z's: an empty index in front says where the real one is."""
    data = bytearray(xp3.MAGIC + bytes(8))
    if newer:
        data += struct.pack("<IBQQ", 1, 0x80, 0, 0)
    index = b""
    for name, content in files.items():
        segments = []
        step = max(1, -(-len(content) // pieces))
        for at in range(0, len(content), step):
            piece = content[at : at + step]
            stored = zlib.compress(piece) if packed else piece
            segments.append((int(packed), len(data), len(piece), len(stored)))
            data += stored
        index += entry(name, segments, flags=flags, checksum=zlib.adler32(content))
    return finish(data, index, packed=packed, newer=newer)


def finish(data: bytearray, index: bytes, *, packed: bool = False, newer: bool = False) -> bytes:
    struct.pack_into("<Q", data, 11, 0x17 if newer else len(data))
    if newer:
        struct.pack_into("<Q", data, 0x20, len(data))
    if packed:
        stored = zlib.compress(index)
        return bytes(data) + struct.pack("<BQQ", 1, len(stored), len(index)) + stored
    return bytes(data) + struct.pack("<BQ", 0, len(index)) + index


def opened(data: bytes) -> dict[str, ScriptFile]:
    return {file.name: file for file in xp3.members(memory_file("data.xp3", data))}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("newer", [False, True])
@pytest.mark.parametrize("pieces", [1, 3])
def test_what_was_put_in_comes_out(packed: bool, newer: bool, pieces: int) -> None:
    contents = {"scenario/第一章.ks": SCENE, "list.json": LIST, "empty.txt": b""}
    found = opened(archive(contents, packed=packed, newer=newer, pieces=pieces))
    assert {name: file.read() for name, file in found.items()} == {
        f"data.xp3/{name}": content for name, content in contents.items()
    }
    long = found["data.xp3/list.json"]
    assert (long.size, long.head, long.peek(3)) == (len(LIST), LIST[:4096], LIST[:3])


def test_compiled_scenes_inside_are_read() -> None:
    scenes = write_psb(
        {"name": "a.ks", "scenes": [{"label": "*a", "texts": [["灯", None, "「おはよう」", None]]}]}
    )
    files = list(opened(archive({"scn/a.ks.scn": scenes, "image.tlg": b"TLG5.0"})).values())
    assert [scn.sniff(file.name, file.head) > 0 for file in files] == [True, False]
    (scene,) = scn.read(files[:1], ReadOptions(), Losses())
    assert (scene.file, scene.lines[0].text) == ("data.xp3/scn/a.ks.scn", "おはよう")


def test_an_archive_is_told_by_its_first_bytes() -> None:
    assert xp3.sniff(archive({})[:4096])
    assert not xp3.sniff(b"PK\x03\x04")
    assert not xp3.sniff(b"XP3")
    assert opened(archive({})) == {}


def test_names_lead_nowhere_else() -> None:
    names = ["..\\..\\boot.ks", "/etc/passwd", "C:\\a.ks", "./b//c.ks", "\0", "a.ks", "c/\ud800.ks"]
    index = b"".join(entry(name, []) for name in names)
    data = finish(bytearray(xp3.MAGIC + bytes(8)), index)
    assert list(opened(data)) == [
        "data.xp3/boot.ks",
        "data.xp3/etc/passwd",
        "data.xp3/C/a.ks",
        "data.xp3/b/c.ks",
        "data.xp3/file 4",
        "data.xp3/a.ks",
        "data.xp3/c/\ufffd.ks",
    ]


def test_of_two_files_with_one_name_the_first_is_meant() -> None:
    data = bytearray(xp3.MAGIC + bytes(8) + b"onetwo")
    index = (
        entry("a.ks", [(0, 19, 3, 3)]) + entry("A/../a.ks", [(0, 22, 3, 3)]) + entry("/a.ks", [(0, 22, 3, 3)])
    )
    found = opened(finish(data, index))
    assert {name: file.read() for name, file in found.items()} == {
        "data.xp3/a.ks": b"one",
        "data.xp3/A/a.ks": b"two",
    }


def test_locked_archives_are_named() -> None:
    with pytest.raises(ProtectedScript, match="marked as protected"):
        opened(archive({"a.ks": SCENE}, flags=0x80000000))
    index = chunk(b"hnfn", bytes(20)) + entry("a.ks", [])
    with pytest.raises(ProtectedScript, match="`hnfn`"):
        opened(finish(bytearray(xp3.MAGIC + bytes(8)), index))
    scrambled = bytearray(archive({"a.ks": SCENE}))
    at = struct.unpack_from("<Q", scrambled, 11)[0] + 17
    scrambled[at:] = bytes(c ^ 0x36 for c in scrambled[at:])
    with pytest.raises(ProtectedScript, match="encrypted index"):
        opened(bytes(scrambled))
    with pytest.raises(ProtectedScript, match="unknown kind 3"):
        opened(xp3.MAGIC + struct.pack("<QBQ", 19, 3, 0) + bytes(8))
    plain = archive({"a.ks": SCENE}, packed=False)
    assert opened(plain)
    with pytest.raises(ProtectedScript, match="files are encrypted"):
        opened(plain.replace(SCENE, bytes(c ^ 0x36 for c in SCENE)))


def test_one_file_that_is_broken() -> None:
    data = bytearray(archive({"a.ks": SCENE, "long.ks": LIST}, packed=False))
    at = bytes(data).index(LIST)
    data[at] ^= 1
    found = opened(bytes(data))
    assert found["data.xp3/a.ks"].read() == SCENE
    with pytest.raises(ScriptError, match="checksum is wrong"):
        found["data.xp3/long.ks"].read()
    data[bytes(data).index(SCENE)] ^= 1  # all of them
    with pytest.raises(ProtectedScript, match="files are encrypted"):
        opened(bytes(data))


@pytest.mark.parametrize(
    ("segments", "size", "reason"),
    [
        ([(0, 19, 5, 5)], 9, "missing"),
        ([(0, 10**9, 5, 5)], 5, "cut off"),
        ([(0, 2**63, 5, 2**63)], 5, "cut off"),
        ([(1, 19, 5, 8)], 5, "cannot be unpacked"),
        ([(0, 19, 2**40, 8)], 2**40, "too many"),
        ([(0, 19, 2**28 + 1, 8)], 2**28 + 1, "too many"),
    ],
)
def test_places_that_are_none(segments: list[tuple[int, int, int, int]], size: int, reason: str) -> None:
    data = finish(bytearray(xp3.MAGIC + bytes(8) + b"content!"), entry("a.ks", segments, size=size))
    (file,) = opened(data).values()
    assert len(file.head) <= 8
    with pytest.raises(ScriptError, match=reason):
        file.read()


def test_a_small_piece_that_unpacks_to_much() -> None:
    bomb = zlib.compress(bytes(10**7))
    data = finish(bytearray(xp3.MAGIC + bytes(8) + bomb), entry("a.ks", [(1, 19, 5, len(bomb))]))
    assert opened(data)["data.xp3/a.ks"].read() == bytes(5)
    inside = zlib.compress(bytes(10**7))
    index = xp3.MAGIC + struct.pack("<QBQQ", 19, 1, len(inside), 100) + inside
    with pytest.raises(ScriptError, match="another size"):
        opened(index)
    with pytest.raises(ScriptError, match="too large"):
        opened(xp3.MAGIC + struct.pack("<QBQQ", 19, 1, len(inside), 2**40) + inside)


def test_an_index_that_leads_back_to_itself() -> None:
    with pytest.raises(ScriptError, match="index is cut off"):
        opened(xp3.MAGIC + struct.pack("<QBQQ", 19, 0x80, 0, 19))


def test_flipped_and_cut_archives_are_read_or_refused() -> None:
    rng = random.Random(3)
    outcomes = Counter[str]()
    for number in range(1500):
        data = bytearray(
            archive(
                {"a.ks": SCENE, "b.json": LIST[:60]}, packed=number % 3 == 0, newer=number % 2 == 0, pieces=2
            )
        )
        for _ in range(rng.choice((1, 1, 3))):
            data[rng.randrange(11, len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        try:
            for file in opened(bytes(data)).values():
                assert len(file.head) <= file.size
                assert ".." not in file.name
                assert len(file.read()) == file.size
            outcomes["read"] += 1
        except (ScriptError, ProtectedScript) as error:
            outcomes[type(error).__name__] += 1
    assert min(outcomes["read"], outcomes["ScriptError"], outcomes["ProtectedScript"]) > 30, outcomes


@given(st.binary(max_size=120))
def test_arbitrary_bytes_behind_the_magic(data: bytes) -> None:
    for head in (
        xp3.MAGIC,
        xp3.MAGIC + struct.pack("<Q", 19),
        xp3.MAGIC + struct.pack("<QBQ", 19, 0, len(data)),
    ):
        try:
            assert not any(file.read() for file in opened(head + data).values())
        except (ScriptError, ProtectedScript):
            continue
