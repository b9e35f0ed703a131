"""What stands before vLLM, against an application that looks like vLLM's from inside."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from inference.guard import KEY_VARIABLE, UNLOAD, Guard

KEY = [(b"authorization", b"Bearer secret")]


class InsideVLLM:
    """The state that vLLM's application has, and its unload route: it forgets the name and nothing else."""

    def __init__(self) -> None:
        self.names = {"maeve.v1": SimpleNamespace(lora_int_id=7)}
        self.slots = {7}
        self.state = SimpleNamespace(
            openai_serving_models=SimpleNamespace(lora_requests=self.names), engine_client=self
        )

    async def remove_lora(self, lora_id: int) -> bool:
        self.slots.discard(lora_id)
        return True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        name = json.loads((await receive())["body"])["lora_name"]
        status = 200 if self.names.pop(name, None) else 404
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def unload(inside: InsideVLLM, body: Any, headers: Any = KEY) -> tuple[int, set[int]]:
    """The status, and the slots that were taken when it was told."""
    told: list[tuple[int, set[int]]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            told.append((message["status"], set(inside.slots)))

    scope = {"type": "http", "method": "POST", "path": UNLOAD, "headers": headers, "app": inside}
    await Guard(inside)(scope, receive, send)
    return told[0]


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> InsideVLLM:
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    return InsideVLLM()


async def test_what_is_unloaded_gives_up_its_slot(inside: InsideVLLM) -> None:
    assert await unload(inside, {"lora_name": "maeve.v1"}) == (200, set())
    assert await unload(inside, {"lora_name": "maeve.v1"}) == (404, set())


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"lora_name": "maeve.v2"}, KEY, 404),
        ({"lora_name": "maeve.v1"}, [], 401),
        ({"lora_name": "maeve.v1", "lora_int_id": 7}, KEY, 400),
        (["maeve.v1"], KEY, 400),
    ],
)
async def test_nothing_else_is_unloaded(inside: InsideVLLM, body: Any, headers: Any, status: int) -> None:
    assert await unload(inside, body, headers) == (status, {7})
    assert "maeve.v1" in inside.names
