"""Who speaks in Ink, by the convention `Name: text`: the language itself has no speakers."""

import re

from dataset_builder.engines.unity_text import hide

_WORD = r"(?:(?:Dr|Mr|Mrs|Ms|Prof|St|[A-Z])\.|[^\W_][\w'’\-]*)"
_NAME = re.compile(
    rf"(?P<name>{_WORD}(?:[ &+/]+{_WORD}){{0,4}}(?:[ ]?[(（][^()（）:：]{{1,30}}[)）])?"
    rf"|[?？]{{1,8}}|{hide('{')}[^:：]{{1,40}}?{hide('}')})"
    r"[ \t]*(?::(?=[\s\"“])|：)(?P<said>.*)",
    re.DOTALL,
)
_SMALL = frozenset(("of", "the", "de", "la", "da", "di", "von", "van", "and"))
# What prose says before a colon.
_NO_NAMES = frozenset(
    (
        "yes",
        "no",
        "then",
        "so",
        "but",
        "and",
        "now",
        "well",
        "note",
        "warning",
        "time",
        "ps",
        "chapter",
        "day",
    )
)


def split_name(text: str, names: frozenset[str] = frozenset()) -> tuple[str, str]:
    """`Name: text` as name and text; the name is "" where nothing looks like one.

    A name is one word, or a few of which each begins with a capital; with `names`, one of those. Letters that
    were escaped are still hidden.
    """
    match = _NAME.match(text) if ":" in text or "：" in text else None
    if match is None or not match["said"].strip():
        return "", text
    name, said = match["name"], match["said"]
    if names:
        return (name, said) if name in names else ("", text)
    words = name.partition("(")[0].split()
    if not words or name[0].isdigit() or words[0].lower() in _NO_NAMES:
        return "", text
    if len(words) > 1 and any(word[0].islower() and word not in _SMALL for word in words):
        return "", text
    return name, said
