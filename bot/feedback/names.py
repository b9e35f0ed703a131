"""How people and places are called in the files of feedback: by hashes that only this bot can compute."""

import secrets
from typing import Self

from bot import keys
from bot.memory.store import Store
from bot.messages import Place


class Names:
    """The secret lies in Redis: all bots on one memory call a person the same."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    async def open(cls, store: Store) -> Self:
        """Raises `StorageUnavailable`."""
        await store.do("SET", keys.SECRET, secrets.token_hex(32), "NX")
        return cls(bytes.fromhex(await store.do("GET", keys.SECRET)))

    def place(self, place: Place) -> str:
        return "p" + keys.keyed(self._secret, place.platform, place.account, place.kind, place.id)

    def person(self, place: Place, person: str) -> str:
        """The same wherever the person talks on that platform."""
        return "u" + keys.keyed(self._secret, place.platform, person)
