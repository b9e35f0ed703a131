"""Name plates that are lines of their own: which lines they are, and whose speech stands beside them.

ChatNVL's dumps of サノバウィッチ have the name before the speech, those of 恋×シンアイ彼女 after it, and tell
names by a list, `names.txt`. Without a list they are learned: a short line without punctuation that stands
beside `「…」` again and again.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from dataset_builder.lines import clean_name, is_mask, real_name
from dataset_builder.report import Losses

LONGEST = 24  # letters of a name plate
_RARE = 12  # letters of one that stands in its place once only
_OFTEN = 2  # times beside a speech, from which on a plate is believed
_SHARE = 0.3  # of a file's speeches that must have such a plate
_SPEECH = ("「", "『", "（", "“", "(", "｢", '"')
_SENTENCE = re.compile(r"[。！？!?…,，「」『』“”\"～~♪♥―─<>=;；%\\\n]|[.:]$|^[（(\-\d*#@/]|、.*、")


def known_names(lines: Sequence[str]) -> dict[str, str]:
    """`names.txt`, a character a line, aliases between blanks: each alias -> the first one of its line."""
    known: dict[str, str] = {}
    for line in lines:
        aliases = line.split()
        for alias in aliases:
            known.setdefault(alias, aliases[0])
    return known


def with_names(
    texts: Sequence[str],
    translations: Sequence[str],
    known: dict[str, str],
    after: bool | None,
    losses: Losses,
) -> Iterator[tuple[int, str, str]]:
    """The texts that are no name plates, in order: (index, who says it, the plate), "" where there is none.

    `translations` are as many as `texts`, each "" if there is none; the list of names may be in their
    language. Who says it is the first alias of the list's line, or the plate itself. `after`: the plate
    follows what is said; None finds out. A plate beside no text is counted.
    """
    plates = _plates(texts, translations, known)
    if after is None or not known:
        speeches = [at for at, text in enumerate(texts) if text.lstrip(" \u3000").startswith(_SPEECH)]
        if after is None:
            after = _stands_after(speeches, plates)
        if not known:
            plates = _believed(speeches, plates, after)
    beside = -1 if after else 1
    owners = dict[int, int]()  # a text's index -> its plate's
    for at, plate in enumerate(plates):
        if plate:
            said = at + beside
            if 0 <= said < len(texts) and not plates[said] and said not in owners:
                owners[said] = at
            else:
                losses.skip("name without a line")
    for at, plate in enumerate(plates):
        if plate:
            continue
        if (owner := owners.get(at)) is None:
            yield at, "", ""
        else:
            name = plates[owner]
            yield at, known.get(name, name), clean_name(texts[owner]) if known else name


def _plates(texts: Sequence[str], translations: Sequence[str], known: dict[str, str]) -> list[str]:
    """For each text what it would be as a name, "" if it cannot be one."""

    def plate(text: str, translation: str) -> str:
        name = clean_name(text)
        if is_mask(name) and name.strip("…ー—-＊*"):  # `……` is no name, `？？？` is one on every list
            return known.get(name, name)
        if known:
            aliases = (name, real_name(name), clean_name(translation))
            return next((alias for alias in aliases if alias in known), "")
        return "" if _SENTENCE.search(real_name(name)) else name

    plates = []
    told: dict[tuple[str, str], str] = {}  # names come again and again
    for text, translation in zip(texts, translations, strict=True):
        if len(text) > LONGEST:
            plates.append("")
            continue
        found = told.get((text, translation))
        if found is None:
            told[text, translation] = found = plate(text, translation)
        plates.append(found)
    return plates


def _stands_after(speeches: Sequence[int], plates: Sequence[str]) -> bool:
    """Whether more speeches have a plate below them than above. Within an exchange all have both: its ends
    tell."""
    above = sum(1 for at in speeches if at and plates[at - 1])
    below = sum(1 for at in speeches if at + 1 < len(plates) and plates[at + 1])
    return below > above


def _believed(speeches: Sequence[int], plates: Sequence[str], after: bool) -> list[str]:
    """The plates that stand where plates stand, if enough of them come again and again; "" for others."""
    step = 1 if after else -1
    at_speech = {
        at + step: plates[at + step]
        for at in speeches
        if 0 <= at + step < len(plates) and plates[at + step] and not plates[at]
    }
    beside = Counter(at_speech.values())
    often = {name: times for name, times in beside.items() if times >= _OFTEN}
    if sum(often.values()) < max(_OFTEN, _SHARE * len(speeches)):
        return [""] * len(plates)
    alone = Counter(plate for at, plate in enumerate(plates) if plate and at not in at_speech)

    def believe(at: int, plate: str) -> bool:
        if plate in often:
            return at in at_speech or alone[plate] < often[plate]
        return at in at_speech and len(plate) <= _RARE and "、" not in plate

    return [plate if plate and believe(at, plate) else "" for at, plate in enumerate(plates)]
