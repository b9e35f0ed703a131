"""Terms taken out of dialogues, and put back.

The key says what each placeholder stands for, so a text that a model has rewritten can be restored as well.
What placeholders alone do not give back (an ordinary word in a name's place, HARRIS for Harris) is kept whole
in it. The key holds what was taken out: it stays with the user.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from dataset_builder.errors import DatasetError
from dataset_builder.filtering.placeholders import PLACEHOLDER
from dataset_builder.filtering.terms import Matcher, Term
from dataset_builder.schema import Dialogue, Turn, Utterance


class Kept(BaseModel):
    """A text that its placeholders do not give back: as it was redacted, and as it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    redacted: str
    original: str


class Key(BaseModel):
    """What was taken out. `texts` has by a dialogue's id, and by the place of a text in it, what is kept
    whole."""

    model_config = ConfigDict(extra="forbid")

    placeholders: dict[str, str] = {}
    texts: dict[str, dict[int, Kept]] = {}


class Redaction:
    """Takes terms out of dialogues; `key` grows with each, and puts them back.

    A character's own name and its parts stay in her dialogues, unless `own_name` is False.
    """

    def __init__(self, terms: Sequence[Term], *, own_name: bool = True) -> None:
        """`terms` as `find_terms` and `read_review` give them, with their replacements."""
        self.key = Key()
        self._terms = [term for term in terms if term.action != "undecided"]
        self._own_name = own_name
        self._drops = any(term.action == "drop" for term in terms)
        self._matchers: dict[str, Matcher] = {}
        for term in self._terms:
            if term.action == "placeholder" and PLACEHOLDER.fullmatch(term.replacement):
                self.key.placeholders.setdefault(term.replacement, term.text)

    def redact(self, dialogue: Dialogue) -> Dialogue | None:
        """The dialogue without the terms, under its old id; None when a term to "drop" leaves nothing of it.

        Such a term takes an utterance out of what was said. With an answer, or with all that was said to her,
        its turn goes, and the longest stretch of turns without a gap remains.
        """
        matcher = self._matcher(dialogue.character)
        if self._drops:
            shortened = _without(dialogue, matcher)
            if shortened is None:
                return None
            dialogue = shortened
        kept: dict[int, Kept] = {}
        place = -1

        def change(text: str) -> str:
            nonlocal place
            place += 1
            changed = replaced(text, matcher)
            if restore(changed, self.key) != text:
                kept[place] = Kept(redacted=changed, original=text)
            return changed

        redacted = _mapped(dialogue, change)
        if kept:
            self.key.texts[dialogue.id] = kept
        return redacted

    def _matcher(self, character: str) -> Matcher:
        if character not in self._matchers:
            self._matchers[character] = Matcher(
                replace(term, action="keep")
                if self._own_name and (term.text == character or character in term.of)
                else term
                for term in self._terms
            )
        return self._matchers[character]


def replaced(text: str, matcher: Matcher) -> str:
    """`text` with the replacements of the terms in it; the same object when there is none."""
    parts: list[str] = []
    end = 0
    for start, stop, term in matcher.find(text):
        if term.action != "keep":
            parts += (text[end:start], term.replacement)
            end = stop
    return "".join((*parts, text[end:])) if parts else text


def restore(text: str, key: Key) -> str:
    """`text` with what its placeholders stand for."""
    return PLACEHOLDER.sub(lambda match: key.placeholders.get(match[0], match[0]), text)


def restore_dialogue(dialogue: Dialogue, key: Key) -> Dialogue:
    """A redacted dialogue as it was. In one that was changed since, its placeholders are restored."""
    kept = key.texts.get(dialogue.id, {})
    place = -1

    def change(text: str) -> str:
        nonlocal place
        place += 1
        whole = kept.get(place)
        return whole.original if whole and whole.redacted == text else restore(text, key)

    return _mapped(dialogue, change)


def write_key(path: Path, key: Key) -> None:
    """For its owner's eyes only; an older key is there until the new one is whole. Raises `DatasetError`."""
    data = orjson.dumps(
        key.model_dump(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    )
    new = path.with_name(path.name + ".new")
    try:
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data + b"\n")
        new.replace(path)
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be written: {error.strerror}") from error


def read_key(path: Path) -> Key:
    """Raises `DatasetError`."""
    try:
        return Key.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise DatasetError(f"`{path}` is no key: {error.errors()[0]['msg']}") from error


def _mapped(dialogue: Dialogue, change: Callable[[str], str]) -> Dialogue:
    """The dialogue with `change` made to each of its texts, always in the same order."""

    def translations(texts: dict[str, str]) -> dict[str, str]:
        return {language: change(texts[language]) for language in sorted(texts)}

    def utterance(said: Utterance) -> Utterance:
        return Utterance(
            said.kind,
            change(said.speaker) if said.speaker is not None else None,
            change(said.text),
            translations(said.translations),
        )

    def turn(old: Turn) -> Turn:
        return Turn(
            tuple(map(utterance, old.said)),
            change(old.answered),
            translations(old.translations),
            change(old.thought),
            old.lines,
        )

    return replace(
        dialogue,
        context=tuple(map(utterance, dialogue.context)),
        turns=tuple(map(turn, dialogue.turns)),
    )


def _without(dialogue: Dialogue, matcher: Matcher) -> Dialogue | None:
    """The dialogue without what terms to "drop" stand in."""

    def sound(*texts: str) -> bool:
        return not any(term.action == "drop" for text in texts for _, _, term in matcher.find(text))

    def heard(said: Iterable[Utterance]) -> tuple[Utterance, ...]:
        return tuple(
            each for each in said if sound(each.speaker or "", each.text, *each.translations.values())
        )

    stretches: list[list[Turn]] = [[]]
    starts = [0]
    for at, turn in enumerate(dialogue.turns):
        said = heard(turn.said)
        lost = bool(turn.said) and not said
        if lost or not sound(turn.answered, turn.thought, *turn.translations.values()):
            stretches.append([])
            starts.append(at + 1)
        else:
            stretches[-1].append(turn if said == turn.said else replace(turn, said=said))
    best = max(range(len(stretches)), key=lambda number: len(stretches[number]))
    if not stretches[best]:
        return None
    return replace(
        dialogue,
        turns=tuple(stretches[best]),
        context=heard(dialogue.context) if starts[best] == 0 else (),
    )
