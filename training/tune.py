"""A sweep for people who never trained a model: try a few settings, weigh them, explain the best.

    python -m training tune --config training/configs/cpu.yaml character=characters/maeve

Each trial is a whole `sft` and a fast `evaluate`. What is weighed is style gained against general ability
lost: of the trials that lost 3 % at most, the one with the most style is the best; if there is none, the one
that lost least. It becomes the character's next version.

One key is tried at a time, from the best so far, instead of every combination: five keys of two values are 32
combinations, and six trials one at a time. Settings like these mostly act for themselves, and where two of
them do not, a key is tried again once another has changed, as long as `most` allows. It is also what can be
explained: every trial differs from another one in a single key.

::

    data/training/tune/<character>-<base>/
        tune.json                 every trial, the best, and why
        report/report.html        the trials in pictures
        trials/<settings>/<character>/adapters/<base>/v101 …

The same command goes on where it was stopped: a trial whose version has an evaluation is done, one that was
killed resumes from its last checkpoint, and other dialogues, another card or base are other trials.
"""

import difflib
import gc
import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError, model_validator

from inference.base import Base
from inference.characters import VERSION, Character
from inference.progress import console, say
from training.config import Count, keys
from training.errors import ConfigError, RowError, TrainingError
from training.evaluate import EVALUATION, EvaluateConfig, evaluate, write_evaluation
from training.evaluation import ABILITY_LOSS, Evaluation
from training.exam import ADAPTER, BARE
from training.files import held, write_whole
from training.findings import Version, read_version
from training.model import find_base, find_character
from training.report import ReportConfig, report
from training.run import DEFAULT
from training.sft import SftConfig, rows_of, sft
from training.shape import shape_of
from training.trials import Settings, Trial, choose, explain, outcome, search, table, text_of, told
from training.version import read_manifest, served_as, version_folder
from training.wording import duration

FIRST = 101  # trials are v101, v102, …: nobody takes one for a version of hers
# Whatever changes what trials are measured on, or where they are: with it they could not be compared.
SAME = {"character", "base", "data", "held_out", "evaluation", "seed", "out", "run"}
UNTOLD = {"run", "out", "threads", "report_to"}  # these change nothing that is learned


def _by_key(raw: Any) -> Any:
    """`{lora: {rank: [8, 16]}}` and `{lora.rank: [8, 16]}` are the same; one value is a list of one."""
    return dict(_flat(raw)) if isinstance(raw, Mapping) else raw


def _flat(tree: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, list[Any]]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", list(value) if isinstance(value, list | tuple) else [value]


class TuneConfig(SftConfig):
    """`python -m training tune`: what all trials have in common is given as for `sft`."""

    grid: Annotated[dict[str, list[Any]], BeforeValidator(_by_key)] | None = None
    """Keys of `sft` and values to try: `{lora.rank: [8, 32], learning_rate: [1e-4, 4e-4]}`, those that
    matter most first. Unset: twice the learning rate, more replay, the upper half of the layers, another
    rank, two epochs more."""
    most: Count = 6
    """Trials, the first with the settings as they stand."""
    out: Path | None = None
    """The version folder that the best trial becomes; unset: the next free
    `characters/<id>/adapters/<base>/v<n>`."""
    run: Path | None = None
    """The sweep's folder; unset: `data/training/tune/<character>-<base>`. The same folder resumes."""

    @model_validator(mode="after")
    def _means_something(self) -> "TuneConfig":
        if self.evaluation:
            raise ConfigError(
                "`evaluation`: trials are measured on the share `held_out` of the dialogues; leave it unset"
            )
        for key, values in (self.grid or {}).items():
            _check_key(key, values, self)
            for value in values:
                trial_config(self, {key: value})
        return self


