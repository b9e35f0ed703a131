"""Artemis: `.ast` scripts, which are tables of Lua.

Facts from VNTextPatch (MIT, https://github.com/arcusmaximus/VNTranslationTools). In the first version
`ast.text` holds messages, `{name={name="虎鉄"}, select={"…"}, {"text", {"rt2"}, …}}`. In version 2.0 `ast`
holds blocks, `{text={ja={{name={"虎鉄", "少年"}, "text", …}}}, select={ja={"…"}}}`, in several languages; the
second name is the plate's. A table inside a message is a tag: `{"rt2"}` breaks the line, and
`{"ruby", text="かな"}` begins a reading.
"""

import re
from collections.abc import Iterator, Sequence

from dataset_builder.decode import decode
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.engines.branches import Forks
from dataset_builder.engines.lua_table import Table, read_lua
from dataset_builder.lines import other_line, spoken
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Ruby, Scene, Source
from dataset_builder.work import ScriptFile

NAME = "artemis"
TITLE = "Artemis"

_SYNTAX = re.compile(rb"^\s*(?:astver\s*=|astname\s*=|ast\s*=\s*\{)", re.MULTILINE)
_ORIGINAL = "ja"
_BREAKS = frozenset(("rt", "rt2"))
_VOICES = "vo"  # beside the languages of a text
_TAGS = {"cn": "zh", "tw": "zh-TW"}  # languages that Artemis calls otherwise


def sniff(name: str, head: bytes) -> float:
    if not name.lower().endswith(".ast"):
        return 0.0
    return 0.95 if _SYNTAX.search(head.removeprefix(b"\xef\xbb\xbf")) else 0.0


def read(files: Sequence[ScriptFile], options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    yield from read_each(files, options, losses, lambda file: _read(file, options, losses))


def _read(file: ScriptFile, options: ReadOptions, losses: Losses) -> Iterator[Scene]:
    root = read_lua(decode(file.read(), file.name, options.encoding), file.name)
    script = root.table("ast")
    reader = _Reader(file.name, options, losses)
    if "astver" in root.fields:
        for name, block in script.fields.items():
            if isinstance(block, Table):
                reader.block(block, name)
    else:
        for name, text in script.table("text").fields.items():
            if isinstance(text, Table):
                reader.text(text, name)
    if reader.scene.lines:
        yield reader.scene


class _Reader:
    """The messages and choices of one script, in the order of the file."""

    def __init__(self, file: str, options: ReadOptions, losses: Losses) -> None:
        self.scene = Scene(options.work, file, "", language=options.language)
        self._losses = losses
        self._forks = Forks()
        self._language = options.language or _ORIGINAL

    def text(self, text: Table, name: str) -> None:
        """A message of the first version."""
        speaker = text.table("name").fields.get("name")
        self._choose([(choice, {}) for choice in text.table("select").texts()], name)
        for message in text.items[:1]:
            if isinstance(message, Table):
                self._say(message, [speaker] if isinstance(speaker, str) else [], name)

    def block(self, block: Table, name: str) -> None:
        """A block of version 2.0, which may have its texts in several languages."""
        language, choices, others = _languages(block.table("select"), self._language)
        translated = {other: table.texts() for other, table in others.items()}
        self._choose(
            [
                (text, {other: texts[at] for other, texts in translated.items() if at < len(texts)})
                for at, text in enumerate(choices.texts())
            ],
            f"{name}/select/{language}",
        )
        texts = block.table("text")
        language, messages, others = _languages(texts, self._language)
        self.scene.language = self.scene.language or language
        voices = [
            voice.fields.get("file") for voice in texts.table(_VOICES).items if isinstance(voice, Table)
        ]
        for at, message in enumerate(messages.items):
            if not isinstance(message, Table):
                continue
            translations = {}
            for other, table in others.items():
                each = table.items[at] if len(table.items) == len(messages.items) else None
                if isinstance(each, Table) and (said := _plain(each)[0]):
                    translations[other] = said
            voice = tuple(each for each in voices if isinstance(each, str)) if at == 0 else ()
            place = f"{name}/text/{language}/{at}"
            self._say(message, message.table("name").texts(), place, translations, voice)

    def _say(
        self,
        message: Table,
        names: list[str],
        place: str,
        translations: dict[str, str] | None = None,
        voice: tuple[str, ...] = (),
    ) -> None:
        text, ruby = _plain(message)
        lines = self.scene.lines
        line = spoken(
            len(lines),
            names[0] if names else None,
            text,
            text,
            Source(self.scene.file, 0, f"ast/{place}"),
            display=names[1] if len(names) > 1 else None,
            ruby=ruby,
            voice=voice,
            translations=translations,
        )
        if not line.text:
            self._losses.skip("empty text")
            return
        lines.append(line)
        self._losses.emit()

    def _choose(self, choices: list[tuple[str, dict[str, str]]], place: str) -> None:
        if not choices:
            return
        fork = self._forks.open("")
        lines = self.scene.lines
        for text, translations in choices:
            source = Source(self.scene.file, 0, f"ast/{place}")
            line = other_line(
                len(lines), "choice", text, text, source, translations=translations, branch=fork.arm()
            )
            if not line.text:
                self._losses.skip("empty text")
                continue
            lines.append(line)
            self.scene.choices.append(Choice(line.text))
            self._losses.emit()


def _languages(texts: Table, wanted: str) -> tuple[str, Table, dict[str, Table]]:
    """The original's language and table, and those of the translations."""
    tables = {
        _TAGS.get(key, key): each
        for key, each in texts.fields.items()
        if key != _VOICES and isinstance(each, Table) and each.items
    }
    language = next((key for key in (wanted, _ORIGINAL) if key in tables), next(iter(tables), ""))
    return language, tables.pop(language, Table()), tables


def _plain(message: Table) -> tuple[str, tuple[Ruby, ...]]:
    """A message's text, and its ruby."""
    pieces: list[str] = []
    ruby: list[Ruby] = []
    reading, base = "", 0
    for item in message.items:
        if isinstance(item, str):
            pieces.append(item)
            continue
        tag = next(iter(item.texts()), "") if isinstance(item, Table) else ""
        if tag in _BREAKS:
            pieces.append("\n")
        elif tag == "ruby" and isinstance(item, Table):
            over = item.fields.get("text")
            reading, base = over if isinstance(over, str) else "", len(pieces)
        elif tag == "/ruby":
            if reading:
                ruby.append(Ruby("".join(pieces[base:]), reading))
            reading = ""
    return "".join(pieces), tuple(ruby)
