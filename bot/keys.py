"""Every Redis key, in one place.

All keys of a place carry its hash as their tag, so they live in one slot of a cluster and one Lua call may
touch them. The hash is over length-prefixed fields: no name that people choose can move a key.

    cn:1:{P}:place                  string  who is spoken to there
    cn:1:{P}:seen:<message>         string  a message that was taken in (dedupe, 24 h)
    cn:1:{P}:rate:<person>          string  messages of this minute
    cn:1:{P}:told:<what>            string  a notice that was given and shall not be repeated
    cn:1:{P}:said:<message>         string  platform message id -> "<character> <reply id>"
    cn:1:{P}:reply:<reply>          string  the ledger's record of a reply
    cn:1:{P}:votes:<reply>          hash    person and mark -> vote
    cn:1:{P}:voter:<person>         set     replies that a person voted on
    cn:1:{P}:heard:<person>         set     replies that answered a person, also those of turns that are gone
    cn:1:{P}:<character>:inbox      list    messages that wait for an answer
    cn:1:{P}:<character>:turns      list    complete turns, a person's side and hers together
    cn:1:{P}:<character>:meta       hash    fence, lease, owner, start of the window, draft
    cn:1:{P}:<character>:outbox     hash    reply id -> how far its delivery is
    cn:1:{<platform>:<account>}:ready   zset  conversations with something to do, by when they got it
    cn:1:{<platform>:<account>}:places  zset  places, by when something was said there (a day back)
    cn:1:voted                      zset    replies with votes, by when
"""

import hashlib
from base64 import b32encode
from urllib.parse import quote, unquote

from bot.messages import Conversation, Place

PREFIX = "cn:1"
VOTED = f"{PREFIX}:voted"


def digest(*fields: str, size: int = 10) -> str:
    """A short name for a tuple of strings: lower-case base32 of BLAKE2b over length-prefixed fields."""
    whole = b"".join(
        len(data).to_bytes(4, "big") + data for data in (f.encode("utf-8", "replace") for f in fields)
    )
    return b32encode(hashlib.blake2b(whole, digest_size=size).digest()).decode().lower()


def tag(place: Place) -> str:
    return digest(place.platform, place.account, place.kind, place.id)


def of_place(place: Place, *parts: str) -> str:
    return ":".join((f"{PREFIX}:{{{tag(place)}}}", *parts))


def seen(place: Place, message: str) -> str:
    return of_place(place, "seen", digest(message))


def said(place: Place, message: str) -> str:
    return of_place(place, "said", digest(message))


def rate(place: Place, person: str) -> str:
    return of_place(place, "rate", digest(person))


def reply(place: Place, reply_id: str) -> str:
    return of_place(place, "reply", reply_id)


def voter(place: Place, person: str) -> str:
    return of_place(place, "voter", digest(person))


def heard(place: Place, person: str) -> str:
    return of_place(place, "heard", digest(person))


def votes(place: Place, reply_id: str) -> str:
    return of_place(place, "votes", reply_id)


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
