"""`python -m inference adapters`: a version is published, tried, promoted, taken back; a refusal changes
nothing."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.schema import Tally, VersionTally
from inference.__main__ import main
from inference.base import Base
from inference.release import Release, read_release
from inference.votes_chart import over_time
from tests.inference.conftest import write_adapter

NOT_ASKED = {"value": 0.0, "low": 0.0, "high": 0.0, "n": 0}
CARD = "c" * 64


def figure(value: float, spread: float = 4.0, n: int = 60) -> dict[str, float]:
    return {"value": value, "low": value - spread, "high": value + spread, "n": n}


def evaluation(version: str = "maeve.v1", **changes: Any) -> dict[str, Any]:
    """An `evaluation.json` as training writes it; `changes` are own figures by name, or fields."""
    own = {
        "heldout_perplexity": ("style", "lower", "adapter", figure(30.0)),
        "rouge1": ("style", "higher", "adapter", figure(17.0)),
        "persona_right": ("persona", "higher", "adapter", figure(88.0)),
        "ability": ("ability", "higher", "adapter-no-card", figure(53.0)),
        "safety": ("safety", "higher", "adapter", figure(82.0, n=20)),
        "repetition": ("manner", "lower", "adapter", figure(2.0)),
    }
    metrics = [
        {
            "name": name,
            "group": group,
            "label": f"what is called {name}",
            "better": better,
            "unit": "%",
            "values": {"base": figure(10.0), system: changes.pop(name, found)},
        }
        for name, (group, better, system, found) in own.items()
    ]
    lost = {"value": 1.0, "low": -2.0, "high": 4.0, "goal": 3.0, "met": True}
    goals = [{"text": "General ability lost, in % of the base's"} | lost]
    fields = {
        "character": "maeve",
        "version": version,
        "base": "tiny",
        "card_sha256": CARD,
        "seconds": 3.0,
        "settings": {"rows": 60, "facts": 60, "seed": 7, "held_out_rows": 60, "notes": []},
        "systems": [],
        "metrics": [each for each in metrics if each["values"]],
        "goals": goals,
        "samples": [],
    }
    return fields | changes


@dataclass
class Desk:
    """An owner's desk: her characters, and the command."""

    characters: Path
    data: Path
    base: Base
    capsys: pytest.CaptureFixture[str]

    @property
    def versions(self) -> Path:
        return self.characters / "maeve" / "adapters" / "tiny"

    @property
    def release(self) -> Release | None:
        return read_release(self.versions)

    def version(self, number: int, folder: Path | None = None, **changes: Any) -> Path:
        """A good version with an evaluation."""
        folder = folder or self.versions / f"v{number}"
        manifest = {
            "character": "maeve",
            "stage": "sft" if number == 1 else "kto",
            "config": {"seed": 7, "lora": {"rank": 8}, "epochs": number},
            "data": [{"path": "rows.jsonl", "sha256": f"{number}" * 64, "rows": 10 * number}],
            "lineage": [{"name": "maeve.v1", "sha256": "d" * 64, "stage": "sft"}] if number > 1 else [],
        }
        write_adapter(folder, self.base, seed=number, version=manifest)
        self.evaluate(folder, version=f"maeve.v{number}", **changes)
        return folder

    def evaluate(self, folder: Path, **changes: Any) -> None:
        (folder / "evaluation.json").write_text(json.dumps(evaluation(**changes)))

    def votes(self, **found: tuple[str, int, int]) -> None:
        day = time.strftime("%Y-%m-%d", time.gmtime())
        rows = []
        for version, (arm, up, down) in found.items():
            counts = {
                "up": up,
                "down": down,
                "weighted_up": up,
                "weighted_down": down,
                "shown": 2 * (up + down),
            }
            row = {"character": "maeve", "version": f"maeve.{version}", "arm": arm, "day": day}
            rows.append(VersionTally.model_validate(row | counts))
        path = self.data / "feedback" / "tally.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Tally(time=time.time(), versions=tuple(rows)).model_dump_json())

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What the command says, in one line."""
        self.capsys.readouterr()
        found = main(["adapters", *arguments])
        said = " ".join("".join(self.capsys.readouterr()).split())
        assert found == code, said
        return said

    def files(self) -> dict[Path, bytes]:
        """All that there is, to see that nothing was changed. Locks are nobody's business."""
        found = self.characters.rglob("*")
        return {path: path.read_bytes() for path in found if path.is_file() and path.suffix != ".lock"}


