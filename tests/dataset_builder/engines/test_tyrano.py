"""TyranoScript: `#name`, characters and macros around them, voices, choices, code between the lines."""

import hashlib
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.engines import ReadOptions, tyrano
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Line, Ruby, Scene
from dataset_builder.work import ScriptFile, memory_file, open_work
from tests.conftest import ROOT
from tests.dataset_builder.engines.test_kag import PIECES

CORPORA = ROOT.parent / "shared" / "corpora"
GOLD = ROOT / "tests" / "dataset_builder" / "gold" / "ja_tyrano.jsonl"


def scenario(name: str, text: str) -> ScriptFile:
    return memory_file(f"data/scenario/{name}.ks", text.encode())


def read(*texts: str, losses: Losses | None = None, **options: object) -> list[Scene]:
    """The scenes of `scene1.ks`, `scene2.ks`, …"""
    files = [scenario(f"scene{number}", text) for number, text in enumerate(texts, 1)]
    return list(tyrano.read(files, ReadOptions(work="灯", **options), losses or Losses()))  # type: ignore[arg-type]


def lines(*texts: str, losses: Losses | None = None, **options: object) -> list[Line]:
    return [line for scene in read(*texts, losses=losses, **options) for line in scene.lines]


def said(line: Line) -> tuple[str, str | None, str | None, str]:
    return line.kind, line.speaker, line.display_name, line.text


def test_a_scene() -> None:
    (scene,) = read(
        "*start|朝\n"
        '[chara_new name="akari" jname="灯" storage="chara/akari/normal.png"]\n'
        "[cm  ]\n"
        "  雨が降っている。[p]\n"
        "#akari:happy\n"
        "[ruby text=そ]颯[ruby text=うた]太くん、[l]\n"
        "おはよう。[r]\n"
        "よく眠れた？[p]\n"
        "まだ眠そうだね。[p]\n"
        "#\n"
        "（うるさいな）[p]\n"
        "#?\n"
        "「こら」[p]\n",
        language="ja",
    )
    assert (scene.work, scene.file, scene.scene, scene.title, scene.language) == (
        "灯",
        "data/scenario/scene1.ks",
        "start",
        "朝",
        "ja",
    )
    assert [said(line) for line in scene.lines] == [
        ("narration", None, None, "雨が降っている。"),
        ("speech", "灯", "灯", "颯太くん、おはよう。よく眠れた？"),
        ("speech", "灯", "灯", "まだ眠そうだね。"),
        ("thought", None, None, "うるさいな"),
        ("speech", "?", "?", "こら"),
    ]
    assert scene.lines[1].ruby == (Ruby("颯太", "そうた"),)
    assert [line.source.line for line in scene.lines] == [4, 6, 9, 11, 13]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("一。[p]二。[cm]三。[er]四。[ct]五。", ["一。", "二。", "三。", "四。", "五。"]),
        ("一\n二[l][r]\n三[p]", ["一二", "三"]),  # the end of a line is not printed
        ("これは\\[p]と書く。\\\\[p]", ["これは[p]と書く。\\"]),
        ("_ good morning[p]", ["good morning"]),
        ("/*\n一。[p]\n*/\n二。/* まだ */[p]", ["二。/* まだ */"]),
        ("[iscript]\n'#灯';\n'*label';\n '[p]'\n[endscript]\n一。[p]", ["一。"]),
        ("[html]<b>太字</b>[endhtml]一。[p]\n[html]\n<p>「二」</p>\n[endhtml]\n三。", ["一。", "三。"]),
        ("[eval exp=\"f.a[0] = ']'\"][eval exp=f.b[f.c[0]] ]一。[p]", ["一。"]),
        ("[emb exp=`f.name`]さん[emb exp=\"'と' + sf.other\"][p]", ["{name}さんと{other}"]),
        ("@emb exp=f.n\nです[p]", ["{n}です"]),
        ("*/\n一。[p]", ["一。"]),
    ],
)
def test_what_is_printed(text: str, expected: list[str]) -> None:
    assert [line.text for line in lines(text)] == expected


def test_builders_wrapping() -> None:
    found = lines(
        "[_tb_system_call storage=system/_scene1.ks]\n[tb_show_message_window  ]\n"
        "[tb_start_text mode=1 ]\n#灯\nおはよう。[p]\n二つ目[_tb_end_text]\n"
        '[tb_start_tyrano_code]\n#凛\nやあ、[emb exp="f.playerName"]。[p]\n[_tb_end_tyrano_code]\n'
    )
    assert [(line.speaker, line.text) for line in found] == [
        ("灯", "おはよう。"),
        ("灯", "二つ目"),
        ("凛", "やあ、{playerName}。"),
    ]


