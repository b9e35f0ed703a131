"""What a version and those before it learned from: the rows of the data files that their manifests name, and
of each row where it stands and where in a work it was read.

Rows come in every shape that `training` takes, and as `dataset_builder.schema.Dialogue`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from bot.versions import VersionFolder, ancestors
from dataset_builder.schema import Message
from inference.characters import Character
from inference.manifest import DataFile
from inference.prompt import exchange, training_row

Kind = Literal["dialogue", "liked", "disliked", "preferred"]
State = Literal["as it was", "changed since", "gone"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a dialogue was read in a work. `dialogue` is its id there; `lines` are indexes in the scene, by
    answer, where the row itself tells them."""

    work: str
    file: str
    scene: str
    dialogue: str = ""
    lines: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A row. `chat` is what was said in it, without the card; `answers` are the places in it of what she
    learned."""

    id: str
    path: Path
    line: int  # from 1
    kind: Kind
    chat: tuple[Message, ...]
    answers: tuple[int, ...]
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A data file, and a version that learned it. `rows` are without those that it held out to be measured
    with, as far as that can be told."""

    version: str
    file: DataFile
    path: Path
    state: State
    rows: tuple[Row, ...] = ()
    held_out: int = 0
    unreadable: int = 0


def learned(version: VersionFolder, character: Character, among: Sequence[VersionFolder]) -> list[Source]:
    """The data files of a version and of all before it, the same file once."""
    found: dict[tuple[Path, str], Source] = {}
    for each in (version, *(folder for _, folder in ancestors(version, among) if folder is not None)):
        for file in _her_files(each):
            path = _path_of(file, character)
            found.setdefault((path, file.sha256), _read(each, file, path, character))
    return list(found.values())


def _her_files(version: VersionFolder) -> list[DataFile]:
    """Without what only measured the version, and without general text that kept its ability."""
    config = version.manifest.config
    others = {str(path) for key in ("evaluation", "replay") for path in config.get(key) or ()}
    return [
        file
        for file in version.manifest.data
        if file.path not in others and not Path(file.path).name.startswith("replay.")
    ]


def _path_of(file: DataFile, character: Character) -> Path:
    """Manifests name files as seen from the folder that the training ran in; it may have been another
    machine's."""
    path = Path(file.path)
    if path.exists():
        return path
    own = character.folder / path.name
    return own if own.exists() and path.parent.name == character.id else path


def _read(version: VersionFolder, file: DataFile, path: Path, character: Character) -> Source:
    try:
        data = path.read_bytes()
    except OSError:
        return Source(version.name, file, path, "gone")
    same = hashlib.sha256(data).hexdigest() == file.sha256
    held_out = _HeldOut.of(version, character)
    rows: list[Row] = []
    out = unreadable = 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            raw = orjson.loads(line)
            messages, answers, kind = _conversation(raw, character)
            hashed = _hash(messages)
            origin = _origin(raw)
            id_ = str(raw.get("id") or hashed)
        except (ValueError, TypeError, KeyError, AttributeError):
            unreadable += 1
            continue
        if kind == "dialogue" and held_out.has(hashed, with_card="turns" in raw):
            out += 1
            continue
        head = 1 if messages[0].role == "system" else 0
        rows.append(Row(id_, path, number, kind, messages[head:], tuple(at - head for at in answers), origin))
    return Source(
        version.name, file, path, "as it was" if same else "changed since", tuple(rows), out, unreadable
    )


# --- one row --------------------------------------------------------------------------------------------


def _conversation(
    raw: dict[str, Any], character: Character
) -> tuple[tuple[Message, ...], tuple[int, ...], Kind]:
    """The messages, the places of those that were learned, and how. Raises what wrong rows raise."""
    if "turns" in raw:
        exchanges = [exchange(*_turn(turn)) for turn in raw["turns"]]
        messages = training_row(character, exchanges).messages
        return messages, tuple(range(2, len(messages), 2)), "dialogue"
    if "messages" in raw:
        messages = _messages(raw["messages"])
        return messages, tuple(at for at, each in enumerate(messages) if each.role == "assistant"), "dialogue"
    prompt = _messages(raw["prompt"])
    kind: Kind = "dialogue"
    if "chosen" in raw:
        answer, kind = _messages(raw["chosen"]), "preferred"
    elif "vote" in raw:
        answer = (Message(role="assistant", content=raw["reply"]),)
        kind = "liked" if raw["vote"] == "up" else "disliked"
    else:
        answer = _messages(raw["completion"])
        if "label" in raw:
            kind = "liked" if raw["label"] else "disliked"
    return prompt + answer, tuple(range(len(prompt), len(prompt) + len(answer))), kind


def _turn(turn: Any) -> tuple[str, str]:
    """Of `[said, answered]`, and of a `schema.Turn`."""
    if isinstance(turn, list):
        said, answered = turn
        return said, answered
    said = "\n".join(
        f"{each['speaker']}: {each['text']}" if each["speaker"] else each["text"] for each in turn["said"]
    )
    return said or "…", turn["answered"]


def _messages(raw: Any) -> tuple[Message, ...]:
    return tuple(Message.model_validate(each) for each in raw)


def _origin(raw: dict[str, Any]) -> Origin | None:
    """Of a `schema.Dialogue`, and of the rows that an export made of them."""
    if not (raw.get("file") or raw.get("scene")):
        return None
    language = raw.get("language") or ""
    lines = tuple(tuple(turn.get("lines") or ()) for turn in raw.get("turns", ()) if isinstance(turn, dict))
    dialogue = str(raw.get("id", "")).removesuffix(f"-{language}")
    return Origin(raw.get("work", ""), raw.get("file", ""), raw.get("scene", ""), dialogue, lines)


# --- what a version held out ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _HeldOut:
    """Each row's own content tells whether it is (`training.data.split`): the share below which its hash
    lies."""

    share: float
    seed: int
    card: bool  # her card is still the one of the training: it is part of what is hashed

    @classmethod
    def of(cls, version: VersionFolder, character: Character) -> "_HeldOut":
        manifest = version.manifest
        config = manifest.config
        share = config.get("held_out", (config.get("pairs") or {}).get("held_out"))
        if config.get("evaluation") or not isinstance(share, int | float):
            share = 0.0  # other files measured it, or it does not say
        return cls(share, manifest.seed, manifest.card == character.card_hash)

    def has(self, hashed: str, *, with_card: bool) -> bool:
        if with_card and not self.card:
            return False
        drawn = hashlib.sha256(f"{self.seed}:{hashed}".encode()).hexdigest()[:8]
        return int(drawn, 16) / 2**32 < self.share


def _hash(messages: Sequence[Message]) -> str:
    """As `training.data.Row.id`."""
    text = "\x1e".join(f"{message.role}\x1f{message.content}" for message in messages)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
