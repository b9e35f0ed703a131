"""What dumps of all tools share: codes of engines that were left in their texts, and half-read heads.

Tools that write texts out for translators keep the markup of the engine. The codes here are those of BGI
(`<s36>…</s>`, ruby `<rかな>漢字</r>`) and of KAGEX (`%138;`, `%p2;`, `%lKEY;#00ff00;…%l;#;`, ruby `[かな]漢`
and `[かな,2]漢字`, emphasis `[・]`), which ChatNVL's own dumps have, and a literal `\\n`.
"""

import codecs
import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

from dataset_builder.decode import plausibility
from dataset_builder.languages import guess_all
from dataset_builder.lines import clean_name, real_name, spoken, together
from dataset_builder.report import Losses
from dataset_builder.schema import Line, Ruby, Source

# Ruby stands on no hiragana: `[あかり]おはよう` is a name.
_MAYBE_CODE = re.compile(r"[<%\\\[#]")
_CODE = re.compile(
    r"<r(?P<over>[^<>\n]{1,40})>(?P<under>[^<>\n]{1,40})</r>"
    r"|<(?P<tag>/?[A-Za-z#][^<>\n]{0,99})>"
    r"|\[・+(?:,[0-9]{1,2})?\](?=\w)"
    r"|\[(?P<kana>[\u3041-\u30ff]{1,20})(?:,(?P<count>[0-9]{1,2}))?\](?=[^\W\u3041-\u309f])"
    r"|%l[^;\n]{0,40};#[0-9A-Fa-f]{0,8};"
    r"|%(?:[pdwtDf]?-?[0-9]{0,5}|f[^\s;]{1,40});"
    r"|\#[0-9A-Fa-f]{6}(?:[0-9A-Fa-f]{2})?;"
    r"|\\(?P<letter>[nr])"
)
# Codes that say how a text looks; any other tag that is taken out is counted.
_LOOKS = frozenset(("s", "r", "b", "i", "u", "br", "font", "color", "size", "ruby", "rb", "rt", "span"))
_TAG_NAME = re.compile(r"/?([A-Za-z]*)")
_BRACKETED_NAME = re.compile(r"\A【([^【】\n]{1,24})】[ \u3000]*(?=[「『（“])")


def plain(text: str, losses: Losses) -> tuple[str, tuple[Ruby, ...]]:
    """A text without codes, and its ruby. Tags of names that nobody knows are counted as unknown."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _MAYBE_CODE.search(text) is None:
        return text, ()
    ruby: list[Ruby] = []

    def instead(code: re.Match[str]) -> str:
        if code["letter"] is not None:
            return "\n" if code["letter"] == "n" else ""
        if code["over"] is not None:
            ruby.append(Ruby(code["under"], code["over"]))
            return code["under"]
        if code["kana"] is not None:
            base = text[code.end() : code.end() + int(code["count"] or 1)]
            ruby.append(Ruby(base, code["kana"]))
        elif code["tag"] is not None:
            name = _TAG_NAME.match(code["tag"])
            if name is None or name[1].lower() not in _LOOKS:
                losses.unknown[f"<{code['tag'].split(maxsplit=1)[0][:20]}>"] += 1
        return ""

    return _CODE.sub(instead, text), tuple(ruby)


def dump_line(
    index: int,
    name: str | None,
    text: str,
    translations: dict[str, str],
    source: Source,
    losses: Losses,
    *,
    display: str | None = None,
    speakers: tuple[str, ...] = (),
    voice: tuple[str, ...] = (),
) -> Line | None:
    """The line that a record of a dump is, or None for an empty text, which is counted.

    A text that carries its name in front, `【灯】「おはよう」`, is parted. A translation that is empty, or
    the original once more (as tools write where nobody has translated yet), is none.
    """
    said, ruby = plain(text, losses)
    translated = {}
    for language, translation in translations.items():
        if translation and translation != text and not translation.isspace():
            translated[language] = plain(translation, losses)[0]
    if not name and said[:1] == "【" and (front := _BRACKETED_NAME.match(said)):
        name, said = front[1], said[front.end() :]
        translated = {
            language: _BRACKETED_NAME.sub("", translation, count=1)
            for language, translation in translated.items()
        }
    if name and not speakers:
        name, shown, speakers = _who(name)
        display = display or (shown if shown != name else None)
    line = spoken(
        index,
        name,
        said,
        text,
        source,
        display=display,
        ruby=ruby,
        voice=voice,
        speakers=speakers,
        translations=translated,
    )
    if not line.text or line.text.isspace():
        losses.skip("empty text")
        return None
    return line


@lru_cache(4096)
def _who(name: str) -> tuple[str, str, tuple[str, ...]]:
    """(who speaks, what the plate shows, everybody who speaks); a script has few names, and many lines."""
    shown = clean_name(name)
    name = real_name(shown)
    return name, shown, together(name) if name else ()


def second_language(pairs: Iterable[tuple[str, str]]) -> str:
    """The language of a file's translations by the first hundred of its (original, translation).

    `und`, BCP 47's undetermined, if they have no letters.
    """
    translations = (translation for text, translation in pairs if translation and translation != text)
    return guess_all(islice(translations, 100)) or "und"


def head_text(head: bytes) -> str:
    """The beginning of a file as text, "" if it is none; its last letter may be cut in two."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if head.startswith(mark):
            return head[len(mark) :].decode(name, "ignore")
    if b"\0" in head:
        return ""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        old = (_decoded(head, name) for name in ("cp932", "gb18030", "big5"))
        return max(old, key=plausibility)


def _decoded(head: bytes, encoding: str) -> str:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return ""
