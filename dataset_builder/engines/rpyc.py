"""Ren'Py's compiled scripts, `.rpyc` and `.rpymc` (facts: renpy/script.py and renpy/ast.py, MIT).

Version 2 begins with `RENPY RPC2`, then rows of three u32 (slot, start, length) up to slot 0. Slot 1 holds
the statements as written, slot 2 the same with the identifiers of lines. A slot is zlib over the pickle of a
pair, versions and statements; version 1 is such a stream alone. Statements are objects of `renpy.ast`: see
`renpy_pickle` for how they are read without any of it.
"""

import struct
from typing import Any

from dataset_builder.engines.renpy_expressions import literal
from dataset_builder.engines.renpy_lexer import logical_lines
from dataset_builder.engines.renpy_nodes import (
    Assignment,
    Call,
    If,
    Jump,
    Label,
    Menu,
    MenuItem,
    Node,
    Return,
    Say,
    Script,
    Voice,
    While,
)
from dataset_builder.engines.renpy_pickle import Inert, load, unpack
from dataset_builder.engines.renpy_say import canonical
from dataset_builder.engines.renpy_statements import DEEPEST, SILENT, assignments, python_nodes, registered
from dataset_builder.errors import ProtectedScript, ScriptError
from dataset_builder.report import Losses

MAGIC = b"RENPY RPC2"

_SLOTS = (2, 1)  # in the order in which they are wanted
_ROW = struct.Struct("<III")
_ZLIB = b"\x78"
_WORK = 16  # letters and statements to look at, for each byte of the pickle


def read_compiled(data: bytes, file: str, losses: Losses) -> Script:
    """The script in a compiled file. Raises `ScriptError`, and `ProtectedScript` for a form that only the
    game itself can open."""
    pickle = unpack(_statements(data, file), file)
    content = load(pickle, file)
    if not isinstance(content, tuple) or len(content) != 2 or not isinstance(content[1], list):
        raise ScriptError(file, 0, "its pickle holds no statements")
    return _Reader(file, _WORK * len(pickle), losses).script(content[1])


def _statements(data: bytes, file: str) -> bytes:
    """The packed statements."""
    if data.startswith(_ZLIB):
        return data
    if not data.startswith(MAGIC):
        raise ProtectedScript(file, "a compiled script with a header of the game's own")
    slots: dict[int, bytes] = {}
    at = len(MAGIC)
    while at + _ROW.size <= len(data):
        slot, start, length = _ROW.unpack_from(data, at)
        if not slot:
            break
        slots[slot] = data[start : start + length]
        at += _ROW.size
    for slot in _SLOTS:
        if slots.get(slot):
            return slots[slot]
    raise ScriptError(file, 0, "it holds no statements")


