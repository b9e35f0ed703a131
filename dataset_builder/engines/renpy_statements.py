"""Ren'Py's statements from its logical lines (facts: renpy/parser.py of Ren'Py 8, MIT).

What nobody reads (screens, images, styles, transforms, tests) is skipped with its block. A statement that is
no word of Ren'Py's is a line of dialogue or one that the game has registered; the block of such a statement
is read as script, which it often is.
"""

import re
from collections.abc import Callable

from dataset_builder.engines.renpy_expressions import call, literal
from dataset_builder.engines.renpy_lexer import BRACKETS, NAME, TEXT, LogicalLine, logical_lines, unquote
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
from dataset_builder.engines.renpy_say import say
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses

DEEPEST = 100  # blocks inside one another

# Statements of which nothing is read; their blocks are theirs.
SILENT = frozenset(
    {
        "show", "scene", "hide", "with", "image", "play", "stop", "queue", "pause", "window", "style",
        "transform", "screen", "layeredimage", "camera", "nvl", "pass", "testcase", "testsuite",
    }
)  # fmt: skip
_QUOTES = ('"', "'", "`")
_LABEL_NAME = rf"\.?+{NAME}(?:\.{NAME})?+"
_WORD = re.compile(NAME)
_LABEL = re.compile(rf"label\s++({_LABEL_NAME})\s*+(?:{BRACKETS}\s*+)?+(hide\b)?+", re.S)
_MENU = re.compile(rf"menu(?:\s++({_LABEL_NAME}))?+", re.S)
_CONDITION = re.compile(rf"\s*+(?:{BRACKETS}\s*+)?+if\b(.*)", re.S)
_TARGET = re.compile(rf"(?:jump|call)\s++(?:expression\s++(\S.*)|({_LABEL_NAME}))", re.S)
_FROM = re.compile(rf"\sfrom\s++({_LABEL_NAME})\s*+\Z")
_INIT = re.compile(r"init(?:\s++-?\d++)?+\s*+(.*)", re.S)
_TRANSLATE = re.compile(r"translate\s++(\w++)\s++(\w++)")
_MONOLOGUE = re.compile(r"rpy\s++monologue\s++(\w++)")
_DELIMITERS = {"double": "\n\n", "single": "\n", "none": ""}
_REGISTERED = re.compile(r"register_statement\(\s*+(?:name\s*+=\s*+)?+[\"'](\w++)")
_DEFINE = re.compile(r"\w++\s++(?:-?\d++\s++)?+([\w.]++)\s*+(?:\[[^\]]*+\]\s*+)?+[+|]?=\s*+(.++)", re.S)
_SAYS = re.compile(r"renpy\.say\b|[\w.]++\s*+\(\s*+(?:_++\(\s*+)?+[\"']")  # a cheap first look
_ASSIGN = re.compile(r"([^\W\d][\w.]*+)\s*+([-+*/|&%]?+=)(?!=)\s*+(.++)", re.S)


def parse(text: str, file: str, losses: Losses) -> Script:
    """The script in `text`. Raises `ScriptError` for what cannot be taken apart into lines and blocks."""
    script = _Parser(logical_lines(text, file, losses), file, losses).script()
    script.statements = registered(text)
    return script


def registered(python: str) -> set[str]:
    """Words with which statements begin that Python code registers."""
    return set(_REGISTERED.findall(python)) if "register_statement" in python else set()


