"""Pictures of a data set, as SVG: who speaks, how long things are.

Text in them stays text, so that names in any script are shown by whoever looks, and the bytes depend on no
font and no clock of the machine that drew them.
"""

import unicodedata
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dataset_builder.errors import DatasetError
from inference.prompt import clean_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 20  # speakers; the rest is one bar
_BINS = 40
_WIDTH = 7.2  # inches
_LETTER = 0.075  # inches of a narrow letter of a label
_INK, _FAINT = "#374151", "#e5e7eb"
_COLOURS = ("#2563eb", "#f97316", "#059669", "#a855f7", "#dc2626", "#0891b2")
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "chatnvl",
    "text.parse_math": False,  # a name may hold a `$`
    # The first comes with matplotlib, which measures with it; the second is for who looks.
    "font.sans-serif": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def speaker_chart(counts: Mapping[str, int], to: Path | IO[bytes], *, unit: str = "lines") -> None:
    """Bars of who speaks how much, the most first. Raises `DatasetError`."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [(clean_name(name), count) for name, count in ordered[:SHOWN]]
    if rest := ordered[SHOWN:]:
        shown.append((f"{len(rest):,} others", sum(count for _, count in rest)))
    names, values = [name for name, _ in shown], [count for _, count in shown]

    def draw(axes: "Axes") -> None:
        bars = axes.barh(range(len(shown)), values, color=_COLOURS[0])
        axes.bar_label(bars, [f"{value:,}" for value in values], padding=4)
        axes.set_yticks(range(len(shown)), names)
        axes.tick_params(left=False)
        axes.invert_yaxis()
        axes.set_xlabel(unit)
        axes.margins(x=0.12)

    labels = max(map(_columns, names), default=0)
    _save(draw, to, left=0.3 + _LETTER * labels, height=0.8 + 0.25 * max(len(shown), 1))


def length_chart(lengths: Mapping[str, Sequence[int]], to: Path | IO[bytes], *, unit: str) -> None:
    """How long things are, a histogram for each name in `lengths` (a language, a split).

    The longest hundredth is counted in the last bar. Raises `DatasetError`.
    """
    everything = sorted(length for group in lengths.values() for length in group)
    longest = everything[-(-(len(everything) - 1) * 99 // 100)] if everything else 1
    width = longest // _BINS + 1
    edges = list(range(0, longest + width + 1, width))

    def draw(axes: "Axes") -> None:
        for at, (name, group) in enumerate(lengths.items()):
            colour = _COLOURS[at % len(_COLOURS)]
            kept = [min(length, longest) for length in group]
            label = f"{name} ({len(group):,})"
            axes.hist(kept, edges, histtype="stepfilled", color=colour, alpha=0.35, label=label)
            axes.hist(kept, edges, histtype="step", color=colour)
        cut = f"; all above {longest:,} in the last bar" if everything[-1:] > [longest] else ""
        axes.set_xlabel(f"{unit}{cut}")
        axes.set_ylabel("how many")
        axes.locator_params(integer=True)
        axes.grid(axis="y", color=_FAINT)
        axes.set_axisbelow(True)
        if lengths:
            axes.legend(frameon=False)

    _save(draw, to, left=0.75, height=3.2)


def _columns(text: str) -> int:
    """The width of a text in narrow letters."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _save(draw: Callable[["Axes"], None], to: Path | IO[bytes], *, left: float, height: float) -> None:
    """`left` and `height` are in inches; nothing is measured, so letters that a font lacks change nothing."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DatasetError("plots need `matplotlib`; run `pip install 'chatnvl[dataset]'`") from error
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=(_WIDTH, height))
        draw(
            figure.add_axes(
                (left / _WIDTH, 0.5 / height, (_WIDTH - left - 0.2) / _WIDTH, (height - 0.6) / height)
            )
        )
        try:
            figure.savefig(to, format="svg", metadata={"Date": None, "Creator": None})
        except OSError as error:
            raise DatasetError(f"`{to}` cannot be written: {error.strerror}") from error
