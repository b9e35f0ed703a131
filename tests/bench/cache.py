"""How much of a long conversation's prompts vLLM finds in its prefix cache, by vLLM's own metrics.

    python -m inference serve                       in another terminal
    python -m tests.bench.cache maeve [--turns 60]

Ours is the bot's own window, which is cut in blocks. The peer is the usual history that slides: the last
messages that fit, so that every turn drops the oldest one. Same server, same character, same words, one run.
"""

import argparse
import asyncio
import re
import tempfile
import urllib.request
from pathlib import Path

import orjson

from bot import app
from bot.messages import IncomingMessage, Person, Place
from bot.settings import BotSettings
from inference import prompt
from inference.characters import Character, load_character
from inference.client import Endpoint, InferenceClient
from tests.fakes.gateway import PaperGateway

ROOT = Path(__file__).parents[2]
BUDGET = 1200  # tokens of a prompt: a small window, so that 60 turns fill it several times
QUESTIONS = (
    "What did you do this morning, before the fog came?",
    "And who was with you then?",
    "That sounds cold. Were you not afraid at all?",
    "Tell me about the oldest thing you own.",
    "I had a long day, my train was late again.",
)


def cache_counters(base_url: str) -> tuple[float, float]:
    """Tokens looked for and found so far."""
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/metrics", timeout=10) as answer:
        text = answer.read().decode()
    queries, hits = (
        sum(map(float, re.findall(rf"^vllm:prefix_cache_{name}_total{{.*}} (\S+)$", text, re.M)))
        for name in ("queries", "hits")
    )
    return queries, hits


async def ours(character: Character, data: Path, turns: int) -> None:
    with tempfile.TemporaryDirectory(prefix="cnv") as folder:
        store = Path(folder)
        (store / "inference.json").write_bytes((data / "inference.json").read_bytes())
        settings = BotSettings(
            _env_file=None,  # type: ignore[call-arg]
            characters=ROOT / "characters",
            data=store,
            prompt_tokens=BUDGET,
            messages_per_minute=10_000,
        )
        gateway = PaperGateway()
        async with app.chat_service(settings, [gateway]) as chat:
            place = Place("paper", "bot", "private", "bench")
            for number in range(turns):
                text = f"({number}) {QUESTIONS[number % len(QUESTIONS)]}"
                message = IncomingMessage(
                    place, str(number), Person("a", "A"), text, 0, character=character.id
                )
                await chat.receive(message)
                await gateway.wait(number + 1, 300)


async def sliding(character: Character, data: Path, turns: int) -> None:
    async with InferenceClient(Endpoint(), data) as client:
        version = (await client.version_of(character)).version
        window: list[prompt.Exchange] = []
        for number in range(turns):
            # Other words at the start than ours had, or it would find our prompts in the cache.
            said = prompt.Said(text=f"[{number}] {QUESTIONS[number % len(QUESTIONS)]}")
            while await client.count_tokens(version, prompt.messages(character, window, [said])) > BUDGET:
                window.pop(0)
            messages = prompt.messages(character, window, [said])
            async with client.chat(version, messages, character.sampling) as completion:
                reply = "".join([piece async for piece in completion])
            window.append(prompt.Exchange(said=(said,), reply=reply))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("character", help="who answers")
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--data", type=Path, default=Path("data"), help="the data folder of the server")
    options = parser.parse_args()
    character = load_character(ROOT / "characters" / options.character)
    base_url = orjson.loads((options.data / "inference.json").read_bytes())["base_url"]
    shares = {}
    for name, talk in (("ours", ours), ("sliding", sliding)):
        before = cache_counters(base_url)
        asyncio.run(talk(character, options.data, options.turns))
        queries, hits = (after - start for after, start in zip(cache_counters(base_url), before, strict=True))
        shares[name] = hits / queries
        print(f"{name:<8} {queries:8.0f} prompt tokens, {hits:8.0f} from the cache: {shares[name]:6.1%}")
    ratio = (1 - shares["sliding"]) / (1 - shares["ours"])
    print(f"ours computes {ratio:.1f} times fewer prompt tokens")


if __name__ == "__main__":
    main()
