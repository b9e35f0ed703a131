"""The real vLLM with a model of 135 million letters: no author, but kept to the shape that is asked for."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from dataset_builder.asking.llm import Asking
from dataset_builder.profile import ProfileOptions, profile
from dataset_builder.report import Losses
from dataset_builder.rewrite import rewrite
from dataset_builder.rows import write_rows
from dataset_builder.schema import Dialogue, Turn, Utterance
from inference.base import Base
from inference.client import Endpoint
from tests.dataset_builder.works import scene
from tests.inference.conftest import Served, real_base, vllm_server  # noqa: F401

pytestmark = pytest.mark.slow


def dialogue(name: str, said: str, answered: str) -> Dialogue:
    turn = Turn((Utterance("speech", "Tobias", said),), answered)
    return Dialogue("Wren", (turn,), id=name, file="a.rpy", scene="harbour", language="en")


DIALOGUES = [
    dialogue("1", "You came back to Hollowmere.", "I never left. I only walked in a very large circle."),
    dialogue("2", "For three years?", "It was a very large circle, and I had good boots."),
]
SCENES = [
    scene("s", "en", "Wren：My dream is a boat of my own.\nTobias：Mine too.\nWren：I wear a green coat.")
]


def answers(folder: Path) -> list[dict[str, Any]]:
    """The last answer to each question; one that was cut off is no JSON."""
    rows = [orjson.loads(line) for line in (folder / "out.answers.jsonl").read_bytes().splitlines()]
    return [orjson.loads(row["texts"][-1]) for row in rows if row["finish"] != "length"]


def asking(served: Served, base: Base) -> Asking:
    endpoint = Endpoint(base_url=served.base_url, api_key=served.api_key)
    return Asking(endpoint=endpoint, model=base.id, concurrency=2)


async def test_rewrite(vllm_server: Served, real_base: Base, tmp_path: Path) -> None:  # noqa: F811
    write_rows(DIALOGUES, tmp_path / "in.jsonl")
    losses = Losses()
    settings = asking(vllm_server, real_base)
    asked = await rewrite(tmp_path / "in.jsonl", tmp_path / "out.jsonl", settings, losses=losses)
    assert (asked.answered, asked.unanswered, losses.seen) == (2, {}, 2)
    assert asked.spent.prompt > 0
    assert all(isinstance(answer["turns"], list) for answer in answers(tmp_path))
    first = (tmp_path / "out.jsonl").read_bytes()
    again = await rewrite(tmp_path / "in.jsonl", tmp_path / "out.jsonl", settings)
    assert (again.answered, again.finished) == (0, 2)
    assert (tmp_path / "out.jsonl").read_bytes() == first


async def test_profile(vllm_server: Served, real_base: Base, tmp_path: Path) -> None:  # noqa: F811
    write_rows(SCENES, tmp_path / "scenes.jsonl")
    losses = Losses()
    made = await profile(
        tmp_path / "scenes.jsonl",
        tmp_path / "out.jsonl",
        ProfileOptions(("Wren",)),
        losses,
        asking=asking(vllm_server, real_base),
    )
    assert "name" in {row.topic for row in made}
    assert losses.skipped["no answer"] == 0
    assert (tmp_path / "out.answers.jsonl").stat().st_size > 0
    assert all(isinstance(answer["known"], bool) for answer in answers(tmp_path))
