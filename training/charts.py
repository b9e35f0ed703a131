"""Pictures of a report, as SVG, by matplotlib: the frontier, curves, bars with whiskers.

Text in them stays text, so that whoever looks shows it in a font of theirs, and the bytes depend on no font
and no clock. Colours are named: a page that holds the picture replaces them by its own, light or dark.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple

from training.errors import TrainingError
from training.evaluation import ABILITY_LOSS, STYLE_GAIN, Metric, System
from training.exam import ADAPTER, BARE, BASE, CARD
from training.findings import Change, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LIGHT = {
    "ink": "#2e2742",
    "soft": "#6f6781",
    "faint": "#e4ddea",
    "grey": "#a39cb0",
    "goal": "#2c7a58",
    "paper": "#fffdfa",
    "series-0": "#c05417",
    "series-1": "#4f74b0",
    "series-2": "#80589e",
    "series-3": "#22808a",
    "series-4": "#b3345f",
    "series-5": "#e2a06c",
}
DARK = {
    "ink": "#f1eaf6",
    "soft": "#b3a9c4",
    "faint": "#3a3252",
    "grey": "#7f768f",
    "goal": "#6fcf9f",
    "paper": "#1d1831",
    "series-0": "#f5a860",
    "series-1": "#86abe8",
    "series-2": "#c39ee0",
    "series-3": "#63c4cd",
    "series-4": "#f0829f",
    "series-5": "#a8693a",
}
SERIES = tuple(LIGHT[f"series-{number}"] for number in range(6))
_SYSTEMS = {BASE: LIGHT["grey"], CARD: SERIES[1], ADAPTER: SERIES[0], BARE: SERIES[5]}
_POINT = 72  # a inch's points, matplotlib's unit of sizes
_SIZE = 10  # of letters, in points
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "chatnvl",
    "text.parse_math": False,  # a label may hold a `$`
    "font.sans-serif": ["DejaVu Sans", "sans-serif"],
    "font.size": _SIZE,
    "text.color": LIGHT["ink"],
    "axes.labelcolor": LIGHT["soft"],
    "axes.edgecolor": LIGHT["faint"],
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": LIGHT["soft"],
    "ytick.color": LIGHT["soft"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": LIGHT["faint"],
    "lines.linewidth": 1.8,
    "legend.frameon": False,
}
_SMOOTHED = 40  # points of a curve from which its mean is drawn over it


class SeedRun(NamedTuple):
    """A run of the project that this one follows, on the same two axes in %."""

    id: int
    lost: float
    gained: float
    auxiliary: bool


@dataclass(frozen=True)
class Chart:
    """A picture. `title` tells it to those who cannot see it."""

    name: str
    title: str
    svg: str

    @property
    def file(self) -> str:
        """A file of its own, on paper of its own."""
        paper = f'<rect width="100%" height="100%" rx="6" fill="{LIGHT["paper"]}"/>'
        return self.svg.replace(">", f">{self._title}{paper}", 1)

    @property
    def inside(self) -> str:
        """For inside a page: as wide as there is room, in the page's colours, with ids of its own."""
        svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", self.svg, count=2)
        svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{self.name}-", svg)
        for name, colour in LIGHT.items():
            svg = svg.replace(colour, f"var(--{name})")
        return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(self.title)}" ', 1)

    @property
    def _title(self) -> str:
        return f"<title>{escape(_line(self.title))}</title>"


