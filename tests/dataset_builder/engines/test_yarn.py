"""Yarn Spinner: nodes, options by indentation, conditions, groups, markup; its own examples and tests."""

import contextlib
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import ReadOptions, yarn
from dataset_builder.engines.yarn_text import yarn_text
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Scene
from dataset_builder.work import memory_file, open_work
from tests.conftest import ROOT

CORPORA = ROOT.parent / "shared" / "corpora"


def read(text: str, losses: Losses | None = None) -> list[Scene]:
    return list(yarn.read([memory_file("a.yarn", text.encode())], ReadOptions(work="w"), losses or Losses()))


def told(scene: Scene) -> list[tuple[str, str, str]]:
    return [(line.branch, line.speaker or line.kind, line.text) for line in scene.lines]


def body(text: str, losses: Losses | None = None) -> list[tuple[str, str, str]]:
    (scene,) = read(f"title: A\n---\n{text}\n===\n", losses)
    return told(scene)


def test_a_node_with_options_and_jumps() -> None:
    cafe, home = read("""#a file's tag
title: Cafe
tags: rain
position: 1,2
// a comment
---
<<camera Door>>
雨が降っている。
灯: いらっしゃいませ！ #line:0a1
灯：「二名様ですか」
-> はい。
    灯: こちらへどうぞ。
-> 颯太: いいえ、一人です。 <<if $alone>> #line:0a2
    灯: では、カウンターへ。
    <<jump Home>>
灯: （いい人そう） // 心の声
===
title: Home // where he lives
---
Home at last.
===
""")
    assert (cafe.work, cafe.file, cafe.scene, cafe.next) == ("w", "a.yarn", "Cafe", ["Home"])
    assert told(cafe) == [
        ("", "narration", "雨が降っている。"),
        ("", "灯", "いらっしゃいませ！"),
        ("", "narration", "灯：「二名様ですか」"),
        ("1.1", "choice", "はい。"),
        ("1.1", "灯", "こちらへどうぞ。"),
        ("1.2", "颯太", "いいえ、一人です。"),
        ("1.2", "灯", "では、カウンターへ。"),
        ("", "灯", "いい人そう"),
    ]
    assert [line.kind for line in cafe.lines[5:]] == ["choice", "speech", "thought"]
    assert cafe.choices == [Choice("はい。"), Choice("いいえ、一人です。", "Home")]
    assert [line.index for line in cafe.lines] == list(range(8))
    assert (cafe.lines[1].source.line, cafe.lines[1].raw) == (9, "灯: いらっしゃいませ！ #line:0a1")
    assert (home.scene, told(home), home.next) == ("Home", [("", "narration", "Home at last.")], [])


def test_options_nest_by_indentation() -> None:
    assert body("""Start
-> One
    One's text
    -> One a
        deep
        -> Deeper
            deepest
    -> One b
    after one
-> Two
After.
\t-> Indented A
\t\tA's text
    between
\t-> Indented B
End.
-> Last
  // a comment

  with a blank in front
""") == [
        ("", "narration", "Start"),
        ("1.1", "choice", "One"),
        ("1.1", "narration", "One's text"),
        ("1.1/1.1", "choice", "One a"),
        ("1.1/1.1", "narration", "deep"),
        ("1.1/1.1/1.1", "choice", "Deeper"),
        ("1.1/1.1/1.1", "narration", "deepest"),
        ("1.1/1.2", "choice", "One b"),
        ("1.1", "narration", "after one"),
        ("1.2", "choice", "Two"),
        ("", "narration", "After."),
        ("2.1", "choice", "Indented A"),
        ("2.1", "narration", "A's text"),
        ("", "narration", "between"),
        ("3.1", "choice", "Indented B"),
        ("", "narration", "End."),
        ("4.1", "choice", "Last"),
        ("4.1", "narration", "with a blank in front"),
    ]


def test_an_empty_line_ends_a_set_of_options() -> None:
    assert [branch for branch, _, _ in body("-> A\n-> B\n// not empty\n-> C\n\n-> D\n    d\n\n-> E")] == [
        "1.1", "1.2", "1.3", "2.1", "2.1", "3.1",
    ]  # fmt: skip


