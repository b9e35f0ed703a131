"""What a data set is made from and how: one YAML file for `build`, and the same sections behind each
command."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from dataset_builder.errors import DatasetError
from dataset_builder.export import FORMATS, ExportOptions, Format
from dataset_builder.scenes import GAP


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str | Path) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_several)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_several)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ExtractConfig(_Section):
    """Where the scripts are, and what they do not say themselves."""

    paths: Paths = ()
    """Files, folders or archives of the work."""
    work: str = ""
    """Its name, which stands in every row; unset: the name of the first path."""
    engine: str | None = None
    """The reader, where the format is not recognised; `inspect` lists them."""
    language: str = ""
    """Of the original: `ja`, `zh`, `en`; unset: told by the letters."""
    translation: str = ""
    """Of the second text, where the files hold two."""
    encoding: str | None = None
    """Of text files; unset: found out."""
    psb_key: int | None = None
    """The number that encrypted PSB files were made with; hexadecimal as `0x…`."""
    speakers: Names = ()
    """More rules for who speaks in KAG scripts; docs/dataset.md explains them."""
    names: Path | None = None
    """A list of speakers, one a line, aliases behind it: for text in which only a list tells names from
    words."""
    name_after: bool | None = None
    """In two-line text, whether a name follows what is said; unset: found out."""
    exclude: Names = ()
    """Regular expressions: files whose names match are left out."""
    gap: Annotated[int, Field(ge=0)] = GAP
    """Lines of narration on end that open a new scene, where files have no borders of their own; 0: none
    do."""

    @field_validator("psb_key", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return int(value, 0) if isinstance(value, str) else value

    @field_validator("exclude")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"`{pattern}` is no regular expression: {error}") from error
        return value


class DialogueConfig(_Section):
    """How dialogues are cut; sizes in tokens, about."""

    window: Annotated[int, Field(ge=1)] = 1024
    """Of one dialogue; an exchange is never cut, so one alone may be longer."""
    said: Annotated[int, Field(ge=1)] = 384
    """Of what stands before one answer; the oldest of it is left out."""
    context: Annotated[int, Field(ge=0)] = 6
    """Utterances of the dialogue before that one remembers."""
    narration: bool = True
    """Keep narration as context."""


class FilterConfig(_Section):
    """Names and coined terms out."""

    ner: bool = False
    """Ask models of named entities too (jieba, GiNZA, spaCy), as far as they are installed."""
    allow: Path | None = None
    """Words that stay in any case, one a line."""
    deny: Path | None = None
    """Words that go in any case, one a line."""
    keep_own_name: bool = True
    """The character's own name and its parts stay in her dialogues."""


class AskConfig(_Section):
    """A model that writes, on any OpenAI-compatible server. The key is `CHATNVL_INFERENCE__API_KEY`."""

    base_url: str | None = None
    """Such as `http://gpu-box:8000/v1`; unset: OpenAI's."""
    model: str = "gpt-4.1-mini"
    """Its name there."""
    concurrency: Annotated[int, Field(ge=1, le=512)] = 8
    """Questions that are under way together."""
    budget_tokens: Annotated[int, Field(ge=1)] | None = None
    """Stop before more tokens than this were read and written; what is finished is kept."""
    budget_money: Annotated[float, Field(gt=0)] | None = None
    """The same in money, by the price of the model."""
    prices: Path | None = None
    """A price table in YAML, for models that are not known here."""
    language: str = ""
    """Of what is written; unset: that of the lines."""


