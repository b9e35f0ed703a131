"""Text in blocks of two lines, the original and its translation, each behind the same prefix.

::

    <0000000012>「おはよう」          ○0000000012○「おはよう」       ☆000012☆灯☆「おはよう」
    ;<0000000012>「早上好」           ●0000000012●「早上好」         ★000012★灯★「早上好」

ChatNVL's dumps (left; prefixes of 12 letters), SiglusEngine's ssDumper and others of its kind (middle), and
SExtractor (right; the name is optional). In the first two a name is a block of its own, before the speech
(サノバウィッチ) or after it (恋×シンアイ彼女); see `dataset_builder.name_lines`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dataset_builder.decode import decode
from dataset_builder.dumps import dump_line, head_text, second_language
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.lines import clean_name
from dataset_builder.name_lines import LONGEST, known_names, with_names
from dataset_builder.report import Losses
from dataset_builder.schema import Scene, Source
from dataset_builder.work import ScriptFile

NAME = "two-line"
TITLE = "Two-line text of translators (ChatNVL, SExtractor, ssDumper)"

_OF_TRANSLATIONS = frozenset("●★◆▲■")
# An optional semicolon, then `<anything>` or an id between two marks of one kind.
_LINE = re.compile(r"[ \t\ufeff]*(;?)(?:<([^<>\n]{0,40})>|([○◎☆★●△▲◇◆□■])([\w:.#@|+\- ]{0,40})\3)")
_PAIR = re.compile(
    r"^(<[^<>\n]{1,40}>|([○◎☆★●])[\w:.#@|+\- ]{1,40}\2)[^\n]*\n;\1"
    r"|^([○☆◇△□])([\w:.#@|+\- ]{1,40})\3[^\n]*\n([●★◆▲■])\4\5",
    re.MULTILINE,
)
_NUMBERED = re.compile(r";?(?:<[0-9A-Fa-f:x_.\-]{2,40}>|([○◎☆★●])[0-9A-Fa-f:|x_.\-]{2,40}\1)")
_NO_NAME = re.compile(r"[「」『』（）。！？…、\s]")


def sniff(name: str, head: bytes) -> float:
    text = head_text(head)
    if _PAIR.search(text):
        return 0.95
    lines = [line for line in text.split("\n")[:100] if line and not line.isspace()]
    numbered = sum(1 for line in lines if _NUMBERED.match(line))
    return 0.7 if numbered > 3 and numbered > 0.7 * len(lines) else 0.0


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    known = known_names(options.names)
    return read_each(files, options, losses, lambda file: _read(file, options, known, losses))


def _read(file: ScriptFile, options: ReadOptions, known: dict[str, str], losses: Losses) -> Iterator[Scene]:
    blocks = _blocks(decode(file.read(), file.name, options.encoding), file.name, losses)
    language = options.translation or second_language(zip(blocks.originals, blocks.translations, strict=True))
    scene = Scene(options.work, file.name, "", language=options.language)
    for at, speaker, plate in _names(blocks, known, options.name_after, losses):
        translation = blocks.translations[at]
        line = dump_line(
            len(scene.lines),
            speaker,
            blocks.originals[at],
            {language: translation} if translation else {},
            Source(file.name, blocks.lines[at]),
            losses,
            display=plate if plate != speaker else None,
        )
        if line is not None:
            scene.lines.append(line)
    losses.emit(len(scene.lines))
    if scene.lines:
        yield scene


@dataclass(slots=True)
class _Blocks:
    """The blocks of a file, a list a column: an object a block would cost more than all the rest."""

    lines: list[int] = field(default_factory=list)
    originals: list[str] = field(default_factory=list)
    translations: list[str] = field(default_factory=list)  # "" where there is none
    marks: list[tuple[str, str]] = field(default_factory=list)  # around the ids of the two; "" for `<id>`


def _blocks(text: str, file: str, losses: Losses) -> _Blocks:
    blocks, orphans = _Blocks(), _Blocks()
    line, prefix, mark, its_mark = 0, "", "", ""
    original: str | None = None
    translation: str | None = None

    def close() -> None:
        found = blocks if original is not None else orphans
        found.lines.append(line)
        found.originals.append(original or "")
        found.translations.append(translation or "")
        found.marks.append((mark, its_mark))

    for number, physical in enumerate(text.split("\n"), 1):
        if not physical:
            continue
        match = _LINE.match(physical)
        if match is None:
            if not physical.isspace():
                losses.skip("line without a prefix")
            continue
        semicolon, bracketed, around, marked = match.groups("")
        its_prefix = bracketed or marked
        again = its_prefix == prefix and original is not None
        of_translation = semicolon or around in _OF_TRANSLATIONS or (again and around != mark)
        if its_prefix != prefix or not line or (again and not of_translation):
            if line:
                close()
            line, prefix, mark, its_mark = number, its_prefix, "", ""
            original = translation = None
        said = physical[match.end() :]
        if not of_translation:
            original, mark = said, around
        elif said or translation is None:  # of several translations the last one that says something
            translation, its_mark = said, around
    if line:
        close()
    if not blocks.lines:  # one language alone, behind whatever marks
        marks = [(mark, "") for _, mark in orphans.marks]
        return _Blocks(orphans.lines, orphans.translations, [""] * len(marks), marks)
    for line in orphans.lines:
        losses.skip("translation without its original")
        losses.warn(f"{file}, line {line}", "no original before it has its prefix")
    return blocks


def _names(
    blocks: _Blocks, known: dict[str, str], after: bool | None, losses: Losses
) -> Iterator[tuple[int, str, str]]:
    """(index of a block, who says it, the plate), without the blocks that are plates themselves.

    Names stand within the lines (and are taken off there) if any does, in lines of their own otherwise.
    """
    within = {at: name for at in range(len(blocks.lines)) if (name := _name_within(blocks, at))}
    if not within:
        yield from with_names(blocks.originals, blocks.translations, known, after, losses)
        return
    for at in range(len(blocks.lines)):
        plate = clean_name(within.get(at, ""))
        yield at, known.get(plate, plate), plate


def _name_within(blocks: _Blocks, at: int) -> str:
    """SExtractor's `名☆text`, whose name is taken off both texts. A ☆ of the text's own parts nothing."""
    mark, its_mark = blocks.marks[at]
    if not mark or mark not in blocks.originals[at]:
        return ""
    name, _, original = blocks.originals[at].partition(mark)
    if len(name) > LONGEST or _NO_NAME.search(name):
        return ""
    if blocks.translations[at]:
        _, found, translation = blocks.translations[at].partition(its_mark)
        if not found:
            return ""
        blocks.translations[at] = translation
    blocks.originals[at] = original
    return name
