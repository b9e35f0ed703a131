"""KAG3: who speaks by a work's conventions, where messages end, how scenes lead to one another."""

import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.engines import ReadOptions, kag, tyrano
from dataset_builder.errors import DatasetError, ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Line, Ruby, Scene
from dataset_builder.work import memory_file, open_work
from tests.conftest import ROOT

TESTS = ROOT.parent / "shared" / "corpora" / "kag3_tests_sjis"


def read(*texts: str | bytes, losses: Losses | None = None, **options: object) -> list[Scene]:
    """The scenes of files `a.ks`, `b.ks`, … in Shift-JIS."""
    files = [
        memory_file(f"scenario/{chr(97 + n)}.ks", text if isinstance(text, bytes) else text.encode("cp932"))
        for n, text in enumerate(texts)
    ]
    return list(kag.read(files, ReadOptions(work="灯", **options), losses or Losses()))  # type: ignore[arg-type]


def lines(*texts: str, losses: Losses | None = None, **options: object) -> list[Line]:
    return [line for scene in read(*texts, losses=losses, **options) for line in scene.lines]


def said(line: Line) -> tuple[str, str | None, str | None, str]:
    return line.kind, line.speaker, line.display_name, line.text


# --- one message after another


def test_a_scene() -> None:
    (scene,) = read(
        "*start|第一章　朝\n"
        "@bg storage=station\n"
        "　雨が降っている。[p]\n"
        "【灯】\n"
        "「おはよう、[ruby text=そうた char=2]颯太くん。\n"
        "　よく眠れた？」[p]\n"
        ";（まだ誰も見ていない）[p]\n"
        "【颯太】（まだ眠い……）[p]\n",
        language="ja",
    )
    assert (scene.work, scene.file, scene.scene, scene.title, scene.language) == (
        "灯",
        "scenario/a.ks",
        "start",
        "第一章　朝",
        "ja",
    )
    assert [said(line) for line in scene.lines] == [
        ("narration", None, None, "雨が降っている。"),
        ("speech", "灯", "灯", "おはよう、颯太くん。よく眠れた？"),
        ("thought", "颯太", "颯太", "まだ眠い……"),
    ]
    second = scene.lines[1]
    assert (second.index, second.source.file, second.source.line) == (1, "scenario/a.ks", 4)
    assert second.ruby == (Ruby("颯太", "そうた"),)
    assert second.raw == "【灯】\n「おはよう、[ruby text=そうた char=2]颯太くん。\n　よく眠れた？」"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("一。[l]二。[p]", ["一。二。"]),  # a pause inside a line
        ("一。[l]\n二。[p]", ["一。", "二。"]),  # a click at the end of a line
        ("一。[l][r]二。[r][l]三。", ["一。", "二。", "三。"]),
        ("一。\\\n二。[cm]三。", ["一。二。", "三。"]),
        ("一。[np]二。[pcms]三。\n@hitret\n四。[wvl]", ["一。", "二。", "三。", "四。"]),
        ("good\nmorning[p]", ["good morning"]),
        ("お\n　はよう[p]", ["おはよう"]),
        ("[[笑]♪[p]", ["[笑]♪"]),
        ("\t\t@cm\n\t一。[p]", ["一。"]),
        ("[ch text=一][hch text=12]月[graph storage=h alt=♪][p]", ["一12月♪"]),
        ("一。[ch cond=false text=見えない][p]", ["一。"]),
        ("[font size=\"]\" color='[']一。[resetfont][p]", ["一。"]),
        ("[link]一[endlink]二[p]", ["一二"]),  # leads nowhere, so it is text
        (
            "[font face=It's]一。[font face=Don't x=1]二。[p]",
            ["一。二。"],
        ),  # a quote inside a value is a letter
        ('[ch text="`"["]一[p]', ['"[一']),  # a backquote makes the next one a letter
        ("[eval exp=f.a[0]]一。[p]", ["]一。"]),  # KAG3 balances no brackets
    ],
)
def test_where_a_message_ends(text: str, expected: list[str]) -> None:
    assert [line.text for line in lines(text)] == expected


