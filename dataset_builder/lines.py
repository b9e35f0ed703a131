"""What readers of all formats share: is it said, thought or told; who says it; how a line break is joined."""

import re
from functools import lru_cache

from dataset_builder.schema import Kind, Line, Ruby, Source

_CLOSING = {
    "「": "」", "『": "』", "“": "”", "«": "»", '"': '"', "｢": "｣",
    "（": "）", "(": ")",
}  # fmt: skip
_THOUGHT = frozenset("（(")
_SPOKEN = frozenset('「“«"｢')  # what begins speech even where something follows the closing bracket
_BLANKS = " \t\n\u3000\u00a0\u200b\ufeff"
# A name plate that hides who speaks.
_MASK = re.compile(
    r"[?？�■●○〇＊*\-ー—…]{1,8}|謎の.{1,6}|未知.{0,3}|神秘.{0,3}|unknown|mystery \w+", re.IGNORECASE
)
_TOGETHER = re.compile(r"[＆&＋+、，/／;；＝]| and ")
_TITLES = frozenset(("Mr", "Mr.", "Mrs", "Mrs.", "Ms.", "Dr."))
_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff…—♪♥]")


def unwrap(text: str) -> tuple[str, Kind | None]:
    """The text without the brackets that stand around the whole of it, and what they say: speech or thought.

    None where nothing is said about it: no bracket, or one that closes before the end (`「…」と言った。`),
    which then stays, with "speech" if it is one of speech.
    """
    text = text.strip(_BLANKS)
    if not text or (opening := text[0]) not in _CLOSING:
        return text, None
    closing = _CLOSING[opening]
    if text[-1] == closing and len(text) > 1 and _closes_last(text, opening, closing):
        return text[1:-1].strip(_BLANKS), "thought" if opening in _THOUGHT else "speech"
    return text, "speech" if opening in _SPOKEN else None


def _closes_last(text: str, opening: str, closing: str) -> bool:
    inner = text[1:-1]
    if closing not in inner:
        return True
    if opening == closing:
        return False  # "a" he said. "b"
    depth = 0
    for c in inner:
        if c == opening:
            depth += 1
        elif c == closing:
            depth -= 1
            if depth < 0:
                return False
    return depth == 0


@lru_cache(4096)
def clean_name(name: str) -> str:
    """A name as its plate shows it, without the plate: brackets, colons and blanks around it."""
    name = name.strip(_BLANKS).rstrip("：:").strip(_BLANKS)
    if len(name) > 2 and name[0] in "【[［〔" and name[-1] in "】]］〕":
        name = name[1:-1].strip(_BLANKS)
    return name


@lru_cache(4096)
def real_name(name: str) -> str:
    """Who it is: the name without stage directions, `灯（小声）` -> `灯`."""
    if not name.endswith(("）", ")")):
        return name
    at = max(name.rfind("（"), name.rfind("("))
    closed_before = max(name.rfind("）", 0, -1), name.rfind(")", 0, -1))
    return name[:at].rstrip(_BLANKS) or name if at > closed_before else name


def is_mask(name: str) -> bool:
    """Whether a name plate hides who speaks, such as `？？？`."""
    return _MASK.fullmatch(name.strip(_BLANKS)) is not None


@lru_cache(4096)
def together(name: str) -> tuple[str, ...]:
    """Everybody in a name plate of several people (`A＆B`, `A、B`, `A/B`); one name otherwise.

    `・` is not read so: it stands inside foreign names. `dataset_builder.scenes` splits there when both
    halves speak elsewhere.
    """
    names = tuple(filter(None, map(clean_name, _TOGETHER.split(name))))
    titled = any(each in _TITLES for each in names)  # Mr. and Mrs. Smith
    return names if len(names) > 1 and not titled else (name,)


def join_breaks(text: str) -> str:
    """The text in one line: nothing between wide letters (Chinese, Japanese, Korean), a blank between
    others."""
    if "\n" not in text:
        return text
    whole = ""
    for line in filter(None, (line.strip(" \t\u3000") for line in text.split("\n"))):
        whole += " " if whole and not (_WIDE.match(whole[-1]) or _WIDE.match(line)) else ""
        whole += line
    return whole


def spoken(
    index: int,
    name: str | None,
    text: str,
    raw: str,
    source: Source,
    *,
    display: str | None = None,
    ruby: tuple[Ruby, ...] = (),
    voice: tuple[str, ...] = (),
    speakers: tuple[str, ...] = (),
    translations: dict[str, str] | None = None,
    branch: str = "",
) -> Line:
    """A line that is speech, thought or narration by its name plate and its brackets.

    `name` is who speaks (None or "": nobody), `display` what the plate shows when that is something else.
    `text` has no markup any more; `translations` are treated like it.
    """
    text, kind = unwrap(join_breaks(text))
    name = clean_name(name) if name else ""
    shown = clean_name(display) if display else name
    if kind is None:
        kind = "speech" if name else "narration"
    if name and not speakers:
        name = real_name(name)
        speakers = together(name)
    return Line(
        index,
        kind,
        name or None,
        shown or None,
        speakers,
        text,
        raw,
        source,
        ruby,
        voice,
        {language: unwrap(join_breaks(said))[0] for language, said in translations.items()}
        if translations
        else {},
        branch,
    )


def other_line(
    index: int,
    kind: Kind,
    text: str,
    raw: str,
    source: Source,
    *,
    translations: dict[str, str] | None = None,
    branch: str = "",
) -> Line:
    """A line that nobody says: a choice of the player's, a title, narration."""
    return Line(
        index,
        kind,
        None,
        None,
        (),
        join_breaks(text).strip(_BLANKS),
        raw,
        source,
        (),
        (),
        translations or {},
        branch,
    )
