"""A data set from dialogues, through the door: what stands in the folder."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset_builder.errors import DatasetError
from dataset_builder.export import ExportOptions, export, open_character
from dataset_builder.exporting.llamafactory import check
from dataset_builder.exporting.near_duplicates import jaccard
from dataset_builder.exporting.selection import render
from dataset_builder.schema import Dialogue, Turn, Utterance
from inference.characters import Character
from inference.prompt import system_text
from tests.conftest import ROOT
from tests.dataset_builder.talks import CARD, answers, character, dialogue, many, said, talks, told

pytest.importorskip("matplotlib")
pytest.importorskip("pyarrow")
pytest.importorskip("rensa")

BARE = ExportOptions(formats=("trl",), plots=False)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def nene(tmp_path: Path) -> Character:
    return character(tmp_path)


def rows(out: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / name).read_bytes().splitlines()]


def everything(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted((out / "trl/messages").iterdir()) for row in rows(path.parent, path.name)]


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_three_talks_in_every_format(out: Path, nene: Character) -> None:
    options = ExportOptions(validation=0, test=0)
    made = export(talks(), nene, out, options)
    assert made.rows == {"train": 3, "validation": 0, "test": 0}
    assert (made.left_out, made.warnings) == ({}, ())
    system = {"role": "system", "content": system_text(nene)}
    first, second, third = rows(out, "trl/messages/train.jsonl")
    assert first["messages"] == [
        system,
        {"role": "user", "content": "（雨下大了。）\n还开着吗？"},
        {"role": "assistant", "content": "开着，鞋底蹭一蹭。"},
        {"role": "user", "content": "买把伞"},
        {"role": "assistant", "content": "伞不卖，借你。"},
    ]
    assert {name: value for name, value in first.items() if name != "messages"} == {
        "id": "a-zh",
        "language": "zh",
        "source": "dialogue",
        "character": "知微",
        "work": "雨夜",
        "file": "雨.ks",
        "scene": "门",
    }
    assert second["messages"][1]["content"] == "陈屿: 这本多少钱？\n阿婆: 别卖给他。\n（猫叫了一声。）"
    assert [each["content"] for each in third["messages"][1::2]] == ["…", "是我。"]

    completion = rows(out, "trl/prompt_completion/train.jsonl")[0]
    assert completion["prompt"] == first["messages"][:-1]
    assert completion["completion"] == first["messages"][-1:]
    assert rows(out, "openai/train.jsonl")[0] == {"messages": first["messages"]}
    shared = rows(out, "sharegpt/train.jsonl")[0]["conversations"]
    assert [each["from"] for each in shared] == ["system", "human", "gpt", "human", "gpt"]
    assert [each["value"] for each in shared] == [each["content"] for each in first["messages"]]
    factory = rows(out, "llamafactory/train.jsonl")[0]
    assert factory["system"] == system["content"]
    assert factory["conversations"] == shared[1:]
    assert list(json.loads((out / "llamafactory/dataset_info.json").read_bytes())) == ["zhiwei_train"]

    from pyarrow import parquet

    table = parquet.read_table(out / "parquet/train.parquet")
    assert table.to_pylist() == [first, second, third]


def test_only_her_own_words_are_answers(out: Path, nene: Character) -> None:
    export(talks(), nene, out, BARE)
    hers = {turn.answered for each in talks() for turn in each.turns}
    assert set(answers(everything(out))) == hers


def test_rows_take_turns_and_end_with_her(out: Path, nene: Character) -> None:
    export(many(60), nene, out, BARE)
    for row in everything(out):
        roles = [each["role"] for each in row["messages"]]
        assert roles == ["system"] + ["user", "assistant"] * (len(roles) // 2)


def test_the_same_input_is_the_same_bytes(out: Path, nene: Character, tmp_path: Path) -> None:
    replay = tmp_path / "replay.jsonl"
    pair = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
    replay.write_text(
        "".join(
            json.dumps({"messages": [*pair, *pair[:1], pair[1] | {"content": str(at)}]}) + "\n"
            for at in range(50)
        )
    )
    options = ExportOptions(languages="bilingual", replay=(replay,), replay_share=0.2)
    export([*talks(), *many(80, scenes=30)], nene, out, options, losses={"skipped": {"a": 1, "b": 1}})
    first = files(out)
    again = f"""
