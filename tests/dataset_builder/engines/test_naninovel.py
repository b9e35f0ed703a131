"""Naninovel: labels, authors, inlined commands, choices and conditions by indentation or `@endif`."""

import contextlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import ReadOptions, naninovel
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Scene
from dataset_builder.work import memory_file


def read(text: str, losses: Losses | None = None, name: str = "Prologue.nani") -> list[Scene]:
    files = [memory_file(name, text.encode())]
    return list(naninovel.read(files, ReadOptions(work="w"), losses or Losses()))


def told(scene: Scene) -> list[tuple[str, str, str]]:
    return [(line.branch, line.speaker or line.kind, line.text) for line in scene.lines]


def only(text: str, losses: Losses | None = None) -> list[tuple[str, str, str]]:
    (scene,) = read(text, losses)
    return told(scene)


def test_a_script_with_labels() -> None:
    start, morning, night = read("""; 朝の場面
@back Room.Morning
雨が降っている。

# Morning
@char Kohaku.Happy
Kohaku.Happy: 「おはよう！」
  Kohaku: （眠い……）
"誰？"と私は言った。
@goto .Night if:late
#Night
再见。
""")
    assert (start.work, start.file, start.scene, start.next) == ("w", "Prologue.nani", "", ["Morning"])
    assert told(start) == [("", "narration", "雨が降っている。")]
    assert told(morning) == [
        ("", "Kohaku", "おはよう！"),
        ("", "Kohaku", "眠い……"),
        ("", "speech", '"誰？"と私は言った。'),
    ]
    assert [line.kind for line in morning.lines] == ["speech", "thought", "speech"]
    assert morning.next == ["Night"]
    assert (night.scene, night.next, told(night)) == ("Night", [], [("", "narration", "再见。")])
    assert (morning.lines[0].source.line, morning.lines[0].raw) == (7, "Kohaku.Happy: 「おはよう！」")
    assert [line.index for line in morning.lines] == [0, 1, 2]


@pytest.mark.parametrize(
    ("written", "speaker", "text"),
    [
        ("Felix: Lorem ipsum.", "Felix", "Lorem ipsum."),
        ("Felix.Happy.Big/1: Lorem: ipsum.", "Felix", "Lorem: ipsum."),
        ("{name}.{look}: My drink is {drink}!", "{name}", "My drink is {drink}!"),
        ("？？？: 谁？", "？？？", "谁？"),
        ("x:y", None, "x:y"),
        (": y", None, ": y"),
        ("Two words: y", None, "Two words: y"),
        ("x\\: y", None, "x: y"),
        ("Felix: Lorem[char Felix.Sad pos:0.75] dolor[i] sit[-] amet.[>]", "Felix", "Lorem dolor sit amet."),
        ("Felix: one[br]two", "Felix", "one two"),
        ("コハク: お[br 2]はよう", "コハク", "おはよう"),
        ('a [print "x [y] z"] b', None, "a b"),
        ("Some text \\[ text \\] \\{not\\} \\\\", None, "Some text [ text ] {not} \\"),
        ("\\@ \\; \\# x", None, "@ ; # x"),
        ("Felix: t|#a1| and|#b2|", "Felix", "t and"),
        ("It is [if score>10]good[elseif score>5]fair[else]bad[endif] now", None, "It is good now"),
        ("<b>bold</b> <color=#fff>and</color> <o>", None, "bold and <o>"),
        ("an open [bracket", None, "an open [bracket"),
    ],
)
def test_a_line_of_text(written: str, speaker: str | None, text: str) -> None:
    (scene,) = read(written)
    assert [(line.speaker, line.text) for line in scene.lines] == [(speaker, text)]