def test_a_name_stays_until_the_next_one() -> None:
    found = lines(
        "#灯\n一。[p]\n*label|\n二。[p]\n「三」[r]と言った。[p]四。[p]\n#\n五。[p]\n"
        "# 灯 : 笑顔\n六。[p]\n#&f.name\n七。[p]"
    )
    assert [said(line) for line in found] == [
        ("speech", "灯", "灯", "一。"),
        ("speech", "灯", "灯", "二。"),
        ("speech", "灯", "灯", "三"),
        ("narration", None, None, "と言った。"),
        ("speech", "灯", "灯", "四。"),
        ("narration", None, None, "五。"),
        ("speech", "灯", "灯", "六。"),
        ("speech", "{name}", "{name}", "七。"),
    ]


def test_names_where_the_script_jumps() -> None:
    found = lines(
        "#灯\n[glink text=はい target=yes][glink text=いいえ target=no][s]\n"
        "*yes\n一。[p]\n#凛\n二。[p]\n@jump target=*end\n*no\n三。[p]\n[s]\n*unknown\n四。[p]\n*end\n五。[p]"
    )
    assert [(line.speaker, line.text) for line in found if line.kind != "choice"] == [
        ("灯", "一。"),
        ("凛", "二。"),
        ("灯", "三。"),
        (None, "四。"),
        (None, "五。"),
    ]


def test_choices() -> None:
    first, second = read(
        '#灯\nどっち？[p]\n[glink text="右" target="*right" storage="scene1.ks" x=1]\n'
        "[glink text=左 storage=other.ks]\n"
        "[button graphic=a.png storage=scene2.ks]\n[button role=save graphic=b.png]\n[s]\n"
        "*right\n[link target=*right]も[font size=40]う[resetfont]一度[endlink][r]\n[link]飾り[endlink][p]\n"
    )
    assert [(line.kind, line.speaker, line.text, line.branch) for line in first.lines] == [
        ("speech", "灯", "どっち？", ""),
        ("choice", None, "右", "1.1"),
        ("choice", None, "左", "1.2"),
    ]
    assert first.choices == [Choice("右", "right"), Choice("左", "other.ks#")]
    assert first.next == ["scene2.ks#"]
    assert second.choices == [Choice("もう一度", "right")]
    assert [line.text for line in second.lines] == ["もう一度", "飾り"]


def test_files_are_found_with_and_without_folders() -> None:
    files = [
        scenario("a", "あ[p]\n@jump storage=sub/b.ks target=*x"),
        scenario("sub/b", "*x\nい[p]\n[call storage=./c.ks]\n@jump storage=&f.next"),
        scenario("sub/c", "う[p]\n@jump storage=missing.ks"),
    ]
    scenes = list(tyrano.read(files, ReadOptions(), Losses()))
    assert [(scene.file, scene.next) for scene in scenes] == [
        ("data/scenario/a.ks", ["data/scenario/sub/b.ks#x"]),
        ("data/scenario/sub/b.ks", ["x"]),
        ("data/scenario/sub/b.ks", ["data/scenario/sub/c.ks#"]),
        ("data/scenario/sub/c.ks", ["missing.ks#"]),
    ]


# --- macros and characters

MACROS = """
; これを呼ぶと名前と立ち絵が出る
[macro name="m_talk"]
  [iscript]
    tf.who = clone(mp);
    tf.who.shown = nameOf(tf.who.id, tf.who.name);
  [endscript]
  [if exp="'face' in tf.who"]
    [chara_mod name="&tf.who.id" face="&tf.who.face"]
  [else]
    [chara_mod name="&tf.who.id"]
  [endif]
  # &tf.who.shown
[endmacro]

[macro name="m_none"]
  #
  [position frame=none.png]
[endmacro]

[macro name="call_name"]
  [mark color="&tf.color"]
  [emb exp="mp.of"]
  [endmark]
[endmacro]

[macro name="rb"][ruby text="%t"][endmacro]
[macro name="serif"]
[if exp="mp.name"]
#%name
[else]
#
[endif][p_voice file="%v"][endmacro]
[macro name="p_voice"][playse storage="%file" buf="1"][endmacro]
[macro name="next_page"][p][cm][endmacro]
"""
CAST = """
*register
[iscript]
  tf.id = CHARACTER_ID_FUTABA;
  tf.jname = '双葉さん'; // 表示名
[endscript]
[call target="*make"]
[return]
*register2
[iscript]
  const CHARACTER_ID_RIN = 'rin';
  tf.id = CHARACTER_ID_RIN
  tf.jname = "凛";
[endscript]
[call target="*make"]
[return]
*make
[chara_new name="&tf.id" storage="&tf.path" jname="&tf.jname"]
[return]
"""


