"""Ink: knots, weave, blocks, alternatives, glue, tags; the stories of inkle's own."""

import contextlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import ReadOptions, ink
from dataset_builder.engines.ink_names import split_name
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Scene
from dataset_builder.work import memory_file, open_work
from tests.conftest import ROOT

CORPORA = ROOT.parent / "shared" / "corpora"


def read(text: str, losses: Losses | None = None, **options: object) -> list[Scene]:
    files = [memory_file("story.ink", text.encode())]
    return list(ink.read(files, ReadOptions(work="w", **options), losses or Losses()))  # type: ignore[arg-type]


def told(scene: Scene) -> list[tuple[str, str, str]]:
    return [(line.branch, line.speaker or line.kind, line.text) for line in scene.lines]


def only(text: str, losses: Losses | None = None) -> list[tuple[str, str, str]]:
    (scene,) = read(text, losses)
    return told(scene)


def test_a_conversation_in_a_knot() -> None:
    story = """
-> cafe
=== cafe ===
雨还在下。  // 雨声
灯: 你来啦！
Six:    It has, however, been carved.
"お客様、" she said.
* [点咖啡]
    灯: 好的，请稍等。
* "只是躲雨。"[] 我说。
    灯：那也欢迎。
- 灯: （他真奇怪。）
-> END
"""
    start, cafe = read(story)
    assert (start.scene, start.lines, start.next) == ("", [], ["cafe"])
    assert (cafe.work, cafe.file, cafe.scene, cafe.next) == ("w", "story.ink", "cafe", [])
    assert told(cafe) == [
        ("", "narration", "雨还在下。"),
        ("", "灯", "你来啦！"),
        ("", "Six", "It has, however, been carved."),
        ("", "speech", '"お客様、" she said.'),
        ("1.1", "choice", "点咖啡"),
        ("1.1", "灯", "好的，请稍等。"),
        ("1.2", "choice", '"只是躲雨。"'),
        ("1.2", "speech", '"只是躲雨。" 我说。'),
        ("1.2", "灯", "那也欢迎。"),
        ("", "灯", "他真奇怪。"),
    ]
    assert [line.kind for line in cafe.lines][-1] == "thought"
    assert cafe.choices == [Choice("点咖啡"), Choice('"只是躲雨。"')]
    assert [line.index for line in cafe.lines] == list(range(10))
    assert (cafe.lines[1].source.line, cafe.lines[1].raw) == (5, "灯: 你来啦！")


def test_a_weave_nests_by_the_count_of_bullets_and_gathers_close_it() -> None:
    assert only("""
- (opts) What now?
* (look) [Look]
  I look.
  * * [Up]
      The sky.
      *** Higher
          A kite.
  * * Down
      The ground.
  - - Nothing to see.
  + + [Again] -> opts
+ Wait
  I wait.
- On we go.
* [Go]
- Gone.
""") == [
        ("", "narration", "What now?"),
        ("1.1", "choice", "Look"),
        ("1.1", "narration", "I look."),
        ("1.1/1.1", "choice", "Up"),
        ("1.1/1.1", "narration", "The sky."),
        ("1.1/1.1/1.1", "choice", "Higher"),
        ("1.1/1.1/1.1", "narration", "A kite."),
        ("1.1/1.2", "choice", "Down"),
        ("1.1/1.2", "narration", "The ground."),
        ("1.1", "narration", "Nothing to see."),
        ("1.1/2.1", "choice", "Again"),
        ("1.2", "choice", "Wait"),
        ("1.2", "narration", "I wait."),
        ("", "narration", "On we go."),
        ("2.1", "choice", "Go"),
        ("", "narration", "Gone."),
    ]  # fmt: skip


def test_what_a_choice_shows_and_what_it_prints() -> None:
    assert only("""
* Hello[.], friend.
* [Only shown]
* Said as it is shown.
* "I'm fine[."]," I reply.
* {seen} {not told && (mood > 3 || glad)} [With conditions]
* {tea}
  {cup}
  On the next line.
* (label)
  {tea}
  Behind its label.
* {tea}
* ->
  The fallback's text.
* El: Are urns useful?
* \\[brackets\\]
""") == [
        ("1.1", "choice", "Hello."),
        ("1.1", "narration", "Hello, friend."),
        ("1.2", "choice", "Only shown"),
        ("1.3", "choice", "Said as it is shown."),
        ("1.4", "choice", '"I\'m fine."'),
        ("1.4", "speech", '"I\'m fine," I reply.'),
        ("1.5", "choice", "With conditions"),
        ("1.6", "choice", "On the next line."),
        ("1.7", "choice", "Behind its label."),
        ("1.9", "narration", "The fallback's text."),
        ("1.10", "El", "Are urns useful?"),
        ("1.11", "choice", "[brackets]"),
    ]


