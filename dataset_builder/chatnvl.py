"""The seed's own algorithm, for comparison: `dialogues --compat chatnvl`.

What ChatNVL of 2023 did (hiyouga/ChatNVL-Towards-Visual-Novel-ChatBot, `src/*/preprocess.py` and
`src/generate_data.py`, commit 4c85077), with all of its eccentricities: short lines are dropped before
neighbours are joined, whoever spoke before is "the user", windows overlap, both parities are written, a
person's history has holes, and the last dialogue of every file is lost. `dataset_builder.dialogue` does none
of this.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from dataset_builder.schema import Line, Scene

TOLERANCE = 3  # lines that nobody speaks, within one dialogue
WINDOW, LONGEST = 128, 384  # letters of a group and of a sample
_FINISHED = ("。", "，", "？", "！", "）", "…")


@dataclass(frozen=True)
class Spoken:
    """A line of the seed's `chat.json`: `{"jpn", "chs", "speaker"}`."""

    jpn: str
    chs: str
    speaker: str


def chats(scenes: Iterable[Scene]) -> list[list[Spoken]]:
    """The seed's `chat.json`. A file's scenes are one stream, as the seed knew no scenes.

    Lists of JSON (千恋＊万花) were kept from three lines on and began to count anew at each speech; blocks
    of two lines (サノバウィッチ, 恋×シンアイ彼女) were kept from two lines on and went on counting.
    """
    found: list[list[Spoken]] = []
    for file, lines in _files(scenes):
        lists = file.endswith(".json")
        chat: list[Spoken] = []
        quiet = 0
        for line in lines:
            if line.kind == "speech" and line.speaker:
                chat.append(_spoken(line))
                quiet = 0 if lists else quiet
            elif quiet < TOLERANCE and (lists or chat):
                quiet += 1
            elif lists or chat:
                if len(chat) > 2 or (not lists and len(chat) == 2):
                    found.append(chat)
                chat, quiet = [], 0
    return found


def _files(scenes: Iterable[Scene]) -> Iterator[tuple[str, list[Line]]]:
    file, lines = "", list[Line]()
    for scene in scenes:
        if scene.file != file:
            if lines:
                yield file, lines
            file, lines = scene.file, []
        lines += scene.lines
    if lines:
        yield file, lines


def _spoken(line: Line) -> Spoken:
    """Up to the first closing bracket; without brackets the last letter is gone, as `text[0:-1]` has it."""
    chinese = next((text for tag, text in line.translations.items() if tag.startswith("zh")), line.text)
    bracketed = "「" in line.raw

    def cut(text: str) -> str:
        text = text.replace("\u3000", "").replace("●", "")
        if not bracketed:
            return text[:-1]
        return text.removeprefix("「").partition("」")[0]

    return Spoken(cut(line.text), cut(chinese), line.display_name or line.speaker or "")


def samples(
    found: Iterable[Sequence[Spoken]], character: str | None = None, stopwords: frozenset[str] = frozenset()
) -> Iterator[dict[str, object]]:
    """The seed's Alpaca rows: `instruction`, `input`, `output`, `history`; those of one person, or all."""
    for chat in found:
        merged = _merged(chat, stopwords)
        if len(merged) < 2:
            continue
        groups = _groups(merged)
        size = LONGEST // WINDOW
        for start in range(0, len(groups), size - 1):
            texts = list(chain(*groups[start : start + size]))
            for parity in range(2):
                pairs = list(zip(texts[parity::2], texts[parity + 1 :: 2], strict=False))
                chosen = [(said[1], reply[1]) for said, reply in pairs if character in (None, reply[0])]
                if chosen:
                    *history, (instruction, output) = chosen
                    yield {"instruction": instruction, "input": "", "output": output, "history": history}


def _merged(chat: Sequence[Spoken], stopwords: frozenset[str]) -> list[tuple[str, str]]:
    merged: list[tuple[str, str]] = []
    for line in chat:
        text = re.sub("—+", "", re.sub("…+", "…", line.chs))
        if len(text) < 6 or sum(c in stopwords for c in text) > len(text) * 0.5:
            continue
        if merged and merged[-1][0] == line.speaker:
            before = merged[-1][1]
            merged[-1] = (line.speaker, before + ("" if before[-1] in _FINISHED else "。") + text)
        else:
            merged.append((line.speaker, text))
    return merged


def _groups(merged: Sequence[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    groups: list[list[tuple[str, str]]] = []
    group: list[tuple[str, str]] = []
    length = 0
    for speaker, text in merged:
        group.append((speaker, text))
        length += len(text)
        if length >= WINDOW:
            groups.append(group)
            group, length = [], 0
    return [*groups, group] if group else groups
