"""Replies to learn from, drawn by a model server: the adapter as it is now is loaded there under a new name.

vLLM draws many replies at once, several times as fast as the training process. Every few steps the adapter is
written into the run's folder, loaded by `/v1/load_lora_adapter` under a name that was never used (a server
answers from what it remembers for old ones), and asked with log-probabilities and token ids, so that TRL sees
the very tokens that were drawn and how probable they were for the server.

The server must have room for every name: `CHATNVL_SERVE__SPARE_SLOTS`. Written folders stay until the server
has ended, which reads them again when it likes.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2

from inference.base import Base
from inference.characters import Character
from inference.client import Endpoint, InferenceClient
from inference.errors import InferenceError, InferenceRejected
from inference.settings import InferenceSettings
from training.errors import TrainingError
from training.run import adapter_state
from training.version import write_adapter

PATIENCE = 600.0  # seconds for all replies of a step
# Said, or the base's own `generation_config.json` would change what the adapter finds probable.
AS_IT_IS = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}

Chat = Sequence[Mapping[str, str]]


class ServerRollouts:
    """TRL's `rollout_func`: prompts in, token ids and log-probabilities out.

    A prompt stands in `prompts` as often as replies to it are wanted, side by side.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        character: Character,
        base: Base,
        folder: Path,
        *,
        max_tokens: int,
        refresh_every: int,
    ) -> None:
        self._endpoint = endpoint
        self._base = base
        self._folder = folder.absolute()
        self._run = f"{character.id}.rollout-{secrets.token_hex(4)}"
        self._ask = AS_IT_IS | {"max_tokens": max_tokens}
        self._every = refresh_every
        self._loaded: str | None = None
        self._loaded_at = -1

    def __call__(self, prompts: Sequence[Chat], trainer: Any) -> dict[str, list[Any]]:
        """Raises `TrainingError` for a server that cannot be used."""
        step = trainer.state.global_step
        folder = None
        if self._loaded is None or step >= self._loaded_at + self._every:
            folder = self._folder / f"step-{step}-{secrets.token_hex(2)}"
            folder.mkdir(parents=True)
            write_adapter(trainer.model, adapter_state(trainer), folder, self._base)
            self._loaded, self._loaded_at = f"{self._run}-{step}", step
        try:
            return asyncio.run(self._draw(prompts, folder))
        except (InferenceError, httpx2.HTTPError, TimeoutError) as error:
            raise TrainingError(f"rollouts from the model server failed: {error}") from error

    async def _draw(self, prompts: Sequence[Chat], folder: Path | None) -> dict[str, list[Any]]:
        async with (
            InferenceClient(self._endpoint, InferenceSettings().data) as client,
            asyncio.timeout(PATIENCE),
        ):
            if folder is not None:
                await self._load(client, folder)
            groups = _groups(prompts)
            answers = await asyncio.gather(*(self._answers(client, chat, count) for chat, count in groups))
        found: dict[str, list[Any]] = {"prompt_ids": [], "completion_ids": [], "logprobs": []}
        for answer in answers:
            for choice in answer["choices"]:
                found["prompt_ids"].append(answer["prompt_token_ids"])
                found["completion_ids"].append(choice["token_ids"])
                found["logprobs"].append([each["logprob"] for each in choice["logprobs"]["content"]])
        return found

    async def _load(self, client: InferenceClient, folder: Path) -> None:
        body = {"lora_name": self._loaded, "lora_path": str(folder)}
        try:
            await (await client.post("/load_lora_adapter", body)).aclose()
        except InferenceRejected as error:
            raise TrainingError(
                f"the model server does not load the adapter: {error}. Start it with a larger "
                "`CHATNVL_SERVE__SPARE_SLOTS`, or raise `refresh_every`"
            ) from error

    async def _answers(self, client: InferenceClient, chat: Chat, count: int) -> Any:
        body = {
            "model": self._loaded,
            "messages": list(chat),
            "n": count,
            "logprobs": True,
            "return_token_ids": True,
            **self._ask,
        }
        answer = await client.answer("/chat/completions", body)
        if not answer.get("prompt_token_ids") or any(not each.get("token_ids") for each in answer["choices"]):
            raise TrainingError(
                "the model server tells no token ids; rollouts need vLLM, by `python -m inference serve`"
            )
        return answer


def _groups(prompts: Sequence[Chat]) -> list[tuple[Chat, int]]:
    """Each prompt once, with how often it stood there in a row."""
    groups: list[tuple[Chat, int]] = []
    for chat in prompts:
        if groups and groups[-1][0] == chat:
            groups[-1] = (chat, groups[-1][1] + 1)
        else:
            groups.append((chat, 1))
    return groups
