"""A character: her card, her adapters, her picture.

A character is a folder, `characters/<id>/`, with a Character Card V3 (`card.json`, `card.png` or
`card.charx`; https://github.com/kwaroran/character-card-spec-v3). V1 and V2 cards are read too. What only we
know about stands under `extensions.chatnvl`; fields that we do not know survive a round trip.
"""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.cards import CARD_LIMIT, read_card
from inference.errors import CharacterError

CHARACTER_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
VERSION = re.compile(r"v[1-9][0-9]{0,5}")
CARD_FILES = ("card.json", "card.png", "card.charx")  # the first that is there is read


class _Foreign(BaseModel):
    """Other people's JSON: unknown keys are kept, known ones are checked."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Sampling(BaseModel):
    """How her words are drawn; the names are those of OpenAI's and vLLM's request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] = 1.05
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 160


class ChatNVL(_Foreign):
    """`extensions.chatnvl`: what a card says to us alone."""

    language: Literal["zh", "en", "ja"] = "en"  # of the character
    model: str | None = None  # a served name to use instead of her adapters (a base model only if named here)
    sampling: Sampling = Sampling()


class Extensions(_Foreign):
    chatnvl: ChatNVL = ChatNVL()


class Card(_Foreign):
    """The `data` of a card, V2's and V3's; a V1 card is the same fields without the wrapping."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    nickname: str = ""
    description: str = ""
    personality: str = ""
    scenario: str = ""
    first_mes: str = ""
    mes_example: str = ""
    system_prompt: str = ""
    post_history_instructions: str = ""
    tags: tuple[str, ...] = ()
    extensions: Extensions = Extensions()


class _WrappedCard(_Foreign):
    spec: Literal["chara_card_v2", "chara_card_v3"]
    spec_version: str
    data: Card


class Character(BaseModel):
    """Somebody to talk to. `id` is the folder's name; her adapter is served as
    `<id>.v<n>`.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    folder: Path
    card: Card
    card_hash: str  # sha256 of the card's bytes: a reply's record names it

    @property
    def name(self) -> str:
        return self.card.nickname or self.card.name

    @property
    def language(self) -> Literal["zh", "en", "ja"]:
        return self.card.extensions.chatnvl.language

    @property
    def notices(self) -> Literal["zh", "en"]:
        """The language of what is said to people around her, where they have not chosen one."""
        return "zh" if self.language == "zh" else "en"

    @property
    def sampling(self) -> Sampling:
        return self.card.extensions.chatnvl.sampling

    @property
    def model(self) -> str | None:
        return self.card.extensions.chatnvl.model

    @property
    def portrait(self) -> Path:
        """Her picture; a card that came as a PNG brings its own."""
        own, card = self.folder / "portrait.png", self.folder / "card.png"
        return card if not own.is_file() and card.is_file() else own

    @property
    def adapters(self) -> Path:
        """`<adapters>/<base id>/v<n>/`: her adapter versions, by the base model they were trained on."""
        return self.folder / "adapters"


def parse_card(data: bytes, where: Path) -> Card:
    """A card from JSON of any version. Raises `CharacterError` with the first thing that is wrong."""
    if len(data) > CARD_LIMIT:
        raise CharacterError(where, f"the card has {len(data):,} bytes; more than {CARD_LIMIT:,} is refused")
    try:
        raw: Any = _Foreign.model_validate_json(data).model_dump()
        return _WrappedCard.model_validate(raw).data if "spec" in raw else Card.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(key) for key in first["loc"])
        raise CharacterError(
            where, f"the card is wrong at `{place or 'its start'}`: {first['msg']}"
        ) from error
    except RecursionError as error:
        raise CharacterError(where, "the card is nested too deeply") from error


def load_character(folder: Path) -> Character:
    """The character in `folder`. Raises `CharacterError`."""
    if not CHARACTER_ID.fullmatch(folder.name):
        raise CharacterError(folder, "a character's folder is named with a-z, 0-9, `_` and `-`")
    path = next((folder / name for name in CARD_FILES if (folder / name).is_file()), None)
    if path is None:
        raise CharacterError(folder, "no card in it; it needs a `card.json`, `card.png` or `card.charx`")
    data = read_card(path)
    return Character(
        id=folder.name, folder=folder, card=parse_card(data, path), card_hash=hashlib.sha256(data).hexdigest()
    )


def load_characters(folder: Path) -> dict[str, Character]:
    """All characters below `folder`, by id. Raises `CharacterError`, also when there is none."""
    if not folder.is_dir():
        raise CharacterError(folder, "no such folder; `CHATNVL_CHARACTERS` names where the characters live")
    folders = sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))
    )
    found = {path.name: load_character(path) for path in folders}
    if not found:
        raise CharacterError(folder, "no character in it; each is a folder with a card, such as `card.json`")
    return found


def served_name(character: str, version: str) -> str:
    """The model name under which a version is served, such as `nene.v7`."""
    return f"{character}.{version}"


def parse_served_name(name: str) -> tuple[str, int] | None:
    """`nene.v7` -> ("nene", 7); None for anything that is not a name of ours."""
    character, dot, version = name.rpartition(".")
    if not dot or not CHARACTER_ID.fullmatch(character) or not VERSION.fullmatch(version):
        return None
    return character, int(version[1:])