def test_who_speaks_and_what_the_plate_shows() -> None:
    (scene,) = read("""
@voice k_001
@print "知らない人だ" author:Kohaku as:???
@append "、たぶん"
@Print text:"\\"Hi\\", he said" author:Felix wait!
A,B: はい！
Kohaku: <ruby="あかり">灯</ruby>さん♪
@print "nobody"
灯（小声）: 嘘。
""")
    assert [(line.speaker, line.display_name, line.text, line.voice) for line in scene.lines] == [
        ("Kohaku", "???", "知らない人だ", ("k_001",)),
        ("Kohaku", "Kohaku", "、たぶん", ()),
        ("Felix", "Felix", '"Hi", he said', ()),
        ("A,B", "A,B", "はい！", ()),
        ("Kohaku", "Kohaku", "灯さん♪", ()),
        (None, None, "nobody", ()),
        ("灯", "灯（小声）", "嘘。", ()),
    ]
    assert scene.lines[3].speakers == ("A", "B")
    assert [(ruby.base, ruby.text) for ruby in scene.lines[4].ruby] == [("灯", "あかり")]


def test_choices_with_blocks() -> None:
    (scene, other) = read("""
What now?[>]
@choice "Ask about color"
    Kohaku: What's your favorite color?
    @choice "Insist" lock:x
    \tKohaku: Just asking.

        Yuko.Angry: It is!
    @choice Give
        @goto .Other
    Yuko: Magenta.
@char Yuko
; still the same choice
@choice "Keep silent"
    ...
@choice handler:ButtonArea button:Home goto:#Other
After all.
@choice "Another" goto:Script002
@choice "And another" goto:.Other
@stop
@choice "Go on"
@stop
Went on.
# Other
x
""")
    assert told(scene) == [
        ("", "narration", "What now?"),
        ("1.1", "choice", "Ask about color"),
        ("1.1", "Kohaku", "What's your favorite color?"),
        ("1.1/1.1", "choice", "Insist"),
        ("1.1/1.1", "Kohaku", "Just asking."),
        ("1.1/1.1", "Yuko", "It is!"),
        ("1.1/1.2", "choice", "Give"),
        ("1.1", "Yuko", "Magenta."),
        ("1.2", "choice", "Keep silent"),
        ("1.2", "narration", "..."),
        ("", "narration", "After all."),
        ("2.1", "choice", "Another"),
        ("2.2", "choice", "And another"),
        ("3.1", "choice", "Go on"),
        ("", "narration", "Went on."),
    ]
    assert scene.choices == [
        Choice("Ask about color"),
        Choice("Insist"),
        Choice("Give", "Other"),
        Choice("Keep silent"),
        Choice("Another"),
        Choice("And another", "Other"),
        Choice("Go on"),
    ]
    assert (scene.next, other.scene) == (["Other"], "Other")


def test_conditions_by_indentation() -> None:
    assert only("""
@if score>10
    Good.
    @if a
        Very.
    @else
        Fair.
    Still good.
@elseif score>5
\tFair.
@else
    Bad.
After.
@unless b
    Not b.
@if silent
    @set y=1
Heard by all.
@random
    One.
    @set x=1
    Two: or so.
    @if c
        Three.
        And more.
Done.
@if d
Not indented, so nothing tells where it ends.
""") == [
        ("1.1", "narration", "Good."),
        ("1.1/1.1", "narration", "Very."),
        ("1.1/1.2", "narration", "Fair."),
        ("1.1", "narration", "Still good."),
        ("1.2", "narration", "Fair."),
        ("1.3", "narration", "Bad."),
        ("", "narration", "After."),
        ("2.1", "narration", "Not b."),
        ("", "narration", "Heard by all."),
        ("4.1", "narration", "One."),
        ("4.3", "Two", "or so."),
        ("4.4/1.1", "narration", "Three."),
        ("4.4/1.1", "narration", "And more."),
        ("", "narration", "Done."),
        ("5.1", "narration", "Not indented, so nothing tells where it ends."),
    ]


