"""A dialogue as the exchanges of a chat: the one place where what was said gets its names and its brackets.

`inference.prompt` makes the prompt of them, as it does for people who talk with her.
"""

import re

from dataset_builder.schema import Dialogue, Utterance
from inference.prompt import Exchange, Said, clean

SILENCE = "…"  # what stands where nothing was said to her
_BRACKETS = {"zh": ("（", "）"), "ja": ("（", "）"), "en": ("(", ")")}
_WIDE = re.compile(r"[\u2e80-\u9fff\uff00-\uffef\U00020000-\U0003ffff]")


def languages_of(dialogue: Dialogue) -> tuple[str, ...]:
    """Its own language ("" when unknown), then those of its translations, by name."""
    translated = {language for turn in dialogue.turns for language in turn.translations}
    return (dialogue.language, *sorted(translated - {dialogue.language}))


def exchanges(dialogue: Dialogue, language: str, *, thoughts: bool = False) -> list[Exchange]:
    """The dialogue in `language`, its own or a translation; empty when it is not wholly in it.

    With one other speaker no names are written; with two and more, each utterance has its speaker's.
    Narration stands in brackets, a choice of the player's as it is; both have no name. With `thoughts`, hers
    stand in brackets before her answers (they have no translation), and others' before those.
    """
    own = language == dialogue.language
    said_by_turn = heard(dialogue, thoughts=thoughts)
    named = len({each.speaker for said in said_by_turn for each in said if each.speaker}) > 1
    made = []
    for turn, utterances in zip(dialogue.turns, said_by_turn, strict=True):
        said = []
        for utterance in utterances:
            text = utterance.text if own else utterance.translations.get(language, "")
            if _is_blank(text):
                return []
            if utterance.kind in ("narration", "thought", "title"):
                text = in_brackets(text, language)
            said.append(Said(text=text, name=(named and utterance.speaker) or ""))
        reply = turn.answered if own else turn.translations.get(language, "")
        if _is_blank(reply):
            return []
        if thoughts and own and turn.thought:
            reply = f"{in_brackets(turn.thought, language)}{reply}"
        made.append(Exchange(said=tuple(said) or (Said(text=SILENCE),), reply=reply))
    return made


def heard(dialogue: Dialogue, *, thoughts: bool = False) -> list[list[Utterance]]:
    """What is told before each of her answers."""
    return [
        [each for each in turn.said if (thoughts or each.kind != "thought") and not _is_blank(each.text)]
        for turn in dialogue.turns
    ]


def in_brackets(text: str, language: str) -> str:
    """`（雨。）` in Chinese and Japanese, `(It rains.)` in English; in an unknown language as its letters
    are."""
    wide = ("（", "）") if _WIDE.search(text) else ("(", ")")
    opening, closing = _BRACKETS.get(language.partition("-")[0].casefold(), wide)
    return f"{opening}{text.strip()}{closing}"


def _is_blank(text: str) -> bool:
    """Whether nothing of it is left in a prompt, which has no zero-width and no control letters."""
    return not clean(text).strip()
