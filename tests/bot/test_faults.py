"""When something is broken: what the person reads, that nothing is lost, that nothing comes twice."""

import asyncio
from pathlib import Path

import pytest

from bot import app
from bot.errors import ConfigurationError, DeliveryFailed, StorageUnavailable
from bot.memory.embedded import EmbeddedValkey
from tests.bot.conftest import Talking, settings_for
from tests.fakes.gateway import ANNA, PaperGateway, Talk
from tests.fakes.model import FakeModel


@pytest.mark.parametrize(
    "fault", ["refuse", "500", "cut", "half-line", "garbage", "error-in-stream", "hang-midway"]
)
@pytest.mark.parametrize("stream_every", [None, 0.01])
async def test_a_broken_stream_is_asked_for_again_without_a_word(
    talking: Talking, model: FakeModel, fault: str, stream_every: float | None
) -> None:
    async with talking(PaperGateway(stream_every=stream_every)) as talk:
        model.fault = fault
        assert await talk.say("hello") == "maeve.v1 heard: hello"
        lines = await talk.chat.history(talk.place, ANNA)
    assert len(model.requests) == 2
    assert [line.text for line in lines] == ["hello", "maeve.v1 heard: hello"]
    assert len(talk.gateway.shown) == 1
    assert list(talk.gateway.shown.values()) == ["maeve.v1 heard: hello"]


async def test_while_the_model_is_down_people_are_told_once_and_answered_later(
    talking: Talking, model: FakeModel
) -> None:
    await model.stop()
    async with talking() as talk:
        notice = await talk.say("hello")
        assert notice.startswith("(Maeve cannot speak right now.")
        await talk.send("are you there?")
        await asyncio.sleep(1)
        assert len(talk.gateway.replies) == 1
        await model.start()
        assert (await talk.gateway.wait(2))[1] == "maeve.v1 heard: hello\nare you there?"


async def test_a_model_that_never_comes_back(talking: Talking, model: FakeModel) -> None:
    await model.stop()
    async with talking(patience_seconds=1) as talk:
        await talk.send("hello")
        notices = await talk.gateway.wait(2)
        assert "not answered" in notices[1]
        await model.start()
        assert await talk.say("again") == "maeve.v1 heard: again"


async def test_nothing_said_is_asked_once_more(talking: Talking, model: FakeModel) -> None:
    model.fault = "empty"
    async with talking() as talk:
        assert await talk.say("hello") == "maeve.v1 heard: hello"


async def test_nothing_said_twice_is_told(talking: Talking, model: FakeModel) -> None:
    model.reply = lambda _: " \u200b\n"
    async with talking() as talk:
        assert "found no words" in await talk.say("hello")
        assert not await talk.chat.history(talk.place, ANNA)


async def test_special_tokens_from_the_model_are_not_shown(talking: Talking, model: FakeModel) -> None:
    model.reply = lambda _: "fine<|im_end|>\u202e\x07"
    async with talking() as talk:
        assert "<|" not in await talk.say("hello")


