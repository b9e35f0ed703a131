"""Terms found in scenes: whose names, which words, by which source; what stays undecided."""

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.errors import DatasetError
from dataset_builder.filter import find_terms, read_words
from dataset_builder.filtering.terms import Hit, Term, is_term
from dataset_builder.lines import other_line, spoken
from dataset_builder.report import Losses
from dataset_builder.schema import Line, Ruby, Scene, Source
from tests.bench.filter import measure


def scene(language: str, *said: tuple[str, str]) -> Scene:
    """A scene of (speaker, text) pairs."""
    lines = [
        spoken(index, name, text, text, Source("a.ks", index + 1)) for index, (name, text) in enumerate(said)
    ]
    return Scene("work", "a.ks", "start", language=language, lines=lines)


def found(*scenes: Scene, **options: object) -> dict[str, Term]:
    return {term.text: term for term in find_terms(scenes, Losses(), **options)}  # type: ignore[arg-type]


def taken_out(terms: dict[str, Term]) -> set[str]:
    return {text for text, term in terms.items() if term.action == "placeholder"}


CHINESE = scene(
    "zh",
    ("白石琴音", "悠真君，今天也要去澪汀社吗？"),
    ("白石悠真", "嗯。琴音酱也一起来吧，葵前辈说澪汀社缺人。"),
    ("黑泽葵", "白石同学都来了？澪汀社好久没有这么热闹了。"),
    ("店长", "葵！把这本《月下的钟》放回去。"),
    ("女老师", "我的朋友也喜欢这本书，向日葵开的时候借给他的。"),
    ("", "三个人笑了。"),
)


def test_speakers_are_found_and_what_people_are_is_not() -> None:
    terms = found(CHINESE)
    assert {"白石琴音", "白石悠真", "黑泽葵"} <= taken_out(terms)
    assert terms["女老师"].action == "undecided"
    assert terms["店长"].action == "undecided"
    assert terms["白石琴音"].kind == "person"
    assert terms["白石琴音"].sources == ("speaker",)


def test_parts_of_names_are_found_by_how_people_are_called() -> None:
    terms = found(CHINESE)
    assert terms["琴音"].of == ("白石琴音",)
    assert terms["葵"].of == ("黑泽葵",)
    assert terms["葵"].count == 2
    assert terms["白石"].of == ("白石悠真", "白石琴音")
    assert terms["白石"].examples == ("白石同学都来了？澪汀社好久没有这么热闹了。",)


def test_a_part_has_the_number_of_the_person_and_a_shared_one_its_own() -> None:
    terms = found(CHINESE)
    whole = terms["白石琴音"].replacement
    assert whole.startswith("〔人物")
    assert terms["琴音"].replacement == whole.removesuffix("〕") + "名〕"
    assert terms["白石"].replacement[3:-1].isdigit()


def test_ordinary_words_that_hold_a_name_of_one_letter_stay() -> None:
    terms = found(CHINESE)
    assert terms["向日葵"].action == "keep"
    assert terms["向日葵"].sources == ("word",)
    assert "朋友" not in terms  # nobody is called 友 here


def test_letters_that_are_no_words_time_and_again_are_a_coined_word() -> None:
    terms = found(CHINESE)
    assert terms["澪汀社"].kind == "group"
    assert terms["澪汀社"].sources == ("keyness",)
    assert terms["澪汀社"].replacement == "〔团体1〕"


def test_titles_are_known_by_their_marks() -> None:
    assert found(CHINESE)["月下的钟"].kind == "work"


def test_a_nickname_belongs_to_the_name_that_has_its_letters() -> None:
    terms = found(scene("zh", ("奥村慎太郎", "早。"), ("森川", "慎酱，早！"), ("森川", "慎酱你慎重一点。")))
    assert terms["慎"].of == ("奥村慎太郎",)
    assert terms["慎"].replacement == terms["奥村慎太郎"].replacement.removesuffix("〕") + "爱称〕"
    assert terms["慎重"].action == "keep"


def test_people_who_never_speak_are_found_by_how_they_are_called() -> None:
    terms = found(scene("zh", ("森川", "梅酱和博君也在，一起玩！"), ("森川", "可怜的小姐，没有哥哥。")))
    assert {"梅", "博"} <= taken_out(terms)
    assert not {"小", "哥", "可怜", "和博"} & terms.keys()