def test_conditions_once_and_line_groups() -> None:
    losses = Losses()
    assert body(
        """
<<if $a > 3 and $b >> 1>>
A: yes
    <<if visited("X")>>
A: inner
    <<endif>>
<<elseif $c>>
A: maybe
-> Option in it
    A: its text
<<else>>
A: no
<<endif>>
<<once if $d>>
=> A: first <<if $e>>
    A: goes on
=> A: second
<<else>>
A: again
<<endonce>>
=> A: another group <<once>>
A: sometimes <<if $f>> #line:1
A: always
""",
        losses,
    ) == [
        ("1.1", "A", "yes"),
        ("1.1/1.1", "A", "inner"),
        ("1.2", "A", "maybe"),
        ("1.2/1.1", "choice", "Option in it"),
        ("1.2/1.1", "A", "its text"),
        ("1.3", "A", "no"),
        ("2.1/1.1", "A", "first"),
        ("2.1/1.1", "A", "goes on"),
        ("2.1/1.2", "A", "second"),
        ("2.2", "A", "again"),
        ("3.1", "A", "another group"),
        ("4.1", "A", "sometimes"),
        ("", "A", "always"),
    ]
    assert not losses.warnings


def test_where_commands_lead() -> None:
    scenes = {
        scene.scene: scene
        for scene in read("""
title: Start
---
<<detour Group>>
<<jump {"Const"}>>
-> Go
    <<detour Group>>
    <<jump Const>>
-> Stay
    <<if $x>>
        <<jump Nowhere>>
    <<endif>>
<<jump {$variable}>>
<<jump Start>>
===
title: Group
when: once
---
One.
===
title: Group
when: always
---
Two.
===
title: Group
subtitle: third
when: $x
---
Three.
===
title: Const
---
<<return>>
<<stop>>
===
""")
    }
    assert list(scenes) == ["Start", "Group", "Group~2", "Group.third"]
    assert scenes["Start"].next == ["Group", "Group~2", "Group.third", "Const"]
    assert scenes["Start"].choices == [Choice("Go", "Const"), Choice("Stay")]


def test_nodes_of_other_files_are_found() -> None:
    files = [
        memory_file("a.yarn", b"title: Start\n---\nA.\n<<jump There>>\n===\n"),
        memory_file("b.yarn", b"title: Start\n---\nB.\n<<jump Start>>\n-> x\n  <<jump Twice>>\n===\n"),
        memory_file("c.yarn", b"title: There // here\n---\nC.\n===\ntitle: Twice\n---\n1\n===\n"),
        memory_file("d.yarn", b"title: Twice\n---\n2\n===\n"),
        memory_file("e.yarn", b"no node at all"),
    ]
    losses = Losses()
    scenes = {scene.file: scene for scene in yarn.read(files, ReadOptions(), losses)}
    assert scenes["a.yarn"].next == ["c.yarn#There"]
    assert (scenes["b.yarn"].next, scenes["b.yarn"].choices) == ([], [Choice("x")])
    assert losses.skipped == Counter({"file cannot be read": 1})


def test_options_of_yarn_1() -> None:
    (scene, _) = read("""title: Sally
---
Sally: Hi.
<<if $x>>
    [[Anything exciting?|Sally.Watch]] #line:5d7a7c
<<endif>>
[[See you.|Nowhere]]
[[Sally.Watch]]
===
title: Sally.Watch
---
Sally: Not really.
===
""")
    assert told(scene) == [
        ("", "Sally", "Hi."),
        ("2.1", "choice", "Anything exciting?"),
        ("2.2", "choice", "See you."),
    ]
    assert scene.choices == [Choice("Anything exciting?", "Sally.Watch"), Choice("See you.")]
    assert scene.next == ["Sally.Watch"]


