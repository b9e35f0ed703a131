"""Real scripts, openly licensed, from end to end. They lie beside a developer's checkout."""

import json
from pathlib import Path

import pytest

from dataset_builder.__main__ import main
from dataset_builder.rows import read_rows
from dataset_builder.schema import DIALOGUES, SCENES
from tests.conftest import ROOT

pytestmark = pytest.mark.corpora

CORPORA = ROOT.parent / "shared" / "corpora"
# Folder -> lines at least, and somebody who speaks in it.
WORKS = {
    "renpy_the_question": (70, "Sylvie"),
    "renpy_tutorial": (840, "Eileen"),
    "rpyc_pairs": (390, "Eileen"),
    "schoolboys_ayumi": (2200, "赤峰空"),
    "tyranoscript_sample": (110, "あかね"),
    "tyrano_jinro": (180, "ずんだもん"),
    "kag3_tests_sjis": (250, None),
    "psb_fixtures": (35, "灯"),
    "ink_the_intercept": (900, None),
    "ink_library": (1300, None),
    "yarn_examples": (400, None),
    "yarn_tests": (400, "Mae"),
}


@pytest.mark.parametrize("work", WORKS)
def test_inspect_and_extract(work: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, speaker = WORKS[work]
    assert main(["inspect", str(CORPORA / work)]) == 0
    assert f"{work}" in capsys.readouterr().out
    out = tmp_path / "scenes.jsonl"
    assert main(["extract", str(CORPORA / work), "-o", str(out)]) == 0
    scenes = list(read_rows(out, SCENES))
    said = [line for scene in scenes for line in scene.lines]
    assert len(said) >= lines
    assert all(line.text or line.voice for line in said)
    if speaker:
        assert any(line.speaker == speaker for line in said)
    losses = json.loads((tmp_path / "scenes.losses.json").read_bytes())
    assert losses["seen"] == losses["emitted"] + sum(losses["skipped"].values())
    assert losses["emitted"] == len(said)


def test_every_folder_is_tried() -> None:
    assert {path.name for path in CORPORA.iterdir() if path.is_dir()} == WORKS.keys()


@pytest.mark.parametrize(
    ("work", "who"),
    [
        ("schoolboys_ayumi", {"森海友": "tomo", "赤峰空": "sora"}),
        ("renpy_tutorial", {"Eileen": "eileen"}),
    ],
)
def test_build_to_a_data_set(work: str, who: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "build.yaml"
    config.write_text(
        json.dumps(
            {
                "out": "out",
                "extract": {"paths": str(CORPORA / work)},
                "characters": [{"name": name, "id": id} for name, id in who.items()],
                "export": {"licence": "mit"},
            }
        ),
        encoding="utf-8",
    )
    assert main(["build", str(config)]) == 0
    for name, id in who.items():
        folder = tmp_path / "out" / id
        tally = json.loads((folder / "dialogues.tally.json").read_bytes())
        assert tally["answered"] == tally["lines"] > 200
        found = list(read_rows(folder / "filtered.jsonl", DIALOGUES))
        assert {dialogue.character for dialogue in found} == {name}
        card = (folder / "data" / "README.md").read_text(encoding="utf-8")
        assert "license: mit" in card
        assert (folder / "data" / "llamafactory" / "dataset_info.json").is_file()
        rows = (folder / "data" / "trl" / "messages" / "train.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(rows) > 20
        assert all(json.loads(row)["messages"][0]["role"] == "system" for row in rows)
