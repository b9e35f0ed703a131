"""Each command's work, from files to files. `build` runs them one after another."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from pydantic import SecretStr

from dataset_builder import chatnvl
from dataset_builder.asking.cost import PRICES, Budget, Price, load_prices
from dataset_builder.card import CardOptions, write_card
from dataset_builder.config import AskConfig, DialogueConfig, ExportConfig, ExtractConfig, FilterConfig
from dataset_builder.dialogue import DialogueOptions, Tally, dialogues
from dataset_builder.engines import ReadOptions
from dataset_builder.errors import DatasetError
from dataset_builder.export import Exported, ExportOptions, export, open_character
from dataset_builder.extract import extract
from dataset_builder.filter import find_terms, read_words, texts_by_language
from dataset_builder.filtering.ner import recognise
from dataset_builder.filtering.redact import Redaction, write_key
from dataset_builder.filtering.review import decided, read_review, write_review
from dataset_builder.filtering.terms import Term
from dataset_builder.profile import ProfileOptions, ProfileRow, estimate_profile, profile
from dataset_builder.report import Losses
from dataset_builder.rewrite import RewriteOptions, estimate_rewrite, rewrite
from dataset_builder.rows import read_rows, write_rows
from dataset_builder.schema import DIALOGUES, SCENES, Scene
from dataset_builder.work import Work, open_work
from inference.client import Endpoint

KEY_VARIABLE = "CHATNVL_INFERENCE__API_KEY"


def open_paths(config: ExtractConfig) -> Work:
    """Everything that is pointed at, as one work. Raises `DatasetError`."""
    works = [open_work(path) for path in config.paths]
    if not works:
        raise DatasetError("no script is named")
    files = works[0].files
    if len(works) > 1:  # each below a name of its own
        names = [
            work.name if path.is_dir() else path.name for work, path in zip(works, config.paths, strict=True)
        ]
        firsts = [f"{name}-{at}" if name in names[:at] else name for at, name in enumerate(names)]
        files = tuple(
            replace(file, name=f"{first}/{file.name}" if path.is_dir() else first)
            for work, path, first in zip(works, config.paths, firsts, strict=True)
            for file in work.files
        )
    return Work(config.work or works[0].name, files)


def read_options(config: ExtractConfig) -> ReadOptions:
    return ReadOptions(
        work=config.work,
        language=config.language,
        translation=config.translation,
        encoding=config.encoding,
        psb_key=config.psb_key,
        speakers=config.speakers,
        names=tuple(read_words(config.names)) if config.names else (),
        name_after=config.name_after,
    )


def extract_step(config: ExtractConfig, out: Path) -> tuple[list[Scene], Losses]:
    """Scripts -> scenes. What was lost stands in `<out>.losses.json`."""
    if any(path.is_file() and out.exists() and out.samefile(path) for path in config.paths):
        raise DatasetError(f"`{out}` is what is read; name another file")
    losses = Losses()
    scenes = extract(
        open_paths(config),
        read_options(config),
        losses,
        only=config.engine,
        gap=config.gap,
        exclude=config.exclude,
    )
    write_rows(scenes, out)
    write_json(beside(out, "losses"), losses.as_dict())
    return scenes, losses


def dialogues_step(
    scenes: Sequence[Scene], character: str, aliases: Sequence[str], config: DialogueConfig, out: Path
) -> tuple[int, Tally]:
    """Scenes -> her dialogues; how many there are, and what became of her lines."""
    tally = Tally()
    options = DialogueOptions(aliases=tuple(aliases), **config.model_dump())
    count = write_rows(dialogues(scenes, character, options, tally), out)
    write_json(beside(out, "tally"), tally.as_dict())
    return count, tally


def chatnvl_step(scenes: Sequence[Scene], character: str | None, stopwords: Path | None, out: Path) -> int:
    """Scenes -> the seed's own rows."""
    stops = frozenset(read_words(stopwords)) if stopwords else frozenset()
    return write_rows(chatnvl.samples(chatnvl.chats(scenes), character, stops), out)


@dataclass(frozen=True)
class Filtered:
    """What the filter did, for people and for the data card."""

    terms: list[Term]
    figures: dict[str, Any]


def terms_step(scenes: Sequence[Scene], config: FilterConfig, review: Path) -> tuple[list[Term], Losses]:
    """Scenes -> the file of names and terms that a person edits. What stands in it already stays decided."""
    losses = Losses()
    hits = []
    if config.ner:
        hits = list(recognise(texts_by_language(scenes), losses, cache=beside(review, "ner")))
    terms = find_terms(
        scenes,
        losses,
        more=hits,
        deny=read_words(config.deny) if config.deny else None,
        allow=read_words(config.allow) if config.allow else (),
    )
    if review.is_file():
        terms = decided(terms, read_review(review))
    write_review(review, terms)
    return terms, losses


