"""Two lists of records, one of which lost or gained a few."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.alignment import align

records = st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=30)


def test_lists_of_one_length_belong_together() -> None:
    assert align([(True, 5), (False, 3)], [(False, 1), (True, 90)]) == [(0, 0), (1, 1)]
    assert align([], []) == []


def test_empty_and_full() -> None:
    assert align([], [(True, 1)]) == []
    assert align([(True, 1)], []) == []


def test_names_hold_the_lists_together() -> None:
    first = [(False, 10), (True, 10), (False, 10), (True, 10), (True, 10), (False, 10)]
    second = first[:2] + first[3:]
    assert align(first, second) == [(0, 0), (1, 1), (3, 2), (4, 3), (5, 4)]
    assert align(second, first) == [(0, 0), (1, 1), (2, 3), (3, 4), (4, 5)]


def test_lengths_tell_where_names_do_not() -> None:
    first = [(False, length) for length in (30, 4, 60, 12, 90, 25)]
    second = [(False, length // 2) for length in (30, 4, 12, 90, 25)]
    assert align(first, second) == [(0, 0), (1, 1), (3, 2), (4, 3), (5, 4)]


@pytest.mark.parametrize("seed", range(5))
def test_most_of_a_script_is_paired_right(seed: int) -> None:
    chance = random.Random(seed)
    first = [(chance.random() < 0.6, chance.randrange(2, 60)) for _ in range(600)]
    kept = [at for at in range(600) if chance.random() > 0.02]
    second = [(first[at][0], int(first[at][1] * chance.uniform(0.55, 0.75))) for at in kept]
    pairs = align(first, second)
    right = sum(1 for at, other in pairs if kept[other] == at)
    assert right > 0.97 * len(kept)


def test_lists_that_are_too_long_are_paired_at_their_ends() -> None:
    first = [(at % 3 == 0, 5) for at in range(100_000)]
    second = [*first[:50_000], (False, 5), (False, 5), (False, 5), (False, 5), *first[50_000:]]
    pairs = align(first, second)
    assert pairs[0] == (0, 0)
    assert pairs[-1] == (99_999, 100_003)
    assert len(pairs) > 99_990


@settings(max_examples=150)
@given(records, records)
def test_pairs_ascend_and_never_join_a_speech_and_a_narration(
    first: list[tuple[bool, int]], second: list[tuple[bool, int]]
) -> None:
    pairs = align(first, second)
    for (a, b), (c, d) in pairwise(pairs):
        assert a < c
        assert b < d
    assert all(0 <= a < len(first) and 0 <= b < len(second) for a, b in pairs)
    if len(first) != len(second):
        assert all(first[a][0] == second[b][0] for a, b in pairs)
