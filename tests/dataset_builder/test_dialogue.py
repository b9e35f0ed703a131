"""A character's dialogues: nothing of hers is lost, nothing is glued, nobody else is taught."""

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.dialogue import DialogueOptions, Tally, dialogues, plays
from dataset_builder.errors import DatasetError
from dataset_builder.languages import tokens
from dataset_builder.lines import other_line, spoken
from dataset_builder.schema import DIALOGUES, Choice, Dialogue, Line, Scene, Source

HERE = Source("a.ks")


def line(who: str | None, text: str, branch: str = "", **more: object) -> Line:
    return spoken(0, who, text, text, HERE, branch=branch, **more)  # type: ignore[arg-type]


def choice(text: str, branch: str) -> Line:
    return other_line(0, "choice", text, text, HERE, branch=branch)


def scene(*lines: Line, name: str = "s1", **more: object) -> Scene:
    for index, each in enumerate(lines):
        each.index = index
    return Scene("w", "a.ks", name, language="ja", lines=list(lines), **more)  # type: ignore[arg-type]


def shown(dialogue: Dialogue) -> list[tuple[list[str], str]]:
    return [
        ([f"{each.speaker or each.kind}: {each.text}" for each in turn.said], turn.answered)
        for turn in dialogue.turns
    ]


def test_short_lines_stay_and_neighbours_are_joined() -> None:
    one = scene(
        line("凛", "「灯、起きてる？」"),
        line("灯", "「うん」"),
        line("灯", "「今起きた。おはよう」"),
        line("凛", "「あ」"),
        line("灯", "「何」"),
    )
    (found,) = dialogues([one], "灯")
    assert shown(found) == [(["凛: 灯、起きてる？"], "うん。今起きた。おはよう"), (["凛: あ"], "何")]
    assert [turn.lines for turn in found.turns] == [(1, 2), (4,)]
    assert (found.work, found.file, found.scene, found.language) == ("w", "a.ks", "s1", "ja")
    assert len(found.id) == 16


def test_three_keep_their_names_and_narration_stands_between() -> None:
    one = scene(
        line(None, "雨が降っている。"),
        line("凛", "「傘、ある？」"),
        line("店長", "「貸すよ」"),
        line("灯", "「私のに入る？」"),
        line(None, "二人は歩き出した。"),
        line("灯", "「寒いね」"),
        line("凛", "「……」"),
    )
    tally = Tally()
    (found,) = dialogues([one], "灯", tally=tally)
    assert shown(found) == [
        (["narration: 雨が降っている。", "凛: 傘、ある？", "店長: 貸すよ"], "私のに入る？"),
        (["narration: 二人は歩き出した。"], "寒いね"),
    ]
    assert dict(tally.speakers) == {"凛": 1, "店長": 1}
    (quiet,) = dialogues([one], "灯", DialogueOptions(narration=False))
    assert shown(quiet) == [(["凛: 傘、ある？", "店長: 貸すよ"], "私のに入る？寒いね")]


def test_her_thoughts_are_kept_apart_and_a_chorus_is_nobodys_own() -> None:
    one = scene(
        line("凛", "「好きな人、いる？」"),
        line("灯", "（どうしよう）"),
        line("灯", "「いないよ」"),
        line("灯＆凛", "「あはは」"),
        line("灯", "「もう」"),
    )
    tally = Tally()
    (found,) = dialogues([one], "灯", tally=tally)
    assert shown(found) == [(["凛: 好きな人、いる？"], "いないよ"), (["凛: あはは"], "もう")]
    assert found.turns[0].thought == "どうしよう"
    assert (tally.lines, tally.answered, tally.thoughts, tally.chorus) == (2, 2, 1, 1)


def test_arms_of_a_choice_never_follow_one_another_and_the_choice_is_the_players() -> None:
    one = scene(
        line("灯", "「どっちにする？」"),
        choice("海", "1.1"),
        line("灯", "「海！」", "1.1"),
        choice("山", "1.2"),
        line("凛", "「え、山？」", "1.2"),
        line("灯", "「山かあ」", "1.2"),
        line("灯", "「行こう」"),
    )
    assert [([each.text for each in play], fresh) for play, fresh in plays(one.lines)] == [
        (["どっちにする？", "海", "海！"], 0),
        (["どっちにする？", "山", "え、山？", "山かあ", "行こう"], 1),
    ]
    first, second = dialogues([one], "灯")
    assert shown(first) == [([], "どっちにする？"), (["choice: 海"], "海！")]
    assert shown(second) == [(["choice: 山", "凛: え、山？"], "山かあ。行こう")]
    assert [(each.speaker, each.text) for each in second.context] == [("灯", "どっちにする？")]
    assert second.branch == "1.2"


def test_a_fork_inside_an_arm() -> None:
    lines = [
        line("灯", text, branch)
        for text, branch in [
            ("a", ""), ("b", "1.1"), ("c", "1.1/1.1"), ("d", "1.1/1.2"),
            ("e", "1.1"), ("f", "1.2"), ("g", ""),
        ]
    ]  # fmt: skip
    read = ["".join(each.text for each in play) + f" {fresh}" for play, fresh in plays(lines)]
    assert read == ["abc 0", "abde 2", "afg 1"]


