"""Who speaks in a work of Ren'Py: characters and variables of all its files, told without running them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from dataset_builder.engines.renpy_expressions import Arguments, call, literal
from dataset_builder.engines.renpy_nodes import Assignment
from dataset_builder.engines.renpy_text import readable
from dataset_builder.lines import is_mask
from dataset_builder.report import Losses

_NOBODY = frozenset({"narrator", "adv", "nvl", "centered", "vcentered", "name_only"})  # Ren'Py's own
_LIKE_OTHERS = 10  # characters in a row, each made like the next or named after it
_LONGEST = 400  # letters of an expression whose text is repeated in lines
_VARIABLE = re.compile(r"[^\W\d][\w.]*+")
_STORES = re.compile(r"(?:store\.)?(?:character\.)?")
_BETWEEN_NAMES = re.compile("[·・]")


@dataclass(frozen=True, slots=True)
class Speaker:
    """`name` is who speaks ("": nobody), `shown` what the name plate says, `everybody` who speaks together
    where the cast tells. Every text of theirs stands between `prefix` and `suffix`."""

    name: str
    shown: str
    everybody: tuple[str, ...] = ()
    prefix: str = ""
    suffix: str = ""
    image: str = ""


NARRATOR = Speaker("", "")


class Cast:
    """All characters of a work, and the variables whose value is certain."""

    def __init__(self, assignments: Iterable[Assignment], losses: Losses) -> None:
        self._losses = losses
        self._texts: dict[str, set[str | None]] = {}  # variable -> what it is set to; None: not a literal
        self._constants: set[str] = set()
        self._definitions: dict[str, list[str]] = {}
        self._likely: dict[str, str] = {}  # defined by a call of something that may make characters
        for each in assignments:
            name = each.name[_STORES.match(each.name).end() :]  # type: ignore[union-attr]
            if "Character(" in each.expression:
                self._definitions.setdefault(name, []).append(each.expression)
                continue
            text = literal(each.expression) if len(each.expression) <= _LONGEST else None
            self._texts.setdefault(name, set()).add(text)
            if each.constant:
                self._constants.add(name)
                if text is None and "(" in each.expression:
                    self._likely.setdefault(name, each.expression)
        self._unmasked: dict[str, str | None] = {}
        self._characters: dict[str, Speaker | None] = {}
        self._in_a_row = 0  # characters that are being told, each for the sake of the one before
        self._known: dict[str, Speaker | None] = {}
        defined = [self._defined(name) for name in self._definitions]
        unmasked = [each for each in defined if each and not is_mask(each.name)]
        self._names = {each.name for each in unmasked}
        self._by_image = {each.image: each.name for each in reversed(unmasked) if each.image}

    def value(self, variable: str) -> str | None:
        """What a variable shows, where it is defined as a text and never changes, or is a character."""
        texts = self._texts.get(variable, set())
        if len(texts) == 1 and variable in self._constants:
            return next(iter(texts)) or None
        character = self._defined(variable.removesuffix(".name")) if not texts else None
        return character.shown or None if character else None

    def speaker(self, who: str | None, shown_as: str | None = None) -> Speaker | None:
        """Who an expression in front of a text stands for; None for one that is no character.

        `shown_as` is the expression of a name that the plate shows instead.
        """
        if who is None:
            return NARRATOR
        if who not in self._known:
            self._known[who] = self._complete(self._speaker(who))
        speaker = self._known[who]
        if speaker and shown_as and (name := literal(shown_as)) is not None:
            return replace(speaker, shown=self._read(name))
        return speaker

    def _speaker(self, who: str) -> Speaker | None:
        if (name := literal(who)) is not None:
            return self._named(name)
        if made := call(who):
            return self._made(*made, who)
        variable = who[_STORES.match(who).end() :]  # type: ignore[union-attr]
        if defined := self._defined(variable):
            return defined
        if variable in _NOBODY or variable == "None":
            return NARRATOR
        if text := self.value(variable):
            return self._named(text)
        if (likely := self._likely.get(variable)) and (made := call(likely)) and made[1].positional:
            name = literal(made[1].positional[0])
            return self._named(name) if name else None
        return None

    def _complete(self, speaker: Speaker | None) -> Speaker | None:
        """With everybody who speaks together, and the one behind a mask of the same picture."""
        if not speaker or not speaker.name:
            return speaker
        if is_mask(speaker.name):
            return replace(speaker, name=self._by_image.get(speaker.image, speaker.name))
        names = [name.strip() for name in _BETWEEN_NAMES.split(speaker.name)]
        if len(names) > 1 and self._names.issuperset(names):
            return replace(speaker, everybody=tuple(names))
        return speaker

    def _defined(self, variable: str) -> Speaker | None:
        """The character of a variable."""
        if variable in self._characters or variable not in self._definitions or self._in_a_row > _LIKE_OTHERS:
            return self._characters.get(variable)
        self._characters[variable] = None  # while it is being told: none is made like itself
        self._in_a_row += 1
        speaker = self._characters[variable] = self._first(variable)
        self._in_a_row -= 1
        return speaker

    def _first(self, variable: str) -> Speaker | None:
        """One that is made anew under its real name has that from the start."""
        first = None
        for expression in self._definitions[variable]:
            made = call(expression)
            if made and (speaker := self._made(*made, variable)):
                first = first or speaker
                if not is_mask(speaker.name):
                    return speaker
        if first and (renamed := self._real(f"{variable}.name")):
            return replace(first, name=renamed)
        return first

    def _made(self, function: str, given: Arguments, who: str) -> Speaker | None:
        """The character that a call makes."""
        if not function.endswith("Character"):
            return None
        keywords = given.keywords
        like = self._defined(keywords["kind"]) if "kind" in keywords else None
        expression = given.positional[0] if given.positional else keywords.get("name")
        if expression is None:
            speaker = replace(like or NARRATOR)
        else:
            dynamic = function.endswith("DynamicCharacter") or keywords.get("dynamic") == "True"
            name = self._name(expression, who, dynamic=dynamic)
            speaker = replace(like or NARRATOR, name=name, shown=name)
            if is_mask(name) and like and like.name:
                speaker = replace(speaker, name=like.name)
        return replace(
            speaker,
            prefix=_given(keywords, "what_prefix", speaker.prefix),
            suffix=_given(keywords, "what_suffix", speaker.suffix),
            image=_given(keywords, "image", speaker.image),
        )

    def _name(self, expression: str, who: str, *, dynamic: bool) -> str:
        name = literal(expression)
        if name is not None and dynamic:
            expression, name = name, literal(name)
        if name is not None:
            return self._read(name)
        if expression == "None":
            return ""
        if not _VARIABLE.fullmatch(expression):
            return who
        name = self._real(expression) or self.value(expression)
        return self._read(name) if name else f"{{{expression}}}"

    def _real(self, variable: str) -> str | None:
        """The one name that a variable is ever given, apart from masks."""
        if variable not in self._unmasked:
            texts = [text for text in self._texts.get(variable, ()) if text is None or not is_mask(text)]
            names = [text for text in texts if text != ""]
            self._unmasked[variable] = names[0] if len(names) == 1 else None
        return self._unmasked[variable]

    def _named(self, name: str) -> Speaker:
        name = self._read(name)
        return Speaker(name, name)

    def _read(self, text: str) -> str:
        return readable(text, self.value, self._losses)[0].strip()


def _given(keywords: dict[str, str], key: str, otherwise: str) -> str:
    expression = keywords.get(key, "")
    text = literal(expression) if len(expression) <= _LONGEST else None
    return otherwise if text is None else text
