"""What a Ren'Py script consists of, as far as people read it: the same whether it comes from text or is
compiled."""

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(slots=True)
class Say:
    """`who` is an expression, `what` the text with its markup. Its identifier is a hash of `code`: of the
    statement in Ren'Py's own spelling, behind a voice statement above it; empty where Python says it."""

    line: int
    who: str | None
    what: str
    code: tuple[str, ...] = ()
    identifier: str = ""  # where the script or the compiler gives one
    shown_as: str | None = None  # an expression: the name of this line only
    certain: bool = True  # False in a block of an unknown statement, which may be data


@dataclass(slots=True)
class Voice:
    file: str


@dataclass(slots=True)
class MenuItem:
    """A choice, or a caption (`block` is None)."""

    line: int
    text: str
    condition: str = ""
    block: "list[Node] | None" = None


@dataclass(slots=True)
class Menu:
    line: int
    items: list[MenuItem]


@dataclass(slots=True)
class If:
    arms: "list[list[Node]]"
    exhaustive: bool  # whether one of the arms is always taken


@dataclass(slots=True)
class While:
    block: "list[Node]"


@dataclass(slots=True)
class Label:
    """`name` is whole: a local one is `global.local`. No identifier begins with the name of a `hidden` one;
    to one that is `within` only a call comes back, so that no scene begins there."""

    line: int
    name: str
    block: "list[Node]"
    hidden: bool = False
    within: bool = False


@dataclass(slots=True)
class Jump:
    target: str  # "" where it is known at run time only


@dataclass(slots=True)
class Call:
    target: str


@dataclass(slots=True)
class Return:
    pass


Node: TypeAlias = Say | Voice | Menu | If | While | Label | Jump | Call | Return


@dataclass(slots=True)
class Assignment:
    """A variable gets a value: `define`, `default`, `$` or inside `python:`. `constant` where it is a
    definition and no event of the story."""

    name: str
    expression: str
    constant: bool


@dataclass(slots=True)
class Script:
    """One file. `translations` are language -> identifier -> texts said instead, `strings` language -> old
    -> new, with the names of languages as in the file; `statements` words that its Python makes statements.
    """

    name: str
    nodes: list[Node] = field(default_factory=list)
    assignments: list[Assignment] = field(default_factory=list)
    translations: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    strings: dict[str, dict[str, str]] = field(default_factory=dict)
    identifiers: set[str] = field(default_factory=set)  # written out in the file
    statements: set[str] = field(default_factory=set)
