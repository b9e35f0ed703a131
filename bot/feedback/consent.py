"""Whether what a person says at a place may train a model: only with a yes, which can be taken back.

The answer is read in the same step that writes a reply down (`Turns.commit`): what cannot be read is a no.
"""

from dataclasses import dataclass

import orjson

from bot import keys
from bot.feedback.events import HAPPENED
from bot.feedback.names import Names
from bot.memory.store import Script, Store
from bot.messages import Person, Place

TERMS = "2026-11"  # the version of the text `consent-on` in `bot.notices`: change both together

# KEYS consent, events. ARGV on, terms, ttl, event.
_SET = Script(
    HAPPENED
    + """
if redis.call('HGET', KEYS[1], 'on') == ARGV[1] and redis.call('HGET', KEYS[1], 'terms') == ARGV[2] then
  return 0
end
if ARGV[1] == '0' and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'on', ARGV[1], 'terms', ARGV[2], 'time', redis.call('TIME')[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
happened(KEYS[2], ARGV[4], ARGV[3])
return 1
"""
)
# KEYS consent, met, events. ARGV event, ttl.
_FORGET = Script(
    HAPPENED
    + """
redis.call('DEL', KEYS[1], KEYS[2])
happened(KEYS[3], ARGV[1], ARGV[2])
return 1
"""
)


@dataclass(frozen=True, slots=True)
class Consent:
    """`terms` and `time` are of the last answer; both empty if there was none."""

    on: bool
    terms: str = ""
    time: float = 0.0


class Consents:
    """What people answered. A yes that nothing was said under for `keep_seconds` has run out."""

    def __init__(self, store: Store, names: Names, *, keep_seconds: int) -> None:
        self._store = store
        self._names = names
        self._keep = keep_seconds

    async def of(self, place: Place, person: Person) -> Consent:
        """Raises `StorageUnavailable`, which is a no."""
        key = keys.consent(place, person.id)
        on, terms, time = await self._store.do("HMGET", key, "on", "terms", "time")
        return Consent(on == "1", terms or "", float(time or 0))

    async def put(self, place: Place, person: Person, on: bool) -> bool:
        """False when it was the answer already."""
        event = self._event("consent", place, person, on=on, terms=TERMS)
        changed: int = await self._store.run(
            _SET,
            [keys.consent(place, person.id), keys.events(keys.shard(place))],
            *(int(on), TERMS, self._keep, event),
        )
        return changed == 1

    async def forget(self, place: Place, person: Person) -> None:
        """The person is to be forgotten: the answer goes, and the files are told."""
        event = self._event("forget", place, person, alone=place.kind == "private")
        await self._store.run(
            _FORGET,
            [keys.consent(place, person.id), keys.met(place, person.id), keys.events(keys.shard(place))],
            *(event, self._keep),
        )

    def _event(self, kind: str, place: Place, person: Person, **fields: bool | str) -> bytes:
        return orjson.dumps(
            {
                "kind": kind,
                "place": self._names.place(place),
                "character": "",
                "person": self._names.person(place, person.id),
                **fields,
            }
        )
