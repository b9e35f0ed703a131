"""Terms out of dialogues and back: what is put in their place, what stays, what is dropped, and the key."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.errors import DatasetError
from dataset_builder.filtering.placeholders import with_placeholders
from dataset_builder.filtering.redact import Key, Redaction, read_key, restore, restore_dialogue, write_key
from dataset_builder.filtering.terms import ACTIONS, Action, Term, TermKind
from dataset_builder.schema import Dialogue, Turn, Utterance
from inference.prompt import clean, clean_name


def term(
    text: str, action: Action = "placeholder", kind: TermKind = "person", *of: str, language: str = "zh"
) -> Term:
    return with_placeholders([Term(text, kind, language, action, of=of)])[0]


def said(text: str, speaker: str | None = "绫濑忍") -> Utterance:
    return Utterance("speech", speaker, text)


def dialogue(*turns: Turn, context: tuple[Utterance, ...] = ()) -> Dialogue:
    return Dialogue("森海友", turns, id="d1", work="w", language="zh", context=context)


TERMS = with_placeholders(
    [
        Term("绫濑忍", "person", "zh", "placeholder", of=("绫濑忍",)),
        Term("忍", "person", "zh", "placeholder", of=("绫濑忍",)),
        Term("绫濑", "person", "zh", "placeholder", of=("绫濑忍",)),
        Term("森海友", "person", "zh", "placeholder", of=("森海友",)),
        Term("友", "person", "zh", "placeholder", of=("森海友",)),
        Term("御咲学园", "school", "zh", "placeholder"),
        Term("朋友", "term", "zh", "keep"),
        Term("委托", "term", "zh", "undecided"),
        Term("Harris", "person", "en", "placeholder"),
    ]
)


def test_every_text_of_a_dialogue_is_redacted() -> None:
    plain = Dialogue(
        "森海友",
        (
            Turn(
                (Utterance("speech", "绫濑忍", "友，走吧。", {"en": "Harris is waiting."}),),
                "忍，等等！",
                {"en": "Wait for HARRIS!"},
                thought="绫濑真急。",
                lines=(3,),
            ),
        ),
        id="d1",
        context=(Utterance("narration", None, "御咲学园的早晨。"),),
    )
    redaction = Redaction(TERMS)
    redacted = redaction.redact(plain)
    assert redacted == Dialogue(
        "森海友",
        (
            Turn(
                (Utterance("speech", "〔人物1〕", "友，走吧。", {"en": "〔Person 1〕 is waiting."}),),
                "〔人物1名〕，等等！",
                {"en": "Wait for 〔Person 1〕!"},
                thought="〔人物1姓〕真急。",
                lines=(3,),
            ),
        ),
        id="d1",
        context=(Utterance("narration", None, "〔学校1〕的早晨。"),),
    )
    assert restore_dialogue(redacted, redaction.key) == plain


def test_her_own_name_stays_in_her_dialogues_and_no_others() -> None:
    plain = dialogue(Turn((said("友，森海友！"),), "我是友，不是忍。"))
    mine = Redaction(TERMS).redact(plain)
    assert mine is not None
    assert mine.turns[0].said[0].text == "友，森海友！"
    assert mine.turns[0].answered == "我是友，不是〔人物1名〕。"
    theirs = Redaction(TERMS).redact(replace(plain, character="绫濑忍"))
    assert theirs is not None
    assert theirs.turns[0].answered == "我是〔人物2名〕，不是忍。"
    none = Redaction(TERMS, own_name=False).redact(plain)
    assert none is not None
    assert none.turns[0].answered == "我是〔人物2名〕，不是〔人物1名〕。"


def test_kept_words_protect_what_is_in_them_and_undecided_ones_do_not() -> None:
    terms = [*TERMS[:2], term("残忍", "keep"), term("忍的委托", "undecided")]
    redacted = Redaction(terms).redact(dialogue(Turn((), "残忍！忍的委托。")))
    assert redacted is not None
    assert redacted.turns[0].answered == "残忍！〔人物1名〕的委托。"


def test_an_ordinary_word_in_a_names_place_can_be_taken_back() -> None:
    terms = [replace(term("御咲学园", "generalise", "school"), replacement="学校")]
    redaction = Redaction(terms)
    plain = dialogue(Turn((said("御咲学园是学校。"),), "学校……"))
    redacted = redaction.redact(plain)
    assert redacted is not None
    assert redacted.turns[0].said[0].text == "学校是学校。"
    assert restore_dialogue(redacted, redaction.key) == plain


def test_what_was_changed_after_redaction_gets_its_placeholders_back() -> None:
    redaction = Redaction([*TERMS, replace(term("御咲", "generalise", "place"), replacement="学校")])
    redacted = redaction.redact(dialogue(Turn((), "忍在御咲。")))
    assert redacted is not None
    rewritten = replace(redacted, turns=(Turn((), "〔人物1名〕已经回家了。"),))
    assert restore_dialogue(rewritten, redaction.key).turns[0].answered == "忍已经回家了。"
    assert restore("〔人物1〕和〔人物9〕", redaction.key) == "绫濑忍和〔人物9〕"


def test_a_script_that_has_such_brackets_itself_comes_back_as_it_was() -> None:
    redaction = Redaction(TERMS)
    plain = dialogue(Turn((said("〔人物1〕是谁？忍？"),), "〔〕"))
    redacted = redaction.redact(plain)
    assert redacted is not None
    assert restore_dialogue(redacted, redaction.key) == plain


DROP = [term("炸弹", "drop", "term")]


def test_a_dropped_term_takes_its_utterance_along() -> None:
    plain = dialogue(Turn((said("炸弹？"), said("早。")), "早。"), context=(said("炸弹！"), said("哦。")))
    redacted = Redaction(DROP).redact(plain)
    assert redacted == replace(plain, turns=(Turn((said("早。"),), "早。"),), context=(said("哦。"),))


def test_a_dropped_answer_leaves_the_longest_stretch_without_a_gap() -> None:
    one, two, three = (Turn((said(f"第{n}。"),), "嗯。") for n in (1, 2, 3))
    bad = Turn((said("看。"),), "炸弹！")
    alone = Turn((said("炸弹！"),), "什么？")  # an answer to nothing would be left
    plain = dialogue(one, bad, two, three, alone, context=(said("早。"),))
    assert Redaction(DROP).redact(plain) == replace(plain, turns=(two, three), context=())
    assert Redaction(DROP).redact(dialogue(one, bad)) == dialogue(one)
    assert Redaction(DROP).redact(dialogue(bad, alone)) is None


def test_a_dropped_dialogue_that_is_shorter_can_be_restored_as_far_as_it_goes() -> None:
    redaction = Redaction([*TERMS, *DROP])
    redacted = redaction.redact(dialogue(Turn((), "炸弹！"), Turn((said("忍！"),), "忍。")))
    assert redacted is not None
    assert restore_dialogue(redacted, redaction.key) == dialogue(Turn((said("忍！"),), "忍。"))


@pytest.mark.parametrize("language", ["zh", "ja", "en", "fr", "zh-Hant"])
def test_placeholders_survive_in_a_prompt(language: str) -> None:
    kinds: tuple[TermKind, ...] = ("person", "school", "place", "group", "work", "term")
    terms = [Term(f"x{kind}", kind, language, "placeholder", of=(f"x{kind}",)) for kind in kinds]
    terms += [Term(part, "person", language, "placeholder", of=("xperson",)) for part in ("x", "n", "s")]
    for each in with_placeholders(terms):
        assert clean(f"a{each.replacement}b") == f"a{each.replacement}b"
        assert clean_name(each.replacement) == each.replacement


def test_the_key_goes_into_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    redaction = Redaction(TERMS)
    redaction.redact(dialogue(Turn((), "HARRIS和忍")))
    path = tmp_path / "key.json"
    write_key(path, redaction.key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(path) == redaction.key
    first = path.read_bytes()
    write_key(path, redaction.key)
    assert path.read_bytes() == first


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text('{"placeholders": 3}')
    with pytest.raises(DatasetError, match="is no key"):
        read_key(path)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_key(tmp_path / "none.json")
    with pytest.raises(DatasetError, match="cannot be written"):
        write_key(tmp_path / "none" / "key.json", Key())


LETTERS = "友忍月绫濑ab A学校〔〕人物1名朋"
texts = st.text(LETTERS, max_size=20)
utterances = st.builds(
    Utterance,
    st.just("speech"),
    st.none() | texts,
    texts,
    st.dictionaries(st.sampled_from(["en", "ja"]), texts, max_size=2),
)
dialogues = st.builds(
    Dialogue,
    st.sampled_from(["友", "忍", "x"]),
    st.lists(
        st.builds(
            Turn,
            st.lists(utterances, max_size=2).map(tuple),
            texts,
            st.dictionaries(st.sampled_from(["en", "ja"]), texts, max_size=2),
            texts,
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    st.just("id"),
    context=st.lists(utterances, max_size=2).map(tuple),
)
terms = st.lists(
    st.builds(
        Term,
        st.text("友忍月绫濑abA朋", min_size=1, max_size=3),
        st.sampled_from(("person", "school", "term")),
        st.sampled_from(("zh", "ja", "en")),
        st.sampled_from([action for action in ACTIONS if action != "drop"]),
        st.sampled_from(("", "", "学校", "人", "〔人物1〕")),
        of=st.lists(st.sampled_from(["友", "忍"]), max_size=1).map(tuple),
    ),
    max_size=6,
    unique_by=lambda each: each.text,
)


@settings(deadline=None)
@given(terms, dialogues)
def test_what_was_not_dropped_is_restored_to_the_letter(terms: list[Term], plain: Dialogue) -> None:
    redaction = Redaction(with_placeholders(terms))
    redacted = redaction.redact(plain)
    assert redacted is not None
    assert redacted.id == plain.id
    key = Key.model_validate_json(redaction.key.model_dump_json())
    assert restore_dialogue(redacted, key) == plain


@settings(deadline=None)
@given(terms)
def test_every_placeholder_stands_for_one_term_and_is_never_given_twice(terms: list[Term]) -> None:
    given_anew = [
        after.replacement
        for before, after in zip(terms, with_placeholders(terms), strict=True)
        if before.replacement != after.replacement
    ]
    assert len(set(given_anew)) == len(given_anew)
    assert not {each.replacement for each in terms if each.replacement}.intersection(given_anew)