def test_empty_messages_and_voices_without_text_are_counted() -> None:
    losses = Losses()
    found = lines("「」[p]\n[voice storage=v1][p]\n[p][p]\n　[p]\n【灯】「」[p]\nはい。[p]", losses=losses)
    assert [line.text for line in found] == ["はい。"]
    assert losses.as_dict()["skipped"] == {"empty text": 2, "voice without text": 1}
    assert (losses.seen, losses.emitted) == (4, 1)


def test_speech_and_what_is_told_after_it() -> None:
    found = lines(
        "【灯】「あ」と灯は言った。[p]\n"
        "【灯】「い」\n灯は笑った。[p]\n"
        "「う」\n「え」\n（お）[p]\n"
        "【灯】「か」「き」[p]\n"
    )
    assert [said(line) for line in found] == [
        ("speech", "灯", "灯", "「あ」と灯は言った。"),
        ("speech", "灯", "灯", "い"),
        ("narration", None, None, "灯は笑った。"),
        ("speech", None, None, "う"),
        ("speech", None, None, "え"),
        ("thought", None, None, "お"),
        ("speech", "灯", "灯", "「か」「き」"),
    ]


def test_variables_stay_as_their_names() -> None:
    found = lines(
        "[emb exp=f.name]さん、[emb exp=\"f.day + '日目'\"]。[emb exp=\"'[p]'\"][emb exp=f.x=1][p]\n"
        "【[emb exp=f.name]】「僕？」[p]\n"
        "[emb exp=\"Array.split(/,/, f.names)[0].replace('まだ長い', 'もっと長い').trim().length\"][p]\n"
    )
    assert [said(line)[1:] for line in found] == [
        (None, None, "{name}さん、{day}日目。[p]"),
        ("{name}", "{name}", "僕？"),
        (None, None, "{…}"),
    ]


# --- who speaks


@pytest.mark.parametrize(
    ("text", "speaker", "shown"),
    [
        ("【灯】「あ」", "灯", "灯"),
        ("【灯（小声）】「あ」", "灯", "灯（小声）"),
        ("【　灯　】「あ」", "灯", "灯"),
        ("【灯＠？？？】「あ」", "灯", "？？？"),
        ("【灯@少女】「あ」", "灯", "少女"),
        ("【灯/少女】「あ」", "灯", "少女"),
        ("【？？？】「あ」", "？？？", "？？？"),
        ("[ns]【灯】[nse]「あ」", "灯", "灯"),
        ("[nm t=灯 s=v01]「あ」", "灯", "灯"),
        ("[nm t=？？？ rt=灯]「あ」", "灯", "？？？"),
        ("[名前 id=【灯】 file=v]「あ」", "灯", "灯"),
        ("[name text=灯]「あ」", "灯", "灯"),
        ("[cn name=灯]「あ」", "灯", "灯"),
        ("[speaker name=灯]「あ」", "灯", "灯"),
        ("@Talk name=灯 voice=v01\n「あ」\n@Hitret", "灯", "灯"),
        ("[【灯】 voice=v01]「あ」", "灯", "灯"),
        ("#灯\n「あ」", "灯", "灯"),
        ("[current layer=message1][er]灯[current layer=message0]「あ」", "灯", "灯"),
    ],
)
def test_conventions(text: str, speaker: str, shown: str) -> None:
    (line,) = lines(text)
    assert said(line) == ("speech", speaker, shown, "あ")


def test_a_name_lasts_until_the_page_ends() -> None:
    found = lines("[nm t=灯]一。[l][r]二。[p]\n三。[p]\n【灯】四。[wveh]五。[p]")
    assert [(line.speaker, line.text) for line in found] == [
        ("灯", "一。"),
        ("灯", "二。"),
        (None, "三。"),
        ("灯", "四。"),
        (None, "五。"),
    ]


def test_two_names_on_one_page() -> None:
    found = lines("【灯】「あ」[r]【凛】「い」[r]【灯】う[p]【第一章】[p]")
    assert [(line.speaker, line.text) for line in found] == [
        ("灯", "あ"),
        ("凛", "い"),
        ("灯", "う"),
        (None, "【第一章】"),
    ]


