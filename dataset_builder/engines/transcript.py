"""Dialogues as people type them, when nothing else fits.

`灯：おはよう`, `灯「おはよう」`, `【灯】おはよう`, `灯<tab>おはよう`, ChatHaruhi's `灯:「おはよう」` with
`旁白:「…」` for what nobody says, and a name on a line of its own before `「おはよう」`. What has none of
these forms is narration; `# …` is a title.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dataset_builder.decode import decode
from dataset_builder.dumps import dump_line, head_text
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.lines import clean_name, other_line, unwrap
from dataset_builder.name_lines import known_names, with_names
from dataset_builder.report import Losses
from dataset_builder.schema import Line, Scene, Source
from dataset_builder.work import ScriptFile

NAME = "transcript"
TITLE = "Transcripts (名：台詞, 名「台詞」, 【名】台詞)"

_NARRATORS = frozenset(("旁白", "叙述", "ナレーション", "ナレーター", "地の文", "narration", "narrator"))
_FORM = re.compile(
    r"[ \t\u3000]*(?:【([^【】\n]{1,24})】[ \t\u3000]*[：:]?(?=.*[^\s\u3000])"
    r"|([^【】「」『』：:\t\n]{1,24}?)[ \u3000]*(?:([：:\t])(?=.*[^\s\u3000])|(?=[「『])))"
)
_NO_NAME = re.compile(r"[。、！？!?…\"“”,;；<>{}=|]|^[\W\d_]+$|^https?$|[a-z]{3,}(?: [a-z]+){3}")
_MASK = re.compile(r"[?？]{1,8}")
# 灯は「おはよう」と言った。 A kanji or katakana before a particle: the word before it is no plate.
_PARTICLE = re.compile(r"[\u30a1-\u30fc\u3400-\u9fff][はがもにをとのでへ]$")
_SEPARATOR = re.compile(r"[\s\-=*_~#◇◆☆★■□●○＊－＝・]*")
_TITLE = re.compile(r"#{1,6} +(?=\S)")
_CODE = tuple("*;@[]{}<\\~/$%")  # what lines of other scripts begin with
_LONGEST_SPEECH = 8  # physical lines
_INLINE = 0.2  # of the lines must carry a name that comes again, for that to be the file's form
_NEARLY_ALL = 0.6  # of the lines with a name: then names that come once are believed too


def sniff(name: str, head: bytes) -> float:
    base = name.lower().rpartition("/")[2]
    if "." in base and not base.endswith((".txt", ".text", ".md", ".log")):
        return 0.0
    text = head_text(head)
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    if len(head) >= 4000 and len(lines) > 1:
        lines.pop()  # cut in two
    if len(lines) < 2 or sum(line.lstrip().startswith(_CODE) for line in lines) > 0.15 * len(lines):
        return 0.0
    said = list(_said("\n".join(lines), {}, None, Losses()))
    share = sum(1 for each in said if each.plate) / (len(said) or 1)
    return 0.5 if share >= 0.6 else 0.35 if share >= 0.25 else 0.02


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    """One scene a file."""
    known = known_names(options.names)
    return read_each(files, options, losses, lambda file: _read(file, options, known, losses))


def _read(file: ScriptFile, options: ReadOptions, known: dict[str, str], losses: Losses) -> Iterator[Scene]:
    scene = Scene(options.work, file.name, "", language=options.language)
    text = decode(file.read(), file.name, options.encoding)
    for said in _said(text, known, options.name_after, losses):
        line = _line(len(scene.lines), said, Source(file.name, said.line), losses)
        if line is not None:
            scene.lines.append(line)
    losses.emit(len(scene.lines))
    if scene.lines:
        yield scene


class _Said(NamedTuple):
    line: int
    speaker: str  # by the list of names; "" for nobody
    plate: str
    text: str


def _line(index: int, said: _Said, source: Source, losses: Losses) -> Line | None:
    if said.plate.lower() in _NARRATORS:
        line = dump_line(index, None, unwrap(said.text)[0], {}, source, losses)
        if line is not None:
            line.raw = said.text
        return line
    if not said.plate and (title := _TITLE.match(said.text)):
        return other_line(index, "title", said.text[title.end() :], said.text, source)
    display = said.plate if said.plate != said.speaker else None
    return dump_line(index, said.speaker, said.text, {}, source, losses, display=display)


def _said(text: str, known: dict[str, str], after: bool | None, losses: Losses) -> Iterator[_Said]:
    """Every line that says something. Names stand in the lines if enough lines have one, else alone."""
    lines = _whole_speeches(text)
    forms = [_form(line) for _, line in lines]
    names = Counter(name for name, _ in forms if name)
    often = sum(times for name, times in names.items() if times > 1 or name in known)
    all_have = not known and names.total() >= _NEARLY_ALL * len(lines)
    if often < _INLINE * len(lines) and not all_have:
        texts = [line for _, line in lines]
        for at, speaker, plate in with_names(texts, [""] * len(texts), known, after, losses):
            yield _Said(lines[at][0], speaker, plate, texts[at])
        return
    for (number, line), (name, rest) in zip(lines, forms, strict=True):
        if name and (all_have or names[name] > 1 or name in known):
            yield _Said(number, known.get(name, name), name, rest)
        else:
            yield _Said(number, "", "", line)


def _whole_speeches(text: str) -> list[tuple[int, str]]:
    """(number, line), without separators. A 「 that is closed a few lines further down makes them one."""
    physical = [
        (number, line.strip(" \t\u3000"))
        for number, line in enumerate(text.split("\n"), 1)
        if not _SEPARATOR.fullmatch(line)
    ]
    whole = []
    at = 0
    while at < len(physical):
        number, line = physical[at]
        at += 1
        if (open_ := line.count("「") - line.count("」")) > 0:
            for end in range(at, min(at + _LONGEST_SPEECH, len(physical))):
                following = physical[end][1]
                if "「" in following:
                    break
                if (open_ := open_ - following.count("」")) <= 0:
                    line = "\n".join((line, *(each for _, each in physical[at : end + 1])))
                    at = end + 1
                    break
        whole.append((number, line))
    return whole


def _form(line: str) -> tuple[str, str]:
    """(name, what is said) of a line that carries its name, ("", line) of another."""
    match = _FORM.match(line)
    if match is None:
        return "", line
    bracketed, bare, mark = match.groups()
    name = clean_name(bracketed or bare)
    sure = bracketed or _MASK.fullmatch(name)
    if not sure and (_NO_NAME.search(name) or (mark is None and _PARTICLE.search(name))):
        return "", line
    return name, line[match.end() :].lstrip(" \t\u3000")
