"""A card drafted from lines: what is in it is in the work, and `inference` can load it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.card import CardOptions, draft, write_card
from dataset_builder.errors import DatasetError
from dataset_builder.filtering.terms import Term
from dataset_builder.profile import ProfileOptions, profile, rows_of_lines
from dataset_builder.profiling.evidence import Dossier, gather
from dataset_builder.profiling.lorebook import MOST_TERMS, lorebook
from dataset_builder.profiling.samples import answers, greetings
from dataset_builder.rows import write_rows
from dataset_builder.schema import Line, Scene, Source
from inference.characters import load_character, parse_card
from inference.prompt import system_text
from tests.dataset_builder.works import NAMES, WORKS, scene

LANGUAGES = ("ja", "zh", "en")
TERMS = {
    "ja": (Term("星見台学園", "school", "ja", "placeholder"), Term("望遠鏡", "term", "ja", "undecided")),
    "zh": (Term("听雨巷", "place", "zh", "placeholder"), Term("伞", "term", "zh", "keep")),
    "en": (
        Term("Hollowmere", "place", "en", "placeholder"),
        Term("Tobias", "person", "en", "placeholder", of=("Tobias",)),
    ),
}


def dossier(language: str) -> Dossier:
    return gather(WORKS[language], NAMES[language])


def card_of(language: str) -> dict[str, Any]:
    told = dossier(language)
    data: dict[str, Any] = draft(told, rows_of_lines(told)[0], TERMS[language])["data"]
    return data


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_card_that_can_be_talked_with(language: str, tmp_path: Path) -> None:
    write_rows(WORKS[language], tmp_path / "scenes.jsonl")
    out = tmp_path / "characters" / "her" / "card.json"
    made = write_card(tmp_path / "scenes.jsonl", out, CardOptions(NAMES[language], terms=TERMS[language]))
    assert json.loads(out.read_bytes()) == made
    assert (made["spec"], made["spec_version"]) == ("chara_card_v3", "3.0")
    character = load_character(out.parent)
    assert character.name == NAMES[language][0]
    prompt = system_text(character)
    assert character.card.first_mes in prompt
    assert character.card.mes_example.splitlines()[1].removeprefix("{{user}}: ") in prompt
    assert "{{" not in prompt
    first = out.read_bytes()
    write_card(tmp_path / "scenes.jsonl", out, CardOptions(NAMES[language], terms=TERMS[language]))
    assert out.read_bytes() == first


def test_every_field_of_the_format_is_there() -> None:
    data = card_of("en")
    assert data["group_only_greetings"] == []
    for name in ("alternate_greetings", "tags"):
        assert isinstance(data[name], list)
    for name in ("nickname", "scenario", "creator", "character_version", "post_history_instructions"):
        assert isinstance(data[name], str)
    required = {"keys", "content", "extensions", "enabled", "insertion_order", "use_regex"}
    assert all(required <= entry.keys() for entry in data["character_book"]["entries"])


def test_who_she_is() -> None:
    data = card_of("en")
    assert data["description"].startswith(
        "The name is Wren Hollis. twenty-three years old. The birthday is October 31st."
    )
    assert "Likes old maps. Dislikes loud bells." in data["description"]
    zh = card_of("zh")
    assert "生日是三月九日。" in zh["description"]
    assert "十八岁" not in zh["description"]  # lines contradict one another
    assert zh["personality"] == "自称“我”。"


def test_the_greeting_is_a_line_of_hers() -> None:
    assert card_of("en")["first_mes"] == "Hello there! You look lost."
    assert card_of("zh")["first_mes"] == "你好呀，要借伞吗？"
    assert card_of("ja")["first_mes"] == "こんにちは、先輩！ 今日も猫を探してるんですか？"
    data = card_of("ja")
    assert data["extensions"]["chatnvl"]["drafted"]["greetings"][0] == {
        "file": "a.ks",
        "scene": "start",
        "index": 1,
    }


def test_examples_are_real_answers() -> None:
    lines = card_of("zh")["mes_example"].splitlines()
    assert lines[::3] == ["<START>"] * (len(lines) // 3)
    said = [(lines[at + 1], lines[at + 2]) for at in range(0, len(lines), 3)]
    assert ("{{user}}: 我不喜欢雨。", "{{char}}: 我的爱好是修旧伞啦。我讨厌打雷。") in said


def test_who_is_named_stays_out_of_greetings_and_examples() -> None:
    work = [
        scene(
            "s",
            "en",
            """
            Mira：Hello, Jon Vale, old friend!
            Jon Vale：Morning.
            Mira：Welcome to the mill, dear guest!
            Jon Vale：Is the mill yours?
            Mira：It was Jon's before the flood.
            Jon Vale：And the wheel?
            Mira：The wheel turns when it likes.
            """,
        )
    ]
    told = gather(work, ("Mira",))
    assert [record.text for record in greetings(told, 9)] == ["Welcome to the mill, dear guest!"]
    welcome, wheel = answers(told, (), 9)
    assert (welcome.said.text, welcome.answered.text) == ("Morning.", "Welcome to the mill, dear guest!")
    assert (wheel.said.text, wheel.answered.text) == ("And the wheel?", "The wheel turns when it likes.")
    assert greetings(told, 9, ["mill"])[0].text == "The wheel turns when it likes."
    assert answers(told, (), 9, ["mill"]) == [wheel]


def test_an_answer_in_another_arm_is_no_answer() -> None:
    lines = [
        Line(0, "choice", None, None, (), "Take the boat", "", Source("a", 1), branch="1.1"),
        Line(1, "speech", "Mira", "Mira", ("Mira",), "It leaks, you know.", "", Source("a", 2), branch="1.1"),
        Line(2, "choice", None, None, (), "Take the bridge", "", Source("a", 3), branch="1.2"),
        Line(3, "speech", "Mira", "Mira", ("Mira",), "Then we part.", "", Source("a", 4), branch="1.20"),
    ]
    told = gather([Scene("w", "a", "s", language="en", lines=lines)], ("Mira",))
    found = answers(told, (), 9)
    assert [(each.said.text, each.answered.text) for each in found] == [
        ("Take the boat", "It leaks, you know.")
    ]


# --- the lorebook


def test_a_term_and_the_place_where_it_comes_up() -> None:
    book = lorebook(dossier("zh"), TERMS["zh"])
    entries = {entry["name"]: entry for entry in book["entries"]}
    assert set(entries) == {"林诚", "听雨巷"}  # a word that stays is no term
    lane = entries["听雨巷"]
    assert lane["keys"] == ["听雨巷"]
    assert lane["content"] == "听雨巷：\n顾小雨「听雨巷是条很老的巷子啦。」\n林诚「听雨巷是我长大的地方。」"
    place = {"file": "a.ks", "scene": "雨", "index": 9, "line": 10}
    assert lane["extensions"]["chatnvl"] == {
        "kind": "place",
        "first": place,
        "scenes": ["a.ks#雨"],
        "count": 2,
    }
    assert entries["林诚"]["extensions"]["chatnvl"]["kind"] == "person"


def test_the_first_place_is_the_first_in_the_story() -> None:
    town, person = lorebook(dossier("en"), TERMS["en"])["entries"]
    assert town["name"] == "Hollowmere"
    assert town["extensions"]["chatnvl"]["scenes"] == ["a.ks#harbour", "b.rpy#night"]
    assert (person["name"], person["keys"]) == ("Tobias", ["Tobias"])
    assert [entry["insertion_order"] for entry in (town, person)] == [1, 2]


def test_parts_of_a_name_are_keys_of_the_person() -> None:
    text = "澪：やあ、灯。\n七瀬灯：うん。\n" * 6
    book = lorebook(
        gather([scene("s", "ja", text)], ("澪",)),
        (
            Term("灯", "person", "ja", "placeholder", of=("七瀬灯",)),
            Term("翔太", "person", "ja", "placeholder", of=("相馬翔太",)),
        ),
    )
    [entry] = book["entries"]
    assert (entry["keys"], entry["priority"]) == (["七瀬灯", "灯"], 6)


def test_a_lorebook_has_an_end() -> None:
    text = "\n".join(f"Mira：Term{n}x is here." for n in range(99))
    terms = [Term(f"Term{n}x", "term", "en", "placeholder") for n in range(99)]
    assert len(lorebook(gather([scene("s", "en", text)], ("Mira",)), terms)["entries"]) == MOST_TERMS


# --- languages and files


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_prompt_has_words_in_her_language(language: str) -> None:
    data = card_of(language)
    assert data["extensions"]["chatnvl"]["language"] == language
    assert data["system_prompt"] == ""


def test_a_language_that_the_prompt_has_no_words_in_brings_its_rule() -> None:
    traditional = gather([scene("s", "zh-Hant", "小雨：歡迎光臨，要借傘嗎？")], ("小雨",))
    assert (
        draft(traditional, rows_of_lines(traditional)[0])["data"]["extensions"]["chatnvl"]["language"] == "zh"
    )
    korean = gather([scene("s", "ko", "미라：안녕하세요, 어서 오세요.")], ("미라",))
    data = draft(korean, rows_of_lines(korean)[0])["data"]
    assert "language" not in data["extensions"]["chatnvl"]
    assert "`ko`" in data["system_prompt"]


async def test_a_profile_from_a_file(tmp_path: Path) -> None:
    write_rows(WORKS["zh"], tmp_path / "scenes.jsonl")
    await profile(tmp_path / "scenes.jsonl", tmp_path / "profile.jsonl", ProfileOptions(NAMES["zh"]))
    options = CardOptions(NAMES["zh"])
    alone = write_card(tmp_path / "scenes.jsonl", tmp_path / "a.json", options)
    assert (
        write_card(tmp_path / "scenes.jsonl", tmp_path / "b.json", options, tmp_path / "profile.jsonl")
        == alone
    )
    rows = (tmp_path / "profile.jsonl").read_text().replace("生日是三月九日。", "生日在春天。")
    (tmp_path / "profile.jsonl").write_text(rows)
    made = write_card(tmp_path / "scenes.jsonl", tmp_path / "c.json", options, tmp_path / "profile.jsonl")
    assert "生日在春天。" in made["data"]["description"]


def test_what_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    write_rows(WORKS["zh"], tmp_path / "scenes.jsonl")
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot be written"):
        write_card(tmp_path / "scenes.jsonl", tmp_path / "file" / "card.json", CardOptions(NAMES["zh"]))
    with pytest.raises(DatasetError, match="nobody called"):
        write_card(tmp_path / "scenes.jsonl", tmp_path / "card.json", CardOptions(("谁",)))
    long = "长" * 90
    line = Line(0, "speech", long, long, (long,), "你好。", "", Source("a", 1))
    write_rows([Scene("w", "a", "s", language="zh", lines=[line])], tmp_path / "scenes.jsonl")
    with pytest.raises(DatasetError, match="name"):
        write_card(tmp_path / "scenes.jsonl", tmp_path / "card.json", CardOptions((long,)))
    assert not (tmp_path / "card.json").exists()


@given(
    st.lists(st.tuples(st.sampled_from(["澪", "翔太", ""]), st.text(max_size=60)), max_size=12),
    st.lists(st.text(min_size=1, max_size=4), max_size=3),
    st.sampled_from([*LANGUAGES, "ko", ""]),
)
def test_any_lines_make_a_card(lines: list[tuple[str, str]], terms: list[str], language: str) -> None:
    made = [
        Line(
            n,
            "speech" if who else "narration",
            who or None,
            who or None,
            (who,) if who else (),
            text,
            text,
            Source("a", n),
        )
        for n, (who, text) in enumerate([*lines, ("澪", "x")])
    ]
    told = gather([Scene("w", "a", "s", language=language, lines=made)], ("澪",))
    found = [Term(text, "term", language, "placeholder") for text in terms]
    card = draft(told, rows_of_lines(told)[0], found)
    parsed = parse_card(json.dumps(card).encode(), Path("card.json"))
    assert parsed.first_mes in {line.text for line in made}
