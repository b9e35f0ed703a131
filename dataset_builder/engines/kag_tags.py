"""A `.ks` file as statements: text, tags, labels and code, as KAG3 and TyranoScript cut it.

The facts are from the engines' own parsers: krkrz, `KAGParser.cpp`, and tyranoscript, `kag.parser.js`. Both
write `[tag name=value]` in text, `@tag name=value` as a whole line, `*label|caption` and `;comment`. Where
they differ, `Dialect` says so.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Dialect:
    """How an engine cuts a line. `quotes` delimit values; `tag` matches a tag without brackets inside, which
    is nearly every tag, `attribute` a name and its value, `escaped` a letter of a value that stands for
    itself."""

    quotes: str
    tag: re.Pattern[str]
    attribute: re.Pattern[str]
    escaped: re.Pattern[str]
    trims: bool  # blanks around a line are nothing; else leading tabs alone are
    breaks: bool  # the end of a line of text is printed
    comments: bool  # `/*` and `*/`, each alone on its line, begin and end a comment
    keeps_plate: bool  # a name stays until the next one; else until the page ends


def _dialect(quotes: str, escape: str, *, tyrano: bool) -> Dialect:
    # A value in quotes, which may be escaped in it.
    values = "|".join(rf"{c}(?:[^{c}{re.escape(escape)}]|{re.escape(escape)}.)*+{c}" for c in quotes)
    anywhere = "|".join(rf"{c}[^{c}]*+{c}" for c in quotes)  # quotes hold brackets wherever they stand
    in_values = rf"=[ \t]*+&?(?:{values})|[={quotes}]"  # a quote at the beginning of a value alone is one
    inside = anywhere if tyrano else in_values
    return Dialect(
        quotes=quotes,
        tag=re.compile(rf"\[[ \t]*+([^\s\[\]{quotes}]*+)((?:[^=\[\]{quotes}]++|{inside}|=)*+)\]"),
        attribute=re.compile(rf"([^\s=]++)(?:\s*+=\s*+(&?(?:{values})|\S*+))?"),
        escaped=re.compile(rf"{re.escape(escape)}(.)"),
        trims=tyrano,
        breaks=not tyrano,
        comments=tyrano,
        keeps_plate=tyrano,
    )


KAG = _dialect("\"'", "`", tyrano=False)
TYRANO = _dialect("\"'`", "\\", tyrano=True)

# Tags between which stands code of another language -> what ends it, anywhere in a line.
_CODE = {"iscript": "endscript", "html": "endhtml"}
_ESCAPE = re.compile(r"\\(.?)")
_PLATE = 40  # letters: a longer line that begins with `#` names nobody


@dataclass(slots=True)
class Text:
    """Printed letters. `start` and `end` are offsets in the file; `head` tells the first thing of a line."""

    text: str
    line: int
    start: int
    end: int
    head: bool = False


@dataclass(slots=True)
class Tag:
    """A tag by its name in lower case; `""` is a tag that never closes. A line `#name:face` is a tag
    `chara_ptext`, as TyranoScript itself reads it."""

    name: str
    body: str  # what follows the name
    dialect: Dialect
    line: int
    start: int
    end: int
    _attributes: dict[str, str] | None = field(default=None, repr=False)

    @property
    def attributes(self) -> dict[str, str]:
        """Values by names in lower case; "true" where a name stands alone. Not to be changed."""
        if self._attributes is None:
            self._attributes = attributes(self.body, self.dialect) if self.body else {}
        return self._attributes


@dataclass(slots=True)
class Label:
    """`*name|caption`."""

    name: str
    caption: str
    line: int


@dataclass(slots=True)
class Break:
    """The end of a line of text, where that is printed."""

    line: int


@dataclass(slots=True)
class Code:
    """What stands between `[iscript]` and `[endscript]`; `closed` is False where the file ends first."""

    text: str
    line: int
    closed: bool = True


Statement = Text | Tag | Label | Break | Code


def attributes(body: str, dialect: Dialect) -> dict[str, str]:
    """The attributes of a tag: `name=value`, blanks around `=` allowed, or a name alone."""
    found: dict[str, str] = {}
    for name, value in dialect.attribute.findall(body):
        if not value:
            value = "true"
        elif value[-1] in dialect.quotes:
            expression, quoted = ("&", value[1:]) if value[0] == "&" else ("", value)
            if len(quoted) > 1 and quoted[0] == quoted[-1]:
                value = expression + dialect.escaped.sub(r"\1", quoted[1:-1])
        found[name.lower()] = value
    return found


def scan(text: str, dialect: Dialect) -> Iterator[Statement]:
    """The statements of a file, in order. Never fails: what cannot be read is a `Tag` without a name."""
    start = 0
    comment = False
    code: list[str] | None = None
    code_line, code_end = 0, ""
    for number, whole in enumerate(text.split("\n"), 1):
        line = whole.lstrip() if dialect.trims else whole.lstrip("\t")
        offset = start + len(whole) - len(line)
        start += len(whole) + 1
        if dialect.trims:
            line = line.rstrip()
        if code is not None:
            if code_end not in line:
                code.append(line)
                continue
            yield Code("\n".join(code), code_line)
            code = None
        if comment:
            comment = line != "*/"
            continue
        if not line:
            continue
        first = line[0]
        if first == ";":
            continue
        if first == "*" and len(line) > 1:
            if dialect.comments and line == "*/":
                continue
            name, _, caption = line[1:].partition("|")
            yield Label(name.strip(), caption.strip(), number)
            continue
        if first == "/" and dialect.comments and line == "/*":
            comment = True
            continue
        statements: list[Statement]
        if first == "@":
            statements = [_tag(line[1:], dialect, number, offset, offset + len(line))]
        elif first == "#" and len(line) <= _PLATE and "[" not in line:
            yield _plate(line, dialect, number, offset)
            continue
        else:
            statements = _pieces(line, number, offset, dialect)
        ending = ""
        for statement in statements:
            if type(statement) is not Tag:
                if not ending:
                    yield statement
            elif not ending:
                yield statement
                ending = _CODE.get(statement.name, "")
            elif statement.name == ending:
                ending = ""
        if ending:
            code, code_line, code_end = [], number, ending
    if code is not None:
        yield Code("\n".join(code), code_line, closed=False)


def _pieces(line: str, number: int, offset: int, dialect: Dialect) -> list[Statement]:
    """A line of text: text and tags in turn, and its end."""
    kag = dialect.breaks
    if line[0] == "_" and not kag:  # keeps the blanks behind it
        line, offset = line[1:], offset + 1
    ends = kag
    if kag and line[-1:] == "\\":
        line, ends = line[:-1], False
    pieces: list[Statement] = []
    at = begin = 0
    head = True
    while (opening := line.find("[", at)) >= 0:
        if kag and line.startswith("[[", opening):
            at = opening + 2
            continue
        if not kag and line[opening - 1 : opening] == "\\" and _is_escaped(line, opening, begin):
            at = opening + 1
            continue
        if opening > begin:
            text = _letters(line[begin:opening], kag)
            pieces.append(Text(text, number, offset + begin, offset + opening, head))
            head = False
        if match := dialect.tag.match(line, opening):
            at = match.end()
            name, body = match.groups()
            pieces.append(Tag(name.lower(), body, dialect, number, offset + opening, offset + at))
        elif (at := _close(line, opening, dialect)) > 0:
            body = line[opening + 1 : at - 1]
            pieces.append(_tag(body, dialect, number, offset + opening, offset + at))
        else:
            pieces.append(Tag("", line[opening:], dialect, number, offset + opening, offset + len(line)))
            return pieces
        begin = at
    if begin < len(line):
        text = _letters(line[begin:], kag)
        pieces.append(Text(text, number, offset + begin, offset + len(line), head))
    if ends and not line.endswith("[p]"):
        pieces.append(Break(number))
    return pieces


def _is_escaped(line: str, at: int, begin: int) -> bool:
    """Whether an odd number of backslashes stands in front of `at`."""
    count = 0
    while at - count > begin and line[at - count - 1] == "\\":
        count += 1
    return count % 2 == 1


def _letters(text: str, kag: bool) -> str:
    if kag:
        return text.replace("[[", "[") if "[[" in text else text
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text


def _tag(body: str, dialect: Dialect, number: int, start: int, end: int) -> Tag:
    name, *rest = body.split(None, 1)[:2] or [""]
    return Tag(name.lower(), rest[0] if rest else "", dialect, number, start, end)


def _plate(line: str, dialect: Dialect, number: int, offset: int) -> Tag:
    name, _, face = line[1:].partition(":")
    given = {"name": name.strip(), "face": face.strip()}
    return Tag("chara_ptext", "", dialect, number, offset, offset + len(line), given)


def _close(line: str, opening: int, dialect: Dialect) -> int:
    """The end of a tag that `Dialect.tag` does not match, with brackets or lone quotes inside; -1 if there is
    none.

    TyranoScript balances brackets outside quotes. KAG3 ends a tag at the first bracket that no quoted value
    holds, and a quote begins a value only behind `=`.
    """
    depth, quote, before = 0, "", ""
    balanced = not dialect.breaks
    for at in range(opening, len(line)):
        c = line[at]
        if quote:
            quote = "" if c == quote else quote
        elif c in dialect.quotes and (balanced or before in "=&"):
            quote = c
        elif c == "[":
            depth += 1
        elif c == "]":
            depth -= 1
            if depth == 0 or not balanced:
                return at + 1
        if not c.isspace():
            before = c
    return -1
