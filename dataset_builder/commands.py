"""The commands: what they are asked with, what they show. Their work is in `dataset_builder.steps`."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from dataset_builder import steps
from dataset_builder.build import Build
from dataset_builder.config import (
    AskConfig,
    DialogueConfig,
    ExportConfig,
    ExtractConfig,
    FeedbackConfig,
    FilterConfig,
    first_wrong,
    load,
)
from dataset_builder.dialogue import count_speakers
from dataset_builder.errors import DatasetError, ScriptError
from dataset_builder.exporting.plots import length_chart, speaker_chart
from dataset_builder.extract import ENGINES, engine_named, extract, find
from dataset_builder.filtering.redact import read_key, restore_dialogue
from dataset_builder.filtering.review import read_review
from dataset_builder.languages import tokens
from dataset_builder.report import Losses
from dataset_builder.rows import read_rows, write_rows
from dataset_builder.schema import DIALOGUES, Scene

SHOWN = 20  # rows of a table

Arguments = argparse.Namespace
Run = Callable[[Arguments], int]


class Adding(Protocol):
    def __call__(self, name: str, run: Run, help: str, more: str = "") -> argparse.ArgumentParser: ...


def say(line: str) -> None:
    """One line for the person who started the command."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def add_all(add: Adding) -> None:
    readers = ", ".join(f"`{engine.NAME}`" for engine in ENGINES)
    inspect = add(
        "inspect",
        run_inspect,
        "show what lies in a work: formats, speakers, languages, losses",
        "Reads a file, folder or archive and shows what is in it; nothing is written but a picture, "
        f"if you ask for one. Readers: {readers}.",
    )
    inspect.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    inspect.add_argument("--picture", type=Path, metavar="FILE", help="draw who speaks how much, as SVG")
    options(inspect, ExtractConfig, leave={"paths"})

    extracting = add(
        "extract",
        run_extract,
        "scripts -> scenes, one JSON object a line",
        "Writes every line with its speaker, kind, translations and place. What was left out, and "
        "why, is shown and written to `<out>.losses.json`.",
    )
    extracting.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    output(extracting, "scenes.jsonl")
    options(extracting, ExtractConfig, leave={"paths"})

    dialogues = add(
        "dialogues",
        run_dialogues,
        "scenes -> dialogues of one character",
        "What was said to her, and what she answered. With --compat chatnvl: the rows of the project "
        "of 2023 of that name, by its own algorithm, for comparison.",
    )
    dialogues.add_argument("scenes", type=Path)
    dialogues.add_argument("--character", help="her name as the script writes it")
    dialogues.add_argument(
        "--alias", action="append", default=[], help="another name of hers (may be repeated)"
    )
    dialogues.add_argument("--compat", choices=["chatnvl"], help="the algorithm of 2023")
    dialogues.add_argument("--stopwords", type=Path, help="with --compat: its list of letters, one a line")
    output(dialogues, "dialogues.jsonl")
    options(dialogues, DialogueConfig)

    filtering = add(
        "filter",
        run_filter,
        "names and coined terms out of dialogues, reversibly",
        "Finds the names and terms of the work and writes them to a table (--review) that you may "
        "edit: what goes, what stays, by what it is replaced. Run again, and your decisions hold. The "
        "key file puts everything back; keep it.",
    )
    filtering.add_argument("dialogues", type=Path, nargs="?", help="without them, only the table is written")
    filtering.add_argument("--scenes", type=Path, required=True, help="the work that the terms are found in")
    filtering.add_argument(
        "--review", type=Path, default=Path("terms.tsv"), help="the table (default: terms.tsv)"
    )
    filtering.add_argument("--key", type=Path, default=Path("key.json"), help="default: key.json")
    output(filtering, "filtered.jsonl")
    options(filtering, FilterConfig)

    restoring = add("restore", run_restore, "put back what `filter` took out, with its key")
    restoring.add_argument("dialogues", type=Path)
    restoring.add_argument("--key", type=Path, default=Path("key.json"), help="default: key.json")
    output(restoring, "restored.jsonl")

    rewriting = add(
        "rewrite",
        run_rewrite,
        "dialogues -> chats, through a model that writes",
        "Rebuilds each dialogue as somebody chatting with her. First says what it will cost; "
        f"--estimate stops there. The key of the server is taken from {steps.KEY_VARIABLE}. Stopped "
        "anywhere, it goes on where it was.",
    )
    rewriting.add_argument("dialogues", type=Path)
    rewriting.add_argument("--review", type=Path, help="the table of `filter`: what went must not come back")
    rewriting.add_argument("--estimate", action="store_true", help="only say what it will cost")
    output(rewriting, "chats.jsonl")
    options(rewriting, AskConfig)

    profiling = add(
        "profile",
        run_profile,
        "scenes -> questions and answers about her, each with the lines that prove it",
        "Without a model: what her lines say outright. With --ask, a model reads the lines that bear "
        "on each question, and what it answers must be in them. What contradicts itself is listed in "
        "`<out>.contradictions.jsonl`.",
    )
    profiling.add_argument("scenes", type=Path)
    profiling.add_argument("--character", required=True)
    profiling.add_argument("--alias", action="append", default=[])
    profiling.add_argument(
        "--ask", action="store_true", help="ask a model for what lines do not say outright"
    )
    output(profiling, "profile.jsonl")
    options(profiling, AskConfig)

    card = add(
        "card",
        run_card,
        "draft a Character Card V3 from her lines",
        "Greeting, examples and what is known of her, with a lorebook of the work's terms. A draft: "
        "read it before use.",
    )
    card.add_argument("scenes", type=Path)
    card.add_argument("--character", required=True)
    card.add_argument("--alias", action="append", default=[])
    card.add_argument("--profile", type=Path, help="what `profile` wrote")
    card.add_argument("--review", type=Path, help="the table of `filter`, for the lorebook")
    card.add_argument("--language", default="", help="of the card; unset: that of her lines")
    output(card, "card.json")

    exporting = add(
        "export",
        run_export,
        "dialogues -> a data set: TRL, LLaMA-Factory, ShareGPT, OpenAI, Parquet, with its data card",
        "Splits by scene, leaves out duplicates, and writes the system prompt that she is served with.",
    )
    exporting.add_argument("dialogues", type=Path)
    exporting.add_argument("--card", type=Path, required=True, help="her card or her folder")
    exporting.add_argument("--name", default="", help="of the data set; unset: her id")
    exporting.add_argument("--losses", type=Path, help="the figures of `extract`, for the data card")
    exporting.add_argument("--filtered", type=Path, help="the figures of `filter`, for the data card")
    output(exporting, "dataset")
    options(exporting, ExportConfig)

    learning = add(
        "feedback",
        run_feedback,
        "votes and choices of the bot's people -> rows that train her next version",
        "Reads the events that the bot writes, and makes data sets of the votes and choices of people "
        "who consented, on what people said who consented: thumbs (KTO), pairs (DPO), both (a reward "
        "model), and liked replies (SFT). Says what was left out, and why. Run it again after somebody "
        "was forgotten, and nothing of hers is left; docs/feedback.md explains all of it.",
    )
    learning.add_argument(
        "paths",
        nargs="*",
        type=Path,
        default=[Path("data/feedback")],
        metavar="FOLDER",
        help="where bots write events (default: data/feedback); several are read as one",
    )
    learning.add_argument("-o", "--out", type=Path, help="default: data/feedback-rows/<her id>")
    options(learning, FeedbackConfig)

    building = add(
        "build",
        run_build,
        "all of it, from one configuration; goes on where it was stopped",
        "The configuration is explained in docs/dataset.md, and `dataset_builder/configs/` has examples.",
    )
    building.add_argument("config", type=Path, metavar="CONFIG.yaml")

    stats = add("stats", run_stats, "count what stands in a file of scenes or dialogues")
    stats.add_argument("file", type=Path)
    stats.add_argument("--picture", type=Path, metavar="FILE", help="draw how long things are, as SVG")


