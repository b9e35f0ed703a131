"""The report of a version: what got better, what it cost, what to try next.

    python -m training report versions=characters/maeve/adapters/smollm2-135m/v2

One HTML file that asks the network for nothing, and the same in Markdown with its pictures beside it. Both
are made of what stands in the version folders alone, so the same versions give the same bytes. The words are
for people who never trained a model; the figures are all there.
"""

import html
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from inference.characters import Character, load_character
from inference.errors import CharacterError
from inference.manifest import Manifest
from training.advice import advice
from training.charts import DARK, LIGHT, Chart, SeedRun, bars, best_of, curves, frontier, number
from training.config import Paths, Section
from training.errors import ConfigError, TrainingError
from training.evaluation import ABILITY_LOSS, STYLE_GAIN, Evaluation, Metric, Sample, System
from training.findings import ABILITY_PROBES, STYLE_PROBES, Point, Version, read_version
from training.wording import STAGES, better, cost, duration, interval, met, signed, span, tiles

HERE = Path(__file__).parent
SEED_RUNS = HERE / "seed_runs.json"
REPORTS = Path("data/training/reports")
SAMPLES = 10
DRAWN = ("rouge1", "heldout_perplexity", "who_said_it", "persona_right", "ability", "safety")
GROUPS = {
    "style": "Sounding like the character",
    "speaker": "Being told from others",
    "persona": "Knowing who it is",
    "ability": "General ability",
    "safety": "Safety",
    "manner": "Manner of speaking",
}
# Title, (label, what a stage calls it). One picture each, where anything was logged.
CURVES: tuple[tuple[str, str, tuple[tuple[str, tuple[str, ...]], ...]], ...] = (
    ("loss", "Loss", (("learned", ("loss",)), ("held out", ("eval_loss",)))),
    ("rate", "Learning rate", (("learning rate", ("learning_rate",)),)),
    ("reward", "Reward", (("learned", ("reward",)), ("held out", ("eval_reward",)))),
    ("kl", "KL: how far from where it began", (("KL", ("kl",)),)),
    ("probe-ability", "General ability, probed during the run", (("ability", ABILITY_PROBES),)),
    ("probe-style", "Style, probed during the run", (("style", STYLE_PROBES),)),
)
NOISY = {"loss", "reward", "kl"}


class ReportConfig(Section):
    """`python -m training report`."""

    versions: Paths
    """Version folders of one character on one base. The report is about the last; the others are what was
    tried."""
    out: Path | None = None
    """The folder to write; unset: `data/training/reports/<character>-<base>-<version>`."""
    card: str = ""
    """The card of the data set it was trained on, to be linked: a file or an address."""
    title: str = ""
    """Unset: the character's name and version."""


def report(config: ReportConfig) -> Path:
    """Writes `report.html`, `report.md` and the pictures of the latter; returns the HTML file's path.

    Raises `TrainingError`.
    """
    versions = [read_version(folder) for folder in config.versions]
    _check_together(versions)
    it = versions[-1]
    out = config.out or REPORTS / f"{it.character}-{it.manifest.base}-{it.folder.absolute().name}"
    page = _page(versions, config, out)
    charts: list[Chart] = page["charts"]
    files = {f"{chart.name}.svg": chart.file for chart in charts}
    files |= {
        "report.md": _render("report.md.jinja", page),
        "report.html": _render("report.html.jinja", page),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"`{out}` cannot be written: {error.strerror}") from error
    return out / "report.html"


def _check_together(versions: Sequence[Version]) -> None:
    if not versions:
        raise ConfigError("`versions` is empty: name one version folder or several")
    first = versions[0]
    for other in versions[1:]:
        if (other.character, other.manifest.base) != (first.character, first.manifest.base):
            raise ConfigError(
                f"`{other.folder}` is of {other.character} on {other.manifest.base}, and `{first.folder}` of "
                f"{first.character} on {first.manifest.base}; a report is of one character on one base"
            )


