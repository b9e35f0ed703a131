"""A character's dialogues as a data set that trains: rendered, freed of duplicates, split by scene, written.

    out/
      README.md               the data card; plots/ has its pictures
      export.json             what was asked for, what came out, the sha256 of every file
      trl/messages/           train.jsonl, validation.jsonl, test.jsonl; so in each folder below
      trl/prompt_completion/  llamafactory/  openai/  sharegpt/  parquet/

The same input gives the same bytes. Nothing outside `out` is touched.
"""

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from dataset_builder.errors import DatasetError
from dataset_builder.exporting import formats, llamafactory
from dataset_builder.exporting.data_card import CHARTS, Contents, data_card, draw
from dataset_builder.exporting.folder import MARK, Folder
from dataset_builder.exporting.formats import Row
from dataset_builder.exporting.replay import mix, read_replay
from dataset_builder.exporting.selection import (
    Languages,
    balanced,
    by_split,
    render,
    scene_groups,
    without_duplicates,
)
from dataset_builder.exporting.splits import SPLITS, Split
from dataset_builder.schema import Dialogue
from inference.cards import read_card
from inference.characters import Character, load_character, parse_card
from inference.prompt import LANGUAGES

Format = Literal["trl", "llamafactory", "sharegpt", "openai", "parquet"]
FORMATS: tuple[Format, ...] = ("trl", "llamafactory", "sharegpt", "openai", "parquet")
# Folder -> its format, and a row as one line of its files. Parquet is no file of lines.
_LINES: dict[str, tuple[Format, Callable[[Row], dict[str, Any]]]] = {
    "trl/messages": ("trl", formats.language_modeling),
    "trl/prompt_completion": ("trl", formats.prompt_completion),
    "llamafactory": ("llamafactory", llamafactory.sharegpt),
    "sharegpt": ("sharegpt", formats.sharegpt),
    "openai": ("openai", formats.openai),
}
_LAYOUT = frozenset(
    {f"{folder}/{split}.jsonl" for folder in _LINES for split in SPLITS}
    | {f"parquet/{split}.parquet" for split in SPLITS}
    | {"README.md", "llamafactory/dataset_info.json", *CHARTS}
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class ExportOptions:
    """What a data set is made of. Raises `DatasetError` for what cannot be meant."""

    formats: tuple[Format, ...] = FORMATS
    name: str = ""  # of the data set; "": the character's id
    languages: Languages = ()  # (): each dialogue in its own; else a row for each of them
    balance: bool = False  # as many rows of every language, in every split
    thoughts: bool = False  # in brackets: hers before her answers, others' where they stand
    near_duplicate: float = 0.8  # how alike two dialogues, or two scenes, are the same; 1: word for word
    validation: float = 0.05  # share of the scenes
    test: float = 0.05
    replay: tuple[Path, ...] = ()  # JSONL of `messages`
    replay_share: float = 0.0  # of all rows that train
    licence: str = ""  # an id such as `cc-by-4.0`, or a text
    plots: bool = True
    seed: int = 7

    def __post_init__(self) -> None:
        if self.name and not _NAME.fullmatch(self.name):
            raise DatasetError(f"`{self.name}` is no name of a data set; take letters, digits, `.`, `_`, `-`")
        if unknown := set(self.formats) - set(FORMATS):
            raise DatasetError(f"there is no format `{min(unknown)}`; there are {', '.join(FORMATS)}")
        if not self.formats:
            raise DatasetError(f"no format is asked for; there are {', '.join(FORMATS)}")
        if not 0 < self.near_duplicate <= 1:
            raise DatasetError("the threshold of near duplicates is above 0 and at most 1")
        if not (self.validation >= 0 and self.test >= 0 and self.validation + self.test < 1):
            raise DatasetError("validation and test have shares from 0 up, together below 1")
        if not 0 <= self.replay_share < 1:
            raise DatasetError("the share of replay rows is from 0 up and below 1")
        if bool(self.replay) != (self.replay_share > 0):
            raise DatasetError("replay needs both, its files and a share above 0")


@dataclass(frozen=True)
class Exported:
    """What came out."""

    rows: dict[str, int]  # split -> rows
    left_out: dict[str, int]  # reason -> rows
    warnings: tuple[str, ...]
    files: dict[str, str]  # name in the folder -> sha256


def open_character(path: Path) -> Character:
    """A character's folder, or a card alone (PNG, JSON, CHARX). Raises `CharacterError`."""
    if path.is_dir():
        return load_character(path)
    data = read_card(path)
    name = re.sub(r"[^a-z0-9_-]+", "-", path.name.partition(".")[0].casefold()).strip("-_") or "character"
    return Character(
        id=name, folder=path.parent, card=parse_card(data, path), card_hash=hashlib.sha256(data).hexdigest()
    )


def export(
    dialogues: Iterable[Dialogue],
    character: Character,
    out: Path,
    options: ExportOptions = ExportOptions(),
    *,
    routes: Mapping[str, str] | None = None,
    losses: Mapping[str, Any] | None = None,
    filtered: Mapping[str, Any] | None = None,
    count_tokens: Callable[[str], int] | None = None,
) -> Exported:
    """Write the data set of one character into the folder `out`: new, empty, or an earlier export.

    `routes` maps scenes, as `splits.scene_name` names them, to routes: scenes of one route share a split.
    `losses` (`report.Losses.as_dict()`) and `filtered` are figures of earlier steps, shown in the card,
    and so are lengths in tokens, by `count_tokens` (such as `lambda text: len(tokenizer.encode(text))`) or
    about. Raises `DatasetError`, before anything is written unless it is the disk that refuses.
    """
    folder = Folder(out)
    left_out: Counter[str] = Counter()
    rendered = list(
        render(_of_one(dialogues), character, options.languages, left_out, thoughts=options.thoughts)
    )
    if not rendered:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in sorted(left_out.items()))
        raise DatasetError(f"no row is left to write: {reasons or 'there are no dialogues'}")
    kept = without_duplicates(rendered, options.near_duplicate, options.seed, left_out)
    group = scene_groups(rendered, options.near_duplicate, options.seed, routes or {})
    split = by_split(kept, group, options.validation, options.test, options.seed)
    if options.balance:
        split = {part: balanced(rows, options.seed, left_out) for part, rows in split.items()}
    warnings = list(_warnings(split["train"], character))
    if options.replay:
        own = len(split["train"])
        given = (row for path in options.replay for row in read_replay(path))
        split["train"] = mix(split["train"], given, options.replay_share, options.seed)
        replayed = len(split["train"]) - own
        if replayed + 1 < options.replay_share * len(split["train"]):
            warnings.append(f"there are only {replayed:,} replay rows, fewer than the share asked for")
    shares: dict[Split, float] = {"validation": options.validation, "test": options.test}
    for part, share in shares.items():
        if share and not split[part]:
            warnings.append(f"`{part}` is empty: there are too few scenes")
    contents = Contents(
        name=options.name or character.id,
        character=character,
        split={part: rows for part, rows in split.items() if rows},
        formats=options.formats,
        left_out={reason: count for reason, count in sorted(left_out.items()) if count},
        warnings=tuple(warnings),
        near_duplicate=options.near_duplicate,
        licence=options.licence,
        count_tokens=count_tokens,
        plots=options.plots,
        losses=losses or {},
        filtered=filtered or {},
    )
    _write(folder, contents, options)
    return Exported(
        rows={part: len(rows) for part, rows in split.items()},
        left_out=contents.left_out,
        warnings=contents.warnings,
        files=folder.digests,
    )