# --- what commands are asked with


def output(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument("-o", "--out", type=Path, default=Path(default), help=f"default: {default}")


def options(
    command: argparse.ArgumentParser, section: type[BaseModel], leave: frozenset[str] | set[str] = frozenset()
) -> None:
    """An option for each field of a section, with its words and its default."""
    for name, field in section.model_fields.items():
        if name in leave:
            continue
        flag = "--" + name.replace("_", "-")
        words = (field.description or "").replace("`", "").replace("%", "%%")
        default = field.get_default()
        if isinstance(default, bool) or name == "name_after":
            command.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=words)
        elif isinstance(default, tuple):
            command.add_argument(
                flag, action="append", default=None, metavar=name.upper(), help=f"{words} (repeatable)"
            )
        else:
            shown = f" (default: {default})" if default not in (None, "") else ""
            command.add_argument(flag, default=None, metavar=name.upper(), help=words + shown)


def section(kind: type[BaseModel], given: Arguments, **more: Any) -> Any:
    """The section that the options make. Raises `DatasetError`."""
    values = {name: getattr(given, name, None) for name in kind.model_fields}
    chosen = {name: value for name, value in values.items() if value is not None} | more
    if chosen.get("languages") == "bilingual":
        pass
    elif isinstance(languages := chosen.get("languages"), str) and languages:
        chosen["languages"] = languages.split(",")
    try:
        return kind.model_validate(chosen)
    except ValidationError as error:
        raise DatasetError(
            f"--{first_wrong(error).lstrip('`').replace('`', '', 1).replace('_', '-')}"
        ) from error