def test_a_choice_that_the_players_character_says_keeps_her_name() -> None:
    (scene,) = read("* El: Are urns useful?\n* 灯: [好的。]请稍等。\n")
    assert [(line.kind, line.speaker, line.speakers) for line in scene.lines] == [
        ("choice", "El", ("El",)),
        ("choice", "灯", ("灯",)),
        ("speech", "灯", ("灯",)),
    ]
    assert scene.choices == [Choice("Are urns useful?"), Choice("好的。")]


def test_blocks_are_forks_and_their_dashes_arms() -> None:
    losses = Losses()
    story = """
Before.
{ tea:
    Tea is poured.
- else:
    {
    - x > 3: Big.
    - x == 0:
        Zero.
        * [Ask] Why?
    - else: Small.
    }
    After the inner one.
}
{ shuffle once:
  - A: shuffled
  - 灯: 你好
}
{ x:
  - 1: one
  - 2: {g:
         two, g
       - else:
         two
       }
}
- (gathered) { not met: We meet. -> missing }
{cup:I set it down.|{spilt:It is wet.|It is dry.}}
{&Monday|Tuesday|{~night|day}}
End.
"""
    assert only(story, losses) == [
        ("", "narration", "Before."),
        ("1.1", "narration", "Tea is poured."),
        ("1.2/1.1", "narration", "Big."),
        ("1.2/1.2", "narration", "Zero."),
        ("1.2/1.2/1.1", "choice", "Ask"),
        ("1.2/1.2/1.1", "narration", "Why?"),
        ("1.2/1.3", "narration", "Small."),
        ("1.2", "narration", "After the inner one."),
        ("2.1", "A", "shuffled"),
        ("2.2", "灯", "你好"),
        ("3.1", "narration", "one"),
        ("3.2/1.1", "narration", "two, g"),
        ("3.2/1.2", "narration", "two"),
        ("4.1", "narration", "We meet."),
        ("5.1", "narration", "I set it down."),
        ("5.2/1.1", "narration", "It is wet."),
        ("5.2/1.2", "narration", "It is dry."),
        ("6.1", "narration", "Monday"),
        ("6.2", "narration", "Tuesday"),
        ("6.3/1.1", "narration", "night"),
        ("6.3/1.2", "narration", "day"),
        ("", "narration", "End."),
    ]
    assert losses.unknown == Counter({"-> missing": 1})
    assert not losses.warnings


def test_alternatives_inside_a_line_are_read_as_their_first() -> None:
    losses = Losses()
    story = """
I {took:lift the mug|take the mug,} and {~blow|wait}{x > 1: hard}.
She is {~|not }here{! for once}, {name}, {print_num(58)} {a:{b:deep|x}|y}.
A \\{literal\\} brace, a \\| bar, a \\# sign and 1 \\< 2 \\/\\/ 3.
{name}
{|Nothing at first.} {|Nor here.}
{forceful:}.
"""
    assert only(story, losses) == [
        ("", "narration", "I lift the mug and blow hard."),
        ("", "narration", "She is here for once, {name}, {print_num(58)} deep."),
        ("", "narration", "A {literal} brace, a | bar, a # sign and 1 < 2 // 3."),
        ("", "narration", "."),
    ]
    assert losses.skipped == Counter({"an expression alone": 1, "nothing in the first alternative": 1})


def test_glue_joins_what_one_branch_prints() -> None:
    losses = Losses()
    assert only(
        """
He nods. <>
He has brought tea.
灯: 「雨が、<>
<>やまないね」
She says <>
* "No," <>
  "never."
- <>and goes.
{ tea:
   She smiles
}
<>.
""",
        losses,
    ) == [
        ("", "narration", "He nods. He has brought tea."),
        ("", "灯", "雨が、やまないね"),
        ("", "narration", "She says"),
        ("1.1", "choice", '"No,"'),
        ("1.1", "speech", "never."),
        ("", "narration", "and goes."),
        ("2.1", "narration", "She smiles"),
    ]
    assert losses.skipped == Counter({"a full stop glued to another branch": 1})
    assert (losses.seen, losses.emitted) == (8, 7)