class _Parser:
    def __init__(self, lines: list[LogicalLine], file: str, losses: Losses) -> None:
        self._lines = lines
        self._next = 0
        self._script = Script(file)
        self._losses = losses
        self._label = ""  # the last global one: names of local ones begin with it
        self._delimiter = _DELIMITERS["double"]
        self._certain = True
        self._depth = 0

    def script(self) -> Script:
        self._script.nodes = self._block(-1)
        return self._script

    def _block(self, indent: int) -> list[Node]:
        """The statements of the lines that follow and stand further in than `indent`."""
        nodes: list[Node] = []
        group: list[str] = []  # voice statements and the like, which share an identifier with the next line
        self._depth += 1
        while (line := self._deeper(indent)) is not None:
            if self._depth > DEEPEST:
                raise ScriptError(self._script.name, line.number, f"blocks are more than {DEEPEST} deep")
            self._statement(line, nodes, group)
        self._depth -= 1
        return nodes

    def _deeper(self, indent: int) -> LogicalLine | None:
        """The next line, if it stands further in than `indent`."""
        if self._next < len(self._lines) and (line := self._lines[self._next]).indent > indent:
            self._next += 1
            return line
        return None

    def _statement(self, line: LogicalLine, nodes: list[Node], group: list[str]) -> None:
        found = _WORD.match(line.text)
        word = found[0] if found else line.text[0]
        if word == "voice" or (word == "nvl" and line.text.split()[1:2] == ["clear"]):
            group.append(line.text)
            if (file := literal(line.text[5:])) is not None:
                nodes.append(Voice(file))
            return
        if word in SILENT and not line.text.startswith(_QUOTES, len(word) + 1):  # `nvl "Text"`
            self._skip_block(line)
        elif word in _READ:
            _READ[word](self, line, nodes)
        elif (said := say(line, group, self._delimiter)) is not None:
            self._keep(said, nodes)
            nodes += self._block(line.indent)  # of a slip in the indentation
        else:
            self._losses.unknown[word] += 1
            certain, self._certain = self._certain, False
            nodes += self._block(line.indent)
            self._certain = certain
        group.clear()

    def _keep(self, said: list[Say], nodes: list[Node]) -> None:
        for each in said:
            each.certain = self._certain
            if each.identifier:
                self._script.identifiers.add(each.identifier)
        nodes += said

    def _skip_block(self, line: LogicalLine) -> None:
        while self._deeper(line.indent):
            pass

    # --- labels and where the story goes

    def _whole_name(self, name: str) -> str:
        return self._label + name if name.startswith(".") else name

    def _label_statement(self, line: LogicalLine, nodes: list[Node]) -> None:
        if found := _LABEL.match(line.text):
            label = self._begin(line, found[1])
            label.hidden = found[2] is not None
            nodes.append(label)
            label.block = self._block(line.indent)
        else:
            self._broken(line, "a label without a name")

    def _begin(self, line: LogicalLine, name: str) -> Label:
        name = self._whole_name(name)
        self._label = name.partition(".")[0]
        return Label(line.number, name, [])

    def _jump(self, line: LogicalLine, nodes: list[Node]) -> None:
        nodes.append(Jump(self._target(line.text)))
        self._skip_block(line)

    def _call(self, line: LogicalLine, nodes: list[Node]) -> None:
        if line.text.split(None, 2)[1:2] != ["screen"]:
            nodes.append(Call(self._target(line.text)))
            if back := _FROM.search(line.text):
                nodes.append(Label(line.number, self._whole_name(back[1]), [], within=True))
        self._skip_block(line)

    def _target(self, text: str) -> str:
        """The label that a statement leads to; "" where it is an expression."""
        if not (found := _TARGET.match(text)):
            return ""
        return (literal(_FROM.sub("", found[1])) or "") if found[1] else self._whole_name(found[2])

    def _return(self, line: LogicalLine, nodes: list[Node]) -> None:
        nodes.append(Return())
        self._skip_block(line)

    # --- alternatives

    def _if(self, line: LogicalLine, nodes: list[Node]) -> None:
        arms = [self._block(line.indent)]
        exhaustive = False
        while (
            self._next < len(self._lines)
            and (other := self._lines[self._next]).indent == line.indent
            and (word := _WORD.match(other.text))
            and word[0] in _OTHERWISE
        ):
            self._next += 1
            arms.append(self._block(line.indent))
            exhaustive = word[0].lower() == "else"
        nodes.append(If(arms, exhaustive))

    def _stray(self, line: LogicalLine, nodes: list[Node]) -> None:
        self._broken(line, f"`{line.text[:20]}` without its `if`")
        nodes += self._block(line.indent)

    def _while(self, line: LogicalLine, nodes: list[Node]) -> None:
        nodes.append(While(self._block(line.indent)))

    def _menu(self, line: LogicalLine, nodes: list[Node]) -> None:
        if (header := _MENU.match(line.text)) and header[1]:
            nodes.append(self._begin(line, header[1]))
        menu = Menu(line.number, [])
        while (inner := self._deeper(line.indent)) is not None:
            if (text := TEXT.match(inner.text)) and _is_item(inner.text[text.end() :]):
                rest = inner.text[text.end() :]
                condition = _CONDITION.match(rest.removesuffix(":"))
                item = MenuItem(inner.number, unquote(text[0]), condition[1].strip() if condition else "")
                if rest:
                    item.block = self._block(inner.indent)
                menu.items.append(item)
            elif (said := say(inner, [], self._delimiter, interact=False)) is not None:
                self._keep(said, nodes)
            elif inner.text.split(None, 1)[0] not in ("with", "set"):
                self._broken(inner, "this is no choice")
        nodes.append(menu)

    # --- definitions

    def _init(self, line: LogicalLine, nodes: list[Node]) -> None:
        rest = _INIT.match(line.text)[1]  # type: ignore[index]  # it matches the word alone
        if rest == ":":
            nodes += self._block(line.indent)
        elif rest.startswith("python"):
            self._assignments(line, constant=True)
        elif not rest or rest.startswith("init"):
            self._broken(line, "`init` of nothing")
        elif not rest.startswith("offset"):
            self._statement(line._replace(text=rest), nodes, [])

    def _define(self, line: LogicalLine, nodes: list[Node]) -> None:
        if found := _DEFINE.match(line.text):
            self._script.assignments.append(Assignment(found[1], found[2], constant=True))
        self._skip_block(line)

    def _python(self, line: LogicalLine, nodes: list[Node]) -> None:
        self._assignments(line, constant=line.text.startswith("python early"))

    def _assignments(self, line: LogicalLine, *, constant: bool) -> None:
        while (inner := self._deeper(line.indent)) is not None:
            self._script.assignments += assignments(inner.text, constant=constant)

    def _python_line(self, line: LogicalLine, nodes: list[Node]) -> None:
        code = line.text[1:].lstrip()
        self._script.assignments += assignments(code, constant=False)
        nodes += python_nodes(code, line.number)
        self._skip_block(line)

    # --- translations

    def _translate(self, line: LogicalLine, nodes: list[Node]) -> None:
        found = _TRANSLATE.match(line.text)
        if not found or found[1] == "None" or found[2] in ("python", "style"):
            self._skip_block(line)
        elif found[2] == "strings":
            self._strings(line, self._script.strings.setdefault(found[1], {}))
        else:
            said = [node.what for node in self._block(line.indent) if isinstance(node, Say)]
            self._script.translations.setdefault(found[1], {})[found[2]] = said

    def _strings(self, line: LogicalLine, strings: dict[str, str]) -> None:
        old = None
        while (inner := self._deeper(line.indent)) is not None:
            text = literal(inner.text[3:])
            if text is None:
                self._broken(inner, "this is no string")
            elif inner.text.startswith("old"):
                old = text
            elif old is not None:
                strings[old] = text
                old = None

    def _rpy(self, line: LogicalLine, nodes: list[Node]) -> None:
        if found := _MONOLOGUE.match(line.text):
            self._delimiter = _DELIMITERS.get(found[1], self._delimiter)

    def _broken(self, line: LogicalLine, what: str) -> None:
        self._losses.skip("broken statement")
        self._losses.warn(f"{self._script.name}:{line.number}", what)


