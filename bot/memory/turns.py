"""The turn machine: from a message that was taken in to a reply that was delivered, whatever dies in between.

    accept -> claim (lease, fence) -> generate -> commit (both sides of the turn at once) -> deliver (outbox)
    -> sent

A conversation is worked on by whoever holds its lease. The lease is only courtesy; safety is the fence, a
number that grows with every claim and that every later write must still match. Each step is one Lua call on
the keys of one place (`bot.keys`), takes its time from the server, and may be repeated without harm.
"""

from collections.abc import Sequence
from typing import Literal

import orjson

from bot import keys
from bot.feedback.events import HAPPENED
from bot.feedback.ledger import Record
from bot.memory.store import Call, Script, Store
from bot.memory.turn import Busy, Claim, Delivery, Item, Turn, read_turn
from bot.messages import Conversation, IncomingMessage, Person, Place

Accepted = Literal["taken", "seen", "full", "slow", "quiet"]
Entry = str | None  # a conversation's place in the index of what waits

LEASE_SECONDS = 10.0
KEPT_TURNS = 1000  # complete turns of a conversation that stay in Redis


class StaleFence(Exception):
    """Somebody else has taken the conversation over, or it was reset: drop what you did."""


_NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

_ACCEPT = Script(
    """
local seen = redis.call('GET', KEYS[1])
if seen then return seen == ARGV[1] and 'taken' or 'seen' end
if redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[4]) then return 'full' end
local n = redis.call('INCR', KEYS[4])
if n == 1 then redis.call('EXPIRE', KEYS[4], 60) end
local limit = tonumber(ARGV[5])
if n > limit then return n == limit + 1 and 'slow' or 'quiet' end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 86400)
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('SET', KEYS[6], redis.call('TIME')[1], 'NX')
for _, key in ipairs({KEYS[2], KEYS[3], KEYS[5], KEYS[6]}) do redis.call('EXPIRE', key, ARGV[3]) end
return 'taken'
"""
)

_CLAIM = Script(
    _NOW
    + """
local until_ = tonumber(redis.call('HGET', KEYS[2], 'lease') or '0')
if until_ > now and redis.call('HGET', KEYS[2], 'owner') ~= ARGV[1] then return {0, until_ - now} end
if redis.call('LLEN', KEYS[1]) == 0 and redis.call('HLEN', KEYS[4]) == 0 then return {0, 0} end
local fence = redis.call('HINCRBY', KEYS[2], 'fence', 1)
redis.call('HSET', KEYS[2], 'owner', ARGV[1], 'lease', now + ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[3])
local start = tonumber(redis.call('HGET', KEYS[2], 'start') or '0')
return {fence, redis.call('LRANGE', KEYS[1], 0, -1), start, redis.call('LRANGE', KEYS[3], start, -1),
        redis.call('HVALS', KEYS[4]), redis.call('HGET', KEYS[2], 'drafts') or '{}'}
"""
)

_RENEW = Script(
    _NOW
    + """
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'lease', now + ARGV[2])
return 1
"""
)

_RELEASE = Script(
    """
if redis.call('HGET', KEYS[2], 'fence') ~= ARGV[1] then return -1 end
redis.call('HDEL', KEYS[2], 'lease', 'owner')
return redis.call('LLEN', KEYS[1]) + redis.call('HLEN', KEYS[3])
"""
)

# KEYS inbox, meta, turns, outbox, reply record, events, then of each person what was heard and the consent.
# ARGV fence, items taken, turn, position of the turn it replaces ("" for a new one), start of the window,
# ttl, reply id, delivery, ttl of the record, turns kept, and the record: bare, words, private.
_COMMIT = Script(
    HAPPENED
    + """
if redis.call('HGET', KEYS[2], 'fence') ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[2], 'done') == ARGV[1] .. ':' .. ARGV[7] then return 1 end
redis.call('LTRIM', KEYS[1], ARGV[2], -1)
if ARGV[4] == '' then redis.call('RPUSH', KEYS[3], ARGV[3])
else redis.call('LSET', KEYS[3], ARGV[4], ARGV[3]) end
local over = redis.call('LLEN', KEYS[3]) - tonumber(ARGV[10])
local start = tonumber(ARGV[5])
if over > 0 then
  redis.call('LTRIM', KEYS[3], over, -1)
  start = math.max(0, start - over)
end
redis.call('HSET', KEYS[2], 'start', start, 'done', ARGV[1] .. ':' .. ARGV[7])
redis.call('HDEL', KEYS[2], 'drafts')
redis.call('HSET', KEYS[4], ARGV[7], ARGV[8])
for i = 2, 4 do redis.call('EXPIRE', KEYS[i], ARGV[6]) end
local consent = 'true'
for i = 7, #KEYS, 2 do
  redis.call('SADD', KEYS[i], ARGV[7])
  redis.call('EXPIRE', KEYS[i], ARGV[9])
  if redis.call('HGET', KEYS[i + 1], 'on') == '1' then redis.call('EXPIRE', KEYS[i + 1], ARGV[6])
  else consent = 'false' end
end
-- JSON objects without their last bracket, to be gone on with.
local function with(head, object)
  return object == '{}' and head or head .. ',' .. string.sub(object, 2, -2)
end
local bare = with('{"consent":' .. consent, ARGV[11])
local whole = with(bare, ARGV[12])
redis.call('SET', KEYS[5], with(whole, ARGV[13]) .. '}', 'EX', ARGV[9])
happened(KEYS[6], (consent == 'true' and whole or bare) .. '}', ARGV[9])
return 1
"""
)

