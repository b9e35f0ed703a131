"""How far a reward model can be believed: how often it is right, by kind of pair, and how sure it should be.

All of it works on margins, the reward of the better reply less that of the worse; no model is needed.
"""

import math
from collections.abc import Sequence
from statistics import fmean, pstdev

from pydantic import BaseModel, ConfigDict

from inference.arms import wilson

BINS = 10  # of confidence, from a coin's to certainty
COLDEST, HOTTEST = 0.02, 50.0


class Accuracy(BaseModel):
    """How often the better reply got more reward, with Wilson's 95 % interval, and by how much."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float
    n: int
    margin: float
    """The mean margin."""
    spread: float
    """The margins' standard deviation."""


class Bin(BaseModel):
    """Pairs about which the model is about as sure."""

    model_config = ConfigDict(frozen=True)

    low: float
    high: float
    n: int
    confidence: float
    """What it says how often it is right, on average."""
    accuracy: float
    """How often it is right."""


class Calibration(BaseModel):
    """Rewards divided by `temperature` are log-odds; fitted on other pairs than those counted here."""

    model_config = ConfigDict(frozen=True)

    temperature: float
    error: float
    """Expected calibration error: by how much confidence and accuracy differ, over all pairs."""
    error_before: float
    """The same without the temperature."""
    bins: tuple[Bin, ...]


def accuracy(margins: Sequence[float]) -> Accuracy:
    """Of at least one margin. A margin of nothing is wrong: the two were not told apart."""
    right = sum(margin > 0 for margin in margins)
    low, high = wilson(right, len(margins))
    return Accuracy(
        value=right / len(margins),
        low=low,
        high=high,
        n=len(margins),
        margin=fmean(margins),
        spread=pstdev(margins),
    )


def temperature_of(margins: Sequence[float]) -> float:
    """What rewards are to be divided by so that their differences are log-odds: the likeliest one
    (Guo et al. 2017), by golden section over its logarithm.

    Where all pairs are right, the coldest would be the likeliest; it is bounded at a 50th of the reward.
    """
    left, right = math.log(COLDEST), math.log(HOTTEST)
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(60):
        low, high = right - golden * (right - left), left + golden * (right - left)
        if _loss(margins, math.exp(low)) < _loss(margins, math.exp(high)):
            right = high
        else:
            left = low
    return math.exp((left + right) / 2)


def _loss(margins: Sequence[float], temperature: float) -> float:
    """Mean negative log-likelihood of the right order."""
    return fmean(_softplus(-margin / temperature) for margin in margins)


def _softplus(value: float) -> float:
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def calibration(margins: Sequence[float], temperature: float) -> Calibration:
    """Of at least one margin."""
    bins = _bins(margins, temperature)
    return Calibration(
        temperature=temperature,
        error=_error(bins),
        error_before=_error(_bins(margins, 1.0)),
        bins=tuple(bins),
    )


def _bins(margins: Sequence[float], temperature: float) -> list[Bin]:
    shelves: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for margin in margins:
        sure = math.exp(-_softplus(-abs(margin) / temperature))
        shelves[min(BINS - 1, int((sure - 0.5) * 2 * BINS))].append((sure, margin > 0))
    return [
        Bin(
            low=0.5 + at / (2 * BINS),
            high=0.5 + (at + 1) / (2 * BINS),
            n=len(shelf),
            confidence=fmean(sure for sure, _ in shelf),
            accuracy=fmean(right for _, right in shelf),
        )
        for at, shelf in enumerate(shelves)
        if shelf
    ]


def _error(bins: Sequence[Bin]) -> float:
    count = sum(each.n for each in bins)
    return sum(each.n * abs(each.confidence - each.accuracy) for each in bins) / count