class ExportConfig(_Section):
    """What is written for training."""

    formats: Annotated[tuple[Format, ...], BeforeValidator(_several)] = FORMATS
    """Which ones."""
    languages: Literal["", "bilingual"] | Names = ""
    """Unset: each dialogue in its own language; names: a row in each of them; `bilingual`: in all there
    are."""
    balance: bool = False
    """As many rows of every language."""
    thoughts: bool = False
    """Thoughts too, in brackets."""
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the scenes."""
    test: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the scenes."""
    near_duplicate: Annotated[float, Field(gt=0, le=1)] = 0.8
    """From which likeness on two dialogues are the same."""
    replay: Paths = ()
    """JSONL of `messages`: rows of general ability."""
    replay_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Their share of all that trains."""
    licence: str = ""
    """An id such as `cc-by-4.0`, or a sentence."""
    plots: bool = True
    """Draw charts into the data card."""
    seed: int = 7
    """Of what is drawn by lot."""


class FeedbackConfig(_Section):
    """Which rows are made of people's votes and choices."""

    characters: Path = Path("characters")
    """Where the characters live."""
    character: str = ""
    """Her id; unset: the only one whom the events tell of."""
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Of a data set, at most so much is one person's judgement; unset: 2 % from a hundred persons on, twice
    an even share from ten on, all below."""
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the persons and conversations, with all whom they have met."""
    near_duplicate: Annotated[float, Field(gt=0, le=1)] = 0.8
    """From which likeness on what was said last, and the reply to it, are the same."""
    parquet: bool = True
    """Write each data set as Parquet too."""
    seed: int = 7
    """Of what is drawn by lot."""


class CharacterConfig(_Section):
    """Somebody in the work."""

    name: str
    """As the scripts write it."""
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    """Of her folder and her files."""
    aliases: Names = ()
    """Other names of hers."""
    card: Path | None = None
    """Her card or folder; unset: one is drafted from her lines."""


class BuildConfig(_Section):
    """A whole run. Paths are relative to the file that they stand in."""

    out: Path
    """The folder of everything that is made."""
    extract: ExtractConfig
    characters: Annotated[tuple[CharacterConfig, ...], Field(min_length=1)]
    """At least one."""
    dialogues: DialogueConfig = DialogueConfig()
    filter: FilterConfig | None = FilterConfig()
    """`null` leaves names and terms as they are."""
    rewrite: AskConfig | None = None
    """Unset: dialogues stay scenes; a section rebuilds them as chats, which costs money."""
    profile: AskConfig | None = None
    """Unset: the profile is what lines say outright; a section asks a model for the rest."""
    export: ExportConfig = ExportConfig()


def load(path: Path) -> BuildConfig:
    """The configuration in a YAML file. Raises `DatasetError`, which names the first thing that is wrong."""
    import yaml

    try:
        given = yaml.safe_load(path.read_bytes())
        config = BuildConfig.model_validate(given)
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise DatasetError(f"`{path}`: {first_wrong(error)}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DatasetError(f"`{path}` is no YAML: {' '.join(str(error).split())[:200]}") from error
    ids = [character.id for character in config.characters]
    if len(set(ids)) < len(ids):
        raise DatasetError(f"`{path}`: two characters have one `id`")
    if not config.extract.paths:
        raise DatasetError(f"`{path}`: `extract.paths` names no script")
    try:
        found: BuildConfig = _at(config, path.parent)
    except RuntimeError as error:  # `~nobody/...`
        raise DatasetError(f"`{path}`: {error}") from error
    out = found.out.resolve()
    for source in found.extract.paths:
        if out.is_relative_to(source.resolve()):
            raise DatasetError(f"`{path}`: `out` lies inside `{source}`, so it would be read as a script")
    options = found.export.model_dump() | {"languages": found.export.languages or ()}
    ExportOptions(**options)  # what it cannot mean is said before anything is done
    return found


def first_wrong(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "the file"
    return f"`{place}`: {first['msg'].removeprefix('Value error, ')}"


def _at(value: Any, folder: Path) -> Any:
    """With every path in it relative to `folder`."""
    if isinstance(value, Path):
        return folder / value.expanduser()
    if isinstance(value, tuple):
        return tuple(_at(each, folder) for each in value)
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: _at(each, folder) for name, each in value})
    return value