# KEYS meta, outbox, then said keys. ARGV fence, reply id, delivery ("" when all is sent), said value and its
# ttl.
_MARK = Script(
    """
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
for i = 3, #KEYS do redis.call('SET', KEYS[i], ARGV[4], 'EX', ARGV[5]) end
if ARGV[3] == '' then redis.call('HDEL', KEYS[2], ARGV[2])
else redis.call('HSET', KEYS[2], ARGV[2], ARGV[3]) redis.call('EXPIRE', KEYS[2], ARGV[5]) end
return 1
"""
)

_DRAFT = Script(
    """
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'drafts', ARGV[2])
return 1
"""
)

_DROP = Script(
    """
if redis.call('HGET', KEYS[2], 'fence') ~= ARGV[1] then return 0 end
local done = redis.call('HGET', KEYS[2], 'done') or ''
if string.sub(done, 1, #ARGV[1] + 1) == ARGV[1] .. ':' then return 1 end
redis.call('LTRIM', KEYS[1], ARGV[2], -1)
redis.call('HSET', KEYS[2], 'done', ARGV[1] .. ':drop')
return 1
"""
)

# KEYS turns, events. ARGV the last turn as it was, as it is to be, event, ttl of the event.
_CHOOSE = Script(
    HAPPENED
    + """
if redis.call('LINDEX', KEYS[1], -1) ~= ARGV[1] then return 0 end
redis.call('LSET', KEYS[1], -1, ARGV[2])
happened(KEYS[2], ARGV[3], ARGV[4])
return 1
"""
)

_RESET = Script(
    """
redis.call('HINCRBY', KEYS[1], 'fence', 1)
redis.call('HSET', KEYS[1], 'start', redis.call('LLEN', KEYS[2]))
redis.call('HDEL', KEYS[1], 'lease', 'owner', 'drafts')
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
"""
)

# KEYS inbox, meta, turns, outbox, what the person heard. ARGV person ("" for everybody), prefix of the
# place's keys, ttl. Reply records and votes are named inside: they carry the same tag, so they are in the
# same slot.
_FORGET = Script(
    """
local function theirs(said)
  if ARGV[1] == '' then return true end
  for _, item in ipairs(said) do if item.person == ARGV[1] then return true end end
  return false
end
redis.call('HINCRBY', KEYS[2], 'fence', 1)
redis.call('HDEL', KEYS[2], 'lease', 'owner', 'drafts')
redis.call('EXPIRE', KEYS[2], ARGV[3])
local turns = redis.call('LRANGE', KEYS[3], 0, -1)
local start = tonumber(redis.call('HGET', KEYS[2], 'start') or '0')
local kept, gone, shift = {}, 0, 0
for i, raw in ipairs(turns) do
  local turn = cjson.decode(raw)
  if theirs(turn.said) then
    gone = gone + 1
    if i <= start then shift = shift + 1 end
    for _, swipe in ipairs(turn.swipes) do
      redis.call('DEL', ARGV[2] .. ':reply:' .. swipe.reply, ARGV[2] .. ':votes:' .. swipe.reply)
      redis.call('HDEL', KEYS[4], swipe.reply)
    end
  else kept[#kept + 1] = raw end
end
if gone > 0 then
  redis.call('DEL', KEYS[3])
  for _, raw in ipairs(kept) do redis.call('RPUSH', KEYS[3], raw) end
  if #kept > 0 then redis.call('EXPIRE', KEYS[3], ARGV[3]) end
  redis.call('HSET', KEYS[2], 'start', start - shift)
end
for _, reply in ipairs(redis.call('SMEMBERS', KEYS[5])) do
  redis.call('DEL', ARGV[2] .. ':reply:' .. reply, ARGV[2] .. ':votes:' .. reply)
end
redis.call('DEL', KEYS[5])
local waiting = redis.call('LRANGE', KEYS[1], 0, -1)
redis.call('DEL', KEYS[1])
for _, raw in ipairs(waiting) do
  if not theirs({cjson.decode(raw)}) then redis.call('RPUSH', KEYS[1], raw) end
end
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
return gone
"""
)

