"""`python -m dataset_builder` as its users call it, on small works of our own."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.__main__ import main, parser
from dataset_builder.config import load
from dataset_builder.rows import read_rows
from dataset_builder.schema import DIALOGUES, SCENES
from tests.conftest import ROOT

FIXTURES = ROOT / "tests" / "dataset_builder" / "fixtures"
SEED = FIXTURES / "seed"
GAME = FIXTURES / "renpy"


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("work", "lines"), [("koikake", 36), ("sanoba", 30), ("senren", 31)])
def test_the_three_forms_that_chatnvl_began_with(work: str, lines: int, tmp_path: Path) -> None:
    """`expected.json` is what the code of 2023 makes of these files, run apart (commit 4c85077)."""
    scenes, chat = tmp_path / "scenes.jsonl", tmp_path / "chat.jsonl"
    assert main(["extract", str(SEED / work), "-o", str(scenes)]) == 0
    found = list(read_rows(scenes, SCENES))
    assert sum(len(scene.lines) for scene in found) == lines
    assert all(line.translations for scene in found for line in scene.lines)
    assert main(["dialogues", str(scenes), "--compat", "chatnvl", "-o", str(chat)]) == 0
    assert rows(chat) == json.loads((SEED / "expected.json").read_bytes())[work]


def test_the_same_files_by_our_own_algorithm_lose_no_line_of_hers(tmp_path: Path) -> None:
    scenes, out = tmp_path / "scenes.jsonl", tmp_path / "dialogues.jsonl"
    main(["extract", str(SEED / "senren"), "-o", str(scenes)])
    assert main(["dialogues", str(scenes), "--character", "灯", "-o", str(out)]) == 0
    hers = [
        line.text
        for scene in read_rows(scenes, SCENES)
        for line in scene.lines
        if line.speakers == ("灯",) and line.kind == "speech"
    ]
    answered = "".join(turn.answered for each in read_rows(out, DIALOGUES) for turn in each.turns)
    assert hers
    assert [text for text in hers if text not in answered] == []
    tally = json.loads((tmp_path / "dialogues.tally.json").read_bytes())
    assert tally["lines"] == tally["answered"] == len(hers)


def test_inspect_shows_formats_speakers_and_languages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "speakers.svg"
    assert main(["inspect", str(GAME), "--picture", str(picture)]) == 0
    shown = capsys.readouterr()
    assert "Ren'Py" in shown.out
    assert "zh" in shown.out
    assert "█" in shown.out
    assert picture.read_bytes().startswith(b"<?xml")
    assert "records" in shown.err


def config(folder: Path, out: str = "out", **more: Any) -> Path:
    scenes = folder / "probe.jsonl"
    main(["extract", str(GAME), "-o", str(scenes)])
    counts: dict[str, int] = {}
    for scene in read_rows(scenes, SCENES):
        for line in scene.lines:
            for name in line.speakers:
                counts[name] = counts.get(name, 0) + (line.kind == "speech")
    first = max(counts, key=lambda name: counts[name])
    path = folder / f"{out}.yaml"
    given = {
        "out": out,
        "extract": {"paths": str(GAME)},
        "characters": [{"name": first, "id": "her"}],
        "export": {"licence": "cc0-1.0", "validation": 0, "test": 0},
    } | more
    path.write_text(json.dumps(given, ensure_ascii=False), encoding="utf-8")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_build_makes_a_data_set_and_does_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = config(tmp_path)
    assert main(["build", str(given)]) == 0
    made = contents(tmp_path / "out")
    assert {"scenes.jsonl", "terms.tsv", "her/card.json", "her/data/README.md"} <= made.keys()
    (row, *_) = rows(tmp_path / "out" / "her" / "data" / "trl" / "messages" / "train.jsonl")
    assert [message["role"] for message in row["messages"]][:3] == ["system", "user", "assistant"]
    capsys.readouterr()
    assert main(["build", str(given)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said
    assert all(line.endswith("nothing new") for line in said)
    assert contents(tmp_path / "out") == made
    again = config(tmp_path, "again")
    assert main(["build", str(again)]) == 0
    ours = {name: data for name, data in contents(tmp_path / "again").items() if name != "build.json"}
    assert ours == {name: data for name, data in made.items() if name != "build.json"}


def test_what_a_person_decides_about_a_term_holds_and_changes_the_data(tmp_path: Path) -> None:
    given = config(tmp_path)
    main(["build", str(given)])
    review = tmp_path / "out" / "terms.tsv"
    lines = review.read_text(encoding="utf-8-sig").splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("placeholder"))
    lines[at] = lines[at].replace("placeholder", "keep", 1)
    text = lines[at].split("\t")[1]
    review.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main(["build", str(given)]) == 0
    decided = {
        cells[1]: cells[0]
        for cells in (line.split("\t") for line in review.read_text(encoding="utf-8-sig").splitlines())
    }
    assert decided[text] == "keep"


def test_a_build_that_is_killed_anywhere_ends_with_the_same_bytes(tmp_path: Path) -> None:
    whole, broken = config(tmp_path, "whole"), config(tmp_path, "broken")
    assert main(["build", str(whole)]) == 0
    rng = random.Random(5)
    command = [sys.executable, "-m", "dataset_builder", "build", str(broken)]
    for _ in range(6):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.3, 2.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
    left, right = contents(tmp_path / "whole"), contents(tmp_path / "broken")
    unfinished = {name for name in right if "unfinished" in name}
    assert {name: data for name, data in left.items() if name != "build.json"} == {
        name: data for name, data in right.items() if name != "build.json" and name not in unfinished
    }


def test_a_filtered_dialogue_is_restored_with_its_key(tmp_path: Path) -> None:
    scenes, found, clean, back = (tmp_path / f"{name}.jsonl" for name in ("s", "d", "f", "r"))
    main(["extract", str(SEED / "senren"), "-o", str(scenes)])
    main(["dialogues", str(scenes), "--character", "灯", "-o", str(found)])
    places = ["--review", str(tmp_path / "terms.tsv"), "--key", str(tmp_path / "key.json")]
    assert main(["filter", str(found), "--scenes", str(scenes), "-o", str(clean), *places]) == 0
    assert clean.read_bytes() != found.read_bytes()
    assert main(["restore", str(clean), "--key", str(tmp_path / "key.json"), "-o", str(back)]) == 0
    assert back.read_bytes() == found.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["inspect", "/nowhere/at/all"], "does not exist"),
        (["extract", str(ROOT / "LICENSE")], "is a script that can be read"),
        (["extract", str(SEED), "--engine", "flash"], "there is no reader `flash`"),
        (["dialogues", "missing.jsonl", "--character", "x"], "cannot be read"),
        (["extract", str(SEED), "--exclude", "("], "no regular expression"),
        (["extract", str(SEED), "--gap", "many"], "--gap"),
        (["build", "missing.yaml"], "cannot be read"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_configuration_that_is_wrong_names_the_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, said in [
        ("out: x\nextract: {paths: a}\ncharacters: []\n", "`characters`"),
        ("out: x\nextract: {paths: a, gab: 3}\ncharacters: [{name: a, id: a}]\n", "`extract.gab`"),
        ("out: x\nextract: {}\ncharacters: [{name: a, id: a}]\n", "`extract.paths` names no script"),
        ("out: x\nextract: {paths: a}\ncharacters: [{name: a, id: a}, {name: b, id: a}]\n", "one `id`"),
        ("a: [", "is no YAML"),
    ]:
        path = tmp_path / "c.yaml"
        path.write_text(text)
        assert main(["build", str(path)]) == 2
        assert said in capsys.readouterr().err


def test_a_character_who_never_speaks_is_told_with_those_who_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = tmp_path / "scenes.jsonl"
    main(["extract", str(SEED / "senren"), "-o", str(scenes)])
    assert main(["dialogues", str(scenes), "--character", "nobody", "-o", str(tmp_path / "d")]) == 2
    assert "`灯`" in capsys.readouterr().err


def test_every_command_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    commands = parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr,index]
    assert set(commands or ()) == {
        *("inspect", "extract", "dialogues", "filter", "restore", "rewrite", "profile", "card", "export"),
        *("build", "stats", "feedback"),
    }
    for command in commands or ():
        with pytest.raises(SystemExit) as ended:
            main([str(command), "--help"])
        assert ended.value.code == 0
        assert len(capsys.readouterr().out) > 200


def test_the_examples_of_configurations_are_right() -> None:
    found = sorted((ROOT / "dataset_builder" / "configs").glob("*.yaml"))
    assert len(found) >= 2
    for path in found:
        assert load(path).out.is_absolute()
        assert f"build dataset_builder/configs/{path.name}" in path.read_text(encoding="utf-8")


def test_a_card_that_a_person_edited_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = config(tmp_path)
    main(["build", str(given)])
    card = tmp_path / "out" / "her" / "card.json"
    edited = card.read_text(encoding="utf-8").replace('"scenario": ""', '"scenario": "A quiet evening."')
    assert "A quiet evening." in edited
    card.write_text(edited, encoding="utf-8")
    capsys.readouterr()
    for _ in range(2):
        assert main(["build", str(given)]) == 0
        assert card.read_text(encoding="utf-8") == edited
    assert "was edited and stays as it is" in capsys.readouterr().err
    (row, *_) = rows(tmp_path / "out" / "her" / "data" / "trl" / "messages" / "train.jsonl")
    assert "A quiet evening." in row["messages"][0]["content"]


def test_a_build_never_reads_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("out: out\nextract: {paths: .}\ncharacters: [{name: a, id: a}]\n")
    assert main(["build", str(tmp_path / "a.yaml")]) == 2
    assert "`out` lies inside" in capsys.readouterr().err


def test_files_of_one_name_stay_apart(tmp_path: Path) -> None:
    for folder in ("old", "new"):
        (tmp_path / folder / "game").mkdir(parents=True)
        (tmp_path / folder / "game" / "x.txt").write_text(f"灯：{folder}、おはよう。\n凛：おはよう。\n" * 3)
    out = tmp_path / "scenes.jsonl"
    folders = [str(tmp_path / folder / "game") for folder in ("old", "new")]
    assert main(["extract", *folders, "--engine", "transcript", "-o", str(out)]) == 0
    assert [scene.file for scene in read_rows(out, SCENES)] == ["game/x.txt", "game-1/x.txt"]


def test_stats_of_dialogues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes, found = tmp_path / "scenes.jsonl", tmp_path / "dialogues.jsonl"
    main(["extract", str(SEED / "senren"), "-o", str(scenes)])
    main(["dialogues", str(scenes), "--character", "灯", "-o", str(found)])
    capsys.readouterr()
    assert main(["stats", str(found)]) == 0
    assert "exchanges" in capsys.readouterr().out
    assert main(["filter", str(found), "--scenes", str(found)]) == 2  # dialogues are no scenes


def test_a_missing_key_is_said_before_anybody_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes, found, out = (tmp_path / f"{name}.jsonl" for name in ("s", "d", "c"))
    main(["extract", str(SEED / "senren"), "-o", str(scenes)])
    main(["dialogues", str(scenes), "--character", "灯", "-o", str(found)])
    assert main(["rewrite", str(found), "-o", str(out)]) == 2
    assert "CHATNVL_INFERENCE__API_KEY" in capsys.readouterr().err
    assert not out.exists()
    assert main(["rewrite", str(found), "-o", str(out), "--estimate"]) == 0
    assert "tokens" in capsys.readouterr().err
