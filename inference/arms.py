"""Whether people like one version better than another, told by votes that may be looked at at any time.

A usual test that is looked at every day finds a difference sooner or later where there is none. Here the
evidence is an e-value: however often one looks, the chance that it ever reaches 1/alpha between two versions
that are liked equally is at most alpha (Ville's inequality).

Votes are taken as independent of one another. One person's votes are not quite that: what keeps them from
deciding alone is their weight (a vote has a weight from 0 to 1, fixed before it is known whether it goes up
or down) and its daily cap.
"""

import math
from statistics import NormalDist
from typing import Literal

from pydantic import BaseModel, ConfigDict

POWER = 0.8  # the chance to see a difference that is there
_NORMAL = NormalDist()

Verdict = Literal["better", "worse", "undecided"]


class Rate(BaseModel):
    """How an arm is liked. Of weighted votes, `up` and `down` are sums of weights."""

    model_config = ConfigDict(frozen=True)

    up: float
    down: float
    value: float
    low: float
    high: float

    @property
    def votes(self) -> float:
        return self.up + self.down


class Comparison(BaseModel):
    """A canary beside the stable version. Rates count to 1."""

    model_config = ConfigDict(frozen=True)

    stable: Rate
    canary: Rate
    smallest: float
    """The difference of rates that is worth showing."""
    alpha: float
    e_value: float
    """Evidence that the two are liked differently; 1/alpha of it decides."""
    missing: int
    """Votes until the difference could be shown, if they go on dividing between the two as they have."""
    verdict: Verdict
    """Of the canary. Never one while votes are missing."""

    def reason(self, language: Literal["en", "zh"] = "en") -> str:
        """The verdict in words."""
        old, new = _told(self.stable, language), _told(self.canary, language)
        points, wanted = round(100 * self.smallest, 1), 1 / self.alpha
        if language == "zh":
            start = f"试用版：{new}；现用版：{old}"
            if self.missing:
                return f"{start}；还差约 {self.missing:,} 票才看得出 {points:g} 个百分点的差别"
            if self.verdict == "undecided":
                return f"{start}；看不出差别：证据值 {self.e_value:.2g}，需要 {wanted:.4g}"
            better = "更受喜欢" if self.verdict == "better" else "更不受喜欢"
            return f"{start}；{better}：证据值 {self.e_value:.3g}，超过 {wanted:.4g}"
        start = f"canary: {new}, stable: {old}"
        if self.missing:
            return f"{start}; about {self.missing:,} more votes could show a difference of {points:g} points"
        if self.verdict == "undecided":
            return f"{start}; no difference is shown: the e-value is {self.e_value:.2g} of {wanted:.4g}"
        more = "more" if self.verdict == "better" else "less"
        return f"{start}; it is liked {more}: the e-value is {self.e_value:.3g}, above {wanted:.4g}"


def rate(up: float, down: float) -> Rate:
    """The share of likes with Wilson's 95 % interval; 0 of nothing."""
    low, high = wilson(up, up + down)
    return Rate(up=up, down=down, value=up / (up + down) if up + down else 0.0, low=low, high=high)


def compare(stable: Rate, canary: Rate, *, smallest: float, alpha: float) -> Comparison:
    """What the votes of two arms say so far."""
    evidence = e_value(stable.up, stable.down, canary.up, canary.down)
    missing = _missing(stable, canary, smallest, alpha)
    verdict: Verdict = "undecided"
    if not missing and evidence >= 1 / alpha:
        verdict = "better" if canary.value > stable.value else "worse"
    return Comparison(
        stable=stable,
        canary=canary,
        smallest=smallest,
        alpha=alpha,
        e_value=evidence,
        missing=missing,
        verdict=verdict,
    )


def wilson(right: float, count: float) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); all is possible when nothing was counted."""
    if not count:
        return 0.0, 1.0
    z = 1.959964
    share = right / count
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    # Rounding must not leave the share itself outside.
    return max(0.0, min(share, (middle - half) / scale)), min(1.0, max(share, (middle + half) / scale))


def e_value(up_a: float, down_a: float, up_b: float, down_b: float) -> float:
    """Evidence that two arms are not liked equally, by universal inference (Wasserman, Ramdas &
    Balakrishnan 2020): the likelihood of each arm for itself, mixed over all rates by Jeffreys' prior, over
    the best likelihood of one rate for both.

    Of weighted votes the likelihoods are raised to the weights. For weights from 0 to 1 that were fixed
    before the votes the bound holds as well (Jensen's inequality).
    """
    apart = _mixed(up_a, down_a) + _mixed(up_b, down_b)
    together = _best(up_a + up_b, down_a + down_b)
    return math.exp(min(apart - together, 700.0))


def needed(rate: float, difference: float, *, alpha: float = 0.05, power: float = POWER) -> int:
    """Votes in each of two equal arms that show a `difference` from `rate`, up or down, with the chance
    `power` (Fleiss, Levin & Paik 2003, without correction for continuity)."""
    z_alpha, z_power = _NORMAL.inv_cdf(1 - alpha / 2), _NORMAL.inv_cdf(power)
    most = 0.0
    for other in (rate + difference, rate - difference):
        if 0 <= other <= 1:
            mean = (rate + other) / 2
            spread = z_alpha * math.sqrt(2 * mean * (1 - mean))
            spread += z_power * math.sqrt(rate * (1 - rate) + other * (1 - other))
            most = max(most, (spread / difference) ** 2)
    return math.ceil(most)


def _missing(stable: Rate, canary: Rate, smallest: float, alpha: float) -> int:
    # Of the rates that the stable's votes allow, the one that takes the most votes: a few lucky ones at the
    # start must not make little seem enough.
    wanted = needed(min(max(0.5, stable.low), stable.high), smallest, alpha=alpha)
    if not stable.votes or not canary.votes:
        return math.ceil(sum(max(0.0, wanted - arm.votes) for arm in (stable, canary)))
    votes = stable.votes + canary.votes
    # Two arms of unequal size tell as much as two equal ones of their harmonic mean.
    equal = 2 * stable.votes * canary.votes / votes
    return max(0, math.ceil(votes * (wanted / equal - 1)))


def _mixed(up: float, down: float) -> float:
    """Log of the beta-binomial marginal with the prior Beta(1/2, 1/2)."""
    return math.lgamma(up + 0.5) + math.lgamma(down + 0.5) - math.lgamma(up + down + 1) - math.log(math.pi)


def _best(up: float, down: float) -> float:
    """Log-likelihood at the likeliest rate."""
    return sum(part * math.log(part / (up + down)) for part in (up, down) if part > 0)


def _told(rate: Rate, language: str) -> str:
    if not rate.votes:
        return "还没有票" if language == "zh" else "no votes yet"
    value, low, high = (f"{100 * each:.0f}" for each in (rate.value, rate.low, rate.high))
    if language == "zh":
        return f"{rate.votes:.4g} 票中 {value} % 喜欢（{low} 到 {high}）"
    return f"liked in {value} % ({low} to {high}) of {rate.votes:.4g} votes"
