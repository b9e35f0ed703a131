"""What people thought of a reply: one vote a person, made of all the marks she put on it.

A person may put several marks (two emojis, a button). Each is kept with the time it last changed, a removed
one as removed, so that events that come late or twice change nothing. The newest mark that is still there is
the vote. How much it weighs is fixed when the person first votes on the reply.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from bot import keys
from bot.feedback.events import HAPPENED
from bot.feedback.names import Names
from bot.memory.store import Script, Store
from bot.messages import Person, Place, Reaction, Vote

BYSTANDER = 0.3  # has never been answered by a character here: was not in the conversation
NEWCOMERS = ((3600, 0.25), (86_400, 0.5))  # seconds since a person was first heard here: weight

# Of the votes on a reply: fields `person \x1f mark` -> "up 1 <time>", `person \x1e` -> "<weight> <reasons>".
# KEYS said, voter, heard, met, today, voted, events. ARGV prefix of the place's keys, reply ("": the one that
# the message shows), person, mark, vote, there (1 or 0), time, ttl, cap of a day, person and place as in
# files, place as in the index, weight of a bystander, then seconds and weights of newcomers.
_VOTE = Script(
    HAPPENED
    + """
local reply = ARGV[2]
if reply == '' then
  local said = redis.call('GET', KEYS[1])
  if not said then return -1 end
  reply = string.match(said, '[^ ]+$')
end
local raw = redis.call('GET', ARGV[1] .. ':reply:' .. reply)
if not raw then return -1 end
local votes = ARGV[1] .. ':votes:' .. reply
local mine = ARGV[3] .. '\\31'
local field, weigh = mine .. ARGV[4], ARGV[3] .. '\\30'

local function vote()
  local newest, found = -1, false
  local all = redis.call('HGETALL', votes)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, #mine) == mine then
      local what, there, at = string.match(all[i + 1], '^(%a+) (%d) ([%d.]+)$')
      if there == '1' and tonumber(at) >= newest then newest, found = tonumber(at), what end
    end
  end
  return found
end

local old, same = redis.call('HGET', votes, field), false
if old then
  local was, there, at = string.match(old, '^(%a+) (%d) ([%d.]+)$')
  if tonumber(at) > tonumber(ARGV[7]) then return 0 end
  if ARGV[6] == '0' and was ~= ARGV[5] then return 0 end
  same = was == ARGV[5] and there == ARGV[6]  -- its time is newer all the same
elseif ARGV[6] == '0' then
  -- Taken away before it was put: events of one platform may come in any order.
  redis.call('HSET', votes, field, ARGV[5] .. ' 0 ' .. ARGV[7])
  redis.call('EXPIRE', votes, ARGV[8])
  redis.call('SADD', KEYS[2], reply)
  redis.call('EXPIRE', KEYS[2], ARGV[8])
  return 0
end

