"""What was said by whom: one immutable record a reply, written together with the turn, before it is
delivered. A copy of it goes into the events of feedback; her words and the person's only with consent.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bot import keys
from bot.feedback.names import Names
from bot.memory.store import Store
from bot.messages import Conversation, Place
from dataset_builder.schema import Grant, Message
from inference.characters import Character

VERSION_FILE = "version.json"  # beside a version's weights


def prompt_hash(messages: Sequence[Message]) -> str:
    """sha256 of the messages as JSON: two replies with the same hash answered the very same prompt."""
    return hashlib.sha256(orjson.dumps([[m.role, m.content] for m in messages])).hexdigest()


@dataclass(frozen=True, slots=True)
class Record:
    """JSON objects that `Turns.commit` lays together: `bare` and `words` are a `ReplyEvent`'s fields, of
    which `words` are left out of the event without everybody's consent; `private` never leaves Redis."""

    bare: bytes
    words: bytes
    private: bytes


class Ledger:
    """Makes the records and reads them; `Turns.commit` writes them."""

    def __init__(self, store: Store, names: Names, *, grant: Grant | None = None) -> None:
        self._store = store
        self._names = names
        self._grant = grant
        self._weights: dict[tuple[str, str], dict[str, str]] = {}  # by character and version, where known

    def record(
        self,
        conversation: Conversation,
        people: Sequence[str],
        fields: dict[str, Any],
        words: dict[str, Any],
        private: dict[str, Any],
    ) -> Record:
        """`people` are the platform's ids of those who spoke in the turn; `fields` and `words` are named as
        in `ReplyEvent`, `private` as one likes."""
        place = conversation.place
        bare = {
            "kind": "reply",
            "place": self._names.place(place),
            "character": conversation.character,
            "people": sorted({self._names.person(place, person) for person in people}),
            "platform": place.platform,
            **fields,
        }
        if place.platform == "discord":
            # Discord forbids training on message content unless it permits it (developer policy, rule 21).
            private = {**words, **private}
            words = {**words, "grant": self._grant.model_dump()} if self._grant else {}
        return Record(orjson.dumps(bare), orjson.dumps(words), orjson.dumps(private))

    def weights(self, character: Character, version: str, bases: Sequence[str]) -> dict[str, str]:
        """`base` and `sha256` of a served version, as far as her folder tells; `bases` are those that are
        served."""
        known = self._weights.get((character.id, version))
        if known is not None:
            return known
        number = version.rpartition(".")[2]
        for base in bases:
            path = character.adapters / base / number / VERSION_FILE
            try:
                found = orjson.loads(path.read_bytes())
                self._weights[character.id, version] = {"base": base, "sha256": str(found["sha256"])}
                return self._weights[character.id, version]
            except (OSError, ValueError, KeyError, TypeError):
                continue  # a server elsewhere has folders of its own
        return {"base": bases[0]} if len(bases) == 1 else {}

    def choice(self, place: Place, character: str, person: str, turn: str, reply: str, **more: str) -> bytes:
        """The event of an answer that is the kept one now; `more` are fields of `ChoiceEvent`."""
        if place.platform == "discord" and self._grant is None:
            more.pop("text", None)
        return orjson.dumps(
            {
                "kind": "choice",
                "place": self._names.place(place),
                "character": character,
                "person": self._names.person(place, person),
                "turn": turn,
                "reply": reply,
                **more,
            }
        )

    async def reply_shown(self, place: Place, message: str) -> tuple[str, str] | None:
        """(character, reply id) of the reply that a platform message carries, or None."""
        found: str | None = await self._store.do("GET", keys.said(place, message))
        if found is None:
            return None
        character, _, reply = found.partition(" ")
        return character, reply