def _of_one(dialogues: Iterable[Dialogue]) -> Iterator[Dialogue]:
    """The dialogues, as long as they are of one character."""
    first: str | None = None
    for dialogue in dialogues:
        if first is None:
            first = dialogue.character
        elif dialogue.character != first:
            raise DatasetError(
                f"dialogues of `{first}` and of `{dialogue.character}`; a data set has one character's"
            )
        yield dialogue


def _warnings(rows: Sequence[Row], character: Character) -> Iterator[str]:
    """What a person should know about the languages of the rows that train."""
    counts = Counter(row.language for row in rows)
    if count := counts.pop("", 0):
        yield f"{count:,} rows have no known language"
    for language, count in sorted(counts.items()):
        if language.partition("-")[0].casefold() not in LANGUAGES:
            yield (
                f"{count:,} rows are in `{language}`, and their system prompt asks for "
                f"`{character.language}`, unless the card brings its own `system_prompt`"
            )


def _write(folder: Folder, contents: Contents, options: ExportOptions) -> None:
    if "llamafactory" in options.formats:
        for rows in contents.split.values():
            for row in rows:
                llamafactory.check(row)
    asked = dataclasses.asdict(options) | {"replay": [path.name for path in options.replay]}
    about = {
        "name": contents.name,
        "character": contents.character.name,
        "card": contents.character.card_hash,
        "options": asked,
        "rows": {part: len(rows) for part, rows in contents.split.items()},
        "left_out": contents.left_out,
        "warnings": contents.warnings,
    }
    # Whatever may fail comes before the first byte is written.
    made = draw(contents) if options.plots else {}
    made["README.md"] = data_card(contents).encode()
    if "llamafactory" in options.formats:
        made["llamafactory/dataset_info.json"] = _json(
            llamafactory.dataset_info(contents.name, contents.split)
        )
    if "parquet" in options.formats:
        made |= {f"parquet/{part}.parquet": formats.parquet(rows) for part, rows in contents.split.items()}
    # Written first too, so that a run that was cut off is known as ours and may be done again.
    folder.write(MARK, [_json(about | {"complete": False})])
    for part, rows in contents.split.items():
        for place, (format, line) in _LINES.items():
            if format in options.formats:
                lines = (orjson.dumps(line(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows)
                folder.write(f"{place}/{part}.jsonl", lines)
    for name, data in made.items():
        folder.write(name, [data])
    folder.remove(_LAYOUT - folder.digests.keys())
    files = {name: digest for name, digest in sorted(folder.digests.items()) if name != MARK}
    folder.write(MARK, [_json(about | {"complete": True, "files": files})])


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
