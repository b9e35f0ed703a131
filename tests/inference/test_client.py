"""The client against a server that misbehaves in every way we know."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from dataset_builder.schema import Message
from inference.characters import Character, Sampling, load_character
from inference.client import ENDPOINT_FILE, Endpoint, InferenceClient
from inference.errors import InferenceError, InferenceRejected, InferenceUnavailable
from tests.conftest import ROOT
from tests.fakes.model import FakeModel

ASKED = [Message(role="system", content="You are Maeve."), Message(role="user", content="hello")]


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    async with FakeModel() as model:
        yield model


@pytest.fixture
async def client(model: FakeModel, tmp_path: Path) -> AsyncIterator[InferenceClient]:
    endpoint = Endpoint(
        base_url=model.base_url,
        api_key=model.api_key,
        first_token_seconds=1,
        idle_seconds=0.5,
        total_seconds=5,
    )
    async with InferenceClient(endpoint, tmp_path) as client:
        yield client


@pytest.fixture
def maeve() -> Character:
    return load_character(ROOT / "characters" / "maeve")


async def ask(client: InferenceClient, model: str = "maeve.v1") -> str:
    async with client.chat(model, ASKED, Sampling(), seed=1) as completion:
        return "".join([piece async for piece in completion])


async def test_words_and_what_is_known_about_them(client: InferenceClient, model: FakeModel) -> None:
    async with client.chat("maeve.v1", ASKED, Sampling(max_tokens=9), seed=7) as completion:
        pieces = [piece async for piece in completion]
    assert "".join(pieces) == "maeve.v1 heard: hello"
    assert len(pieces) > 1
    assert completion.finish_reason == "stop"
    assert completion.usage.prompt > 0
    assert completion.usage.completion > 0
    assert 0 < completion.first_token_seconds <= completion.seconds
    assert model.requests[0]["max_tokens"] == 9
    assert model.requests[0]["seed"] == 7


async def test_cached_tokens_are_kept(client: InferenceClient) -> None:
    long = [Message(role="user", content="word " * 400)]
    for _ in range(2):
        async with client.chat("maeve.v1", long, Sampling()) as completion:
            [_ async for _ in completion]
    assert 0 < completion.usage.cached <= completion.usage.prompt


@pytest.mark.parametrize(
    "fault",
    ["refuse", "500", "hang", "hang-midway", "cut", "half-line", "garbage", "error-in-stream", "none-finish"],
)
async def test_what_may_be_tried_again(client: InferenceClient, model: FakeModel, fault: str) -> None:
    model.fault = fault
    with pytest.raises(InferenceUnavailable):
        await ask(client)
    assert await ask(client) == "maeve.v1 heard: hello"


@pytest.mark.parametrize(("fault", "status"), [("404", 404), ("400-length", 400)])
async def test_what_is_useless_to_try_again(
    client: InferenceClient, model: FakeModel, fault: str, status: int
) -> None:
    model.fault = fault
    with pytest.raises(InferenceRejected) as caught:
        await ask(client)
    assert caught.value.status == status


async def test_an_empty_reply_is_a_reply(client: InferenceClient, model: FakeModel) -> None:
    model.fault = "empty"
    assert await ask(client) == ""


async def test_no_server(client: InferenceClient, model: FakeModel) -> None:
    await model.stop()
    with pytest.raises(InferenceUnavailable, match="no model server answers"):
        await ask(client)


async def test_leaving_early_stops_the_server(client: InferenceClient, model: FakeModel) -> None:
    model.reply = lambda _: ["word "] * 500
    model.delay = 0.01
    async with client.chat("maeve.v1", ASKED, Sampling()) as completion:
        async for _ in completion:
            break
    async with asyncio.timeout(3):
        while not model.aborted:
            await asyncio.sleep(0.01)


async def test_chinese_survives_any_cut_of_the_stream(client: InferenceClient, model: FakeModel) -> None:
    text = "今晚的月色真美，風が綺麗ですね😀"
    model.reply = lambda _: list(text)
    assert await ask(client) == text


async def test_her_newest_version(client: InferenceClient, model: FakeModel, maeve: Character) -> None:
    model.served = ["maeve.v2", "maeve.v10", "maevette.v11", "maeve.vx", "maeve"]
    assert await client.version_of(maeve) == "maeve.v10"


async def test_a_version_that_is_not_there_is_404_with_what_there_is(
    client: InferenceClient, model: FakeModel, maeve: Character
) -> None:
    model.served = ["zhiwei.v1"]
    with pytest.raises(InferenceRejected) as caught:
        await client.version_of(maeve)
    assert caught.value.status == 404
    assert set(caught.value.known) == {"zhiwei.v1", "qwen2.5-coder-0.5b"}
    assert "`zhiwei.v1`" in str(caught.value)
    model.served.append("maeve.v1")  # dropped in meanwhile: found at the next question
    assert await client.version_of(maeve) == "maeve.v1"


async def test_a_wrong_key_names_the_setting(model: FakeModel, tmp_path: Path) -> None:
    async with InferenceClient(Endpoint(base_url=model.base_url, api_key="wrong"), tmp_path) as client:
        with pytest.raises(InferenceUnavailable, match="CHATNVL_INFERENCE__API_KEY"):
            await client.served()


async def test_the_server_of_this_machine_is_found_by_its_file(model: FakeModel, tmp_path: Path) -> None:
    async with InferenceClient(Endpoint(), tmp_path) as client:
        with pytest.raises(InferenceUnavailable, match="inference serve"):
            await client.served()
        file = tmp_path / ENDPOINT_FILE
        file.write_bytes(orjson.dumps({"base_url": model.base_url, "api_key": model.api_key}))
        assert "maeve.v1" in await client.served()
        file.write_bytes(b"{")
        with pytest.raises(InferenceUnavailable, match=r"inference\.json"):
            await client.served(fresh=True)


async def test_tokens_are_counted_by_the_server(client: InferenceClient, model: FakeModel) -> None:
    await client.served()
    assert await client.count_tokens("maeve.v1", ASKED) > 0
    assert model.tokenized[0]["add_generation_prompt"] is True
    assert client.context_of("maeve.v1") == 4096


async def test_something_that_is_no_model_server(tmp_path: Path, model: FakeModel) -> None:
    endpoint = Endpoint(base_url=model.base_url.removesuffix("/v1"), api_key="x")
    async with InferenceClient(endpoint, tmp_path) as client:
        with pytest.raises(InferenceError):
            await client.served()