local record = cjson.decode(raw)
local weight = redis.call('HGET', votes, weigh)
if not weight then
  local amount, reasons = 1, {}
  if redis.call('SCARD', KEYS[3]) == 0 then
    amount = tonumber(ARGV[13])
    reasons[#reasons + 1] = 'bystander'
  else
    local age = redis.call('TIME')[1] - (redis.call('GET', KEYS[4]) or redis.call('TIME')[1])
    for i = 14, #ARGV, 2 do
      if age < tonumber(ARGV[i]) then
        amount = amount * tonumber(ARGV[i + 1])
        reasons[#reasons + 1] = 'newcomer'
        break
      end
    end
  end
  if redis.call('HINCRBY', KEYS[5], record.character, 1) > tonumber(ARGV[9]) then
    amount = 0
    reasons[#reasons + 1] = 'daily-cap'
  end
  redis.call('EXPIRE', KEYS[5], 172800)
  weight = amount .. ' ' .. table.concat(reasons, ',')
  redis.call('HSET', votes, weigh, weight)
end

local before = vote()
redis.call('HSET', votes, field, ARGV[5] .. ' ' .. ARGV[6] .. ' ' .. ARGV[7])
redis.call('SADD', KEYS[2], reply)
local now = redis.call('TIME')[1]
redis.call('ZADD', KEYS[6], now, ARGV[12] .. ':' .. reply)
redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', now - ARGV[8])
for _, key in ipairs({votes, KEYS[2], KEYS[6]}) do redis.call('EXPIRE', key, ARGV[8]) end

local after = vote()
if before ~= after then
  local amount, reasons = string.match(weight, '^([%d.]+) (.*)$')
  local listed = reasons == '' and '[]' or '["' .. string.gsub(reasons, ',', '","') .. '"]'
  local said = '{"kind":"vote","place":"' .. ARGV[11] .. '","person":"' .. ARGV[10]
    .. '","character":' .. cjson.encode(record.character) .. ',"reply":"' .. reply
    .. '","version":' .. cjson.encode(record.version) .. ',"arm":"' .. (record.arm or '')
    .. '","old":' .. (before and '"' .. before .. '"' or 'null')
    .. ',"new":' .. (after and '"' .. after .. '"' or 'null') .. ',"weight":' .. amount
    .. ',"reasons":' .. listed .. '}'
  happened(KEYS[7], said, ARGV[8])
end
return same and 0 or 1
"""
)
_FORGET = Script(
    """
for _, reply in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local votes = ARGV[1] .. ':votes:' .. reply
  for _, field in ipairs(redis.call('HKEYS', votes)) do
    if string.sub(field, 1, #ARGV[2]) == ARGV[2] and string.find(field, '[\\30\\31]') == #ARGV[2] + 1 then
      redis.call('HDEL', votes, field)
    end
  end
end
redis.call('DEL', KEYS[1])
return 1
"""
)


@dataclass(frozen=True, slots=True)
class Cast:
    """A person's vote on a reply, when it last changed, and how much it weighs."""

    vote: Vote
    weight: float
    reasons: tuple[str, ...]
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Voted:
    """A reply's record and what people think of it now."""

    record: dict[str, Any]
    votes: dict[str, Cast]  # by person's id


class Votes:
    """The votes on replies, for as long as replies are kept. `daily` is how many of a person's votes for one
    character count in a day."""

    def __init__(self, store: Store, names: Names, *, keep_seconds: int, daily: int) -> None:
        self._store = store
        self._names = names
        self._keep = keep_seconds
        self._daily = daily

    async def put(self, reaction: Reaction, reply: str = "") -> bool:
        """Put a mark or take it away, in one call. `reply` names the reply where no message shows which.

        False when nothing changed, or the reply is not known any more.
        """
        place, person = reaction.place, reaction.person.id
        day = datetime.fromtimestamp(reaction.time, UTC).date().isoformat()
        shard = keys.shard(place)
        changed: int = await self._store.run(
            _VOTE,
            [
                keys.said(place, reaction.message),
                keys.voter(place, person),
                keys.heard(place, person),
                keys.met(place, person),
                keys.today(place, person, day),
                keys.voted(shard),
                keys.events(shard),
            ],
            *(keys.of_place(place), reply, person, reaction.mark, reaction.vote, int(reaction.added)),
            *(f"{reaction.time:.6f}", self._keep, self._daily, self._names.person(place, person)),
            *(self._names.place(place), keys.write_place(place), BYSTANDER),
            *(number for step in NEWCOMERS for number in step),
        )
        return changed == 1

    async def forget(self, place: Place, person: Person) -> None:
        """Delete what a person thought of replies at a place."""
        await self._store.run(_FORGET, [keys.voter(place, person.id)], keys.of_place(place), person.id)

    async def of(self, place: Place, reply: str) -> dict[str, Cast]:
        """Who thinks what of a reply, by the person's id."""
        flat: list[str] | dict[str, str] = await self._store.do("HGETALL", keys.votes(place, reply))
        fields = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
        newest: dict[str, tuple[float, Vote]] = {}
        for name, value in fields.items():
            person, mark, _ = name.rpartition("\x1f")
            if not mark:
                continue  # a weight
            vote, there, at = value.split(" ")
            if there == "1" and (person not in newest or newest[person][0] <= float(at)):
                newest[person] = (float(at), "up" if vote == "up" else "down")
        found = {}
        for person, (when, cast) in newest.items():
            weight, _, reasons = fields.get(f"{person}\x1e", "1 ").partition(" ")
            found[person] = Cast(cast, float(weight), tuple(filter(None, reasons.split(","))), when)
        return found

    async def by(self, place: Place, person: Person, reply: str) -> Vote | None:
        """What one person thinks of a reply."""
        cast = (await self.of(place, reply)).get(person.id)
        return cast.vote if cast else None

    async def recent(self, limit: int) -> AsyncIterator[Voted]:
        """Replies with votes, the last voted on first."""
        found: list[tuple[float, str]] = []
        for shard in keys.SHARDS:
            flat = await self._store.do("ZREVRANGE", keys.voted(shard), 0, limit - 1, "WITHSCORES")
            found += zip(map(float, flat[1::2]), flat[::2], strict=True)
        for _, member in sorted(found, reverse=True)[:limit]:
            place, (reply,) = keys.read_place(member)
            record = await self._store.do("GET", keys.reply(place, reply))
            votes = await self.of(place, reply)
            if record and votes:
                yield Voted(orjson.loads(record), votes)
