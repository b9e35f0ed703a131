"""What people may ask about their own words: whether they train a model, what is kept, and that it is
deleted.
"""

import logging
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from bot.errors import DeliveryFailed
from bot.feedback.consent import Consents
from bot.feedback.votes import Votes
from bot.gateway import Gateway
from bot.memory.turns import KEPT_TURNS, Turns
from bot.messages import Conversation, IncomingMessage, Language, Person, Place
from bot.notices import notice

EXPORTED = "chatnvl.json"

_ON = frozenset({"on", "yes", "同意"})
_OFF = frozenset({"off", "no", "不同意"})
_SURE = frozenset({"yes", "是", "确定"})

log = logging.getLogger(__name__)


class Rights:
    """Each command is about one person at one place, and with all characters there."""

    def __init__(
        self,
        characters: Collection[str],
        turns: Turns,
        votes: Votes,
        consents: Consents,
        gateways: Mapping[str, Gateway],
        *,
        memory_days: int,
    ) -> None:
        self._characters = characters
        self._turns = turns
        self._votes = votes
        self._consents = consents
        self._gateways = gateways
        self._days = memory_days

    async def may_train(self, place: Place, person: Person) -> bool:
        return (await self._consents.of(place, person)).on

    async def consent(self, message: IncomingMessage, answer: str, language: Language) -> str:
        """`on`, `off`, or a question; the notice to it."""
        if answer not in _ON | _OFF:
            given = await self.may_train(message.place, message.person)
            return notice("consent?", language, state=notice("yes" if given else "no", language))
        await self._consents.put(message.place, message.person, answer in _ON)
        return notice("consent-on" if answer in _ON else "consent-off", language, days=self._days)

    async def forget(self, message: IncomingMessage, answer: str, language: Language) -> str:
        """Everything, when the person is sure."""
        if answer not in _SURE:
            return notice("forget?", language)
        place, person = message.place, message.person
        gone = 0
        for each in self._characters:
            gone += await self._turns.forget(Conversation(place, each), person)
        await self._votes.forget(place, person)
        await self._consents.forget(place, person)
        log.info("%d turns were forgotten at a person's wish", gone)
        return notice("forgotten", language, count=gone)

    async def export(self, message: IncomingMessage, language: Language) -> str:
        """A file with everything, for the person alone."""
        place, person = message.place, message.person
        about = await self._about(place, person)
        data = orjson.dumps(about, option=orjson.OPT_INDENT_2)
        try:
            await self._gateways[place.platform].hand(place, person, EXPORTED, data)
        except DeliveryFailed as error:
            log.warning("an export was not given: %s", error)
            return notice("not-exported", language)
        return notice("exported", language, count=len(about["turns"]))

    async def _about(self, place: Place, person: Person) -> dict[str, Any]:
        """In a group: the turns in which the person spoke."""
        turns = []
        for character in self._characters:
            for turn in await self._turns.turns(Conversation(place, character), last=KEPT_TURNS):
                if place.kind == "group" and all(item.person != person.id for item in turn.said):
                    continue
                answers = [
                    {
                        "text": each.text,
                        "version": each.version,
                        "time": each.time,
                        "kept": each is turn.kept,
                        "your_vote": await self._votes.by(place, person, each.reply),
                    }
                    for each in turn.swipes
                ]
                turns.append({"character": character, "said": turn.said, "answers": answers})
        consent = await self._consents.of(place, person)
        return {"place": str(place), "person": person.id, "consent": consent, "turns": turns}
