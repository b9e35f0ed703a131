"""What a version says of itself: `version.json` beside its weights, written by `python -m training`."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(allow_inf_nan=False)]


class DataFile(BaseModel):
    """A file that was trained on, as it was then."""

    model_config = ConfigDict(frozen=True)

    path: str
    sha256: str
    rows: int = 0


class Ancestor(BaseModel):
    """A version that another was trained on top of."""

    model_config = ConfigDict(frozen=True)

    name: str  # as it is served: `maeve.v2`
    sha256: str
    stage: str = ""


class Manifest(BaseModel):
    """The first three fields are what serving checks; the first versions of all have only those."""

    model_config = ConfigDict(frozen=True, extra="allow")

    base: str
    base_sha256: str
    sha256: str
    character: str = ""
    card: str = ""
    """sha256 of the card."""
    stage: str = ""
    config: dict[str, Any] = {}
    data: tuple[DataFile, ...] = ()
    lineage: tuple[Ancestor, ...] = ()
    """Parents, the nearest first."""
    figures: dict[str, Number] = {}
    """What the run itself measured: steps, seconds, tokens, losses."""
    seed: int = 0
    libraries: dict[str, str] = {}
    hardware: dict[str, str | int | float] = {}
