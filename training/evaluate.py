"""The honest report's figures: a version beside its base model, with the card and without.

The base says the same for every version; its answers are kept, and a sweep pays for them once.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from inference.base import Base
from inference.characters import Character, load_character
from inference.errors import CharacterError
from inference.manifest import Manifest
from inference.progress import Advance, progress
from training.ability import PROBES
from training.config import ModelConfig, Paths, Share
from training.data import Row, read_rows, split
from training.errors import TrainingError
from training.evaluation import Evaluation, Judgement, System
from training.exam import ADAPTER, BARE, BASE, CARD, PARTS, Answers, Examiner, Settings, spread, write_exam
from training.files import write_whole
from training.model import check_parent, find_base, load_model, load_tokenizer
from training.version import read_manifest, served_as
from training.voice import Voice

EVALUATION = "evaluation.json"
CACHE = Path("data/training/evaluations")
ASKING = ("ability", "batches", "data", "exam", "voice")  # the files that tell what a base is asked, and how
SAMPLES = 10  # conversations in the report
HELD_OUT = 0.1  # of the rows, where neither the version nor the configuration says

# For a sweep.
FAST = Settings(
    rows=24, prompts=24, facts=20, wordings=1, questions=8, smalltalk=0, foils=24, fast_ability=True
)


class EvaluateConfig(ModelConfig):
    """Which version is measured, and against which lines."""

    version: Path
    """The version folder; `evaluation.json` is written into it."""
    character: Path = Path()
    """Her folder; unset: the one that the version is in."""
    base: str = ""
    """A folder or a name; unset: the base that the version was trained on."""
    out: Path | None = None
    """Another file to write instead."""
    data: Paths = ()
    """Files of her rows; unset: those that the version was trained on."""
    held_out: Share | None = None
    """Share of the rows that is not learned; unset: what the version says, or 0.1."""
    others: Paths = ()
    """Rows of other speakers, for who-said-it; unset: the other characters beside her who speak her language,
    and rows of general ability. The base model's own replies are always added."""
    ask: Settings = Settings()
    fast: bool = False
    """A third of the questions and no small talk, whatever `ask` says: enough for a sweep."""
    replies: Path | None = None
    """A file for all replies to her held-out prompts, JSON lines that `judge` reads; ten of them are in the
    evaluation anyway."""
    cache: Path | None = CACHE
    """Where the base's answers are kept; they are the same for every version."""

    @model_validator(mode="before")
    @classmethod
    def _whose(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("version") and not raw.get("character"):
            folders = Path(raw["version"]).absolute().parents
            if len(folders) > 2:
                return {**raw, "character": folders[2]}
        return raw


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Measures a version and writes `evaluation.json` into its folder. Raises `TrainingError`."""
    from peft import PeftModel

    manifest = read_manifest(config.version)
    try:
        character = load_character(config.character)
    except CharacterError as error:
        raise TrainingError(str(error)) from error
    base = find_base(config.model_copy(update={"base": config.base or manifest.base}))
    check_parent(config.version, base)
    learned, held_out = rows_of(config, manifest, character)
    others = other_lines(config.others, character)
    tokenizer = load_tokenizer(base)
    with progress(f"evaluating {served_as(config.version)}", STEPS) as advance:
        model = PeftModel.from_pretrained(load_model(base, config), str(config.version))
        evaluation = evaluate_voice(
            Voice(model, tokenizer),
            character,
            learned,
            held_out,
            base=base,
            name=served_as(config.version),
            others=others,
            ask=FAST if config.fast else config.ask,
            max_length=config.max_length,
            seed=config.seed,
            cache=config.cache,
            advance=advance,
        )
    notes = list(_notes(manifest, character))
    evaluation = evaluation.model_copy(update={"settings": evaluation.settings | {"notes": notes}})
    write_evaluation(evaluation, config.out or config.version / EVALUATION)
    if config.replies:
        write_whole(config.replies, "".join(sample.model_dump_json() + "\n" for sample in evaluation.samples))
    return evaluation


def write_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Whole or not at all, with ten of the samples; six digits are more than any figure means."""
    shown = evaluation.model_copy(update={"samples": tuple(spread(evaluation.samples, SAMPLES))})
    write_whole(path, json.dumps(_rounded(shown), ensure_ascii=False, indent=1) + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value


def rows_of(config: EvaluateConfig, manifest: Manifest, character: Character) -> tuple[list[Row], list[Row]]:
    """Her rows that the version learned and those it did not, by its own split or its own files. Raises
    `TrainingError`."""
    paths = config.data or tuple(map(Path, manifest.config.get("data") or ()))
    paths = paths or (character.folder / "dialogues.jsonl",)
    rows = [row for path in paths for row in read_rows(path, character)]
    unseen = tuple(map(Path, manifest.config.get("evaluation") or ()))
    if unseen and not config.data:
        return rows, [row for path in unseen for row in read_rows(path, character)]
    share_of = config.held_out if config.held_out is not None else manifest.config.get("held_out", HELD_OUT)
    return split(rows, share_of, manifest.config.get("seed", config.seed))


def other_lines(paths: Sequence[Path], character: Character) -> list[str]:
    """What others say: `paths`, or the characters beside her who speak her language and the rows of general
    ability. Raises `TrainingError`."""
    paths = paths or tuple(_beside(character))
    return [line for path in paths for row in read_rows(path, character) for line in row.answers]


def _beside(character: Character) -> Iterator[Path]:
    for folder in sorted(character.folder.absolute().parent.iterdir()):
        lines = folder / "dialogues.jsonl"
        if folder.name == character.id or not lines.is_file():
            continue
        try:
            if load_character(folder).language == character.language:
                yield lines
        except CharacterError:
            continue  # a folder that is no character has nothing to say
    general = PROBES / f"replay.{character.language}.jsonl"
    if general.is_file():
        yield general


def _notes(manifest: Manifest, character: Character) -> Iterator[str]:
    """What a reader of the figures must know."""
    if not manifest.config:
        yield "The version does not say which rows it learned: some of the held-out ones may be among them."
    if manifest.card and manifest.card != character.card_hash:
        yield "The card has changed since the version was trained."


def evaluate_voice(
    voice: Voice,
    character: Character,
    learned: Sequence[Row],
    held_out: Sequence[Row],
    *,
    base: Base,
    name: str,
    others: Sequence[str] = (),
    ask: Settings | None = None,
    max_length: int = 2048,
    seed: int = 7,
    cache: Path | None = CACHE,
    advance: Advance | None = None,
) -> Evaluation:
    """The figures of `voice`, a PEFT model on `base`, beside the base itself.

    `learned` and `held_out` are her rows on both sides of the split, `others` lines of other speakers for
    who-said-it; `name` is the version's. `cache` is the folder of the base's answers, None for no cache.
    Raises `TrainingError` if there is nothing held out.
    """
    if not held_out:
        raise TrainingError("no row is held out, so nothing can be measured: raise `held_out` or give `data`")
    began = time.monotonic()
    ask = ask or Settings()
    exam = write_exam(character, learned, held_out, ask)
    done = 0

    def tell(what: str) -> None:
        nonlocal done
        if advance:
            advance(done, what)
        done += 1

    examiner = Examiner(voice, character, exam, ask, max_length, seed, tell)
    of_base = _of_base(examiner, base, cache)
    done = sum(len(PARTS[system]) for system in (BASE, CARD)) + 1
    answers = dict(of_base.answers) | {system: examiner.answers(system) for system in (ADAPTER, BARE)}
    judged = Judgement(character.language, exam, answers, learned, (*others, *of_base.foils))
    return Evaluation(
        character=character.id,
        version=name,
        base=base.id,
        card_sha256=character.card_hash,
        seconds=round(time.monotonic() - began, 1),
        settings=ask.model_dump(mode="json")
        | {"seed": seed, "held_out_rows": len(held_out), "learned_rows": len(learned)}
        | judged.about(),
        systems=(
            System(id=BASE, label="base model, no card"),
            System(id=CARD, label="base model with the card"),
            System(id=ADAPTER, label=f"{name} with the card"),
            System(id=BARE, label=f"{name}, no card"),
        ),
        metrics=tuple(judged.metrics()),
        goals=tuple(judged.goals()),
        samples=tuple(judged.samples()),
    )


STEPS = sum(map(len, PARTS.values())) + 1  # that `advance` counts


class OfBase(BaseModel):
    """What does not change from version to version: what the base says."""

    model_config = ConfigDict(frozen=True)

    answers: dict[str, Answers]
    foils: tuple[str, ...]


def _of_base(examiner: Examiner, base: Base, cache: Path | None) -> OfBase:
    path = cache / f"{_key(examiner, base)}.json" if cache else None
    if path is not None and path.is_file():
        try:
            return OfBase.model_validate_json(path.read_bytes())
        except ValidationError:
            path.unlink()  # half a file, or an older format
    with examiner.voice.without_adapter():
        found = OfBase(
            answers={system: examiner.answers(system) for system in (BASE, CARD)},
            foils=tuple(examiner.foils()),
        )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, found.model_dump_json())
    return found


def _key(examiner: Examiner, base: Base) -> str:
    """Of all that the base's answers depend on: weights, card, questions, and the code that asks them."""
    code = [Path(__file__).with_name(f"{name}.py") for name in ASKING]
    told = (
        base.sha256,
        examiner.character.card_hash,
        str(examiner.voice.model.dtype),
        repr((examiner.exam, examiner.ask, examiner.max_length, examiner.seed)),
        *(sha256(path.read_bytes()).hexdigest() for path in (*code, *sorted(PROBES.iterdir()))),
    )
    return sha256("\n".join(told).encode()).hexdigest()[:24]
