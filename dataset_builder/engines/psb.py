"""PSB ("Packaged Struct Binary" of M2), versions 1 to 4: a tree of values in one file, read lazily.

A list or an object knows where its items lie and reads those that are asked for. That is what makes scenes
quick: nine tenths of a file are stage directions and states, which nobody asks for. Facts: FreeMote, psbfile
and emote-psb; all numbers are little-endian.

Nothing in a file is believed. Counts are held against the bytes that are left. Values may be shared, so that
a small file could unfold without end: what is read from one is held against its size (`Psb` says how).
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, overload

from dataset_builder.engines.psb_shell import unpack
from dataset_builder.errors import ScriptError

DEPTH = 200  # lists and objects inside one another
NAME_LIMIT = 1024  # bytes of a name
ITEM = 16  # what reading an item costs, in letters

Value: TypeAlias = "bool | int | float | str | list[int] | PsbList | PsbObject | None"


class Psb:
    """One file.

    `budget` bounds what may be read from it in all, in letters, as a multiple of its size. Scenes take a
    twentieth of it, and at most half if they have nothing but the same short texts in three languages.
    """

    def __init__(self, data: bytes, file: str, key: int | None = None, *, budget: int = 8) -> None:
        """Raises `ScriptError` for what is no PSB, is encrypted (`key` opens it) or cut off."""
        self.file = file
        self.data, self._header, self.odd = unpack(data, file, key)
        self.version = self._header.version
        self._left = budget * len(self.data) + 65536
        self._names: dict[int, str] = {}
        self._strings: dict[int, str] = {}
        self._shapes: dict[bytes, tuple[str, ...]] = {}
        self._string_offsets = Numbers(self, self._header.string_offsets)
        if self.version == 1:
            self._name_offsets = Numbers(self, self._header.name_offsets)
        else:
            self._bases = Numbers(self, self._header.names)
            self._parents = Numbers(self, self._bases.end)
            self._ends = Numbers(self, self._parents.end)

    @property
    def root(self) -> Value:
        return self.value(self._header.root)

    def broken(self, what: str) -> ScriptError:
        return ScriptError(self.file, 0, f"a broken PSB: {what}")

    def spend(self, count: int) -> None:
        """Raises `ScriptError` when more was read than the file's size can be the reason of."""
        self._left -= count
        if self._left < 0:
            raise self.broken("it repeats itself without end")

    def value(self, at: int) -> Value:
        """The value at a place: lists and objects unread, resources as FreeMote's JSON names them."""
        data = self.data
        try:
            tag = data[at]
        except IndexError:
            raise self.broken("a value behind its end") from None
        if 0x15 <= tag <= 0x18:
            index = int.from_bytes(data[at + 1 : at + tag - 0x13], "little")
            text = self._strings.get(index)
            if text is None:
                text = self._text(self._header.strings + self._string_offsets.at(index))
                self._strings[index] = text
            self._left -= len(text)  # whether that was too much is told at the next value
            return text
        if tag == 0x20:
            return PsbList(self, at + 1)
        if tag == 0x21:
            return PsbObject(self, at + 1)
        if tag <= 0x04:
            return (None, None, False, True, 0)[tag]
        if tag <= 0x0C:
            return int.from_bytes(data[at + 1 : at + tag - 3], "little", signed=True)
        if tag <= 0x14:
            numbers = Numbers(self, at)
            self.spend(numbers.count)
            return list(numbers.first(numbers.count))
        if tag <= 0x1C:
            return f"#resource#{int.from_bytes(data[at + 1 : at + tag - 0x17], 'little')}"
        if tag == 0x1D:
            return 0.0
        if tag <= 0x1F:
            kind = "<f" if tag == 0x1E else "<d"
            if at + 1 + struct.calcsize(kind) > len(data):
                raise self.broken("it ends in a number")
            number: float = struct.unpack_from(kind, data, at + 1)[0]
            return number
        if 0x22 <= tag <= 0x25:
            return f"#resource@{int.from_bytes(data[at + 1 : at + tag - 0x20], 'little')}"
        raise self.broken(f"no value is at {at:,}")

    def _text(self, start: int) -> str:
        end = self.data.find(b"\0", start)
        self.spend(max(0, (end if end >= 0 else len(self.data)) - start))
        if end < 0:
            raise self.broken("a string without an end")
        try:
            return self.data[start:end].decode()
        except UnicodeDecodeError as error:
            raise self.broken("a string that is no UTF-8") from error

    def name(self, index: int) -> str:
        """The name of that number: names are kept apart from strings, and are the keys of objects."""
        name = self._names.get(index)
        if name is None:
            if self.version == 1:
                name = self._text(self._header.names + self._name_offsets.at(index))
            else:
                name = self._walked_up(index)
            self._names[index] = name
        return name

    def _walked_up(self, index: int) -> str:
        """Names are a double-array trie: a node's number is its parent's base plus the letter between them. A
        name is read from its end up to node 0."""
        node = self._parents.at(self._ends.at(index))
        letters = bytearray()
        while node:
            self.spend(ITEM)
            parent = self._parents.at(node)
            letter = node - self._bases.at(parent)
            if not 0 < letter < 256 or len(letters) == NAME_LIMIT:
                raise self.broken("its names lead nowhere")
            letters.append(letter)
            node = parent
        letters.reverse()
        try:
            return letters.decode()
        except UnicodeDecodeError as error:
            raise self.broken("a name that is no UTF-8") from error

    def __contains__(self, name: str) -> bool:
        """Whether an object somewhere has a key of that name; of version 1 nothing is known."""
        if self.version == 1:
            return False
        node = 0
        for letter in (*name.encode(), 0):
            child = self._bases.at(node) + letter
            if child >= self._parents.count or self._parents.at(child) != node:
                return False
            node = child
        return True

    def shape(self, keys: "Numbers") -> tuple[str, ...]:
        """The names of an object's keys. Objects of one kind have the same, so they are looked up once."""
        packed = self.data[keys.start : keys.end]
        names = self._shapes.get(packed)
        if names is None or keys.width * len(names) != len(packed):
            self.spend(keys.count * ITEM)
            names = self._shapes[packed] = tuple(map(self.name, keys.first(keys.count)))
        return names


