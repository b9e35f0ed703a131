"""kill -9 of vLLM in the middle of turns: its supervisor brings it back, every message is answered once."""

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from bot import app
from bot.memory.store import Store
from bot.memory.turns import Turns
from bot.messages import Conversation
from bot.settings import BotSettings
from inference.base import Base
from tests.conftest import ROOT
from tests.fakes.gateway import PaperGateway, Talk
from tests.inference.conftest import Served, start_serve

pytestmark = pytest.mark.slow

KILLS = 20


async def test_vllm_is_killed(
    real_base: Base,
    redis_url: str,
    store: Store,
    tmp_path: Path,
) -> None:
    served: Served = start_serve(tmp_path, real_base, ROOT / "characters")
    try:
        await asyncio.to_thread(served.wait_for, "is ready after")
        settings = BotSettings(
            _env_file=None,  # type: ignore[call-arg]
            characters=ROOT / "characters",
            data=served.data,
            default_character="maeve",
            redis={"url": redis_url},  # type: ignore[arg-type]
            messages_per_minute=1000,
            # Twenty starts one behind the other: what people wait for one start is not enough here.
            patience_seconds=24 * 3600,
        )
        gateway = PaperGateway(stream_every=0.05)
        rng = random.Random(3)
        async with app.chat_service(settings, [gateway]) as chat:
            talk = Talk(chat, gateway)
            for number in range(KILLS):
                assert await talk.send(f"m{number}: tell me about the storm of that winter") is None
                await asyncio.sleep(rng.uniform(0.05, 1.0))  # in the prefill or in the middle of the words
                # Its resource tracker is no part of it: without that one it goes on.
                children = [pid for pid in served.children() if not _is_tracker(pid)]
                assert len(children) >= 2, "an API server and an engine"
                for pid in rng.sample(children, rng.randint(1, len(children))):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        continue  # it went with the one before
                await asyncio.to_thread(served.wait_for, "is ready after", number + 2)
            async with asyncio.timeout(600):
                turns = Turns(store, "reader", keep_seconds=99, reply_seconds=99, inbox=1, rate=1)
                here = Conversation(talk.place, "maeve")
                while (
                    len(said := [i.text for t in await turns.turns(here, last=999) for i in t.said]) < KILLS
                ):
                    await asyncio.sleep(0.5)
        assert [text.partition(":")[0] for text in said] == [f"m{number}" for number in range(KILLS)]
        finished = [part for part in gateway.parts if part.final and part.reply]
        assert len({part.reply for part in finished}) == len(finished), "no reply was finished twice"
        kept = [turn.kept.text for turn in await turns.turns(here, last=999)]
        assert [part.text for part in finished] == kept
        assert all(kept)
    finally:
        served.stop()


def _is_tracker(pid: int) -> bool:
    try:
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True  # it is gone already
