"""`manifest.json`: what rows of feedback were made of, what was left out, and who has part in them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from dataset_builder.schema import Grant


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ReadFile(_Part):
    """An event file as it was read."""

    path: str
    sha256: str
    events: int
    torn: bool
    """Its last line was half written, and was left out."""


class WrittenFile(_Part):
    """A file beside the manifest. The last three are a data set's."""

    rows: int
    sha256: str
    persons: int | None = None
    """Whose votes and choices it holds."""
    bound: float | None = None
    """Of its rows, one person judges at most this share."""
    most: float | None = None
    """The share of the person who judged most."""


class Rows(_Part):
    """What a data set holds, by what it is made of."""

    rows: int
    kinds: dict[str, int]
    platforms: dict[str, int]
    versions: dict[str, int]


class Consents(_Part):
    """`on` and `off`: persons who said yes somewhere, and who said only no; `terms`: version of the text ->
    answers that agree to it."""

    on: int
    off: int
    terms: dict[str, int]


class Manifest(_Part):
    """It is written last: a folder that has it is complete."""

    kind: Literal["feedback"] = "feedback"
    character: str
    card: str
    """sha256 of her card."""
    software: str
    """Version of ChatNVL."""
    seed: int
    options: dict[str, Any]
    read: list[ReadFile]
    replies: int
    """That were shown."""
    repeated: int
    """Events and replies that were read twice, and taken once."""
    rows: dict[str, Rows]
    """By `side/view`, such as `train/votes`."""
    signals: dict[str, int]
    """Implicit ones, by name."""
    left_out: dict[str, dict[str, int]]
    """What was left out (`replies`, `votes`, `choices`, rows by view) and why."""
    consent: Consents
    grants: list[Grant]
    """Of Discord, under which rows are here."""
    persons: dict[str, dict[str, int]]
    """Everybody who has part in a row, by a judgement or by words in its prompt, as the bot's keyed hashes,
    with the number of judgements on each side; one judgement may stand in several views. A version that
    learned from these files learned from them."""
    files: dict[str, WrittenFile]
