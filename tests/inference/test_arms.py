"""Two versions beside each other: what the votes show, and that looking every day shows nothing more."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.arms import Rate, compare, e_value, needed, rate, wilson

ALPHA = 0.05


@pytest.mark.parametrize(
    ("base", "difference", "votes"),
    [(0.02, 0.005, 13_809), (0.05, 0.01, 8_158), (0.1, 0.02, 3_841), (0.1, 0.05, 686), (0.5, 0.1, 388)],
)
def test_votes_that_show_a_difference(base: float, difference: float, votes: int) -> None:
    """The figures that two-proportion tables give at 5 % and 80 %."""
    assert needed(base, difference) == votes


def test_a_surer_test_needs_more_votes() -> None:
    assert needed(0.5, 0.1, alpha=0.01) > needed(0.5, 0.1) > needed(0.5, 0.1, power=0.5)
    assert needed(0.5, 0.2) < needed(0.5, 0.1)
    assert needed(1.0, 0.1) == needed(0.0, 0.1) > 0


def test_wilson_of_weighted_votes_lies_around_the_share() -> None:
    assert wilson(35, 50) == pytest.approx((0.5625, 0.8090), abs=1e-4)
    low, high = wilson(3.5, 5.0)
    assert low < 0.5625 < 0.7 < 0.8090 < high
    assert wilson(0, 0) == (0.0, 1.0)


@given(*[st.integers(0, 400)] * 4)
def test_arms_and_thumbs_have_no_order(up_a: int, down_a: int, up_b: int, down_b: int) -> None:
    evidence = e_value(up_a, down_a, up_b, down_b)
    assert evidence >= 0
    assert e_value(up_b, down_b, up_a, down_a) == pytest.approx(evidence)
    assert e_value(down_a, up_a, down_b, up_b) == pytest.approx(evidence)


def test_no_votes_are_no_evidence() -> None:
    assert e_value(0, 0, 0, 0) == pytest.approx(1.0)
    assert e_value(5000, 0, 0, 5000) > 1e200


def _ever_reached(seed: int, rates: tuple[float, float], share: float, votes: int, weighted: bool) -> bool:
    """Whether the e-value reaches 1/alpha when one looks after every vote."""
    chance = random.Random(seed)
    counts = [0.0, 0.0, 0.0, 0.0]
    for _ in range(votes):
        arm = chance.random() < share
        weight = chance.choice((0.1, 0.5, 1.0)) if weighted else 1.0
        counts[2 * arm + (chance.random() >= rates[arm])] += weight
        if e_value(*counts) >= 1 / ALPHA:
            return True
    return False


@pytest.mark.parametrize(
    ("liked", "share", "weighted"),
    [(0.5, 0.5, False), (0.9, 0.1, False), (0.05, 0.5, False), (0.7, 0.3, True)],
)
def test_looking_after_every_vote_raises_no_false_alarm(liked: float, share: float, weighted: bool) -> None:
    runs = 500
    alarms = sum(_ever_reached(seed, (liked, liked), share, 300, weighted) for seed in range(runs))
    assert alarms / runs <= ALPHA


def test_a_clear_difference_is_found() -> None:
    found = sum(_ever_reached(seed, (0.5, 0.7), 0.5, 800, False) for seed in range(60))
    assert found >= 55


def _judged(stable: tuple[float, float], canary: tuple[float, float], smallest: float = 0.1) -> str:
    return compare(rate(*stable), rate(*canary), smallest=smallest, alpha=ALPHA).verdict


def test_verdicts() -> None:
    assert _judged((250, 250), (350, 150)) == "better"
    assert _judged((350, 150), (250, 250)) == "worse"
    assert _judged((300, 200), (301, 199)) == "undecided"


def test_no_verdict_before_the_votes_could_show_the_difference() -> None:
    """However clear it looks: 30 of 30 against 0 of 30 are too few for ten points."""
    early = compare(rate(0, 30), rate(30, 0), smallest=0.1, alpha=ALPHA)
    assert early.e_value > 1 / ALPHA
    assert early.verdict == "undecided"
    assert 0 < early.missing < 2 * 388
    assert _judged((0, 30), (30, 0), smallest=0.4) == "better"


@given(*[st.integers(0, 5000).map(lambda tenths: tenths / 10)] * 4, st.sampled_from([0.05, 0.2]))
def test_a_verdict_has_enough_votes_and_enough_evidence(
    up_a: float, down_a: float, up_b: float, down_b: float, smallest: float
) -> None:
    found = compare(rate(up_a, down_a), rate(up_b, down_b), smallest=smallest, alpha=ALPHA)
    if found.verdict != "undecided":
        assert found.missing == 0
        assert found.e_value >= 1 / ALPHA
        assert (found.verdict == "better") == (found.canary.value > found.stable.value)
    if found.missing:
        assert f"{found.missing:,}" in found.reason()
        assert f"{found.missing:,}" in found.reason("zh")


def test_missing_votes_are_enough_when_they_have_come() -> None:
    before = compare(rate(45, 45), rate(5, 5), smallest=0.1, alpha=ALPHA)
    more = before.missing
    assert not compare(
        _grown(before.stable, 0.9 * more), _grown(before.canary, 0.1 * more), smallest=0.1, alpha=ALPHA
    ).missing
    # An arm of a tenth is slow: it takes 2.8 times the votes of two halves.
    assert 2.7 < (100 + more) / (2 * 388) < 2.9


def _grown(arm: Rate, votes: float) -> Rate:
    return rate(arm.up + votes / 2 + 1, arm.down + votes / 2 + 1)


def test_nothing_is_known_at_the_start() -> None:
    found = compare(rate(0, 0), rate(0, 0), smallest=0.1, alpha=ALPHA)
    assert (found.verdict, found.missing) == ("undecided", 2 * 388)
    assert "776 more votes" in found.reason()
