"""Many questions to a model on an OpenAI-compatible server, a few at a time.

What is answered goes into a `Journal` at once, so whatever ends a run (no server, no budget, a kill), the
next one goes on where it stopped. The same questions give the same answers: drawn greedily, asked once.
"""

import asyncio
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from dataset_builder.asking.cost import Budget, Estimate, Price, Tokens
from dataset_builder.asking.journal import Answered, Journal
from dataset_builder.asking.question import Garbage, Question
from dataset_builder.errors import BudgetSpent, DatasetError
from dataset_builder.languages import tokens as likely_tokens
from inference.client import Completion, Endpoint, InferenceClient
from inference.errors import InferenceError, InferenceRejected, InferenceUnavailable

CHATGPT = "https://api.openai.com/v1"
SILENT_ROWS = 3  # on end without an answer, and as many as are under way together: then a run stops
_LONGEST_WAIT = 30.0  # seconds between two tries
_SHOWN = 4000  # letters of an unreadable answer that are shown to the model again

_LIMIT_RENAMED = re.compile(r"not supported.{0,80}max_completion_tokens", re.DOTALL)


class Asking(BaseModel):
    """Whom to ask, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    endpoint: Endpoint = Endpoint(base_url=CHATGPT)
    """The server. `base_url` unset means the one that `python -m inference serve` started here."""
    model: Annotated[str, Field(min_length=1)] = "gpt-4.1-mini"
    """The model's name there."""
    concurrency: Annotated[int, Field(ge=1, le=512)] = 8
    """How many questions are under way together."""
    tries: Annotated[int, Field(ge=1, le=20)] = 5
    """How often a question is put when the server does not answer."""
    wait_seconds: Annotated[float, Field(gt=0)] = 1.0
    """The wait before the second try; it doubles from try to try, up to 30 s."""
    thinking_tokens: Annotated[int, Field(ge=0)] = 0
    """Room for what a reasoning model writes before its answer."""
    seed: int = 0
    """For servers that draw even at temperature 0."""
    data: Path = Path("data")
    """Where a server that was started here leaves its address."""


@dataclass(slots=True)
class Asked:
    """How a run went. `unanswered` tells for a question's key why there is no answer."""

    answered: int = 0  # garbage among them
    finished: int = 0  # in an earlier run, or the same question as another
    repaired: int = 0  # asked twice, and the second answer could be read
    garbage: int = 0  # asked twice for nothing
    retried: int = 0
    spent: Tokens = field(default_factory=Tokens)
    unanswered: dict[str, str] = field(default_factory=dict)
    stopped: Exception | None = None  # what ended the run early: a `DatasetError` or an `InferenceError`


def estimate(
    questions: Iterable[Question[Any]], journal: Journal, asking: Asking, price: Price | None = None
) -> Estimate:
    """What asking them will cost; nothing is asked, and what the journal has costs nothing."""
    rows = finished = 0
    likely = most = Tokens()
    seen: set[str] = set()
    for question in questions:
        key = question.key(asking.model)
        if key in journal or key in seen:
            finished += 1
            continue
        seen.add(key)
        rows += 1
        likely += question.likely
        most += question.most(asking.thinking_tokens)
    return Estimate(rows, finished, likely, most, price)


async def ask(
    questions: Iterable[Question[Any]],
    journal: Journal,
    asking: Asking,
    budget: Budget | None = None,
    advance: Callable[[int], None] | None = None,
) -> Asked:
    """Asks what the journal does not know yet. Whatever happens, what was answered is in the journal.

    `advance` is told how many of those that had to be asked are done with. An end before the last question is
    no exception here but stands in `stopped`: first the caller writes out what it has.
    """
    async with InferenceClient(asking.endpoint, asking.data) as client:
        run = _Run(client, iter(questions), journal, asking, budget or Budget(), advance)
        async with asyncio.TaskGroup() as group:
            for _ in range(asking.concurrency):
                group.create_task(run.work())
    run.asked.spent = run.budget.spent
    return run.asked