def test_a_slash_is_two_people_where_both_have_plates() -> None:
    found = lines("【凛】「あ」[p]【灯/凛】「い」[p]【灯＆店長】「う」[p]【灯/少女】「え」[p]")
    assert [line.speakers for line in found] == [("凛",), ("灯", "凛"), ("灯", "店長"), ("灯",)]


def test_a_pseudo_name_is_a_thought() -> None:
    (line,) = lines("@Talk name=心の声\n困ったな。\n@Hitret")
    assert said(line) == ("thought", None, None, "困ったな。")


def test_voices() -> None:
    found = lines(
        "[nm t=灯 s=aka01]「あ」[p]\n"
        "[voice storage=rin/002.ogg]【凛】「い」[p]\n"
        "[playse storage=se/door01.ogg]【凛】「う」[p]\n"
        "[playse storage=v0003.ogg buf=1][playse storage=v0004.ogg buf=1]【凛】「え」[p]\n"
    )
    assert [line.voice for line in found] == [("aka01",), ("rin/002.ogg",), (), ("v0004.ogg",)]


def test_macros_say_who_speaks_in_whatever_file_they_are() -> None:
    macros = (
        "[macro name=セリフ][cm][voice storage=%v][ch text=【][emb exp=mp.who][ch text=】][endmacro]\n"
        "[macro name=akari][nm t=灯][endmacro]\n"
        "[macro name=plate][current layer=message1][er][emb exp=mp.n][current layer=message0][endmacro]\n"
        "[macro name=rb][ruby text=%r char=%n|1][ch text=%t][endmacro]\n"
        "[macro name=fin][l][r][wait time=10][p][endmacro]\n"
        ";[macro name=commented][nm t=誰か][endmacro]\n"
    )
    story = (
        "[セリフ who=灯 v=a1]「あ」[p]\n"
        "[akari]「い」[p]\n"
        "@plate n=凛\n「[rb t=双葉 r=ふたば n=2]へ」[fin]う[fin]\n"
        "[commented]え[p]\n"
    )
    losses = Losses()
    found = lines(story, macros, losses=losses)
    assert [(line.speaker, line.text, line.voice) for line in found] == [
        ("灯", "あ", ("a1",)),
        ("灯", "い", ()),
        ("凛", "双葉へ", ()),
        (None, "う", ()),
        (None, "え", ()),
    ]
    assert found[2].ruby == (Ruby("双葉", "ふたば"),)
    assert losses.unknown == {"commented": 1}


def test_a_macro_takes_all_arguments_of_another_and_its_own_name_is_the_engines() -> None:
    found = lines(
        "[macro name=e][emb *][endmacro][macro name=p][l][p][endmacro]\n"
        "[macro name=say][nm *][ch text=%text|……][endmacro]\n"
        "[e exp=f.x]です[p]二[p]\n[say t=灯][p][say t=凛 text=はい][p]"
    )
    assert [(line.speaker, line.text) for line in found] == [
        (None, "{x}です"),
        (None, "二"),
        ("灯", "……"),
        ("凛", "はい"),
    ]


def test_macros_inside_one_another_end() -> None:
    losses = Losses()
    text = "[macro name=a][b]あ[b][endmacro][macro name=b][a][a]い[endmacro]\n[a][p]\n"
    text += (
        "".join(f"[macro name=m{n}]{f'[m{n + 1}]' * 10}う[endmacro]\n" for n in range(12))
        + "[m0][p]おわり[p]"
    )
    found = lines(text, losses=losses)
    assert found[-1].text == "おわり"
    assert losses.skipped["a macro inside too many others"] > 0