# --- what commands do


def run_inspect(given: Arguments) -> int:
    from rich.console import Console
    from rich.table import Table

    config = section(ExtractConfig, given)
    work, losses = steps.open_paths(config), Losses()
    found = find(work, Losses(), config.engine, config.exclude)
    scenes = extract(
        work, steps.read_options(config), losses, only=config.engine, gap=config.gap, exclude=config.exclude
    )
    screen = Console(highlight=False)
    formats = Table("format", "files", "of them", title=work.name, title_justify="left")
    for name, files in found.engines.items():
        first = files[0].name + (", …" if len(files) > 1 else "")
        formats.add_row(engine_named(name).TITLE, f"{len(files):,}", first)
    if found.others:
        formats.add_row("[dim]none[/]", f"{len(found.others):,}", found.others[0].name)
    screen.print(formats)
    kinds = Counter(line.kind for scene in scenes for line in scene.lines)
    languages = Counter(scene.language or "?" for scene in scenes for _ in scene.lines)
    translated = Counter(tag for scene in scenes for line in scene.lines for tag in line.translations)
    screen.print(
        f"{len(scenes):,} scenes; " + listed(kinds) + f"\nlanguages: {listed(languages)}"
        + (f"; translated into {listed(translated)}" if translated else "")
    )  # fmt: skip
    screen.print(bars(count_speakers(scenes), "lines"))
    show_losses(losses)
    if given.picture:
        speaker_chart(count_speakers(scenes), svg(given.picture))
        say(f"the picture is `{given.picture}`")
    return 0


def run_extract(given: Arguments) -> int:
    scenes, losses = steps.extract_step(section(ExtractConfig, given), given.out)
    show_losses(losses)
    say(f"{sum(len(scene.lines) for scene in scenes):,} lines in {len(scenes):,} scenes: `{given.out}`")
    return 0


def run_dialogues(given: Arguments) -> int:
    scenes = steps.read_scenes(given.scenes)
    if given.compat:
        count = steps.chatnvl_step(scenes, given.character, given.stopwords, given.out)
        say(f"{count:,} rows as ChatNVL made them in 2023: `{given.out}`")
        return 0
    who = named(given, scenes)
    count, tally = steps.dialogues_step(scenes, who, given.alias, section(DialogueConfig, given), given.out)
    say(
        f"{count:,} dialogues with {tally.answered:,} of {tally.lines:,} lines of `{who}`: `{given.out}`\n"
        f"she talks with {listed(tally.speakers) or 'nobody by name'}"
    )
    return 0


def run_filter(given: Arguments) -> int:
    config = section(FilterConfig, given)
    terms, losses = steps.terms_step(steps.read_scenes(given.scenes), config, given.review)
    for warning in losses.warnings:
        say(warning)
    say(f"{listed(Counter(term.action for term in terms))}; edit `{given.review}` and run again to change it")
    if given.dialogues:
        done = steps.redact_step(given.dialogues, terms, config, given.out, given.key, losses)
        kept, dropped = done.figures["dialogues kept"], done.figures["dialogues dropped"]
        say(f"{kept:,} dialogues kept, {dropped:,} dropped: `{given.out}`; the key is `{given.key}`")
    return 0


def run_restore(given: Arguments) -> int:
    key = read_key(given.key)
    count = write_rows(
        (restore_dialogue(dialogue, key) for dialogue in read_rows(given.dialogues, DIALOGUES)), given.out
    )
    say(f"{count:,} dialogues: `{given.out}`")
    return 0


def run_rewrite(given: Arguments) -> int:
    config = section(AskConfig, given)
    terms = read_review(given.review) if given.review else []
    say(steps.rewrite_step(given.dialogues, given.out, config, terms, only_estimate=True))
    if not given.estimate:
        say(steps.rewrite_step(given.dialogues, given.out, config, terms))
    return 0


def run_profile(given: Arguments) -> int:
    config = section(AskConfig, given)
    names = (named(given, steps.read_scenes(given.scenes)), *given.alias)
    rows = steps.profile_step(given.scenes, given.out, names, config if given.ask else None, config.language)
    for row in rows:
        say(f"{row.question} {row.answer} ({row.confidence:.0%})")
    say(f"{len(rows)} answers: `{given.out}`")
    return 0


def run_card(given: Arguments) -> int:
    names = (named(given, steps.read_scenes(given.scenes)), *given.alias)
    terms = read_review(given.review) if given.review else []
    steps.card_step(given.scenes, given.out, names, given.profile, terms, given.language)
    say(f"a draft of `{names[0]}`: `{given.out}`; read it before you use it")
    return 0