class _Reader:
    """From statements of `renpy.ast` to ours.

    A pickle may hold the same thing any number of times, and within itself. `work` bounds how many statements
    and letters are looked at; more than a few for each byte means that the file is made to keep us busy.
    """

    def __init__(self, file: str, work: int, losses: Losses) -> None:
        self._script = Script(file)
        self._left = work
        self._losses = losses
        self._depth = 0
        self._constant = False  # inside `init`
        self._certain = True
        self._called = -1  # the line of the last call

    def script(self, statements: list[Any]) -> Script:
        self._script.nodes = self._block(statements)
        return self._script

    def _block(self, statements: Any) -> list[Node]:
        if not isinstance(statements, list):
            return []
        if self._depth >= DEEPEST:
            raise ScriptError(self._script.name, 0, f"blocks are more than {DEEPEST} deep")
        self._spend(len(statements))
        self._depth += 1
        nodes: list[Node] = []
        group: list[str] = []
        for statement in statements:
            if isinstance(statement, Inert):
                nodes += self._nodes(statement, group)
        self._depth -= 1
        return nodes

    def _spend(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise ScriptError(self._script.name, 0, "its statements contain themselves")

    def _nodes(self, statement: Inert, group: list[str]) -> list[Node]:
        """What one statement comes to. `group` holds the voice statements and the like right above it."""
        line = _number(statement.get("linenumber"))
        match statement.kind:
            case "Say" | "TranslateSay":
                return self._say(statement, line, group)
            case "UserStatement":
                return self._user_statement(statement, group)
        group.clear()
        match statement.kind:
            case "Init":
                constant, self._constant = self._constant, True
                nodes = self._block(statement.get("block"))
                self._constant = constant
                return nodes
            case "Label":
                name = _text(statement.get("name") or statement.get("_name"))
                block = self._block(statement.get("block"))
                within = line == self._called and not block  # `call … from label`
                return [Label(line, name, block, statement.get("hide") is True, within)]
            case "Jump":
                return [Jump(_target(statement, "target"))]
            case "Call":
                self._called = line
                return [Call(_target(statement, "label"))]
            case "Return":
                return [Return()]
            case "If":
                return [self._if(statement)]
            case "While":
                return [While(self._block(statement.get("block")))]
            case "Menu":
                return [self._menu(statement, line)]
            case "Define" | "Default":
                self._define(statement)
            case "Python" | "EarlyPython":
                return self._python(_source(statement.get("code")), line)
            case "Translate":
                return self._translate(statement)
            case "TranslateString":
                language, old, new = (statement.get(field) for field in ("language", "old", "new"))
                if isinstance(language, str):
                    self._script.strings.setdefault(language, {})[_text(old)] = _text(new)
        return []

    def _say(self, statement: Inert, line: int, group: list[str]) -> list[Node]:
        who, what, identifier = (statement.get(field) for field in ("who", "what", "identifier"))
        if not isinstance(what, str) or not (who is None or isinstance(who, str)):
            self._losses.skip("broken statement")
            return []
        given = self._pairs(statement.get("arguments"))
        self._spend(len(what))
        say = Say(line, who, what, (), _text(identifier), dict(given).get("name"), self._certain)
        if statement.kind == "Say":
            code = canonical(
                who,
                what,
                self._words(statement.get("attributes")),
                self._words(statement.get("temporary_attributes")),
                interact=statement.get("interact") is not False,
                identifier=say.identifier,
                arguments=_spelled(given),
                with_=_text(statement.get("with_")),
            )
            say.code = (*group, code)
            if say.identifier:
                self._script.identifiers.add(say.identifier)
        elif isinstance(language := statement.get("language"), str):
            self._script.translations.setdefault(language, {})[say.identifier] = [what]
            return []
        group.clear()
        return [say]

    def _user_statement(self, statement: Inert, group: list[str]) -> list[Node]:
        words = (text := _text(statement.get("line"))).split(None, 1) or [""]
        if words[0] == "voice" or text.split()[:2] == ["nvl", "clear"]:
            group.append(text)
            file = literal(words[1]) if len(words) > 1 else None
            return [Voice(file)] if file is not None else []
        group.clear()
        word = words[0].rstrip(":")
        if word in SILENT or word == "call":  # which is `call screen` here
            return []
        self._losses.unknown[word] += 1
        certain, self._certain = self._certain, False
        nodes = self._block(statement.get("code_block"))
        parts = statement.get("subparses")
        parts = parts if isinstance(parts, list) else []
        self._spend(len(parts))
        for part in parts:
            nodes += self._block(part.get("block") if isinstance(part, Inert) else None)
        self._certain = certain
        return nodes

    def _if(self, statement: Inert) -> If:
        entries = self._tuples(statement.get("entries"), 2)
        arms = [self._block(block) for _, block in entries]
        return If(arms, bool(entries) and entries[-1][0] == "True")

    def _menu(self, statement: Inert, line: int) -> Menu:
        menu = Menu(line, [])
        for text, condition, block in self._tuples(statement.get("items"), 3):
            self._spend(len(_text(text)))
            item = MenuItem(line, _text(text), "" if condition == "True" else _text(condition))
            if block is not None:
                item.block = self._block(block)
            menu.items.append(item)
        return menu

    def _define(self, statement: Inert) -> None:
        name, expression = _text(statement.get("varname")), _source(statement.get("code"))
        if name and expression:
            self._script.assignments.append(Assignment(name, expression.strip(), constant=True))

    def _python(self, source: str, number: int) -> list[Node]:
        self._spend(len(source))
        self._script.statements |= registered(source)
        lines = logical_lines(source, self._script.name, self._losses)
        for line in lines:
            self._script.assignments += assignments(line.text, constant=self._constant)
        return python_nodes(lines[0].text, number) if len(lines) == 1 and not self._constant else []

    def _translate(self, statement: Inert) -> list[Node]:
        """A block for a language, or a line of the original with a voice statement above it."""
        nodes = self._block(statement.get("block"))
        language, identifier = statement.get("language"), _text(statement.get("identifier"))
        says = [node for node in nodes if isinstance(node, Say)]
        if isinstance(language, str):
            texts = [say.what for say in says]
            self._script.translations.setdefault(language, {})[identifier] = texts
            return []
        for say in says:
            say.code, say.identifier = (), identifier
        return nodes

    def _tuples(self, value: Any, size: int) -> list[tuple[Any, ...]]:
        """The rows of a list that have so many columns."""
        rows = value if isinstance(value, list) else []
        self._spend(len(rows))
        return [row for row in rows if isinstance(row, tuple) and len(row) == size]

    def _pairs(self, value: Any) -> list[tuple[str, str]]:
        """The arguments of a say statement: names ("" where there is none) and expressions."""
        rows = self._tuples(value.get("arguments") if isinstance(value, Inert) else None, 2)
        self._spend(sum(len(_text(expression)) for _, expression in rows))
        return [(_text(name), _text(expression)) for name, expression in rows]

    def _words(self, value: Any) -> list[str]:
        words = [word for word in value if isinstance(word, str)] if isinstance(value, tuple) else []
        self._spend(sum(map(len, words)))
        return words


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 31 else 0


def _spelled(given: list[tuple[str, str]]) -> str:
    return f"({', '.join(f'{name}={value}' if name else value for name, value in given)})" if given else ""


def _source(code: Any) -> str:
    """The source of a `PyCode`: the second part of its state."""
    state = code.state if isinstance(code, Inert) else None
    return _text(state[1]) if isinstance(state, tuple) and len(state) > 1 else ""


def _target(statement: Inert, field: str) -> str:
    """The label that a statement leads to; "" where it is an expression."""
    target = _text(statement.get(field))
    return (literal(target) or "") if statement.get("expression") else target