JAPANESE = scene(
    "ja",
    ("春野つむぎ", "ユウくん、ミナモ寮に帰ろう。"),
    ("ユウ", "うん、つむぎ。……あれ、りん先輩は？"),
    ("桐生はう", "ミナモ寮のみんなで人狼ゲームをするんだって、りんちゃん先輩が。"),
    ("春野つむぎ", "私はうれしいな。はうさんも来る？　りん、待っててね。"),
    ("桐生はう", "プチピアノ部の後で行くんだ。プチピアノ部、見学していく？"),
    ("店員", "たくさん頑張って、お客さん。頑張ればいいよ。"),
)


def test_japanese_names_and_places() -> None:
    terms = found(JAPANESE)
    assert {"春野つむぎ", "つむぎ", "ユウ", "桐生はう", "はう", "ミナモ寮", "プチピアノ部"} <= taken_out(
        terms
    ) | {text for text, term in terms.items() if term.sources == ("keyness",)}
    assert terms["はう"].count == 1  # は of 私は and う of うれしい are no name
    assert terms["ミナモ寮"].kind == "place"
    assert terms["店員"].action == "undecided"


def test_japanese_grammar_is_no_name() -> None:
    terms = found(JAPANESE)
    assert not {"行", "たく", "頑張", "お客", "客", "人狼", "ゲーム", "みな", "みんな"} & terms.keys()


ENGLISH = scene(
    "en",
    ("", "Commander Harris closes the door of Hut 5. A hut like any other."),
    ("", '"We need the Bombe back," says Harris. "Did Rosalind take it?"'),
    ("", "I think of Rosalind and of Bletchley Park. The Bombe is gone."),
    ("", "They moved Rosalind from Hut 5 to Bletchley Park. God knows why, on a Monday."),
    ("", "Nobody answers. WHAT do they want?"),
    ("Me", "Commander, I had nothing to do with it."),
)


def test_english_names_are_the_words_with_a_capital_everywhere() -> None:
    terms = found(ENGLISH)
    assert {"Harris", "Bombe", "Rosalind", "Hut 5", "Bletchley Park"} <= taken_out(terms)
    assert not {"God", "Monday", "Nobody", "WHAT", "Commander", "They", "Hut"} & taken_out(terms)
    assert terms["Harris"].kind == "person"
    assert terms["Hut 5"].replacement == "〔Place 1〕"
    assert terms["Me"].action == "undecided"


def test_english_names_have_first_and_last_names() -> None:
    terms = found(scene("en", ("Rosalind Grey", "Hello."), ("Professor Adler", "I am Adler, Miss Grey.")))
    whole = terms["Rosalind Grey"].replacement[:-1]
    assert terms["Grey"].replacement == f"{whole} last name〕"
    assert terms["Adler"].of == ("Professor Adler",)


def test_translations_are_read_in_their_own_language() -> None:
    line = spoken(
        0, "白石琴音", "琴音酱来了。", "", Source("a", 1), translations={"en": "Good morning, Mr Yuma Vance."}
    )
    terms = found(Scene("w", "a", "s", language="zh", lines=[line]))
    assert terms["Yuma"].language == "en"
    assert terms["Yuma"].replacement == "〔Person 1〕"
    assert terms["琴音"].language == "zh"


def test_readings_and_links_are_the_scripts_own_hints() -> None:
    line: Line = other_line(
        0, "narration", "彼女は心眼を開き、虚数界へ消えた。", "%lkey;#ffaa0000;虚数界%l;#;へ", Source("a", 1)
    )
    line.ruby = (Ruby("心眼", "サウザンドアイ"), Ruby("彼女", "かのじょ"))
    terms = found(Scene("w", "a", "s", language="ja", lines=[line]))
    assert terms["虚数界"].sources == ("link",)
    assert "ruby" in terms["心眼"].sources
    assert "彼女" not in terms


def test_plates_of_several_people_are_taken_apart_and_masks_and_variables_left_out() -> None:
    terms = found(
        scene("zh", ("森川遥·黑泽葵", "早！"), ("黑泽葵", "早。"), ("？？？", "……"), ("{name}", "我？"))
    )
    assert {"森川遥", "黑泽葵"} <= terms.keys()
    assert not {"森川遥·黑泽葵", "？？？", "{name}"} & terms.keys()


