"""Asking a model server on a real socket: answers kept, faults survived, budgets held."""

import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from dataset_builder.asking.cost import Budget, Price, Tokens, load_prices
from dataset_builder.asking.journal import Answered, Journal
from dataset_builder.asking.llm import Asked, Asking, ask, estimate
from dataset_builder.asking.question import Garbage, Question
from dataset_builder.errors import BudgetSpent, DatasetError
from inference.client import Endpoint
from inference.errors import InferenceRejected, InferenceUnavailable
from tests.fakes.model import FakeModel


class Name(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str


def not_nobody(answer: Name) -> None:
    if answer.name == "nobody":
        raise Garbage("nobody is no name")


def question(text: str, answer_tokens: int = 20) -> Question[Name]:
    return Question("names-1", 'Who is it? {"name": "…"}', text, Name, answer_tokens, not_nobody)


def questions(count: int) -> list[Question[Name]]:
    return [question(f"number {number}") for number in range(count)]


def answer(body: dict[str, Any]) -> str:
    return json.dumps({"name": f"the one of {body['messages'][1]['content']}"})


def asking(server: FakeModel, **settings: Any) -> Asking:
    limits = {"first_token_seconds": 0.5, "idle_seconds": 0.3, "total_seconds": 3}
    endpoint = Endpoint(base_url=server.base_url, api_key=server.api_key, **limits)
    given: dict[str, Any] = {"model": server.base, "concurrency": 4, "wait_seconds": 0.01} | settings
    return Asking(endpoint=endpoint, **given)


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    async with FakeModel() as model:
        model.reply = answer
        yield model


def asked_about(model: FakeModel) -> list[str]:
    return [body["messages"][1]["content"] for body in model.requests]


async def run(
    server: FakeModel,
    path: Path,
    wanted: list[Question[Name]],
    budget: Budget | None = None,
    **settings: Any,
) -> Asked:
    with Journal(path) as journal:
        return await ask(wanted, journal, asking(server, **settings), budget)


def names(path: Path, model: FakeModel, wanted: list[Question[Name]]) -> list[str | None]:
    with Journal(path) as journal:
        found = [journal.get(each.key(model.base)) for each in wanted]
    return [each and orjson.loads(each.texts[-1])["name"] for each in found]


async def test_every_question_is_answered_and_asked_once(model: FakeModel, tmp_path: Path) -> None:
    wanted = questions(20)
    asked = await run(model, tmp_path / "a.jsonl", wanted + wanted[:3])
    assert (asked.answered, asked.finished, asked.garbage, asked.unanswered) == (20, 3, 0, {})
    assert names(tmp_path / "a.jsonl", model, wanted) == [f"the one of number {n}" for n in range(20)]
    assert sorted(asked_about(model)) == sorted(each.text for each in wanted)
    assert asked.spent.prompt > 20
    again = await run(model, tmp_path / "a.jsonl", wanted)
    assert (again.answered, again.finished, again.spent) == (0, 20, Tokens())
    assert len(model.requests) == 20


async def test_what_is_sent(model: FakeModel, tmp_path: Path) -> None:
    await run(model, tmp_path / "a.jsonl", questions(1), seed=7, thinking_tokens=100)
    body = model.requests[0]
    assert (body["temperature"], body["seed"], body["stream"]) == (0, 7, True)
    assert body["max_tokens"] == 2 * 20 + 256 + 100
    shape = body["response_format"]["json_schema"]
    assert shape["strict"] is True
    assert shape["schema"]["required"] == ["name"]
    assert shape["schema"]["additionalProperties"] is False


class Counting(FakeModel):
    """Knows how many requests were under way together."""

    now = most = 0

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super()._chat(request)
        finally:
            self.now -= 1


async def test_no_more_than_allowed_are_under_way_together(tmp_path: Path) -> None:
    async with Counting() as model:
        model.reply, model.delay = answer, 0.001
        asked = await run(model, tmp_path / "a.jsonl", questions(12), concurrency=3)
        assert asked.answered == 12
        assert 2 <= model.most <= 3


@pytest.mark.parametrize("another", ["model", "task", "system", "text", "shape"])
async def test_another_question_is_another_key(another: str) -> None:
    class Other(Name):
        age: int

    one = question("a")
    other = {
        "model": one,
        "task": Question("names-2", one.system, one.text, Name, 20, not_nobody),
        "system": Question(one.task, "Who?", one.text, Name, 20, not_nobody),
        "text": question("b"),
        "shape": Question(one.task, one.system, one.text, Other, 20, not_nobody),
    }[another]
    assert one.key("m") == question("a", answer_tokens=99).key("m")
    assert one.key("m") != other.key("n" if another == "model" else "m")


# --- garbage


@pytest.mark.parametrize(
    ("garbage", "words"),
    [
        ("I would rather not.", "no JSON object"),
        ("}{", "no JSON object"),
        ('{"name": "a"', "no JSON object"),
        ('{"name": 3}', "valid string at `name`"),
        ('{"name": "a", "age": 4}', "not permitted at `age`"),
        ('{"name": "nobody"}', "nobody is no name"),
        ('{"name": "\ud83d"}'.encode("utf-8", "surrogatepass").decode("utf-8", "replace") * 2, "trailing"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "recursion limit"),
        ("", "no JSON object"),
    ],
)
async def test_an_unreadable_answer_is_asked_for_once_more(
    model: FakeModel, tmp_path: Path, garbage: str, words: str
) -> None:
    model.max_model_len = 100_000
    model.reply = lambda body: [garbage] if len(body["messages"]) == 2 else answer(body)
    asked = await run(model, tmp_path / "a.jsonl", [question("it")])
    assert (asked.answered, asked.repaired, asked.garbage) == (1, 1, 0)
    assert names(tmp_path / "a.jsonl", model, [question("it")]) == ["the one of it"]
    assert words in model.requests[1]["messages"][-1]["content"]


async def test_an_answer_without_an_end_is_cut_off_and_garbage(model: FakeModel, tmp_path: Path) -> None:
    model.reply = lambda _: ["a "] * 3000
    asked = await run(model, tmp_path / "a.jsonl", questions(1))
    assert (asked.answered, asked.garbage) == (1, 1)
    assert "cut off" in model.requests[1]["messages"][-1]["content"]


async def test_garbage_is_kept_and_not_paid_for_again(model: FakeModel, tmp_path: Path) -> None:
    model.reply = lambda _: "no"
    wanted = questions(2)
    assert (await run(model, tmp_path / "a.jsonl", wanted)).garbage == 2
    assert len(model.requests) == 4
    again = await run(model, tmp_path / "a.jsonl", wanted)
    assert (again.finished, len(model.requests)) == (2, 4)
    with Journal(tmp_path / "a.jsonl") as journal:
        kept = journal.get(wanted[0].key(model.base))
    assert kept is not None
    assert kept.texts == ("no", "no")
    with pytest.raises(Garbage):
        wanted[0].read(kept.texts[-1], kept.finish)


@given(st.text(max_size=200), st.sampled_from(["stop", "length", ""]))
def test_any_text_is_an_answer_or_garbage(text: str, finish: str) -> None:
    try:
        assert isinstance(question("it").read(text, finish), Name)
    except Garbage:
        return


def test_a_fence_around_json_and_thoughts_before_it_are_no_fault() -> None:
    assert question("it").read('Sure!\n```json\n{"name": "Mio"}\n```\n', "stop").name == "Mio"
    assert question("it").read('<think>{"name"?}</think>{"name": "Mio"}', "stop").name == "Mio"


# --- servers that fail


@pytest.mark.parametrize(
    "fault",
    ["refuse", "500", "hang", "hang-midway", "cut", "half-line", "garbage", "error-in-stream", "none-finish"],
)
async def test_a_fault_is_tried_again(model: FakeModel, tmp_path: Path, fault: str) -> None:
    model.faults = [fault, fault]
    asked = await run(model, tmp_path / "a.jsonl", questions(4))
    assert (asked.answered, asked.retried, asked.stopped) == (4, 2, None)


async def test_no_server_ends_the_run_and_keeps_what_is_finished(model: FakeModel, tmp_path: Path) -> None:
    wanted = questions(30)

    def dies(body: dict[str, Any]) -> str:
        if len(model.requests) == 10:
            model.faults = ["refuse"] * 1000
        return answer(body)

    model.reply = dies
    asked = await run(model, tmp_path / "a.jsonl", wanted, concurrency=1, tries=2)
    assert asked.answered == 10
    assert isinstance(asked.stopped, InferenceUnavailable)
    assert len(asked.unanswered) == 3
    assert len(model.requests) == 10 + 3 * 2
    model.faults, model.reply = [], answer
    again = await run(model, tmp_path / "a.jsonl", wanted)
    assert (again.finished, again.answered, again.stopped) == (10, 20, None)


async def test_a_row_that_never_works_does_not_end_the_run(model: FakeModel, tmp_path: Path) -> None:
    def poisoned(body: dict[str, Any]) -> str:
        if "number 3" in body["messages"][1]["content"]:
            model.faults = ["500", "500", "500"]
        return answer(body)

    model.reply = poisoned
    model.max_model_len = 600
    wanted = [*questions(6), question("long " * 2000), question("the last")]
    asked = await run(model, tmp_path / "a.jsonl", wanted, concurrency=1, tries=3)
    assert asked.stopped is None
    assert asked.answered == 6
    assert sorted(asked.unanswered) == sorted(wanted[at].key(model.base) for at in (4, 6))
    assert any("context" in reason for reason in asked.unanswered.values())


async def test_a_wrong_model_ends_the_run_at_once(model: FakeModel, tmp_path: Path) -> None:
    asked = await run(model, tmp_path / "a.jsonl", questions(9), model="gpt-nothing", concurrency=1)
    assert isinstance(asked.stopped, InferenceRejected)
    assert "gpt-nothing" in str(asked.stopped)
    assert len(model.requests) == 1


async def test_a_wrong_key_ends_the_run(model: FakeModel, tmp_path: Path) -> None:
    settings = asking(model, tries=2, concurrency=2)
    endpoint = settings.endpoint.model_copy(update={"api_key": None})
    with Journal(tmp_path / "a.jsonl") as journal:
        asked = await ask(questions(9), journal, settings.model_copy(update={"endpoint": endpoint}))
    assert "refuses our key" in str(asked.stopped)
    assert asked.answered == 0


class Picky(FakeModel):
    """A server that takes only some fields and says so in OpenAI's words."""

    def __init__(self, refusals: dict[str, str]) -> None:
        super().__init__()
        self.refusals = refusals  # a pattern of the body -> the message
        self.refused = 0

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        for pattern, message in self.refusals.items():
            if re.search(pattern, body):
                self.refused += 1
                error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
                return web.json_response({"error": error}, status=400)
        return await super()._chat(request)


@pytest.mark.parametrize(
    ("refusals", "left"),
    [
        (
            {
                '"max_tokens"': "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                "'max_completion_tokens' instead.",
                '"temperature"': "Unsupported value: 'temperature' does not support 0 with this model. Only "
                "the default (1) value is supported.",
            },
            {"max_completion_tokens", "seed", "response_format", "stream_options"},
        ),
        (
            {'"json_schema"': "This response_format type is unavailable now"},
            {"max_tokens", "temperature", "seed", "response_format", "stream_options"},
        ),
        (
            {'"response_format"': "unknown field `response_format`", '"seed"': "extra field: seed"},
            {"max_tokens", "temperature", "stream_options"},
        ),
    ],
)
async def test_fields_that_a_server_does_not_take_are_left_out(
    refusals: dict[str, str], left: set[str], tmp_path: Path
) -> None:
    async with Picky(refusals) as model:
        model.reply = answer
        asked = await run(model, tmp_path / "a.jsonl", questions(8))
        assert (asked.answered, asked.unanswered, asked.retried) == (8, {}, 0)
        assert set(model.requests[-1]) - {"model", "messages", "stream"} == left
        assert model.refused <= 4 * 3  # learned by those that were under way together


async def test_a_refusal_that_says_nothing_of_fields_is_the_rows_own(tmp_path: Path) -> None:
    async with Picky({"number 2": "this content is not allowed"}) as model:
        model.reply = answer
        asked = await run(model, tmp_path / "a.jsonl", questions(5), concurrency=1)
        assert list(asked.unanswered.values()) == ["this content is not allowed"]
        assert asked.answered == 4


# --- budgets


@pytest.mark.parametrize("concurrency", [1, 5])
async def test_a_budget_is_never_passed_and_pays_for_the_beginning(
    model: FakeModel, tmp_path: Path, concurrency: int
) -> None:
    wanted = questions(30)
    limit = wanted[0].most(0).total + 500  # answers cost much less than the room that is taken for them
    budget = Budget(tokens=limit)
    asked = await run(model, tmp_path / "a.jsonl", wanted, budget, concurrency=concurrency)
    assert isinstance(asked.stopped, BudgetSpent)
    assert asked.spent.total <= limit
    assert 4 < asked.answered < 30
    assert [n for n, name in enumerate(names(tmp_path / "a.jsonl", model, wanted)) if name] == list(
        range(asked.answered)
    )
    with Journal(tmp_path / "a.jsonl") as journal:
        finished = estimate(wanted, journal, asking(model)).finished
    assert finished == asked.answered
    more = await run(model, tmp_path / "a.jsonl", wanted, Budget(tokens=1_000_000))
    assert (more.finished, more.answered, more.stopped) == (finished, 30 - finished, None)


async def test_how_far_a_budget_reaches_is_no_accident(model: FakeModel, tmp_path: Path) -> None:
    wanted = questions(30)
    reached = set()
    for concurrency in (1, 2, 7):
        path = tmp_path / f"{concurrency}.jsonl"
        price = Price(prompt=1, completion=4)
        budget = Budget(money=wanted[0].most(0).money(price) + 0.001, price=price)
        reached.add((await run(model, path, wanted, budget, concurrency=concurrency)).answered)
    assert len(reached) == 1
    assert 0 < reached.pop() < 30


async def test_broken_streams_are_counted(model: FakeModel, tmp_path: Path) -> None:
    model.faults = ["cut"]
    asked = await run(model, tmp_path / "a.jsonl", questions(1))
    model.faults = []
    other = await run(model, tmp_path / "b.jsonl", questions(1))
    assert asked.spent.total > other.spent.total


async def test_usage_that_is_not_told_is_guessed(tmp_path: Path) -> None:
    async with Picky({'"stream_options"': "unknown field stream_options"}) as model:
        model.reply = answer
        asked = await run(model, tmp_path / "a.jsonl", questions(1))
        assert 5 < asked.spent.prompt < 50
        assert 1 < asked.spent.completion < 50


def test_an_estimate_is_near_and_below_the_most(tmp_path: Path) -> None:
    with Journal(tmp_path / "a.jsonl") as journal:
        found = estimate(questions(10), journal, Asking(), Price(prompt=1, completion=2))
    assert (found.rows, found.finished) == (10, 0)
    assert found.likely.completion == 200
    assert found.likely.total < found.most.total
    assert found.money is not None
    assert found.most_money is not None
    assert 0 < found.money < found.most_money
    assert not (tmp_path / "a.jsonl").exists()


def test_a_budget_in_money_needs_prices() -> None:
    with pytest.raises(DatasetError, match="prices"):
        Budget(money=1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gpt-9: {prompt: -1, completion: 2}", "gpt-9"),
        ("gpt-9: {prompt: 1}", "completion"),
        ("- 1", "the table"),
        ("a: [", "no YAML"),
        ("!!python/object/apply:os.system ['true']", "no YAML"),
    ],
)
def test_prices_in_a_file(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("gpt-9: {prompt: 1.5, completion: 2}\n")
    assert load_prices(path) == {"gpt-9": Price(prompt=1.5, completion=2)}
    path.write_text(text)
    with pytest.raises(DatasetError, match=words):
        load_prices(path)
    with pytest.raises(DatasetError, match="cannot be read"):
        load_prices(tmp_path / "none.yaml")


# --- the journal


def said(text: str) -> Answered:
    return Answered((text,), "stop", Tokens(3, 4))


def test_a_torn_line_is_stepped_over_and_written_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Journal(path) as journal:
        for key in "abc":
            journal.add(key, said(key))
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with Journal(path) as journal:
            kept = [key for key in "abc" if key in journal]
            assert kept == list("abc")[: len(kept)]
            journal.add("d", said("d"))
        with Journal(path) as journal:
            assert journal.get("d") == said("d")
            assert [key for key in "abc" if key in journal] == kept


def test_the_first_answer_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Journal(path) as one, Journal(path) as two:
        one.add("a", said("1"))
        two.add("a", said("2"))
    with Journal(path) as journal:
        assert journal.get("a") == said("1")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_journal(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("j") / "a.jsonl"
    path.write_bytes(b'{"key":"a","texts":["1"],"finish":"stop","prompt":3,"completion":4}\n' + data)
    with Journal(path) as journal:
        assert journal.get("a") == said("1")


@pytest.mark.parametrize(
    "row",
    [
        b"[]",
        b'{"key":"a"}',
        b'{"key":"a","texts":[],"finish":"stop","prompt":3,"completion":4}',
        b'{"key":1,"texts":["1"],"finish":"stop","prompt":3,"completion":4}',
        b'{"key":"a","texts":"1","finish":"stop","prompt":3,"completion":4}',
        b'{"key":"a","texts":["1"],"finish":"stop","prompt":"3","completion":4}',
        b"\0\0\0\0",
    ],
)
def test_what_is_no_answer_is_counted(tmp_path: Path, row: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(row + b"\n")
    with Journal(tmp_path / "a.jsonl") as journal:
        assert journal.torn == 1
        assert "a" not in journal


async def test_a_journal_that_cannot_be_written_ends_the_run(model: FakeModel, tmp_path: Path) -> None:
    asked = await run(model, tmp_path / "no" / "folder.jsonl", questions(20), concurrency=2)
    assert isinstance(asked.stopped, DatasetError)
    assert "cannot be written" in str(asked.stopped)
    assert len(model.requests) <= 4


async def test_advance_is_told_of_every_row_that_is_asked(model: FakeModel, tmp_path: Path) -> None:
    steps: list[int] = []
    told: Callable[[int], None] = steps.append
    for count in (3, 7):
        with Journal(tmp_path / "a.jsonl") as journal:
            await ask(questions(count), journal, asking(model), advance=told)
    assert steps == [1, 2, 3, 1, 2, 3, 4]