def test_a_speakers_tag_lasts_until_the_next_one() -> None:
    assert only("""
# author: nobody
Hello there! #speaker:Dr. Green #portrait:green
How are you?
+ [Happy]
  That makes me happy too. # portrait: smile
+ [Sad]
  # speaker: Ms. Yellow
  Don't listen to him.
- (both) Somebody says this.
Well. # speaker: 灯 # voice: a_001.ogg
* { x } Bye # bye
  再见。
- 走好。
# speaker:
The end.
""") == [
        ("", "Dr. Green", "Hello there!"),
        ("", "Dr. Green", "How are you?"),
        ("1.1", "choice", "Happy"),
        ("1.1", "Dr. Green", "That makes me happy too."),
        ("1.2", "choice", "Sad"),
        ("1.2", "Ms. Yellow", "Don't listen to him."),
        ("", "narration", "Somebody says this."),
        ("", "灯", "Well."),
        ("2.1", "choice", "Bye"),
        ("2.1", "灯", "再见。"),
        ("", "灯", "走好。"),
        ("", "narration", "The end."),
    ]
    (scene,) = read("Hi, <> # speaker: 灯 # voice: a_001.ogg\nyou. # voice: a_002.ogg\nHo.\n")
    assert [(line.text, line.voice) for line in scene.lines] == [
        ("Hi, you.", ("a_001.ogg", "a_002.ogg")),
        ("Ho.", ()),
    ]


def test_where_choices_and_diverts_lead() -> None:
    story = """
-> hall
=== hall
-> DONE
= door
Knock.
* [Enter] -> room.window -> hall
* [Leave]
  He leaves. -> END
* [Shout]
  { loud: -> room }
  He shouts.
  -> street (-> door)
* [Stay] -> stay
* [Visit] -> room.window ->
* [Listen] <- street
- (stay) -> door
=== room
{ dark: -> hall.door | -> lamp }
= lamp
Light.
-> variable
= window
->->
=== street (-> back)
Rain. -> hall.stay
=== street
Again.
"""
    losses = Losses()
    scenes = {scene.scene: scene for scene in read(story, losses)}
    assert list(scenes) == ["", "hall.door", "room", "room.lamp", "street", "street~2"]
    assert scenes[""].next == ["hall"]
    assert scenes["hall.door"].next == ["room.window", "hall", "room", "street"]
    assert scenes["hall.door"].choices == [
        Choice("Enter", "hall"),
        Choice("Leave"),
        Choice("Shout", "street"),
        Choice("Stay"),
        Choice("Visit"),
        Choice("Listen"),
    ]
    assert scenes["room"].next == ["hall.door", "room.lamp"]
    assert scenes["street"].next == ["hall.door"]
    assert losses.unknown == Counter({"-> variable": 1})


def test_a_knot_without_text_leads_to_its_first_stitch() -> None:
    first, stitch, _ = read("=== entre ===\n  = awaken\n  Morning.\n  = street\n  Snow.\n")
    assert (first.scene, first.next, stitch.scene) == ("entre", ["entre.awaken"], "entre.awaken")


def test_what_is_no_text() -> None:
    losses = Losses()
    story = """VAR mood = "fine"
CONST SHOE = 1
LIST places = here, there
EXTERNAL play(x)
INCLUDE other.ink
TODO: write this
/* a comment
   over lines: {
*/
~ temp x = 3
~ mood = "bad" // really
Text. /* inside */ More.
=== function lower(ref x)
~ x = x - 1
{ x: twenty }
~ return x
=== VARIOUS
VARIOUS people. TODOs.
"""
    start, various = read(story, losses)
    assert told(start) == [("", "narration", "Text. More.")]
    assert told(various) == [("", "narration", "VARIOUS people. TODOs.")]
    assert (start.lines[0].source.line, various.lines[0].source.line) == (12, 18)
    assert losses.skipped == Counter({"text of a function": 1})


