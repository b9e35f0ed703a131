"""Python's pickles, read without Python's unpickler: nothing is imported, called or made but plain data.

Compiled scripts and archives of Ren'Py are pickles (protocol 2 and later), and a pickle is a program. The
machine here runs its stack and no more: classes stay names, and what would be made of them becomes an `Inert`
with its attributes. No opcode costs more than its own bytes: nothing is copied, and keys of dictionaries are
strings, whose hashes no file can choose. (Opcodes: Lib/pickletools.py of Python.)
"""

import struct
import zlib
from typing import Any

from dataset_builder.errors import ScriptError

_RATIO = 64  # bytes that zlib may make of one; scripts take about 4
_LEAST = 1 << 20  # bytes that it may make anyhow
_LONGEST_NUMBER = 64  # bytes
_LONGEST_BYTES = 4096  # in a string that protocol 2 has to encode

_OURS = frozenset({"renpy", "builtins", "__builtin__", "collections", "copyreg", "copy_reg"})
_LISTS = frozenset({"list", "set", "frozenset", "RevertableList", "RevertableSet"})
_DICTS = frozenset({"dict", "defaultdict", "OrderedDict", "RevertableDict"})
_MAKERS = {"__newobj__": 1, "__newobj_ex__": 1, "_reconstructor": 2}  # how many arguments are no arguments


class Inert:
    """An object that was not made: the name of its class (without the module for Ren'Py's and Python's own)
    and what it would have been given."""

    __slots__ = ("kind", "state")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.state: Any = None

    def get(self, field: str) -> Any:
        """An attribute; None where it has no such."""
        state = self.state
        if isinstance(state, tuple):  # attributes, and those of slots
            for part in state[:2]:
                if isinstance(part, dict) and field in part:
                    return part[field]
        return state.get(field) if isinstance(state, dict) else None


class _Class:
    """A class or function by its name."""

    __slots__ = ("name",)

    def __init__(self, module: str, name: str) -> None:
        self.name = name if module.partition(".")[0] in _OURS else f"{module}.{name}"


def unpack(data: bytes, file: str) -> bytes:
    """What zlib has packed, within reason. Raises `ScriptError`."""
    machine = zlib.decompressobj()
    try:
        unpacked = machine.decompress(data, len(data) * _RATIO + _LEAST)
    except zlib.error as error:
        raise ScriptError(file, 0, f"its packed data is broken: {error}") from error
    if not machine.eof:
        raise ScriptError(file, 0, "its packed data is cut off, or is far more than a script holds")
    return unpacked


def load(data: bytes, file: str) -> Any:
    """What a pickle contains: numbers, strings, bytes, lists (sets too), tuples, dictionaries of strings and
    `Inert`. It may contain itself. Raises `ScriptError`."""
    try:
        return _run(data)
    except (IndexError, KeyError, ValueError, TypeError, struct.error) as error:
        raise ScriptError(file, 0, f"its pickle is broken: {error}") from error


def _run(data: bytes) -> Any:
    stack: list[Any] = []
    below: list[list[Any]] = []  # the stacks under the marks
    memo: dict[int, Any] = {}
    at = 0
    while True:
        opcode = data[at]
        at += 1
        if opcode == 0x68:  # BINGET
            stack.append(memo[data[at]])
            at += 1
        elif opcode == 0x4E:  # NONE
            stack.append(None)
        elif opcode == 0x72:  # LONG_BINPUT
            memo[int.from_bytes(data[at : at + 4], "little")] = stack[-1]
            at += 4
        elif opcode == 0x71:  # BINPUT
            memo[data[at]] = stack[-1]
            at += 1
        elif opcode == 0x58:  # BINUNICODE
            text, at = _counted(data, at, 4)
            stack.append(text.decode("utf-8", "replace"))
        elif opcode == 0x4B:  # BININT1
            stack.append(data[at])
            at += 1
        elif opcode == 0x6A:  # LONG_BINGET
            stack.append(memo[int.from_bytes(data[at : at + 4], "little")])
            at += 4
        elif opcode == 0x28:  # MARK
            below.append(stack)
            stack = []
        elif opcode == 0x86:  # TUPLE2
            stack[-2:] = [(stack[-2], stack[-1])]
        elif opcode == 0x87:  # TUPLE3
            stack[-3:] = [(stack[-3], stack[-2], stack[-1])]
        elif opcode == 0x29:  # EMPTY_TUPLE
            stack.append(())
        elif opcode == 0x7D:  # EMPTY_DICT
            stack.append({})
        elif opcode == 0x62:  # BUILD
            state = stack.pop()
            if isinstance(stack[-1], Inert):
                stack[-1].state = state
        elif opcode in (0x81, 0x52):  # NEWOBJ, REDUCE
            arguments = stack.pop()
            stack[-1] = _make(stack[-1], arguments)
        elif opcode == 0x94:  # MEMOIZE
            memo[len(memo)] = stack[-1]
        elif opcode == 0x2E:  # STOP
            return stack[-1]
        elif opcode in _MARKED:
            items, stack = stack, below.pop()
            _close(opcode, stack, items)
        elif (size := _SIZES.get(opcode)) is not None:
            value, at = _counted(data, at, size)
            stack.append(_value(opcode, value))
        else:
            at = _step(opcode, data, at, stack)


