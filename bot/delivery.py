"""From a reply's text to the platform's messages: the growing one while it is written, the final one after
commit.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bot.errors import DeliveryFailed
from bot.gateway import Gateway
from bot.manners import split
from bot.memory.turn import Claim, Delivery
from bot.memory.turns import Turns
from bot.messages import Part
from inference.prompt import clean

log = logging.getLogger(__name__)


class Draft:
    """A reply that is being written, shown as it grows. One message is under way at a time; the newest text
    wins.
    """

    def __init__(self, gateway: Gateway, claim: Claim, turns: Turns, delivery: Delivery) -> None:
        self._gateway = gateway
        self._claim = claim
        self._turns = turns
        self._delivery = delivery
        self._shown: list[str] = []
        self._pieces: list[str] = []
        self._grown = asyncio.Event()
        self._over = asyncio.Event()

    def write(self, piece: str) -> None:
        self._pieces.append(piece)
        self._grown.set()

    @property
    def text(self) -> str:
        """What is written so far, as the model wrote it."""
        return "".join(self._pieces)

    def begin_again(self) -> None:
        self._pieces.clear()

    @asynccontextmanager
    async def showing(self) -> AsyncIterator[None]:
        """Show it within the `with`; after it nothing is under way any more."""
        if self._gateway.stream_every is None:
            yield
            return
        pump = asyncio.create_task(self._pump(self._gateway.stream_every))
        try:
            yield
        finally:
            self._over.set()
            self._grown.set()
            await pump  # not cancelled: a message half sent could not be edited by anybody later

    async def _pump(self, every: float) -> None:
        while True:
            await self._grown.wait()
            self._grown.clear()
            if self._over.is_set():
                return
            try:
                await self._show()
            except DeliveryFailed as error:
                log.warning("a growing reply could not be shown: %s", error)
                return
            try:
                async with asyncio.timeout(every):
                    await self._over.wait()
            except TimeoutError:
                continue

    async def _show(self) -> None:
        ids = self._delivery.drafts
        known = len(ids)
        pieces = split(clean(self.text), self._gateway.limit)
        for index, piece in enumerate(pieces):
            if index < len(self._shown) and self._shown[index] == piece:
                continue
            edits = ids[index] if index < len(ids) else None
            shown = await self._gateway.send(
                _part(
                    self._claim,
                    self._delivery,
                    index,
                    piece,
                    edits=edits,
                    final=False,
                    last=index == len(pieces) - 1,
                )
            )
            if edits is None:
                ids.append(shown)
            self._shown[index:] = [piece]
        if len(ids) > known:
            await self._turns.draft(self._claim, self._delivery.reply, ids)


async def deliver(gateway: Gateway, claim: Claim, turns: Turns, delivery: Delivery, patience: float) -> None:
    """Send what is left of a committed reply, writing down every step.

    Raises `DeliveryFailed` when the rest should be tried later, `StaleFence`, `StorageUnavailable`.
    """
    pieces = split(delivery.text, gateway.limit)
    while len(delivery.sent) < len(pieces):
        index = len(delivery.sent)
        edits = delivery.drafts[index] if index < len(delivery.drafts) else None
        if delivery.trying == index and not gateway.idempotent:
            log.warning(
                "part %d of reply %s may or may not have been shown; it is not sent again",
                index,
                delivery.reply,
            )
            shown = ""
        else:
            if not gateway.idempotent:
                delivery.trying = index
                await turns.mark(claim, delivery)
            part = _part(
                claim, delivery, index, pieces[index], edits=edits, final=True, last=index == len(pieces) - 1
            )
            try:
                shown = await _send(gateway, part)
            except DeliveryFailed as error:
                again = error.sent is False or gateway.idempotent
                if again and not error.gone and time.time() - delivery.time < patience:
                    delivery.trying = None
                    await turns.mark(claim, delivery)
                    raise
                log.error("part %d of reply %s is given up: %s", index, delivery.reply, error)
                shown = ""
        delivery.trying = None
        delivery.sent.append(shown)
        await turns.mark(
            claim, delivery, shown=[shown] if shown else [], finished=len(delivery.sent) == len(pieces)
        )
    for stale in delivery.drafts[len(pieces) :]:
        # An earlier attempt had more to say than the reply that counts: her words must not stay there
        # unfinished.
        part = _part(claim, delivery, len(pieces), "…", edits=stale, final=True, last=False)
        with contextlib.suppress(DeliveryFailed):
            await _send(gateway, part)


async def _send(gateway: Gateway, part: Part) -> str:
    try:
        return await gateway.send(part)
    except DeliveryFailed:
        raise
    except Exception as error:
        # A bug in one gateway must not hold up the conversation for ever: it counts as a message with unknown
        # fate.
        log.exception("%s could not send a part", gateway.platform)
        raise DeliveryFailed(gateway.platform, repr(error), sent=None) from error


def _part(
    claim: Claim, delivery: Delivery, index: int, text: str, *, edits: str | None, final: bool, last: bool
) -> Part:
    return Part(
        place=claim.conversation.place,
        reply=delivery.reply,
        index=index,
        text=text,
        quotes=delivery.quotes if index == 0 else None,
        character=claim.conversation.character,
        version=delivery.version,
        edits=edits,
        final=final,
        last=last,
    )
