"""Requests that are computed together get what each gets alone.

vLLM on a CPU gives a base request in a batch with an adapter the weights of the last slot, if that is taken,
without a word. `serve` keeps it free. In bfloat16 batching alone moves a log-probability by up to a half, so
here is computed in float32, where what is left of it changes no word; the last test shows that the wrong
weights are found.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from inference.base import Base
from tests.inference.conftest import Served, start_serve, write_adapter

NOISE = 0.02  # the most that batching moves a log-probability in float32
QUESTIONS = (
    "Where do you live?", "What did you eat today?", "Tell me about the sea.", "Do you like rain?",
    "What is your favourite colour?", "Are you tired?", "Sing me something.", "Who taught you to sail?",
    "What do you fear?", "Is there a cat?", "How old is the tower?", "Do you dream?",
    "Can you cook?", "What is the weather?", "Do you miss anybody?", "Say something kind.",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    text: tuple[str, ...]
    tops: tuple[dict[str, float], ...]  # for each token the likeliest ones


async def _ask(session: aiohttp.ClientSession, served: Served, model: str, question: str, run: str) -> Answer:
    body = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are Maeve, the keeper of a lighthouse. You speak softly."},
            {"role": "user", "content": question},
        ],
        "max_tokens": 6,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 5,
        "cache_salt": run,  # each run reads the whole prompt anew: that too is computed in mixed batches
    }
    async with session.post(f"{served.base_url}/chat/completions", json=body) as response:
        answer: Any = await response.json()
        assert response.status == 200, answer
    content = answer["choices"][0]["logprobs"]["content"]
    return Answer(
        text=tuple(token["token"] for token in content),
        tops=tuple({top["token"]: top["logprob"] for top in token["top_logprobs"]} for token in content),
    )


async def _both_ways(served: Served, names: list[str], count: int) -> list[tuple[str, Answer, Answer]]:
    requests = [(names[n % len(names)], QUESTIONS[n // len(names) % len(QUESTIONS)]) for n in range(count)]
    headers = {"Authorization": f"Bearer {served.api_key}"}
    limits = aiohttp.ClientTimeout(total=600)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, timeout=limits, connector=connector) as session:
        alone = [await _ask(session, served, *request, "alone") for request in requests]
        together = await asyncio.gather(
            *(_ask(session, served, *request, "together") for request in requests)
        )
    return [(name, one, other) for (name, _), one, other in zip(requests, alone, together, strict=True)]


def _differences(pairs: list[tuple[str, Answer, Answer]]) -> list[str]:
    """Where a model said something else, or was not as sure of it."""
    wrong = []
    for name, alone, together in pairs:
        moved = max(
            abs(one[token] - other[token])
            for one, other in zip(alone.tops, together.tops, strict=True)
            for token in one.keys() & other.keys()
        )
        if alone.text != together.text or moved > NOISE:
            wrong.append(f"{name}: {alone.text} became {together.text}, {moved:.3f} off")
    return wrong


def _serve(folder: Path, base: Base, adapters: int, **environment: str) -> Served:
    characters = folder / "characters"
    for seed, name in enumerate(("maeve/v1", "zhiwei/v1", "maeve/v2")[:adapters], 1):
        character, version = name.split("/")
        rank = 16 if seed == 2 else 8
        write_adapter(characters / character / "adapters" / base.id / version, base, seed=seed, rank=rank)
    served = start_serve(folder / "serve", base, characters, CHATNVL_SERVE__DTYPE="float32", **environment)
    served.wait_for("is ready after")
    return served


@pytest.mark.slow
async def test_64_requests_over_base_and_all_adapters(tmp_path: Path, real_base: Base) -> None:
    served = _serve(tmp_path, real_base, 3)
    try:
        pairs = await _both_ways(served, [real_base.id, "maeve.v1", "zhiwei.v1", "maeve.v2"], 64)
    finally:
        served.stop()
    assert _differences(pairs) == []
    assert len({alone.text for _, alone, _ in pairs[:4]}) == 4, (
        "the adapters change nothing: nothing was tested"
    )


@pytest.mark.slow
async def test_with_as_many_slots_as_adapters_it_is_seen(tmp_path: Path, real_base: Base) -> None:
    """The same comparison against vLLM as it comes: the base model answers with an adapter's weights."""
    served = _serve(
        tmp_path,
        real_base,
        2,
        CHATNVL_SERVE__SPARE_SLOTS="0",
        CHATNVL_SERVE__ARGUMENTS="--max-loras 2",
    )
    try:
        wrong = _differences(await _both_ways(served, [real_base.id, "maeve.v1", "zhiwei.v1"], 24))
    finally:
        served.stop()
    assert wrong
    assert all(line.startswith(real_base.id) for line in wrong), wrong
