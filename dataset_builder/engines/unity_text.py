"""What texts of Unity's story languages (Ink, Yarn Spinner, Naninovel) share: escapes and rich text.

An escaped letter is hidden in a private plane of Unicode while a text is taken apart, so that no rule sees
it; `reveal` brings it back. Rich text is TextMesh Pro's
(https://docs.unity3d.com/Packages/com.unity.textmeshpro@4.0/manual/RichText.html), with the `<ruby=…>` that
Naninovel and extensions add.
"""

import re

from dataset_builder.schema import Ruby

_HIDDEN = 0xF0000
_ESCAPED = re.compile(r"\\([\x00-\ufffd])")
_ESCAPED_SIGN = re.compile(r"\\([^\w\s])")
_REVEALED = re.compile(r"[\U000f0000-\U000ffffd]")
_RUBY = re.compile(r'<r(?:uby)?="?([^<>"]{1,80})"?>([^<>]{0,80})</r(?:uby)?>')
_KNOWN = (
    "align|allcaps|alpha|b|br|color|cspace|font|gradient|i|indent|line-height|line-indent|link|lowercase|margin|"
    "mark|material|mspace|nobr|noparse|page|pos|quad|rotate|s|size|smallcaps|space|sprite|style|sub|sup|u|"
    "uppercase|voffset|width"
)
# A name alone must be known, for `<o>` is a smiley; `<name=…>` and `</name>` are tags whatever the name.
_TAG = re.compile(
    rf"<(?P<name>(?:{_KNOWN})(?=[\s>/])|[A-Za-z][\w-]{{0,30}}(?==)|/[A-Za-z][\w-]{{0,30}}(?=>)|(?=#[0-9A-Fa-f]))"
    r"[^<>]{0,200}>"
)


def hide(letter: str) -> str:
    """A letter as `hide_escapes` leaves it."""
    return chr(_HIDDEN + ord(letter)) if letter <= "\ufffd" else letter


def hide_escapes(text: str, *, letters: bool = False) -> str:
    r"""The text with `\x` as one hidden letter, for every sign x (and, with `letters`, for anything)."""
    if "\\" not in text:
        return text
    return (_ESCAPED if letters else _ESCAPED_SIGN).sub(lambda match: hide(match[1]), text)


def reveal(text: str) -> str:
    """The text with hidden letters as themselves."""
    if text.isascii() or not _REVEALED.search(text):
        return text
    return _REVEALED.sub(lambda match: chr(ord(match[0]) - _HIDDEN), text)


def plain(text: str) -> tuple[str, tuple[Ruby, ...]]:
    """The text without rich text, `<br>` as a line break, and its ruby."""
    if "<" not in text:
        return text, ()
    ruby: list[Ruby] = []

    def base(match: re.Match[str]) -> str:
        if match[2]:
            ruby.append(Ruby(match[2], match[1]))
        return match[2]

    text = _RUBY.sub(base, text)
    return _TAG.sub(lambda match: "\n" if match["name"] == "br" else "", text), tuple(ruby)