def test_no_play_holds_two_arms_of_a_fork_that_is_opened_again() -> None:
    def read(*branches: str) -> list[str]:
        lines = [line("灯", letter, branch) for letter, branch in zip("abcdefgh", branches, strict=False)]
        return ["".join(each.text for each in play) + f" {fresh}" for play, fresh in plays(lines)]

    assert read("", "1.1", "", "1.2") == ["abc 0", "ad 1"]
    assert read("1.1", "1.1/1.1", "1.1", "1.1/1.2") == ["abc 0", "ad 1"]
    assert read("1.1", "1.1/1.1", "1.2", "1.1/1.2", "1.1/1.3") == ["ab 0", "c 0", "d 0", "e 0"]


def test_a_thought_before_a_fork_does_not_answer_the_question() -> None:
    one = scene(
        line("凛", "「好き？」"),
        line("灯", "（どうしよう）"),
        line("灯", "「はい」", "1.1"),
        line("灯", "「いいえ」", "1.2"),
    )
    first, second = dialogues([one], "灯")
    assert shown(first) == [(["凛: 好き？"], "はい")]
    assert shown(second) == [(["凛: 好き？"], "いいえ")]
    assert [each.turns[0].thought for each in (first, second)] == ["どうしよう", "どうしよう"]


def test_a_choice_that_leads_to_a_scene_is_said_before_it() -> None:
    first = scene(line("灯", "「行く？」"), choices=[Choice("行く", "yes"), Choice("やめる", "a.ks#no")])
    second = scene(line("灯", "「やった」"), name="yes")
    third = scene(line("灯", "「そう」"), name="no")
    found = list(dialogues([first, second, third], "灯"))
    assert [shown(each) for each in found] == [
        [([], "行く？")], [(["choice: 行く"], "やった")], [(["choice: やめる"], "そう")],
    ]  # fmt: skip


def test_a_window_ends_between_two_exchanges_and_remembers() -> None:
    lines = [line(who, f"「{number}{'あ' * 30}」") for number in range(6) for who in ("凛", "灯")]
    first, *rest = dialogues([scene(*lines)], "灯", DialogueOptions(window=130, context=3))
    assert [len(each.turns) for each in (first, *rest)] == [2, 2, 2]
    assert [each.text[0] for each in rest[0].context] == ["0", "1", "1"]
    assert [each.speaker for each in rest[0].context] == ["灯", "凛", "灯"]
    assert first.context == ()


def test_a_long_run_before_an_answer_keeps_its_end_and_says_so() -> None:
    lines = [line("凛", f"「{number}番目の話だよ」") for number in range(50)] + [line("灯", "「長い」")]
    tally = Tally()
    (found,) = dialogues([scene(*lines)], "灯", DialogueOptions(said=40), tally)
    said = found.turns[0].said
    assert said[-1].text == "49番目の話だよ"
    assert sum(tokens(each.text) for each in said) <= 40
    assert tally.trimmed == 50 - len(said)


def test_translations_go_along_where_every_line_has_one() -> None:
    one = scene(
        line("凛", "「起きて」", translations={"zh": "「起床」"}),
        line("灯", "「うん」", translations={"zh": "「嗯」", "en": "Yes"}),
        line("灯", "「起きた」", translations={"zh": "「起来了。」"}),
    )
    (found,) = dialogues([one], "灯")
    assert found.turns[0].translations == {"zh": "嗯。起来了。"}
    assert found.turns[0].said[0].translations == {"zh": "起床"}


def test_nobody_of_that_name() -> None:
    with pytest.raises(DatasetError, match=r"nobody called `tomo`.*`Tomoyo` \(1\)"):
        list(dialogues([scene(line("Tomoyo", '"Hm."'), line("Rin", '"Eh?"'))], "tomo"))


def test_aliases_and_masks_are_her() -> None:
    one = scene(
        line("灯", "「誰だ」", display="？？？"), line("凛", "「！」"), line("灯ちゃん", "「私だよ」")
    )
    (found,) = dialogues([one], "灯", DialogueOptions(aliases=("灯ちゃん",)))
    assert [turn.answered for turn in found.turns] == ["誰だ", "私だよ"]


WHO = st.sampled_from(["灯", "凛", "店長", None])
WORDS = st.text(alphabet="あいう漢字abc 。", min_size=1, max_size=12)
ARMS = st.sampled_from(["", "1.1", "1.2", "2.1", "2.1/1.1", "2.1/1.2", "2.2"])


@given(st.lists(st.tuples(WHO, WORDS, ARMS), max_size=30), st.integers(1, 60))
def test_every_line_of_hers_is_answered_once(said: list[tuple[str | None, str, str]], window: int) -> None:
    one = scene(*(line(who, f"「{text}x」", arm) for who, text, arm in said))
    mine = [each.index for each in one.lines if each.speaker == "灯" and each.kind == "speech"]
    if not mine:
        return
    found = list(dialogues([one], "灯", DialogueOptions(window=window)))
    assert sorted(index for each in found for turn in each.turns for index in turn.lines) == mine
    for each in found:
        assert all(turn.said for turn in each.turns[1:])
        assert DIALOGUES.validate_python(asdict(each)) == each