def frontier(ours: Mapping[str, Point], seed: Sequence[SeedRun], *, narrow: bool = False) -> Chart:
    """Style gained over general ability lost, in %, and where the goal lies. `ours` by name."""
    width, height = (4.6, 5.2) if narrow else (7.6, 5.0)
    left, right = _range([(point.lost, 80) for point in ours.values()], [run.lost for run in seed])
    bottom, top = _range([(point.gained, 160) for point in ours.values()], [run.gained for run in seed])
    top = max(top, STYLE_GAIN + 8)
    under = 1.05 if narrow else 0.85

    def draw(axes: "Axes") -> None:
        axes.set(xlim=(left, right), ylim=(bottom, top))
        axes.set_xlabel("general ability lost, %")
        axes.set_ylabel("style gained, %")
        axes.grid()
        axes.set_axisbelow(True)
        _goal(axes, left, top)
        for auxiliary in (False, True):
            runs = [run for run in seed if run.auxiliary == auxiliary]
            axes.scatter(
                [run.lost for run in runs],
                [run.gained for run in runs],
                s=26,
                facecolors=LIGHT["grey"] if auxiliary else LIGHT["paper"],
                edgecolors=LIGHT["grey"],
                linewidths=1.2,
                label=f"seed project, {'with' if auxiliary else 'without'} auxiliary data",
                zorder=2,
            )
        colours = dict(zip(ours, _colours(len(ours)), strict=True))
        for name, point in ours.items():
            at, colour = (point.lost.value, point.gained.value), colours[name]
            whiskers = {"xerr": _whisker(point.lost), "yerr": _whisker(point.gained)}
            axes.errorbar(*at, **whiskers, fmt="none", ecolor=colour, elinewidth=1.4, capsize=3, zorder=3)
            axes.plot(*at, "o", color=colour, markersize=9, markeredgecolor=LIGHT["paper"], zorder=4)
        space = _Space((left, right), (bottom, top), (width - 0.77, height - under - 0.15))
        for run in seed:
            space.fill((run.lost, run.lost), (run.gained, run.gained), 4)
        for point in ours.values():
            space.fill(point.lost, point.gained, 1)
        for name, point in reversed(ours.items()):
            look = {"color": colours[name], "fontweight": "bold", "zorder": 4}
            space.label(axes, _line(name), (point.lost.value, point.gained.value), 10, **look)
        for run in seed:
            space.label(axes, f"#{run.id}", (run.lost, run.gained), 7.5, color=LIGHT["soft"], zorder=2)
        axes.figure.legend(loc="lower left", bbox_to_anchor=(0.0, 0.0), ncols=1 if narrow else 2, fontsize=9)

    title = "Style gained against general ability lost, in %: the goal is at the top left"
    svg = _draw(draw, width, height, left=0.62, bottom=under)
    return Chart("frontier-narrow" if narrow else "frontier", title, svg)


