"""What is known about a place itself: who is spoken to there."""

from bot import keys
from bot.memory.store import Store
from bot.messages import Place


class Places:
    def __init__(self, store: Store, *, keep_seconds: int) -> None:
        self._store = store
        self._keep = keep_seconds

    async def character(self, place: Place) -> str | None:
        """The chosen character's id, or None where nobody chose."""
        chosen: str | None = await self._store.do("GET", keys.of_place(place, "place"))
        return chosen

    async def choose(self, place: Place, character: str) -> None:
        await self._store.do("SET", keys.of_place(place, "place"), character, "EX", self._keep)

    async def first_time(self, place: Place, what: str, seconds: int) -> bool:
        """Whether `what` did not happen at the place within the last `seconds`; notes that it happens now."""
        return (
            await self._store.do("SET", keys.of_place(place, "told", what), 1, "NX", "EX", seconds)
            is not None
        )
