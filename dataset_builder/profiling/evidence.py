"""What a work says by and about one character, line by line, each with its place.

Whatever is claimed of her later is claimed from here.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dataset_builder.dialogue import count_speakers, find_speaker
from dataset_builder.languages import guess_all
from dataset_builder.schema import Kind, Scene

_SENTENCE = re.compile(r"[^。！？!?…\n]+[。！？!?…]*|[。！？!?…]+")
_SENTENCE_EN = re.compile(r"(?:[^.!?…\n]|\.(?=\S))+[.!?…]*|[.!?…]+")
_PARTS = re.compile(r"[\s\u3000・·•]+")


@dataclass(frozen=True, slots=True)
class Evidence:
    """A line that proves something; `index` is the line's in its scene."""

    file: str
    scene: str
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """A line of the work, in the language that is looked at; `line` counts from 1 in its file, or is 0."""

    evidence: Evidence
    kind: Kind
    speaker: str | None
    hers: bool  # said or thought by her alone
    names_her: bool  # somebody else's, or nobody's, with her name in it
    branch: str
    line: int

    @property
    def text(self) -> str:
        return self.evidence.text

    @property
    def place(self) -> tuple[str, str]:
        return self.evidence.file, self.evidence.scene


@dataclass(frozen=True)
class Dossier:
    """All lines of a work in one language, as they concern one character."""

    name: str
    called: tuple[str, ...]  # all that she is called, the longest first
    language: str
    records: tuple[Record, ...]
    others: tuple[str, ...]  # everybody else who speaks, the most talkative first

    @property
    def hers(self) -> Iterator[Record]:
        """What she says and thinks."""
        return (record for record in self.records if record.hers)

    @property
    def spoken(self) -> Iterator[Record]:
        """What she says aloud."""
        return (record for record in self.records if record.hers and record.kind == "speech")

    @property
    def spoken_by_others(self) -> Iterator[Record]:
        return (
            record
            for record in self.records
            if not record.hers and record.speaker is not None and record.kind == "speech"
        )


def gather(scenes: Sequence[Scene], names: Sequence[str], language: str = "") -> Dossier:
    """What `scenes` say of the character of these names, the main one first.

    `language` "" is that of most of her lines. A line without text in the language is left out. Raises
    `DatasetError` if she never speaks, or not in that language.
    """
    counts = count_speakers(scenes)
    name = find_speaker(names[0], counts)
    own = frozenset(names)
    parts = {part for each in names for part in _PARTS.split(each) if len(part) > 1}
    called = tuple(sorted(own | parts, key=lambda each: (-len(each), each)))
    mentions = re.compile("|".join(re.escape(each) for each in called))
    language = language or _language_of(scenes, own)
    return Dossier(
        name=name,
        called=called,
        language=language,
        records=tuple(_records(scenes, own, mentions, language)),
        others=tuple(each for each, _ in counts.most_common() if each not in own),
    )


def sentences(text: str, language: str) -> list[str]:
    """The sentences of a line, each with the marks at its end."""
    kind = _SENTENCE_EN if language.startswith("en") else _SENTENCE
    return [found for each in kind.findall(text) if (found := each.strip())]


def _language_of(scenes: Sequence[Scene], own: frozenset[str]) -> str:
    mine: dict[str, int] = {}
    for scene in scenes:
        if count := sum(len(line.text) for line in scene.lines if line.speaker in own):
            mine[scene.language] = mine.get(scene.language, 0) + count
    named = max(mine, key=lambda each: (mine[each], each), default="")
    return named or guess_all(line.text for scene in scenes for line in scene.lines if line.speaker in own)


def _records(
    scenes: Iterable[Scene], own: frozenset[str], mentions: re.Pattern[str], language: str
) -> Iterator[Record]:
    for scene in scenes:
        native = scene.language in ("", language)
        for line in scene.lines:
            text = line.text if native else line.translations.get(language, "")
            if not text:
                continue
            alone = len(line.speakers) <= 1
            hers = alone and line.speaker in own and line.kind in ("speech", "thought")
            yield Record(
                Evidence(scene.file, scene.scene, line.index, text),
                line.kind,
                line.speaker if alone else None,
                hers,
                not hers and mentions.search(text) is not None,
                line.branch,
                line.source.line,
            )