def test_a_users_rules_come_first() -> None:
    found = lines(
        "◆灯：「あ」[p]\n[serif actor=凛 vo=v1 plate=？？？]「い」[fin]（うん）[p]\n"
        "店長「う」[p]\n他人「え」[p]\n"
        "[opt caption=行く to=*x][s]\n*x\nお[p]",
        speakers=(
            "line:◆{name}：",
            "tag:serif:actor:vo:plate",
            "end:fin",
            "choice:opt:caption:to",
            "thought:地",
        ),
        names=("店長",),
    )
    assert [(line.kind, line.speaker, line.display_name, line.text) for line in found] == [
        ("speech", "灯", "灯", "あ"),
        ("speech", "凛", "？？？", "い"),
        ("thought", None, None, "うん"),
        ("speech", "店長", "店長", "う"),
        ("narration", None, None, "他人「え」"),
        ("choice", None, None, "行く"),
        ("narration", None, None, "お"),
    ]
    assert found[1].voice == ("v1",)
    (line,) = lines("{灯}>（あ）[p]", speakers=("line:{{name}}>（",))
    assert said(line) == ("thought", "灯", "灯", "あ")


@pytest.mark.parametrize(
    "rule",
    ["", "灯", "tag", "tag:nm", "tag:nm:", "tag::t", "line:", "line:名", "line:{name}", "line:{name}{name}：",
     "end:", "end:a:b", "choice:sel", "thought:", "regex:(a+)+", "tag:a:b:c:d:e"],
)  # fmt: skip
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(DatasetError, match=r"is no rule"):
        lines("あ[p]", speakers=(rule,))


# --- scenes


def test_labels_that_something_leads_to_open_scenes_and_others_mark_places() -> None:
    scenes = read(
        "*p1|第一章\n一。[p]\n*p2|\n二。[p]\n*|第二章\n三。[p]\n"
        "*fork|分かれ道\n四。[p]\n"
        "[link target=*left]左[endlink][r]\n"
        "[link storage=b.ks target=*right]右へ[font size=9]行く[endlink]\n[s]\n"
        "*left\n五。[p]\n@jump target=*fork cond=f.again\n六。[p]\n@jump storage=B.ks\nここには来ない。[p]\n"
        "*never\n七。[p]\n",
        "八。[p]\n*right\n九。[p]\n[return]\n",
    )
    assert [(s.file, s.scene, s.title, [line.text for line in s.lines], s.next) for s in scenes] == [
        ("scenario/a.ks", "p1", "第一章", ["一。", "二。", "三。"], ["fork"]),
        ("scenario/a.ks", "fork", "分かれ道", ["四。", "左", "右へ行く"], []),
        ("scenario/a.ks", "left", "", ["五。", "六。"], ["fork", "scenario/b.ks#"]),
        ("scenario/a.ks", "left@17", "", ["ここには来ない。"], ["never"]),
        ("scenario/a.ks", "never", "", ["七。"], []),
        ("scenario/b.ks", "", "", ["八。"], ["right"]),
        ("scenario/b.ks", "right", "", ["九。"], []),
    ]


def test_choices_are_lines_in_arms_of_their_own() -> None:
    (scene,) = read("行く？[p]\n[sel01 text=はい target=*yes][sel01 text=いいえ target=*no]\n[s]\n")
    assert [(line.kind, line.text, line.branch) for line in scene.lines] == [
        ("narration", "行く？", ""),
        ("choice", "はい", "1.1"),
        ("choice", "いいえ", "1.2"),
    ]
    assert scene.choices == [Choice("はい", "yes"), Choice("いいえ", "no")]
    assert scene.lines[1].raw == "[sel01 text=はい target=*yes]"
    (scene,) = read(
        "@AddSelect text=右 target=*r storage=b.ks\n@exlink txt=左 target=*l\n"
        "@seladd text=&f.where target=&f.t\n[s]\n"
    )
    assert scene.choices == [Choice("右", "b.ks#r"), Choice("左", "l"), Choice("{where}", "")]


def test_pictures_to_click_on_lead_on() -> None:
    losses = Losses()
    scenes = read(
        "はじめ。[p]\n[button graphic=s target=*start][button graphic=l role=load target=*x]\n"
        "[button graphic=b fix=true target=*y][button text=設定 target=*config][s]\n"
        "*start\nあ[p]\n*config\nい[p]",
        losses=losses,
    )
    assert scenes[0].next == ["start"]
    assert scenes[0].choices == [Choice("設定", "config")]
    assert losses.skipped == {"choice without words": 1}


