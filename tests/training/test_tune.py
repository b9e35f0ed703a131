"""A sweep: what is tried and in which order, which is the best, what a second run does not do again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.base import Base
from inference.characters import Character
from inference.manifest import Manifest
from training import tune as stage
from training.config import load_config
from training.errors import ConfigError, TrainingError
from training.evaluate import EvaluateConfig, write_evaluation
from training.evaluation import ABILITY_LOSS, STYLE_GAIN, Evaluation, Goal, Metric, System
from training.findings import Change, Point, Version, read_version
from training.metrics import Figure
from training.sft import SftConfig
from training.trials import Settings, Trial, choose, explain, search
from training.tune import TuneConfig, default_grid, trial_config, tune

Outcome = tuple[float, float]  # style gained and ability lost, in %


# --- without a model: which is the best, and in which order they are tried ---------------------------------


def trial(
    gained: float, lost: float, *, than: Trial | None = None, low: float | None = None, **at: Any
) -> Trial:
    folder = Path("nene/adapters/tiny") / f"v{at.pop('number', 101)}"
    version = Version(folder, Manifest(base="tiny", base_sha256="", sha256=""))
    key = next((key for key in at if than and at[key] != than.settings[key]), "")
    return Trial(at, version, Point(Change(lost), Change(gained, low, low and 2 * gained - low)), than, key)


@pytest.mark.parametrize(
    ("outcomes", "best"),
    [
        ([(20, 1), (30, 2.9), (60, 3.1)], 1),  # the most style, among those within the limit
        ([(20, 1), (30, ABILITY_LOSS), (25, -4)], 1),  # the limit is within it
        ([(60, 9), (50, 5), (90, 12)], 1),  # none is: the least loss
        ([(30, 2), (30, 1), (30, 1)], 1),  # of equal ones the cheaper, then the earlier
        ([(-5, 0), (-9, -3)], 0),
    ],
)
def test_the_best_has_the_most_style_within_the_limit(outcomes: list[Outcome], best: int) -> None:
    trials = [trial(*each) for each in outcomes]
    assert choose(trials) is trials[best]


def searched(
    grid: dict[str, list[Any]], most: int, outcome: Callable[[Settings], Outcome | None]
) -> list[Settings]:
    order: list[Settings] = []

    def attempt(settings: Settings, than: Trial | None, key: str) -> Trial | None:
        order.append(settings)
        assert than is None or {name for name in settings if settings[name] != than.settings[name]} == {key}
        found = outcome(settings)
        return trial(*found, than=than, **settings) if found else None

    search({"a": 1, "b": 1}, grid, most, attempt)
    return order


def test_one_key_is_tried_at_a_time_from_the_best_so_far() -> None:
    order = searched({"a": [1, 2, 3], "b": [1, 2]}, 99, lambda at: (10 * at["a"] - at["b"], 0))
    assert order == [{"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 3, "b": 1}, {"a": 3, "b": 2}]


def test_a_key_is_tried_again_once_another_has_changed() -> None:
    # `a` pays only with `b`.
    order = searched({"a": [2], "b": [2]}, 99, lambda at: (at["a"] * at["b"] - 1.5 * at["a"] + at["b"], 0))
    assert order == [{"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}]


def test_no_more_are_tried_than_was_said() -> None:
    assert len(searched({"a": [2, 3], "b": [2, 3, 4]}, 4, lambda at: (at["a"] + at["b"], 0))) == 4
    assert len(searched({}, 4, lambda at: (1, 0))) == 1


def test_what_came_to_nothing_is_tried_once_and_never_the_best() -> None:
    order = searched({"a": [2, 3], "b": [2]}, 99, lambda at: None if at["a"] == 2 else (at["a"] - at["b"], 0))
    assert order == [{"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 3, "b": 1}, {"a": 3, "b": 2}]


def test_the_choice_is_explained() -> None:
    start = trial(20, 1, a=1, b=0.5, number=101)
    forgets = trial(60, 4.2, than=start, a=2, b=0.5, number=102)
    best = trial(31.4, 2, than=start, low=22, a=1, b=0.25, number=103)
    worse = trial(25, 2, than=best, a=3, b=0.25, number=104)
    first, chance, *steps = explain([start, forgets, best, worse], best)
    assert first == (
        "4 settings were tried, and 3 lost 3 % of general ability at most. Of those nene.v103 (b 0.25) "
        "gained the most style: style +31.4 % (+22.0 … +40.8), ability lost +2.0 %."
    )
    assert chance.startswith("nene.v104 (style +25.0 %, ability lost +2.0 %) is within the interval")
    assert steps == [
        "`a` 2 instead of 1: style +60.0 %, ability lost +4.2 %; before, style +20.0 %, ability lost +1.0 %: "
        "not taken, as it lost more than 3 %.",
        "`b` 0.25 instead of 0.5: style +31.4 % (+22.0 … +40.8), ability lost +2.0 %; before, style +20.0 %, "
        "ability lost +1.0 %: better.",
        "`a` 3 instead of 1: style +25.0 %, ability lost +2.0 %; before, style +31.4 % (+22.0 … +40.8), "
        "ability lost +2.0 %: not taken, as it gained no more style.",
    ]


def test_nobody_hides_that_all_of_them_forget() -> None:
    start = trial(50, 9, a=1)
    worse = trial(70, 12, than=start, a=2)
    first, *rest = explain([start, worse], start)
    assert "none kept the loss of general ability at 3 %" in first
    assert "nene.v101 (the settings as they stood) lost least: style +50.0 %, ability lost +9.0 %" in first
    assert len(rest) == 1
    assert rest[0].endswith("not taken, as it lost no less.")


# --- the configuration -----------------------------------------------------------------------------------


def config_of(*overrides: str) -> TuneConfig:
    return load_config(TuneConfig, None, ["character=characters/nene", *overrides])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("grid={lora.rnk: [8]}", "`sft` has no key `lora.rnk`; did you mean `lora.rank`?"),
        ("grid={lora: [8]}", "`sft` has no key `lora`"),
        ("grid={lora.rank: [8, 9]}", "`lora.rank` is `9`: Input should be 8, 16, "),
        ("grid={epochs: [-1]}", "`epochs` is `-1`: Input should be greater than 0"),
        ("grid={replay_share: [much]}", "`replay_share` is `much`"),
        ("grid={epochs: []}", "`epochs` has no values"),
        ("grid={held_out: [0.1, 0.2]}", "trials of another `held_out` could not be compared"),
        ("grid={out: [x]}", "trials of another `out` could not be compared"),
        ("grid=5", "`grid` is `5`"),
        ("most=0", "`most` is `0`"),
        ("evaluation=x.jsonl", "measured on the share `held_out`"),
        ("ranks=8", "there is no key `ranks`"),
    ],
)
def test_a_grid_that_means_nothing_is_refused_at_once(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config_of(override)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_adapter_that_goes_on_keeps_its_shape() -> None:
    with pytest.raises(ConfigError, match=r"`lora\.rank` is that of `parent` already"):
        config_of("parent=v1", "grid={lora.rank: [8]}")


def test_a_grid_may_be_nested_and_one_value_is_a_list_of_one() -> None:
    wanted = {"lora.rank": [8, 32], "lora.layers": ["0-11", []], "epochs": [2]}
    nested = config_of("grid.lora.rank=[8, 32]", "grid.lora.layers=['0-11', []]", "grid.epochs=2")
    assert nested.grid == wanted
    assert config_of("grid={lora.rank: [8, 32], lora: {layers: ['0-11', []]}, epochs: 2}").grid == wanted


def test_a_trial_is_sft_with_other_settings() -> None:
    config = config_of("batch=4", "lora.alpha=64", "most=3", "grid={epochs: 2}", "out=a", "run=b")
    it = trial_config(config, {"lora.rank": 32, "learning_rate": "1e-4"}, run=Path("c"))
    assert it == SftConfig(
        character=Path("characters/nene"),
        batch=4,
        lora={"rank": 32, "alpha": 64},  # type: ignore[arg-type]
        learning_rate=1e-4,
        run=Path("c"),
    )


def test_six_are_tried_if_nobody_says_otherwise(tmp_path: Path) -> None:
    base = Base(id="tiny", folder=tmp_path, sha256="", source="")
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 24}')
    grid = default_grid(config_of(), base)
    assert grid == {
        "learning_rate": [4e-4],
        "replay_share": [0.4],
        "lora.layers": ["12-23"],
        "lora.rank": [32],
        "epochs": [5],
    }
    assert 1 + sum(map(len, grid.values())) == config_of().most
    assert not [key for key in default_grid(config_of("parent=v1"), base) if key.startswith("lora")]
    for key, (value,) in default_grid(config_of("lora.rank=256", "replay_share=0.9"), base).items():
        trial_config(config_of(), {key: value})


# --- a sweep whose training and measuring are played -------------------------------------------------------


class Played:
    """Stands where `sft` and `evaluate` do: `outcome` says what settings come to, or fails."""

    def __init__(self, outcome: Callable[[SftConfig], Outcome]) -> None:
        self.outcome = outcome
        self.trained: list[SftConfig] = []
        self.measured: list[EvaluateConfig] = []

    def sft(self, config: SftConfig) -> Path:
        self.trained.append(config)
        self.outcome(config)
        assert config.out
        config.out.mkdir(parents=True)
        weights = config.model_dump_json(exclude={"out", "run"})
        (config.out / "adapter_model.safetensors").write_text(weights)
        manifest = Manifest(
            base="tiny",
            base_sha256="ba" * 32,
            sha256=weights,
            stage="sft",
            config=config.model_dump(mode="json", exclude={"run", "out", "character", "threads"}),
            figures={"seconds": 60},
        )
        (config.out / "version.json").write_text(manifest.model_dump_json())
        return config.out

    def evaluate(self, config: EvaluateConfig) -> Evaluation:
        self.measured.append(config)
        trained = SftConfig.model_validate(
            json.loads((config.version / "adapter_model.safetensors").read_text())
        )
        found = evaluation(config.version, *self.outcome(trained))
        write_evaluation(found, config.version / "evaluation.json")
        return found


def evaluation(version: Path, gained: float, lost: float) -> Evaluation:
    name = f"nene.{version.name}"
    pairs = {
        "rouge1": ("style", {"card": 10.0, "adapter": 10 + gained / 10}),
        "ability": ("ability", {"base": 50.0, "adapter-no-card": 50 - lost / 2}),
    }
    metrics = []
    for metric, (group, values) in pairs.items():
        figures = {system: Figure(value=at, low=at - 1, high=at + 1, n=9) for system, at in values.items()}
        metrics.append(
            Metric(name=metric, group=group, label=metric, better="higher", unit="%", values=figures)
        )
    goal = Goal(text="Style", value=gained, low=gained - 2, high=gained + 2, goal=STYLE_GAIN, met=False)
    labels = {
        "base": "base",
        "card": "base with the card",
        "adapter": f"{name} with the card",
        "adapter-no-card": f"{name}, no card",
    }
    return Evaluation(
        character="nene",
        version=name,
        base="tiny",
        card_sha256="",
        seconds=30,
        settings={},
        systems=tuple(System(id=id_, label=label) for id_, label in labels.items()),
        metrics=tuple(metrics),
        goals=(goal,),
        samples=(),
    )


@pytest.fixture
def played(
    character: Character, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[SftConfig], Outcome]], Played]:
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"num_hidden_layers": 2}')
    base = Base(id="tiny", folder=folder, sha256="ba" * 32, source="")
    monkeypatch.setattr(stage, "find_base", lambda config: base)
    monkeypatch.setattr(stage, "shape_of", lambda raw, config: None)
    monkeypatch.setattr(stage, "report", lambda config: config.out / "report.html")

    def play(outcome: Callable[[SftConfig], Outcome]) -> Played:
        players = Played(outcome)
        monkeypatch.setattr(stage, "sft", players.sft)
        monkeypatch.setattr(stage, "evaluate", players.evaluate)
        return players

    return play


def sweep_of(character: Character, tmp_path: Path, *overrides: str) -> TuneConfig:
    given = ("grid={epochs: [2, 5], lora.rank: [32]}", "most=4", *overrides)
    return load_config(TuneConfig, None, [f"character={character.folder}", f"run={tmp_path}/sweep", *given])


def by_epochs(config: SftConfig) -> Outcome:
    """More epochs gain more; five cost too much; a larger rank gains a little."""
    return 10 * config.epochs + config.lora.rank / 16, {2: 0.5, 3: 1.5, 5: 6}[round(config.epochs)]


def noted(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "sweep" / "tune.json").read_text(encoding="utf-8"))
    return found


def test_the_best_becomes_her_next_version(
    played: Any, character: Character, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    players = played(by_epochs)
    (character.folder / "adapters" / "tiny" / "v3").mkdir(parents=True)
    version = tune(sweep_of(character, tmp_path))

    assert version == character.folder / "adapters" / "tiny" / "v4"
    assert [(each.epochs, each.lora.rank) for each in players.trained] == [(3, 16), (2, 16), (5, 16), (3, 32)]
    assert all(each.fast and each.character == character.folder for each in players.measured)
    it = read_version(version)
    assert (it.manifest.config["epochs"], it.manifest.config["lora"]["rank"]) == (3, 32)
    assert it.gained
    assert (it.gained.value, it.gained.low) == pytest.approx((32, 30))
    assert it.evaluation
    assert it.evaluation.version == "nene.v4"
    labels = [system.label for system in it.evaluation.systems]
    assert labels == ["base", "base with the card", "nene.v4 with the card", "nene.v4, no card"]
    assert not (version.parent / ".unfinished").exists()

    found = noted(tmp_path)
    assert [each["version"] for each in found["trials"]] == [f"nene.v{number}" for number in range(101, 105)]
    assert found["trials"][3]["settings"] == {"epochs": 3, "lora.rank": 32}
    assert (found["trials"][3]["from"], found["trials"][3]["changed"]) == ("nene.v101", "lora.rank")
    assert (found["best"], found["version"]) == ("nene.v104", version.as_posix())
    said = capsys.readouterr().err
    assert "trial 1 of at most 4: the settings as they stand" in said
    assert "It took 1 min 30 s; at most 3 more, about 4 min 30 s" in said
    assert "`epochs` 5 instead of 3" in said
    assert "not taken, as it lost more than 3 %" in said
    assert all(sentence in said for sentence in found["why"])


def test_a_finished_trial_is_not_made_again(played: Any, character: Character, tmp_path: Path) -> None:
    played(by_epochs)
    config = sweep_of(character, tmp_path)
    version = tune(config)
    before = noted(tmp_path)
    again = played(by_epochs)
    assert tune(config) == version  # nor is the same version written twice
    assert not again.trained
    assert not again.measured
    assert noted(tmp_path) == before

    larger = played(by_epochs)
    tune(sweep_of(character, tmp_path, "grid={epochs: [2, 5], lora.rank: [32, 64]}", "most=5"))
    assert [(each.epochs, each.lora.rank) for each in larger.trained] == [(3, 64)]
    assert larger.trained[0].out
    assert larger.trained[0].out.name == "v105"


def test_a_killed_sweep_goes_on_in_the_trial_that_was_killed(
    played: Any, character: Character, tmp_path: Path
) -> None:
    def killed(config: SftConfig) -> Outcome:
        if config.epochs == 5:
            raise KeyboardInterrupt
        return by_epochs(config)

    first = played(killed)
    with pytest.raises(KeyboardInterrupt):
        tune(sweep_of(character, tmp_path))
    assert [each["version"] for each in noted(tmp_path)["trials"]] == ["nene.v101", "nene.v102"]
    again = played(by_epochs)
    tune(sweep_of(character, tmp_path))
    assert [(each.epochs, each.lora.rank) for each in again.trained] == [(5, 16), (3, 32)]
    assert again.trained[0].run == first.trained[-1].run  # where its checkpoints are


def test_a_trial_that_was_trained_is_only_measured(
    played: Any, character: Character, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    players = played(by_epochs)

    def killed(config: EvaluateConfig) -> Evaluation:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "evaluate", killed)
    with pytest.raises(KeyboardInterrupt):
        tune(sweep_of(character, tmp_path))
    again = played(by_epochs)
    tune(sweep_of(character, tmp_path))
    assert len(players.trained) == 1
    assert [each.epochs for each in again.trained] == [2, 5, 3]
    assert len(again.measured) == 4


def test_other_dialogues_are_other_trials(played: Any, character: Character, tmp_path: Path) -> None:
    played(by_epochs)
    config = sweep_of(character, tmp_path, "grid={epochs: [2]}")
    tune(config)
    with (character.folder / "dialogues.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"turns": [["and the moon?", "the moon, too."]]}\n')
    again = played(by_epochs)
    tune(config)
    assert len(again.trained) == 2


def test_a_trial_that_fails_is_told_and_the_others_go_on(
    played: Any, character: Character, tmp_path: Path
) -> None:
    def fails(config: SftConfig) -> Outcome:
        if config.epochs == 2:
            raise TrainingError("at step 3 the loss is no number any more")
        return by_epochs(config)

    played(fails)
    tune(sweep_of(character, tmp_path))
    found = noted(tmp_path)
    assert len(found["trials"]) == 3
    assert found["failed"] == ["epochs 2 came to nothing: at step 3 the loss is no number any more"]
    assert found["failed"][0] in found["why"]


def test_when_the_first_fails_nothing_is_written(played: Any, character: Character, tmp_path: Path) -> None:
    def fails(config: SftConfig) -> Outcome:
        raise TrainingError("the disk is full")

    players = played(fails)
    with pytest.raises(TrainingError, match="the disk is full"):
        tune(sweep_of(character, tmp_path))
    assert len(players.trained) == 1
    assert not (character.folder / "adapters").exists()


def test_what_cannot_be_weighed_is_said(played: Any, character: Character, tmp_path: Path) -> None:
    played(lambda config: (0, float("nan")))
    with pytest.raises(TrainingError, match="cannot be weighed"):
        tune(sweep_of(character, tmp_path))


def test_what_is_wrong_is_known_before_anything_is_trained(
    played: Any, character: Character, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    players = played(by_epochs)

    def layers(raw: Any, config: SftConfig) -> None:
        if config.lora.layers:
            raise ConfigError("`lora.layers`: `90`, and the model has the layers 0 to 1")

    monkeypatch.setattr(stage, "shape_of", layers)
    with pytest.raises(ConfigError, match=r"`grid`: `lora\.layers`: `90`"):
        tune(sweep_of(character, tmp_path, "grid={epochs: [2], lora.layers: [90]}"))
    with pytest.raises(TrainingError, match=r"`nowhere\.jsonl` cannot be read"):
        tune(sweep_of(character, tmp_path, "grid={replay: [nowhere.jsonl]}"))
    out = character.folder / "adapters" / "tiny" / "v1"
    out.mkdir(parents=True)
    with pytest.raises(TrainingError, match="a version is never written twice"):
        tune(sweep_of(character, tmp_path, f"out={out}"))
    assert not players.trained


def test_one_sweep_at_a_time(played: Any, character: Character, tmp_path: Path) -> None:
    from filelock import FileLock

    played(by_epochs)
    (tmp_path / "sweep").mkdir()
    with FileLock(tmp_path / "sweep" / ".lock"), pytest.raises(TrainingError, match="another process tries"):
        tune(sweep_of(character, tmp_path))


def test_the_report_shows_every_trial_by_its_name(
    played: Any, character: Character, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    from training.report import report

    played(by_epochs)
    monkeypatch.setattr(stage, "report", report)
    tune(sweep_of(character, tmp_path))
    markdown = (tmp_path / "sweep" / "report" / "report.md").read_text(encoding="utf-8")
    assert "nene.v104" not in markdown  # the best is there as the version it became
    for name in ("nene.v101", "nene.v102", "nene.v103", "nene.v1 "):
        assert f"| {name}" in markdown
    assert "| lora.rank |" in markdown


# --- with models of a few kilobytes ------------------------------------------------------------------------


@pytest.mark.slow
def test_two_settings_are_really_trained(
    character: Character, tiny_base: Callable[..., Base], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training is real; a random model says no word of hers, so what is measured is played."""
    pytest.importorskip("jinja2")
    from inference.adapters import AdapterCheck

    base = tiny_base()

    def measure(config: EvaluateConfig) -> None:
        layers = read_version(config.version).manifest.config["lora"]["layers"]
        found = evaluation(config.version, *((30, 1) if layers else (40, 8)))
        write_evaluation(found, config.version / "evaluation.json")

    monkeypatch.setattr(stage, "evaluate", measure)
    small = ("precision=float32", "probe=false", "replay_share=0", "lora.rank=8", "epochs=1", "threads=1")
    config = sweep_of(character, tmp_path, *small, f"base={base.folder}", "grid={lora.layers: [1]}")
    version = tune(config)

    AdapterCheck(base, 64).check(version)
    about = json.loads((version / "adapter_config.json").read_text(encoding="utf-8"))
    assert about["layers_to_transform"] == [1]
    assert sorted(each.name for each in version.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "evaluation.json",
        "history.jsonl",
        "version.json",
    ]
    assert tune(config) == version
    wrong = sweep_of(character, tmp_path, *small, f"base={base.folder}", "grid={lora.layers: [1, 2]}")
    with pytest.raises(ConfigError, match=r"`grid`: `lora\.layers`: `2`, and the model has the layers"):
        tune(wrong)
