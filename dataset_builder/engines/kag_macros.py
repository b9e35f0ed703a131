"""What the scripts of a work tell about each other: macros, characters, which labels are jumped to.

A work's own tags are macros, so what a tag says about a speaker, a ruby or a page's end stands in their
bodies. A macro is kept as the few statements in it that matter to a reader; the rest is pictures and sound.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dataset_builder.engines.kag_speakers import Rules
from dataset_builder.engines.kag_tags import Code, Dialect, Label, Statement, Tag, Text, scan
from dataset_builder.engines.kag_values import is_variable, resolved
from dataset_builder.lines import is_mask

# Tags that a reader acts upon; those of flow only outside a macro's conditions, whose labels are its own.
_PRINTING = ("r", "l", "cm", "ct", "er", "clearscreen", "emb", "ch", "hch", "ruby", "graph", "current")
_PLAYING = ("voice", "playvoice", "vo", "playse")
_FLOW = ("jump", "return", "s")
_EFFECTS = frozenset((*_PRINTING, *_PLAYING, *_FLOW, "link", "endlink", "button"))
# Attributes that a macro takes a name by, where code in it works out what the plate shows.
_NAMES = ("name", "jname", "chara", "character", "who", "speaker", "t")
_ARMS = frozenset(("else", "elsif"))
_SIZE = 200  # statements of a macro that are kept
_SUBROUTINES = 16  # that make characters

# Labels stand behind `target=`, and as '*label' in code.
_TARGETS = tuple(
    map(
        re.compile,
        (
            r"""target\s{0,8}=\s{0,8}["'`]?\*?([^\s"'`\]|]{1,200})""",
            r'"\*([^\s"|]{1,200})"',
            r"'\*([^\s'|]{1,200})'",
        ),
    )
)
_STORAGE = re.compile(r"""storage\s{0,8}=\s{0,8}["'`]?([^\s"'`\]]{1,200}\.ks)\b""")
_PLATE = re.compile(r"【([^】\n＠@/／]{1,40})】")
# Where something stands that is worth a closer look, and what ends it.
_REGION = re.compile(r"[\[@][ \t]*(macro|chara_new|iscript)\b")
_ENDINGS = {"macro": "endmacro", "iscript": "endscript"}
_ASSIGNMENT = re.compile(
    r"""^[ \t]*+(?:(?:const|let|var)[ \t]++)?([\w.$]++)[ \t]*+=[ \t]*+"""
    r"""(?:"([^"\n]*)"|'([^'\n]*)'|([A-Za-z_$][\w.$]*+))[ \t]*+(?:;|//|$)""",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Macro:
    """`effects` happen where it is called; `plates` are the names that it may show, as its body writes them:
    `灯`, `%name`, `&mp.name`, or "" where it clears the plate."""

    effects: tuple[Statement, ...] = ()
    plates: tuple[str, ...] = ()

    def named(self, given: Mapping[str, str], cast: Mapping[str, str]) -> tuple[str, str]:
        """Who speaks once it was called with what is `given`, a name or an id, and what the plate shows.

        By the attribute that the body shows; or, where code in it works out the plate, by those that a name
        and an id are usually given by.
        """
        shown = [resolved(template, given) for template in self.plates]
        name = next((each for each in shown if each and not is_variable(each)), "")
        variable = next((each for each in shown if is_variable(each)), "")
        if not variable:
            return name, ""
        name = name or next((given[key] for key in _NAMES if given.get(key)), "")
        ids = [value for key, value in given.items() if value and ("id" in key or "chara" in key)]
        who = next((each for each in ids if each in cast), ids[0] if ids else "")
        if who and (who in cast or not name or is_mask(name)):
            return who, name
        return name or variable, ""


@dataclass
class Learned:
    """All of a work."""

    macros: dict[str, Macro] = field(default_factory=dict)
    cast: dict[str, str] = field(default_factory=dict)  # id -> name
    targets: set[str] = field(default_factory=set)  # labels that something leads to
    storages: set[str] = field(default_factory=set)  # files that something leads to: `a.ks`, lower case
    plates: set[str] = field(default_factory=set)  # names that stand alone in 【】 somewhere


def learn(texts: Mapping[str, str], dialect: Dialect, rules: Rules) -> Learned:
    """`texts` are the decoded files of a work by name."""
    learned = Learned()
    bodies: dict[str, list[Statement]] = {}
    dynamic: dict[tuple[str, str], None] = {}  # expressions by which a subroutine names somebody: id, name
    codes: list[str] = []
    for text in texts.values():
        for pattern in _TARGETS:
            learned.targets.update(pattern.findall(text))
        learned.storages.update(each.rpartition("/")[2].lower() for each in _STORAGE.findall(text))
        if "【" in text:
            learned.plates.update(map(str.strip, _PLATE.findall(text)))
        for region in _regions(text):
            _gather(region, dialect, bodies, learned.cast, dynamic, codes)
    if dynamic:
        _name_by_code(codes, list(dynamic)[:_SUBROUTINES], learned.cast)
    kept = _EFFECTS | rules.tags.keys() | rules.choices.keys() | rules.ends | bodies.keys()
    for name, body in bodies.items():
        learned.macros[name] = _macro(body, kept)
    return learned


def _regions(text: str) -> Iterator[str]:
    """The parts of a file that are about macros and characters; comments are none."""
    at = 0
    comment = False
    while match := _REGION.search(text, at):
        start = match.start()
        newline = text.rfind("\n", at, start)
        if newline >= 0 or not at:
            comment = text[newline + 1 : start].lstrip()[:1] == ";"
        if comment:
            at = match.end()
            continue
        end = text.find(_ENDINGS.get(match[1], "\n"), match.end())
        at = len(text) if end < 0 else end
        yield text[start:at].rstrip("[@ \t")


def _gather(
    text: str,
    dialect: Dialect,
    bodies: dict[str, list[Statement]],
    cast: dict[str, str],
    dynamic: dict[tuple[str, str], None],
    codes: list[str],
) -> None:
    body: list[Statement] | None = None
    for statement in scan(text, dialect):
        if type(statement) is Code:
            codes.append(statement.text)
        elif type(statement) is Tag and statement.name == "macro":
            if name := statement.attributes.get("name", "").lower():
                body = bodies.setdefault(name, [])
                body.clear()  # the last definition counts
        elif type(statement) is Tag and statement.name == "endmacro":
            body = None
        elif type(statement) is Tag and statement.name == "chara_new":
            given = statement.attributes
            name, shown = given.get("name", ""), given.get("jname", "")
            if name.startswith("&") and shown.startswith("&"):
                dynamic[name[1:].strip(), shown[1:].strip()] = None
            elif name and shown and not name.startswith(("&", "%")) and not shown.startswith(("&", "%")):
                cast.setdefault(name, shown)
        elif body is not None and type(statement) is not Label:
            body.append(statement)


def _name_by_code(codes: list[str], dynamic: Iterable[tuple[str, str]], cast: dict[str, str]) -> None:
    """Characters that code makes: `tf.id = ID_MOCHIKO; tf.jname = 'もち子さん';` before the subroutine with
    `[chara_new name=&tf.id jname=&tf.jname]`. A constant that no script defines is named for its value."""
    blocks = [
        {name: (double or single, other) for name, double, single, other in _ASSIGNMENT.findall(code)}
        for code in codes
    ]
    constants = {name: value for block in blocks for name, (value, _) in block.items() if value}
    for block in blocks:
        for id_expression, name_expression in dynamic:
            value, constant = block.get(id_expression, ("", ""))
            shown = block.get(name_expression, ("", ""))[0]
            who = value or constants.get(constant) or constant.rpartition("_")[2].lower()
            if who and shown:
                cast.setdefault(who, shown)


def _macro(body: list[Statement], kept: frozenset[str] | set[str]) -> Macro:
    """Of a condition the first arm with an effect counts, and every plate that any arm shows."""
    plates: list[str] = []
    arms: list[list[Statement]] = [[]]  # of the open conditions, innermost last; each the best arm so far
    done: list[list[Statement] | None] = []
    for statement in body[: 5 * _SIZE]:
        if type(statement) is Text:
            if statement.text.strip():
                arms[-1].append(statement)
        elif type(statement) is Tag:
            name, given = statement.name, statement.attributes
            if name == "if":
                arms.append([])
                done.append(None)
            elif name in _ARMS and done:
                done[-1] = done[-1] or arms[-1]
                arms[-1] = []
            elif name == "endif" and done:
                arms[-2].extend(done.pop() or arms[-1])
                arms.pop()
            elif name == "chara_ptext":
                plates.append(given.get("name", ""))
            elif name in ("ptext", "mtext"):
                if "name" in given.get("name", "") and given.get("text", "")[:1] in ("%", "&"):
                    plates.append(given["text"])
            elif name in kept and not (name in _FLOW and (done or "cond" in given)):
                arms[-1].append(statement)
    return Macro(tuple(arms[0][:_SIZE]), tuple(plates[:_SIZE]))