def test_conditions_have_branches() -> None:
    losses = Losses()
    (scene,) = read(
        "[if exp=f.a]\n一。[p]\n[if exp=f.b]二。[p][else]三。[p][endif]\n"
        "[elsif exp=f.c]\n四。[p]\n[endif]\n五。[p]\n"
        "君は[if exp=f.d]強[else]弱[endif]い。[p]\n"
        "[ignore exp=f.e]六。[p][endignore]\n[if exp=f.f]七。[endif]八。[p][else][endif][elsif exp=1]",
        losses=losses,
    )
    assert [(line.text, line.branch) for line in scene.lines] == [
        ("一。", "1.1"),
        ("二。", "1.1/1.1"),
        ("三。", "1.1/1.2"),
        ("四。", "1.2"),
        ("五。", ""),
        ("君は強い。", ""),
        ("六。", ""),
        ("七。", "3.1"),
        ("八。", ""),
    ]
    assert losses.skipped == {"another wording inside a message": 1}


def test_a_scene_ends_where_every_arm_jumps_away() -> None:
    scenes = read(
        "あ[p]\n[if exp=f.x]\n@jump target=*x\n[else]\nい[p]\n@jump target=*y\n[endif]\nう[p]\n"
        "*x\nえ[p]\n*y\nお[p]\n"
        "@call target=*x\n[if exp=f.x]\n@jump target=*x\n[endif]\nか[p]\n*z\nき[p]\n@jump target=*z"
    )
    assert [(s.scene, [line.text for line in s.lines], s.next) for s in scenes] == [
        ("", ["あ", "い"], ["x", "y"]),
        ("@8", ["う"], ["x"]),
        ("x", ["え"], ["y"]),
        ("y", ["お", "か"], ["x", "z"]),
        ("z", ["き"], ["z"]),
    ]


def test_characters_and_macros_on_one_line_and_in_comments() -> None:
    found = lines(
        ";先頭の注釈\n[macro name=a][nm t=灯][endmacro][macro name=b][nm t=凛][endmacro]\n"
        "\t;[macro name=c][nm t=誰][endmacro][macro name=d][nm t=誰][endmacro]\n"
        "[a]一[p][b]二[p][c]三[p][d]四[p]",
    )
    assert [line.speaker for line in found] == ["灯", "凛", None, None]


def test_a_first_label_without_a_name() -> None:
    scenes = read("一[p][s]\n*|題\n二[p]\n*|\n三[p]")
    assert [(s.scene, s.title, len(s.lines)) for s in scenes] == [("", "", 1), (":2", "題", 2)]


def test_repeated_labels_are_numbered_as_kag_does() -> None:
    scenes = read("@jump target=*a\n*a\n一[p][s]\n*a\n二[p][s]\n*a|題\n三[p][s]\n*|&f.title\n四[p]")
    assert [(s.scene, s.title) for s in scenes] == [("a", ""), ("a:2", ""), ("a:3", "題"), ("a:4", "")]


def test_a_scene_without_lines_is_kept_where_it_connects_others() -> None:
    scenes = read(
        "あ[p]\n@jump storage=b.ks", "*top\n@jump target=*end\n*end\n@jump storage=c.ks\n*idle\n", "い[p]"
    )
    assert [(s.file[-4:], s.scene, s.next) for s in scenes] == [
        ("a.ks", "", ["scenario/b.ks#"]),
        ("b.ks", "", ["top"]),
        ("b.ks", "end", ["scenario/c.ks#"]),
        ("c.ks", "", []),
    ]


def test_code_and_macros_are_no_text() -> None:
    losses = Losses()
    found = lines(
        "@iscript\n// 【誰か】「これは台詞ではない」\nf.text = '*label';\n@endscript\n一。[p]\n"
        "[iscript]\n「これも」\n[endscript]\n二。[p]\n[macro name=m]\n「まだ」[p]\n[endmacro]\n三。[p]\n",
        losses=losses,
    )
    assert [line.text for line in found] == ["一。", "二。", "三。"]
    assert losses.warnings == []
    assert losses.unknown == {}


