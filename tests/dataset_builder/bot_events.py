"""Event files as the bot writes them, for tests of what is made of them: a small bot without a model.

It writes prompts by `inference.prompt.messages` and hashes them as the bot's ledger does, so a prompt that is
put together again has to be the very one that was served.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from dataset_builder.schema import FEEDBACK
from inference.characters import Character
from inference.prompt import Exchange, Said, messages

DAY = 86_400.0
START = 1_790_000_000.0  # 2026-09-21
GRANT = {"id": "DISCORD-77", "date": "2026-10-01", "scope": "replies of Zhiwei, text only"}


@dataclass
class Turn:
    id: str
    said: tuple[Said, ...]
    people: tuple[str, ...]
    replies: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)  # reply -> text
    kept: str = ""  # text


@dataclass
class Place:
    """A private chat, or a group (`named`)."""

    id: str
    named: bool
    turns: list[Turn] = field(default_factory=list)
    window: list[Turn] = field(default_factory=list)


class Bot:
    """What is done with it is written down in `events`, in order."""

    def __init__(
        self, character: Character, platform: str = "qq", grant: dict[str, str] | None = None, window: int = 6
    ) -> None:
        self.character = character
        self.platform = platform
        self.grant = grant
        self.version = f"{character.id}.v1"
        self.time = START
        self.events: list[dict[str, Any]] = []
        self.consenting: set[tuple[str, str]] = set()
        self._places: dict[str, Place] = {}
        self._window = window

    def place(self, id: str) -> Place:
        return self._places.setdefault(id, Place(id, named=id.startswith("pg")))

    # --- what people do -------------------------------------------------------------------------------------

    def consent(self, place: str, person: str, on: bool = True, terms: str = "2026-11") -> None:
        (self.consenting.add if on else self.consenting.discard)((place, person))
        self._happened("consent", place, character="", person=person, on=on, terms=terms)

    def say(self, place: str, said: Iterable[tuple[str, str]], answer: str, quoted: str = "") -> str:
        """Persons and their words, and what she answers; the reply's id."""
        at = self.place(place)
        words = tuple(
            Said(text=text, name=person if at.named else "", quoted=quoted if number == 0 else "")
            for number, (person, text) in enumerate(said)
        )
        turn = Turn(f"t{len(self.events):06}", words, tuple(sorted({person for person, _ in said})))
        at.turns.append(turn)
        reply = self._reply(at, turn, answer, at.window)
        at.window = [*at.window, turn]
        if len(at.window) > self._window:
            at.window = at.window[self._window // 2 :]
        return reply

    def again(self, place: str, answer: str) -> str:
        """Another answer to the last message."""
        at = self.place(place)
        return self._reply(at, at.window[-1], answer, at.window[:-1])

    def vote(self, place: str, reply: str, person: str, new: str | None, **more: Any) -> None:
        fields = {"version": self.version, "old": None, "new": new, "weight": 1.0, **more}
        self._happened("vote", place, reply=reply, person=person, **fields)

    def flip(self, place: str, reply: str, person: str) -> None:
        turn = self._turn(place, reply)
        turn.kept = turn.texts[reply]
        self._happened("choice", place, turn=turn.id, reply=reply, person=person, how="flip")

    def edit(self, place: str, reply: str, person: str, text: str) -> str:
        """The id of what the person wrote instead."""
        turn = self._turn(place, reply)
        edit = f"{turn.id}{len(turn.replies)}"
        turn.replies.append(edit)
        turn.texts[edit] = turn.kept = text
        told = text if (place, person) in self.consenting else ""
        self._happened("choice", place, turn=turn.id, reply=edit, person=person, how="edit", text=told)
        return edit

    def forget(self, place: str, person: str, *, erase: bool = True) -> None:
        """Also from the files, as the bot does; without `erase` as if it had not come to that yet."""
        at = self.place(place)
        alone = not at.named
        at.window = [] if alone else [turn for turn in at.window if person not in turn.people]
        self.consenting.discard((place, person))
        if erase:
            self._erase(place, person, alone)
        self._happened("forget", place, character="", person=person, alone=alone)

    def reset(self, place: str) -> None:
        self.place(place).window = []

    def quarantine(self, since: float, until: float, *, released: bool = False, **more: Any) -> None:
        self._happened("quarantine", "", since=since, until=until, reason="a rush", released=released, **more)

    # --- events ---------------------------------------------------------------------------------------------

    def _reply(self, at: Place, turn: Turn, answer: str, window: list[Turn]) -> str:
        reply = f"{turn.id}{len(turn.replies)}"
        exchanges = [Exchange(said=each.said, reply=each.kept) for each in window]
        written = messages(self.character, exchanges, turn.said)
        digest = hashlib.sha256(orjson.dumps([[m.role, m.content] for m in written])).hexdigest()
        consent = all((at.id, person) in self.consenting for person in turn.people)
        granted = self.platform != "discord" or self.grant is not None
        words = {"said": [each.model_dump() for each in turn.said], "text": answer}
        self._happened(
            "reply",
            at.id,
            reply=reply,
            turn=turn.id,
            swipe=len(turn.replies),
            people=turn.people,
            platform=self.platform,
            card=self.character.card_hash,
            base="smollm2-135m",
            version=self.version,
            prompt=digest,
            turns=[each.id for each in window],
            consent=consent,
            **({"grant": self.grant} if self.grant and consent else {}),
            **(words if consent and granted else {}),
        )
        turn.replies.append(reply)
        turn.texts[reply] = turn.kept = answer
        return reply

    def _turn(self, place: str, reply: str) -> Turn:
        return next(turn for turn in self.place(place).turns if reply in turn.replies)

    def _happened(self, kind: str, place: str, **fields: Any) -> None:
        self.time += 1
        event = {
            "kind": kind,
            "id": f"s0-{len(self.events):08}",
            "time": self.time,
            "place": place,
            "character": self.character.id,
            **fields,
        }
        FEEDBACK.validate_python(event)
        self.events.append(event)

    def _erase(self, place: str, person: str, alone: bool) -> None:
        """Blank places stay in the list, so that later events have the ids that they would have had."""
        hers: set[str] = set()
        for at, event in enumerate(self.events):
            if not event or event["place"] != place or event["kind"] in ("consent", "forget", "quarantine"):
                continue
            spoke = event["kind"] == "reply" and person in event["people"]
            if alone or spoke or event.get("person") == person or event["reply"] in hers:
                hers |= {event["reply"]} if event["kind"] == "reply" else set()
                self.events[at] = {}

    def lines(self) -> list[bytes]:
        return [orjson.dumps(event) + b"\n" for event in self.events if event]

    def write(self, folder: Path, name: str = "events-2026-11-27.jsonl") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"".join(self.lines()))
        return folder