def test_a_mask_is_resolved_by_the_id_that_the_macro_is_given() -> None:
    losses = Losses()
    found = lines(
        '[m_talk name="？？？" id="futaba" face="笑顔"]\n私は……。[p]\n'
        '[m_talk name="双葉さん" face="笑顔"]\n双葉です。[p]\n'
        '[m_talk id=rin]\n凛だよ。[p]\n[m_talk name="？？？" id="unheard"]\n誰だ。[p]\n'
        '[m_talk name=謎の声]\nふふ。[p]\n[m_talk name="女の子" id=rin]\nまた私。[p]\n[m_none]\n静かだ。[p]\n'
        "[m_talk]\nはて。[p]\n",
        MACROS,
        CAST,
        losses=losses,
    )
    assert [said(line)[1:] for line in found] == [
        ("双葉さん", "？？？", "私は……。"),
        ("双葉さん", "双葉さん", "双葉です。"),
        ("凛", "凛", "凛だよ。"),
        ("unheard", "？？？", "誰だ。"),
        ("謎の声", "謎の声", "ふふ。"),
        ("凛", "女の子", "また私。"),
        (None, None, "静かだ。"),
        ("{who.shown}", "{who.shown}", "はて。"),
    ]
    assert not losses.unknown


def test_what_macros_print() -> None:
    found = lines(
        '[serif name=灯 v="voice/a1.ogg"]'
        'ねえ、[call_name of="&f.target"]は[rb t="おおかみ"]狼だよ。[next_page]\n'
        '[serif v="voice/x.ogg"]風の音。[next_page][call_name of=凛]です。[p]\n',
        MACROS,
    )
    assert [(line.speaker, line.text, line.voice) for line in found] == [
        ("灯", "ねえ、{target}は狼だよ。", ("voice/a1.ogg",)),
        (None, "風の音。", ("voice/x.ogg",)),
        (None, "凛です。", ()),
    ]
    assert found[0].ruby == (Ruby("狼", "おおかみ"),)
    assert found[0].raw.endswith('[call_name of="&f.target"]は[rb t="おおかみ"]狼だよ。')


def test_a_recording_tells_who_speaks_where_the_plate_does_not() -> None:
    found = lines(
        '#？？？\n[playse storage="chara/rin/001_凛_ねえ.ogg"]\nねえ。[p]\n'
        '#\n[add_voice storage="chara/rin/x.ogg"]\nこっち。[p]\n'
        '#灯\n[playse storage="chara/rin/002.ogg"]\n違うよ。[p]\n'
        "[if exp=f.a]\n[playse storage=v/01.ogg buf=1]\n[else]\n[playse storage=v/02.ogg buf=1]\n[endif]\n"
        "どちらか。[p]\n"
        '[playse storage="se/door01.ogg"][playse storage="kira.ogg"]\n'
        '[playse storage="&f.file"]\n音だけ。[p]\n',
        CAST,
    )
    assert [(line.speaker, line.display_name, line.voice) for line in found] == [
        ("凛", "？？？", ("chara/rin/001_凛_ねえ.ogg",)),
        ("凛", "凛", ("chara/rin/x.ogg",)),
        ("灯", "灯", ("chara/rin/002.ogg",)),
        ("灯", "灯", ("v/01.ogg", "v/02.ogg")),
        ("灯", "灯", ()),
    ]


def test_numbered_voices() -> None:
    found = lines(
        "[chara_new name=akari jname=灯]\n#akari\n零。[p]\n"
        '[voconfig sebuf=2 name="akari" vostorage="akari_{number}.ogg" number=7]\n[vostart]\n'
        "#akari\n一。[p]\n#凛\n二。[p]\n#akari\n三。[p]\n[vostop]\n#akari\n四。[p]"
    )
    assert [line.voice for line in found] == [(), ("akari_7.ogg",), (), ("akari_8.ogg",), ()]


@pytest.mark.parametrize(
    ("head", "mine"),
    [
        ("#灯\nおはよう。[p]\n", True),
        ("[tb_start_text mode=1 ]\nHello[p]\n[_tb_end_text]\n", True),
        ("*start\n[glink text=はい target=yes]\n[s]\n", True),
        ("おはよう。[p]\n", True),  # UTF-8, and nothing of KAG's own
        ('*p|\n【灯】「おはよう。」[p]\n@eval exp="kag.x()"\n', False),
        ("{}", False),
    ],
)
def test_it_knows_its_files(head: str, mine: bool) -> None:
    assert (tyrano.sniff("data/scenario/a.ks", head.encode()) >= 0.6) is mine
    assert tyrano.sniff("data/scenario/a.txt", head.encode()) == 0


