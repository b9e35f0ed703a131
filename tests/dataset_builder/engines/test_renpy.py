"""Ren'Py scripts: what is said, by whom, and where the story goes."""

from pathlib import Path

import pytest

from dataset_builder.engines import ReadOptions, renpy
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Ruby, Scene, Source
from dataset_builder.work import open_work
from tests.dataset_builder.engines.renpy_game import lines, play, texts

GAME = Path(__file__).parents[1] / "fixtures" / "renpy"


def whole_game(losses: Losses | None = None) -> dict[str, Scene]:
    files = open_work(GAME).files
    found = renpy.read(files, ReadOptions(work="旧书店的猫", language="zh"), losses or Losses())
    return {scene.scene: scene for scene in found}


def test_a_whole_game() -> None:
    losses = Losses()
    scenes = whole_game(losses)
    assert {name: scene.next for name, scene in scenes.items()} == {
        "start": ["ask"],
        "ask": ["novel", "farewell", "ask"],
        "novel": ["novel_end"],
        "novel_end": ["start"],
        "farewell": [],
    }
    assert {(scene.work, scene.file, scene.language) for scene in scenes.values()} == {
        ("旧书店的猫", "game/script.rpy", "zh")
    }
    assert [(line.kind, line.speaker, line.display_name, line.text) for line in scenes["start"].lines] == [
        ("narration", None, None, "雨下了一整个下午。"),
        ("speech", "林晚", "？？？", "你也是来躲雨的吗？"),
        ("speech", "林晚", "？？？", "别站在门口，会着凉的。"),
        ("speech", "阿澄", "阿澄", "谢谢。我叫阿澄。"),
        ("speech", "林晚", "林晚", "我叫林晚。"),
        ("speech", "林晚", "林晚", "这家店的老板 是我爷爷。"),
        ("speech", "林晚", "林晚", "店里还有一只猫，它叫……墨墨！"),
        ("speech", "墨墨", "墨墨", "喵～♪"),
        ("thought", "林晚", "林晚", "他看起来不像坏人。"),
        ("narration", None, None, "林晚翻开一本旧书，封面上写着【夜航】。"),
    ]
    assert scenes["start"].lines[1].voice == ("voice/linwan_001.ogg",)
    assert scenes["start"].lines[9].ruby == (Ruby("旧", "きゅう"), Ruby("封面", "ひょうし"))
    assert [line.index for line in scenes["start"].lines] == list(range(10))
    assert losses.as_dict() == {
        "seen": 25,
        "emitted": 25,
        "skipped": {},
        "unknown": {"speaker `e`": 1},
        "warnings": [],
        "more_warnings": 0,
    }


def test_its_choices_and_alternatives_are_told_apart() -> None:
    scene = whole_game()["ask"]
    assert scene.choices == [Choice("诗集"), Choice("小说 [推荐]", "novel"), Choice("什么也不看")]
    assert [(line.kind, line.branch, line.text) for line in scene.lines] == [
        ("speech", "", "你想看什么书？"),
        ("choice", "1.1", "诗集"),
        ("speech", "1.1", "我也喜欢诗。"),
        ("choice", "1.2", "小说 [推荐]"),
        ("speech", "1.2", "小说在里面那排。"),
        ("choice", "1.3", "什么也不看"),
        ("speech", "2.1", "诗集今天打{八}折，便宜 20%。"),
        ("speech", "2.2", "慢慢看。"),
        ("narration", "2.3", "没有人说话。"),
        ("speech", "2.3", "喵？"),
        ("speech", "", "欢迎再来！"),
    ]
    assert scene.lines[-1].speakers == ("林晚", "老板")
    assert scene.lines[0].source == Source("game/script.rpy", 23)


def test_its_translations_are_paired() -> None:
    scenes = whole_game()
    start = scenes["start"].lines
    assert start[0].translations == {"ja": "雨は午後じゅう降っていた。", "en": "It rained all afternoon."}
    assert start[1].translations["ja"] == "あなたも雨宿りですか？"
    assert start[3].translations == {"ja": "ありがとう。阿澄です。", "en": "Thank you. I am 阿澄."}
    assert start[6].translations["en"] == "There is a cat, too. Her name is... Momo!"
    assert start[7].translations == {}
    ask = scenes["ask"].lines
    assert ask[1].translations == {"ja": "詩集", "en": "Poems"}
    assert ask[2].translations == {"ja": "私も詩が好きです。"}, "an empty translation is none"
    assert ask[3].translations["ja"] == "小説[おすすめ]"
    assert ask[-1].translations["en"] == "Come again!"