def seed_runs() -> list[SeedRun]:
    """The runs of the project before this one, against its own base model, in %."""
    runs = json.loads(SEED_RUNS.read_text(encoding="utf-8"))["runs"]
    base = runs[0]
    return [
        SeedRun(
            id=run["id"],
            lost=100 * (1 - run["alpaca"]["rouge1"] / base["alpaca"]["rouge1"]),
            gained=100 * (run["koikake"]["rouge1"] / base["koikake"]["rouge1"] - 1),
            auxiliary=run["auxiliary"],
        )
        for run in runs[1:]
    ]


def _page(versions: Sequence[Version], config: ReportConfig, out: Path) -> dict[str, Any]:
    """All that the two templates show."""
    it = versions[-1]
    evaluation = it.evaluation
    character = _character(it.folder)
    name = character.name if character else it.character
    systems = _systems(evaluation)
    charts = _charts(versions, systems)
    return {
        "title": config.title or f"{name}, {it.folder.absolute().name}",
        "name": name,
        "version": it.name,
        "manifest": it.manifest,
        "has_evaluation": evaluation is not None,
        "has_history": bool(it.history),
        "stage": STAGES.get(it.manifest.stage, it.manifest.stage),
        "notes": evaluation.settings.get("notes", []) if evaluation else [],
        "tiles": list(tiles(it)),
        "better": list(better(it)),
        "cost": list(cost(it)),
        "goals": evaluation.goals if evaluation else (),
        "advice": advice(it),
        "tried": _tried(versions),
        "charts": charts,
        "chart": {chart.name: chart for chart in charts},
        "systems": systems,
        "groups": _groups(evaluation),
        "samples": [
            _sample(sample, systems) for sample in (evaluation.samples[:SAMPLES] if evaluation else ())
        ],
        "lineage": [*reversed(it.manifest.lineage)],
        "facts": _facts(it.manifest, evaluation),
        "card": _link(config.card, out),
        "seed_source": json.loads(SEED_RUNS.read_text(encoding="utf-8"))["source"],
        "style_goal": STYLE_GAIN,
        "ability_goal": ABILITY_LOSS,
        "light": LIGHT,
        "dark": DARK,
    }


def _character(version: Path) -> Character | None:
    """Whose adapter it is; a version that was copied elsewhere has no card above it."""
    try:
        return load_character(version.absolute().parents[2])
    except CharacterError:
        return None


def _link(card: str, out: Path) -> str:
    if not card or card.startswith(("https://", "http://")):
        return card
    if not Path(card).exists():
        raise ConfigError(f"`card` is `{card}`, and there is no such file")
    return quote(Path(os.path.relpath(card, out)).as_posix())


def _systems(evaluation: Evaluation | None) -> list[System]:
    return list(evaluation.systems) if evaluation else []


def _charts(versions: Sequence[Version], systems: Sequence[System]) -> list[Chart]:
    charts = []
    ours: dict[str, Point] = {each.name: each.point for each in versions if each.point}
    if ours:
        charts += [frontier(ours, seed_runs(), narrow=narrow) for narrow in (False, True)]
    for name, title, kinds in CURVES:
        lines = {
            _label(version, label, kinds, versions): points
            for version in versions
            for label, keys in kinds
            if (points := version.curve(*keys))
        }
        if lines:
            charts.append(curves(f"curve-{name}", title, lines, noisy=name in NOISY))
    evaluation = versions[-1].evaluation
    metrics = {metric.name: metric for metric in (evaluation.metrics if evaluation else ())}
    return [
        *charts,
        *(bars(metrics[name], systems) for name in DRAWN if name in metrics and metrics[name].values),
    ]


def _label(version: Version, label: str, kinds: Sequence[Any], versions: Sequence[Version]) -> str:
    """Of a line in a picture: whose it is among several versions, and what it is among several kinds."""
    if len(versions) == 1:
        return label
    return f"{version.name}: {label}" if len(kinds) > 1 else version.name


def _sample(sample: Sample, systems: Sequence[System]) -> dict[str, Any]:
    """A person and the character take turns, and the person's come last."""
    roles = [("user", "assistant")[at % 2] for at in reversed(range(len(sample.said)))]
    replies = [(each, sample.replies[each.id]) for each in systems if each.id in sample.replies]
    return {"turns": list(zip(roles, sample.said, strict=True)), "replies": replies, "own": sample.own}