def test_the_user_has_the_last_word() -> None:
    terms = found(CHINESE, deny={"热闹": "term", "朋友": None}, allow={"澪汀社", "秘密"})
    assert terms["热闹"].action == "placeholder"
    assert terms["朋友"].action == "placeholder"
    assert terms["澪汀社"].action == "keep"
    assert terms["秘密"].count == 0


def test_a_model_is_believed_but_for_ordinary_words() -> None:
    hits = [
        Hit("缺人", "group", "ner:jieba", "zh"),
        Hit("三个", "person", "ner:jieba", "zh"),
        Hit("琴音酱", "place", "ner:jieba", "zh"),  # she, with her form of address
    ]
    terms = found(CHINESE, more=hits)
    assert terms["缺人"].action == "placeholder"
    assert terms["三个"].action == "undecided"
    assert "琴音酱" not in terms
    assert terms["琴音"].kind == "person"
    assert "ner:jieba" in terms["琴音"].sources


def test_the_same_scenes_give_the_same_terms_and_the_most_frequent_stand_first() -> None:
    first, second = (find_terms([CHINESE, JAPANESE, ENGLISH], Losses()) for _ in range(2))
    assert first == second
    counts = [term.count for term in first if term.action == "placeholder"]
    assert counts == sorted(counts, reverse=True)
    placeholders = [term.replacement for term in first if term.action == "placeholder"]
    assert len(set(placeholders)) == len(placeholders)


def test_a_language_without_frequencies_is_named_and_its_speakers_are_found_all_the_same() -> None:
    losses = Losses()
    terms = find_terms([scene("la", ("Lesbia", "Vivamus."), ("Catullus", "Lesbia mea!"))], losses)
    assert {term.text for term in terms} == {"Lesbia", "Catullus"}
    assert losses.warnings == ["filter: no general frequencies for `la`: `wordfreq` has no list of it"]


LETTERS = "友忍さんくん君酱アイー・·はう學Aa b'’.!?「」《》{}〔〕%l;#5\t\n\u0301𠮷"


@settings(deadline=None)  # the first of a language loads its words
@given(
    st.lists(st.tuples(st.text(LETTERS, max_size=6), st.text(LETTERS, max_size=30)), max_size=6),
    st.sampled_from(["zh", "zh-Hant", "ja", "en", "ko", ""]),
)
def test_any_text_has_terms_that_can_be_written_in_a_table(
    said: list[tuple[str, str]], language: str
) -> None:
    scenes = [scene(language, *said)]
    for line in scenes[0].lines:
        line.ruby = (Ruby(line.text[:3], line.text[3:6]),)
        line.translations = {"en": line.text}
    terms = find_terms(scenes, Losses())
    assert len({term.text for term in terms}) == len(terms)
    assert all(is_term(term.text) for term in terms)


@pytest.mark.parametrize(
    "text",
    ["A " * 50_000, "友君" * 50_000, "リツー" * 50_000, "Aa" * 50_000, "ー" * 100_000, "%l;#" * 50_000],
)
@pytest.mark.parametrize("language", ["zh", "ja", "en"])
def test_one_endless_line_does_no_harm(text: str, language: str) -> None:
    assert len(find_terms([scene(language, ("リツ", text), ("友", text))], Losses())) < 10


def test_without_the_package_of_frequencies_it_is_named_and_names_are_found_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "wordfreq", None)
    losses = Losses()
    terms = find_terms([scene("pl", ("Zofia", "Dzień dobry!"))], losses)
    assert [term.text for term in terms] == ["Zofia"]
    assert losses.warnings == ["filter: no general frequencies for `pl`: `wordfreq` is not installed"]


@pytest.mark.corpora
def test_on_real_scripts_most_of_what_was_labelled_is_found_and_little_else() -> None:
    score = measure()["all", "union"]
    assert score.right / score.wanted > 0.85
    assert score.right / score.found > 0.9


def test_no_scenes_have_no_terms() -> None:
    assert find_terms([], Losses()) == []


def test_lists_of_words(tmp_path: Path) -> None:
    path = tmp_path / "deny.txt"
    path.write_text("# mine\n御咲学园\tschool\r\n\n  Hut 5 \n", encoding="utf-8")
    assert read_words(path) == {"御咲学园": "school", "Hut 5": None}
    path.write_text("a\nb\tplanet\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="line 2: `planet` is none of person"):
        read_words(path)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_words(tmp_path / "none.txt")
