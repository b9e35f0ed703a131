"""Whether the server says what was trained: next-token probabilities here and there, on the same prompts.

    python -m inference serve &
    python -m training parity version=characters/maeve/adapters/smollm2-135m/v2

Her card and beginnings of her dialogues are sent to the running server, which answers with the most probable
next tokens under the version; the same conversations go through the model of training. Compared are the token
ids of the prompt, which must be equal, and the log-probabilities of the likely next tokens, which differ by
the server's rounding to bfloat16: a few hundredths. An adapter that is scaled otherwise, lies on other
weights or is not applied differs by what it learned, so the distance to the base without it is measured too.
"""

import asyncio
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
from pydantic import BaseModel, ConfigDict

from dataset_builder.schema import Message
from inference.characters import Character
from inference.client import Endpoint, InferenceClient
from inference.errors import InferenceError
from inference.progress import console, progress
from inference.settings import InferenceSettings
from training.config import Count, ModelConfig, Positive
from training.data import read_rows, render
from training.errors import TrainingError
from training.model import check_parent, clear_errors, find_base, find_character, load_model, load_tokenizer
from training.version import served_as

RESULT = "parity.json"
TOP = 20  # tokens that the server names for each prompt
LIKELY = 0.01  # of less probable ones even bfloat16's rounding says little
SECONDS = 600.0


class ParityConfig(ModelConfig):
    """`python -m training parity`."""

    version: Path
    """The version folder; `parity.json` is written into it."""
    character: Path = Path()
    """Her folder; unset: the one that the version is in."""
    base: str = ""
    """A folder or a name; unset: the base that the version was trained on."""
    url: str = ""
    """The server, such as `http://gpu-box:8000/v1`; unset: the one that runs on this machine."""
    data: Path | None = None
    """Rows to take prompts from; unset: her `dialogues.jsonl`."""
    prompts: Count = 50
    """Conversations that are compared."""
    tolerance: Positive = 0.1
    """Mean difference of log-probabilities, in nats, that is still rounding."""


class Parity(BaseModel):
    """Differences of the log-probabilities of likely next tokens, in nats."""

    model_config = ConfigDict(frozen=True)

    version: str
    prompts: int
    tokens: int
    """Next tokens that were compared, of all prompts."""
    ids_equal: int
    """Prompts whose token ids are the same here and there."""
    same_first: int
    """Prompts after which both find the same token most probable."""
    mean: float
    largest: float
    base_mean: float
    """The same mean, for the base without the adapter: what is missing if it is not applied."""
    tolerance: float

    @property
    def holds(self) -> bool:
        """The server serves what was trained."""
        close = self.mean <= self.tolerance and self.mean < self.base_mean / 2
        return close and self.ids_equal == self.prompts


class Answer(BaseModel):
    """What a server says to a prompt: its ids, and the most probable next tokens with log-probabilities."""

    model_config = ConfigDict(frozen=True)

    prompt: list[int]
    next: dict[int, float]


def parity(config: ParityConfig) -> Parity:
    """Compares, prints and writes. Raises `TrainingError` if server and training do not agree."""
    # characters/<id>/adapters/<base>/v<n>
    folder = config.version.absolute()
    base_id, character_folder = folder.parent.name, folder.parents[2]
    config = config.model_copy(
        update={
            "character": config.character if config.character != Path() else character_folder,
            "base": config.base or base_id,
        }
    )
    base = find_base(config)
    check_parent(folder, base)
    character = find_character(config.character)
    chats = prompts_of(config, character)
    answers = asyncio.run(_ask(config, served_as(folder), chats))
    with clear_errors():
        found = compare(config, folder, base, chats, answers)
    (folder / RESULT).write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
    console().print(
        f"{found.version}: {found.tokens} next tokens after {found.prompts} prompts differ by "
        f"{found.mean:.3f} nats on average and {found.largest:.3f} at most (the base alone by "
        f"{found.base_mean:.3f}); the most probable one is the same after {found.same_first} prompts, "
        f"and the ids of {found.ids_equal} prompts are equal"
    )
    if not found.holds:
        raise TrainingError(
            f"the server does not say what was trained: `{found.version}` differs by {found.mean:.3f} nats "
            f"on average where {config.tolerance} is allowed, and the ids of {found.ids_equal} of "
            f"{found.prompts} prompts are equal. Does it serve this folder, on this base?"
        )
    return found