@pytest.mark.parametrize(
    ("name", "head", "least"),
    [
        ("game/script.rpy", b'label start:\n    "Hello."\n', 0.9),
        ("game/script.rpym", b"", 0.9),
        ("game/math_ren.py", b'"""renpy\ninit python:\n"""\n', 0.9),
        ("game/script.rpyc", b"RENPY RPC2\x01\x00\x00\x00", 1.0),
        ("game/old.rpyc", b"\x78\x9c\xed", 0.9),
        ("nameless", b"RENPY RPC2\x01\x00\x00\x00", 1.0),
    ],
)
def test_its_own_files_are_recognised(name: str, head: bytes, least: float) -> None:
    assert renpy.sniff(name, head) >= least


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.ks", b"*start\n[cm]\n"),
        ("tool.py", b"import os\n"),
        ("tool_ren.py", b"import os\n"),
        ("a.rpy", b"\x00\x01\x02"),
        ("a.rpa", b"RPA-3.0 0000000000000000 00000000\n"),
        ("a.txt", b'e "Hello."\n'),
        ("script.rpyb", b"\x78\x9c"),
    ],
)
def test_other_files_are_left_to_others(name: str, head: bytes) -> None:
    assert renpy.sniff(name, head) == 0


def test_a_say_statement_in_all_its_forms() -> None:
    found = lines(
        r"""
        label start:
            "Nobody speaks."
            e "Hello."
            e happy -hat "With attributes."
            e happy @ wink "And for a moment."
            e"Close by."
            "Old man" "By a literal name."
            "Old man" smile "By a name and a face."
            e 'In single quotes, "so".'
            e `In backquotes.`
            e r"Raw: \n stays."
            e "With" with dissolve
            e "Arguments" (what_size=30, what_color=(1, 2)) nointeract
            e "An id" id start_1
            e "Over
               two lines."
            e "\"Quoted\", 50\% off, \{braces\}, a\ \ gap, \u263a"
            Character("Zoe") "Made on the spot."
            e "A # is no comment."  # but this is
        """
    )
    assert [(line.speaker, line.text) for line in found] == [
        (None, "Nobody speaks."),
        ("Eileen", "Hello."),
        ("Eileen", "With attributes."),
        ("Eileen", "And for a moment."),
        ("Eileen", "Close by."),
        ("Old man", "By a literal name."),
        ("Old man", "By a name and a face."),
        ("Eileen", 'In single quotes, "so".'),
        ("Eileen", "In backquotes."),
        ("Eileen", r"Raw: \n stays."),
        ("Eileen", "With"),
        ("Eileen", "Arguments"),
        ("Eileen", "An id"),
        ("Eileen", "Over two lines."),
        ("Eileen", '"Quoted", 50% off, {braces}, a  gap, ☺'),
        ("Zoe", "Made on the spot."),
        ("Eileen", "A # is no comment."),
    ]


def test_the_name_of_one_line() -> None:
    (line,) = lines('label a:\n    e "Who am I?" (name="???")\n')
    assert (line.speaker, line.display_name) == ("Eileen", "???")


def test_a_monologue_is_said_piece_by_piece() -> None:
    script = '''
        label start:
            e """
            One
            line.

            Another.

            {clear}

            "Quoted," she said.
            """
            rpy monologue single
            """One.
            Two."""
            rpy monologue none
            """Three.

            Four."""
    '''
    assert texts(script) == ["One line.", "Another.", '"Quoted," she said.', "One.", "Two.", "Three. Four."]


def test_extend_goes_on_with_the_line() -> None:
    found = lines(
        """
        label start:
            e "One,{nw}"
            $ renpy.pause(1)
            extend " two,"
            extend " three."
            if happy:
                extend " Four!"
        label next:
            extend "Five."
        """
    )
    assert [(line.speaker, line.text, line.raw, line.branch) for line in found] == [
        ("Eileen", "One, two, three.", "One,{nw} two, three.", ""),
        ("Eileen", "Four!", " Four!", "1.1"),
        ("Eileen", "Five.", "Five.", ""),
    ]


def test_extend_with_nothing_before_it_is_narration() -> None:
    (line,) = lines('label a:\n    extend "Hello."\n')
    assert (line.kind, line.speaker) == ("narration", None)


def test_a_voice_belongs_to_the_next_line_only() -> None:
    found = lines(
        """
        label start:
            voice "a.ogg"
            show eileen happy
            e "Heard."
            e "Not heard."
            voice sustain
            e "Still nothing of its own."
        """
    )
    assert [line.voice for line in found] == [("a.ogg",), (), ()]


