r"""Musica, minori's engine: `.sc` scripts.

Facts from VNTextPatch (MIT, https://github.com/arcusmaximus/VNTranslationTools). A line is a command with
arguments between single blanks or tabs, of which any may be empty: `.message 100 ren-001 蓮治 「……」` has a
number, a voice, a name (or `@name`) and the text, `.select はい:1 いいえ:2` choices and what they do. A
literal `\n` breaks the line.
"""

import re
from collections.abc import Iterator, Sequence

from dataset_builder.decode import decode
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.engines.branches import Forks
from dataset_builder.lines import other_line, spoken
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Line, Scene, Source
from dataset_builder.work import ScriptFile

NAME = "musica"
TITLE = "Musica"

_SYNTAX = re.compile(rb"^\.message[ \t]+\d+[ \t]", re.MULTILINE)
_BLANK = re.compile(r"[ \t]")
_CODE = re.compile(r"\\(.)")


def sniff(name: str, head: bytes) -> float:
    if not name.lower().endswith(".sc"):
        return 0.0
    return 0.95 if _SYNTAX.search(head) else 0.0


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    yield from read_each(files, options, losses, lambda file: _read(file, options, losses))


def _read(file: ScriptFile, options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    scene = Scene(options.work, file.name, "", language=options.language)
    forks = Forks()

    def add(line: Line) -> bool:
        if not line.text:
            losses.skip("empty text")
            return False
        scene.lines.append(line)
        losses.emit()
        return True

    for number, written in enumerate(decode(file.read(), file.name, options.encoding).split("\n"), 1):
        source = Source(file.name, number)
        command, *given = _BLANK.split(written, maxsplit=4)
        if command == ".message":
            if len(given) < 4:
                losses.skip("a message without text")
                continue
            _, voice, name, text = given
            name = name.removeprefix("@").replace("\u3000", "")
            voices = (voice,) if voice else ()
            add(spoken(len(scene.lines), name, _plain(text, losses), text, source, voice=voices))
        elif command == ".select":
            fork = forks.open("")
            for choice in _BLANK.split(written)[1:]:
                text, _, _ = choice.partition(":")
                if not choice:
                    continue
                shown = _plain(text, losses)
                if add(other_line(len(scene.lines), "choice", shown, choice, source, branch=fork.arm())):
                    scene.choices.append(Choice(scene.lines[-1].text))
    if scene.lines:
        yield scene


def _plain(text: str, losses: Losses) -> str:
    def printed(match: re.Match[str]) -> str:
        if match[1] == "n":
            return "\n"
        losses.unknown[f"\\{match[1]}"] += 1
        return ""

    return _CODE.sub(printed, text) if "\\" in text else text