def test_rich_text_and_its_ruby() -> None:
    story = 'I do <i>not</i> <color=\\#fff>see</color>.<br>1 < 2, <o> and <3\n<ruby="あかり">灯</ruby>だ。\n'
    (scene,) = read(story)
    assert [line.text for line in scene.lines] == ["I do not see. 1 < 2, <o> and <3", "灯だ。"]
    assert [(ruby.base, ruby.text) for ruby in scene.lines[1].ruby] == [("灯", "あかり")]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Six: Yes.", "Six"),
        ("Dr. Green: Yes.", "Dr. Green"),
        ("El & Six: Yes.", "El & Six"),
        ("灯（小声）：好。", "灯（小声）"),
        ("？？？: 谁？", "？？？"),
        ("Lady of the Lake: Come.", "Lady of the Lake"),
        ("bob: hi", "bob"),
        ('Bob: "Hi."', "Bob"),
        ("He pushes the mug: a small gesture.", ""),
        ("No: I was alone before.", ""),
        ("Then: silence.", ""),
        ("10:30 it was.", ""),
        ("10: thirty.", ""),
        ("Six:", ""),
        ("Harris nods. He says: yes.", ""),
        ("http:x", ""),
    ],
)
def test_names_in_front_of_a_colon(text: str, name: str) -> None:
    assert split_name(text) == (name, text[len(name) + 1 :] if name else text)


def test_a_list_of_names_decides_what_a_name_is() -> None:
    (scene,) = read("Six: Yes.\nFive: No.\nThe Old Man: Well.\n", names=("Six", "The Old Man"))
    assert told(scene) == [
        ("", "Six", "Yes."),
        ("", "narration", "Five: No."),
        ("", "The Old Man", "Well."),
    ]


def test_masks_choruses_and_variables_as_names() -> None:
    (scene,) = read(
        "???: Who?\n灯（小声）: 嘘。\nA & B: 我们！\n{hero}: Me.\n全員：おー♪\n灯: 「はい」と言った。\n"
    )
    assert [(line.speaker, line.display_name, line.speakers) for line in scene.lines] == [
        ("???", "???", ("???",)),
        ("灯", "灯（小声）", ("灯",)),
        ("A & B", "A & B", ("A", "B")),
        ("{hero}", "{hero}", ("{hero}",)),
        ("全員", "全員", ("全員",)),
        ("灯", "灯", ("灯",)),
    ]
    assert scene.lines[4].text == "おー♪"
    assert scene.lines[5].text == "「はい」と言った。"


def test_knots_of_other_files_are_found() -> None:
    files = [
        memory_file("a.ink", b"INCLUDE b.ink\n-> far.away\n"),
        memory_file("b.ink", b"=== far\n-> near\n= away\nText.\n=== twice\nOne.\n"),
        memory_file("c.ink", b"=== near\nHere. -> twice\n=== twice\nTwo.\n"),
        memory_file("d.ink", b"\xef\xbb\xbf-> twice\n\xff\xfe"),
    ]
    losses = Losses()
    scenes = {(scene.file, scene.scene): scene for scene in ink.read(files, ReadOptions(), losses)}
    assert scenes["a.ink", ""].next == ["b.ink#far.away"]
    assert scenes["b.ink", "far"].next == ["c.ink#near"]
    assert scenes["c.ink", "near"].next == ["twice"]
    assert losses.skipped == Counter({"file cannot be read": 1})


def test_braces_that_do_not_match_lose_nothing() -> None:
    losses = Losses()
    scenes = read("One. }\n{ x:\nTwo.\n=== knot\nThree {a|b\nFour.\n", losses)
    assert [[line.text for line in scene.lines] for scene in scenes] == [
        ["One.", "Two."],
        ["Three", "a|b", "Four."],
    ]
    assert losses.warnings == [
        "story.ink, line 1: a `}` closes nothing",
        "story.ink, line 2: a `{` is never closed",
        "story.ink, line 5: a `{` is never closed",
    ]


def test_endless_nesting_is_one_error() -> None:
    for deep in (
        "{" * 100_000,
        "\n".join("* " * depth + "x" for depth in range(1, 200)),
        "{a:" * 300 + "}" * 300,
    ):
        with pytest.raises(ScriptError, match="64 deep") as caught:
            read(deep)
        assert caught.value.line