def test_menus() -> None:
    (scene,) = play(
        """
        label start:
            menu:
                with dissolve
                set seen
                e "What now?"
                "A caption? No: a choice.":
                    "Arm."
                "Locked" if keys > 2 and (a or b):
                    jump start
                "{b}Bold{/b}" (icon="x"):
                    jump elsewhere
            menu:
                "Which one?"
                "This":
                    menu:
                        "Sure?"
                        "Yes":
                            return
                        "No":
                            jump start
                "That":
                    e "Good."
            e "After."
        """
    )
    assert scene.choices == [
        Choice("A caption? No: a choice."),
        Choice("Locked", "start"),
        Choice("Bold"),
        Choice("This"),
        Choice("Yes"),
        Choice("No", "start"),
        Choice("That"),
    ]
    assert [(line.kind, line.branch, line.text) for line in scene.lines] == [
        ("speech", "", "What now?"),
        ("choice", "1.1", "A caption? No: a choice."),
        ("narration", "1.1", "Arm."),
        ("choice", "1.2", "Locked"),
        ("choice", "1.3", "Bold"),
        ("narration", "", "Which one?"),
        ("choice", "2.1", "This"),
        ("narration", "2.1", "Sure?"),
        ("choice", "2.1/1.1", "Yes"),
        ("choice", "2.1/1.2", "No"),
        ("choice", "2.2", "That"),
        ("speech", "2.2", "Good."),
        ("speech", "", "After."),
    ]


def test_conditions_in_which_nothing_is_said_are_not_counted() -> None:
    found = lines(
        """
        label start:
            if a:
                $ b = 1
            elif c:
                show eileen
            if d:
                e "One."
            else:
                e "Two."
            while f:
                e "Three."
        """
    )
    assert [(line.branch, line.text) for line in found] == [("1.1", "One."), ("1.2", "Two."), ("", "Three.")]


def test_where_the_story_goes() -> None:
    scenes = play(
        {
            "game/a.rpy": """
                label start:
                    "1"
                    call visit from back
                    call screen shelf
                    if x:
                        jump far
                    elif y:
                        return
                    # here it may go on
                label falls:
                    "2"
                    menu:
                        "up":
                            jump start
                        "out":
                            jump expression "far"
                label reached_by_jumps_only:
                    "3"
                    jump expression target
                label .local:
                    "4"
                    jump .local
                label last:
                    $ renpy.jump("start")
                """,
            "game/b.rpy": 'label far:\n    "5"\n    jump nowhere\nlabel visit:\n    "6"\n    return\n',
        }
    )
    assert [(scene.file[-5:], scene.scene, scene.next) for scene in scenes] == [
        ("a.rpy", "start", ["game/b.rpy#visit", "game/b.rpy#far", "falls"]),
        ("a.rpy", "falls", ["start", "game/b.rpy#far"]),
        ("a.rpy", "reached_by_jumps_only", ["reached_by_jumps_only"]),
        ("a.rpy", "last", ["start"]),
        ("b.rpy", "far", []),
        ("b.rpy", "visit", []),
    ]
    assert [line.text for line in scenes[2].lines] == ["3", "4"], "local labels stay in their scene"


def test_labels_inside_alternatives_belong_to_the_scene_around_them() -> None:
    first, second = play(
        """
        label start:
            menu:
                "a":
                    label inner:
                        "1"
                "b":
                    jump inner
        label other:
            jump inner
        """
    )
    assert (first.scene, first.next, [line.text for line in first.lines]) == (
        "start",
        ["start", "other"],
        ["a", "1", "b"],
    )
    assert (second.scene, second.next) == ("other", ["start"])


def test_what_jumps_alone_lead_to_follows_nothing_else() -> None:
    (scene,) = play(
        """
        label start:
            "Where?"
            menu:
                "left":
                    jump .left
                "right":
                    jump .right
        label .left:
            "L"
            jump .end
        label .right:
            "R"
            jump .end
        label .end:
            "End."
            if late:
                jump .late
            return
        label .late:
            "Late."
        """
    )
    assert [(line.branch, line.text) for line in scene.lines] == [
        ("", "Where?"),
        ("1.1", "left"),
        ("1.2", "right"),
        ("1.3", "L"),
        ("1.4", "R"),
        ("1.4", "End."),
        ("1.5", "Late."),
    ]


def test_labels_in_labels_follow_one_another() -> None:
    scenes = play('label a:\n    "1"\n    label b:\n        "2"\n    "3"\n')
    assert [(scene.scene, scene.next, [line.text for line in scene.lines]) for scene in scenes] == [
        ("a", ["b"], ["1"]),
        ("b", [], ["2", "3"]),
    ]


def test_lines_above_all_labels_and_labels_that_are_there_twice() -> None:
    scenes = play('"Above."\nlabel a:\n    "1"\n    return\nlabel a:\n    "2"\n    jump a\n')
    assert [(scene.scene, scene.next) for scene in scenes] == [("", ["a"]), ("a", []), ("a (2)", ["a"])]