def redact_step(
    found: Path,
    terms: Sequence[Term],
    config: FilterConfig,
    out: Path,
    key: Path,
    losses: Losses | None = None,
) -> Filtered:
    """Dialogues -> dialogues without the terms. `key` puts them back and stays with its owner."""
    redaction = Redaction(terms, own_name=config.keep_own_name)
    dropped = kept = 0

    def rows() -> Iterator[Any]:
        nonlocal dropped, kept
        for dialogue in read_rows(found, DIALOGUES):
            redacted = redaction.redact(dialogue)
            if redacted is None:
                dropped += 1
            else:
                kept += 1
                yield redacted

    write_rows(rows(), out)
    write_key(key, redaction.key)
    figures = {
        "dialogues kept": kept,
        "dialogues dropped": dropped,
        "terms by action": dict(sorted(Counter(term.action for term in terms).items())),
        "terms by source": dict(sorted(Counter(s for term in terms for s in term.sources).items())),
    }
    if losses and losses.warnings:
        figures["left out"] = losses.warnings
    write_json(beside(out, "filter"), figures)
    return Filtered(list(terms), figures)


def profile_step(
    scenes: Path, out: Path, names: Sequence[str], config: AskConfig | None, language: str = ""
) -> list[ProfileRow]:
    """Scenes -> questions and answers about her, each with the lines that prove it."""
    options = ProfileOptions(names=tuple(names), language=config.language if config else language)
    if config is None:
        return asyncio.run(profile(scenes, out, options))
    from dataset_builder.asking.llm import Asking

    _demand_key(config)
    asking = Asking(**_asking(config))
    cost = estimate_profile(scenes, out, options, asking, _price(config))
    with bar("asking about her", cost.rows) as advance:
        return asyncio.run(
            profile(scenes, out, options, asking=asking, budget=_budget(config), advance=advance)
        )


def rewrite_step(
    found: Path, out: Path, config: AskConfig, terms: Sequence[Term] = (), *, only_estimate: bool = False
) -> str:
    """Dialogues -> chats, by a model. Returns one line on what it costs, or has cost."""
    from dataset_builder.asking.llm import Asking

    asking, price = Asking(**_asking(config)), _price(config)
    options = RewriteOptions(language=config.language, terms=tuple(terms))
    cost = estimate_rewrite(found, out, asking, options, price)
    money = "" if cost.money is None else f", about ${cost.money:.2f} (at most ${cost.most_money:.2f})"
    line = (
        f"{cost.rows:,} dialogues to ask `{config.model}` about, {cost.finished:,} finished earlier: "
        f"{cost.likely.total:,} tokens{money}"
    )
    if only_estimate:
        return line
    _demand_key(config)
    if out.exists() and out.samefile(found):
        raise DatasetError(f"`{out}` is what is read; name another file")
    losses = Losses()
    try:
        with bar("rebuilding dialogues", cost.rows) as advance:
            asked = asyncio.run(
                rewrite(found, out, asking, options, losses, budget=_budget(config), advance=advance)
            )
    finally:
        write_json(beside(out, "losses"), losses.as_dict())
    spent = "" if price is None else f", ${asked.spent.money(price):.2f}"
    return f"{losses.emitted:,} of {losses.seen:,} rebuilt, {asked.spent.total:,} tokens{spent}"


def card_step(
    scenes: Path,
    out: Path,
    names: Sequence[str],
    profile: Path | None,
    terms: Sequence[Term] = (),
    language: str = "",
) -> dict[str, Any]:
    """Scenes (and a profile) -> a draft of her card."""
    return write_card(scenes, out, CardOptions(tuple(names), language, tuple(terms)), profile)


def export_step(
    found: Path,
    card: Path,
    out: Path,
    config: ExportConfig,
    losses: Mapping[str, Any] | None = None,
    filtered: Mapping[str, Any] | None = None,
    name: str = "",
) -> Exported:
    """Dialogues and a card -> the data set."""
    options = ExportOptions(**{**dict(config), "languages": config.languages or ()}, name=name)
    return export(
        read_rows(found, DIALOGUES), open_character(card), out, options, losses=losses, filtered=filtered
    )


def read_scenes(path: Path) -> list[Scene]:
    return list(read_rows(path, SCENES))


# --- small things


def beside(path: Path, what: str) -> Path:
    """`a/b.jsonl` -> `a/b.<what>.json`."""
    return path.with_name(f"{path.stem}.{what}.json")


def write_json(path: Path, value: object) -> None:
    """The same value gives the same bytes. Raises `DatasetError`."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        unfinished.replace(path)
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be written: {error.strerror}") from error


def read_json(path: Path) -> Any:
    """None where there is nothing to read."""
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None


@contextmanager
def bar(what: str, total: int) -> Iterator[Any]:
    """A progress bar on standard error; yields what tells it how many are done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=done)


def _demand_key(config: AskConfig) -> None:
    """OpenAI wants a key; a server of one's own may not."""
    if config.base_url is None and not os.environ.get(KEY_VARIABLE):
        raise DatasetError(f"OpenAI wants a key: set `{KEY_VARIABLE}`, or name your own server by `base_url`")


def _asking(config: AskConfig) -> dict[str, Any]:
    from dataset_builder.asking.llm import CHATGPT

    key = os.environ.get(KEY_VARIABLE)
    endpoint = Endpoint(base_url=config.base_url or CHATGPT, api_key=SecretStr(key) if key else None)
    return {"endpoint": endpoint, "model": config.model, "concurrency": config.concurrency}


def _price(config: AskConfig) -> Price | None:
    return (load_prices(config.prices) if config.prices else PRICES).get(config.model)


def _budget(config: AskConfig) -> Budget:
    return Budget(config.budget_tokens, config.budget_money, _price(config))