@pytest.fixture
def desk(
    tmp_path: Path, tiny_base: Base, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    characters = tmp_path / "characters"
    for name in ("maeve", "zhiwei"):
        (characters / name).mkdir(parents=True)
        (characters / name / "card.json").write_text(json.dumps({"name": name.title()}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.setenv("CHATNVL_CHARACTERS", "characters")
    monkeypatch.setenv("CHATNVL_MODEL", str(tiny_base.folder))
    monkeypatch.setenv("CHATNVL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CHATNVL_DATA", "data")
    return Desk(Path("characters"), tmp_path / "data", tiny_base, capsys)


def test_from_the_first_version_to_a_rollback(desk: Desk) -> None:
    desk.version(1)
    assert "`maeve.v1` is published, and answers: there is no other" in desk("publish", "maeve.v1")
    desk.version(2)
    said = desk("publish", "maeve.v2", "--reason", "votes of May")
    assert "`maeve.v1` goes on answering" in said
    assert "adapters canary maeve.v2" in said
    said = desk("canary", "maeve.v2", "--share", "0.25")
    assert "`maeve.v2` answers 25 % of the conversations, `maeve.v1` the others" in said
    assert "776 more votes" in said
    desk.votes(v1=("stable", 600, 400), v2=("canary", 300, 100))
    listed = desk("list")
    assert "tried, 25%" in listed
    assert "answers" in listed
    assert "300 of 400: 75% (71% to 79%)" in listed
    assert "`maeve.v2` beside `maeve.v1`: canary: liked in 75 % (71 to 79) of 400 votes" in listed
    assert "it is liked more" in desk("promote", "maeve")
    assert (desk.release.stable, desk.release.previous) == ("maeve.v2", "maeve.v1")
    said = desk("rollback", "--reason", "people say she is cold")
    assert "`maeve.v2` is taken back; `maeve.v1` answers everybody" in said
    assert [(each.action, each.version) for each in desk.release.history] == [
        ("publish", "maeve.v1"),
        ("publish", "maeve.v2"),
        ("canary", "maeve.v2"),
        ("promote", "maeve.v2"),
        ("rollback", "maeve.v2"),
    ]
    assert desk.release.history[1].reason.startswith("votes of May; ")
    assert desk.release.history[-1].reason == "people say she is cold"
    assert "taken back" in desk("list")
    assert "nothing before `maeve.v1`" in desk("rollback", code=1)


def test_publishing_changes_nothing_for_people(desk: Desk) -> None:
    """Without a release the newest answers; the one before it does when the newest is published."""
    for number in (1, 2, 3):
        desk.version(number)
    desk("publish", "maeve.v3")
    assert desk.release.named == {"maeve.v2"}
    assert desk.release.history[0].version == "maeve.v2"
    assert desk.release.history[0].reason == "it answered before there was a release"
    assert "`maeve.v1` was not published" in desk("canary", "maeve.v1", code=1)
    assert "`maeve.v1` was not published" in desk("promote", "maeve.v1", code=1)
    desk("promote", "maeve.v3")
    desk("promote", "maeve.v2")  # it has answered, so it may again


def test_a_folder_from_elsewhere_becomes_the_next_free_version(desk: Desk, tmp_path: Path) -> None:
    desk.version(1)
    desk("publish", "maeve.v1")
    given = desk.version(9, tmp_path / "sent" / "some" / "name")
    (given / ".cache").mkdir()
    assert "`maeve.v2` is published" in desk("publish", str(given))
    assert (desk.versions / "v2" / "evaluation.json").is_file()
    assert not (desk.versions / "v2" / ".cache").exists()
    assert sorted(path.name for path in desk.versions.iterdir() if path.suffix != ".lock") == [
        "release.json",
        "v1",
        "v2",
    ]
    shutil.rmtree(desk.versions / "v2")
    given = desk.version(10, tmp_path / "another")
    assert "`maeve.v3` is published" in desk("publish", str(given)), "a number is never given twice"


def test_a_copy_that_ends_halfway_leaves_nothing(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.version(1)
    desk("publish", "maeve.v1")
    given, before = desk.version(2, tmp_path / "given"), desk.files()

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("inference.publish._reach_the_disk", full)
        assert "it cannot be copied" in desk("publish", str(given), code=1)
    assert desk.files() == before
    left = desk.versions / ".publishing" / "maeve" / "adapters" / "tiny" / "v2"  # of one who was killed
    shutil.copytree(given, left)
    assert "maeve.v2" not in desk("list")
    assert "`maeve.v2` is published" in desk("publish", str(given))
    assert not (desk.versions / ".publishing").exists()


def _nan(folder: Path) -> None:
    from numpy import full
    from safetensors.numpy import load_file, save_file

    path = folder / "adapter_model.safetensors"
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    save_file(load_file(path) | {name: full((16, 8), float("nan"), "float32")}, path)


def _config(**fields: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


def _manifest(**fields: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "version.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_nan, "infinite or none at all"),
        (_config(r=128), "rank is 128"),
        (_config(modules_to_save=["lm_head"]), "`modules_to_save`"),
        (_manifest(base_sha256="0" * 64), "it was trained on `tiny` with the sha256 000000000000"),
        (lambda folder: (folder / "x.pkl").touch(), "opening that may run code"),
        (lambda folder: (folder / "link").symlink_to("/etc/passwd"), "`link` is neither a file nor a folder"),
        (lambda folder: os.mkfifo(folder / "pipe"), "`pipe` is neither a file nor a folder"),
        (_manifest(character=""), "names no `character`"),
        (_manifest(character="../../x"), "there is no character `../../x`"),
        (_manifest(character="nobody"), "there is no character `nobody`; there are: `maeve`, `zhiwei`"),
        (lambda folder: (folder / "version.json").unlink(), "no `version.json` in it"),
    ],
)
def test_what_a_server_would_refuse_is_refused_whatever_is_forced(
    desk: Desk, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    desk.version(1)
    desk("publish", "maeve.v1")
    given = desk.version(2, tmp_path / "given")
    spoil(given)
    before = desk.files()
    main_code = main(["adapters", "publish", str(given), "--force", "--reason", "I want it"])
    said = " ".join("".join(desk.capsys.readouterr()).split())
    assert main_code in (1, 2)
    assert words in said
    assert ".publishing" not in said
    assert desk.files() == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../x", "`../x` is neither a version's name, such as `maeve.v2`, nor a folder"),
        ("maeve", "`maeve` is neither a version's name"),
        ("maeve.v9", "there is no `maeve.v9` on `tiny`; there are: `maeve.v1`"),
        ("nobody.v1", "there is no character `nobody`"),
        ("/", "`version.json`"),
        ("characters/maeve", "versions on `tiny` lie in `<character>/adapters/tiny/v<n>`"),
        ("characters/maeve/adapters/tiny", "versions on `tiny` lie in"),
    ],
)
def test_wrong_names(desk: Desk, name: str, words: str) -> None:
    desk.version(1)
    before = desk.files()
    code = 1 if "characters" in name or name == "/" else 2
    assert words in desk("publish", name, code=code)
    if "/" not in name and name != "maeve":
        for command in (("canary",), ("promote",), ("diff", "maeve.v1"), ("report",)):
            assert words in desk(*command, name, code=2)
    for command in ("canary", "diff maeve.v1", "report"):
        assert "`../x` is no version's name" in desk(*command.split(), "../x", code=2)
    for command in ("promote", "rollback"):
        assert "there is no character `../x`" in desk(command, "../x", code=2)
    assert desk.files() == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rouge1": figure(8.0)}, "what is called rouge1: 8 (4 to 12), and `maeve.v1` has 17 (13 to 21)"),
        ({"heldout_perplexity": figure(40.0)}, "what is called heldout_perplexity: 40 (36 to 44)"),
        ({"persona_right": figure(60.0)}, "what is called persona_right"),
        ({"ability": figure(40.0)}, "what is called ability"),
        ({"safety": figure(60.0, n=20)}, "what is called safety"),
        ({"safety": NOT_ASKED}, "what is called safety: not measured"),
        ({"safety": figure(82.0, n=10)}, "what is called safety: measured on 10 items, and `maeve.v1` on 20"),
        (
            {"settings": {"rows": 20, "facts": 60, "seed": 7, "held_out_rows": 60}},
            "it was asked other questions than `maeve.v1` (`rows` 20 and 60): evaluate both alike",
        ),
        (
            {"card_sha256": "e" * 64},
            "it was asked other questions than `maeve.v1` (the card has changed in between)",
        ),
        ({"base": "other"}, "its evaluation is that of `maeve.v2` on `other`"),
        ({"character": "zhiwei"}, "its evaluation is that of"),
        (
            {
                "goals": [
                    {
                        "text": "General ability lost, in % of the base's",
                        **{"value": 9.0, "low": 5.0, "high": 12.0, "goal": 3.0, "met": False},
                    }
                ]
            },
            "General ability lost, in % of the base's: 9 (5 to 12), and the goal is 3",
        ),
    ],
)
def test_who_loses_on_the_exam_is_not_published_without_a_reason(
    desk: Desk, changes: dict[str, Any], words: str
) -> None:
    desk.version(1)
    desk("publish", "maeve.v1")
    desk.version(2, **changes)
    before = desk.files()
    said = desk("publish", "maeve.v2", code=1)
    assert f"refused: {words}" in said
    assert "--force --reason" in said
    assert desk.files() == before
    assert "takes a `--reason`" in desk("publish", "maeve.v2", "--force", code=2)
    assert "in spite of: " + words in desk("publish", "maeve.v2", "--force", "--reason", "she is funnier")
    assert desk.release.history[-1].reason.startswith("she is funnier; in spite of: " + words)


def test_what_is_as_good_within_the_intervals_is_published(desk: Desk) -> None:
    desk.version(1)
    desk("publish", "maeve.v1")
    desk.version(
        2,
        rouge1=figure(10.0),  # 6 to 14 and 13 to 21
        repetition=figure(50.0),  # people will say what they think of that
        goals=[
            {
                "text": "Replies taken for hers, in %",
                "value": 1,
                "low": 0,
                "high": 2,
                "goal": 80,
                "met": False,
            }
        ],
    )
    desk("publish", "maeve.v2")


def test_without_an_evaluation_there_is_nothing_to_go_by(desk: Desk) -> None:
    desk.version(1)
    desk.version(2)
    (desk.versions / "v1" / "evaluation.json").unlink()
    said = desk("publish", "maeve.v2", code=1)
    assert "`maeve.v1`, which answers, was not evaluated" in said
    assert "python -m training evaluate version=characters/maeve/adapters/tiny/v1" in said
    (desk.versions / "v2" / "evaluation.json").unlink()
    assert "it was not evaluated: `python -m training evaluate version=" in desk(
        "publish", "maeve.v2", code=1
    )
    (desk.versions / "v2" / "evaluation.json").write_text('{"metrics": [NaN]}')
    assert "evaluation.json`: `character` is wrong: Field required" in desk("publish", "maeve.v2", code=1)
    assert desk.release is None


def test_weights_that_changed_after_publishing_are_not_put_before_people(desk: Desk) -> None:
    for number in (1, 2):
        desk.version(number)
        desk("publish", f"maeve.v{number}")
    shutil.rmtree(desk.versions / "v2")
    write_adapter(desk.versions / "v2", desk.base, seed=77)
    for command in ("canary", "promote"):
        assert "others than those that were published as `maeve.v2`" in desk(command, "maeve.v2", code=1)
    assert desk.release.named == {"maeve.v1"}


def test_a_rollback_to_what_is_broken_is_refused(desk: Desk) -> None:
    for number in (1, 2):
        desk.version(number)
        desk("publish", f"maeve.v{number}")
    desk("promote", "maeve.v2")
    (desk.versions / "v1" / "adapter_model.safetensors").unlink()
    assert "no `adapter_model.safetensors` in it" in desk("rollback", code=1)
    assert desk.release.stable == "maeve.v2"


def test_trials_that_make_no_sense(desk: Desk) -> None:
    for number in (1, 2, 3):
        desk.version(number)
        desk("publish", f"maeve.v{number}")
    assert "`maeve.v1` answers already" in desk("canary", "maeve.v1", code=1)
    assert "on trial are none" in desk("promote", code=1)
    desk("canary", "maeve.v2", "--share", "0.1")
    began = desk.release.canary.since
    assert "`maeve.v2` is on trial" in desk("canary", "maeve.v3", code=1)
    desk("canary", "maeve.v2", "--share", "0.5", "--decide", "--smallest", "0.2")
    canary = desk.release.canary
    assert (canary.share, canary.decides, canary.smallest, canary.since) == (0.5, True, 0.2, began)
    assert "would take back `maeve.v2` now, and not `maeve.v1`" in desk("rollback", "maeve.v1", code=1)
    desk("rollback", "maeve.v2")
    for share in ("0", "1", "half"):
        with pytest.raises(SystemExit, match="2"):
            desk("canary", "maeve.v2", "--share", share)


def test_with_two_characters_one_says_whose(desk: Desk) -> None:
    desk.version(1)
    desk("publish", "maeve.v1")
    other = desk.characters / "zhiwei" / "adapters" / "tiny"
    for number in (1, 2):
        desk.version(number, other / f"v{number}", character="zhiwei")
        desk("publish", f"zhiwei.v{number}")
    assert "whose? Name one of `maeve`, `zhiwei`" in desk("rollback", code=1)
    desk("canary", "zhiwei.v2")
    assert "no version of `maeve` is on trial" in desk("promote", "maeve", code=1)
    assert "`zhiwei.v2` is taken back" in desk("rollback")


def test_a_release_that_cannot_be_read_is_told(desk: Desk) -> None:
    desk.version(1)
    (desk.versions / "release.json").write_text("{")
    assert "release.json`: `the whole` is wrong" in desk("list", code=1)
    assert "put a good one in its place, or delete it" in desk("publish", "maeve.v1", code=1)


def test_the_difference_of_two_versions(desk: Desk) -> None:
    desk.version(1)
    desk.version(2, persona_right=figure(99.0, 1), rouge1=figure(5.0))
    said = desk("diff", "maeve.v1", "maeve.v2")
    for words in ("config.epochs │ 1 │ 2", "sft │ kto", "maeve.v1 (sft)", "10 rows, 111111111111…"):
        assert words in said
    assert "lora.rank" not in said, "what is the same is left out"
    assert "what is called persona_right, % │ 88 (84 to 92) │ 99 (98 to 100) │ worse" in said
    assert "what is called rouge1, % │ 17 (13 to 21) │ 5 (1 to 9) │ better" in said


def test_list_tells_what_is_refused(desk: Desk) -> None:
    desk.version(1)
    (desk.version(2) / "adapter_model.safetensors").unlink()
    said = desk("list", code=1)
    assert "refused: adapter `characters/maeve/adapters/tiny/v2`: no `adapter_model.safetensors`" in said
    assert "perplexity 30 %, ROUGE-1 17 %" in said
    assert "1 of 1 goals" in said
    assert "none on this base" in said
    assert main(["list"]) == 1, "the short name of the same"


# --- the report ------------------------------------------------------------------------------------------


def _reward(folder: Path) -> None:
    right = {"value": 0.8125, "low": 0.7, "high": 0.9, "n": 64, "margin": 1.0, "spread": 1.0}
    bins = [{"low": 0.5, "high": 0.55, "n": 10, "confidence": 0.52, "accuracy": 0.6}]
    calibration = {"temperature": 1.2, "error": 0.043, "error_before": 0.11, "bins": bins}
    folder.mkdir(parents=True)
    report = {"overall": right, "kinds": {"vote": right}, "calibration": calibration, "base": "tiny"}
    (folder / "reward.json").write_text(json.dumps(report))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_report_is_one_file_with_all_about_a_version(desk: Desk, language: str) -> None:
    for number in (1, 2):
        desk.version(number, rouge1=figure(17.0 + 10 * number))
        desk("publish", f"maeve.v{number}")
    desk("canary", "maeve.v2", "--share", "0.3", "--reason", "<script>alert(1)</script>")
    _manifest(config={"reward_model": "elsewhere/r3"})(desk.versions / "v2")
    _reward(desk.characters / "maeve" / "rewards" / "tiny" / "r3")
    desk.votes(v1=("stable", 30, 30), v2=("canary", 28, 12))
    assert "report.html is written" in desk("report", "maeve.v2", "--language", language)
    page = Path("report.html").read_text()
    assert page.count("<svg") >= 6
    assert not re.findall(r"""(?:src|href)=|url\(|@import|<script""", page), "it needs nothing else"
    assert "&lt;script&gt;" in page
    assert f'<html lang="{language}">' in page
    for words in ("maeve.v1", "70 %", "37", "rows.jsonl", "2" * 64, "r3", "81 %", "0.043"):
        assert words in page
    told = {
        "en": ("on trial", "30 % of the conversations", "about", "more votes", "better", "General ability"),
        "zh": ("试用中", "30 % 的会话", "还差约", "更好", "通用能力", "奖励模型", "发布记录"),
    }
    for words in told[language]:
        assert words in page
    if language == "zh":  # but for reasons, which stay as they were written
        ours = page.partition("发布记录")[0].replace("what is called", "")
        assert not re.findall(r">[^<]*\b(?:the|of|votes|is|answers)\b[^<]*<", ours)


def test_a_report_of_little(desk: Desk, tmp_path: Path) -> None:
    folder = desk.version(1)
    (folder / "evaluation.json").unlink()
    desk("report", "maeve.v1", "-o", "little.html")
    page = (tmp_path / "little.html").read_text()
    for words in ("It was not evaluated", "Nobody has voted yet", "Nothing was released yet"):
        assert words in page
    assert "reward model" not in page
    assert "cannot be written" in desk("report", "maeve.v1", "-o", "no/where.html", code=1)


def test_votes_of_months_are_drawn_by_weeks() -> None:
    days = [date(2026, 7, 1) + timedelta(days=at) for at in range(100)]
    rows = [
        VersionTally(character="maeve", version="maeve.v1", day=day.isoformat(), up=3, down=1) for day in days
    ]
    (points,) = over_time(rows).values()
    assert len(points) == 15
    assert sum(point.liked.votes for point in points) == 400
    assert {point.day.weekday() for point in points} == {0}
    assert len(over_time(rows[:20])["maeve.v1"]) == 20
    assert over_time([]) == {}