@pytest.mark.parametrize(
    ("written", "name", "text"),
    [
        ("Mae: Well...", "Mae", "Well..."),
        ("Dr. Green: 10:30 already?", "Dr. Green", "10:30 already?"),
        ("？？？: 谁？", "？？？", "谁？"),
        ("{$hero}: It's me, {$hero}.", "{$hero}", "It's me, {$hero}."),
        ('{$a ? "x:y" : "z"} it is', "", '{$a ? "x:y" : "z"} it is'),
        ("Character\\: no character", "", "Character: no character"),
        ("sure :)", "", "sure :)"),
        ("Mae: D:", "Mae", "D:"),
        ("Nom : bonjour", "Nom", "bonjour"),
        ("Only one thing is left:", "", "Only one thing is left:"),
        ("It is so: " + "x" * 5, "It is so", "xxxxx"),
        ("Nobody has a name as long as this one has: x", "", "Nobody has a name as long as this one has: x"),
        ("Text #tag #line:1 // comment", "", "Text"),
        ("Text#tag//comment", "", "Text"),
        ("Text <<if $a>>#line:1", "", "Text"),
        ("Item #1 is cheap", "", "Item #1 is cheap"),
        ("\\# \\{0\\}, \\<\\<cmd\\>\\> x\\/\\/y \\\\ \\[b\\]", "", "# {0}, <<cmd>> x//y \\ [b]"),
        ("[b]bold[/b] [wave size=2]wavy[/wave] a[pause/] b[/]", "", "bold wavy a b"),
        ("Mae: I came [ordinal value={$n} one=\"%st\" other=\"%th\"/]!", "Mae", "I came {$n}st!"),
        ('[select value={$g} male="he" female="she"/] said', "", "he said"),
        ("a[br/]b and [1], [...] and [nomarkup][b]x[/b][/nomarkup]", "", "a\nb and [1], [...] and [b]x[/b]"),
        ("<color=\\#fff>wow</color> <o> <b>b</b> 1 <3", "", "wow <o> b 1 <3"),
        ("¯\\\\_(ツ)_/¯", "", "¯\\_(ツ)_/¯"),
        ('[character name="Mae"]Mae: [/character]Hello: you', "Mae", "Hello: you"),
        ("[character name=Mae/]Hello", "Mae", "Hello"),
        ("[b]Mae[/b]: Hello", "Mae", "Hello"),
    ],
)  # fmt: skip
def test_a_line_taken_apart(written: str, name: str, text: str) -> None:
    said = yarn_text(written)
    assert (said.name, said.text) == (name, text)


def test_who_speaks_and_what_the_plate_shows() -> None:
    text = """
[character name="Mae"]???: [/character]Who is there?
灯（小声）: 嘘。
A＆B: はい！
颯太: <ruby="あかり">灯</ruby>さん♪
灯: 「もしもし」と灯は言った。
"""
    (scene,) = read(f"title: A\n---{text}===")
    assert [(line.speaker, line.display_name, line.speakers) for line in scene.lines] == [
        ("Mae", "???", ("Mae",)),
        ("灯", "灯（小声）", ("灯",)),
        ("A＆B", "A＆B", ("A", "B")),
        ("颯太", "颯太", ("颯太",)),
        ("灯", "灯", ("灯",)),
    ]
    assert scene.lines[3].text == "灯さん♪"
    assert [(ruby.base, ruby.text) for ruby in scene.lines[3].ruby] == [("灯", "あかり")]
    assert scene.lines[4].text == "「もしもし」と灯は言った。"


def test_what_is_skipped_is_counted() -> None:
    losses = Losses()
    assert body("{$x}\nMae:\n[pause/]\n-> [b][/b]\nMae: 「」\n{$x}!", losses) == [("", "narration", "{$x}!")]
    assert losses.skipped == Counter({"empty text": 4, "an expression alone": 1})
    assert losses.seen == 6


def test_what_is_not_closed_is_told() -> None:
    losses = Losses()
    (first, second) = read("title: A\n---\n<<else>>\n<<if $x>>\nx\n===\n---\n<<endif>>\ny\n<<once>>z", losses)
    assert (first.scene, second.scene) == ("A", "")
    assert [line.branch for line in first.lines + second.lines] == ["1.1", ""]
    assert losses.warnings == [
        "a.yarn, line 3: `<<else>>` without its beginning",
        "a.yarn, node `A`: an `<<if>>` is not closed",
        "a.yarn, line 8: `<<endif>>` without its beginning",
        "a.yarn, node ``: an `<<if>>` is not closed",
        "a.yarn: the node `` has no end (`===`)",
    ]


def test_a_file_without_nodes_is_an_error() -> None:
    with pytest.raises(ScriptError, match="no node of Yarn Spinner's"):
        read("just text\n")


def test_endless_nesting_is_one_error() -> None:
    options = "\n".join(" " * depth + "-> x" for depth in range(200))
    for deep in ("<<if a>>\n" * 200, options):
        with pytest.raises(ScriptError, match="64 deep"):
            body(deep)


def test_its_files_are_told_apart() -> None:
    assert yarn.sniff("a/B.yarn", b"title: Start\ntags:\n---\nText\n===") > 0.9
    assert yarn.sniff("a.yarn", b"\xef\xbb\xbftitle: Start\r\n---\r\n") > 0.9
    assert yarn.sniff("a.yarn.txt", b"title: Start\n---\n") > 0.9
    assert yarn.sniff("a.yarn", b"text") == 0.6
    assert yarn.sniff("a.txt", b"title: Start\n---\n") == 0
    assert yarn.sniff("yarn.lock", b"title: Start\n---\n") == 0


