"""The settings come from the environment, are explained, and are refused in one line."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from inference.__main__ import main
from inference.settings import InferenceSettings, ServeSettings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a developer's own .env stays out of it


def test_environment_and_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(
        "CHATNVL_SERVE__PORT=9\nCHATNVL_MODEL=smollm2-135m\nOTHER=1\nCHATNVL_QQ__PORT=8080\n"
    )
    monkeypatch.setenv("CHATNVL_SERVE__PORT", "8123")
    monkeypatch.setenv("CHATNVL_DATA", "~/chat")
    settings = InferenceSettings()
    assert settings.serve.port == 8123
    assert settings.model == "smollm2-135m"
    assert settings.data == Path.home() / "chat"


def test_frozen() -> None:
    with pytest.raises(ValidationError):
        InferenceSettings().model = "other"  # type: ignore[misc]


@pytest.mark.parametrize("model", [InferenceSettings, ServeSettings])
def test_every_setting_is_explained(model: type[BaseModel]) -> None:
    assert [
        name for name, field in model.model_fields.items() if not field.description and name != "serve"
    ] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHATNVL_SERVE__PORT", "ninety"),
        ("CHATNVL_SERVE__PORT", "70000"),
        ("CHATNVL_SERVE__ENGINE", "ollama"),
        ("CHATNVL_SERVE__MAX_RANK", "33"),
        ("CHATNVL_SERVE__PROT", "8000"),
        ("CHATNVL_MODEL", "not-a-folder"),
        ("CHATNVL_MODEL", "./missing"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["prepare"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert name in said
    assert value in said


@pytest.mark.parametrize(
    "command",
    ["", "prepare", "serve", "ask", "list", "adapters"]
    + [f"adapters {one}" for one in ["list", "publish", "canary", "promote", "rollback", "diff", "report"]],
)
def test_help_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*command.split(), "--help"])
    assert len(capsys.readouterr().out) > 200
