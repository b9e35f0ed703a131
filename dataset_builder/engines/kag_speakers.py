"""Who speaks in a `.ks` script: what works agree on with themselves, as a table of rules.

KAG3 has no notion of a speaker, so every studio made its own. A rule is one string:

============================== ===========================================================================
`line:◆{name}：`               A line that begins so says who speaks the rest: letters stand for themselves,
                               `{name}` for the name, `{display}` for what the plate shows instead. A bracket
                               at the very end such as `「` stays in the text. In a name `＠` and `/` part who
                               it is from what the plate shows: `【灯＠？？？】`.
`tag:nm:rt,t:s:t`              A tag, and the attributes with the name, the voice and what the plate shows;
                               of several with commas the first that is given.
`choice:sel:text:target:file`  A tag that offers a choice, and the attributes with its words, label and file.
`end:hitret`                   A tag that waits for a click and ends a message.
`thought:心の声`                A name that is none: what stands under it is the protagonist's thought.
============================== ===========================================================================

Patterns are no regular expressions, and a field holds 40 letters at most, so none of them can hang.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dataset_builder.errors import DatasetError

RULES = (
    "line:【{name}】",
    "tag:nm:rt,t:s:t",
    "tag:名前:id:file",
    "tag:name:text,name",
    "tag:cn:name:voice",
    "tag:speaker:name:voice",
    "tag:talk:name:voice",
    "tag:talker:name:voice",
    "thought:心の声",
    "choice:glink:text",
    "choice:sel:text",
    "choice:sel01:text",
    "choice:select:text",
    "choice:addselect:text",
    "choice:seladd:text",
    "choice:exlink:txt",
    "choice:selopt:text",
    "choice:mselect:text",
    "end:p",
    "end:np",
    "end:pcms",
    "end:pg",
    "end:hitret",
    "end:wvl",
    "end:wveh",
)
_FIELD = re.compile(r"(\{name\}|\{display\})")
_LETTERS = 40
_BRACKETS = '「『（(“"《｢'


@dataclass(frozen=True)
class Naming:
    """Attributes of a tag that say who speaks, each in the order in which they count."""

    names: tuple[str, ...]
    voices: tuple[str, ...] = ()
    displays: tuple[str, ...] = ()


@dataclass(frozen=True)
class Offer:
    """Attributes of a tag that offers a choice."""

    texts: tuple[str, ...]
    targets: tuple[str, ...] = ("target",)
    files: tuple[str, ...] = ("storage",)


@dataclass(frozen=True)
class Rules:
    """The table, compiled. `openers` are the letters that a line with a name may begin with; None: any."""

    lines: tuple[re.Pattern[str], ...]
    openers: frozenset[str] | None
    tags: Mapping[str, Naming]
    choices: Mapping[str, Offer]
    ends: frozenset[str]
    thoughts: frozenset[str]
    own: frozenset[str]  # tags that the user named

    def split(self, text: str) -> tuple[str, str, str] | None:
        """Name, what the plate shows ("" where that is the name) and the rest of a line that begins with a
        name."""
        if self.openers is not None and text[:1] not in self.openers:
            return None
        for pattern in self.lines:
            if match := pattern.match(text):
                return match["name"], match.groupdict().get("display") or "", text[match.end() :]
        return None


def compile_rules(own: Iterable[str] = (), names: Iterable[str] = ()) -> Rules:
    """The table with a user's `own` rules before it. With `names`, a line `名「…」` is one of theirs too.

    Raises `DatasetError` for what is no rule.
    """
    own = tuple(own)
    lines: list[re.Pattern[str]] = []
    openers: set[str] | None = set()
    tags: dict[str, Naming] = {}
    choices: dict[str, Offer] = {}
    ends: set[str] = set()
    thoughts: set[str] = set()
    for rule in (*own, *RULES):
        kind, _, what = rule.partition(":")
        if kind == "line":
            lines.append(_pattern(what, rule))
            first = "" if what.startswith("{") else what[0]
            openers = openers | {first} if first and openers is not None else None
            continue
        word, *fields = what.split(":")
        groups = tuple(tuple(filter(None, each.lower().split(","))) for each in fields)
        if kind == "tag" and word and 1 <= len(groups) <= 3 and groups[0]:
            tags.setdefault(word.lower(), Naming(*groups))
        elif kind == "choice" and word and 1 <= len(groups) <= 3 and all(groups):
            choices.setdefault(word.lower(), Offer(*groups))
        elif kind == "end" and word and not groups:
            ends.add(word.lower())
        elif kind == "thought" and word and not groups:
            thoughts.add(word)
        else:
            raise DatasetError(_refusal(rule))
    known = [re.escape(name) for name in names if name]
    if known:
        lines.append(re.compile(rf"(?P<name>{'|'.join(sorted(known, key=len, reverse=True))})(?=[「『（])"))
        openers = None
    named = frozenset(rule.split(":")[1].lower() for rule in own if not rule.startswith("line:"))
    return Rules(
        tuple(lines),
        None if openers is None else frozenset(openers),
        tags,
        choices,
        frozenset(ends),
        frozenset(thoughts),
        named,
    )


def _pattern(template: str, rule: str) -> re.Pattern[str]:
    """`【{name}】` as an expression: each field is short and ends where the letters behind it begin."""
    pieces = _FIELD.split(template)
    fields, letters = pieces[1::2], pieces[2::2]
    if fields.count("{name}") != 1 or len(fields) != len(set(fields)) or not all(letters):
        raise DatasetError(_refusal(rule))
    expression = re.escape(pieces[0])
    for position, (field, behind) in enumerate(zip(fields, letters, strict=True), 1):
        expression += rf"(?P<{field[1:-1]}>[^\n「」『』【】]{{1,{_LETTERS}}}?)"
        if position == len(fields) and behind[-1] in _BRACKETS:
            expression += rf"{re.escape(behind[:-1])}(?={re.escape(behind[-1])})"
        else:
            expression += re.escape(behind)
    return re.compile(expression)


def _refusal(rule: str) -> str:
    return (
        f"`{rule}` is no rule for speakers; write `line:【{{name}}】`, `tag:TAG:NAME:VOICE:PLATE`, "
        "`choice:TAG:TEXT:LABEL:FILE`, `end:TAG` or `thought:NAME`"
    )