_OTHERWISE = frozenset({"elif", "else", "ELIF", "ELSE"})
_READ: dict[str, Callable[[_Parser, LogicalLine, list[Node]], None]] = {
    "label": _Parser._label_statement,
    "jump": _Parser._jump,
    "call": _Parser._call,
    "return": _Parser._return,
    "if": _Parser._if,
    "IF": _Parser._if,
    **dict.fromkeys(_OTHERWISE, _Parser._stray),
    "while": _Parser._while,
    "menu": _Parser._menu,
    "init": _Parser._init,
    "define": _Parser._define,
    "default": _Parser._define,
    "python": _Parser._python,
    "$": _Parser._python_line,
    "translate": _Parser._translate,
    "rpy": _Parser._rpy,
}


def _is_item(rest: str) -> bool:
    """Whether what follows a string in a menu makes it a caption (nothing) or a choice."""
    return not rest or rest.endswith(":")


def assignments(code: str, *, constant: bool) -> list[Assignment]:
    """The assignment that a line of Python is, if it is one. `constant`: it is a definition, and no event of
    the story."""
    if not (found := _ASSIGN.match(code)):
        return []
    name, operator, expression = found.groups()
    return [Assignment(name, expression if operator == "=" else "", constant and operator == "=")]


def python_nodes(code: str, number: int) -> list[Node]:
    """What a line of Python says or where it leads: `e("Hello!")`, `renpy.jump("park")`."""
    if not _SAYS.match(code) or not (found := call(code)):
        return []
    match found[0], found[1].positional:
        case "renpy.say", [who, what, *_] if (text := literal(what)) is not None:
            return [Say(number, who, text)]
        case "renpy.jump", [label, *_]:
            return [Jump(literal(label) or "")]
        case "renpy.call", [label, *_]:
            return [Call(literal(label) or "")]
        case who, [what, *_] if who != "renpy.say" and (text := literal(what)) is not None:
            return [Say(number, who, text, certain=False)]
    return []