def test_what_nobody_reads_is_left_out() -> None:
    losses = Losses()
    script = '''
        init offset = 3
        image bg = "bg.png"
        image logo:
            "logo1.png"
            pause 0.5
            repeat
        style say_dialogue:
            color "#fff"
        transform up:
            yalign 0.0
        screen say(who, what):
            text "not a line"
            if who:
                text "neither"
        testcase default:
            "click"
        init python hide:
            def f():
                """Not
        a line, and further out."""
                return "no"
        python early:
            x = "y"
        label start:
            show text "On the screen"
            play music [ "a.ogg",
                "b.ogg" ]   # over two lines
            window hide
            nvl clear
            $ renpy.notify("no")
            show eileen:
                xalign 0.5
            pause
            "A line."
            return
        '''
    assert [line.text for line in lines(script, losses)] == ["A line."]
    assert not losses.unknown
    assert not losses.skipped


def test_python_speaks_too() -> None:
    found = lines(
        """
        label start:
            $ e(_("Hello!"), interact=False)
            $ renpy.say(l, "你好！")
            $ renpy.say(None, "Silence.")
            $ unknown("No line.")
            $ e.add("No line.")
        """
    )
    assert [(line.speaker, line.text) for line in found] == [
        ("Eileen", "Hello!"),
        ("林晚", "你好！"),
        (None, "Silence."),
    ]


def test_statements_of_the_game_are_read_with_their_blocks() -> None:
    losses = Losses()
    script = """
        init python:
            renpy.register_statement("quest", parse=parse_quest, block=True)
        label start:
            example small:
                e "Shown and said."
            quest "Find the cat"
            sfx "sound/door.ogg"
            quest main:
                title "Not a line."
                e "A line."
        """
    assert [line.text for line in lines(script, losses)] == ["Shown and said.", "A line."]
    assert losses.unknown == {"example": 1, "quest": 1}
    assert losses.skipped == {"text in a statement of the game's own": 3}


def test_empty_texts_are_counted() -> None:
    losses = Losses()
    assert [line.text for line in lines('label a:\n    e ""\n    e "{w=1}{nw}"\n    e "x"\n', losses)] == [
        "x"
    ]
    assert losses.as_dict()["skipped"] == {"empty text": 2}


def test_a_python_file_with_script_in_it() -> None:
    losses = Losses()
    scenes = play(
        {
            "game/cast_ren.py": (
                'import this\n"""renpy\ninit python:\n"""\n\ndef f():\n    return "no"\n\n'
                'e = Character("Eileen")\n\n"""renpy\nlabel start:\n    e "Hello."\n"""\n'
            )
        },
        losses,
    )
    ((line,),) = (scene.lines for scene in scenes)
    assert (line.speaker, line.text, line.source.line) == ("Eileen", "Hello.", 13)
    assert not losses.unknown


def test_texts_of_other_systems() -> None:
    script = 'label a:\r\n    e "One\r\n    line."\r\n\t"Behind a tab."\r\n'
    for data in (b"\xef\xbb\xbf" + script.encode(), script.replace("\r\n", "\r").encode(), script.encode()):
        (scene,) = play({"a.rpy": data})
        assert [line.text for line in scene.lines] == ["One line.", "Behind a tab."]
    (scene,) = play({"a.rpy": 'label a:\n    "早上好。"\n'.encode("gb18030")}, encoding="gb18030")
    assert scene.lines[0].text == "早上好。"


def test_a_continued_line() -> None:
    assert texts('label a:\n    e \\\n        "Hello." \\\n        with dissolve\n') == ["Hello."]


def test_one_broken_file_among_sound_ones_is_counted() -> None:
    losses = Losses()
    files: dict[str, str | bytes] = {"a.rpy": 'label a:\n    "1"\n', "b.rpy": b"(\n" * 40}
    assert [scene.scene for scene in play(files, losses)] == ["a"]
    assert losses.skipped["file cannot be read"] == 1
    assert "`b.rpy`, line 11" in losses.warnings[-1]
    with pytest.raises(ScriptError, match="never closed"):
        play(files, lenient=False)
    with pytest.raises(ScriptError, match="never closed"):
        play({"b.rpy": files["b.rpy"]})


def test_a_line_that_never_ends_is_left_out() -> None:
    losses = Losses()
    found = lines('label a:\n    e "One."\n    $ x = (1,\n    e "Two."\n    e "Three."\n    e "cut o', losses)
    assert [line.text for line in found] == ["One.", "Two.", "Three."]
    assert losses.skipped == {"line that never ends": 2}
    assert losses.warnings[0].startswith("game/script.rpy:3: ")


def test_nobodys_words_in_brackets() -> None:
    found = lines(
        'label a:\n    "『门锁着。』"\n    "『A』和『B』"\n    "「谁？」"\n    l "『喂？』"\n    "（谁？）"\n'
    )
    assert [(line.kind, line.text) for line in found] == [
        ("narration", "『门锁着。』"),
        ("narration", "『A』和『B』"),
        ("speech", "谁？"),
        ("speech", "喂？"),
        ("thought", "谁？"),
    ]
