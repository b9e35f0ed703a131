"""What happened, on its way to the files of feedback: one Redis stream a shard, written by the same Lua calls
that change votes, turns and consents, so that nothing happens without its event or the other way round.
"""

from bot import keys
from bot.memory.store import Script, Store

KEPT = 100_000  # of a shard, for the case that no bot ever writes the files

# `happened(stream, event as JSON, seconds to keep)` for the scripts that change something.
HAPPENED = f"""
local function happened(stream, event, ttl)
  redis.call('XADD', stream, 'MAXLEN', '~', {KEPT}, '*', 'e', event)
  redis.call('EXPIRE', stream, ttl)
end
"""

_HOLD = Script(
    """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
)
_LET_GO = Script("if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1")


class Events:
    """The streams' reading side, for one reader at a time."""

    def __init__(self, store: Store, owner: str) -> None:
        self._store = store
        self._owner = owner

    async def hold(self, seconds: float) -> bool:
        """Whether this process is the reader for so long."""
        held: int = await self._store.run(_HOLD, [keys.JOURNAL], self._owner, int(seconds * 1000))
        return held == 1

    async def let_go(self) -> None:
        await self._store.run(_LET_GO, [keys.JOURNAL], self._owner)

    async def read(self, shard: str, most: int) -> list[tuple[str, bytes]]:
        """The oldest events of a shard: (id in the stream, JSON), oldest first."""
        found = await self._store.do("XRANGE", keys.events(shard), "-", "+", "COUNT", most)
        return [(id_, fields["e"].encode()) for id_, fields in found]

    async def waiting(self, shard: str) -> int:
        """How many events of a shard are not in the files yet."""
        return int(await self._store.do("XLEN", keys.events(shard)))

    async def done(self, shard: str, ids: list[str]) -> None:
        """They are in the files."""
        if ids:
            await self._store.do("XDEL", keys.events(shard), *ids)