_PIECES = st.sampled_from(
    [
        "title: A", "---", "===", "-> ", "=> ", "<<if $x>>", "<<else>>", "<<endif>>", "<<once>>",
        "<<endonce>>", "<<jump A>>", '<<jump {"A"}>>', "<<", ">>", "[[a|A]]", "[[A]]", "[b]", "[/b]",
        '[character name="Mae"]', '[select value=1 a="b"/]', "{$x}", "{", "}", "[", "]", "#line:1",
        "#", "//", "\\", ":", "Mae: ", "灯: 你好", "text", "    ", "\t", "\n", "\n", "\n", '"', "😀", "<b>",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(_PIECES, max_size=60).map("".join))
def test_any_text_gives_scenes_or_one_error(text: str) -> None:
    losses = Losses()
    with contextlib.suppress(ScriptError):
        scenes = read(f"title: A\n---\n{text}", losses)
        assert sum(len(scene.lines) for scene in scenes) == losses.emitted
        assert losses.seen == losses.emitted + losses.skipped.total()
        assert len({scene.scene for scene in scenes}) == len(scenes)
        for scene in scenes:
            assert [line.index for line in scene.lines] == list(range(len(scene.lines)))
            assert all(line.text for line in scene.lines)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_scenes_or_one_error(data: bytes) -> None:
    with contextlib.suppress(ScriptError):
        list(yarn.read([memory_file("a.yarn", b"title: A\n---\n" + data)], ReadOptions(), Losses()))


# --- Yarn Spinner's own: lines as they stand in the scripts, by file and node


EXAMPLES = {
    ("GhostyLads/Assets/Dialogue/GhostyLads_Final.yarn", "Start"): [
        ("", "Ghost", "*wails*"),
        ("", "Ghost", "Ahem, sorry. Hey there!"),
        ("", "Ghost", "Welcome to the graveyard. I'm so glad you're here."),
        ("", "Ghost", "We've got a bit of a problem with the, uh... residents."),
        ("1.1", "choice", "The residents...?"),
        ("1.1", "Ghost", "Yeah, the uh, deadies. These three here."),
        ("1.1/1.1", "choice", "Aren't you a deady too?"),
        ("1.1/1.1", "Ghost", "Nevermind that."),
        ("1.1/1.1", "Ghost", "As I was saying, we've got a problem."),
        ("1.1/1.1", "Ghost", "The deadies. They're pirates."),
        ("1.1/1.1/1.1", "choice", "Pirates?"),
    ],
    ("GhostyLads/Assets/Dialogue/GhostyLads_Final.yarn", "Ghost"): [
        ("", "Ghost", "Are you ready to tell me what happened?"),
        ("1.1", "choice", "Yes"),
        ("1.1", "Ghost", "Alright, what then?"),
        ("1.1/1.1", "choice", "Uh, you stole some treasure from the three of them, and they're annoyed?"),
        ("1.1/1.2", "choice", "Something to do with the bird chest, buried on the island..."),
        ("1.1/1.3", "choice", "There's a bird chest buried on the island, and a key in the tree..."),
        (
            "1.1/1.4",
            "choice",
            "There's a bird chest on the island, a key in the tree, and a camel chest in the grave "
            "over there...",
        ),
        ("1.1", "Ghost", "That really doesn't sound right. Maybe you need to talk to them some more."),
        ("1.2", "choice", "No"),
        ("", "Ghost", "Well there's no point talkin' to me. Go chat with the my crazy crew some more!"),
    ],
    ("GhostyLads/Assets/Dialogue/GhostyLads_Final.yarn", "CenterGraveCarol"): [
        ("1.1", "Carol", "Yes?"),
        ("1.2", "Carol", "Ahoy again!"),
        ("2.1", "choice", "I hear everyone hates you."),
        ("2.1", "Carol", "Well, that's rude."),
        ("2.1/1.1", "choice", "I'm sorry."),
        ("2.1/1.1", "Carol", "But true, I guess."),
        ("2.1/1.1", "Carol", "I was a bit awful."),
        ("2.1/1.1/1.1", "choice", "What'd you do?"),
    ],
    ("SpaceJourney/Assets/Dialogue/SpaceJourney_FinalVersion.yarn", "Start"): [
        ("", "Player", "Another day in Space Fleet."),
        ("", "Player", "Today's my rotation to Engineering. I hate Engineering."),
        ("", "Player", "All I dream of is going on an away mission."),
        ("", "Player", "I wonder what I should do?"),
        ("1.1", "choice", "Go and talk to the Captain"),
        ("1.2", "choice", "Go see the Engineer as per orders"),
        ("1.3", "choice", "Meet up with your friend"),
    ],
    ("SpaceJourney/Assets/Dialogue/SpaceJourney_FinalVersion.yarn", "TalkToEngineer"): [
        ("", "Engineer", "Look who turned up."),
        ("", "Engineer", "Honestly, you never feel like you want to be here."),
        ("", "Engineer", "What's your problem?"),
        ("1.1", "choice", "I slept in."),
        ("1.1", "Engineer", "Some of us have a job to do."),
        ("1.2", "choice", "I hate engines."),
        (
            "1.2",
            "Engineer",
            "I trained as a cook. I'm meant to be slinging Space Paste™, not repairing.. whatever this is.",
        ),
        ("1.2", "Player", "... an engine. It's an engine."),
        (
            "1.2",
            "Engineer",
            "Right, yes, I'm meant to be cooking, not repairing engines. Sorry forgot for a sec.",
        ),
        ("1.3", "choice", "I have an overwhelming attraction to engines."),
        ("1.3", "Engineer", "It'll never love you back. Trust me, we've all been there."),
        ("", "Engineer", "Anyway, the engine is busted. The... juice.... is full, but it won't go anywhere."),
    ],
}


@pytest.mark.corpora
def test_the_examples() -> None:
    losses = Losses()
    work = open_work(CORPORA / "yarn_examples")
    files = [file for file in work.files if yarn.sniff(file.name, file.head) > 0.9]
    assert len(files) == 3
    scenes = {(scene.file, scene.scene): scene for scene in yarn.read(files, ReadOptions(), losses)}
    assert sum(map(len, EXAMPLES.values())) >= 40
    for place, expected in EXAMPLES.items():
        assert told(scenes[place])[: len(expected)] == expected
    journey = "SpaceJourney/Assets/Dialogue/SpaceJourney_FinalVersion.yarn"
    assert [choice.target for choice in scenes[journey, "Start"].choices] == [
        "TalkToCaptain",
        "TalkToEngineer",
        "TalkToCrewmate",
    ]
    assert scenes[journey, "TalkToCrewmate"].next == ["BridgeEnding"]
    ending = told(scenes[journey, "BridgeEnding"])
    assert ending[2:4] == [
        ("1.1", "Crewmate", "Take me to fight the pirates! I was made for this!"),
        ("1.1", "Captain", "I was just about to call you!"),
    ]
    assert ending[7][:2] == ("1.1", "Player")
    assert ending[8][:2] == ("1.2", "Player")
    assert ending[-3:] == [
        ("1.2/2.1", "Captain", "I'll miss you if you die... friend."),
        ("1.2/2.2", "Captain", "I'm sure somebody will miss you if you die."),
        ("", "narration", "THE END"),
    ]
    found = Counter(line.speaker or line.kind for scene in scenes.values() for line in scene.lines)
    scripts = "\n".join(file.read().decode() for file in files)
    written = Counter(re.findall(r"^\s*([A-Z]\w+): ", scripts, re.MULTILINE))
    assert found == {**written, "choice": len(re.findall(r"^\s*->", scripts, re.MULTILINE)), "narration": 1}
    assert losses.emitted == found.total() == 419
    assert not losses.skipped
    assert not losses.warnings


# What Yarn Spinner's test plans expect (its repository, Tests/TestCases/*.testplan).
PLANS = {
    "Lines": [
        ("", "narration", "This is a line of dialogue."),
        ("", "Mae", "HA HA HA HA HA NO I'M FINE."),
        ("", "Mae", "Testing comments after lines"),
        ("", "Mae", "Testing comments after hashtags"),
        ("1.1", "Mae", "Testing comments after line conditions"),
        ("", "Mae", "Testing comments after hashtags with no whitespace"),
    ],
    "Indentation": [
        ("1.1", "narration", "zero indent if with equal line"),
        ("2.1", "narration", "zero indent if with one indent line"),
        ("3.1", "narration", "zero indent if with two indent line"),
        ("4.1", "narration", "one indent if with equal indent line"),
        ("", "narration", "zero indent line"),
        ("5.1", "narration", "one indent if with two indent line"),
        ("", "narration", "zero indent line"),
        ("", "narration", "one indent line"),
        ("6.1", "narration", "one indent if with zero indent line and endif"),
        ("7.1", "narration", "zero indent if with one indent line and endif"),
        ("8.1", "narration", "zero indent if and line with one indent"),
        ("9.1", "narration", "one indent if and endif with zero indent line"),
        ("10.1", "choice", "option with subline"),
        ("10.1", "narration", "subline"),
        ("11.1", "choice", "option below blank line"),
    ],
    "ShortcutOptions": [
        ("1.1", "choice", "Option 1"),
        ("1.1", "narration", "This line should appear."),
        ("1.1/1.1", "choice", "Sub Option 1"),
        ("1.1/1.1", "narration", "This line should also appear."),
        ("1.1/1.2", "choice", "Sub Option 2"),
        ("1.1/1.3", "choice", "Sub Option 3"),
        ("1.2", "choice", "Option 2"),
        ("1.2", "narration", "This line should not appear."),
        ("1.3", "choice", "Option 3"),
        ("1.3", "narration", "This line should not appear."),
        ("", "Bea", "line text"),
        ("2.1", "choice", "option1"),
        ("2.2", "choice", "option2"),
        ("", "Bea", "line text2"),
        ("", "Bea", "indented line text"),
        ("3.1", "choice", "indented option1"),
        ("3.2", "choice", "indented option2"),
        ("", "Bea", "indented line text2"),
        ("", "Bea", "line text"),
        ("4.1", "choice", "indented option1 following unindented line"),
        ("4.2", "choice", "indented option2 following unindented line"),
        ("4.2", "narration", "option2.1"),
    ],
    "LineGroups": [
        ("1.1/1.1", "Baker", "Hey there, friend! Made some fresh pies for you!"),
        ("1.1/1.2", "Baker", "Hey there! Fresh pies, right out of the oven!"),
        ("2.1", "Baker", "Want another?"),
        ("2.2", "Baker", "How about another pie?"),
        ("2.3", "Baker", "Another pie?"),
        ("2.4", "Baker", "Another pie for my best customer?"),
        ("2.5", "Baker", "What d'ya say?"),
        ("2.6", "Baker", "How about it?"),
        ("2.7", "Baker", "Want one?"),
        ("3.1", "choice", "Buy Pie"),
        ("3.1/1.1", "Baker", "Thank you kindly!"),
        ("3.1/1.2", "Baker", "Pleasure doin' business with you!"),
        ("3.1/1.3", "Baker", "Enjoy!"),
        ("3.2", "choice", "Don't Buy Pie"),
        ("3.2/1.1", "Baker", "Aw, that's a shame!"),
    ],
}
ESCAPED = [
    "Here's a line with a hashtag", "Here's a line with an escaped hashtag #hashtag",
    "Here's a line with an expression {0}", "Here's a line with an escaped expression {0}",
    "Here's a line with an escaped command <<foo>>", "Here's a line with a comment",
    "Here's a line with an escaped comment // wow", "Here's a line with an escaped backslash \\",
]  # fmt: skip


@pytest.mark.corpora
def test_yarn_spinners_tests() -> None:
    losses = Losses()
    work = open_work(CORPORA / "yarn_tests" / "Tests")
    files = [file for file in work.files if yarn.sniff(file.name, file.head) > 0.9]
    assert len(files) == 47
    scenes: dict[str, list[Scene]] = {}
    for file in files:  # each for itself: one broken file would be an error
        scenes[file.name.rpartition("/")[2].removesuffix(".yarn")] = list(
            yarn.read([file], ReadOptions(), losses)
        )
    for name, expected in PLANS.items():
        assert told(scenes[name][0])[: len(expected)] == expected
    assert [line.text for line in scenes["Escaping"][0].lines[: len(ESCAPED)]] == ESCAPED
    smileys = [line.text for line in scenes["Smileys"][0].lines if line.kind == "speech"]
    assert smileys[:8] == ["¯\\_(ツ)_/¯", "<o>", ":|", ":)", ":(", ":o", ":\\", ":<"]
    assert len(smileys) == 22
    (ordinal,) = (line for line in scenes["FormatFunctions"][0].lines if line.speaker == "Mae")
    assert ordinal.text == "Wow, I came {$race_position}st!"
    assert [scene.scene for scene in scenes["NodeGroups"]][3:9] == [
        "NodeGroup", "NodeGroup~2", "NodeGroup~3", "NodeGroup~4", "NodeGroup~5", "NodeGroup~6",
    ]  # fmt: skip
    assert losses.skipped == Counter({"an expression alone": 59})
    assert losses.emitted == 436
    assert not losses.warnings
