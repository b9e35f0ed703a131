"""Which reply a message shows, once the bot has written that down: people see a message a moment before."""

import asyncio

from bot import keys
from bot.memory.store import Store
from bot.messages import Place


async def shown_by(store: Store, place: Place, message: str) -> str:
    """The reply's id."""
    async with asyncio.timeout(60):
        while (found := await store.do("GET", keys.said(place, message))) is None:
            await asyncio.sleep(0.005)
    return str(found).split()[1]
