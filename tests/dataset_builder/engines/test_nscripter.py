"""NScripter: text between commands, names that the engine knows nothing of, packed scripts."""

import random
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.engines import ReadOptions, nscripter
from dataset_builder.errors import ProtectedScript, ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Line, Ruby, Scene
from dataset_builder.work import memory_file

SCRIPT = r""";mode800
; 定義
*define
numalias gold,10
stralias title,"朝の物語"
effect 10,10,500
caption "朝の物語"
defsub fadein
game

*start
bg "bg\教室.jpg",10 : wait 500
mov $20,"颯太"
　雨が降っている。@
　窓の外は暗い。\
【灯】
「おはよう、$20くん。@
　(今日/きょう)は%gold円持ってる？」\
#FF0000颯太「ううん」!w500@
#FFFFFF「そう」@
灯は笑った。\
dwave 0,"voice\aka01.wav"
[灯/aka02]「行こう！!s10」!sd@
fadein 3
select "行く",*go,
       "行かない",*stay

*go
>Let's go, 100% sure (and/or not).@
`"Really?" she asked.`\
gosub *walk
goto *end_of_day

*stay
颯太「やめておく」\
if %gold>5 goto *go : wait 10
*end_of_day
br
「また明日」/
「ね」\
end

*walk
歩く。\
return
"""


def read(
    *texts: str | bytes,
    names: Sequence[str] = (),
    known: Sequence[str] = (),
    losses: Losses | None = None,
    language: str = "",
) -> list[Scene]:
    """The scenes of `0.txt`, `1.txt`, … or of files with these `names`, in Shift-JIS; `known` are people."""
    files = [
        memory_file(name, text if isinstance(text, bytes) else text.encode("cp932"))
        for name, text in zip(names or [f"{n}.txt" for n in range(len(texts))], texts, strict=True)
    ]
    options = ReadOptions(work="灯", language=language, names=tuple(known))
    return list(nscripter.read(files, options, losses or Losses()))


def lines(*texts: str, known: Sequence[str] = (), losses: Losses | None = None) -> list[Line]:
    return [line for scene in read(*texts, known=known, losses=losses) for line in scene.lines]


def said(line: Line) -> tuple[str, str | None, str]:
    return line.kind, line.speaker, line.text


def test_a_script() -> None:
    losses = Losses()
    scenes = read(SCRIPT, losses=losses, language="ja")
    assert [(scene.work, scene.file, scene.scene, scene.language) for scene in scenes] == [
        ("灯", "0.txt", name, "ja") for name in ("start", "go", "stay", "end_of_day", "walk")
    ]
    start, go, stay, end, walk = scenes
    assert [said(line) for line in start.lines] == [
        ("narration", None, "雨が降っている。"),
        ("narration", None, "窓の外は暗い。"),
        ("speech", "灯", "おはよう、{$20}くん。今日は{gold}円持ってる？"),
        ("speech", "颯太", "ううん"),
        ("speech", None, "そう"),
        ("narration", None, "灯は笑った。"),
        ("speech", "灯", "行こう！"),
        ("choice", None, "行く"),
        ("choice", None, "行かない"),
    ]
    assert start.choices == [Choice("行く", "go"), Choice("行かない", "stay")]
    assert [line.branch for line in start.lines[-3:]] == ["", "1.1", "1.2"]
    assert start.lines[2].ruby == (Ruby("今日", "きょう"),)
    assert start.lines[6].voice == ("voice/aka01.wav", "aka02")
    assert start.lines[0].source.line == 14
    assert start.lines[3].raw == "#FF0000颯太「ううん」!w500@"
    assert [said(line) for line in go.lines] == [
        ("narration", None, "Let's go, 100% sure (and/or not)."),
        ("speech", None, '"Really?" she asked.'),
    ]
    assert [(scene.scene, scene.next) for scene in scenes] == [
        ("start", []),
        ("go", ["walk", "end_of_day"]),
        ("stay", ["go", "end_of_day"]),
        ("end_of_day", []),
        ("walk", []),
    ]
    assert [said(line) for line in (*stay.lines, *end.lines, *walk.lines)] == [
        ("speech", "颯太", "やめておく"),
        ("speech", None, "「また明日」「ね」"),
        ("narration", None, "歩く。"),
    ]
    assert losses.unknown == {"fadein": 1}
    assert losses.skipped == {}
    assert losses.emitted == 14