def _check_key(key: str, values: Sequence[Any], config: TuneConfig) -> None:
    known = [name for name, *_ in keys(SftConfig)]
    if key not in known:
        near = difflib.get_close_matches(key, known, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise ConfigError(f"`grid`: `sft` has no key `{key}`{hint}")
    if key in SAME:
        raise ConfigError(
            f"`grid`: trials of another `{key}` could not be compared; give it beside the grid, for all"
        )
    if key.startswith("lora.") and config.parent:
        raise ConfigError(f"`grid`: `{key}` is that of `parent` already; leave out one of them")
    if not values:
        raise ConfigError(f"`grid`: `{key}` has no values")


def trial_config(config: TuneConfig, settings: Mapping[str, Any], **places: Path) -> SftConfig:
    """What `sft` is given for `settings`. Raises `ConfigError` for a value that it does not take."""
    raw = config.model_dump(include=set(SftConfig.model_fields) - {"out", "run"})
    for key, value in settings.items():
        *sections, last = key.split(".")
        inside = raw
        for section in sections:
            inside = inside[section]
        inside[last] = value
    try:
        return SftConfig.model_validate(raw | places)
    except ValidationError as error:
        first = error.errors()[0]
        wrong = next((key for key in settings if key.split(".")[0] == first["loc"][0]), first["loc"][0])
        raise ConfigError(f"`grid`: `{wrong}` is `{first['input']}`: {first['msg']}") from error


def value_of(config: SftConfig, key: str) -> Any:
    found: Any = config
    for part in key.split("."):
        found = getattr(found, part)
    return found


def grid_of(config: TuneConfig, base: Base) -> dict[str, list[Any]]:
    """The values to try by key, in the form that the configuration has them."""
    raw = config.grid if config.grid is not None else default_grid(config, base)
    return {
        key: [value_of(trial_config(config, {key: value}), key) for value in values]
        for key, values in raw.items()
    }


def default_grid(config: TuneConfig, base: Base) -> dict[str, list[Any]]:
    """One other value of each key that matters, so six trials. What gains style at a cost stands beside what
    saves ability: more replay, and fewer layers, the upper ones, where wording is made."""
    rank = config.lora.rank
    adapter: dict[str, list[Any]] = {"lora.rank": [2 * rank if rank < 32 else rank // 2]}
    about = base.config
    layers = (about.get("text_config") or about).get("num_hidden_layers", 0)
    if layers >= 2:
        adapter = {"lora.layers": [f"{layers // 2}-{layers - 1}"], **adapter}
    return {
        "learning_rate": [2 * config.learning_rate],
        "replay_share": [round(min(0.5, config.replay_share + 0.2), 3)],
        **({} if config.parent else adapter),
        "epochs": [config.epochs + 2],
    }


def tune(config: TuneConfig) -> Path:
    """Tries, chooses, explains; the version folder that the best became. Raises `TrainingError`."""
    base = find_base(config)
    character = find_character(config.character)
    sweep = Sweep(config, base, character)
    with sweep.claimed():
        sweep.check()
        trials = search(sweep.start, sweep.grid, config.most, sweep.attempt)
        best = choose(trials)
        version = sweep.publish(best)
        why = [*explain(trials, best), *sweep.failed]
        others = tuple(trial.version.folder for trial in trials if trial is not best)
        page = report(
            ReportConfig(
                versions=(*others, version),
                out=sweep.folder / "report",
                title=f"{character.name}, {version.name}: the best of {len(trials)} settings",
            )
        )
        sweep.note(trials, best=best, why=why, version=version, page=page)
    console().print(table(trials, best))
    for sentence in why:
        say(sentence)
    say(f"{version}: the best of them. {page} shows all")
    say(f"A sweep asks little. The whole measure: python -m training evaluate version={version}")
    return version


class Sweep:
    """The folder of a sweep, and how a trial is made in it."""

    def __init__(self, config: TuneConfig, base: Base, character: Character) -> None:
        self.config, self.base, self.character = config, base, character
        self.folder = config.run or DEFAULT / "tune" / f"{character.id}-{base.id}"
        self.grid = grid_of(config, base)
        self.start: Settings = {key: value_of(config, key) for key in self.grid}
        self.failed: list[str] = []  # in words
        self._done: list[Trial] = []

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Holds the folder. Raises `TrainingError` where another process has it."""
        taken = f"another process tries settings in `{self.folder}`; name a second one by `run`"
        with held(self.folder, taken):
            yield

    def check(self) -> None:
        """All that can be known to be wrong before hours are spent. Raises `TrainingError`."""
        out = self.config.out
        if not (out and out.exists() and _weights(out) in map(_weights, self._trials())):
            version_folder(self.config, self.base)
        for key, value in ((key, value) for key, values in self.grid.items() for value in values):
            config = trial_config(self.config, {key: value})
            rows_of(config, self.character)
            if key.startswith("lora."):
                try:
                    shape_of(self.base.config, config)
                except ConfigError as error:
                    raise ConfigError(f"`grid`: {error}") from error

    def attempt(self, settings: Settings, than: Trial | None, key: str) -> Trial | None:
        """Trains and measures, unless it is done. One of several may come to nothing, as by too high a rate;
        the others go on."""
        of = f"trial {len(self._done) + len(self.failed) + 1} of at most {self._most()}"
        say(f"{of}: {told(settings, than.settings) if than else 'the settings as they stand'}")
        try:
            version = self._version(settings)
            if version.point is None:
                raise TrainingError(
                    f"`{version.folder}` cannot be weighed: the base with the card says no word of hers, or "
                    "answers no general question; take more dialogues or another base"
                )
        except (ConfigError, RowError):
            raise
        except TrainingError as error:
            if than is None:
                raise
            self.failed.append(f"{told(settings, than.settings)} came to nothing: {error}")
            say(self.failed[-1])
            return None
        finally:
            _let_go()
        trial = Trial(settings, version, version.point, than, key)
        self._done.append(trial)
        self.note(self._done)
        say(f"{of}: {outcome(trial)}{self._time_left()}")
        return trial

    def _most(self) -> int:
        """Trials that there may be."""
        combinations = 1
        for key, values in self.grid.items():
            combinations *= len({repr(each) for each in (*values, self.start[key])})
        return min(self.config.most, combinations)

    def _time_left(self) -> str:
        left = self._most() - len(self._done) - len(self.failed)
        if left <= 0:
            return ""
        each = sum(trial.seconds for trial in self._done) / len(self._done)
        took, rest = duration(self._done[-1].seconds), duration(left * each)
        return f". It took {took}; at most {left} more, about {rest}"

    def _version(self, settings: Settings) -> Version:
        """A trial's version, trained and measured."""
        place = self._place(settings)
        versions = place / self.character.id / "adapters" / self.base.id
        # A version is there whole or not at all.
        folder = next(iter(_versions(versions)), None)
        if folder is None:
            taken = (int(each.name[1:]) for each in self._trials())
            out = versions / f"v{max(taken, default=FIRST - 1) + 1}"
            folder = sft(trial_config(self.config, settings, out=out, run=place / "run"))
        if not (folder / EVALUATION).is_file():
            evaluate(self._measured(folder))
        return read_version(folder)

    def _measured(self, folder: Path) -> EvaluateConfig:
        config = self.config
        return EvaluateConfig(
            version=folder,
            character=config.character,
            base=config.base or str(self.base.folder),
            fast=True,
            **config.model_dump(include={"max_length", "seed", "device", "precision", "quantise", "threads"}),
        )

    def _place(self, settings: Settings) -> Path:
        """A trial's folder, by the hash of all that it depends on; the words before it are for people."""
        config = trial_config(self.config, settings)
        parts = (
            self.base.sha256,
            self.character.card_hash,
            *(file.sha256 for file in rows_of(config, self.character)[2]),
            config.model_dump_json(exclude={"character", "base", "data", "replay", *UNTOLD}),
        )
        key = sha256("\n".join(parts).encode()).hexdigest()[:10]
        other = "_".join(
            f"{name}={text_of(value)}" for name, value in settings.items() if value != self.start[name]
        )
        readable = re.sub(r"[^A-Za-z0-9.=_-]+", "-", other or "start")[:80]
        trials = self.folder / "trials"
        return next(trials.glob(f"*-{key}"), trials / f"{readable}-{key}")

    def _trials(self) -> list[Path]:
        """The versions of all trials."""
        places = self.folder.glob(f"trials/*/{self.character.id}/adapters/{self.base.id}")
        return [folder for place in places for folder in _versions(place)]

    def publish(self, best: Trial) -> Path:
        """The best trial as a version of hers; the same one is not written twice."""
        versions = self.config.character / "adapters" / self.base.id
        for folder in [self.config.out] if self.config.out else _versions(versions):
            if (folder / EVALUATION).is_file() and _weights(folder) == best.version.manifest.sha256:
                return folder
        out = version_folder(self.config, self.base)
        staged = out.parent / ".unfinished" / out.name
        try:
            shutil.rmtree(staged.parent, ignore_errors=True)
            shutil.copytree(best.version.folder, staged)
            assert best.version.evaluation is not None
            write_evaluation(_renamed(best.version.evaluation, served_as(out)), staged / EVALUATION)
            staged.rename(out)
        except OSError as error:
            raise TrainingError(f"`{out}` cannot be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(staged.parent, ignore_errors=True)
        return out

    def note(
        self,
        trials: Sequence[Trial],
        *,
        best: Trial | None = None,
        why: Sequence[str] = (),
        version: Path | None = None,
        page: Path | None = None,
    ) -> None:
        """Writes `tune.json`."""
        written = {
            "character": self.character.id,
            "base": self.base.id,
            "rule": f"the most style among those that lost {ABILITY_LOSS:g} % of ability at most, else the "
            "least loss",
            "start": self.start,
            "grid": self.grid,
            "trials": [_noted(trial) for trial in trials],
            "failed": self.failed,
            "best": best and best.version.name,
            "why": list(why),
            "version": version and version.as_posix(),
            "report": page and page.as_posix(),
        }
        text = json.dumps(written, ensure_ascii=False, indent=2, default=str)
        write_whole(self.folder / "tune.json", text + "\n")


def _versions(folder: Path) -> list[Path]:
    """The version folders in `folder`, by number."""
    found = [each for each in folder.glob("v*") if VERSION.fullmatch(each.name)]
    return sorted(found, key=lambda each: int(each.name[1:]))


def _weights(version: Path) -> str:
    """Their sha256, by the manifest; empty for a folder that is no version."""
    try:
        return read_manifest(version).sha256
    except TrainingError:
        return ""


def _let_go() -> None:
    """A trainer and its model hold each other; on a GPU two of them would not fit."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _renamed(evaluation: Evaluation, name: str) -> Evaluation:
    """The evaluation of a trial as that of the version it becomes."""
    systems = tuple(
        each.model_copy(update={"label": each.label.replace(evaluation.version, name)})
        if each.id in (ADAPTER, BARE)
        else each
        for each in evaluation.systems
    )
    return evaluation.model_copy(update={"version": name, "systems": systems})


def _noted(trial: Trial) -> dict[str, Any]:
    return {
        "version": trial.version.name,
        "folder": trial.version.folder.as_posix(),
        "settings": trial.settings,
        "from": trial.than and trial.than.version.name,
        "changed": trial.key or None,
        "style_gained": trial.point.gained._asdict(),
        "ability_lost": trial.point.lost._asdict(),
        "seconds": round(trial.seconds, 1),
    }
