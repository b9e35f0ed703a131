"""How much of what a careful person would take out the filter finds: precision and recall, by source.

    python -m tests.bench.filter [--ner] [--misses] [--speed]

Over the 300 labelled lines of `tests/dataset_builder/gold/filter.jsonl`, whose works lie beside the checkout.
A span counts when it is found exactly; "letters" is the share of the labelled letters that are taken out at
all. The terms are found in each work as a whole, as a user finds them, and nobody reviews them. With `--ner`
the models for named entities are a further source, and stand alone as the peer. The even lines of the gold
were looked at while the rules were made, the odd ones were not.
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from dataset_builder.engines import Engine, ReadOptions, ink, renpy, tyrano
from dataset_builder.filter import find_terms, texts_by_language
from dataset_builder.filtering.ner import entities, recognise, recogniser
from dataset_builder.filtering.redact import Redaction
from dataset_builder.filtering.terms import WORD, Matcher, Term
from dataset_builder.report import Losses
from dataset_builder.scenes import tidy
from dataset_builder.schema import Dialogue, Scene, Turn, Utterance
from dataset_builder.work import open_work

ROOT = Path(__file__).parents[2]
CORPORA = ROOT.parent / "shared" / "corpora"
GOLD = ROOT / "tests" / "dataset_builder" / "gold" / "filter.jsonl"
CACHE = ROOT / "data" / "ner.jsonl"
WORKS: Mapping[str, tuple[Engine, str]] = {  # folder -> its reader, its language
    "schoolboys_ayumi": (renpy, "zh"),
    "tyrano_jinro": (tyrano, "ja"),
    "ink_the_intercept": (ink, "en"),
    "renpy_the_question": (renpy, "en"),
}
SPEED_LINES = 50_000

Span = tuple[int, int]


@dataclass(frozen=True)
class Labelled:
    """A line of the gold."""

    number: int
    file: str
    language: str
    text: str
    spans: frozenset[Span]


@dataclass
class Score:
    """Spans found, right and wanted; letters covered and wanted."""

    found: int = 0
    right: int = 0
    wanted: int = 0
    covered: int = 0
    letters: int = 0

    def add(self, found: set[Span], wanted: frozenset[Span]) -> None:
        self.found += len(found)
        self.right += len(found & wanted)
        self.wanted += len(wanted)
        inside = {at for start, end in wanted for at in range(start, end)}
        self.letters += len(inside)
        self.covered += len(inside & {at for start, end in found for at in range(start, end)})

    def __str__(self) -> str:
        return (
            f"precision {self.right / max(self.found, 1):4.0%}   "
            f"recall {self.right / max(self.wanted, 1):4.0%}   "
            f"letters {self.covered / max(self.letters, 1):4.0%}   ({self.right} of {self.wanted})"
        )


def gold() -> list[Labelled]:
    lines = []
    for number, row in enumerate(map(orjson.loads, GOLD.read_bytes().splitlines())):
        spans = frozenset(in_order(row["text"], row["terms"]))
        lines.append(Labelled(number, row["file"], row["language"], row["text"], spans))
    return lines


def in_order(text: str, words: Iterable[str]) -> Iterable[Span]:
    """Where words stand that were noted in reading order."""
    end = 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        yield start, end


def read(folder: str, losses: Losses) -> list[Scene]:
    engine, language = WORKS[folder]
    work = open_work(CORPORA / folder)
    options = ReadOptions(work=work.name, language=language)
    files = [file for file in work.files if engine.sniff(file.name, file.head) > 0.3]
    return tidy(engine.read(files, options, losses), losses)


def found_by(terms: Sequence[Term]) -> Callable[[str], set[Span]]:
    matcher = Matcher(term for term in terms if term.action != "undecided")
    return lambda text: {(start, end) for start, end, term in matcher.find(text) if term.action != "keep"}


def by_source(terms: Sequence[Term]) -> dict[str, Callable[[str], set[Span]]]:
    """A finder for each source alone, and one for the union."""
    sources = sorted({source for term in terms for source in term.sources} - {WORD})
    return {
        **{
            source: found_by([term for term in terms if source in term.sources or WORD in term.sources])
            for source in sources
        },
        "union": found_by(terms),
    }


def measure(*, ner: bool = False, misses: bool = False) -> dict[tuple[str, str], Score]:
    """Scores by language ("all" too) and source; what stands in the way of it is printed as it comes."""
    lines = gold()
    scores: dict[tuple[str, str], Score] = {}
    for folder in WORKS:
        losses = Losses()
        scenes = read(folder, losses)
        more = list(recognise(texts_by_language(scenes), losses, cache=CACHE)) if ner else []
        began = time.perf_counter()
        terms = find_terms(scenes, losses, more=more)
        seconds = time.perf_counter() - began
        kinds = Counter(term.action for term in terms)
        print(
            f"{folder}: {sum(len(scene.lines) for scene in scenes):,} lines, {seconds:.2f} s, {dict(kinds)}"
        )
        for warning in losses.warnings:
            if warning.startswith(("filter", "named entities")):
                print(f"  {warning}")
        finders = by_source(terms)
        for line in lines:
            if not line.file.startswith(folder):
                continue
            for source, find in finders.items():
                found = find(line.text)
                for language in (line.language, "all"):
                    scores.setdefault((language, source), Score()).add(found, line.spans)
            found = finders["union"](line.text)
            half = "union, lines not seen" if line.number % 2 else "union, lines seen"
            scores.setdefault(("all", half), Score()).add(found, line.spans)
            if misses and found != line.spans:
                shown = [line.text[start:end] for start, end in sorted(line.spans - found)]
                wrong = [line.text[start:end] for start, end in sorted(found - line.spans)]
                print(f"  {line.number} {line.text}\n      missed {shown}, wrong {wrong}")
    return scores | alone(lines) if ner else scores


def alone(lines: Sequence[Labelled]) -> dict[tuple[str, str], Score]:
    """The peer: each model's own word on each line, and nothing else."""
    scores: dict[tuple[str, str], Score] = {}
    for language in sorted({line.language for line in lines}):
        model = recogniser(language, Losses())
        if model is None:
            continue
        own = [line for line in lines if line.language == language]
        said = dict(
            zip(
                dict.fromkeys(line.text for line in own),
                entities(model, (line.text for line in own)),
                strict=True,
            )
        )
        for line in own:
            found = set(in_order(line.text, (text for text, _ in said[line.text])))
            for scope in (language, "all"):
                scores.setdefault((scope, "NER alone"), Score()).add(found, line.spans)
    return scores


