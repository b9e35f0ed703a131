"""The window is cut in blocks, and only where the server's tokenizer says so."""

import itertools
from collections.abc import Sequence

from bot.memory.window import fit
from dataset_builder.schema import Message
from tests.bot.conftest import Talking
from tests.fakes.model import FakeModel


def write(turns: int) -> object:
    return lambda cut: [Message(role="user", content="x" * 10) for _ in range(turns - cut)]


async def test_a_proof_needs_no_tokenizer() -> None:
    async def count(_: Sequence[Message]) -> int:
        raise AssertionError("asked")

    assert await fit(write(10), 10, 1000, count) == 0  # type: ignore[arg-type]
    assert await fit(write(10), 10, 100, count, known=100) == 0  # type: ignore[arg-type]


async def test_a_full_window_is_cut_to_half() -> None:
    async def count(messages: Sequence[Message]) -> int:
        return 10 * len(messages)

    assert await fit(write(20), 20, 200, count) == 0  # type: ignore[arg-type]
    assert await fit(write(21), 21, 200, count) == 11  # type: ignore[arg-type]
    assert await fit(write(3), 3, 5, count) == 3  # type: ignore[arg-type]


async def test_the_prompt_never_outgrows_the_model_and_its_start_rarely_moves(
    talking: Talking, model: FakeModel
) -> None:
    model.max_model_len = 700
    model.reply = lambda _: "a reply of a few words"
    async with talking(messages_per_minute=1000) as talk:
        for number in range(60):
            await talk.say(f"message number {number} with some words in it")
    starts = [body["messages"][1]["content"] for body in model.requests]
    lengths = [len(body["messages"]) for body in model.requests]
    moves = sum(before != after for before, after in itertools.pairwise(starts))
    assert 1 <= moves <= 8
    assert max(lengths) < 60
    assert all(body["messages"][0] == model.requests[0]["messages"][0] for body in model.requests)
    for before, after in zip(model.requests, model.requests[1:], strict=False):
        if before["messages"][1] == after["messages"][1]:
            assert after["messages"][: len(before["messages"])] == before["messages"]


async def test_a_message_longer_than_the_prompt_is_refused_in_plain_words(
    talking: Talking, model: FakeModel
) -> None:
    model.max_model_len = 700
    async with talking(message_limit=10_000) as talk:
        assert "another way" in await talk.say("word " * 1500)
        assert await talk.say("short") == "maeve.v1 heard: short"
