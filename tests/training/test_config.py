"""YAML and `key=value`: what is read, and what is said about what is wrong."""

from pathlib import Path

import pytest

from training.config import RunConfig, keys, load_config
from training.errors import ConfigError


def test_overrides_lie_over_the_file_and_reach_into_sections(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("character: characters/maeve\nbatch: 4\nlora: {rank: 8, alpha: 8}\n", encoding="utf-8")
    config = load_config(RunConfig, file, ["batch=16", "lora.rank=32", "learning_rate=5e-5"])
    assert (config.batch, config.lora.rank, config.lora.alpha) == (16, 32, 8)
    assert config.learning_rate == 5e-5  # YAML 1.1 reads a word there
    assert config.character_id == "maeve"


def test_one_value_is_a_list_of_one(tmp_path: Path) -> None:
    config = load_config(RunConfig, None, ["character=x", "lora.modules=all-linear", "report_to=wandb"])
    assert config.lora.modules == ("all-linear",)
    assert config.report_to == ("wandb",)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learning_rat=1", "there is no key `learning_rat`; did you mean `learning_rate`?"),
        ("lora.rnk=8", "there is no key `lora.rnk`; did you mean `lora.rank`?"),
        ("lora.rank=9", "`lora.rank` is `9`"),
        ("learning_rate=fast", "`learning_rate` is `fast`"),
        ("batch=0", "`batch` is `0`"),
        ("seed", "`seed` is no `key=value`"),
        ("batch.size=2", "`batch`"),
        ("base=[", "the value is no YAML"),
    ],
)
def test_what_is_wrong_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(RunConfig, None, ["character=x", override])
    assert message in str(caught.value)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match="`character` is missing"):
        load_config(RunConfig, None)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "\x00"])
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"run\.yaml"):
        load_config(RunConfig, file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(RunConfig, tmp_path / "nothing.yaml")


def test_every_key_is_explained() -> None:
    explained = {name: what for name, _, what in keys(RunConfig)}
    assert all(explained.values()), [name for name, what in explained.items() if not what]
    assert "lora.rank" in explained
    defaults = {name: default for name, default, _ in keys(RunConfig)}
    assert (defaults["character"], defaults["batch"], defaults["report_to"]) == ("needed", "8", "none")
