"""What is known about a place itself: who is spoken to there, and what the bot was asked and has said."""

import secrets
from typing import Literal

from bot import keys
from bot.memory.store import Script, Store
from bot.messages import Place

Admitted = Literal["new", "seen", "slow", "quiet"]

# KEYS seen, rate. ARGV token, limit.
_ADMIT = Script(
    """
local seen = redis.call('GET', KEYS[1])
if seen then return seen == ARGV[1] and 'new' or 'seen' end
local n = redis.call('INCR', KEYS[2])
if n == 1 then redis.call('EXPIRE', KEYS[2], 60) end
local limit = tonumber(ARGV[2])
if n > limit then return n == limit + 1 and 'slow' or 'quiet' end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 86400)
return 'new'
"""
)


class Places:
    def __init__(self, store: Store, *, keep_seconds: int, rate: int) -> None:
        self._store = store
        self._keep = keep_seconds
        self._rate = rate

    async def character(self, place: Place) -> str | None:
        """The chosen character's id, or None where nobody chose."""
        chosen: str | None = await self._store.do("GET", keys.of_place(place, "place"))
        return chosen

    async def choose(self, place: Place, character: str) -> None:
        await self._store.do("SET", keys.of_place(place, "place"), character, "EX", self._keep)

    async def admit(self, place: Place, person: str, message: str) -> Admitted:
        """Whether something the bot answers itself is new; it counts as a message of this minute."""
        token = secrets.token_hex(8)  # so that a second try of this very call does not find its own mark
        admitted: Admitted = await self._store.run(
            _ADMIT, [keys.seen(place, message), keys.rate(place, person)], token, self._rate
        )
        return admitted

    async def first_time(self, place: Place, what: str, seconds: int) -> bool:
        """Whether `what` was not said here within the last `seconds`; notes that it is said now."""
        return (
            await self._store.do("SET", keys.of_place(place, "told", what), 1, "NX", "EX", seconds)
            is not None
        )