def test_numbered_files_are_one_script() -> None:
    scenes = read(
        "*define\ngame\n*start\n一。\\\n*walk\n",
        "二。\\\ngoto *last\n",
        "*ten\n十。\\\n*last\n終。\\\nend",
        names=["00.txt", "2.txt", "10.txt"],
    )
    assert [
        (scene.file, scene.scene, [line.text for line in scene.lines], scene.next) for scene in scenes
    ] == [
        ("00.txt", "start", ["一。"], ["2.txt#"]),
        ("2.txt", "", ["二。"], ["10.txt#last"]),
        ("10.txt", "ten", ["十。"], ["last"]),
        ("10.txt", "last", ["終。"], []),
    ]
    apart = read("*a\n一。\\", "*b\n二。\\", names=["x/0.txt", "y/1.txt"])
    assert [scene.next for scene in apart] == [[], []]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("一。@二。\\", ["一。二。"]),
        ("一。@\n二。\\", ["一。", "二。"]),
        ("お\nはよう\\", ["おはよう"]),
        (">good\n>morning\\", ["good morning"]),
        ("一/\n二。\\三。", ["一二。", "三。"]),
        ("!w100#00ff00一!d9 _二!\\", ["一 二!"]),
        ("$name%5様\\", ["{name}{%5}様"]),
        ("bg black,1 : 「あ」\\", ["あ"]),
        ('puttext "あ": wait 1', ["あ"]),
        ("一。\ntextclear\n二。", ["一。", "二。"]),
        ("一。\nbr\n二。", ["一。二。"]),
        ("wait 10 ; goto *x\n一。", ["一。"]),
        ("~\n\t一。\\\n@\n\\", ["一。"]),
    ],
)
def test_text(text: str, expected: list[str]) -> None:
    assert [line.text for line in lines(text)] == expected


@pytest.mark.parametrize(
    ("text", "speaker", "kind"),
    [
        ("【灯】「あ」\\", "灯", "speech"),
        ("　【 灯 】\n「あ」\\", "灯", "speech"),
        ("【？？？】（あ）\\", "？？？", "thought"),
        ("[灯]「あ」\\", "灯", "speech"),
        ("[灯/v01/smile]あ\\", "灯", "speech"),
        ("店長「あ」\\", "店長", "speech"),
        ("灯（小声）「あ」\\", None, "narration"),
        ("彼は「あ」\\", None, "narration"),
    ],
)
def test_names(text: str, speaker: str | None, kind: str) -> None:
    (line,) = lines(text, known=("店長",))
    assert (line.speaker, line.kind) == (speaker, kind)


def test_what_stands_before_a_bracket_again_and_again_is_a_name() -> None:
    text = (
        "灯「あ」\\\n凛「い」\\\n灯「う」@\n灯はため息をついた。\\\n彼は「え」\\\n彼は「お」\\\n"
        "灯「か」と言った。\\\n【第一章】\\\n"
    )
    assert [(line.speaker, line.text) for line in lines(text)] == [
        ("灯", "あ"),
        (None, "凛「い」"),
        ("灯", "う"),
        (None, "灯はため息をついた。"),
        (None, "彼は「え」"),
        (None, "彼は「お」"),
        ("灯", "「か」と言った。"),
        (None, "【第一章】"),
    ]


def test_choices() -> None:
    losses = Losses()
    (scene,) = read(
        'どうする？\\\nselgosub `(右/みぎ)へ`,*r,$left,*l,"",*none\n続き。\\\n'
        'selnum %1,"一","二"\nif %1=0 csel "三",*x\n四。\\',
        losses=losses,
    )
    assert [(line.kind, line.text, line.branch) for line in scene.lines] == [
        ("narration", "どうする？", ""),
        ("choice", "右へ", "1.1"),
        ("choice", "{left}", "1.2"),
        ("narration", "続き。", ""),
        ("choice", "一", "2.1"),
        ("choice", "二", "2.2"),
        ("choice", "三", "3.1"),
        ("narration", "四。", ""),
    ]
    assert scene.choices == [
        Choice("右へ", "r"),
        Choice("{left}", "l"),
        Choice("一"),
        Choice("二"),
        Choice("三", "x"),
    ]
    assert losses.skipped == {"choice without words": 1}
    assert scene.next == ["none"]


def test_what_nothing_leads_to() -> None:
    scenes = read("*a\n一。\\\n*mark\n二。\\\ngoto *a\n三。\\\ntablegoto %1,*a,*b\n*b\n四。\\\nreset")
    assert [(scene.scene, [line.text for line in scene.lines], scene.next) for scene in scenes] == [
        ("a", ["一。", "二。"], ["a"]),
        ("mark@6", ["三。"], ["a", "b"]),
        ("b", ["四。"], []),
    ]


def test_empty_text_and_voices_alone_are_counted() -> None:
    losses = Losses()
    found = lines('「」\\\ndwave 1,"v001.wav"\n\\\ndwave 2,"se\\001.wav"\n一。\\', losses=losses)
    assert [line.text for line in found] == ["一。"]
    assert losses.skipped == {"empty text": 1, "voice without text": 1}


# --- files


