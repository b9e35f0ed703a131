"""Requests that are computed together get what each gets alone.

vLLM on a CPU gives a base request in a batch with an adapter the weights of the last slot, if that is
taken, without a
word. `serve` keeps it free. Batching itself moves log-probabilities by some hundredths, so texts are
compared where
the choice was clear, and numbers within what batching does; the last test shows that the wrong weights are
found.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from inference.base import Base
from tests.inference.conftest import Served, start_serve, write_adapter

CLEAR = 0.6  # a lead of the chosen token over the second that batching cannot turn round
NOISE = 0.25  # the most that batching moves one log-probability
MEAN_NOISE = 0.06
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

    def lead(self, position: int) -> float:
        first, second, *_ = sorted(self.tops[position].values(), reverse=True)
        return first - second


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
    """What batching cannot explain."""
    wrong = []
    moved: dict[str, list[float]] = {}
    for name, alone, together in pairs:
        for position, (one, other) in enumerate(zip(alone.tops, together.tops, strict=False)):
            shared = sorted(one.keys() & other.keys(), key=lambda token: -one[token])[:3]
            by = [abs(one[token] - other[token]) for token in shared]
            moved.setdefault(name, []).extend(by)
            if max(by, default=99) > NOISE:
                wrong.append(f"{name}: {alone.text} became {together.text}: {max(by, default=99):.2f} off")
                break
            if alone.text[position : position + 1] != together.text[position : position + 1]:
                if alone.lead(position) > CLEAR:
                    wrong.append(f"{name}: {alone.text} became {together.text}")
                break  # from here on they answer different beginnings
    for name, by in moved.items():
        if (mean := sum(by) / len(by)) > MEAN_NOISE:
            wrong.append(f"{name}: log-probabilities moved by {mean:.3f} on average")
    return wrong


@pytest.mark.slow
async def test_64_requests_over_base_and_all_adapters(vllm_server: Served) -> None:
    names = [vllm_server.base.id, "maeve.v1", "zhiwei.v1", "maeve.v2"]
    pairs = await _both_ways(vllm_server, names, 64)
    assert _differences(pairs) == []
    assert len({alone.text for _, alone, _ in pairs[:4]}) > 1, (
        "the adapters change nothing: nothing was tested"
    )


@pytest.mark.slow
async def test_with_as_many_slots_as_adapters_it_is_seen(tmp_path: Path, real_base: Base) -> None:
    """The same comparison against vLLM as it comes: the base model answers with an adapter's weights."""
    for seed, character in enumerate(("maeve", "zhiwei"), 1):
        write_adapter(
            tmp_path / "characters" / character / "adapters" / real_base.id / "v1", real_base, seed=seed
        )
    served = start_serve(
        tmp_path / "serve",
        real_base,
        tmp_path / "characters",
        CHATNVL_SERVE__SPARE_SLOTS="0",
        CHATNVL_SERVE__ARGUMENTS="--max-loras 2",
    )
    try:
        served.wait_for("is ready after")
        names = [real_base.id, "maeve.v1", "zhiwei.v1"]
        wrong = _differences(await _both_ways(served, names, 24))
    finally:
        served.stop()
    assert wrong
    assert all(line.startswith(real_base.id) for line in wrong), wrong
