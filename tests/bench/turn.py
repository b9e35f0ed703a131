"""What a turn costs us, beside the openai client alone, in one run.

    python -m tests.bench.turn [--turns 200]

The model is a server in another process that streams 60 chunks at once, so what is measured is our own work:
CPU of this process a turn with a history of 40 messages, time added before the first word, start and memory.
The peer is `openai.AsyncOpenAI().chat.completions.create(stream=True)`, read to its end, with the same
messages and without any memory, lock, ledger or platform.
"""

import argparse
import asyncio
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai

from bot import app
from bot.memory.embedded import EmbeddedValkey
from bot.messages import IncomingMessage, Part, Person, Place
from bot.settings import BotSettings
from inference.client import InferenceClient
from tests.fakes.gateway import PaperGateway
from tests.fakes.model import FakeModel

CHUNKS, HISTORY = 60, 40
ROOT = Path(__file__).parents[2]


def serve_model(pipe: Any) -> None:
    async def main() -> None:
        async with FakeModel(max_model_len=100_000) as model:
            model.reply = lambda _: ["word "] * CHUNKS
            pipe.send((model.base_url, model.api_key))
            await asyncio.sleep(3600)

    asyncio.run(main())


class FirstWord(PaperGateway):
    """Notes when the first word of a reply is handed to the platform."""

    first = 0.0

    async def send(self, part: Part) -> str:
        if not self.first:
            self.first = time.perf_counter()
        return await super().send(part)


async def peer(base_url: str, key: str, turns: int) -> tuple[float, list[float]]:
    messages: Any = [
        {"role": "assistant" if number % 2 else "user", "content": f"message number {number} of some words"}
        for number in range(HISTORY)
    ]
    firsts = []
    async with openai.AsyncOpenAI(base_url=base_url, api_key=key) as client:

        async def one() -> None:
            began, first = time.perf_counter(), 0.0
            stream = await client.chat.completions.create(
                model="maeve.v1", messages=messages, stream=True, stream_options={"include_usage": True}
            )
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content and not first:
                    first = time.perf_counter()
            firsts.append((first - began) * 1000)

        for _ in range(5):
            await one()
        firsts.clear()
        cpu = time.process_time()
        for _ in range(turns):
            await one()
        return (time.process_time() - cpu) / turns * 1000, firsts


async def ours(base_url: str, key: str, turns: int, stream_every: float | None) -> tuple[float, list[float]]:
    with tempfile.TemporaryDirectory(prefix="cnv") as folder:
        settings = BotSettings(
            _env_file=None,  # type: ignore[call-arg]
            characters=ROOT / "characters",
            data=Path(folder),
            default_character="maeve",
            messages_per_minute=1_000_000,
            inference={"base_url": base_url, "api_key": key},  # type: ignore[arg-type]
        )
        gateway = FirstWord(stream_every=stream_every)
        async with app.chat_service(settings, [gateway]) as chat:
            firsts, cpus = [], []
            for talk in range(
                turns // 10 + 1
            ):  # conversations of 20 + 10 turns: 40 to 60 messages of history
                place = Place("paper", "bot", "private", f"p{talk}")
                for number in range(HISTORY // 2 + 10):
                    text = f"message number {number} of some words"
                    message = IncomingMessage(place, f"{talk}-{number}", Person("a", "A"), text, time.time())
                    count = len(gateway.replies)
                    gateway.first = 0.0
                    cpu, began = time.process_time(), time.perf_counter()
                    await chat.receive(message)
                    await gateway.wait(count + 1)
                    if number >= HISTORY // 2:
                        cpus.append((time.process_time() - cpu) * 1000)
                        firsts.append((gateway.first - began) * 1000)
                gateway.parts.clear()
            return statistics.fmean(cpus), firsts


@asynccontextmanager
async def valkey() -> AsyncIterator[float]:
    with tempfile.TemporaryDirectory(prefix="cnv") as folder:
        embedded = EmbeddedValkey(Path(folder))
        began = time.perf_counter()
        await embedded.start()
        yield (time.perf_counter() - began) * 1000
        await embedded.stop()


def start_and_memory() -> tuple[float, float]:
    """Seconds until the page answers, and the resident megabytes then: `python -m bot`, the page alone."""
    import socket
    import urllib.request

    with tempfile.TemporaryDirectory(prefix="cnv") as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        environment = os.environ | {"CHATNVL_DATA": folder, "CHATNVL_WEB__PORT": str(port)}
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "bot"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
        )
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).read()
                    break
                except OSError:
                    if process.poll() is not None or time.perf_counter() - began > 30:
                        raise
                    time.sleep(0.01)
            seconds = time.perf_counter() - began
            status = Path(f"/proc/{process.pid}/status").read_text()
            rss = int(status.split("VmRSS:")[1].split()[0]) / 1024
        finally:
            process.terminate()
            process.wait()
        return seconds, rss


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=200, help="turns to measure (default: 200)")
    turns = parser.parse_args().turns
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve_model, args=(there,), daemon=True)
    server.start()
    base_url, key = here.recv()

    async def measure() -> None:
        async with valkey() as first, valkey() as second:
            print(f"embedded store ready            {first:6.0f} ms, {second:.0f} ms again   (at most 300)")
        theirs, their_firsts = await peer(base_url, key, turns)
        mine, _my_firsts = await ours(base_url, key, turns, None)
        streamed, streamed_firsts = await ours(base_url, key, turns, 0.03)
        print(f"CPU a turn, openai's create     {theirs:6.2f} ms   (the model's stream alone)")
        print(f"CPU a turn, ours, whole         {mine:6.2f} ms   (at most 4)   ratio {mine / theirs:.2f}")
        print(f"CPU a turn, ours, streamed      {streamed:6.2f} ms   ratio {streamed / theirs:.2f}")
        direct, added = await first_word(base_url, key, statistics.median(streamed_firsts))
        print(f"first word, the stream alone    {direct:6.2f} ms p50 (our client, same messages)")
        print(f"first word, a whole turn        {direct + added:6.2f} ms p50")
        print(f"added before the first word     {added:6.2f} ms p50 (at most 5)")
        print(f"first word, openai's create     {statistics.median(their_firsts):6.2f} ms p50")

    asyncio.run(measure())
    server.terminate()
    seconds, rss = start_and_memory()
    print(f"start until the page answers    {seconds:6.2f} s    (at most 2)")
    print(f"resident memory of the bot      {rss:6.0f} MB   (at most 120)")
    print(
        f"peak of this benchmark          {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:6.0f} MB"
    )


async def first_word(base_url: str, key: str, whole: float) -> tuple[float, float]:
    """Median milliseconds to the first word of the bare stream, and what a whole turn adds to it."""
    from dataset_builder.schema import Message
    from inference.characters import Sampling
    from inference.client import Endpoint

    messages = [
        Message(role="assistant" if number % 2 else "user", content=f"message number {number} of some words")
        for number in range(HISTORY)
    ]
    firsts = []
    endpoint = Endpoint(base_url=base_url, api_key=key)  # type: ignore[arg-type]
    async with InferenceClient(endpoint, Path("/nonexistent")) as client:
        for _ in range(100):
            async with client.chat("maeve.v1", messages, Sampling()) as completion:
                async for _ in completion:
                    pass
            firsts.append(completion.first_token_seconds * 1000)
    direct = statistics.median(firsts)
    return direct, whole - direct


if __name__ == "__main__":
    main()