class Numbers:
    """Unsigned numbers in a row: a byte that says how wide the count is, the count, a byte that says how wide
    each number is, the numbers."""

    __slots__ = ("_psb", "count", "end", "start", "width")

    def __init__(self, psb: Psb, at: int) -> None:
        data = psb.data
        try:
            counted = data[at] - 0x0C
            self.start = start = at + counted + 2
            self.count = count = (
                data[at + 1] if counted == 1 else int.from_bytes(data[at + 1 : start - 1], "little")
            )
            self.width = width = data[start - 1] - 0x0C
        except IndexError:
            raise psb.broken("it ends in an array") from None
        self.end = end = start + count * width
        # An array of nothing may have any width, one of something must have one.
        if not (1 <= counted <= 8 and (1 if count else 0) <= width <= 8 and end <= len(data)):
            raise psb.broken(f"no array is at {at:,}")
        self._psb = psb

    def at(self, index: int) -> int:
        if index >= self.count:
            raise self._psb.broken(f"an array of {self.count:,} is asked for number {index:,}")
        start = self.start + index * self.width
        return int.from_bytes(self._psb.data[start : start + self.width], "little")

    def first(self, count: int) -> Iterable[int]:
        """That many of them; there must be so many."""
        data, start, width = self._psb.data, self.start, self.width
        if width == 1:
            return data[start : start + count]
        if width == 2:
            return struct.unpack_from(f"<{count}H", data, start)
        return [
            int.from_bytes(data[at : at + width], "little")
            for at in range(start, start + count * width, width or 1)
        ]


class PsbList(Numbers):
    """A list whose items are read when they are asked for: numbers that say how far behind them each lies."""

    __slots__ = ()

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Value]:
        return iter(self[:])

    @overload
    def __getitem__(self, index: int) -> Value: ...

    @overload
    def __getitem__(self, index: slice) -> list[Value]: ...

    def __getitem__(self, index: int | slice) -> "Value | list[Value]":
        """`items[3]`, `items[:3]` and `items[:]`; no other slices, and nothing is counted from the end."""
        psb, end = self._psb, self.end
        if isinstance(index, slice):
            count = self.count if index.stop is None else min(index.stop, self.count)
            psb.spend(count * ITEM)
            value = psb.value
            return [value(end + offset) for offset in self.first(count)]
        psb.spend(ITEM)
        return psb.value(end + self.at(index))


class PsbObject:
    """An object whose values are read when they are asked for."""

    __slots__ = ("_end", "_places", "_psb")

    def __init__(self, psb: Psb, at: int) -> None:
        self._psb = psb
        if psb.version == 1:
            offsets = Numbers(psb, at)
            psb.spend(offsets.count * ITEM)
            self._end = offsets.end
            self._places = dict(map(self._named, offsets.first(offsets.count)))
            return
        keys = Numbers(psb, at)
        offsets = Numbers(psb, keys.end)
        if keys.count != offsets.count:
            raise psb.broken("an object with more keys than values, or fewer")
        psb.spend(offsets.count)
        self._end = offsets.end
        self._places = dict(zip(psb.shape(keys), offsets.first(offsets.count), strict=True))

    def _named(self, offset: int) -> tuple[str, int]:
        """Version 1: the number of a name, and behind it the value."""
        psb, at = self._psb, self._end + offset
        width = (psb.data[at] if at < len(psb.data) else 0) - 0x10
        if not 1 <= width <= 4:
            raise psb.broken(f"no key is at {at:,}")
        return psb.name(int.from_bytes(psb.data[at + 1 : at + 1 + width], "little")), offset + 1 + width

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def get(self, name: str) -> Value:
        """The value of a key, None without it."""
        place = self._places.get(name)
        if place is None:
            return None
        self._psb.spend(ITEM)
        return self._psb.value(self._end + place)


def load(data: bytes, file: str, key: int | None = None) -> Any:
    """The whole tree as plain values: None, bool, int, float, str, list, dict. Raises `ScriptError`.

    Twenty times slower than reading what one wants of it through `Psb`.
    """
    psb = Psb(data, file, key, budget=64)
    return _plain(psb, psb.root, DEPTH)


def _plain(psb: Psb, value: Value, depth: int) -> Any:
    if isinstance(value, PsbList | PsbObject) and not depth:
        raise psb.broken("its values lie too deep inside one another")
    if isinstance(value, PsbList):
        return [_plain(psb, each, depth - 1) for each in value]
    if isinstance(value, PsbObject):
        return {name: _plain(psb, value.get(name), depth - 1) for name in value}
    return value