# KEYS ready, places. ARGV conversation, place, ttl.
_INDEX = Script(
    _NOW
    + """
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZADD', KEYS[2], now, ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - 86400000)
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
"""
)

_ENTRY = Script("return redis.call('ZSCORE', KEYS[1], ARGV[1])")

_IDLE = Script(
    """
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('ZREM', KEYS[1], ARGV[1]) end
return 0
"""
)

_WAITING = Script(
    _NOW
    + """
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1], 'LIMIT', 0, ARGV[2])
"""
)


_ACTIVE = Script(_NOW + "return redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[1], '+inf')")


class Turns:
    """The machine's store. `owner` names this process; two with the same name would share leases."""

    def __init__(
        self, store: Store, owner: str, *, keep_seconds: int, reply_seconds: int, inbox: int, rate: int
    ) -> None:
        self._store = store
        self._owner = owner
        self._keep = keep_seconds
        self._keep_reply = reply_seconds
        self._inbox = inbox
        self._rate = rate

    async def accept(
        self,
        conversation: Conversation,
        message: IncomingMessage,
        kind: Literal["message", "regenerate"],
        text: str,
    ) -> Accepted:
        """Take a message in, once. "seen": it was; "full", "slow": it was refused; "quiet": refused, and said
        already.
        """
        place = conversation.place
        item = Item(
            message.id, kind, message.person.id, message.person.name, text, message.quoted_text, message.time
        )
        body = orjson.dumps(item).decode()
        # The same for redis-py's own second try, another one for a delivery of the platform.
        token = keys.digest(body, self._owner, str(id(message)))
        index = self._index(conversation)
        accept = (
            _ACCEPT,
            [
                keys.seen(place, message.id),
                keys.of_conversation(conversation, "inbox"),
                keys.of_conversation(conversation, "meta"),
                keys.rate(place, message.person.id),
                keys.of_place(place, "place"),
                keys.met(place, message.person.id),
            ],
            (token, body, self._keep, self._inbox, self._rate),
        )
        # The index first: a crash in between leaves an entry without work, never work without an entry. And
        # again after it: a worker that just found the inbox empty may have taken the entry away.
        answer: Accepted
        _, answer, _ = await self._store.run_all(index, accept, index)
        return answer

    async def claim(self, conversation: Conversation) -> tuple[Claim | Busy | None, Entry]:
        """The conversation for this process; `Busy` if another has it; None if there is nothing to do.

        With it the index's entry as it was before the look, for `idle`.
        """
        k, place = self._keys(conversation), conversation.place
        member = keys.write_place(place, conversation.character)
        claim_keys = [k["inbox"], k["meta"], k["turns"], k["outbox"]]
        entry, (fence, *rest) = await self._store.run_all(
            (_ENTRY, [keys.ready(place.platform, place.account)], (member,)),
            (_CLAIM, claim_keys, (self._owner, int(LEASE_SECONDS * 1000), self._keep)),
        )
        if not fence:
            return (Busy(rest[0] / 1000) if rest[0] else None), entry
        inbox, start, window, outbox, drafts = rest
        claim = Claim(
            conversation,
            fence,
            tuple(Item(**orjson.loads(raw)) for raw in inbox),
            start,
            tuple(read_turn(raw) for raw in window),
            tuple(Delivery(**orjson.loads(raw)) for raw in outbox),
            orjson.loads(drafts),
        )
        return claim, entry

    async def renew(self, claim: Claim) -> None:
        """Hold the lease for longer. Raises `StaleFence`."""
        answer = await self._store.run(
            _RENEW, [self._keys(claim.conversation)["meta"]], claim.fence, int(LEASE_SECONDS * 1000)
        )
        _fenced(answer)

    async def release(self, claim: Claim) -> bool:
        """Give the lease back; True when there is still something to do."""
        k = self._keys(claim.conversation)
        left: int = await self._store.run(_RELEASE, [k["inbox"], k["meta"], k["outbox"]], claim.fence)
        return left != 0

    async def commit(
        self,
        claim: Claim,
        turn: Turn,
        *,
        items: int,
        replaces: int | None,
        start: int,
        record: Record,
        delivery: Delivery,
    ) -> None:
        """Both sides of the turn, the ledger's record, the event and the outbox, at once. Raises
        `StaleFence`."""
        k, place = self._keys(claim.conversation), claim.conversation.place
        people = {item.person for item in turn.said}
        answer = await self._store.run(
            _COMMIT,
            [
                k["inbox"],
                k["meta"],
                k["turns"],
                k["outbox"],
                keys.reply(place, delivery.reply),
                keys.events(keys.shard(place)),
                *(key(place, person) for person in people for key in (keys.heard, keys.consent)),
            ],
            *(claim.fence, items, orjson.dumps(turn), "" if replaces is None else replaces, start),
            *(self._keep, delivery.reply, orjson.dumps(delivery), self._keep_reply, KEPT_TURNS),
            *(record.bare, record.words, record.private),
        )
        _fenced(answer)

    async def mark(
        self, claim: Claim, delivery: Delivery, *, shown: Sequence[str] = (), finished: bool = False
    ) -> None:
        """Write down how far the delivery is and which platform messages show it. Raises `StaleFence`."""
        k = self._keys(claim.conversation)
        answer = await self._store.run(
            _MARK,
            [k["meta"], k["outbox"], *(keys.said(claim.conversation.place, message) for message in shown)],
            *(claim.fence, delivery.reply, b"" if finished else orjson.dumps(delivery)),
            *(f"{claim.conversation.character} {delivery.reply}", self._keep_reply),
        )
        _fenced(answer)

    async def draft(self, claim: Claim, reply: str, shown: Sequence[str]) -> None:
        """Remember which platform messages show the unfinished reply, so that the next attempt edits them."""
        answer = await self._store.run(
            _DRAFT, [self._keys(claim.conversation)["meta"]], claim.fence, orjson.dumps({reply: list(shown)})
        )
        _fenced(answer)

    async def drop(self, claim: Claim, items: int) -> None:
        """Take messages out unanswered; the person has been told. Raises `StaleFence`."""
        k = self._keys(claim.conversation)
        _fenced(await self._store.run(_DROP, [k["inbox"], k["meta"]], claim.fence, items))

    async def choose(self, conversation: Conversation, before: Turn, after: Turn, event: bytes) -> bool:
        """The last turn with another kept answer. False: it is not the last any more, or has changed."""
        changed: int = await self._store.run(
            _CHOOSE,
            [self._keys(conversation)["turns"], keys.events(keys.shard(conversation.place))],
            *(orjson.dumps(before), orjson.dumps(after), event, self._keep_reply),
        )
        return changed == 1

    async def reset(self, conversation: Conversation) -> None:
        """An empty window. The turns stay, for the ledger's sake, but she does not see them any more."""
        k = self._keys(conversation)
        await self._store.run(_RESET, [k["meta"], k["turns"]], self._keep)

    async def forget(self, conversation: Conversation, person: Person) -> int:
        """Delete the turns in which the person took part, with their replies' records and votes. How many
        they were.
        """
        k = self._keys(conversation)
        everybody = conversation.place.kind == "private"
        gone: int = await self._store.run(
            _FORGET,
            [k["inbox"], k["meta"], k["turns"], k["outbox"], keys.heard(conversation.place, person.id)],
            *("" if everybody else person.id, keys.of_place(conversation.place), self._keep),
        )
        return gone

    async def turns(self, conversation: Conversation, last: int | None = None) -> list[Turn]:
        """The turns of the window, or the last ones whether she sees them or not, oldest first."""
        k = self._keys(conversation)
        start = int(await self._store.do("HGET", k["meta"], "start") or 0) if last is None else -last
        return [read_turn(raw) for raw in await self._store.do("LRANGE", k["turns"], start, -1)]

    # --- the index of what waits ----------------------------------------------------------------------------

    async def waiting(self, platform: str, account: str, older_than: float) -> list[Conversation]:
        """Conversations of an account that got something to do at least that many seconds ago and may have
        been left.
        """
        members: list[str] = await self._store.run(
            _WAITING, [keys.ready(platform, account)], int(older_than * 1000), 1000
        )
        places = map(keys.read_place, members)
        return [Conversation(place, more[0]) for place, more in places if more]

    async def idle(self, conversation: Conversation, entry: Entry) -> None:
        """Take the conversation out of the index, unless something came since `entry` was read."""
        if entry is not None:
            place = conversation.place
            member = keys.write_place(place, conversation.character)
            await self._store.run(_IDLE, [keys.ready(place.platform, place.account)], member, entry)

    async def active_places(self, platform: str, account: str, within: float) -> list[Place]:
        """Where something was said in the last `within` seconds."""
        members: list[str] = await self._store.run(
            _ACTIVE, [keys.places(platform, account)], int(within * 1000)
        )
        return [keys.read_place(member)[0] for member in members]

    def _index(self, conversation: Conversation) -> Call:
        place = conversation.place
        return (
            _INDEX,
            [keys.ready(place.platform, place.account), keys.places(place.platform, place.account)],
            (keys.write_place(place, conversation.character), keys.write_place(place), self._keep),
        )

    @staticmethod
    def _keys(conversation: Conversation) -> dict[str, str]:
        return {
            part: keys.of_conversation(conversation, part) for part in ("inbox", "meta", "turns", "outbox")
        }


def _fenced(answer: int) -> None:
    if answer != 1:
        raise StaleFence