def curves(
    name: str, title: str, lines: Mapping[str, Sequence[tuple[float, float]]], *, noisy: bool = False
) -> Chart:
    """(step, value) of each line by its label; what was held out is dashed. The last owner is the one meant.

    A label begins with its owner, whose colour it has: `maeve.v2: held out`. Where `noisy`, a long line is
    faint, and its mean is drawn over it.
    """
    owners = list(dict.fromkeys(map(_owner, lines)))
    colours = dict(zip(owners, _colours(len(owners)), strict=True))
    rows = -(-len(lines) // 2) if len(lines) > 1 else 0

    def draw(axes: "Axes") -> None:
        for label, points in lines.items():
            steps, values = [step for step, _ in points], [value for _, value in points]
            look: dict[str, Any] = {"color": colours[_owner(label)], "label": _line(label)}
            if "held out" in label or len(points) < 3:
                look |= {"linestyle": "--", "marker": "o", "markersize": 4.5}
            elif noisy and len(points) >= _SMOOTHED:
                axes.plot(steps, values, color=look["color"], alpha=0.3, linewidth=1)
                values = _mean(values)
            axes.plot(steps, values, **look)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axes.set_xlabel("step")
        axes.grid(axis="y")
        axes.margins(x=0.02)
        if rows:
            axes.figure.legend(loc="lower left", bbox_to_anchor=(0.1, 0), ncols=2, fontsize=8.5)

    under = 0.5 + 0.19 * rows
    svg = _draw(draw, 5.0, 2.5 + under, left=0.62, bottom=under, top=0.38)
    return Chart(name, f"{title}, by step", svg)


def bars(metric: Metric, systems: Sequence[System]) -> Chart:
    """A bar for each system that was measured, a whisker for its 95 % interval."""
    shown = [(each, metric.values[each.id]) for each in systems if each.id in metric.values]
    heading = wrap(_line(f"{metric.label}{f', {metric.unit}' if metric.unit else ''}"), 44)[:2]
    longest = max(value.high for _, value in shown)
    best = best_of(metric)

    def draw(axes: "Axes") -> None:
        for at, (system, value) in enumerate(shown):
            colour = _SYSTEMS.get(system.id, SERIES[2])
            axes.barh(at, value.value, height=0.42, color=colour)
            off = [[max(0, value.value - value.low)], [max(0, value.high - value.value)]]
            whisker = {"ecolor": LIGHT["ink"], "elinewidth": 1.1, "capsize": 3}
            axes.errorbar(value.value, at, xerr=off, fmt="none", **whisker)
            words = {"textcoords": "offset points", "fontsize": 9, "va": "bottom"}
            axes.annotate(_line(system.label), (0, at - 0.25), (0, 1), color=LIGHT["soft"], **words)
            axes.annotate(
                number(value.value), (1, at - 0.25), (0, 1), xycoords=("axes fraction", "data"),
                ha="right", fontweight="bold" if value.value == best else "normal", **words,
            )  # fmt: skip
        axes.set(xlim=(0, longest * 1.02 or 1), ylim=(len(shown) - 0.6, -0.75))
        axes.set_title("\n".join(heading), loc="left", fontsize=11, fontweight="bold")
        axes.set_axis_off()

    height = 0.22 * len(heading) + 0.42 * len(shown) + 0.2
    svg = _draw(draw, 4.6, height, left=0.14, bottom=0.06, top=0.12 + 0.22 * len(heading))
    return Chart(f"bars-{metric.name.replace('_', '-')}", f"{metric.label}, by system", svg)


def best_of(metric: Metric) -> float:
    """The best value of all systems."""
    values = [figure.value for figure in metric.values.values()]
    return max(values) if metric.better == "higher" else min(values)


def number(value: float) -> str:
    """For a person: three digits or four, no trailing zeros."""
    size = abs(value)
    places = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 1 else 3
    text = f"{value:,.{places}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def _goal(axes: "Axes", left: float, top: float) -> None:
    from matplotlib.patches import Rectangle

    size = (ABILITY_LOSS - left, top - STYLE_GAIN)
    look = {"facecolor": LIGHT["goal"], "alpha": 0.14, "edgecolor": "none", "zorder": 1}
    axes.add_patch(Rectangle((left, STYLE_GAIN), *size, **look))
    axes.plot([left, ABILITY_LOSS, ABILITY_LOSS], [STYLE_GAIN, STYLE_GAIN, top], "--", color=LIGHT["goal"],
              linewidth=1.2, zorder=1)  # fmt: skip
    axes.annotate("goal", (left, top), (5, -4), textcoords="offset points", va="top", color=LIGHT["goal"],
                  fontweight="bold")  # fmt: skip


def _whisker(change: Change) -> list[list[float]] | None:
    if change.low is None or change.high is None:
        return None
    return [[max(0, change.value - change.low)], [max(0, change.high - change.value)]]


def _range(ours: Sequence[tuple[Change, float]], seed: Sequence[float]) -> tuple[float, float]:
    """Limits of an axis: all points, and of our intervals what lies within a distance of them."""
    low, high = min([0, *seed]), max([0, *seed])
    for change, far in ours:
        value = change.value
        low = min(low, value, max(value - far, value if change.low is None else change.low))
        high = max(high, value, min(value + far, value if change.high is None else change.high))
    room = (high - low) * 0.07 or 1
    return low - room, high + room


class _Space:
    """What is taken on a plot, in points, so that each label finds a place beside its point.

    `across` and `up` are the limits of the axes, `inches` their size.
    """

    def __init__(
        self, across: tuple[float, float], up: tuple[float, float], inches: tuple[float, float]
    ) -> None:
        self._low = (across[0], up[0])
        sizes = tuple(_POINT * inch for inch in inches)
        self._points = (sizes[0] / (across[1] - across[0]), sizes[1] / (up[1] - up[0]))  # that one % has
        far = max(sizes)
        outside = ((-far, sizes[1] / 2), (sizes[0] + far, sizes[1] / 2))
        self._taken = [
            (x, y, far, far) for x, y in (*outside, (sizes[0] / 2, -far), (sizes[0] / 2, sizes[1] + far))
        ]

    def fill(self, across: Sequence[float | None], up: Sequence[float | None], half: float) -> None:
        """A point, the first of each, and its whiskers between the last two."""
        x, y = across[0] or 0.0, up[0] or 0.0
        left, right = (x if each is None else each for each in across[-2:])
        low, high = (y if each is None else each for each in up[-2:])
        for ends in (((left, y), (right, y)), ((x, low), (x, high))):
            (x0, y0), (x1, y1) = (self._place(*end) for end in ends)
            box = ((x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2 + half, (y1 - y0) / 2 + half)
            self._taken.append(box)

    def label(self, axes: "Axes", text: str, at: tuple[float, float], size: float, **look: Any) -> None:
        """Writes `text`, in letters of `size`, where least is taken around the point."""
        x, y = self._place(*at)
        wide, high = 0.34 * size * len(text), 0.6 * size
        boxes = [(x + dx, y + dy, wide, high) for dx, dy in _around(wide + 6, high + 5)]
        best = min(boxes, key=lambda box: sum(_overlap(box, other) for other in self._taken))
        self._taken.append(best)
        place = {"textcoords": "offset points", "ha": "center", "va": "center"}
        axes.annotate(text, at, (best[0] - x, best[1] - y), fontsize=size, **place, **look)

    def _place(self, x: float, y: float) -> tuple[float, float]:
        return (x - self._low[0]) * self._points[0], (y - self._low[1]) * self._points[1]


def _around(across: float, up: float) -> Iterator[tuple[float, float]]:
    """Places around a point, the usual ones first, then the same further away."""
    for far in (1.0, 2.0):
        for side, above in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)):
            yield side * across, above * up * far


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Area that two boxes share; a box is its middle and its half sizes."""
    wide = one[2] + other[2] - abs(one[0] - other[0])
    high = one[3] + other[3] - abs(one[1] - other[1])
    return max(0, min(wide, 2 * one[2])) * max(0, min(high, 2 * one[3]))


def _owner(label: str) -> str:
    return label.partition(":")[0]


def _colours(count: int) -> list[str]:
    """The last one is the one meant, and has the first colour."""
    return [SERIES[at % len(SERIES)] for at in reversed(range(count))]


def _mean(values: Sequence[float]) -> list[float]:
    """Each value with its neighbours, a tenth of all of them together."""
    half = max(1, len(values) // 20)
    around = [values[max(0, at - half) : at + half + 1] for at in range(len(values))]
    return [sum(each) / len(each) for each in around]


def _line(text: str) -> str:
    """One line without what XML cannot hold."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _draw(
    draw: Callable[["Axes"], None],
    width: float,
    height: float,
    *,
    left: float,
    bottom: float,
    top: float = 0.15,
) -> str:
    """Sizes are in inches. Nothing is measured, so letters that a font lacks move nothing."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TrainingError("a report needs `matplotlib`; run `pip install matplotlib`") from error
    to = io.StringIO()
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=(width, height), facecolor="none")
        box = (left / width, bottom / height, (width - left - 0.15) / width, (height - bottom - top) / height)
        draw(figure.add_axes(box))
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(to, format="svg", metadata=nothing)
    svg = to.getvalue()
    svg = re.sub(
        r"<metadata>.*?</metadata>|<defs>\s*<style.*?</defs>", "", svg[svg.index("<svg") :], flags=re.S
    )
    return svg.replace("<svg ", '<svg style="stroke-linejoin: round; stroke-linecap: butt" ', 1)
