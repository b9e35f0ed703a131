"""The seed's algorithm, eccentricities and all. Expected values were worked out by hand from its source."""

from dataset_builder.chatnvl import Spoken, chats, samples
from dataset_builder.lines import spoken
from dataset_builder.schema import Scene, Source


def scene(file: str, *said: tuple[str | None, str, str]) -> Scene:
    lines = [
        spoken(i, who, ja, ja, Source(file), translations={"zh": zh}) for i, (who, ja, zh) in enumerate(said)
    ]
    return Scene("w", file, "", lines=lines)


def talk(who: str, number: int) -> tuple[str, str, str]:
    return who, f"「日本語{number}」", f"「中文第{number}句话」"


QUIET = (None, "静かだ。", "很安静。")


def test_a_dialogue_ends_at_the_fourth_quiet_line_and_the_last_of_a_file_is_lost() -> None:
    file = [
        talk("凛", 1),
        talk("灯", 2),
        talk("凛", 3),
        *[QUIET] * 3,
        talk("灯", 4),
        *[QUIET] * 4,
        talk("灯", 5),
    ]
    (chat,) = chats([scene("a.json", *file)])
    assert chat == [
        Spoken("日本語1", "中文第1句话", "凛"),
        Spoken("日本語2", "中文第2句话", "灯"),
        Spoken("日本語3", "中文第3句话", "凛"),
        Spoken("日本語4", "中文第4句话", "灯"),
    ]


def test_two_lines_are_enough_in_blocks_and_not_in_lists() -> None:
    file = [talk("凛", 1), talk("灯", 2), *[QUIET] * 4]
    assert chats([scene("a.json", *file)]) == []
    assert len(chats([scene("a.txt", *file)])) == 1


def test_blocks_go_on_counting_quiet_lines() -> None:
    file = [talk("凛", 1), QUIET, QUIET, talk("灯", 2), QUIET, QUIET, talk("凛", 3), *[QUIET] * 4]
    assert [[line.chs for line in chat] for chat in chats([scene("a.txt", *file)])] == [
        ["中文第1句话", "中文第2句话"]
    ]
    assert [len(chat) for chat in chats([scene("a.json", *file)])] == [3]


def test_text_is_cut_at_the_first_closing_bracket_and_unbracketed_text_loses_its_end() -> None:
    file = [
        ("凛", "「『え』」と「あ」", "「『诶』」和「啊」"),
        ("灯", "はい。", "好的。"),
        ("凛", "「う　ん」", "「嗯　嗯」"),
        *[QUIET] * 4,
    ]
    (chat,) = chats([scene("a.json", *file)])
    assert [(line.jpn, line.chs) for line in chat] == [
        ("『え』", "『诶』"),
        ("はい", "好的"),
        ("うん", "嗯嗯"),
    ]


def test_short_lines_go_before_neighbours_are_joined() -> None:
    chat = [
        Spoken("", "你今天吃过饭了吗", "凛"),
        Spoken("", "嗯", "灯"),
        Spoken("", "那就好了，走吧……", "凛"),
        Spoken("", "我们去海边看看吧——", "灯"),
    ]
    assert list(samples([chat])) == [
        {
            "instruction": "你今天吃过饭了吗。那就好了，走吧…",
            "input": "",
            "output": "我们去海边看看吧",
            "history": [],
        }
    ]
    assert list(samples([chat], "凛")) == []
    assert list(samples([chat], stopwords=frozenset("我们去海边"))) == []


def test_windows_overlap_and_both_parities_are_written() -> None:
    chat = [Spoken("", f"{number}" + "话" * 63, "凛灯"[number % 2]) for number in range(8)]
    rows = list(samples([chat]))
    # Groups of 128 letters hold two lines; a window is three groups and steps by two.
    assert [str(row["output"])[0] for row in rows] == ["5", "4", "7", "6"]
    assert [[pair[0][0] + pair[1][0] for pair in row["history"]] for row in rows] == [  # type: ignore[attr-defined]
        ["01", "23"], ["12"], ["45"], [],
    ]  # fmt: skip
    hers = list(samples([chat], "灯"))
    assert [str(row["output"])[0] for row in hers] == ["5", "7"]
