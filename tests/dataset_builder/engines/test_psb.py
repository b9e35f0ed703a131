"""PSB files: every version and shell gives the same tree, and a broken one is told from a sound one."""

import json
import random
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.engines.psb import Psb, PsbList, PsbObject, load
from dataset_builder.engines.psb_shell import Keystream
from dataset_builder.errors import ScriptError
from tests.conftest import ROOT
from tests.dataset_builder.psb_writer import array, write_mdf, write_psb

FIXTURES = ROOT.parent / "shared" / "corpora" / "psb_fixtures"
KEY = 0x2AF31B05

TREE: dict[str, Any] = {
    "numbers": [0, 1, -1, 127, 128, -128, -129, 255, 2**31, -(2**63), 2**63 - 1],
    "others": [None, True, False, 0.0, 1.5, -0.25],
    "texts": ["", "おはよう", "早上好", "good morning", "おはよう"],
    "empty": [[], {}],
    "inside": {"a": {"b": [{"a": "あ", "鍵": [[[]]]}]}},
}


@pytest.mark.parametrize("version", [1, 2, 3, 4])
@pytest.mark.parametrize("shared", [False, True])
def test_every_version_gives_the_tree_that_was_written(version: int, shared: bool) -> None:
    assert load(write_psb(TREE, version, shared=shared), "a.psb") == TREE
    assert load(write_mdf(write_mdf(write_psb(TREE, version))), "a.psb") == TREE


@pytest.mark.parametrize("version", [2, 3, 4])
def test_an_encrypted_file_needs_its_key(version: int) -> None:
    locked = write_psb(TREE, version, key=KEY)
    assert load(locked, "a.psb", KEY) == TREE
    with pytest.raises(ScriptError, match=r"encrypted.*--psb-key"):
        load(locked, "a.psb")
    with pytest.raises(ScriptError, match="another key"):
        load(locked, "a.psb", KEY ^ 0x5A5A5A5A)
    assert load(write_psb(TREE, version), "a.psb", KEY) == TREE  # a key for what needs none


def test_a_header_and_a_body_are_encrypted_by_one_stream() -> None:
    plain = write_psb(TREE, 3)
    names, chunks = struct.unpack_from("<I8xI", plain, 12)[0], struct.unpack_from("<I", plain, 24)[0]
    stream = Keystream(KEY)
    header = stream.applied(plain[8:44])
    locked = plain[:8] + header + stream.applied(plain[names:chunks]) + plain[chunks:]
    assert load(locked, "a.psb", KEY) == TREE


def test_bytes_leave_a_word_until_it_is_zero() -> None:
    whole = Keystream(KEY).applied(bytes(4000))
    assert 0 in whole  # inside a word, zeros do count
    stream = Keystream(KEY)
    assert b"".join(stream.applied(bytes(n)) for n in (1, 2, 3, 994, 3000)) == whole
    # The first word is w = x ^ x << 11 ^ …, worked out by hand.
    a = 123456789 ^ (123456789 << 11) & 0xFFFFFFFF
    word = a ^ KEY ^ ((a ^ (KEY >> 11)) >> 8)
    assert whole[:4] == word.to_bytes(4, "little")


def test_only_what_is_asked_for_is_read() -> None:
    data = bytearray(write_psb({"lines": [1, 2], "name": "名前", "texts": ["一", "二", "三"]}))
    psb = Psb(bytes(data), "a.psb")
    root = psb.root
    assert isinstance(root, PsbObject)
    assert root.get("name") == "名前"
    assert root.get("nothing") is None
    texts = root.get("texts")
    assert isinstance(texts, PsbList)
    assert (len(texts), texts[1], texts[:2], texts[:9]) == (3, "二", ["一", "二"], ["一", "二", "三"])
    with pytest.raises(ScriptError, match="number 3"):
        texts[3]
    assert ("name" in psb, "nam" in psb, "names" in psb, "" in psb) == (True, False, False, False)


def test_three_bytes_are_a_width_too() -> None:
    texts = [str(number) for number in range(70_000)]
    assert load(write_psb(texts, 2), "a.psb") == texts


def test_names_of_a_large_trie() -> None:
    tree = {f"{word}{number}": number for word in ("a", "ab", "鍵", "鍵盤") for number in range(150)}
    assert load(write_psb(tree), "a.psb") == tree


def test_shells_that_are_not_read_are_named() -> None:
    for magic, name in ((b"mzs\0", "MZS"), (b"mfl\0", "MFL"), (b"mxb\0", "MXB"), (b"PSZ\0", "PSZ")):
        with pytest.raises(ScriptError, match=name):
            load(magic + bytes(60), "a.psb")
    with pytest.raises(ScriptError, match="key of its own"):
        load(b"mdf\0" + struct.pack("<I", 99) + b"\x55" * 40, "a.psb.m")
    with pytest.raises(ScriptError, match="no PSB"):
        load(b"{}", "a.psb")
    data = write_psb(TREE)
    for _ in range(9):
        data = write_mdf(data)
    with pytest.raises(ScriptError, match="too many shells"):
        load(data, "a.psb")