def _groups(evaluation: Evaluation | None) -> list[tuple[str, list[Metric]]]:
    """Metrics by group, groups in their order, unknown ones last."""
    found: dict[str, list[Metric]] = {group: [] for group in GROUPS}
    for metric in evaluation.metrics if evaluation else ():
        found.setdefault(metric.group, []).append(metric)
    return [(GROUPS.get(group, group), metrics) for group, metrics in found.items() if metrics]


def _tried(versions: Sequence[Version]) -> dict[str, Any]:
    """A row for each version: what was set differently, and what came of it."""
    flat = [dict(_flat(version.manifest.config)) for version in versions]
    names = list(dict.fromkeys(name for each in flat for name in each))
    differing = [name for name in names if len({each.get(name, "") for each in flat}) > 1]
    rows = []
    for version, settings in zip(versions, flat, strict=True):
        rows.append(
            [
                (version.name, ""),
                (version.manifest.stage or "–", ""),
                *((settings.get(name, "–"), "") for name in differing),
                *(
                    (f"{signed(change.value)} %", span(change)) if change else ("–", "")
                    for change in (version.gained, version.lost, version.dropped and version.dropped.negated)
                ),
                (met(version), ""),
            ]
        )
    outcome = ["style gained", "ability lost", "perplexity", "goals met"]
    return {"head": ["version", "stage", *differing, *outcome], "rows": rows if len(rows) > 1 else []}


def _facts(manifest: Manifest, evaluation: Evaluation | None) -> list[tuple[str, list[tuple[str, str]]]]:
    """Everything that tells how to make it again, as tables of two columns."""
    ours = {
        "base model": manifest.base,
        "base model, sha256": manifest.base_sha256,
        "adapter, sha256": manifest.sha256,
        "card, sha256": manifest.card,
        "stage": manifest.stage,
        "seed": str(manifest.seed) if manifest.config else "",
    }
    figures = {
        name: duration(value) if name == "seconds" else f"{value:,.10g}"
        for name, value in manifest.figures.items()
    }
    evaluated = (
        {"seconds": duration(evaluation.seconds), **dict(_flat(evaluation.settings))} if evaluation else {}
    )
    tables = {
        "What it is": {name: value for name, value in ours.items() if value},
        "What the run measured": figures,
        "Configuration": dict(_flat(manifest.config)),
        "Libraries": manifest.libraries,
        "Hardware": {name: str(value) for name, value in manifest.hardware.items()},
        "How it was measured": evaluated,
        "Also in the manifest": dict(_flat(manifest.model_extra or {})),
    }
    return [(title, list(rows.items())) for title, rows in tables.items() if rows]


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        elif isinstance(value, list | tuple):
            yield f"{above}{key}", ", ".join(map(str, value)) or "none"
        elif value is None or value == "":
            yield f"{above}{key}", "unset"
        else:
            yield f"{above}{key}", str(value).lower() if isinstance(value, bool) else str(value)


def _render(template: str, page: Mapping[str, Any]) -> str:
    """`page` by a template beside this file. What is not marked as safe is escaped, as HTML or Markdown."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise TrainingError("a report needs `jinja2`; run `pip install jinja2`") from error

    def prose(text: str) -> str:
        """Backticks become code."""
        parts = text.split("`")
        shown = [code(part) if at % 2 else plain(part) for at, part in enumerate(parts)]
        return Markup("".join(shown))

    in_html = template.endswith(".html.jinja")
    plain = html.escape if in_html else markdown
    code = (lambda part: f"<code>{html.escape(part)}</code>") if in_html else (lambda part: f"`{part}`")
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=in_html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=None
        if in_html
        else lambda value: value if isinstance(value, Markup) else markdown(str(value)),
    )
    environment.filters |= {
        "number": number,
        "interval": interval,
        "best": best_of,
        "prose": prose,
        "svg": Markup,
    }
    text = environment.get_template(template).render(page)
    return text if in_html else re.sub(r" +$", "", text, flags=re.MULTILINE)


def markdown(text: str) -> str:
    """Text of somebody else's that is no Markdown and no HTML, on one line."""
    escaped = re.sub(r"([\\`*_\[\]|#!~$])", r"\\\1", html.escape(text, quote=False))
    return "<br>".join(escaped.splitlines())
