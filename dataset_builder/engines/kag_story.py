"""Statements of a `.ks` file become scenes: the part that KAG3 and TyranoScript share.

A message is what stands on the screen until a click clears it: `[p]` and its like, `[cm]`, a label, another
speaker. `[l]` waits for a click too, and ends a message only where a line ends with it (`[l][r]`, `[r][l]`),
as in a novel that fills the screen paragraph by paragraph.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from dataset_builder.engines import ReadOptions
from dataset_builder.engines.kag_flow import Flow
from dataset_builder.engines.kag_macros import Macro
from dataset_builder.engines.kag_page import Page
from dataset_builder.engines.kag_quiet import QUIET
from dataset_builder.engines.kag_script import Script
from dataset_builder.engines.kag_speakers import Naming, Offer
from dataset_builder.engines.kag_tags import Break, Code, Label, Tag, Text, scan
from dataset_builder.engines.kag_values import printed, resolved
from dataset_builder.engines.message import BLANKS
from dataset_builder.lines import other_line
from dataset_builder.report import Losses
from dataset_builder.schema import Scene, Source

_DEPTH = 8  # macros inside macros
_EXPANDED = 500  # statements of one macro's call
_SHARE = 2  # letters of a file for each statement that its macros may become
_UNKNOWN = 40  # letters of an unknown tag's name that are kept
_NEVER = frozenset(("false", "0"))
_RECORDINGS = ("storage", "file", "name", "voice", "src", "s")  # attributes of a tag that plays a voice

_Act = Callable[[Tag], None]


@dataclass(slots=True)
class _Link:
    """`[link]`, whose words are still coming."""

    target: str
    line: int
    start: int
    words: list[str] = field(default_factory=list)


class Story:
    """One file, told statement by statement."""

    def __init__(self, script: Script, options: ReadOptions, losses: Losses) -> None:
        self._script = script
        self._losses = losses
        self._flow = Flow(script, options)
        self._branches = self._flow.branches
        self._page = Page(script, self._branches, self._flow.alive, losses)
        self._link: _Link | None = None

        self._calls: list[str] = []  # macros that are open
        self._call: Tag | None = None  # the outermost of them
        self._arguments: Mapping[str, str] = {}
        self._left = 0  # statements that its call may still become
        self._left_in_all = _EXPANDED + len(script.text) // _SHARE
        self._own = self._table_acts()
        self._acts = self._all_acts()

    def _engine_acts(self) -> dict[str, _Act | None]:
        """What the engine's own tags do; None: nothing that is read here."""
        page = self._page
        acts: dict[str, _Act | None] = dict.fromkeys(QUIET)
        acts |= {
            "r": self._newline,
            "l": lambda _: page.click(),
            **dict.fromkeys(("cm", "ct", "er", "clearscreen", "_tb_end_text"), lambda _: page.clear()),
            **dict.fromkeys(("s", "return", "close", "gotostart"), self._stop),
            **dict.fromkeys(("jump", "next"), self._jump),
            "call": self._visit,
            "if": self._begin_condition,
            **dict.fromkeys(("elsif", "else"), self._next_arm),
            "endif": self._end_condition,
            "emb": self._embed,
            **dict.fromkeys(("ch", "hch"), partial(self._print_value, name="text")),
            "graph": partial(self._print_value, name="alt"),
            "ruby": self._ruby,
            "current": self._layer,
            "link": self._begin_link,
            "endlink": self._end_link,
            "button": self._button,
            "chara_ptext": self._named,
            "set_title": self._title,
            **dict.fromkeys(("voice", "playvoice", "vo"), partial(self._record, names=_RECORDINGS)),
            "playse": self._sound,
            "voconfig": self._voice_series,
            **dict.fromkeys(("vostart", "vostop"), self._switch_voices),
        }
        return acts

    def _table_acts(self) -> dict[str, _Act | None]:
        """What tags do without macros: the engine's own, and those of the table."""
        rules = self._script.rules
        acts = self._engine_acts()
        acts |= {name: partial(self._offer_by_rule, offer=offer) for name, offer in rules.choices.items()}
        acts |= dict.fromkeys(rules.ends, self._turn)
        for name, naming in rules.tags.items():
            acts[name] = partial(self._named_by_rule, naming=naming, then=acts.get(name))
        return acts

    def _all_acts(self) -> dict[str, _Act | None]:
        """A work's macros stand before the table, and its user's own rules before both. A macro whose body
        does not tell who speaks may have a name that the table knows."""
        rules, acts = self._script.rules, dict(self._own)
        for name, macro in self._script.learned.macros.items():
            if name in rules.own and name not in rules.tags:
                continue
            acts[name] = expand = partial(self._expand, macro=macro)
            if name in rules.tags and (name in rules.own or not macro.plates):
                acts[name] = partial(self._named_by_rule, naming=rules.tags[name], then=expand)
        return acts

    def scenes(self) -> Iterator[Scene]:
        """The scenes of the file, in order."""
        macro: Tag | None = None
        finished = self._flow.finished
        for statement in scan(self._script.text, self._script.dialect):
            if macro is not None:
                if isinstance(statement, Tag) and statement.name == "endmacro":
                    macro = None
            elif isinstance(statement, Text):
                if self._link is None:
                    self._page.print(statement.text, statement, head=statement.head)
                else:
                    self._link.words.append(statement.text)
            elif isinstance(statement, Tag):
                if statement.name == "macro":
                    macro = statement
                else:
                    self._tag(statement)
            elif isinstance(statement, Break):
                if self._link is None:
                    self._page.newline()
            elif isinstance(statement, Label):
                self._at_label(statement)
            elif not statement.closed:
                self._warn(statement, "code that begins here never ends")
            if finished:
                yield from finished
                finished.clear()
        if macro is not None:
            self._warn(macro, "a macro that begins here never ends")
        self._turn()
        self._flow.close()
        yield from finished

    def _warn(self, at: Tag | Code, what: str) -> None:
        self._losses.warn(f"{self._script.file}:{at.line}", what)

    # --- tags

    def _tag(self, tag: Tag) -> None:
        try:
            act = self._acts[tag.name]
        except KeyError:
            act = self._stranger
        if act is not None and not (tag.body and tag.attributes.get("cond") in _NEVER):
            act(tag)

    def _stranger(self, tag: Tag) -> None:
        """A tag that is neither the engine's nor the work's own; it may name somebody, or play a voice."""
        if tag.name[:1] == "【":
            self._page.name(tag.name)
            self._record(tag, ("voice", *_RECORDINGS))
            return
        if not tag.name:
            self._warn(tag, "a tag that begins here never ends")
        self._losses.unknown[tag.name[:_UNKNOWN] or "["] += 1
        file = self._value(tag, "storage")
        if self._page.voices.whose(file):
            self._page.voices.record(file, tag.name, self._branches.name)

    def _expand(self, tag: Tag, macro: Macro) -> None:
        """What a macro does, where it is called. Inside itself its name is the engine's tag."""
        if tag.name in self._calls:
            if (act := self._own.get(tag.name)) is not None:
                act(tag)
            return
        given = {name: self._value(tag, name) for name in tag.attributes}
        if "*" in given:
            given = {**self._arguments, **given}
            self._left -= len(given)
        if self._call is None:
            self._left = min(_EXPANDED, self._left_in_all)
        if len(self._calls) == _DEPTH or self._left <= 0:
            self._losses.skip("a macro inside too many others")
            return
        outer = self._arguments, self._call
        self._call = self._call or tag
        self._arguments = given
        self._calls.append(tag.name)
        if macro.plates:
            self._page.name(*macro.named(given, self._script.learned.cast))
        for statement in macro.effects:
            self._left -= 1
            self._left_in_all -= 1
            if isinstance(statement, Text):
                self._print(statement.text, statement)
            elif isinstance(statement, Tag):
                self._tag(statement)
        self._calls.pop()
        self._arguments, self._call = outer

    def _value(self, tag: Tag, *names: str) -> str:
        """The first of these attributes that is given, as far as the script alone tells it."""
        given = tag.attributes
        for name in names:
            if (value := given.get(name)) and (value := resolved(value, self._arguments)):
                return value
        if "*" in given:  # all that the macro was given
            return next((self._arguments[name] for name in names if self._arguments.get(name)), "")
        return ""

    # --- where it goes on

    def _at_label(self, label: Label) -> None:
        self._turn()
        self._page.show(self._flow.at_label(label, self._page.plate))

    def _place(self, tag: Tag) -> str:
        return self._flow.place(self._value(tag, "storage"), self._value(tag, "target"))

    def _turn(self, _: Tag | None = None) -> None:
        self._end_link()
        self._page.turn()

    def _stop(self, _: Tag) -> None:
        self._turn()
        self._flow.ended = True

    def _jump(self, tag: Tag) -> None:
        self._page.flush()
        self._visit(tag)
        if "cond" not in tag.attributes and "eval" not in tag.attributes:
            self._stop(tag)

    def _visit(self, tag: Tag) -> None:
        self._flow.lead(self._place(tag), self._page.plate)

    def _title(self, tag: Tag) -> None:
        scene = self._flow.scene
        scene.title = self._value(tag, "name", "text", "title") or scene.title

    # --- conditions

    def _begin_condition(self, _: Tag) -> None:
        self._page.pause()
        self._branches.begin(within=self._page.is_open)

    def _end_arm(self) -> bool:
        """Whether a condition is open, whose arm ends here."""
        if not self._branches:
            return False
        self._page.end_arm(len(self._branches))
        return True

    def _next_arm(self, tag: Tag) -> None:
        if self._end_arm():
            lost = self._branches.next_arm(otherwise=tag.name == "else", ended=self._flow.ended)
            self._count_wording(lost)
            self._flow.ended = False

    def _end_condition(self, _: Tag) -> None:
        if self._end_arm():
            lost, self._flow.ended = self._branches.end(ended=self._flow.ended)
            self._count_wording(lost)

    def _count_wording(self, lost: bool) -> None:
        if lost:
            self._losses.skip("another wording inside a message")

    # --- what tags print, whom they name, what they play

    def _print(self, text: str, at: Text | Tag) -> None:
        if not text:
            return
        if self._link is None:
            self._page.print(text, self._call or at)
        else:
            self._link.words.append(text)

    def _newline(self, _: Tag) -> None:
        if self._link is None:
            self._page.newline()

    def _embed(self, tag: Tag) -> None:
        self._print(printed(self._value(tag, "exp"), self._arguments), tag)

    def _print_value(self, tag: Tag, name: str) -> None:
        self._print(self._value(tag, name), tag)

    def _ruby(self, tag: Tag) -> None:
        count = self._value(tag, "char")[:3]
        self._page.ruby(self._value(tag, "text"), int(count) if count.isdecimal() and int(count) else 1)

    def _layer(self, tag: Tag) -> None:
        if layer := self._value(tag, "layer"):
            self._page.layer(layer)

    def _named(self, tag: Tag) -> None:
        """TyranoScript's `#name`."""
        name = self._value(tag, "name")
        self._page.name(name)
        self._page.voices.named(name, self._branches.name)

    def _named_by_rule(self, tag: Tag, naming: Naming, then: _Act | None) -> None:
        name, shown = self._value(tag, *naming.names), self._value(tag, *naming.displays)
        if name or shown:
            self._page.name(name, shown)
        self._record(tag, naming.voices)
        if then is not None:
            then(tag)

    def _record(self, tag: Tag, names: tuple[str, ...]) -> None:
        self._page.voices.record(self._value(tag, *names), self._value(tag, "buf"), self._branches.name)

    def _sound(self, tag: Tag) -> None:
        if self._page.voices.is_voice(self._value(tag, "storage")):
            self._record(tag, ("storage",))

    def _voice_series(self, tag: Tag) -> None:
        self._page.voices.number(
            self._value(tag, "name"), self._value(tag, "vostorage"), self._value(tag, "number")
        )

    def _switch_voices(self, tag: Tag) -> None:
        self._page.voices.numbering = tag.name == "vostart"

    # --- choices

    def _offer(self, words: str, place: str, line: int, start: int, end: int) -> None:
        """A choice of the player's: a line in an arm of its own, and one of the scene's choices."""
        self._page.flush(whole=True)
        words = words.strip(BLANKS)
        if not words:
            self._losses.skip("choice without words")
            self._flow.lead(place, self._page.plate)
            return
        scene = self._flow.alive(line)
        source = Source(self._script.file, line)
        said = other_line(
            len(scene.lines),
            "choice",
            words,
            self._script.text[start:end],
            source,
            branch=self._branches.choice(),
        )
        self._flow.offer(said, place, self._page.plate)
        self._losses.emit()

    def _offer_by_rule(self, tag: Tag, offer: Offer) -> None:
        if words := self._value(tag, *offer.texts):
            place = self._flow.place(self._value(tag, *offer.files), self._value(tag, *offer.targets))
            at = self._call or tag
            self._offer(words, place, at.line, at.start, at.end)

    def _begin_link(self, tag: Tag) -> None:
        """Without a target, and with nothing to do, it is no choice but a part of the text."""
        self._end_link()
        if tag.attributes.keys() & {"target", "storage", "exp"}:
            at = self._call or tag
            self._link = _Link(self._place(tag), at.line, at.start)

    def _end_link(self, tag: Tag | None = None) -> None:
        link, self._link = self._link, None
        if link is not None:
            last = self._call or tag
            end = last.end if last is not None else link.start
            self._offer("".join(link.words), link.target, link.line, link.start, end)

    def _button(self, tag: Tag) -> None:
        """A picture to click on: a choice if it has words, a way on in any case. Those of the system have a
        role, or stay on the screen."""
        given = tag.attributes
        if "role" not in given and given.get("fix") != "true" and given.keys() & {"target", "storage"}:
            at = self._call or tag
            self._offer(self._value(tag, "text"), self._place(tag), at.line, at.start, at.end)