def prompts_of(config: ParityConfig, character: Character) -> list[tuple[Message, ...]]:
    """Conversations up to a place where she answers; drawn by the seed."""
    path = config.data or character.folder / "dialogues.jsonl"
    places = [row.messages[:at] for row in read_rows(path, character) for at in row.learned]
    random.Random(config.seed).shuffle(places)
    if not places:
        raise TrainingError(f"`{path}` has no rows to compare")
    return places[: config.prompts]


async def _ask(config: ParityConfig, name: str, chats: Sequence[Sequence[Message]]) -> list[Answer]:
    endpoint = Endpoint(base_url=config.url) if config.url else Endpoint()
    try:
        async with InferenceClient(endpoint, InferenceSettings().data) as client, asyncio.timeout(SECONDS):
            with progress(f"asking the server for `{name}`", len(chats)) as advance:
                answers: list[Answer] = []
                for chat in chats:
                    answers.append(await _answer(client, name, chat))
                    advance(len(answers))
        return answers
    except (InferenceError, httpx2.HTTPError, TimeoutError) as error:
        raise TrainingError(
            f"the server did not answer for `{name}`: {error}. Start it with `python -m inference serve`, "
            "or name another by `url`"
        ) from error


async def _answer(client: InferenceClient, name: str, chat: Sequence[Message]) -> Answer:
    body = {
        "model": name,
        "messages": [message.model_dump() for message in chat],
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": TOP,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
    }
    answer = await client.answer("/chat/completions", body)
    try:
        top = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        likely = {int(each["token"].removeprefix("token_id:")): each["logprob"] for each in top}
        return Answer(prompt=answer["prompt_token_ids"], next=likely)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise TrainingError(
            "the server tells no token ids; parity needs vLLM, by `python -m inference serve`"
        ) from error


def compare(
    config: ParityConfig,
    folder: Path,
    base: Any,
    chats: Sequence[Sequence[Message]],
    answers: Sequence[Answer],
) -> Parity:
    """The figures; the model is loaded for them."""
    import torch
    from peft import PeftModel

    tokenizer = load_tokenizer(base)
    model = PeftModel.from_pretrained(load_model(base, config), str(folder)).eval()
    differences: list[float] = []
    from_base: list[float] = []
    ids_equal = same_first = 0
    with progress("computing the same here", len(chats)) as advance, torch.no_grad():
        for done, (chat, answer) in enumerate(zip(chats, answers, strict=True), 1):
            ids = render(tokenizer, [message.model_dump() for message in chat], ask=True)
            ids_equal += ids == answer.prompt
            here = _next(model, ids)
            with model.disable_adapter():
                bare = _next(model, ids)
            likely = {id_: value for id_, value in answer.next.items() if value >= math.log(LIKELY)}
            differences += [abs(value - here[id_].item()) for id_, value in likely.items()]
            from_base += [abs(value - bare[id_].item()) for id_, value in likely.items()]
            same_first += int(here.argmax()) == max(answer.next, key=lambda id_: answer.next[id_])
            advance(done)
    return Parity(
        version=served_as(folder),
        prompts=len(chats),
        tokens=len(differences),
        ids_equal=ids_equal,
        same_first=same_first,
        mean=sum(differences) / len(differences),
        largest=max(differences),
        base_mean=sum(from_base) / len(from_base),
        tolerance=config.tolerance,
    )


def _next(model: Any, ids: Sequence[int]) -> Any:
    """Log-probabilities of the token behind `ids`, [vocabulary]."""
    import torch

    logits = model(torch.tensor([ids], device=model.device), logits_to_keep=1, use_cache=False).logits
    return torch.log_softmax(logits[0, -1].float(), -1)
