"""What stands behind one reply: the version that said it, the prompt that it was asked with, what people
thought of it, and what that version learned from, down to the lines of a script.

Nothing is taken on trust: the prompt is written again and its hash compared, data files are hashed again, and
where something does not agree any more, the trace says so.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bot import keys
from bot.errors import BotError, ConfigurationError
from bot.feedback.files import EventFiles
from bot.feedback.ledger import Ledger, prompt_hash
from bot.feedback.names import Names
from bot.feedback.quarantine import VoteFiles
from bot.learned import Row, Source, learned
from bot.memory.store import Store
from bot.memory.turns import KEPT_TURNS, Turns
from bot.messages import Conversation, Place
from bot.nearest import Index, Near
from bot.opinions import Opinion, opinions, opinions_in_files
from bot.scripts import ScriptLine, script_lines
from bot.versions import VersionFolder, ancestors, find_versions, versions
from dataset_builder.schema import Message
from inference import prompt
from inference.characters import Character
from inference.manifest import Ancestor

NEAREST = 5
_REPLY = re.compile(r"[a-z0-9]{1,20}")

Record = dict[str, Any]  # a `ReplyEvent`'s fields; the memory's has `conversation` and `messages` besides


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model was asked. `messages` are written again now; `wrong` says why they are not what was sent
    then, and is empty when the hash tells that they are."""

    hash: str
    turns: tuple[str, ...]  # that stand in it before the last message
    messages: tuple[Message, ...]
    wrong: str


@dataclass(frozen=True, slots=True)
class NearRow:
    """A row with an answer near to the reply. Near is not cause: nobody can tell which rows made a reply."""

    row: Row
    answer: int  # its place in `row.chat`
    near: Near
    lines: tuple[ScriptLine, ...]


