"""Other people's benchmarks: rows in their formats become conversations, answers become their files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.base import Base
from inference.characters import Character
from training.benchmarks import (
    BenchmarkConfig,
    Item,
    benchmark,
    profile_text,
    read_items,
    rouge,
    split_words,
    transformed,
    turns_of,
)
from training.config import load_config
from training.errors import ConfigError, TrainingError

MakeBase = Callable[..., Base]

# CharacterEval's form: one array, whatever the name of the file says.
DIALOGUES = [
    {
        "id": 7,
        "role": "林雾",
        "novel_name": "灯塔集",
        "context": "阿澈：雾这么大，船还开吗？\n林雾：（看海）不开。\n"
        "老陈：那我的鱼怎么办？\n阿澈：卖给我吧。",
    },
    {
        "id": 9,
        "role": "林雾",
        "novel_name": "灯塔集",
        "context": "林雾：谁在那儿？\n林雾：说话！\n阿澈：是我：阿澈。",
    },
    {"id": 12, "role": "老陈", "novel_name": "灯塔集", "context": "阿澈：今天有鱼吗？"},
]
PEOPLE = {
    "林雾": {"姓名": "林雾", "人物性格": "话少，心软", "经典台词": ["灯不能灭。", "雾会散的。"], "生日": ""},
    "老陈": "卖鱼的人。",
}
METRICS = {"7": [["Accuracy", "知识准确率"], ["Fluency", "对话流利度"]], "12": [["Empathy", "共情度"]]}
# RoleBench's: JSON lines, a space before the question, several right answers in its general part.
QUESTIONS = [
    {
        "role": "Captain Brine",
        "question": " Captain Brine, where is the map?",
        "generated": [" Under the rum, lad."],
        "type": ["script_based"],
    },
    {
        "role": "Captain Brine",
        "question": "Name two fish.\n",
        "generated": ["Cod and eel.", "Two? Cod, eel!"],
    },
    {"role": "Nene", "question": "Do you like rain?", "generated": ["Only on Mondays."]},
]
DESCRIPTIONS = {"Captain Brine": "An old pirate who lost a map.", "Nene": "Somebody else's words about her."}


def charactereval(tmp_path: Path, **settings: Any) -> BenchmarkConfig:
    test, people, metrics = (
        tmp_path / name for name in ("test_data.jsonl", "people.json", "id2metric.jsonl")
    )
    test.write_text(
        json.dumps(settings.pop("rows", DIALOGUES), ensure_ascii=False, indent=4), encoding="utf-8"
    )
    people.write_text(json.dumps(PEOPLE), encoding="utf-8")
    metrics.write_text(json.dumps(METRICS), encoding="utf-8")
    given = {
        "kind": "charactereval",
        "test": test,
        "profiles": people,
        "metrics": metrics,
        "out": tmp_path / "out",
    }
    return BenchmarkConfig.model_validate(given | settings)


def rolebench(tmp_path: Path, **settings: Any) -> BenchmarkConfig:
    test, people = tmp_path / "test.jsonl", tmp_path / "desc.json"
    rows = settings.pop("rows", QUESTIONS)
    test.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    people.write_text(json.dumps(DESCRIPTIONS), encoding="utf-8")
    given = {"kind": "rolebench", "test": test, "profiles": people, "out": tmp_path / "out"}
    return BenchmarkConfig.model_validate(given | settings)


def said(item: Item) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in item.conversation[1:]]


def system(item: Item) -> str:
    assert item.conversation[0].role == "system"
    return item.conversation[0].content


# --- in


def test_charactereval_rows_become_conversations(tmp_path: Path) -> None:
    first, second, third = read_items(charactereval(tmp_path))
    assert said(first) == [
        ("user", "阿澈: 雾这么大，船还开吗？"),
        ("assistant", "（看海）不开。"),
        ("user", "老陈: 那我的鱼怎么办？\n阿澈: 卖给我吧。"),
    ]
    assert said(second) == [("user", "阿澈: 是我：阿澈。")]
    assert "谁在那儿？\n说话！" in system(second)  # what she opened with
    assert "谁在那儿" not in system(first)
    assert "你是林雾" in system(first)
    assert "人物性格：话少，心软\n经典台词：灯不能灭。 / 雾会散的。" in system(first)
    assert "生日" not in system(first)
    assert "卖鱼的人。" in system(third)
    assert [item.row for item in (first, second, third)] == DIALOGUES


def test_charactereval_as_json_lines_is_read_too(tmp_path: Path) -> None:
    config = charactereval(tmp_path)
    config.test.write_text("".join(json.dumps(row) + "\n\n" for row in DIALOGUES), encoding="utf-8")
    assert [item.row for item in read_items(config)] == DIALOGUES


def test_rolebench_rows_become_questions(tmp_path: Path) -> None:
    first, second, _ = read_items(rolebench(tmp_path))
    assert said(first) == [("user", "Captain Brine, where is the map?")]
    assert said(second) == [("user", "Name two fish.")]
    assert "You are Captain Brine" in system(first)
    assert "An old pirate" in system(first)
    assert first.row == QUESTIONS[0]


def test_a_character_of_ours_is_a_role_by_her_own_card(tmp_path: Path, character: Character) -> None:
    brine, _, nene = read_items(rolebench(tmp_path, character=character.folder))
    assert "a gardener" in system(nene)
    assert "Somebody else's" not in system(nene)
    assert "pirate" in system(brine)
    captain = read_items(
        rolebench(tmp_path, character=character.folder, role="Captain Brine", roles="Captain Brine")
    )
    assert ["You are Nene" in system(item) for item in captain] == [True, True]


def test_rows_are_chosen_by_role_and_drawn_by_seed(tmp_path: Path) -> None:
    assert [item.row["id"] for item in read_items(charactereval(tmp_path, roles="老陈"))] == [12]
    rows = [DIALOGUES[2] | {"id": number} for number in range(40)]
    drawn = [
        [item.row["id"] for item in read_items(charactereval(tmp_path, rows=rows, limit=8, seed=seed))]
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] == sorted(drawn[0])
    assert len(set(drawn[0])) == 8
    assert drawn[0] != drawn[2]
    assert drawn[0] != list(range(8))


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ("甲：一\n二", ("", [], ["一\n二"])),
        ("甲：一\n她：二\n三\n甲：四", ("", [("一", "二\n三")], ["四"])),
        ("甲：一\n她：二\n她：三\n乙：四", ("", [("一", "二\n三")], ["四"])),
        ("她：零\n甲：一\n乙：二\n", ("零", [], ["一", "二"])),
    ],
)
def test_turns(context: str, expected: tuple[str, list[tuple[str, str]], list[str]]) -> None:
    opening, window, last = turns_of(context, "她")
    seen = [("".join(each.text for each in turn.said), turn.reply) for turn in window]
    assert (opening, seen, [each.text for each in last]) == expected


def test_a_profile_is_written_out() -> None:
    assert profile_text({"a": ["b", "c"], "d": None, "e": {"f": 3}}) == "a：b / c\ne：f：3"


def row(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (DIALOGUES[0] | changes).items() if value is not ...}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no rows"),
        ([DIALOGUES[0], row(context=...)], "row 2: `context`: Field required"),
        ([row(id=...)], "row 1: `id"),
        ([row(role="")], "row 1: `role`"),
        ([row(context="没有人说话")], "row 1: `context` begins without"),
        ([row(context="阿澈：好\n林雾：好")], "row 1: `context` ends with `林雾`'s own words"),
        (["text"], "row 1: `the whole`"),
        ([row(role="无名")], "does not tell who `无名` is"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, rows: list[Any], words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        read_items(charactereval(tmp_path, rows=rows))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"role": "a", "question": "b", "generated": []}', "line 2: `generated`"),
        ('{"role": "a", "question": " ", "generated": ["c"]}', "line 2: `question` is empty"),
        ("{", "line 2: it is no JSON"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, words: str) -> None:
    config = rolebench(tmp_path)
    config.test.write_text(json.dumps(QUESTIONS[0]) + "\n" + line + "\n", encoding="utf-8")
    assert config.profiles is not None
    config.profiles.write_text(json.dumps(DESCRIPTIONS | {"a": "b"}), encoding="utf-8")
    with pytest.raises(TrainingError, match=words):
        read_items(config)


def test_wrong_names_are_answered_with_those_there_are(tmp_path: Path, character: Character) -> None:
    with pytest.raises(ConfigError, match="has no `Nobody`; there are `Captain Brine`, `Nene`"):
        read_items(rolebench(tmp_path, roles="Nobody"))
    with pytest.raises(ConfigError, match="has no `Nene` for `nene` to be; there are `林雾`, `老陈`"):
        read_items(charactereval(tmp_path, character=character.folder))
    with pytest.raises(TrainingError, match="no file in `profiles` tells who `Captain Brine` is"):
        read_items(rolebench(tmp_path, profiles=None))
    with pytest.raises(TrainingError, match="cannot be read"):
        read_items(rolebench(tmp_path, test=tmp_path / "nowhere.jsonl"))


def test_metrics_of_another_test_are_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    config = charactereval(tmp_path, base="no-such-model")
    assert config.metrics is not None
    config.metrics.write_text('{"1": [["Accuracy", "知识准确率"]]}', encoding="utf-8")
    with pytest.raises(TrainingError, match="none of the ids"):
        benchmark(config)


def test_the_configuration_needs_no_character(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.yaml"
    path.write_text("kind: rolebench\ntest: t.jsonl\nprofiles: desc.json\nroles: Nene\n")
    config = load_config(BenchmarkConfig, path, ["limit=5"])
    assert (config.character, config.roles, config.limit) == (None, ("Nene",), 5)


# --- out


def test_rows_for_character_rm() -> None:
    metrics = {"7": [("Accuracy", "知识准确率"), ("Fluency", "对话流利度")], "12": [("Empathy", "共情度")]}
    generated = [each | {"model_output": f"{each['id']}\n后文"} for each in DIALOGUES]
    rows = list(transformed(generated, metrics))
    assert [(each["id"], each["model_output"], each["metric_en"], each["metric_zh"]) for each in rows] == [
        (7, "7", "Accuracy", "知识准确率"),
        (7, "7", "Fluency", "对话流利度"),
        (12, "12", "Empathy", "共情度"),
    ]
    assert {name: rows[0][name] for name in DIALOGUES[0]} == DIALOGUES[0]


def test_words_are_counted_as_their_scorers_split_them() -> None:
    assert split_words("Don't PANIC, it's 42!") == ["don", "t", "panic", "it", "s", "42"]
    words = split_words("今天的雾，真大！OK？")
    assert "".join(words) == "今天的雾真大ok"
    assert 3 < len(words) < 9  # words, not letters


def test_rouge_l_to_the_first_and_to_the_nearest(tmp_path: Path) -> None:
    items = read_items(rolebench(tmp_path))
    scores = rouge(items, ["Under the old rum", "Two? Cod, eel!", "Mondays only"])
    # LCS 3 of 4 and 4 words; 2 of 3 and 4, or all; 1 of 2 and 3.
    first = [100 * each for each in (0.75, 2 * 2 / (3 + 3), 2 * 1 / (2 + 3))]
    assert scores["rougel_first"]["value"] == pytest.approx(sum(first) / 3)
    assert scores["rougel_best"]["value"] == pytest.approx((75 + 100 + 40) / 3)
    assert scores["rougel_best"]["low"] <= scores["rougel_best"]["value"] <= scores["rougel_best"]["high"]
    assert scores["roles"]["Nene"] == {"rougel_first": 40, "rougel_best": 40, "n": 1}
    assert scores["roles"]["Captain Brine"]["n"] == 2
    assert rouge(items, ["", "", ""])["rougel_best"]["value"] == 0


# --- with a model


@pytest.mark.slow
def test_charactereval_with_a_model(tmp_path: Path, tiny_base: MakeBase) -> None:
    base = tiny_base()
    config = charactereval(tmp_path, base=str(base.folder), max_tokens=6, device="cpu")
    folder = benchmark(config)
    written = (folder / "generation.jsonl").read_bytes()
    rows = json.loads(written)
    assert [{**each, "model_output": ""} for each in rows] == [
        {**each, "model_output": ""} for each in DIALOGUES
    ]
    assert all(isinstance(each["model_output"], str) for each in rows)
    scored = json.loads((folder / "generation_trans.jsonl").read_text(encoding="utf-8"))
    assert [(each["id"], each["metric_en"]) for each in scored] == [
        (7, "Accuracy"),
        (7, "Fluency"),
        (12, "Empathy"),
    ]

    # Killed in the middle of a line: what is whole is kept, the rest is answered again, the same way.
    journal = folder / "answers.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    marked = json.loads(lines[0]) | {"texts": ["kept"]}
    journal.write_bytes(json.dumps(marked).encode() + b"\n" + lines[1][:20])
    again = json.loads((benchmark(config) / "generation.jsonl").read_bytes())
    assert sorted(each["model_output"] == "kept" for each in again) == [False, False, True]
    same = [new for new, old in zip(again, rows, strict=True) if new == old]
    assert len(same) >= 2

    with pytest.raises(TrainingError, match="row 1: `林雾`'s card and the last words have"):
        benchmark(config.model_copy(update={"max_length": 100}))


def loud_version(base: Base, character: Character) -> Path:
    """A version whose adapter was never trained, and changes every answer."""
    import torch
    from peft import LoraConfig, get_peft_model

    from inference.base import file_sha256
    from training.config import ModelConfig
    from training.model import find_base, load_model

    config = ModelConfig(character=character.folder, base=str(base.folder), device="cpu")
    found = find_base(config)
    model = get_peft_model(load_model(found, config), LoraConfig(r=8, target_modules="all-linear"))
    torch.manual_seed(1)
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights)
    out = character.folder / "adapters" / found.id / "v1"
    model.save_pretrained(out)
    sums = {"base_sha256": found.sha256, "sha256": file_sha256(out / "adapter_model.safetensors")}
    (out / "version.json").write_text(json.dumps({"base": found.id, **sums}))
    return out


@pytest.mark.slow
def test_rolebench_with_an_adapter(tmp_path: Path, tiny_base: MakeBase, character: Character) -> None:
    base = tiny_base()
    version = loud_version(base, character)
    outputs = {}
    for name, given in {"base": None, "adapter": version}.items():
        config = rolebench(
            tmp_path,
            character=character.folder,
            base=str(base.folder),
            device="cpu",
            version=given,
            max_tokens=12,
            out=tmp_path / name,
        )
        folder = benchmark(config)
        lines = (folder / "generation.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        assert [list(each) for each in rows] == [["role", "question", "generated"]] * 3
        assert [each["question"] for each in rows] == [each["question"] for each in QUESTIONS]
        scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        assert scores["rougel_first"]["n"] == 3
        outputs[name] = [each["generated"] for each in rows]
    assert outputs["base"] != outputs["adapter"]
    # The same folder with another version: nothing of the first one's answers is taken.
    again = rolebench(
        tmp_path, character=character.folder, base=str(base.folder), device="cpu", max_tokens=12,
        version=version, out=tmp_path / "base",
    )  # fmt: skip
    lines = (benchmark(again) / "generation.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["generated"] for line in lines] == outputs["adapter"]