def test_a_shell_of_another_size_than_it_claims() -> None:
    data = write_mdf(write_psb(TREE))
    larger = data[:4] + struct.pack("<I", 10**6) + data[8:]
    psb = Psb(larger, "a.psb")
    assert psb.odd == [f"its MDF shell claims 1,000,000 bytes and holds {len(write_psb(TREE)):,}"]
    with pytest.raises(ScriptError, match="holds more"):
        load(data[:4] + struct.pack("<I", 10) + data[8:], "a.psb")
    with pytest.raises(ScriptError, match="claims 4,294,967,295 bytes"):
        load(data[:4] + b"\xff" * 4 + data[8:], "a.psb")
    with pytest.raises(ScriptError, match="cut off"):
        load(data[:-20], "a.psb")


def test_a_wrong_checksum_is_no_reason_to_stop() -> None:
    data = bytearray(write_psb(TREE, 4))
    data[40] ^= 1
    psb = Psb(bytes(data), "a.psb")
    assert psb.odd == ["the checksum of its header is wrong"]
    assert Psb(write_psb(TREE, 4), "a.psb").odd == []


def test_lz4() -> None:
    frame = pytest.importorskip("lz4.frame")
    data = frame.compress(write_psb(TREE))
    assert load(data, "a.psb") == TREE
    with pytest.raises(ScriptError, match="LZ4"):
        load(data[:-9], "a.psb")
    with pytest.raises(ScriptError, match="LZ4"):
        load(data[:30] + b"\xff" * 9 + data[39:], "a.psb")


def deep(levels: int) -> Any:
    value: Any = "内"
    for _ in range(levels):
        value = [value]
    return value


def test_nesting_has_an_end() -> None:
    assert load(write_psb(deep(200)), "a.psb") == deep(200)
    with pytest.raises(ScriptError, match="too deep"):
        load(write_psb(deep(201)), "a.psb")


def test_a_list_that_unfolds_without_end() -> None:
    data = bytearray(write_psb([]))
    struct.pack_into("<I", data, 36, len(data))  # the root, behind everything else
    layer = b"\x20" + array([0] * 200)  # 200 times what follows: 200 ** 40 items
    with pytest.raises(ScriptError, match="repeats itself"):
        load(bytes(data) + layer * 40 + b"\x20" + array([]), "a.psb")


def test_names_that_lead_in_a_circle() -> None:
    # Nodes 98 and 99 are each other's parent, by the letters b and c: `abcbcbcb…`.
    bases, parents = [0] * 100, [0] * 100
    bases[98], bases[99], parents[98], parents[99] = 99 - ord("c"), 98 - ord("b") + 256, 99, 98
    for base in (bases[99], 0):  # a letter that is none, and a circle
        bases[99] = base
        names = array(bases) + array(parents) + array([98])
        data = write_psb({"a": 1})
        shift = len(names) - (struct.unpack_from("<I", data, 36)[0] - 40)
        offsets = [each + shift for each in struct.unpack_from("<6I", data, 16)]
        header = data[:16] + struct.pack("<6I", *offsets)
        with pytest.raises(ScriptError, match="lead nowhere"):
            load(header + names + data[40 + len(names) - shift :], "a.psb")


def test_what_is_no_utf_8() -> None:
    data = write_psb(["おはよう"]).replace("おはよう".encode(), b"\xff" * 12)
    with pytest.raises(ScriptError, match="no UTF-8"):
        load(data, "a.psb")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    for start in (b"", b"PSB\0\x02\0\0\0", b"PSB\0\x04\0\0\0", b"mdf\0"):
        with pytest.raises(ScriptError):
            load(start + data, "a.psb")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6), inner)
    ),
    max_leaves=20,
)


@given(values, st.sampled_from([1, 2, 3, 4]), st.booleans())
def test_any_tree_comes_back(tree: Any, version: int, shared: bool) -> None:
    assert load(write_psb(tree, version, shared=shared), "a.psb") == tree


@pytest.mark.parametrize("version", [1, 2, 4])
def test_flipped_and_cut_files_are_read_or_refused(version: int) -> None:
    rng = random.Random(version)
    sound = write_psb(TREE, version)
    outcomes = Counter[str]()
    for _ in range(1500):
        data = bytearray(sound)
        for _ in range(rng.choice((1, 1, 3))):
            data[rng.randrange(4, len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        try:
            outcomes["as written" if load(bytes(data), "a.psb") == TREE else "otherwise"] += 1
        except ScriptError:
            outcomes["refused"] += 1
    assert outcomes["otherwise"] > 50 < outcomes["refused"], outcomes


@pytest.mark.corpora
def test_files_of_another_writer_give_the_tree_they_were_made_from() -> None:
    files = sorted(FIXTURES.glob("*.scn"))
    assert len(files) >= 16
    for path in files:
        if path.name.startswith("truncated"):
            with pytest.raises(ScriptError, match="cut off"):
                load(path.read_bytes(), path.name)
            continue
        expected = json.loads(
            Path(FIXTURES, f"{path.name.partition('_tuple')[0]}_tuple.expected.json").read_text("utf-8")
        )
        psb = Psb(path.read_bytes(), path.name, KEY if "key" in path.name else None)
        assert psb.odd == [], path.name
        assert load(path.read_bytes(), path.name, KEY if "key" in path.name else None) == expected, path.name
