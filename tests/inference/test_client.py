"""The client against a server that misbehaves in every way we know."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from dataset_builder.schema import Message
from inference.characters import Character, Sampling, load_character
from inference.client import ENDPOINT_FILE, Endpoint, InferenceClient
from inference.errors import InferenceError, InferenceRejected, InferenceUnavailable
from inference.release import (
    RELEASE_FILE,
    Canary,
    Chosen,
    Release,
    first_release,
    read_release,
    write_release,
)
from tests.conftest import ROOT
from tests.fakes.model import FakeModel

ASKED = [Message(role="system", content="You are Maeve."), Message(role="user", content="hello")]


@dataclass(frozen=True)
class Released:
    """Maeve, and the folder of her release on the fake's base."""

    maeve: Character
    folder: Path

    def write(self, release: Release) -> None:
        write_release(self.folder, release)

    def change(self, make: Callable[[Release], Release]) -> None:
        now = read_release(self.folder)
        assert now is not None
        self.write(make(now))

    def trial(self, version: str, share: float) -> None:
        canary = Canary(version=version, share=share, since=0)
        self.change(lambda now: now.with_canary(canary, by="me"))


@pytest.fixture(autouse=True)
def _releases_are_looked_at_for_every_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.release.LOOK_EVERY", 0.0)


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
    assert await client.version_of(maeve) == Chosen("maeve.v10")


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
    assert await client.version_of(maeve) == Chosen("maeve.v1")


# --- a release -------------------------------------------------------------------------------------------


@pytest.fixture
def released(tmp_path: Path) -> Released:
    folder = tmp_path / "maeve"
    adapters = folder / "adapters" / "qwen2.5-coder-0.5b"
    adapters.mkdir(parents=True)
    (folder / "card.json").write_bytes((ROOT / "characters" / "maeve" / "card.json").read_bytes())
    return Released(load_character(folder), adapters)


async def arms(client: InferenceClient, character: Character, count: int = 400) -> Counter[Chosen]:
    return Counter([await client.version_of(character, f"web:0:private:{at}") for at in range(count)])


async def test_a_release_says_who_answers(
    client: InferenceClient, model: FakeModel, released: Released
) -> None:
    model.served = ["maeve.v1", "maeve.v2", "maeve.v9"]
    released.write(first_release("maeve.v2", by="me", reason=""))
    assert await arms(client, released.maeve) == {Chosen("maeve.v2"): 400}
    released.trial("maeve.v9", share=0.25)
    found = await arms(client, released.maeve)
    assert found.keys() == {Chosen("maeve.v2", "stable", 0.75), Chosen("maeve.v9", "canary", 0.25)}
    assert 60 < found[Chosen("maeve.v9", "canary", 0.25)] < 140
    assert await client.version_of(released.maeve) == Chosen("maeve.v2"), "nobody's conversation is no arm"
    canary = await client.version_of(released.maeve, "web:0:private:1", under_way="maeve.v9")
    assert canary == Chosen("maeve.v9", "canary", 0.25)
    released.change(lambda now: now.promote("maeve.v9", by="me"))
    for under_way in (None, "maeve.v2", "maeve.v9"):
        assert await client.version_of(released.maeve, "x", under_way) == Chosen("maeve.v9")


async def test_a_canary_that_is_not_served_yet_is_no_arm(
    client: InferenceClient, model: FakeModel, released: Released
) -> None:
    model.served = ["maeve.v2"]
    released.write(first_release("maeve.v2", by="me", reason=""))
    released.trial("maeve.v3", share=0.5)
    found = await arms(client, released.maeve)
    assert found.keys() == {Chosen("maeve.v2"), Chosen("maeve.v2", "stable", 0.5)}


async def test_until_the_stable_one_is_loaded_the_one_before_answers(
    client: InferenceClient, model: FakeModel, released: Released
) -> None:
    model.served = ["maeve.v2", "maeve.v4"]
    released.write(first_release("maeve.v2", by="me", reason="").promote("maeve.v3", by="me"))
    assert await client.version_of(released.maeve, "x") == Chosen("maeve.v2")
    model.served.append("maeve.v3")  # seen at the next question, not after the list has grown old
    assert await client.version_of(released.maeve, "x") == Chosen("maeve.v3")
    model.served = ["maeve.v4"]
    await client.served(fresh=True)
    with pytest.raises(InferenceRejected, match=r"no `maeve\.v3` is served") as caught:
        await client.version_of(released.maeve, "x")
    assert caught.value.status == 404, "a version that no release names does not stand in"


async def test_a_card_that_names_its_model_has_the_last_word(
    client: InferenceClient, model: FakeModel, released: Released
) -> None:
    model.served = ["maeve.v1", "maeve.v2"]
    released.write(first_release("maeve.v2", by="me", reason=""))
    card = orjson.loads((released.maeve.folder / "card.json").read_bytes())
    card["data"]["extensions"]["chatnvl"]["model"] = "maeve.v1"
    (released.maeve.folder / "card.json").write_bytes(orjson.dumps(card))
    assert await client.version_of(load_character(released.maeve.folder), "x") == Chosen("maeve.v1")


async def test_a_release_of_another_base_is_not_hers(
    client: InferenceClient, model: FakeModel, released: Released
) -> None:
    model.served, model.base = ["maeve.v1", "maeve.v2"], "another"
    released.write(first_release("maeve.v1", by="me", reason=""))
    assert await client.version_of(released.maeve, "x") == Chosen("maeve.v2")


async def test_a_release_that_cannot_be_read_holds_and_is_logged_once(
    client: InferenceClient, model: FakeModel, released: Released, caplog: pytest.LogCaptureFixture
) -> None:
    model.served = ["maeve.v1", "maeve.v2"]
    released.write(first_release("maeve.v1", by="me", reason=""))
    assert await client.version_of(released.maeve, "x") == Chosen("maeve.v1")
    (released.folder / RELEASE_FILE).write_text("{")
    for _ in range(3):
        assert await client.version_of(released.maeve, "x") == Chosen("maeve.v1")
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert RELEASE_FILE in caplog.text


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
