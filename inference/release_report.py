"""All about a version on one page that needs nothing else: `python -m inference adapters report`."""

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from html import escape
from itertools import groupby
from pathlib import Path

from dataset_builder.schema import Tally
from inference.arms import Rate, rate
from inference.characters import Character, load_character
from inference.errors import InferenceError
from inference.gate import side_by_side
from inference.manifest import Manifest
from inference.release import Release
from inference.release_shown import flat, votes_for
from inference.report_style import STYLE
from inference.report_words import Language, Words
from inference.rewards import Accuracy, Reward, reward_behind
from inference.shelf import Shelf
from inference.trial import compared
from inference.versions import BASES, Evaluation, Figure, Metric, number, read_evaluation, read_manifest
from inference.votes_chart import COLOURS, Point, calibration_chart, interval_bar, over_time, votes_chart


def write_report(shelf: Shelf, name: str, tally: Tally | None, path: Path, language: Language) -> None:
    """Writes the page to `path`, whole or not at all. Raises `InferenceError`."""
    page = Report(shelf, name, tally, language).page()
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(page, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise InferenceError(f"`{path}` cannot be written: {error.strerror}") from error


class Report:
    """The page of one version. Raises `AdapterError`, `InferenceRejected` for one that cannot be read."""

    def __init__(self, shelf: Shelf, name: str, tally: Tally | None, language: Language) -> None:
        folder = shelf.folder(name)
        self._name = name
        self._say = Words(language)
        self._character: Character = load_character(folder.parents[2])
        self._manifest: Manifest = read_manifest(folder)
        self._evaluation = read_evaluation(folder)
        self._release: Release | None = shelf.release(self._character.id)
        self._tally = tally
        self._reward: Reward | None = reward_behind(shelf, name)
        self._other = self._compared_with(shelf)

    def page(self) -> str:
        """The HTML."""
        say, title = self._say, escape(self._name)
        parts = (
            self._tiles(),
            self._trial(),
            self._section("votes", self._votes()),
            self._section("evaluation", self._figures()),
            self._section("reward", self._of_reward()) if self._reward else "",
            self._section("from", self._origin()),
            self._section("history", self._history()),
        )
        about = say("about", name=self._character.name, base=self._manifest.base)
        return (
            f'<!doctype html>\n<html lang="{say.language}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{STYLE}</style></head>\n"
            f'<body><header><span class="soft">{escape(say("title"))}</span><h1>{title}</h1>'
            f'<p class="soft">{escape(about)}</p></header>\n<main>'
            + "\n".join(filter(None, parts))
            + "</main></body></html>\n"
        )

    def _section(self, heading: str, parts: Iterable[str]) -> str:
        return f"<section><h2>{escape(self._say(heading))}</h2>{''.join(parts)}</section>"

    # --- at a glance ----------------------------------------------------------------------------------------

    def _tiles(self) -> str:
        say = self._say
        state = self._release.state(self._name) if self._release else None
        tiles = [(say("state"), say(f"is-{state}") if state else "—", self._share())]
        liked = votes_for(self._tally, self._name)
        if liked.votes:
            under = f"{_between(liked)}, {say('of_votes', votes=f'{liked.votes:,.0f}')}"
            tiles.append((say("liked"), _percent(liked.value), under))
        if self._evaluation and self._evaluation.goals:
            goals = self._evaluation.goals
            met = str(sum(goal.met for goal in goals))
            tiles.append((say("goals"), met, say("goals_of", count=len(goals))))
        if self._reward:
            right = self._reward.overall
            under = f"{_between(right)}, {say('pairs', count=right.n)}"
            tiles.append((say("right"), _percent(right.value), under))
        cells = (
            f"<li><span>{escape(top)}</span><b>{escape(value)}</b><i>{escape(under)}</i></li>"
            for top, value, under in tiles
        )
        return f'<ul class="tiles">{"".join(cells)}</ul>'

    def _share(self) -> str:
        canary = self._release.canary if self._release else None
        return _percent(canary.share) if canary and canary.version == self._name else ""

    def _trial(self) -> str:
        release = self._release
        trial = compared(release, self._tally) if release else None
        if release is None or release.canary is None or trial is None or self._name not in release.named:
            return ""
        canary = release.canary
        told = self._say(
            "trial_about",
            since=_day(canary.since),
            canary=canary.version,
            stable=release.stable,
            share=_percent(canary.share),
        )
        decides = self._say("decides" if canary.decides else "by_hand")
        rows = ((canary.version, trial.canary), (release.stable, trial.stable))
        table = "".join(f"<tr><th>{escape(name)}</th>{_rate_cells(found)}</tr>" for name, found in rows)
        return self._section(
            "trial",
            (
                f"<p>{escape(told)} {escape(decides)}</p>",
                f"<table><tbody>{table}</tbody></table>",
                f'<p style="margin-top:12px">{escape(trial.reason(self._say.language))}</p>',
            ),
        )

    # --- what people think ----------------------------------------------------------------------------------

    def _votes(self) -> Iterator[str]:
        say = self._say
        rows = [
            each
            for each in (self._tally.versions if self._tally else ())
            if each.character == self._character.id
        ]
        lines = over_time(rows)
        if not lines:
            yield f"<p>{escape(say('no_votes'))}</p>"
            return
        yield f'<p class="soft">{escape(say("votes_about"))}</p>'
        yield votes_chart(lines, say("votes"), self._told_point)
        yield f'<div class="wide"><table><thead><tr><th>{escape(say("version"))}</th>'
        yield "".join(f'<th class="n">{escape(say(each))}</th>' for each in ("shown", "up", "down"))
        yield f'<th class="n">{escape(say("share"))}</th><th></th></tr></thead><tbody>'
        for at, name in enumerate(lines):
            mine = [each for each in rows if each.version == name]
            up, down, shown = (
                sum(each.up for each in mine),
                sum(each.down for each in mine),
                sum(each.shown for each in mine),
            )
            this = ' class="this"' if name == self._name else ""
            key = f'<span class="key" style="background:var(--series-{at % COLOURS})"></span>'
            counts = "".join(f'<td class="n">{count:,}</td>' for count in (shown, up, down))
            yield f"<tr{this}><th>{key}{escape(name)}</th>{counts}{_rate_cells(rate(up, down))}</tr>"
        yield "</tbody></table></div>"

    def _told_point(self, version: str, point: Point) -> str:
        liked = point.liked
        votes = self._say("of_votes", votes=f"{liked.votes:,.0f}")
        return f"{version}, {point.day.isoformat()}: {_percent(liked.value)} ({_between(liked)}), {votes}"

    # --- what was measured ----------------------------------------------------------------------------------

    def _figures(self) -> Iterator[str]:
        say, found = self._say, self._evaluation
        if found is None:
            yield f"<p>{escape(say('no_evaluation'))}</p>"
            return
        other, old = self._other
        about = say("evaluation_about", other=other) if old else say("evaluation_alone")
        yield f'<p class="soft">{escape(about)}</p><div class="wide"><table><thead><tr><th></th>'
        heads = [say("base"), say("card"), *((other,) if old else ()), self._name]
        yield (
            "".join(f'<th class="n">{escape(head)}</th>' for head in heads) + "<th></th></tr></thead><tbody>"
        )
        for group, metrics in groupby(found.metrics, lambda metric: metric.group):
            yield f'<tr class="group"><th colspan="{len(heads) + 2}">{escape(say(group))}</th></tr>'
            for metric in metrics:
                yield self._metric(metric, found, old)
        yield "</tbody></table></div>"
        if found.goals:
            yield '<ul class="goals">'
            for goal in found.goals:
                mark = '<b class="good">✓</b>' if goal.met else '<b class="bad">✗</b>'
                figure = f"{number(goal.value)} ({number(goal.low)}–{number(goal.high)})"
                wanted = escape(say("wanted", goal=number(goal.goal)))
                text = escape(say.goal(goal.text))
                yield f"<li>{mark} {text}: {figure}, <small>{wanted}</small></li>"
            yield "</ul>"

    def _metric(self, metric: Metric, found: Evaluation, old: Evaluation | None) -> str:
        say = self._say
        unit = f", {metric.unit}" if metric.unit else ""
        arrow, meaning = ("↑", "more_is_better") if metric.better == "higher" else ("↓", "less_is_better")
        cells = [_cell(metric.values.get(system)) for system in BASES]
        mark = ""
        if old is not None:
            (beside,) = (each for each in side_by_side(found, old) if each.metric.name == metric.name)
            cells.append(_cell(beside.old))
            if beside.won or beside.lost:
                kind, word = ("good", "better") if beside.won else ("bad", "worse")
                mark = f'<span class="{kind}">{escape(say(word))}</span>'
        label = f"{escape(say.metric(metric.name, metric.label) + unit)}"
        arrow = f'<span title="{escape(say(meaning))}">{arrow}</span>'
        return f"<tr><th>{label} {arrow}</th>{''.join(cells)}{_cell(metric.own)}<td>{mark}</td></tr>"

    def _compared_with(self, shelf: Shelf) -> tuple[str, Evaluation | None]:
        """The version that answers, or that answered before; else the nearest parent."""
        release = self._release
        names = [release.stable, release.previous] if release else []
        names += [each.name for each in self._manifest.lineage]
        for name in names:
            if name is None or name == self._name:
                continue
            try:
                found = read_evaluation(shelf.folder(name))
            except InferenceError:
                continue
            if found is not None:
                return name, found
        return "", None

    # --- the reward model -----------------------------------------------------------------------------------

    def _of_reward(self) -> Iterator[str]:
        say, reward = self._say, self._reward
        assert reward is not None
        yield f'<p class="soft">{escape(say("reward_about", name=reward.name))}'
        yield "" if reward.named else f" {escape(say('reward_newest'))}"
        yield f"</p><table><thead><tr><th>{escape(say('kind'))}</th><th></th><th></th></tr></thead><tbody>"
        for kind, right in ((say("overall"), reward.overall), *reward.kinds.items()):
            cells = _rate_cells(right, say("pairs", count=right.n))
            yield f"<tr><th>{escape(kind)}</th>{cells}</tr>"
        yield "</tbody></table>"
        found = reward.calibration
        bins = [(each.low, each.high, each.accuracy, each.n) for each in found.bins]
        about = say("calibration_about", after=number(found.error), before=number(found.error_before))
        yield f'<p style="margin-top:18px">{escape(say("calibration"))}. {escape(about)}</p>'
        yield calibration_chart(bins, say("calibration")).replace("<svg ", '<svg class="small" ', 1)

    # --- where it comes from --------------------------------------------------------------------------------

    def _origin(self) -> Iterator[str]:
        say, manifest = self._say, self._manifest
        line = [(manifest.base, say("base"))]
        line += [(each.name, each.stage) for each in reversed(manifest.lineage)]
        line.append((self._name, manifest.stage))
        items = (
            f"<li><span>{escape(name)}<small>{escape(stage)}</small></span></li>" for name, stage in line
        )
        yield f'<ol class="line">{"".join(items)}</ol>'
        if manifest.data:
            head = f'<th>{escape(say("data"))}</th><th class="n">{escape(say("rows"))}</th><th>sha256</th>'
            yield f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>'
            for file in manifest.data:
                yield f"<tr><th>{escape(file.path)}</th>"
                yield f'<td class="n">{file.rows:,}</td><td class="hash">{escape(file.sha256)}</td></tr>'
            yield "</tbody></table></div>"
        facts = [("sha256", manifest.sha256), ("base sha256", manifest.base_sha256), ("card", manifest.card)]
        facts += list(flat(manifest.config)) + list(flat(manifest.libraries))
        rows = (
            f'<tr><th>{escape(key)}</th><td class="hash">{escape(value)}</td></tr>'
            for key, value in facts
            if value
        )
        yield f"<details><summary>{escape(say('settings'))}</summary><table>{''.join(rows)}</table></details>"

    def _history(self) -> Iterator[str]:
        say = self._say
        if self._release is None:
            yield f"<p>{escape(say('no_release'))}</p>"
            return
        head = "".join(f"<th>{escape(say(each))}</th>" for each in ("time", "version", "what", "why", "by"))
        yield f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>'
        for each in reversed(self._release.history):
            this = ' class="this"' if each.version == self._name else ""
            cells = (each.version, say(each.action), each.reason, say(each.by))
            yield f'<tr{this}><td class="time">{_minute(each.time)}</td>'
            yield "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        yield "</tbody></table></div>"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _rate_cells(found: Rate | Accuracy, count: str = "") -> str:
    told = f"{_percent(found.value)}<small>{_between(found)}{f', {escape(count)}' if count else ''}</small>"
    return f'<td class="n">{told}</td><td>{interval_bar(found.low, found.value, found.high)}</td>'


def _between(found: Rate | Accuracy) -> str:
    return f"{100 * found.low:.0f}–{100 * found.high:.0f} %"


def _cell(figure: Figure | None) -> str:
    if figure is None or not figure.n:
        return "<td></td>"
    between = f"{number(figure.low)}–{number(figure.high)}"
    return f'<td class="n">{number(figure.value)}<small>{between}</small></td>'


def _day(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).date().isoformat()


def _minute(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")
