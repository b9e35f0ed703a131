"""Every Redis key, in one place.

All keys of a place carry the tag of its shard, so they live in one slot of a cluster and one Lua call may
touch them; what happens at the places of a shard goes into one stream. The hash of a place, P, is over
length-prefixed fields: no name that people choose can move a key.

    cn:1:{S}:events                 stream  what happened at the shard's places, until the journal has it
    cn:1:{S}:voted                  zset    replies with votes, by when
    cn:1:{S}:P:place                string  who is spoken to there
    cn:1:{S}:P:seen:<message>       string  a message that was taken in (dedupe, 24 h)
    cn:1:{S}:P:rate:<person>        string  messages of this minute
    cn:1:{S}:P:told:<what>          string  a notice that was given and shall not be repeated
    cn:1:{S}:P:said:<message>       string  platform message id -> "<character> <reply id>"
    cn:1:{S}:P:reply:<reply>        string  the ledger's record of a reply
    cn:1:{S}:P:votes:<reply>        hash    person and mark -> vote; person -> weight
    cn:1:{S}:P:voter:<person>       set     replies that a person voted on
    cn:1:{S}:P:today:<person>:<day> hash    character -> replies that a person voted on this day
    cn:1:{S}:P:heard:<person>       set     replies that answered a person, also those of turns that are gone
    cn:1:{S}:P:met:<person>         string  when the person was first heard
    cn:1:{S}:P:consent:<person>     hash    whether what the person says may train a model
    cn:1:{S}:P:<character>:inbox    list    messages that wait for an answer
    cn:1:{S}:P:<character>:turns    list    complete turns, a person's side and hers together
    cn:1:{S}:P:<character>:meta     hash    fence, lease, owner, start of the window, draft
    cn:1:{S}:P:<character>:outbox   hash    reply id -> how far its delivery is
    cn:1:{<platform>:<account>}:ready   zset  conversations with something to do, by when they got it
    cn:1:{<platform>:<account>}:places  zset  places, by when something was said there (a day back)
    cn:1:secret                     string  what turns people and places into the names that files know
    cn:1:journal                    string  the process that writes the files of feedback (lease)
"""

import hashlib
from base64 import b32encode
from urllib.parse import quote, unquote

from bot.messages import Conversation, Place

PREFIX = "cn:1"
SECRET = f"{PREFIX}:secret"
JOURNAL = f"{PREFIX}:journal"
SHARDS = tuple(f"s{number:02}" for number in range(32))  # a cluster may have as many servers


def digest(*fields: str, size: int = 10) -> str:
    """A short name for a tuple of strings: lower-case base32 of BLAKE2b over length-prefixed fields."""
    return b32encode(_blake(fields, size)).decode().lower()


def keyed(secret: bytes, *fields: str) -> str:
    """The same, which nobody without the secret can find out by trying."""
    return b32encode(_blake(fields, 10, secret)).decode().lower()


def _blake(fields: tuple[str, ...], size: int, secret: bytes = b"") -> bytes:
    whole = b"".join(
        len(data).to_bytes(4, "big") + data for data in (f.encode("utf-8", "replace") for f in fields)
    )
    return hashlib.blake2b(whole, digest_size=size, key=secret).digest()


def shard(place: Place) -> str:
    return SHARDS[_blake((place.platform, place.account, place.kind, place.id), 1)[0] % len(SHARDS)]


def of_place(place: Place, *parts: str) -> str:
    name = digest(place.platform, place.account, place.kind, place.id)
    return ":".join((f"{PREFIX}:{{{shard(place)}}}:{name}", *parts))


def events(shard: str) -> str:
    return f"{PREFIX}:{{{shard}}}:events"


def voted(shard: str) -> str:
    return f"{PREFIX}:{{{shard}}}:voted"


def seen(place: Place, message: str) -> str:
    return of_place(place, "seen", digest(message))


def said(place: Place, message: str) -> str:
    return of_place(place, "said", digest(message))


def rate(place: Place, person: str) -> str:
    return of_place(place, "rate", digest(person))


def reply(place: Place, reply_id: str) -> str:
    return of_place(place, "reply", reply_id)


def votes(place: Place, reply_id: str) -> str:
    return of_place(place, "votes", reply_id)


def voter(place: Place, person: str) -> str:
    return of_place(place, "voter", digest(person))


def today(place: Place, person: str, day: str) -> str:
    return of_place(place, "today", digest(person), day)


def heard(place: Place, person: str) -> str:
    return of_place(place, "heard", digest(person))


def met(place: Place, person: str) -> str:
    return of_place(place, "met", digest(person))


def consent(place: Place, person: str) -> str:
    return of_place(place, "consent", digest(person))


def of_conversation(conversation: Conversation, part: str) -> str:
    return of_place(conversation.place, conversation.character, part)


def ready(platform: str, account: str) -> str:
    return f"{PREFIX}:{{{quote(platform, safe='')}:{quote(account, safe='')}}}:ready"


def places(platform: str, account: str) -> str:
    return f"{PREFIX}:{{{quote(platform, safe='')}:{quote(account, safe='')}}}:places"


def write_place(place: Place, *more: str) -> str:
    """A place (and more) as one member of an index."""
    return ":".join(
        quote(part, safe="") for part in (place.platform, place.account, place.kind, place.id, *more)
    )


def read_place(member: str) -> tuple[Place, list[str]]:
    """The inverse of `write_place`."""
    platform, account, kind, place_id, *more = (unquote(part) for part in member.split(":"))
    return Place(platform, account, "group" if kind == "group" else "private", place_id), more
