"""One door for all platforms: what people send goes in here, what is known about a conversation comes out.

Replies do not come back through it: they leave by `Gateway.send` when they are written (`bot.worker`).
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import replace

from bot import commands
from bot.commands import Command
from bot.errors import CharacterNotFound, StorageUnavailable
from bot.feedback.ledger import Ledger
from bot.feedback.votes import Votes
from bot.gateway import Gateway
from bot.memory.places import Places
from bot.memory.turn import Swipe, Turn, with_swipe
from bot.memory.turns import Turns
from bot.messages import (
    Answer,
    Conversation,
    IncomingMessage,
    Language,
    Person,
    Place,
    Reaction,
    Utterance,
)
from bot.notices import notice
from bot.rights import Rights
from bot.worker import Worker
from inference.characters import Character
from inference.prompt import clean

_NAME_SEPARATOR = {"zh": "、", "en": ", "}

EDITS = 30  # answers to a message, those that a person wrote among them

_NAME_LIMIT, _QUOTE_LIMIT = 100, 1000  # characters that are kept of what people did not write just now

log = logging.getLogger(__name__)

__all__ = ["ChatService", "Gateway"]


class ChatService:
    """Takes messages in, obeys commands, counts votes. It knows no platform."""

    def __init__(
        self,
        characters: Mapping[str, Character],
        default: str,
        places: Places,
        turns: Turns,
        ledger: Ledger,
        votes: Votes,
        rights: Rights,
        worker: Worker,
        gateways: Mapping[str, Gateway],
        *,
        message_limit: int,
        messages_per_minute: int,
        answers: int,
    ) -> None:
        self.characters = characters
        self._default = default
        self._places = places
        self._turns = turns
        self._ledger = ledger
        self._votes = votes
        self._rights = rights
        self._worker = worker
        self._gateways = gateways
        self._limit = message_limit
        self._rate = messages_per_minute
        self._answers = answers

    async def receive(self, message: IncomingMessage) -> str | None:
        """Take a message. A string is a notice for the person; None: taken, seen before, or not for us."""
        if not message.addressed:
            return None
        try:
            return await self._receive(_readable(message))
        except StorageUnavailable as error:
            log.error("a message could not be taken: %s", error)
            return notice("no-memory", message.language or self.characters[self._default].notices)
        except CharacterNotFound as error:
            language = message.language or self.characters[self._default].notices
            return notice(
                "no-character", language, wanted=clean(error.name)[:32], list=", ".join(error.known)
            )

    async def react(self, reaction: Reaction) -> bool:
        """Count a thumb. False: it is on none of our replies, or changes nothing."""
        try:
            return await self._votes.put(reaction)
        except StorageUnavailable as error:
            log.error("a vote was lost: %s", error)
            return False

    async def history(self, place: Place, person: Person, character: str | None = None) -> list[Utterance]:
        """What was said, oldest first, as far as she still sees it. Raises `StorageUnavailable`."""
        who = self._find(character) if character else await self.current(place)
        lines: list[Utterance] = []
        for turn in await self._turns.turns(Conversation(place, who.id)):
            lines.extend(
                Utterance("", item.name, item.text, item.time, message=item.id) for item in turn.said
            )
            kept = turn.kept
            mine = await self._votes.by(place, person, kept.reply)
            lines.append(Utterance(kept.reply, who.name, kept.text, kept.time, mine, kept.version))
        if lines and len(turn.swipes) > 1:
            answers = [
                Answer(each.reply, each.text, each.version, await self._votes.by(place, person, each.reply))
                for each in turn.swipes
            ]
            lines[-1] = replace(lines[-1], answers=tuple(answers))
        return lines

    async def choose(self, place: Place, person: Person, character: str, reply: str) -> bool:
        """Keep another one of the answers to the last message. False: it is none of them, or the kept one.
        Raises `StorageUnavailable`."""
        conversation = Conversation(place, character)
        turn = await self._last(conversation)
        places = [each.reply for each in turn.swipes] if turn else []
        if turn is None or reply not in places or turn.kept.reply == reply:
            return False
        after = replace(turn, chosen=places.index(reply))
        event = self._ledger.choice(place, character, person.id, turn.id, reply, how="flip")
        return await self._turns.choose(conversation, turn, after, event)

    async def edit(self, place: Place, person: Person, character: str, reply: str, text: str) -> bool:
        """Put the person's own words in place of an answer to the last message; the answer stays among the
        others. False: it is none of hers, or nothing is changed. Raises `StorageUnavailable`."""
        conversation = Conversation(place, character)
        turn = await self._last(conversation)
        text = clean(text).strip()
        if turn is None or not 0 < len(text) <= self._limit or len(turn.swipes) >= EDITS:
            return False
        if not any(each.reply == reply and each.text != text for each in turn.swipes):
            return False
        after = with_swipe(turn, Swipe(f"{turn.id}{len(turn.swipes)}", text, "", time.time()))
        words = {"text": text} if await self._rights.may_train(place, person) else {}
        event = self._ledger.choice(
            place, character, person.id, turn.id, after.kept.reply, how="edit", **words
        )
        return await self._turns.choose(conversation, turn, after, event)

    async def _last(self, conversation: Conversation) -> Turn | None:
        turns = await self._turns.turns(conversation)
        return turns[-1] if turns else None

    async def current(self, place: Place) -> Character:
        """Who is spoken to at a place. Raises `StorageUnavailable`."""
        chosen = await self._places.character(place)
        return self.characters.get(chosen or self._default) or self.characters[self._default]

    async def is_ours(self, place: Place, message: str) -> bool:
        """Whether a platform's message shows one of our replies; False also while the memory is away."""
        try:
            return await self._ledger.reply_shown(place, message) is not None
        except StorageUnavailable:
            return False

    async def active_places(self, platform: str, account: str, within: float) -> list[Place]:
        """Where something was said in the last `within` seconds, for catching up; empty while the memory is
        away.
        """
        try:
            return await self._turns.active_places(platform, account, within)
        except StorageUnavailable:
            return []

    def connected(self, platform: str, account: str) -> None:
        """An account can send (again): what waits for it goes out."""
        log.debug("%s: `%s` is connected", platform, account)
        self._worker.nudge()

    async def drain(self) -> None:
        """Before the end: let the replies being written come to theirs. Messages are still taken in."""
        await self._worker.drain()

    # --- inside ---------------------------------------------------------------------------------------------

    async def _receive(self, message: IncomingMessage) -> str | None:
        character = await self._spoken_to(message)
        language = message.language or character.notices
        text = message.text.strip()
        command = commands.parse(text)
        readable = bool(clean(text).strip())
        if command is None and readable and len(text) <= self._limit:
            return await self._take(message, character, language, "message", text)
        if command is not None and command.name == "regenerate":
            return await self._again(message, character, language)
        # What the bot answers itself: once, and within the same measure as everything else a person sends.
        match await self._places.admit(message.place, message.person.id, message.id):
            case "seen" | "quiet":
                return None
            case "slow":
                return notice("slow", language, limit=self._rate)
        if command is not None:
            return await self._obey(command, message, character, language)
        if not readable:
            return notice("empty", language)
        return notice("too-long", language, length=f"{len(text):,}", limit=f"{self._limit:,}")

    async def _spoken_to(self, message: IncomingMessage) -> Character:
        if message.character:
            return self._find(message.character)
        if message.quotes and (shown := await self._ledger.reply_shown(message.place, message.quotes)):
            return self.characters.get(shown[0]) or await self.current(message.place)
        return await self.current(message.place)

    async def _take(
        self, message: IncomingMessage, character: Character, language: Language, kind: str, text: str
    ) -> str | None:
        conversation = Conversation(message.place, character.id)
        answer = await self._turns.accept(
            conversation, message, "regenerate" if kind == "regenerate" else "message", text
        )
        if answer in ("taken", "seen"):  # seen: perhaps by a process that has died since
            gateway = self._gateways[message.place.platform]
            self._worker.wake(conversation, gateway.burst if kind == "message" else 0.0)
        elif answer == "full":
            return notice("full", language)
        elif answer == "slow":
            return notice("slow", language, limit=self._rate)
        return None

    async def _obey(
        self, command: Command, message: IncomingMessage, character: Character, language: Language
    ) -> str:
        place = message.place
        match command.name:
            case "help":
                return notice("help", language, name=character.name)
            case "character":
                return await self._switch(command, message, character, language)
            case "reset":
                await self._turns.reset(Conversation(place, character.id))
                return notice("reset", language)
            case "good" | "bad":
                vote, reply = (
                    ("up" if command.name == "good" else "down"),
                    await self._reply_meant(message, character),
                )
                if reply is None:
                    return notice("no-reply", language)
                mark = Reaction(
                    place, "", message.person, "up" if vote == "up" else "down", True, "command", time.time()
                )
                return notice("voted" if await self._votes.put(mark, reply) else "not-voted", language)
            case "consent":
                return await self._rights.consent(message, command.argument.lower(), language)
            case "export":
                return await self._rights.export(message, language)
            case "forget":
                return await self._rights.forget(message, command.argument.lower(), language)
            case _:
                return notice("no-command", language, wanted=clean(command.word))

    async def _switch(
        self, command: Command, message: IncomingMessage, character: Character, language: Language
    ) -> str:
        everybody = _NAME_SEPARATOR[language].join(
            f"{each.name} ({each.id})" if each.name != each.id else each.id
            for each in self.characters.values()
        )
        if not command.argument:
            return notice("characters", language, list=everybody, name=character.name)
        try:
            chosen = self._find(command.argument)
        except CharacterNotFound:
            return notice("no-character", language, wanted=clean(command.argument)[:32], list=everybody)
        await self._places.choose(message.place, chosen.id)
        return notice("switched", message.language or chosen.notices, name=chosen.name)

    async def _again(self, message: IncomingMessage, character: Character, language: Language) -> str | None:
        turns = await self._turns.turns(Conversation(message.place, character.id))
        if not turns:
            return notice("nothing-again", language)
        if len(turns[-1].swipes) >= self._answers:
            return notice("no-more", language, limit=self._answers)
        if message.quotes:
            shown = await self._ledger.reply_shown(message.place, message.quotes)
            if shown is None or not shown[1].startswith(turns[-1].id):
                return notice("only-last", language)
        return await self._take(message, character, language, "regenerate", turns[-1].id)

    async def _reply_meant(self, message: IncomingMessage, character: Character) -> str | None:
        if message.quotes:
            shown = await self._ledger.reply_shown(message.place, message.quotes)
            return shown[1] if shown else None
        turns = await self._turns.turns(Conversation(message.place, character.id), last=1)
        return turns[-1].kept.reply if turns else None

    def _find(self, wanted: str) -> Character:
        """By id or by name. Raises `CharacterNotFound`."""
        folded = wanted.strip().casefold()
        for each in self.characters.values():
            if folded in (each.id, each.name.casefold(), each.card.name.casefold()):
                return each
        raise CharacterNotFound(wanted, self.characters)


def _readable(message: IncomingMessage) -> IncomingMessage:
    """Without half characters (some clients cut names in the middle of an emoji), and with bounded extras."""

    def whole(text: str) -> str:
        return text.encode("utf-8", "replace").decode()

    return replace(
        message,
        text=whole(message.text),
        person=Person(whole(message.person.id), whole(message.person.name)[:_NAME_LIMIT]),
        quoted_text=whole(message.quoted_text[:_QUOTE_LIMIT]),
    )