# --- files


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp932"])
def test_encodings(encoding: str) -> None:
    text = "*start|朝\r\n【灯】「おはよう、颯太くん」[p]\r\n".encode(encoding)
    assert [said(line) for line in read(text)[0].lines] == [("speech", "灯", "灯", "おはよう、颯太くん")]


def test_kirikiris_crypt() -> None:
    plain = "【灯】「おはよう」[p]\n"
    units = [ord(c) ^ (((ord(c) & 0xFE) << 8) ^ 1) & 0xFFFF if ord(c) >= 0x20 else ord(c) for c in plain]
    data = b"\xfe\xfe\x00\xff\xfe" + b"".join(unit.to_bytes(2, "little") for unit in units)
    assert read(data)[0].lines[0].text == "おはよう"
    assert kag.sniff("a.ks", data) >= 0.9


def test_a_broken_file_among_others_is_counted() -> None:
    losses = Losses()
    scenes = read("あ[p]", b"\xff\xfe\x00", "い[p]", losses=losses)
    assert [scene.lines[0].text for scene in scenes] == ["あ", "い"]
    assert losses.skipped == {"file cannot be read": 1}
    with pytest.raises(ScriptError):
        read(b"\xff\xfe\x00")
    with pytest.raises(ScriptError):
        read("あ[p]", b"\xff\xfe\x00", lenient=False)


def test_what_never_ends_is_told_and_the_rest_is_read() -> None:
    losses = Losses()
    found = lines(
        "一。[font size=20\n二。[p]",
        "三。[p]\n@iscript\n「四」[p]",
        "五。[p][macro name=m]六。[p]",
        losses=losses,
    )
    assert [line.text for line in found] == ["一。二。", "三。", "五。"]
    assert [warning.partition(": ")[0] for warning in losses.warnings] == [
        "scenario/a.ks:1",
        "scenario/b.ks:2",
        "scenario/c.ks:1",
    ]
    assert losses.unknown == {"[": 1}


@pytest.mark.parametrize(
    ("name", "head", "mine"),
    [
        ("a.ks", "*start|第一章\n【灯】「おはよう」[p]", True),
        ("scenario/a.KS", '@eval exp="kag.x = void"\n[current layer=message1]\n', True),
        ("a.ks", ";\n[nm t=灯]「あ」[pcms]\n", True),
        ("a.ks", "#灯\nおはよう[p]\n[chara_show name=akari]\n", False),
        ("a.ks", 'SET x TO 1.\nPRINT "hello".\n', False),
        ("a.txt", "【灯】「おはよう」[p]", False),
        ("a.ks.json", "{}", False),
        ("a.ks", "", False),
    ],
)
def test_it_tells_its_files_from_tyranoscripts(name: str, head: str, mine: bool) -> None:
    ours, theirs = kag.sniff(name, head.encode()), tyrano.sniff(name, head.encode())
    assert (ours > theirs and ours >= 0.6) is mine


def test_shift_jis_is_kirikiris() -> None:
    head = "#灯\nおはよう[p]\n[chara_show name=akari]\n".encode("cp932")
    assert kag.sniff("a.ks", head) >= 0.9
    assert tyrano.sniff("a.ks", head) == 0


# --- whatever comes