async def test_no_version_of_her_is_told_and_logged_with_what_there_is(
    talking: Talking, model: FakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    model.served = ["zhiwei.v1"]
    async with talking() as talk:
        assert "not ready" in await talk.say("hello")
    assert "`zhiwei.v1`" in caplog.text
    assert not model.requests


async def test_a_prompt_the_server_refuses_is_told(talking: Talking, model: FakeModel) -> None:
    model.fault = "400-length"
    async with talking() as talk:
        assert "another way" in await talk.say("hello")
        assert await talk.say("hi") == "maeve.v1 heard: hi"


# --- delivery


async def test_a_refused_message_is_sent_again(talking: Talking, model: FakeModel) -> None:
    async with talking(PaperGateway(idempotent=False)) as talk:
        talk.gateway.failures = [DeliveryFailed("paper", "no socket", sent=False)]
        await talk.send("hello")
        assert await talk.gateway.wait(1) == ["maeve.v1 heard: hello"]
    assert len(model.requests) == 1


@pytest.mark.parametrize("idempotent", [True, False])
async def test_unknown_is_repeated_only_where_it_cannot_show_twice(
    talking: Talking, model: FakeModel, idempotent: bool
) -> None:
    async with talking(PaperGateway(idempotent=idempotent)) as talk:
        talk.gateway.failures = [DeliveryFailed("paper", "time-out", sent=None)]
        await talk.send("hello")
        await asyncio.sleep(1)
        assert len(talk.gateway.replies) == int(idempotent)
        await talk.say("next")  # and nothing is blocked by it


async def test_a_place_that_is_gone_blocks_nothing(talking: Talking) -> None:
    async with talking() as talk:
        talk.gateway.failures = [DeliveryFailed("paper", "kicked", gone=True)]
        await talk.send("hello")
        await asyncio.sleep(0.3)
        assert await talk.say("next") == "maeve.v1 heard: next"


async def test_a_bug_in_one_conversation_does_not_block_it(
    talking: Talking, model: FakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> str:
        raise ValueError("a bug of the test's")

    async with talking() as talk:
        talk.gateway.typing = broken  # type: ignore[method-assign, assignment]
        assert "another way" in await talk.say("hello")
        del talk.gateway.typing
        assert await talk.say("next") == "maeve.v1 heard: next"
    assert "a bug of the test's" in caplog.text


# --- the memory


async def test_memory_away_is_told_and_comes_back(
    model: FakeModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    embedded = EmbeddedValkey(tmp_path / "valkey")
    await embedded.start()
    gateway = PaperGateway()
    async with app.chat_service(
        settings_for(model, f"unix://{embedded.socket}", tmp_path), [gateway]
    ) as chat:
        talk = Talk(chat, gateway)
        await talk.say("one")
        await embedded.stop()
        assert "memory" in (await talk.send("two") or "")
        assert not await talk.react("m1", "up")
        with pytest.raises(StorageUnavailable):
            await chat.history(talk.place, ANNA)
        await embedded.start()
        assert await talk.say("three") == "maeve.v1 heard: three"
        assert [line.text for line in await chat.history(talk.place, ANNA)][:2] == [
            "one",
            "maeve.v1 heard: one",
        ]
    await embedded.stop()


async def test_no_redis_at_start_is_one_line(model: FakeModel, tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="cannot be reached"):
        async with app.chat_service(settings_for(model, "redis://127.0.0.1:1/0", tmp_path), [PaperGateway()]):
            pass
    with pytest.raises(ConfigurationError, match="CHATNVL_REDIS__URL"):
        async with app.chat_service(settings_for(model, "http://x", tmp_path), [PaperGateway()]):
            pass


async def test_the_embedded_store_is_shared_started_again_and_taken_over(tmp_path: Path) -> None:
    first, second = EmbeddedValkey(tmp_path / "valkey"), EmbeddedValkey(tmp_path / "valkey")
    assert await first.start() == await second.start()
    keeping = [asyncio.create_task(first.keep()), asyncio.create_task(second.keep())]
    try:
        assert first._process is not None
        assert second._process is None
        first._process.kill()
        async with asyncio.timeout(60):
            while not (first._process and await first._answers()):
                await asyncio.sleep(0.02)
        keeping[0].cancel()
        await first.stop()  # the owner is gone
        async with asyncio.timeout(60):
            while not (second._process and await second._answers()):
                await asyncio.sleep(0.02)
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
        await second.stop()


async def test_an_embedded_store_that_cannot_start_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "valkey"
    (folder / "appendonlydir").mkdir(parents=True)
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    broken = EmbeddedValkey(folder)
    with pytest.raises(StorageUnavailable, match="did not start"):
        await broken.start()
    await broken.stop()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable, match="cannot be kept"):
        await EmbeddedValkey(tmp_path / "file" / "valkey").start()
