"""Terms by asking a language model: how much is asked, and that only what stands in the lines is believed."""

import json

import pytest

from dataset_builder.filtering.model_terms import ask_for_terms
from dataset_builder.filtering.terms import Hit
from dataset_builder.report import Losses


class Model:
    """Answers with what it was given, and remembers the questions."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def ask(self, system: str, user: str) -> str:
        assert "JSON" in system
        self.asked.append(user)
        return self.answers.pop(0) if self.answers else "{}"


def terms(*found: tuple[str, str]) -> str:
    return json.dumps({"terms": [{"text": text, "kind": kind} for text, kind in found]}, ensure_ascii=False)


async def test_what_stands_in_the_lines_is_believed_and_nothing_else() -> None:
    model = Model(
        "Sure!\n```json\n"
        + terms(("御咲学园", "school"), ("琴音", "girl"), ("冥王星", "place"), ("<b>", "term"))
        + "\n```"
    )
    losses = Losses()
    hits = await ask_for_terms({"zh": ["琴音在御咲学园。", "好。"]}, model.ask, losses)
    assert hits == [Hit("御咲学园", "school", "model", "zh"), Hit("琴音", "term", "model", "zh")]
    assert model.asked == ["琴音在御咲学园。"]
    assert losses.warnings == ["model: 2 terms do not stand in the lines and were left out"]


@pytest.mark.parametrize(
    "answer",
    ["", "I cannot.", "{", '{"terms": 3}', '{"terms": ["a"]}', '{"names": []}', "[]}{", '{"terms": [{}]}'],
)
async def test_answers_that_cannot_be_read_are_counted(answer: str) -> None:
    losses = Losses()
    assert await ask_for_terms({"en": ["Harris came in."]}, Model(answer).ask, losses) == []
    assert losses.warnings == ["model: an answer about terms could not be read"]


async def test_terms_of_other_types_are_left_out() -> None:
    losses = Losses()
    answer = '{"terms": [{"text": 5, "kind": "person"}, {"text": "Harris", "kind": ["person"]}]}'
    assert await ask_for_terms({"en": ["Harris came in."]}, Model(answer).ask, losses) == [
        Hit("Harris", "term", "model", "en")
    ]


async def test_the_number_and_the_length_of_questions_are_bounded_and_the_whole_work_is_seen() -> None:
    texts = [f"This is line number {number} of the work." for number in range(1000)]
    model = Model()
    await ask_for_terms({"en": texts}, model.ask, Losses(), calls=3, letters=500)
    assert len(model.asked) == 3
    assert all(len(question) <= 500 for question in model.asked)
    assert "number 0 " in model.asked[0]
    assert any(f"number {number} " in model.asked[-1] for number in range(800, 1000))


async def test_a_line_is_asked_about_once_and_a_long_one_is_cut() -> None:
    model = Model()
    await ask_for_terms({"en": ["Harris came in."] * 3 + ["x" * 900]}, model.ask, Losses(), letters=100)
    assert model.asked == ["Harris came in.", "x" * 100]


async def test_nothing_is_asked_about_nothing() -> None:
    model = Model()
    assert await ask_for_terms({}, model.ask, Losses()) == []
    assert await ask_for_terms({"en": ["Hi."]}, model.ask, Losses(), calls=0) == []
    assert model.asked == []