@given(
    st.lists(
        st.sampled_from((*PIECES, "/*\n", "*/\n", "[html]", "[endhtml]", "[glink text=a]", "_")), max_size=50
    )
)
def test_any_mixture_is_read_and_accounted_for(pieces: Sequence[str]) -> None:
    losses = Losses()
    found = lines("".join(pieces), losses=losses)
    assert losses.emitted == len(found)
    assert losses.seen == losses.emitted + sum(losses.skipped.values())


# --- works of others


def corpus(name: str) -> list[ScriptFile]:
    return [file for file in open_work(CORPORA / name).files if file.name.endswith(".ks")]


@pytest.mark.corpora
def test_the_sample_of_the_engine() -> None:
    losses = Losses()
    files = corpus("tyranoscript_sample")
    scenes = {s.scene: s for s in tyrano.read(files, ReadOptions(), losses) if s.file.endswith("scene1.ks")}
    speakers = {line.speaker for scene in scenes.values() for line in scene.lines}
    assert speakers == {None, "?", "あかね", "やまと"}
    assert scenes["selectinterest"].choices == [
        Choice("【１】うん。再生してください", "playmusic"),
        Choice("【２】いや。今は再生しないで！", "noplay"),
    ]
    assert [choice.target for choice in scenes["start"].choices] == ["selectinterest"] * 3
    assert scenes["playmusic"].next == scenes["noplay"].next == ["common_bgm"]
    assert not losses.unknown


@pytest.mark.corpora
def test_a_work_whose_macros_name_speakers() -> None:
    mask = scenario(
        "mask", '[m_changeCharacterFrameName name="？？？" characterId="mochiko" face="通常"]\n…私は…。[p]'
    )
    losses = Losses()
    scenes = list(tyrano.read([*corpus("tyrano_jinro"), mask], ReadOptions(), losses))
    assert said(scenes[-1].lines[0]) == ("speech", "もち子さん", "？？？", "…私は…。")
    (theater,) = (s for s in scenes if s.file.endswith("p01/e01_c01.ks"))
    assert theater.lines[4].ruby == (Ruby("翠緑の宝珠", "エメラルドオーブ"),)
    assert [line.voice for line in theater.lines] == [(f"theater/p01/e01/{n:03}.ogg",) for n in range(1, 39)]
    movie = next(s for s in scenes if s.file.endswith("movie_20230127.ks"))
    assert [line.speaker for line in movie.lines[:3]] == ["櫻歌ミコ", "もち子さん", "櫻歌ミコ"]
    assert movie.lines[0].voice[0].startswith("chara/miko/001_")
    unvoiced = [line for s in scenes for line in s.lines if line.kind == "speech" and not line.voice]
    assert len(unvoiced) == 5  # four times `……。`, and the line of ours


# Said by ずんだもん, as the file's name tells a person and nothing tells a reader: no plate, no recording.
UNTOLD = {("tyrano_jinro/data/scenario/message/zundamon.ks", line) for line in (450, 479)}


@pytest.mark.corpora
@pytest.mark.parametrize(("work", "labelled"), [("tyrano_jinro", 188), ("tyranoscript_sample", 119)])
def test_labelled_lines(work: str, labelled: int) -> None:
    """What somebody read in the scripts; texts of the sample are there by their hash alone."""
    gold = [row for row in map(json.loads, GOLD.read_text().splitlines()) if row["file"].startswith(work)]
    assert len(gold) == labelled
    found: dict[tuple[str, int], list[Line]] = {}
    for scene in tyrano.read(corpus(work), ReadOptions(), Losses()):
        for line in scene.lines:
            found.setdefault((f"{work}/{scene.file}", line.source.line), []).append(line)
    wrong = {}
    for row in gold:
        place = row["file"], row["line"]
        expected = row["kind"], row["speaker"], row["display_name"], row["text"]
        read_as = [said(line) for line in found.get(place, ())]
        if row["text"].startswith("sha256:"):
            read_as = [(*who, hash_of(text)) for *who, text in read_as]
        if read_as != [expected]:
            wrong[place] = expected, read_as
    assert wrong.keys() == {place for place in UNTOLD if place[0].startswith(work)}, wrong
    labelled_files = {row["file"] for row in gold}
    lines_there = sum(len(lines) for (file, _), lines in found.items() if file in labelled_files)
    assert lines_there == len(gold)  # nothing else is made up in these files


def hash_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:16]