def locked(text: str, key: bytes, encoding: str = "cp932") -> bytes:
    return bytes(byte ^ key[n % len(key)] for n, byte in enumerate(text.encode(encoding)))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("nscript.dat", locked(SCRIPT, b"\x84")),
        ("game/NSCRIPT.DAT", locked(SCRIPT, b"\x84")),
        ("nscr_sec.dat", locked(SCRIPT, b"\x79\x57\x0d\x80\x04")),
        ("pscript.dat", locked(SCRIPT, b"\x84", "utf-8")),
        ("0.txt", SCRIPT.encode("cp932")),
        ("00.txt", SCRIPT.encode("utf-8-sig")),
        ("script.txt", SCRIPT.encode("cp932")),
        ("3.txt", SCRIPT[SCRIPT.index("*go") :].encode("cp932")),
    ],
)
def test_packed_and_plain(name: str, data: bytes) -> None:
    assert nscripter.sniff(name, data[:4096]) >= 0.6
    scenes = read(data, names=[name])
    assert scenes[-1].lines[0].text == "歩く。"
    assert nscripter.sniff("x.dat", data[:4096]) == 0


@pytest.mark.parametrize(
    "text", ["", "灯：おはよう\n凛：おはよう\n", "# Hello\n\nworld\\\n", "*start\n【灯】「おはよう」[p]\n"]
)
def test_other_text_is_not_its(text: str) -> None:
    assert nscripter.sniff("a.txt", text.encode()) == 0
    assert nscripter.sniff("nscript.dat", text.encode()) == 0


def test_chinese_builds_are_gbk() -> None:
    text = "*define\ngame\n*start\n【小灯】「今天天气真好，我们一起去学校吧。」\\\n下雨了，没有人说话。\\\n"
    (scene,) = read(text.encode("gbk"))
    assert [said(line) for line in scene.lines] == [
        ("speech", "小灯", "今天天气真好，我们一起去学校吧。"),
        ("narration", None, "下雨了，没有人说话。"),
    ]


def test_a_script_whose_key_is_elsewhere_is_named() -> None:
    assert nscripter.sniff("nscript.___", b"\0" * 64) >= 0.9
    with pytest.raises(ProtectedScript, match="key lies in the game's program"):
        read(b"\1" * 64, names=["nscript.___"])
    losses = Losses()
    (scene,) = read(b"\1" * 64, "一。\\", names=["nscript.___", "0.txt"], losses=losses)
    assert scene.lines[0].text == "一。"
    assert losses.skipped == {"file cannot be read": 1}


# --- whatever comes

PIECES = (
    *(
        "*a",
        "*define",
        "game",
        "goto *a",
        "gosub *b",
        "select ",
        '"あ"',
        ",*a",
        ",",
        "\n",
        ":",
        ";",
        "@",
        "\\",
        "/",
    ),
    *(
        "【灯】",
        "[灯/v1]",
        "灯「あ」",
        "「",
        "」",
        "あ",
        ">",
        "`",
        "(漢/か)",
        "$a",
        "%1",
        "!w1",
        "#FF0000",
        "if %1=1 ",
    ),
    *("return", "br", "textclear", 'dwave 0,"v01"', "~", "　", "x"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
def test_any_mixture_is_read_and_accounted_for(text: str) -> None:
    losses = Losses()
    scenes = read(text.encode(), losses=losses)
    assert losses.emitted == sum(len(scene.lines) for scene in scenes)
    assert losses.seen == losses.emitted + sum(losses.skipped.values())
    for scene in scenes:
        assert [line.index for line in scene.lines] == list(range(len(scene.lines)))
        assert all(line.text and line.text == line.text.strip() for line in scene.lines)
    names = [scene.scene for scene in scenes]
    assert len(names) == len(set(names))


@given(st.binary(max_size=200), st.sampled_from(["0.txt", "nscript.dat", "nscr_sec.dat", "pscript.dat"]))
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    nscripter.sniff(name, data)
    with suppress(ScriptError):
        read(data, names=[name])


def test_flipped_bytes() -> None:
    good = SCRIPT.encode("cp932")
    dice = random.Random(5)
    for _ in range(300):
        data = bytearray(good)
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        with suppress(ScriptError):
            read(bytes(data[: dice.randrange(len(data))]))


@pytest.mark.parametrize(
    "text",
    [
        "「あ」い」\n" * 10_000,
        "(" * 100_000,
        "あ(" * 50_000,
        "select " + '"あ",*a,\n' * 10_000,
        "x:" * 100_000 + "あ",
        'goto "' * 50_000,
        "あ@" * 50_000,
        "".join(f"goto *x{n}\n*x{n}\n" for n in range(10_000)),
        "".join(f"if %1=1 goto *x{n}\n" for n in range(10_000)),
    ],
    ids=range(9),
)
def test_large_scripts_are_read_in_linear_time(text: str) -> None:
    """What was quadratic would take minutes here."""
    read(text.encode())
