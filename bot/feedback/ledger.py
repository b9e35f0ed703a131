"""What was said by whom: one immutable record a reply, written together with the turn, before it is
delivered.
"""

import hashlib
from collections.abc import Sequence

import orjson

from bot import keys
from bot.memory.store import Store
from bot.messages import Place
from dataset_builder.schema import Message


def prompt_hash(messages: Sequence[Message]) -> str:
    """sha256 of the messages as JSON: two replies with the same hash answered the very same prompt."""
    return hashlib.sha256(orjson.dumps([[m.role, m.content] for m in messages])).hexdigest()


class Ledger:
    """Reads the records; `Turns.commit` writes them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def reply_shown(self, place: Place, message: str) -> tuple[str, str] | None:
        """(character, reply id) of the reply that a platform message carries, or None."""
        found: str | None = await self._store.do("GET", keys.said(place, message))
        if found is None:
            return None
        character, _, reply = found.partition(" ")
        return character, reply
