"""What bounds a data set: rows that are alike, and one person's share."""

import random
from collections import Counter
from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.exporting.near_duplicates import jaccard
from dataset_builder.feedback.alike import distinct
from dataset_builder.feedback.answers import Answer, Turn
from dataset_builder.feedback.judgements import Row
from dataset_builder.feedback.share import bounded, usual_bound


def row(number: int, judges: tuple[str, ...]) -> Row:
    answer = Answer(Turn(f"t{number}", "p"), number, f"e{number}", "", (), (), "", "", 0, True, None, "", "")
    return Row("vote", answer, None, 1.0, judges, (f"e{number}",))


@given(st.lists(st.sets(st.integers(0, 30), min_size=1, max_size=3), max_size=150), st.floats(0.01, 1))
def test_nobody_judges_more_than_the_share_but_for_one_row(judges: list[set[int]], share: float) -> None:
    rows = [row(number, tuple(f"u{one}" for one in sorted(each))) for number, each in enumerate(judges)]
    found = bounded(rows, share, 7)
    kept = list(found.rows)
    counts = Counter(person for each in kept for person in each.judges)
    largest = max(counts.values(), default=0)
    assert largest <= max(1, share * len(kept))
    assert found.most == (largest / len(kept) if kept else 0)
    assert kept == [each for each in rows if each in kept]  # in their order
    if rows:
        assert kept
    if max(Counter(person for each in rows for person in each.judges).values(), default=0) <= share * len(
        rows
    ):
        assert kept == rows


@given(st.lists(st.integers(0, 12), max_size=150), st.floats(0.05, 1))
def test_no_more_is_left_out_than_the_share_demands(judges: list[int], share: float) -> None:
    """With one judge a row, the best bound is found by trying all."""
    rows = [row(number, (f"u{one}",)) for number, one in enumerate(judges)]
    counts = Counter(judges)

    def left(limit: int) -> int:
        return sum(min(count, limit) for count in counts.values())

    limits = range(1, max(counts.values(), default=1) + 1)
    best = max((left(each) for each in limits if each <= max(1, share * left(each))), default=0)
    assert len(bounded(rows, share, 7).rows) == best


@pytest.mark.parametrize(
    ("persons", "bound"), [(1, 1.0), (9, 1.0), (10, 0.2), (50, 0.04), (100, 0.02), (5000, 0.02)]
)
def test_the_usual_bound_falls_with_the_number_of_persons(persons: int, bound: float) -> None:
    assert usual_bound(persons) == bound


@given(st.integers(0, 2**32))
def test_rows_are_alike_when_each_part_is(seed: int) -> None:
    luck = random.Random(seed)

    def line(count: int) -> str:
        return "".join(luck.choices(ascii_lowercase + " ", k=count))

    rows = [(line(160), line(120)) for _ in range(8)]
    near = [(said + " ok", "Oh! " + reply) for said, reply in rows[:4]]
    other_reply = [(said, line(120)) for said, _ in rows]
    other_message = [(line(160), reply) for _, reply in rows]
    alike = [
        (one, each)
        for one in (*rows, *other_reply, *other_message)
        for each in near
        if all(jaccard(*parts) >= 0.8 for parts in zip(one, each, strict=True))
    ]
    assert len(alike) == 4  # each with the one that it was made of
    every = [*rows, *other_reply, *other_message, *near, *rows]
    assert distinct(every, 0.8, seed % 1000) == list(range(24))


def test_word_for_word_keeps_all_that_differs() -> None:
    rows = [("a", "b"), ("a", "b."), ("a", "b"), ("ab", "")]
    assert distinct(rows, 1, 7) == [0, 1, 3]
    assert distinct([], 0.8, 7) == []