TOKENS = """
[p] [l] [r] [cm] [else] [endif] [s] [endlink] [m] [endmacro] 【灯】 「 」 あ \\ [ ] " ' ` @ & % ;
"""
PIECES = (
    *TOKENS.split(),
    *("\n", "　", "[if exp=a]", "[elsif exp=b]", "[jump target=*a]", "[link target=*a]", "[macro name=m]"),
    *("\n*a|題\n", "\n*|\n", "\n#灯\n", "\n@iscript\n", "\n@endscript\n", "[nm t=灯]", "[voice storage=v]"),
    *("[sel01 text=あ target=*a]", "[ruby text=か]", "[emb exp=f.x]"),
    *("[current layer=message1]", "[current layer=message0]"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
def test_any_mixture_is_read_and_accounted_for(text: str) -> None:
    losses = Losses()
    scenes = list(kag.read([memory_file("a.ks", text.encode())], ReadOptions(), losses))
    assert losses.emitted == sum(len(scene.lines) for scene in scenes)
    assert losses.seen == losses.emitted + sum(losses.skipped.values())
    names = [scene.scene for scene in scenes]
    assert len(names) == len(set(names))
    for scene in scenes:
        assert [line.index for line in scene.lines] == list(range(len(scene.lines)))
        assert all(line.text and line.text == line.text.strip() for line in scene.lines)
        assert len(scene.choices) == sum(line.kind == "choice" for line in scene.lines)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    kag.sniff("a.ks", data)
    with suppress(ScriptError):
        list(kag.read([memory_file("a.ks", data)], ReadOptions(), Losses()))


def test_flipped_bytes() -> None:
    good = (
        '*start|題\n[nm t=灯 s=v1]「おはよう」[l][r]\n[if exp="f.x"]あ[else]い[endif][p]\n'.encode("utf-16")
        * 3
    )
    dice = random.Random(7)
    for _ in range(300):
        data = bytearray(good)
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        cut = bytes(data[: dice.randrange(len(data))])
        with suppress(ScriptError):
            list(kag.read([memory_file("a.ks", cut)], ReadOptions(), Losses()))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[a\"" * 50_000,
        "[if exp=a]" * 30_000 + "あ[p]" + "[endif]" * 30_000,
        "「あ」い」\n" * 20_000,
        "【" * 100_000,
        "[macro name=m]" + "[ch text=あ]" * 300 + "[endmacro]" + "[m]" * 30_000,
        "[link target=*a]" + "あ[font]" * 20_000,
        "[ruby text=か char=99999999999999999999]あ" * 10_000,
        "[emb exp=\"" + "'a'+" * 20_000 + "\"]",
        "".join(f"[if exp=a][jump target=*x{n}][endif]" for n in range(10_000)),
        "".join(f"[macro name=m{n}][m{n + 1}][m{n + 1}][endmacro]" for n in range(300)) + "[m0]" * 2000,
        "[nm " + "t=a " * 50_000 + "]あ[p]",
    ],
    ids=range(12),
)  # fmt: skip
def test_large_and_deep_scripts_are_read_in_linear_time(text: str) -> None:
    """What was quadratic would take minutes here."""
    list(kag.read([memory_file("a.ks", text.encode())], ReadOptions(), Losses()))


# --- the engine's own test scenarios


@pytest.mark.corpora
def test_kags_own_scenarios() -> None:
    work = open_work(TESTS)
    files = [file for file in work.files if file.name.endswith(".ks")]
    assert len(files) == 76
    japanese = [file for file in files if not file.head.isascii()]
    assert len(japanese) == 64
    assert all(kag.sniff(file.name, file.head) > tyrano.sniff(file.name, file.head) for file in japanese)
    losses = Losses()
    scenes = list(kag.read(files, ReadOptions(), losses))
    assert not losses.skipped["file cannot be read"]
    found = [line for scene in scenes for line in scene.lines]
    assert 300 <= len(found) <= 330
    assert sum(line.kind == "choice" for line in found) == 66  # each `[link]` that leads or does something
    text = "".join(line.text for line in found if not line.source.file.endswith("unicodetest.ks"))
    assert not [c for c in text if c == "\ufffd" or "\uff61" <= c <= "\uff9f" or "\ue000" <= c <= "\uf8ff"]
    by_file = {scene.file.rpartition("/")[2]: scene for scene in scenes if scene.lines}
    assert [line.text for line in by_file["iscripttest.ks"].lines] == ["あああ"] * 5
    oven = by_file["_oven2.ks"].lines[0]
    assert oven.text == "彼らの不思議な技は電試練地山に住む舞黒羽仙人の必殺技の「廉地出陳」である。"
    assert oven.ruby[0] == Ruby("電試練地", "でんしれんじ")