def test_its_files_are_told_apart() -> None:
    assert ink.sniff("a/Story.INK", b"=== knot ===\nText") > 0.9
    assert ink.sniff("a.ink", b"Some text") == 0.6
    assert ink.sniff("a.ink", b"\0\1") == 0
    assert ink.sniff("a.ink.json", b'{"inkVersion":20}') == 0
    assert ink.sniff("a.txt", b"=== knot ===") == 0


_PIECES = st.sampled_from(
    [
        "=== knot", "= stitch", "=== function f(x)", "* ", "+ ", "- ", "-> ", "->->", "<- ", "{", "}", "{ x:",
        "|", ":", "- else:", "[", "]", "<>", "# speaker: 灯", "#", "~ x", "VAR x = 1", "//", "/*", "*/", "\\",
        "(opts)", "灯: 你好", "text", "\n", "\n", "\t", " ", "END", "shuffle:", "&", "😀",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(_PIECES, max_size=60).map("".join))
def test_any_text_gives_scenes_or_one_error(text: str) -> None:
    losses = Losses()
    with contextlib.suppress(ScriptError):
        scenes = read(text, losses)
        assert sum(len(scene.lines) for scene in scenes) == losses.emitted
        assert losses.seen == losses.emitted + losses.skipped.total()
        for scene in scenes:
            assert [line.index for line in scene.lines] == list(range(len(scene.lines)))
            assert all(line.text for line in scene.lines)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_scenes_or_one_error(data: bytes) -> None:
    with contextlib.suppress(ScriptError):
        list(ink.read([memory_file("a.ink", data)], ReadOptions(), Losses()))


# Lines of "The Intercept" as they stand in the script: line, branch, kind, how the text begins.
INTERCEPT = {
    "start": [
        (77, "", "narration", "They are keeping me waiting."),
        (78, "1.1", "choice", "Hut 14"),
        (78, "1.1", "narration", "Hut 14. The door was locked after I sat down."),
        (79, "1.1", "narration", "I don't even have a pen to do any work."),
        (83, "2.2", "narration", "I rattle my fingers on the field table."),
        (84, "3.1", "choice", "Think"),
        (86, "3.1", "narration", "When they don't find it, then they'll come back and demand I talk."),
        (88, "3.2", "choice", "Plan"),
        (89, "3.2", "narration", "What I am is a problem—solver."),
        (91, "3.2/1.1", "choice", "Co—operate"),
        (95, "3.2/1.2", "choice", "Dissemble"),
        (99, "3.2/1.3", "choice", "Divert"),
        (102, "3.3", "choice", "Wait"),
    ],
    "start.waited": [
        (106, "", "narration", "Half an hour goes by before Commander Harris returns."),
        (107, "", "speech", '"Well, then," he begins, awkwardly.'),
        (108, "1.1", "choice", '"Commander."'),
        (109, "1.1", "narration", "He nods."),
        (110, "1.2", "choice", '"Tell me what this is about."'),
        (112, "1.2", "speech", "Now, don't let's pretend."),
        (115, "", "narration", "He has brought two cups of tea in metal mugs: he sets them down"),
        (116, "2.1", "speech", "I'm not pretending anything."),
        (117, "2.1/1.1", "narration", "I'm lying already, despite my good intentions."),
        (118, "2.1", "narration", "Harris looks disapproving."),
        (127, "2.4", "narration", "He pushes one mug halfway towards me:"),
        (128, "", "narration", "a small gesture of friendship."),
        (131, "3.1", "narration", "I lift the mug and blow away the steam."),
        (145, "", "speech", '"Quite a difficult situation," he begins, sternly.'),
        (153, "4.4", "choice", "Evade"),
        (158, "5.1", "narration", ", sipping at my tea as though we were old friends"),
        (175, "", "speech", '"We need that component," he says.'),
    ],
    "here_at_bletchley_diversion": [
        (212, "", "speech", "Here at Bletchley? Of course."),
        (217, "1.1", "choice", '"I\'m fine."'),
        (217, "1.1", "speech", '"I\'m fine," I reply. "This is all some misunderstanding'),
        (223, "1.3", "choice", '"Damn right."'),
        (229, "1.3/1.1", "choice", '"Of my genius."'),
        (229, "1.3/1.1", "speech", "Of my genius. Hooper simply can't stand that I'm cleverer than he is."),
        (231, "1.3/1.1/1.1", "choice", "Yes"),
        (
            232,
            "1.3/1.1/1.1",
            "speech",
            "\"He's petty enough, certainly. He's a creep.\" I set the teacup down.",
        ),
        (245, "1.3/1.1", "speech", "All I can say is, ever since I arrived here"),
        (247, "1.3/1.1/2.1", "choice", '"Quite right."'),
        (250, "1.3/1.1", "narration", "He stares back at me."),
        (254, "1.3/1.2", "narration", "For the first time since the door closed, I wonder what the threat"),
    ],
    "harris_demands_you_speak": [
        (485, "", "narration", "His eyes bear down like carbonised drill—bits."),
        (488, "1.1/1.1", "speech", "You want me to tell you what happened? You'll be disgusted."),
        (490, "1.1/1.2", "speech", '"All right. I\'ll tell you what happened." And never mind my shame.'),
        (492, "1.1", "speech", '"I can imagine how it starts," he replies.'),
    ],
}


@pytest.mark.corpora
def test_the_intercept() -> None:
    losses = Losses()
    work = open_work(CORPORA / "ink_the_intercept" / "Assets")
    scenes = {scene.scene: scene for scene in ink.read(work.files, ReadOptions(), losses)}
    for name, expected in INTERCEPT.items():
        found = [(line.source.line, line.branch, line.kind, line.text) for line in scenes[name].lines]
        for number, branch, kind, text in expected:
            assert any(each[:3] == (number, branch, kind) and each[3].startswith(text) for each in found), (
                text
            )
    assert sum(map(len, INTERCEPT.values())) >= 40
    assert [choice.target for choice in scenes[""].choices] == [
        "start",
        "claim_hooper_took_component",
        "inside_hoopers_hut",
    ]
    assert scenes["harris_asks_for_theory"].choices == [
        Choice("Blame no—one", "harris_asks_for_theory.an_accident"),
        Choice("Blame someone", "claim_hooper_took_component"),
    ]
    assert "lower" not in scenes
    kinds = Counter(line.kind for scene in scenes.values() for line in scene.lines)
    assert kinds["choice"] == 343  # lines of the script that begin with a bullet
    assert min(kinds["speech"], kinds["narration"]) > 300
    assert losses.emitted == kinds.total() == 977
    assert losses.skipped == Counter({"a full stop glued to another branch": 1})
    assert not losses.unknown
    assert not losses.warnings


@pytest.mark.corpora
def test_inkles_library() -> None:
    losses = Losses()
    work = open_work(CORPORA / "ink_library")
    files = [file for file in work.files if ink.sniff(file.name, file.head)]
    assert len(files) == 10
    scenes = list(ink.read(files, ReadOptions(), losses))
    spoken = [(line.speaker, line.text) for scene in scenes for line in scene.lines if line.speaker]
    assert spoken == [
        ("El", "It Can't have been built."),
        ("Six", "I believe you can call it what you wish, Mistress."),
        ("Six", "It has, however, been carved."),
        ("Six", "It is impossible to say, Mistress."),
        ("El", "Do you think it's going to fall on top of us?"),
        ("Six", "It has stood for thousands of years."),
        ("Six", "But I will charge the hopper, all the same."),
        ("Six", "I beleive so, Mistress."),
        ("Six", "Thank you for pointing it out, or I would have rolled over it."),
        ("El", "Let's see if I can get this free without breaking it..."),
        ("El", "Okay, we’re done!"),
        ("El", "Are urns useful?"),
        ("Six", "Depends on what you want to put in them."),
        ("El", "Do coins float?"),
        ("Six", "Depends on what they’re made from."),
    ]
    by_name = {(scene.file, scene.scene): scene for scene in scenes}
    assert told(by_name["Snippets/tunnel_to_death.ink", "death"]) == [
        ("1.1", "narration", "You've been beaten to death."),
        ("1.2", "narration", "Sadly you've drown in the water."),
        ("1.3", "narration", "Sorry, you're dead"),
    ]
    assert by_name["Snippets/threading-tunnels.ink", "example"].next == [
        "tunnel_as_thread",
        "ask_about_urns",
        "ask_about_coins",
    ]
    emoji = by_name["Stories/LD41 Emoji/LD41 Emoji.ink", "entre"]
    assert (emoji.lines, emoji.next) == ([], ["entre.awaken"])
    assert losses.emitted == 1386
    assert losses.skipped["text of a function"] == 70
    assert not losses.warnings