def run_export(given: Arguments) -> int:
    losses, filtered = (steps.read_json(path) if path else None for path in (given.losses, given.filtered))
    config = section(ExportConfig, given)
    made = steps.export_step(given.dialogues, given.card, given.out, config, losses, filtered, given.name)
    for warning in made.warnings:
        say(f"note: {warning}")
    say(f"{listed(made.rows)}; left out: {listed(made.left_out) or 'nothing'}")
    say(f"the data set is in `{given.out}`; begin with its README.md")
    return 0


def run_feedback(given: Arguments) -> int:
    from rich.console import Console

    from dataset_builder.feedback.command import run

    config = section(FeedbackConfig, given)
    out = run(given.paths, given.out, config, steps.bar, Console(highlight=False))
    say(f"the data sets are in `{out}`; its manifest.json tells what they are made of")
    return 0


def run_build(given: Arguments) -> int:
    Build(load(given.config), say).run()
    return 0


def run_stats(given: Arguments) -> int:
    from rich.console import Console

    screen = Console(highlight=False)
    if _holds_dialogues(given.file):
        dialogues = list(read_rows(given.file, DIALOGUES))
        turns = [len(dialogue.turns) for dialogue in dialogues]
        lengths = {"answers": [tokens(turn.answered) for each in dialogues for turn in each.turns]}
        screen.print(
            f"{len(dialogues):,} dialogues of {listed(Counter(each.character for each in dialogues))}, "
            f"{sum(turns):,} exchanges; languages: "
            + listed(Counter(each.language or "?" for each in dialogues))
        )
    else:
        scenes = steps.read_scenes(given.file)
        lines = [line for scene in scenes for line in scene.lines]
        lengths = {"lines": [tokens(line.text) for line in lines]}
        screen.print(f"{len(scenes):,} scenes; {listed(Counter(line.kind for line in lines))}")
        screen.print(bars(count_speakers(scenes), "lines"))
    for name, found in lengths.items():
        ordered = sorted(found) or [0]
        marks = (f"{ordered[int((len(ordered) - 1) * at)]:,} at {at:.0%}" for at in (0.05, 0.5, 0.95, 1.0))
        screen.print(f"tokens of {name}, about: {', '.join(marks)}; {sum(ordered):,} in all")
    if given.picture:
        length_chart(lengths, svg(given.picture), unit="tokens")
        say(f"the picture is `{given.picture}`")
    return 0


# --- what is shown


def named(given: Arguments, scenes: Sequence[Scene]) -> str:
    """The character that was named. Raises `DatasetError` with those who speak most."""
    if given.character:
        return str(given.character)
    most = ", ".join(f"`{name}` ({count})" for name, count in count_speakers(scenes).most_common(12))
    raise DatasetError(f"whose dialogues? --character names her; those who speak most: {most or 'nobody'}")


def _holds_dialogues(path: Path) -> bool:
    """Told by the first row."""
    try:
        next(read_rows(path, DIALOGUES), None)
    except ScriptError:
        return False
    return True


def svg(path: Path) -> Path:
    if path.suffix.lower() != ".svg":
        raise DatasetError(f"pictures are drawn as SVG: `{path.with_suffix('.svg')}`")
    return path


def listed(counts: Mapping[Any, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = f", {len(ordered) - SHOWN} others" if len(ordered) > SHOWN else ""
    return ", ".join(f"{count:,} {name}" for name, count in ordered[:SHOWN] if count) + more


def bars(counts: Mapping[str, int], unit: str) -> Any:
    """A table with a bar for each of those who speak most."""
    from rich.table import Table

    table = Table("speaker", unit, "", box=None)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    most = ordered[0][1] if ordered else 1
    for name, count in ordered[:SHOWN]:
        table.add_row(name, f"{count:,}", "█" * max(1, round(40 * count / most)))
    if len(ordered) > SHOWN:
        rest = sum(count for _, count in ordered[SHOWN:])
        table.add_row(f"[dim]{len(ordered) - SHOWN:,} others[/]", f"{rest:,}", "")
    return table


def show_losses(losses: Losses) -> None:
    say(f"{losses.seen:,} records, {losses.emitted:,} lines; left out: {listed(losses.skipped) or 'nothing'}")
    if losses.unknown:
        say(f"not understood: {listed(losses.unknown)}")
    for warning in losses.warnings[:5]:
        say(f"  {warning}")
    if (more := len(losses.warnings) - 5 + losses.more_warnings) > 0:
        say(f"  and {more:,} more; `extract` writes them down")
