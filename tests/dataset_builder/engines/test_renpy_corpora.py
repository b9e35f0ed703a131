"""Real works of Ren'Py: the compiler, the translators and a person agree with the reader."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from dataset_builder.engines import ReadOptions, renpy
from dataset_builder.engines.renpy_nodes import If, Label, Menu, Node, Say, Script, While
from dataset_builder.engines.renpy_statements import parse
from dataset_builder.engines.renpy_translations import Identifiers
from dataset_builder.engines.rpyc import read_compiled
from dataset_builder.report import Losses
from dataset_builder.schema import Line, Scene, Source
from dataset_builder.work import ScriptFile, disk_file, open_work
from tests.conftest import ROOT

pytestmark = pytest.mark.corpora

CORPORA = ROOT.parent / "shared" / "corpora"
PAIRS = CORPORA / "rpyc_pairs" / "testcases"
GOLD = Path(__file__).parents[1] / "gold"


@cache
def work(name: str) -> tuple[list[Scene], Losses]:
    losses = Losses()
    files = [file for file in open_work(CORPORA / name).files if renpy.sniff(file.name, file.head)]
    return list(renpy.read(files, ReadOptions(work=name), losses)), losses


def source(path: Path) -> Script:
    return parse(path.read_text("utf-8-sig"), path.name, Losses())


def said(nodes: Sequence[Node]) -> Iterator[Label | Say]:
    """What is said in a script, and its labels, from top to bottom."""
    for node in nodes:
        match node:
            case Say():
                yield node
            case Label():
                yield node
                yield from said(node.block)
            case While():
                yield from said(node.block)
            case If():
                for arm in node.arms:
                    yield from said(arm)
            case Menu():
                for item in node.items:
                    yield from said(item.block or [])


def says(script: Script) -> list[Say]:
    return [node for node in said(script.nodes) if isinstance(node, Say)]


def identifiers(script: Script, made: Identifiers) -> list[tuple[str, ...]]:
    """Those of all lines of a script."""
    found = []
    made.begin(script.identifiers)
    for node in said(script.nodes):
        if isinstance(node, Say):
            found.append(made.of(node))
        elif not node.hidden:
            made.enter(node.name)
    return [each for each in found if each]


@pytest.mark.parametrize(
    "name", [path.relative_to(PAIRS / "compiled").as_posix() for path in sorted(PAIRS.rglob("*.rpyc"))]
)
def test_compiled_scripts_say_what_their_sources_say(name: str) -> None:
    compiled = read_compiled((PAIRS / "compiled" / name).read_bytes(), name, Losses())
    written = source((PAIRS / "originals" / name).with_suffix(".rpy"))
    assert [(say.who, say.what, say.line) for say in says(compiled)] == [
        (say.who, say.what, say.line) for say in says(written)
    ]
    assert [(say.identifier,) for say in says(compiled) if say.identifier] == [
        found[:1] for found in identifiers(written, Identifiers())
    ], "the compiler's identifiers are ours"
    scenes, others = (_read_one(file) for file in (_compiled(name), _written(name)))
    for scene in scenes + others:
        scene.file = ""
        for line in scene.lines:
            line.source = Source("")  # choices do not know their own line when they are compiled
    assert scenes == others


def _compiled(name: str) -> ScriptFile:
    return disk_file(PAIRS / "compiled" / name, "script.rpyc")


def _written(name: str) -> ScriptFile:
    return disk_file((PAIRS / "originals" / name).with_suffix(".rpy"), "script.rpy")


def _read_one(file: ScriptFile) -> list[Scene]:
    return list(renpy.read([file], ReadOptions(), Losses()))


def test_the_question_has_70_lines() -> None:
    name = "the_question-8.2/script.rpyc"
    assert len(says(read_compiled((PAIRS / "compiled" / name).read_bytes(), name, Losses()))) == 70
    scenes, losses = work("renpy_the_question")
    kinds = Counter(line.kind for scene in scenes for line in scene.lines)
    assert kinds == {"speech": 40, "narration": 31, "choice": 4}, "70, and a caption and four choices"
    assert losses.as_dict()["skipped"] == {}
    assert {scene.scene: scene.next for scene in scenes} == {
        "start": ["rightaway", "later"],
        "rightaway": ["game", "book"],
        "game": ["marry"],
        "book": ["marry"],
        "marry": [],
        "later": [],
    }
    translated = Counter(
        language for scene in scenes for line in scene.lines for language in line.translations
    )
    assert translated == {"zh-Hans": 75, "zh-Hant": 75, "ko": 75, "fr": 75, "ja": 74}


@pytest.mark.parametrize("name", ["renpy_the_question", "renpy_tutorial", "schoolboys_ayumi"])
def test_identifiers_are_those_of_the_translations(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    paths = sorted((CORPORA / name).rglob("*.rpy"))
    known = {
        identifier for path in paths for lines in source(path).translations.values() for identifier in lines
    }
    made = Identifiers()
    found = [each for path in paths if "tl" not in path.parts for each in identifiers(source(path), made)]
    paired = sum(not known.isdisjoint(each) for each in found)
    with capsys.disabled():
        print(f"\n{name}: {paired} of {len(found)} identifiers stand in tl/ ({paired / len(found):.2%})")  # noqa: T201
    assert paired / len(found) >= 0.99


def test_ayumi() -> None:
    scenes, losses = work("schoolboys_ayumi")
    lines = [line for scene in scenes for line in scene.lines]
    assert losses.as_dict() == {
        "seen": 2360,
        "emitted": 2360,
        "skipped": {},
        "unknown": {},
        "warnings": [],
        "more_warnings": 0,
    }
    assert all("ja" in line.translations for line in lines)
    names = {line.speaker for line in lines if line.speaker}
    assert not any(name.startswith("rs_character") or name != name.strip() for name in names)
    together = {line.speaker: line.speakers for line in lines if line.speaker and "·" in line.speaker}
    assert together["森海友·加藤准太"] == ("森海友", "加藤准太")
    assert all(names.issuperset(people) for people in together.values())
    (line,) = (line for line in lines if line.source.line == 7720 and "008C8" in line.source.file)
    assert (line.speaker, line.text, line.raw) == ("森海友·加藤准太", "一、二！！", "一、二！！")


@pytest.mark.parametrize("name", ["zh_ayumi", "en_renpy"])
def test_lines_that_a_person_has_read(name: str) -> None:
    gold = [json.loads(row) for row in (GOLD / f"{name}.jsonl").read_text("utf-8").splitlines()]
    assert len(gold) >= 200
    found: dict[tuple[str, int], list[Line]] = {}
    for folder in {row["file"].partition("/")[0] for row in gold}:
        for scene in work(folder)[0]:
            for line in scene.lines:
                found.setdefault((f"{folder}/{scene.file}", line.source.line), []).append(line)
    for row in gold:
        lines = found.get((row["file"], row["line"]), [])
        assert [row] == [
            row
            | {
                "kind": line.kind,
                "speaker": line.speaker,
                "display_name": line.display_name,
                "text": line.text,
            }
            for line in lines
        ]