class _Run:
    """The state that the workers of one run share."""

    def __init__(
        self,
        client: InferenceClient,
        questions: Iterator[Question[Any]],
        journal: Journal,
        asking: Asking,
        budget: Budget,
        advance: Callable[[int], None] | None,
    ) -> None:
        self.asked = Asked()
        self.budget = budget
        self._client = client
        self._questions = questions
        self._journal = journal
        self._asking = asking
        self._advance = advance
        self._order = asyncio.Lock()
        self._ended = asyncio.Event()  # set whenever a question has ended and gave back what it did not need
        self._under_way: set[str] = set()
        self._done = 0
        self._silent = 0  # rows without an answer since the last answer
        self._refused: set[str] = set()  # what the server does not take in a request

    async def work(self) -> None:
        while True:
            # One at a time and in order: what a budget pays for is always the beginning of the input.
            async with self._order:
                question = await self._next()
            if question is None:
                return
            key = question.key(self._asking.model)
            most = question.most(self._asking.thinking_tokens)
            try:
                await self._answer(question, key)
            finally:
                self.budget.give_back(most)
                self._under_way.discard(key)
                self._ended.set()
                self._count()

    async def _next(self) -> Question[Any] | None:
        """The next question that is worth asking, with its room in the budget taken."""
        try:
            for question in self._questions:
                key = question.key(self._asking.model)
                if key in self._journal or key in self._under_way or key in self.asked.unanswered:
                    self.asked.finished += 1
                    continue
                most = question.most(self._asking.thinking_tokens)
                while not self.budget.fits(most) and self._under_way:
                    self._ended.clear()
                    await self._ended.wait()
                if self.asked.stopped:
                    return None
                if not self.budget.fits(most):
                    raise BudgetSpent(
                        f"the budget is spent ({self.budget}; the next row may need {most.total:,} tokens); "
                        "everything finished is kept, a run with a new budget goes on from here"
                    )
                self.budget.take(most)
                self._under_way.add(key)
                return question
        except DatasetError as error:
            self._stop(error)
        return None

    def _count(self) -> None:
        self._done += 1
        if self._advance is not None:
            self._advance(self._done)

    def _stop(self, error: DatasetError | InferenceError) -> None:
        """No new question is begun; those under way are paid for and are waited for."""
        self.asked.stopped = self.asked.stopped or error

    async def _answer(self, question: Question[Any], key: str) -> None:
        try:
            answered, problem = await self._ask_twice(question)
            self._journal.add(key, answered)
        except InferenceError as error:
            self.asked.unanswered[key] = str(error)
            # That one row is refused, being too long, says nothing of the others; unless all are.
            if not isinstance(error, InferenceRejected) or not self.asked.answered:
                self._silent += 1
            hopeless = isinstance(error, InferenceRejected) and error.status == 404  # no such model
            if hopeless or self._silent >= max(SILENT_ROWS, self._asking.concurrency):
                self._stop(error)
        except DatasetError as error:
            self._stop(error)
        else:
            self._silent = 0
            self.asked.answered += 1
            self.asked.garbage += problem is not None
            self.asked.repaired += problem is None and len(answered.texts) > 1

    async def _ask_twice(self, question: Question[Any]) -> tuple[Answered, Garbage | None]:
        """The answer; if it cannot be read, also the one to what was wrong with it, and what still is."""
        messages = [_message("system", question.system), _message("user", question.text)]
        text, finish, spent = await self._ask(question, messages)
        problem = _problem(question, text, finish)
        if problem is None:
            return Answered((text,), finish, spent), None
        messages += [
            _message("assistant", text[:_SHOWN] or "{}"),
            _message("user", f"This cannot be used: {problem}. Answer with the JSON object alone."),
        ]
        again, finish, more = await self._ask(question, messages)
        return Answered((text, again), finish, spent + more), _problem(question, again, finish)

    async def _ask(self, question: Question[Any], messages: list[dict[str, str]]) -> tuple[str, str, Tokens]:
        """The words, why they ended, and what they cost; tried again while the server does not answer."""
        tries = 0
        while True:
            without = frozenset(self._refused)
            try:
                return await self._once(question, messages, without)
            except InferenceRejected as error:
                if error.status == 404 or not self._adapt(str(error), without):
                    raise
            except InferenceUnavailable:
                tries += 1
                if tries >= self._asking.tries or self.asked.stopped:
                    raise
                self.asked.retried += 1
                wait = min(self._asking.wait_seconds * 2 ** (tries - 1), _LONGEST_WAIT)
                await asyncio.sleep(wait * random.uniform(0.5, 1))

    async def _once(
        self, question: Question[Any], messages: list[dict[str, str]], without: frozenset[str]
    ) -> tuple[str, str, Tokens]:
        completion = Completion(self._client, self._body(question, messages, without))
        pieces: list[str] = []
        read = sum(likely_tokens(message["content"]) for message in messages)
        try:
            async with completion:
                async for piece in completion:
                    pieces.append(piece)
        except InferenceUnavailable:
            if pieces:  # a broken stream is paid for all the same, though nobody says how much
                self.budget.spend(Tokens(read, likely_tokens("".join(pieces))))
            raise
        text = "".join(pieces)
        usage = completion.usage
        spent = Tokens(usage.prompt, usage.completion)
        if not spent.total:
            spent = Tokens(read, likely_tokens(text))
        self.budget.spend(spent)
        return text, completion.finish_reason or "", spent

    def _body(
        self, question: Question[Any], messages: list[dict[str, str]], without: frozenset[str]
    ) -> dict[str, Any]:
        """The request, `without` what this server does not take."""
        room = question.max_tokens + self._asking.thinking_tokens
        body: dict[str, Any] = {
            "model": self._asking.model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
            "seed": self._asking.seed,
            "max_completion_tokens" if "max_tokens" in without else "max_tokens": room,
        }
        if "json_schema" not in without:
            name = question.task.partition("-")[0]
            shape = {"name": name, "strict": True, "schema": question.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": shape}
        else:
            body["response_format"] = {"type": "json_object"}
        return {name: value for name, value in body.items() if name not in without}

    def _adapt(self, refusal: str, without: frozenset[str]) -> bool:
        """Whether to send the request again, since the server says what of it it does not take.

        Reasoning models take no temperature and have another name for the limit; many servers know no JSON of
        a given shape, and some no JSON at all. The shape stands in the prompt too.
        """
        shape = "response_format" if "json_schema" in without else "json_schema"
        named = {
            "max_tokens": _LIMIT_RENAMED.search(refusal) is not None,
            shape: "response_format" in refusal or "json_schema" in refusal,
            **{name: name in refusal for name in ("temperature", "stream_options", "seed")},
        }
        for name, refused in named.items():
            if refused and name not in without:
                self._refused.add(name)
                return True
        return False


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _problem(question: Question[Any], text: str, finish: str) -> Garbage | None:
    try:
        question.read(text, finish)
    except Garbage as problem:
        return problem
    return None