def speed() -> None:
    """The whole filter without a model on 50,000 different lines with a translation each."""
    lines = [line for scene in read("schoolboys_ayumi", Losses()) for line in scene.lines]
    draw = random.Random(1)
    many = []
    for at in range(SPEED_LINES):  # halves of two lines: names and words stay, hardly a line comes twice
        first, second = lines[at % len(lines)], draw.choice(lines)
        translations = {"ja": spliced(first.translations.get("ja", ""), second.translations.get("ja", ""))}
        many.append(replace(first, text=spliced(first.text, second.text), translations=translations))
    scenes = [
        Scene("speed", "f", str(at), language="zh", lines=many[at : at + 100])
        for at in range(0, SPEED_LINES, 100)
    ]
    began = time.perf_counter()
    terms = find_terms(scenes, Losses())
    found = time.perf_counter() - began
    dialogues = []
    for at, (said, answer) in enumerate(zip(many[::2], many[1::2], strict=True)):
        utterance = Utterance("speech", said.speaker, said.text, said.translations)
        turn = Turn((utterance,), answer.text, answer.translations)
        dialogues.append(Dialogue("森海友", (turn,), id=str(at)))
    redaction = Redaction(terms)
    began = time.perf_counter()
    for dialogue in dialogues:
        redaction.redact(dialogue)
    redacted = time.perf_counter() - began
    letters = sum(len(line.text) + len(line.translations["ja"]) for line in many)
    print(
        f"{SPEED_LINES:,} lines, translated ({letters:,} letters): {len(terms):,} terms "
        f"found in {found:.1f} s, taken out in {redacted:.1f} s"
    )


def spliced(first: str, second: str) -> str:
    return first[: len(first) // 2] + second[len(second) // 2 :]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ner", action="store_true", help="ask the models that are installed, too")
    parser.add_argument(
        "--misses", action="store_true", help="show the lines that were not taken out as labelled"
    )
    parser.add_argument("--speed", action="store_true", help="measure 50,000 lines instead")
    chosen = parser.parse_args()
    if chosen.speed:
        speed()
    else:
        CACHE.parent.mkdir(exist_ok=True)
        for (language, source), score in sorted(measure(ner=chosen.ner, misses=chosen.misses).items()):
            print(f"{language:4} {source:24} {score}")
