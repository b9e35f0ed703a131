"""What people thought of a reply: one vote a person, made of all the marks she put on it.

A person may put several marks (two emojis, a button). Each is kept with the time it last changed, a removed
one as removed, so that events that come late or twice change nothing. The newest mark that is still there is
the vote.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from bot import keys
from bot.memory.store import Script, Store
from bot.messages import Person, Place, Reaction, Vote

# KEYS reply record, votes, what the person voted on. ARGV field, vote, there (1 or 0), time, ttl, reply id.
_VOTE = Script(
    """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
local old = redis.call('HGET', KEYS[2], ARGV[1])
if old then
  local was, there, at = string.match(old, '^(%a+) (%d) ([%d.]+)$')
  if tonumber(at) > tonumber(ARGV[4]) then return 0 end
  if was == ARGV[2] and there == ARGV[3] then return 0 end
  if ARGV[3] == '0' and was ~= ARGV[2] then return 0 end
elseif ARGV[3] == '0' then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[5])
redis.call('SADD', KEYS[3], ARGV[6])
redis.call('EXPIRE', KEYS[3], ARGV[5])
return 1
"""
)
_INDEX = Script(
    """
local now = redis.call('TIME')[1]
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""
)
_FORGET = Script(
    """
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, #ARGV[1]) == ARGV[1] then redis.call('HDEL', KEYS[1], field) end
end
return 1
"""
)


@dataclass(frozen=True, slots=True)
class Voted:
    """A reply's record and what people think of it now."""

    record: dict[str, Any]
    votes: dict[str, Vote]  # person id -> vote


class Votes:
    """The votes on replies, for as long as replies are kept."""

    def __init__(self, store: Store, *, keep_seconds: int) -> None:
        self._store = store
        self._keep = keep_seconds

    async def put(self, reaction: Reaction, reply: str) -> bool:
        """Put a mark or take it away. False when nothing changed, or the reply is not known any more."""
        place = reaction.place
        # The index first: an entry without votes is harmless, votes without an entry would never be listed.
        await self._store.run(_INDEX, [keys.VOTED], keys.write_place(place, reply), self._keep)
        changed: int = await self._store.run(
            _VOTE,
            [keys.reply(place, reply), keys.votes(place, reply), keys.voter(place, reaction.person.id)],
            *(f"{reaction.person.id}\x1f{reaction.mark}", reaction.vote, int(reaction.added)),
            *(f"{reaction.time:.6f}", self._keep, reply),
        )
        return changed == 1

    async def forget(self, place: Place, person: Person) -> None:
        """Delete what a person thought of replies at a place."""
        voter = keys.voter(place, person.id)
        for reply in await self._store.do("SMEMBERS", voter):
            await self._store.run(_FORGET, [keys.votes(place, reply)], f"{person.id}\x1f")
        await self._store.do("DEL", voter)

    async def of(self, place: Place, reply: str) -> dict[str, Vote]:
        """Who thinks what of a reply."""
        flat: list[str] | dict[str, str] = await self._store.do("HGETALL", keys.votes(place, reply))
        pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
        newest: dict[str, tuple[float, Vote]] = {}
        for name, value in pairs:
            person = name.rpartition("\x1f")[0]
            vote, there, at = value.split(" ")
            if there == "1" and (person not in newest or newest[person][0] <= float(at)):
                newest[person] = (float(at), "up" if vote == "up" else "down")
        return {person: vote for person, (_, vote) in newest.items()}

    async def recent(self, limit: int) -> AsyncIterator[Voted]:
        """Replies with votes, the last voted on first."""
        for member in await self._store.do("ZREVRANGE", keys.VOTED, 0, limit - 1):
            place, (reply,) = keys.read_place(member)
            found = await self._store.do("GET", keys.reply(place, reply))
            votes = await self.of(place, reply)
            if found and votes:
                yield Voted(orjson.loads(found), votes)
