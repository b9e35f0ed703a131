"""A little of what `python -m tests.bench.fuzz` does for half an hour."""

from collections import Counter

from tests.bench.fuzz import FIXTURES, fuzz, seeds


def test_broken_scripts_are_read_or_refused_with_one_error() -> None:
    *broken, outcomes = fuzz(seeds([FIXTURES]), files=1500, seed=1)
    assert not broken, broken[0]
    assert isinstance(outcomes, Counter)
    assert outcomes["read"] > 100
    assert outcomes["ScriptError"] > 0