def test_conditions_that_end_with_endif() -> None:
    losses = Losses()
    assert only(
        """
@if score>10
Good.
\tVery.
  @if a
Inner.
@choice "Yes" goto:.x
@choice "No"
@endif
@else
\tBad.
@endif
After.
@endif
""",
        losses,
    ) == [
        ("1.1", "narration", "Good."),
        ("1.1", "narration", "Very."),
        ("1.1/1.1", "narration", "Inner."),
        ("1.1/1.1/1.1", "choice", "Yes"),
        ("1.1/1.1/1.2", "choice", "No"),
        ("1.2", "narration", "Bad."),
        ("", "narration", "After."),
    ]
    assert losses.warnings == ["Prologue.nani, line 14: `@endif` without its `@if`"]


def test_where_scripts_lead() -> None:
    files = [
        memory_file(
            "Chapter/A.nani",
            b"x\n@goto B\n# L\ny\n@gosub B.M\n@goto b#N if:q\n# End\nz\n@stop\n# Z\nq",
        ),
        memory_file(
            "B.nani", b"# M\nm\n@return\n# N\nn\n@goto Chapter/A#L\n# N\nagain\n[goto .M]text\n@goto {v}\n"
        ),
        memory_file("one/C.nani", b"@goto D\n"),
        memory_file("one/D.nani", b"d\n@goto A.Nowhere\n"),
        memory_file("two/D.nani", b"d\n"),
    ]
    scenes = {(s.file, s.scene): s.next for s in naninovel.read(files, ReadOptions(), Losses())}
    assert scenes == {
        ("Chapter/A.nani", ""): ["B.nani#"],
        ("Chapter/A.nani", "L"): ["B.nani#M", "B.nani#N", "End"],
        ("Chapter/A.nani", "End"): [],
        ("Chapter/A.nani", "Z"): [],
        ("B.nani", ""): ["M"],
        ("B.nani", "M"): [],
        ("B.nani", "N"): ["Chapter/A.nani#L"],
        ("B.nani", "N~2"): ["M"],
        ("one/D.nani", ""): ["Chapter/A.nani#Nowhere"],
        ("two/D.nani", ""): [],
    }


def test_what_is_skipped_is_counted() -> None:
    losses = Losses()
    script = '{name}\n[i]\n\n@choice goto:.x\n@print ""\nA: 「」\n@toast "Saved it."\n@save\nx\n'
    assert only(script, losses) == [("", "narration", "x")]
    assert losses.skipped == Counter({"empty text": 2, "an expression alone": 1, "a choice without text": 1})
    assert losses.unknown == Counter({"@toast": 1})
    assert (losses.seen, losses.emitted) == (5, 1)


def test_endless_nesting_is_one_error() -> None:
    choices = "\n".join("\t" * depth + "@choice x" for depth in range(200))
    for deep in ("@if a\n" * 200, choices):
        with pytest.raises(ScriptError, match="64 deep") as caught:
            read(deep)
        assert caught.value.line == 65


def test_its_files_are_told_apart() -> None:
    assert naninovel.sniff("a/B.nani", b"; c\n@back Room\n") > 0.9
    assert naninovel.sniff("a.nani", "コハク: おはよう".encode()) > 0.9
    assert naninovel.sniff("a.nani", b"text") == 0.6
    assert naninovel.sniff("a.txt", b"@back Room\n") == 0


_PIECES = st.sampled_from(
    [
        "# A", "@choice ", "@if x", "@else", "@endif", "@random", "@goto .A", "@stop", "@print ", "@",
        '"text"', "goto:#A", "Kohaku: ", "灯: 你好", "[i]", "[br]", "[if x]", "[else]", "[endif]", "[goto A]",
        "[", "]", "{x}", "{", "}", "|#a|", "|#", "\\", ":", "text", "    ", "\t", "\n", "\n", "\n", ";", "😀",
        "<b>", "!",
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
        assert len({scene.scene for scene in scenes}) == len(scenes)
        for scene in scenes:
            assert [line.index for line in scene.lines] == list(range(len(scene.lines)))
            assert all(line.text for line in scene.lines)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_scenes_or_one_error(data: bytes) -> None:
    with contextlib.suppress(ScriptError):
        list(naninovel.read([memory_file("a.nani", data)], ReadOptions(), Losses()))