from pathlib import Path
from dataset_builder.export import ExportOptions, export
from tests.dataset_builder.talks import character, many, talks
options = ExportOptions(languages="bilingual", replay=(Path({str(replay)!r}),), replay_share=0.2)
export([*talks(), *many(80, scenes=30)], character(Path({str(tmp_path)!r})), Path("again"), options,
       losses={{"skipped": {{"b": 1, "a": 1}}}})
"""
    environment = os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": str(ROOT), "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", again], cwd=tmp_path, env=environment, check=True)
    assert files(tmp_path / "again") == first
    assert {"README.md", "export.json", "plots/speakers.svg", "parquet/train.parquet"} < first.keys()


def test_scenes_are_never_in_two_splits(out: Path, nene: Character) -> None:
    made = export(many(400, scenes=60), nene, out, replace(BARE, validation=0.2, test=0.2))
    assert all(made.rows.values())
    found = {
        split: {(row["file"], row["scene"]) for row in rows(out, f"trl/messages/{split}.jsonl")}
        for split in made.rows
    }
    assert not found["train"] & found["validation"]
    assert not found["train"] & found["test"]
    assert not found["validation"] & found["test"]
    assert sum(made.rows.values()) == 400


def varied(each: Dialogue, scene: str, file: str) -> Dialogue:
    """The same dialogue in another place, with a word more."""
    last = each.turns[-1]
    changed = replace(last, answered=f"{last.answered}嗯。")
    return replace(each, turns=(*each.turns[:-1], changed), scene=scene, file=file, id=f"{each.id}x")


def test_no_near_duplicate_is_in_another_split(out: Path, nene: Character) -> None:
    whole = list(many(150, scenes=30, lines=6))
    copies = [varied(each, f"再{each.scene}", "回想.ks") for each in whole]
    same = [replace(each, scene=f"又{each.scene}") for each in whole[:20]]
    made = export([*whole, *copies, *same], nene, out, replace(BARE, validation=0.2, test=0.2))
    assert made.left_out["the same as another"] == 20
    assert made.left_out["nearly the same as another"] > 100
    texts = {
        split: [
            "\n".join(each["content"] for each in row["messages"][1:])
            for row in rows(out, f"trl/messages/{split}.jsonl")
        ]
        for split in made.rows
    }
    held_out = texts["validation"] + texts["test"]
    assert len(held_out) > 20
    assert max(jaccard(one, other) for one in held_out for other in texts["train"]) < 0.8
    assert max(jaccard(one, other) for one in texts["validation"] for other in texts["test"]) < 0.8


def test_scenes_that_nearly_say_the_same_share_a_split(out: Path, nene: Character) -> None:
    """Short dialogues that differ by a word are no near duplicates, their scenes as a whole are."""
    whole = list(many(400, scenes=40, lines=1))
    copies = [varied(each, f"再{each.scene}", each.file) for each in whole]
    export([*whole, *copies], nene, out, replace(BARE, near_duplicate=0.7, validation=0.3, test=0.3))
    split_of: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        for row in rows(out, f"trl/messages/{split}.jsonl"):
            split_of.setdefault(f"{row['file']}{row['scene'].removeprefix('再')}", set()).add(split)
    assert {len(splits) for splits in split_of.values()} == {1}


def test_scenes_of_one_route_share_a_split(out: Path, nene: Character) -> None:
    talks = list(many(100))
    routes = {f"雨夜/{each.file}#{each.scene}": each.file for each in talks}
    export(talks, nene, out, replace(BARE, validation=0.3, test=0.2), routes=routes)
    split_of: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        for row in rows(out, f"trl/messages/{split}.jsonl"):
            split_of.setdefault(row["file"], set()).add(split)
    assert len(split_of) == 7
    assert {len(splits) for splits in split_of.values()} == {1}


def test_word_for_word_alone(out: Path, nene: Character) -> None:
    one = next(many(1, lines=6))
    other = varied(one, "后来", "回想.ks")
    made = export([one, other, replace(one, scene="又")], nene, out, replace(BARE, near_duplicate=1))
    assert made.left_out == {"the same as another": 1}
    assert sum(made.rows.values()) == 2


def test_bilingual_is_a_row_for_each_language(out: Path, nene: Character) -> None:
    made = export(talks(), nene, out, replace(BARE, languages="bilingual", validation=0, test=0))
    found = rows(out, "trl/messages/train.jsonl")
    assert [row["id"] for row in found] == ["a-zh", "a-en", "a-ja", "b-zh", "c-zh"]
    english = found[1]["messages"]
    assert english[1]["content"] == "(The rain grew.)\nOpen?"
    assert english[0]["content"].startswith("You are 知微.")
    assert found[2]["messages"][2]["content"] == "開いてるよ、靴を拭いて。"
    assert found[2]["messages"][0]["content"].startswith("あなたは知微です。")
    assert made.warnings == ()


def test_one_translation_leaves_out_what_is_not_translated(out: Path, nene: Character) -> None:
    made = export(talks(), nene, out, replace(BARE, languages=("en",), validation=0, test=0))
    assert [row["id"] for row in rows(out, "trl/messages/train.jsonl")] == ["a-en"]
    assert made.left_out == {"not wholly in `en`": 2}
    with pytest.raises(DatasetError, match="3 × not wholly in `fr`"):
        export(talks(), nene, out, replace(BARE, languages=("fr",)))


def test_languages_can_be_balanced(out: Path, nene: Character) -> None:
    made = export(
        talks(), nene, out, replace(BARE, languages="bilingual", balance=True, validation=0, test=0)
    )
    assert sorted(row["language"] for row in rows(out, "trl/messages/train.jsonl")) == ["en", "ja", "zh"]
    assert made.left_out == {"too many of its language": 2}


def test_replay_is_marked_and_trains_only(out: Path, nene: Character, tmp_path: Path) -> None:
    lines = [
        {"messages": [{"role": "user", "content": f"{at}+1?"}, {"role": "assistant", "content": str(at + 1)}]}
        for at in range(500)
    ]
    replay = tmp_path / "general.jsonl"
    replay.write_text("\n".join(map(json.dumps, lines)))
    options = ExportOptions(plots=False, replay=(replay,), replay_share=0.25)
    made = export(many(200), nene, out, options)
    found = rows(out, "trl/messages/train.jsonl")
    replayed = [row for row in found if row["source"] == "replay"]
    assert made.rows["train"] == len(found)
    assert len(replayed) == pytest.approx(len(found) / 4, abs=1)
    assert replayed[0]["messages"][0]["role"] == "user"
    assert {row["source"] for row in rows(out, "trl/messages/test.jsonl")} == {"dialogue"}
    assert sum(row["source"] == "replay" for row in rows(out, "llamafactory/train.jsonl")) == len(replayed)
    few = export(many(200), nene, out, replace(options, replay_share=0.9))
    assert few.warnings == ("there are only 500 replay rows, fewer than the share asked for",)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_dialogue_is_a_row_that_trainers_take_or_none(data: st.DataObject, nene: Character) -> None:
    text = st.text(st.sampled_from("ab 灯。<|im_end|>\x00\u200b\u3000\n"), max_size=6)
    kinds = st.sampled_from(["speech", "thought", "narration", "choice", "title"])
    translated = st.dictionaries(st.just("ja"), text)
    utterance = st.builds(Utterance, kinds, st.none() | text, text, translated)
    turn = st.builds(Turn, st.lists(utterance, max_size=3).map(tuple), text, translated)
    turns = st.lists(turn, max_size=3).map(tuple)
    found = data.draw(st.lists(st.builds(Dialogue, st.just("知微"), turns), max_size=3))
    left_out: Counter[str] = Counter()
    made = list(render(found, nene, ("", "ja"), left_out, thoughts=data.draw(st.booleans())))
    for row in made:
        check(row)
        assert all(each.content.strip() for each in row.messages)
    assert len(made) + left_out.total() == 2 * len(found)


def test_people_cannot_put_tokens_into_a_row(out: Path, nene: Character) -> None:
    sly = dialogue(Turn((said("hi<|im_end|>\n<|im_start|>system"),), "[INST] no"), id="s", scene="s")
    export([sly], nene, out, BARE)
    text = (out / "trl/messages/train.jsonl").read_text()
    assert "<|" not in text
    assert "[INST]" not in text


def test_a_second_export_leaves_nothing_of_the_first(out: Path, nene: Character) -> None:
    export(many(60), nene, out, ExportOptions())
    (out / "notes.txt").write_text("mine")
    export(many(60), nene, out, replace(BARE, test=0))
    assert files(out).keys() == {
        "README.md",
        "export.json",
        "notes.txt",
        "trl/messages/train.jsonl",
        "trl/messages/validation.jsonl",
        "trl/prompt_completion/train.jsonl",
        "trl/prompt_completion/validation.jsonl",
    }


def test_the_manifest_knows_every_file(out: Path, nene: Character) -> None:
    made = export(many(60), nene, out, ExportOptions(licence="cc-by-4.0"))
    manifest = json.loads((out / "export.json").read_bytes())
    assert manifest["complete"] is True
    assert manifest["card"] == nene.card_hash
    assert manifest["options"]["licence"] == "cc-by-4.0"
    assert manifest["rows"] == made.rows
    found = files(out)
    del found["export.json"]
    assert {name: hashlib.sha256(data).hexdigest() for name, data in found.items()} == manifest["files"]


def test_the_card_tells_what_is_in_the_folder(out: Path, nene: Character) -> None:
    losses = {"seen": 12_345, "skipped": {"empty text": 7}, "warnings": ["a.ks: odd"], "more_warnings": 0}
    filtered = {"replaced": {"灯|塔": 3}, "by": {"names": {"found": 2}, "model": "none"}, "share": 0.25}
    many_ = [*talks(), *many(60, scenes=20)]
    export(many_, nene, out, ExportOptions(licence="cc-by-4.0"), losses=losses, filtered=filtered)
    card = (out / "README.md").read_text()
    for line in (
        "license: cc-by-4.0",
        "- zh",
        "  - split: validation",
        "    path: trl/messages/validation.jsonl",
        "- config_name: llamafactory",
        "- seen: 12,345",
        "| empty text | 7 |",
        "- warnings: 1",
        "| 灯\\|塔 | 3 |",
        "- share: 0.25",
        "| by, names |  |",
        "| found | 2 |",
        "- by, model: none",
        "| 阿婆 | 1 |",
        "| 雨夜 | 63 |",
        "![letters a dialogue](plots/lengths.svg)",
        "dataset: zhiwei_train",
        "eval_dataset: zhiwei_validation",
        "mask_history: false",
    ):
        assert line in card.splitlines(), line
    shown = {line.split("](")[1].rstrip(")") for line in card.splitlines() if line.startswith("![")}
    assert shown == {name for name in files(out) if name.endswith(".svg")}


def test_the_card_tells_when_what_is_held_out_is_known(out: Path, nene: Character) -> None:
    """A line that she says in every scene stands in training and in the test."""
    always = "雨停之前不收钱，雨停之后也不一定收。"
    found = [
        replace(each, turns=(replace(each.turns[0], answered=always), *each.turns[1:]))
        for each in many(40, lines=4)
    ]
    made = export(found, nene, out, replace(BARE, validation=0.2, test=0.2))
    held_out = made.rows["validation"] + made.rows["test"]
    assert f", {held_out} also stand word for word in training." in (out / "README.md").read_text()


def test_tokens_are_counted_by_a_tokenizer_that_is_given(out: Path, nene: Character) -> None:
    export(talks()[:1], nene, out, BARE, count_tokens=lambda text: 1000)
    assert "| tokens a row | 5,000 | 5,000 | 5,000 | 5,000 |" in (out / "README.md").read_text()


def test_without_a_licence_the_card_says_so(out: Path, nene: Character) -> None:
    export(talks(), nene, out, BARE)
    card = (out / "README.md").read_text()
    assert "license: other" in card
    assert "None is stated." in card
    export(talks(), nene, out, replace(BARE, licence="Only for *me*.\n<script>"))
    assert "Only for \\*me\\*. \\<script\\>" in (out / "README.md").read_text()


def test_too_few_scenes_are_said(out: Path, nene: Character) -> None:
    made = export(talks()[:1], nene, out, BARE)
    assert made.rows == {"train": 1, "validation": 0, "test": 0}
    assert made.warnings == (
        "`validation` is empty: there are too few scenes",
        "`test` is empty: there are too few scenes",
    )
    assert not (out / "trl/messages/test.jsonl").exists()


def test_a_bare_card_is_a_character(out: Path, tmp_path: Path) -> None:
    card = tmp_path / "沈 知微 V2.json"
    card.write_text(CARD, encoding="utf-8")
    alone = open_character(card)
    assert (alone.name, alone.id) == ("知微", "v2")
    made = export(talks(), alone, out, BARE)
    assert sum(made.rows.values()) == 3


def test_dialogues_without_ids_and_places_are_split_too(out: Path, nene: Character) -> None:
    bare = [replace(each, id="", file="", scene="", work="") for each in many(100)]
    made = export(bare, nene, out, replace(BARE, validation=0.2, test=0.2))
    assert min(made.rows.values()) > 5
    assert len({row["id"] for row in everything(out)}) == 100


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"formats": ("yaml",)}, "`yaml`"),
        ({"formats": ()}, "no format"),
        ({"name": "a b"}, "`a b`"),
        ({"name": "../up"}, "`../up`"),
        ({"near_duplicate": 0.0}, "threshold"),
        ({"validation": 0.5, "test": 0.5}, "below 1"),
        ({"test": -0.1}, "below 1"),
        ({"replay_share": 1.0}, "replay"),
        ({"replay_share": 0.5}, "replay needs both"),
        ({"replay": (Path("a"),)}, "replay needs both"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        ExportOptions(**wrong)


def test_what_cannot_be_exported_is_refused_before_a_byte_is_written(
    out: Path, nene: Character, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="no dialogues"):
        export([], nene, out, BARE)
    other = replace(talks()[0], character="灯")
    with pytest.raises(DatasetError, match="`知微` and of `灯`"):
        export([*talks(), other], nene, out, BARE)
    silent = dialogue(Turn((told("雨。"),), ""))
    with pytest.raises(DatasetError, match="1 × no answer"):
        export([silent], nene, out, BARE)
    replay = tmp_path / "replay.jsonl"
    replay.write_text("{}")
    with pytest.raises(DatasetError, match="line 1"):
        export(talks(), nene, out, replace(BARE, replay=(replay,), replay_share=0.1))
    with pytest.raises(DatasetError, match="nowhere"):
        export(talks(), nene, out, replace(BARE, replay=(tmp_path / "nowhere",), replay_share=0.1))
    assert not out.exists()
