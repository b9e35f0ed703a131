"""Compiled scripts of Ren'Py for tests: Python's own pickles of classes that are called as Ren'Py's are."""

import pickle
import struct
import sys
import zlib
from types import ModuleType
from typing import Any

_KINDS = (
    "Say TranslateSay Translate EndTranslate TranslateString Init Label Menu If While Jump Call Return "
    "Define Default Python EarlyPython UserStatement Scene Show With Pass"
)


class _Node:
    """Attributes in slots are pickled as `(None, {…})`, as Ren'Py's are."""

    __slots__ = (
        "arguments", "attributes", "block", "code", "code_block", "condition", "entries", "expression",
        "filename", "hide", "identifier", "interact", "items", "label", "language", "line", "linenumber",
        "name", "new", "next", "old", "subparses", "target", "varname", "what", "who",
    )  # fmt: skip


class _PyExpr(str):
    def __getnewargs__(self) -> tuple[Any, ...]:
        return str(self), "game/script.rpy", 1, 3


class _PyCode:
    __slots__ = ("source",)

    def __getstate__(self) -> tuple[Any, ...]:
        return 1, self.source, ("game/script.rpy", 1, 0), "exec", 3


class _Module(ModuleType):
    """Holds classes whose module it claims to be."""

    def __init__(self, name: str, **classes: type) -> None:
        super().__init__(name)
        for kind, base in classes.items():
            setattr(self, kind, type(kind, (base,), {"__module__": name, "__slots__": ()}))


_AST = _Module("renpy.ast", PyExpr=_PyExpr, PyCode=_PyCode, **dict.fromkeys(_KINDS.split(), _Node))
_REVERTABLE = _Module("renpy.revertable", RevertableList=list)
_OTHERS = _Module("renpy.lexer", SubParse=_Node), _Module("renpy.parameter", ArgumentInfo=_Node)
_MODULES = {module.__name__: module for module in (ModuleType("renpy"), _AST, _REVERTABLE, *_OTHERS)}


def node(kind: str, number: int = 1, /, **fields: Any) -> Any:
    """A statement, or another object of Ren'Py's, with these attributes."""
    module = next(module for module in _MODULES.values() if hasattr(module, kind))
    made = getattr(module, kind)()
    for field, value in {"filename": "game/script.rpy", "linenumber": number, "next": None, **fields}.items():
        setattr(made, field, value)
    return made


def expression(text: str) -> Any:
    return _AST.PyExpr(text)


def code(source: str) -> Any:
    made = _AST.PyCode()
    made.source = expression(source)
    return made


def revertable(*items: Any) -> Any:
    return _REVERTABLE.RevertableList(items)


def dumps(value: Any, protocol: int = 2) -> bytes:
    sys.modules.update(_MODULES)
    try:
        return pickle.dumps(value, protocol)
    finally:
        for name in _MODULES:
            del sys.modules[name]


def compiled(statements: Any, protocol: int = 2, *slots: int) -> bytes:
    """A file of version 2 with the statements in these slots."""
    return packed(
        {slot: zlib.compress(dumps(({"version": 5_003_000}, statements), protocol)) for slot in slots or (1,)}
    )


def packed(slots: dict[int, bytes]) -> bytes:
    """A file of version 2 from its packed slots."""
    start = 10 + 12 * (len(slots) + 1)
    rows, bodies = b"", b""
    for slot, body in slots.items():
        rows += struct.pack("<III", slot, start + len(bodies), len(body))
        bodies += body
    return b"RENPY RPC2" + rows + struct.pack("<III", 0, 0, 0) + bodies + b"\0" * 16