def _counted(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    """The bytes whose number stands in the `size` bytes at `at`, and where they end."""
    start = at + size
    end = start + int.from_bytes(data[at:start], "little")
    if end > len(data):
        raise ValueError(f"it is cut off at byte {at}")
    return data[start:end], end


# Opcodes with bytes behind them: how many bytes say how many there are.
_SIZES = {
    0x55: 1, 0x54: 4,  # SHORT_BINSTRING, BINSTRING
    0x8C: 1, 0x8D: 8,  # SHORT_BINUNICODE, BINUNICODE8
    0x43: 1, 0x42: 4, 0x8E: 8, 0x96: 8,  # SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
    0x8A: 1, 0x8B: 4,  # LONG1, LONG4
}  # fmt: skip
_TEXTS = frozenset({0x55, 0x54, 0x8C, 0x8D})
_NUMBERS = frozenset({0x8A, 0x8B})


def _value(opcode: int, value: bytes) -> Any:
    if opcode in _TEXTS:
        return value.decode("utf-8", "replace")
    if opcode not in _NUMBERS:
        return value
    if len(value) > _LONGEST_NUMBER:
        raise ValueError(f"a number has {len(value)} bytes")
    return int.from_bytes(value, "little", signed=True)


# Opcodes that take everything above the last mark.
_MARKED = frozenset({0x74, 0x75, 0x65, 0x6C, 0x64, 0x90, 0x91, 0x6F, 0x31})


def _close(opcode: int, stack: list[Any], items: list[Any]) -> None:
    if opcode == 0x74:  # TUPLE
        stack.append(tuple(items))
    elif opcode == 0x75:  # SETITEMS
        _set(stack[-1], items)
    elif opcode in (0x65, 0x90):  # APPENDS, ADDITEMS
        if isinstance(stack[-1], list):
            stack[-1] += items
    elif opcode in (0x6C, 0x91):  # LIST, FROZENSET
        stack.append(items)
    elif opcode == 0x64:  # DICT
        stack.append({})
        _set(stack[-1], items)
    elif opcode == 0x6F:  # OBJ
        stack.append(_make(items[0], items[1:]))
    # and POP_MARK, which forgets them


def _set(target: Any, items: list[Any]) -> None:
    if isinstance(target, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, str):
                target[key] = value


def _step(opcode: int, data: bytes, at: int, stack: list[Any]) -> int:
    """An opcode that is rare; where the next one stands."""
    if opcode == 0x4D:  # BININT2
        stack.append(int.from_bytes(data[at : at + 2], "little"))
        return at + 2
    if opcode == 0x4A:  # BININT
        stack.append(int.from_bytes(data[at : at + 4], "little", signed=True))
        return at + 4
    if opcode == 0x47:  # BINFLOAT
        stack.append(struct.unpack_from(">d", data, at)[0])
        return at + 8
    if opcode in (0x88, 0x89):  # NEWTRUE, NEWFALSE
        stack.append(opcode == 0x88)
    elif opcode in (0x5D, 0x8F):  # EMPTY_LIST, EMPTY_SET
        stack.append([])
    elif opcode == 0x85:  # TUPLE1
        stack[-1] = (stack[-1],)
    elif opcode == 0x61:  # APPEND
        item = stack.pop()
        if isinstance(stack[-1], list):
            stack[-1].append(item)
    elif opcode == 0x73:  # SETITEM
        value, key = stack.pop(), stack.pop()
        _set(stack[-1], [key, value])
    elif opcode == 0x63:  # GLOBAL
        module, name, _ = data[at : at + 1024].decode("latin-1").split("\n", 2)
        stack.append(_Class(module, name))
        return at + len(module) + len(name) + 2
    elif opcode == 0x93:  # STACK_GLOBAL
        name = stack.pop()
        if not isinstance(name, str) or not isinstance(stack[-1], str):
            raise ValueError("a class has no name")
        stack[-1] = _Class(stack[-1], name)
    elif opcode == 0x92:  # NEWOBJ_EX
        del stack[-1]
        arguments = stack.pop()
        stack[-1] = _make(stack[-1], arguments)
    elif opcode == 0x80:  # PROTO
        return at + 1
    elif opcode == 0x95:  # FRAME
        return at + 8
    elif opcode == 0x32:  # DUP
        stack.append(stack[-1])
    elif opcode == 0x30:  # POP
        stack.pop()
    else:
        raise ValueError(f"opcode {opcode:#04x} at byte {at - 1} is none of data")
    return at


def _make(what: Any, arguments: Any) -> Any:
    """What a class or function would give: a container, the text of an expression, bytes, or an `Inert`."""
    if not isinstance(what, _Class):
        raise ValueError("it calls what is no class")
    name, first = what.name, 0
    if name in _MAKERS and arguments and isinstance(arguments[0], _Class):
        name, first = arguments[0].name, _MAKERS[name]
    given = arguments[first] if len(arguments) > first else None
    if name in _LISTS:
        return given if isinstance(given, list) else []
    if name in _DICTS:
        return given if isinstance(given, dict) else {}
    if name == "PyExpr" and isinstance(given, str):
        return given
    if name == "bytes" and given is None:
        return b""
    if name == "_codecs.encode" and isinstance(given, str) and len(given) <= _LONGEST_BYTES:
        return given.encode("latin-1")
    return Inert(name)
