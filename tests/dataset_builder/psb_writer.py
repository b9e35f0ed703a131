"""Writes PSB files, so that tests have some of their own text."""

import struct
import zlib
from typing import Any

from dataset_builder.engines.psb_shell import Keystream

_HEADER_SIZES = {1: 40, 2: 40, 3: 44, 4: 56}


def write_psb(root: Any, version: int = 2, *, shared: bool = False, key: int | None = None) -> bytes:
    """A PSB of plain values. `shared` writes an item once that stands several times in a list. `key` encrypts
    the header from version 3 on, and what follows it before."""
    names = sorted(_keys(root), key=str.encode)
    numbers = {name: number for number, name in enumerate(names)}
    strings: dict[str, int] = {}
    size = _HEADER_SIZES[version]
    if version == 1:
        zeroed = [name.encode() + b"\0" for name in names]
        name_offsets = size + sum(map(len, zeroed))
        named = b"".join(zeroed) + array(_sums(zeroed))
    else:
        name_offsets = 0
        named = _trie([name.encode() for name in names])
    tree = _value(root, numbers, strings, version, shared)
    texts = [text.encode() + b"\0" for text in strings]
    parts = [named, tree, array(_sums(texts)), b"".join(texts), array([]), array([]), b""]
    places = _sums([b"\0" * size, *parts])[1:]
    header = struct.pack("<8I", name_offsets or size, places[0], *places[2:7], places[1])
    body = b"".join(parts)
    stream = Keystream(key) if key is not None else None
    if version >= 4:
        end = len(body) + size
        extra = struct.pack("<3I", end, end, end)
        checksum = zlib.adler32(extra, zlib.adler32(header))
        header += struct.pack("<I", checksum) + extra
    elif version == 3:
        header += struct.pack("<I", zlib.adler32(header))
    if stream is not None and version >= 3:
        header = stream.applied(header)
    elif stream is not None:
        inner = places[4] - size
        body = stream.applied(body[:inner]) + body[inner:]
    return b"PSB\0" + struct.pack("<HH", version, 0) + header + body


def write_mdf(data: bytes) -> bytes:
    return b"mdf\0" + struct.pack("<I", len(data)) + zlib.compress(data)


def array(numbers: list[int]) -> bytes:
    width = max(1, (max(numbers, default=0).bit_length() + 7) // 8)
    count = len(numbers)
    counted = max(1, (count.bit_length() + 7) // 8)
    return b"".join(
        (
            bytes([0x0C + counted]),
            count.to_bytes(counted, "little"),
            bytes([0x0C + width]),
            *(number.to_bytes(width, "little") for number in numbers),
        )
    )


def _sums(parts: list[bytes]) -> list[int]:
    """Where each part begins when they stand one behind another."""
    places, at = [], 0
    for part in parts:
        places.append(at)
        at += len(part)
    return places


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    if isinstance(value, list):
        return set().union(*map(_keys, value))
    return set()


def _value(value: Any, names: dict[str, int], strings: dict[str, int], version: int, shared: bool) -> bytes:
    if value is None or value is False or value is True:
        return {None: b"\x01", False: b"\x02", True: b"\x03"}[value]
    if isinstance(value, int):
        if value == 0:
            return b"\x04"
        width = (value.bit_length() if value > 0 else (-value - 1).bit_length()) // 8 + 1
        return bytes([0x04 + width]) + value.to_bytes(width, "little", signed=True)
    if isinstance(value, float):
        return b"\x1d" if value == 0 else b"\x1f" + struct.pack("<d", value)
    if isinstance(value, str):
        index = strings.setdefault(value, len(strings))
        width = max(1, (index.bit_length() + 7) // 8)
        return bytes([0x14 + width]) + index.to_bytes(width, "little")
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: names[item[0]])
        parts = [_value(each, names, strings, version, shared) for _, each in items]
        keys = [names[name] for name, _ in items]
        if version == 1:
            parts = [_key(key) + part for key, part in zip(keys, parts, strict=True)]
            return b"\x21" + array(_sums(parts)) + b"".join(parts)
        return b"\x21" + array(keys) + array(_sums(parts)) + b"".join(parts)
    parts, places, at = [], [], 0
    before: dict[int, int] = {}
    for each in value:
        if not shared or id(each) not in before:
            parts.append(_value(each, names, strings, version, shared))
            before[id(each)] = at
            at += len(parts[-1])
        places.append(before[id(each)])
    return b"\x20" + array(places) + b"".join(parts)


def _key(number: int) -> bytes:
    width = max(1, (number.bit_length() + 7) // 8)
    return bytes([0x10 + width]) + number.to_bytes(width, "little")


def _trie(names: list[bytes]) -> bytes:
    """Double-array trie: node = base of its parent + letter; a name ends with the letter 0."""
    bases, parents, ends = [0], [0], [0] * len(names)
    taken = {0}
    waiting = [(0, 0, list(range(len(names))))]  # node, depth, names below it
    while waiting:
        node, depth, below = waiting.pop(0)
        children: dict[int, list[int]] = {}
        for number in below:
            children.setdefault((names[number] + b"\0")[depth], []).append(number)
        base = 1
        while any(base + letter in taken for letter in children):
            base += 1
        bases[node] = base
        for letter, inside in children.items():
            child = base + letter
            taken.add(child)
            bases += [0] * (child + 1 - len(bases))
            parents += [0] * (child + 1 - len(parents))
            parents[child] = node
            if letter:
                waiting.append((child, depth + 1, inside))
            else:
                bases[child] = inside[0]
                ends[inside[0]] = child
    return array(bases) + array(parents) + array(ends)