@dataclass(frozen=True, slots=True)
class Behind:
    """A version folder, and all it came from."""

    version: VersionFolder
    lineage: tuple[tuple[Ancestor, VersionFolder | None], ...]
    sources: tuple[Source, ...]
    nearest: tuple[NearRow, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """`expired`: the memory has let go of the reply, and all of this is from the files of feedback."""

    record: Record
    expired: bool
    prompt: Prompt
    opinions: tuple[Opinion, ...]
    behind: tuple[Behind, ...]  # one, unless the version was trained on several bases


class Tracer:
    """Finds traces. `feedback` is the folder with the files of feedback."""

    def __init__(
        self, store: Store, turns: Turns, characters: Mapping[str, Character], feedback: Path
    ) -> None:
        self._store = store
        self._turns = turns
        self._characters = characters
        self._feedback = feedback

    async def reply_shown(self, conversation: Conversation, message: str) -> str:
        """The id of the reply that a platform message shows. Raises `BotError`."""
        ledger = Ledger(self._store, await Names.open(self._store))
        shown = await ledger.reply_shown(conversation.place, message)
        if shown is None:
            raise BotError(
                f"no reply of hers is known under the message `{message}` in `{conversation.place}`; "
                "`python -m bot feedback` lists replies with their ids"
            )
        return shown[1]

    async def trace(self, reply: str) -> Trace:
        """Raises `BotError`, `ConfigurationError` for what is no reply's id."""
        if not _REPLY.fullmatch(reply):
            raise ConfigurationError(f"`{reply}` is no reply's id; `python -m bot feedback` lists them")
        files = VoteFiles(self._feedback)
        record = await self._in_memory(reply)
        expired = record is None
        if record is None:
            record = self._in_files(reply)
            thought = opinions_in_files(files, reply)
        else:
            thought = await opinions(self._store, files, conversation_of(record).place, reply)
        character = self._characters.get(record["character"])
        return Trace(
            record,
            expired,
            await self._prompt(record, character, expired),
            tuple(thought),
            tuple(_behind(record, character)) if character else (),
        )

    async def _in_memory(self, reply: str) -> Record | None:
        async for key in self._store.client.scan_iter(match=f"{keys.PREFIX}:*:reply:{reply}", count=1000):
            if raw := await self._store.do("GET", key):
                record: Record = orjson.loads(raw)
                return record
        return None

    def _in_files(self, reply: str) -> Record:
        mark = orjson.dumps({"reply": reply})[1:-1]
        for path in EventFiles(self._feedback).paths():
            with path.open("rb") as file:
                for line in file:
                    if mark in line and line.endswith(b"\n"):
                        event: Record = orjson.loads(line)
                        if event["kind"] == "reply" and event["reply"] == reply:
                            return event
        raise BotError(
            f"no reply `{reply}` is known, neither in the memory (kept for `CHATNVL_REPLY_DAYS`) nor in "
            f"`{self._feedback}`; `python -m bot feedback` lists the last ones"
        )

    async def _prompt(self, record: Record, character: Character | None, expired: bool) -> Prompt:
        ids = tuple(record.get("turns", ()))
        if character is None:
            return Prompt(
                record["prompt"], ids, (), f"there is no character `{record['character']}` any more"
            )
        if expired:
            return Prompt(record["prompt"], ids, (), "the memory has let go of the conversation")
        conversation = conversation_of(record)
        kept = {turn.id: turn for turn in await self._turns.turns(conversation, last=KEPT_TURNS)}
        gone = [each for each in ids if each not in kept]
        if gone:
            return Prompt(
                record["prompt"], ids, (), f"{len(gone)} of its {len(ids)} turns are not kept any more"
            )
        named = conversation.place.kind == "group"
        window = [kept[each].exchange(named=named) for each in ids]
        said = [prompt.Said.model_validate(each) for each in record["said"]]
        messages = tuple(prompt.messages(character, window, said))
        if prompt_hash(messages) == record["prompt"]:
            return Prompt(record["prompt"], ids, messages, "")
        if record["card"] != character.card_hash:
            return Prompt(record["prompt"], ids, messages, "her card has been changed since")
        return Prompt(
            record["prompt"],
            ids,
            messages,
            "her card is the same and all turns are there, so a turn was changed, or prompts were written "
            f"otherwise by version {record.get('software') or '?'} of this software",
        )


def conversation_of(record: Record) -> Conversation:
    """Of a record of the memory's."""
    return read_conversation(record["conversation"])


def read_conversation(name: str) -> Conversation:
    """`platform:account:private|group:id:character`, where the id may hold colons itself. Raises
    `ConfigurationError`.
    """
    head, _, character = name.rpartition(":")
    parts = head.split(":", 3)
    if len(parts) != 4 or not all(parts) or parts[2] not in ("private", "group"):
        raise ConfigurationError(f"`{name}` is no conversation; `python -m bot prompt` lists them")
    platform, account, kind, place = parts
    return Conversation(Place(platform, account, "group" if kind == "group" else "private", place), character)


def _behind(record: Record, character: Character) -> list[Behind]:
    among = versions(character)
    named = find_versions(
        character, record["version"], base=record.get("base", ""), sha256=record.get("sha256", "")
    )
    found = []
    for each in named:
        sources = learned(each, character, among)
        rows = [row for source in sources for row in source.rows]
        near = _nearest(rows, record.get("text", ""))
        found.append(Behind(each, tuple(ancestors(each, among)), tuple(sources), tuple(near)))
    return found


def _nearest(rows: Sequence[Row], text: str) -> list[NearRow]:
    """The nearest answer of each row."""
    answers = [(row, at) for row in rows for at in row.answers]
    index = Index([row.chat[at].content for row, at in answers])
    found: dict[tuple[Path, int], NearRow] = {}
    for near in index.nearest(text, NEAREST * 8):
        row, at = answers[near.at]
        if (row.path, row.line) not in found and len(found) < NEAREST:
            found[row.path, row.line] = NearRow(row, at, near, script_lines(row, at))
    return list(found.values())
