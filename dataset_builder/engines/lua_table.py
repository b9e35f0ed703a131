"""Tables of Lua as data (https://www.lua.org/manual/5.1/manual.html#2.5.7): read, and never run."""

import re
from dataclasses import dataclass, field

from dataset_builder.errors import ScriptError

_DEPTH = 100  # tables inside one another
_TOKEN = re.compile(
    r"\s+|--[^\n]*"
    r"|(?P<key>[A-Za-z_]\w*)\s*=(?!=)"
    r"|\[\s*(?P<quoted>\"(?:[^\"\\\n]|\\.)*+\"|'(?:[^'\\\n]|\\.)*+'|\d{1,18})\s*\]\s*="
    r"|(?P<string>\"(?:[^\"\\\n]|\\.)*+\"|'(?:[^'\\\n]|\\.)*+')"
    r"|(?P<other>[-+.\w]+)|(?P<open>\{)|(?P<close>\})|[,;]",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:(\d{1,3})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "\n": "\n"}


@dataclass(slots=True)
class Word:
    """A number, `true`, or another value that is neither text nor table."""

    text: str


@dataclass(slots=True)
class Table:
    """`{ "a", b = 1 }`: what has no key in `items`, what has one in `fields`, each in its order."""

    items: list["Value"] = field(default_factory=list)
    fields: dict[str, "Value"] = field(default_factory=dict)

    def table(self, key: str) -> "Table":
        """The table of that key; an empty one where there is none."""
        found = self.fields.get(key)
        return found if isinstance(found, Table) else Table()

    def texts(self) -> list[str]:
        return [item for item in self.items if isinstance(item, str)]


Value = str | Word | Table


def read_lua(text: str, file: str) -> Table:
    """A file of assignments, `a = {…}`, as the fields of a table. Raises `ScriptError`."""
    root = Table()
    stack = [root]
    key: str | None = None
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise ScriptError(file, text.count("\n", 0, at) + 1, "it is no table of Lua's")
        at = token.end()
        kind = token.lastgroup
        if kind is None:
            continue
        if kind == "key":
            key = token["key"]
            continue
        if kind == "quoted":
            key = _unquoted(token["quoted"]) if token["quoted"][0] in "\"'" else token["quoted"]
            continue
        if kind == "close":
            if len(stack) == 1:
                raise ScriptError(file, text.count("\n", 0, at) + 1, "a `}` closes nothing")
            stack.pop()
            key = None
            continue
        value: Value
        if kind == "string":
            value = _unquoted(token["string"])
        elif kind == "open":
            value = Table()
        else:
            value = Word(token["other"])
        if key is None:
            stack[-1].items.append(value)
        else:
            stack[-1].fields.setdefault(key, value)
        key = None
        if isinstance(value, Table):
            stack.append(value)
            if len(stack) > _DEPTH:
                raise ScriptError(file, text.count("\n", 0, at) + 1, f"tables are more than {_DEPTH} deep")
    if len(stack) > 1:
        raise ScriptError(file, text.count("\n") + 1, "a table is never closed: the file is cut off")
    return root


def _unquoted(text: str) -> str:
    if "\\" not in text:
        return text[1:-1]
    return _ESCAPE.sub(
        lambda match: chr(int(match[1])) if match[1] else _LETTERS.get(match[2], match[2]), text[1:-1]
    )
