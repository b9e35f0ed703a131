"""Pictures of votes and of a reward model, as SVG that stands inside a page and takes its colours from it."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from html import escape
from typing import NamedTuple

from dataset_builder.schema import VersionTally
from inference.arms import Rate, rate

_MOST_DAYS = 31  # of a chart by days; longer ones are by weeks
_WIDTH, _HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 16, 14, 34
COLOURS = 6  # `--series-0` to `--series-5` of the page


class Point(NamedTuple):
    """The votes of a period that begins on `day`."""

    day: date
    liked: Rate


def over_time(rows: Iterable[VersionTally]) -> dict[str, list[Point]]:
    """The votes of each version by day, or by week where days would be too many; versions in the order in
    which they came."""
    voted = sorted((each for each in rows if each.up + each.down > 0), key=lambda each: each.day)
    if not voted:
        return {}
    first, last = (date.fromisoformat(each.day) for each in (voted[0], voted[-1]))
    weeks = (last - first).days >= _MOST_DAYS
    counts: dict[str, dict[date, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for each in voted:
        day = date.fromisoformat(each.day)
        start = day - timedelta(days=day.weekday()) if weeks else day
        sums = counts[each.version][start]
        sums[0] += each.up
        sums[1] += each.down
    return {
        version: [Point(day, rate(*sums)) for day, sums in sorted(found.items())]
        for version, found in counts.items()
    }


def votes_chart(
    versions: Mapping[str, Sequence[Point]], title: str, tell: Callable[[str, Point], str]
) -> str:
    """The share of likes over time, a line a version, with Wilson's 95 % interval; a larger dot is more
    votes. `tell` says a point in words."""
    days = [point.day for points in versions.values() for point in points]
    first, last = min(days), max(days)
    span = max(1, (last - first).days)
    most = max(point.liked.votes for points in versions.values() for point in points)

    def across(day: date) -> float:
        if first == last:
            return (_LEFT + _WIDTH - _RIGHT) / 2
        return _LEFT + 14 + (day - first).days / span * (_WIDTH - _LEFT - _RIGHT - 28)

    def up(share: float) -> float:
        return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)

    marks = [*_grid(up), *_days(first, last, across)]
    for at, (version, points) in enumerate(versions.items()):
        colour = f"var(--series-{at % COLOURS})"
        # Versions of one day stand beside each other.
        shift = (at - (len(versions) - 1) / 2) * 5
        places = [(across(point.day) + shift, up(point.liked.value)) for point in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        marks.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        for (x, y), point in zip(places, points, strict=True):
            low, high, size = (
                up(point.liked.low),
                up(point.liked.high),
                2.5 + 4 * math.sqrt(point.liked.votes / most),
            )
            marks.append(
                f'<g fill="{colour}" stroke="{colour}"><title>{escape(tell(version, point))}</title>'
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" opacity=".55"/>'
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/></g>'
            )
    return _svg(title, _WIDTH, _HEIGHT, marks)


def _grid(up: Callable[[float], float]) -> Iterable[str]:
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = up(share)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>'


def _days(first: date, last: date, across: Callable[[date], float]) -> Iterable[str]:
    """A few days along the bottom, the first and the last among them."""
    span = (last - first).days
    steps = min(6, span)
    for step in range(steps + 1):
        day = first + timedelta(days=round(span * step / steps)) if steps else first
        place = f'x="{across(day):.1f}" y="{_HEIGHT - 10}" text-anchor="middle"'
        yield f"<text {place}>{day.isoformat()[5:]}</text>"


def calibration_chart(bins: Sequence[tuple[float, float, float, int]], title: str) -> str:
    """How often a reward model is right where it is so sure. `bins` are (from, to, share right, pairs); the
    line is where they should end."""
    width, height, left, foot = 340, 220, 48, 34

    def across(sure: float) -> float:
        return left + (sure - 0.5) / 0.5 * (width - left - 12)

    def up(right: float) -> float:
        return 12 + (1 - right) * (height - foot - 12)

    marks = []
    for share in (0.0, 0.5, 1.0):
        y = up(share)
        marks.append(f'<line class="grid" x1="{left}" x2="{width - 12}" y1="{y:.1f}" y2="{y:.1f}"/>')
        marks.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    for low, high, right, count in bins:
        x, wide = across(low) + 1, across(high) - across(low) - 2
        marks.append(
            f'<rect x="{x:.1f}" y="{up(right):.1f}" width="{wide:.1f}" height="{up(0) - up(right):.1f}" '
            f'rx="2" fill="var(--series-1)"><title>{low:.0%}–{high:.0%}: {right:.0%} ({count})</title></rect>'
        )
    marks.append(
        f'<line x1="{across(0.5):.1f}" y1="{up(0.5):.1f}" x2="{across(1):.1f}" y2="{up(1):.1f}" '
        'stroke="var(--ink)" stroke-dasharray="4 3"/>'
    )
    for sure in (0.5, 0.75, 1.0):
        end = "end" if sure == 1 else "middle"
        marks.append(f'<text x="{across(sure):.1f}" y="{height - 10}" text-anchor="{end}">{sure:.0%}</text>')
    return _svg(title, width, height, marks)


def interval_bar(low: float, value: float, high: float) -> str:
    """A share and its interval between 0 and 1, small enough for a cell of a table."""
    low, value, high = (4 + 132 * min(1.0, max(0.0, each)) for each in (low, value, high))
    return (
        '<svg class="bar" width="140" height="16" viewBox="0 0 140 16" aria-hidden="true">'
        '<line class="grid" x1="4" x2="136" y1="8" y2="8"/>'
        '<line class="grid" x1="70" x2="70" y1="4" y2="12"/>'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="8" y2="8" stroke="var(--series-0)" stroke-width="2"/>'
        f'<circle cx="{value:.1f}" cy="8" r="4" fill="var(--series-0)"/></svg>'
    )


def _svg(title: str, width: int, height: int, marks: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{"".join(marks)}</svg>'
    )
