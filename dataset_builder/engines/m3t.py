"""msg-tool's m3t: an original, a machine's translation and a person's, each behind its mark.

::

    ○ NAME: 灯

    ○ 「おはよう、\\n先輩」
    △ 「早安，前辈」
    ● 「早上好，\\n前辈」

The name holds for the next original. Line breaks are written `\\n`. Where nobody has translated, the last
line is `●` or `● 「」`, and the machine's translation stands in.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dataset_builder.decode import decode
from dataset_builder.dumps import dump_line, head_text, second_language
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.report import Losses
from dataset_builder.schema import Scene, Source
from dataset_builder.work import ScriptFile

NAME = "m3t"
TITLE = "msg-tool m3t"

_HEAD = re.compile(r"^○ [^\n]+\n(?:△[^\n]*\n)?●(?: |$)", re.MULTILINE)
_NAME = re.compile(r"^○ NAME:", re.MULTILINE)


def sniff(name: str, head: bytes) -> float:
    text = head_text(head)
    if _HEAD.search(text) or _NAME.search(text):
        return 0.97
    return 0.6 if name.lower().endswith(".m3t") and "○" in text else 0.0


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    return read_each(files, options, losses, lambda file: _read(file, options, losses))


class _Message(NamedTuple):
    line: int
    name: str
    text: str
    translation: str


def _read(file: ScriptFile, options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    messages = list(_messages(decode(file.read(), file.name, options.encoding), losses))
    language = options.translation or second_language((each.text, each.translation) for each in messages)
    scene = Scene(options.work, file.name, "", language=options.language)
    for number, name, text, translation in messages:
        line = dump_line(
            len(scene.lines), name, text, {language: translation}, Source(file.name, number), losses
        )
        if line is not None:
            scene.lines.append(line)
    losses.emit(len(scene.lines))
    if scene.lines:
        yield scene


def _messages(text: str, losses: Losses) -> Iterator[_Message]:
    name = machine = person = ""
    original: str | None = None
    line = 0
    for number, physical in enumerate(text.split("\n"), 1):
        mark, said = physical[:1], physical[1:].strip()
        if mark == "○":
            if original is not None:
                yield _Message(line, name, original, person or machine)
                name = ""
            original, machine, person, line = None, "", "", number
            if said.startswith("NAME:"):
                if name:
                    losses.skip("name without a line")
                name = said.removeprefix("NAME:").strip()
            else:
                original = said
        elif mark and mark in "△●" and original is not None:
            if mark == "△":
                machine = said
            elif said.strip("「」"):
                person = said
        elif mark and not physical.isspace():
            losses.skip("line without a mark" if mark not in "△●" else "translation without its original")
    if original is not None:
        yield _Message(line, name, original, person or machine)
    elif name:
        losses.skip("name without a line")
