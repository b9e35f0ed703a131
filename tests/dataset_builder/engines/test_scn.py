"""Compiled scenes: three shapes of a text give the same lines; codes, choices and ways on are read."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.engines import ReadOptions, scn
from dataset_builder.engines.scn_text import plain
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Choice, Line, Ruby, Scene
from dataset_builder.work import ScriptFile, memory_file
from tests.conftest import ROOT
from tests.dataset_builder.psb_writer import write_mdf, write_psb

FIXTURES = ROOT.parent / "shared" / "corpora" / "psb_fixtures"
STATE = {"meswinchange": "MSGWIN", "data": [["bg", {"x": 0, "file": "駅前"}]]}


def script(*texts: Any, **scene: Any) -> dict[str, Any]:
    """A file's root with one scene of these texts."""
    return {"name": "共通01.ks", "hash": "0", "scenes": [{"label": "*a", "texts": list(texts), **scene}]}


def read(*roots: dict[str, Any] | ScriptFile, losses: Losses | None = None, **options: Any) -> list[Scene]:
    files = [
        root if isinstance(root, ScriptFile) else memory_file(f"data/s{number}.ks.scn", write_psb(root))
        for number, root in enumerate(roots)
    ]
    return list(scn.read(files, ReadOptions(work="灯", **options), losses or Losses()))


def lines(*texts: Any, losses: Losses | None = None, **options: Any) -> list[Line]:
    scenes = read(script(*texts), losses=losses, **options)
    return scenes[0].lines if scenes else []


def said(line: Line) -> tuple[str, str | None, str | None, str]:
    return line.kind, line.speaker, line.display_name, line.text


def test_a_scene() -> None:
    root = script(
        ["", None, "　雨が降っている。", None, 16, STATE],
        ["灯", None, "「おはよう、[そうた,1]颯太くん。\\nよく眠れた？」", "aka0001", 0, STATE],
        ["颯太", None, "（まだ眠い……）", None, 0, STATE],
        title="第一章",
        lines=[[1, STATE]] * 3,
        nexts=[{"target": "*b", "type": 0}],
    )
    (scene,) = read(root, language="ja")
    assert (scene.work, scene.file, scene.scene, scene.title, scene.language, scene.next) == (
        "灯",
        "data/s0.ks.scn",
        "*a",
        "第一章",
        "ja",
        ["*b"],
    )
    assert [said(line) for line in scene.lines] == [
        ("narration", None, None, "雨が降っている。"),
        ("speech", "灯", "灯", "おはよう、颯太くん。よく眠れた？"),
        ("thought", "颯太", "颯太", "まだ眠い……"),
    ]
    second = scene.lines[1]
    assert (second.index, second.source.path) == (1, "scenes/0/texts/1")
    assert second.raw == "「おはよう、[そうた,1]颯太くん。\\nよく眠れた？」"
    assert second.ruby == (Ruby("颯太", "そうた"),)
    assert second.voice == ("aka0001",)


OLD = [
    [None, None, "夕方の駅前。", None, 0, STATE],
    ["澪", None, "「待った？」", [{"name": "澪", "voice": "mio0100"}], 0, STATE],
    ["灯", "？？？", "「……誰？」", None, 0, STATE],
]
IN_LANGUAGES: list[list[list[Any]]] = [
    [[None, "夕方の駅前。"], [None, "The station, evening."], [None, "傍晚的车站前。"]],
    [[None, "「待った？」"], ["Mio", '"Waited long?"'], ["澪", "「久等了？」"]],
    [["？？？", "「……誰？」"], ["???", '"...Who?"'], ["？？？", "「……谁？」"]],
]


def test_the_shapes_of_a_text_give_the_same_lines() -> None:
    many = [
        [name, None, said, voice, 0, STATE]
        for (name, _, _, voice, *_), said in zip(OLD, IN_LANGUAGES, strict=True)
    ]
    newest = [
        [name, [[shown, text, len(text), text, text] for shown, text in said], voice, 0, STATE]
        for (name, _, _, voice, *_), said in zip(OLD, IN_LANGUAGES, strict=True)
    ]
    old = lines(*OLD)
    assert [said(line) for line in old] == [
        ("narration", None, None, "夕方の駅前。"),
        ("speech", "澪", "澪", "待った？"),
        ("speech", "灯", "？？？", "……誰？"),
    ]
    for texts in (many, newest, [many[0], newest[1], many[2]]):
        (scene,) = read(script(*texts) | {"languages": ["en", "cn"]})
        assert [line.translations for line in scene.lines] == [
            {"en": "The station, evening.", "zh": "傍晚的车站前。"},
            {"en": "Waited long?", "zh": "久等了？"},
            {"en": "...Who?", "zh": "……谁？"},
        ]
        for line in scene.lines:
            line.translations = {}
        assert scene.lines == old


def test_languages_without_a_name() -> None:
    losses = Losses()
    text = [None, [[None, "雨。"], [None, "Rain."], [None, "下雨。"]], None]
    assert [line.translations for line in lines(text, text, losses=losses)] == [{}, {}]
    assert losses.warnings == ["data/s0.ks.scn: it has texts in languages that it does not name"]
    assert lines(text, translation="en")[0].translations == {"en": "Rain."}
    holes = [None, [[None, "雨。"], None, [None, "下雨。"]], None]
    (scene,) = read(script(holes) | {"languages": ["en", "tw"]})
    assert scene.lines[0].translations == {"zh-Hant": "下雨。"}


def test_who_speaks() -> None:
    both = [{"name": "灯", "voice": "a1"}, {"name": "澪", "voice": "b1|b2"}]
    found = lines(
        ["灯", "一同", "「「せーのっ！」」", both],
        ["灯＆澪", None, "「うん！」", None],
        ["灯", "灯＆颯太", "「あっ」", [{"name": "灯", "voice": "a2"}]],
        ["店員", "店員さん", "『いらっしゃいませ』", ""],
        ["＠", None, "雨音だけが聞こえる。", None],
        ["灯", "＠", "「誰もいない」", "a3|a4"],
        ["？？？", None, "「こっち」", [{"name": "灯", "voice": "a5"}]],
        [None, None, "「ただいま」", [{"name": "灯", "voice": "a6"}]],
        [None, "？？？", "「返事をしろ」", None],
        ["灯（小声）", None, "「ねえ」", [{"voice": "a7"}]],
    )
    assert [(line.speaker, line.display_name, line.speakers, line.voice) for line in found] == [
        ("灯", "一同", ("灯", "澪"), ("a1", "b1", "b2")),
        ("灯＆澪", "灯＆澪", ("灯", "澪"), ()),
        ("灯", "灯＆颯太", ("灯", "颯太"), ("a2",)),
        ("店員", "店員さん", ("店員",), ()),
        (None, None, (), ()),
        ("灯", None, ("灯",), ("a3", "a4")),
        ("灯", "？？？", ("灯",), ("a5",)),
        ("灯", "灯", ("灯",), ("a6",)),
        (None, "？？？", (), ()),
        ("灯", "灯（小声）", ("灯",), ("a7",)),
    ]
    assert [line.kind for line in found].count("narration") == 1


@pytest.mark.parametrize(
    ("text", "plainly", "ruby"),
    [
        ("雨。", "雨。", ()),
        (r"50\%\&\[x\\", r"50%&[x\\"[:-1], ()),
        (r"上\n下\t右\w左\i\k\x\r終", "上\n下 右 左終", ()),
        ("[やしろ]社の[もり]森", "社の森", (Ruby("社", "やしろ"), Ruby("森", "もり"))),
        ("[イビ,1]伊日川", "伊日川", (Ruby("伊日", "イビ"),)),
        ("[ダブルムーン,3]二つの月よ", "二つの月よ", (Ruby("二つの月", "ダブルムーン"),)),
        ("[そうた,2]颯太くん", "颯太くん", (Ruby("颯太", "そうた"),)),
        ("[さん、に,いち]数", "数", (Ruby("数", "さん、に,いち"),)),
        ("[きょう,1]%f太;今%f;日は", "今日は", (Ruby("今日", "きょう"),)),
        ("[よみ]", "", ()),
        ("[]字", "字", ()),
        ("%lカフェ;#00ffc040;カフェ%l;#;に行く", "カフェに行く", ()),
        ("うふ……%f$ハート$;#00ffadd6;♥%r」", "うふ……♥」", ()),
        ("%p-2;%fＭＳ ゴシック;ざわ……%r;", "ざわ……", ()),
        ("%84;ぶつぶつ%;%100大%B大%S小", "ぶつぶつ大大小", ()),
        ("%50#ff0000;赤#;%b1太%b0%i1斜%iX%s0%e1", "赤太斜", ()),
        ("%C%L%R%d50;%w100;%D200;%D$vl1;plop", "plop", ()),
        ("$f.name;さん、&heart;", "{f.name}さん、", ()),
        ("Q & A; $5; #tag; [a", "Q & A; $5; #tag; [a", ()),
        ("#1; 50; %", " 50; ", ()),
    ],
)
def test_codes_in_a_text(text: str, plainly: str, ruby: Sequence[Ruby]) -> None:
    assert plain(text, Counter()) == (plainly, ruby)


def test_a_code_that_is_not_known_is_dropped_and_counted() -> None:
    losses = Losses()
    found = lines(["灯", None, "「%q100%%q雨%オフ」", None], losses=losses)
    assert found[0].text == "100雨オフ"
    assert losses.unknown == {"%q": 2, "%": 2}


@given(st.text(alphabet="\\%[]#&$;,lfDpb01 雨あn", max_size=60))
def test_codes_never_add_letters(text: str) -> None:
    said, ruby = plain(text, Counter())
    assert len(said) <= len(text) + text.count("$")
    assert all(each.base in said and each.text in text for each in ruby)


def test_codes_take_time_in_proportion() -> None:
    for code in ("%f", "%l;", "[", "&", "$a", "%1", "#0", "\\"):
        text = code * 20_000
        assert len(plain(text, Counter())[0]) <= len(text)


def test_choices() -> None:
    root = script(
        ["灯", None, "「どこに行く？」", None],
        selects=[
            {"text": "カフェに行く", "target": "*cafe", "language": [None, {"text": "To the %B café%r"}]},
            {"text": "家に帰る", "target": "*start", "storage": "共通02.ks"},
            {"text": "[ね]寝る", "language": [{"text": "[ね]寝る"}, None]},
            {"text": "　"},
            {"exp": "f.x = 1"},
        ],
    )
    losses = Losses()
    (scene,) = read(root | {"languages": ["en"]}, losses=losses)
    assert scene.choices == [
        Choice("カフェに行く", "*cafe"),
        Choice("家に帰る", "共通02.ks#*start"),
        Choice("寝る"),
    ]
    assert [(line.kind, line.text, line.branch, line.translations) for line in scene.lines[1:]] == [
        ("choice", "カフェに行く", "1.1", {"en": "To the  café"}),
        ("choice", "家に帰る", "1.2", {}),
        ("choice", "寝る", "1.3", {}),
    ]
    assert scene.lines[2].source.path == "scenes/0/selects/1"
    assert (losses.seen, losses.emitted) == (6, 4)
    assert losses.skipped == {"empty text": 1, "no text": 1}


def test_ways_on() -> None:
    ways = [
        {"target": "*b", "type": 0, "eval": "f.x"},
        {"target": "*b", "type": 0},
        {"target": "*c", "storage": "共通01.KS", "type": 0},
        {"target": "*z", "storage": "scenario/S1.ks", "type": 1},
        {"storage": "s1.ks"},
        {"target": "*gallery", "type": -1},
        {},
        None,
    ]
    first = script(["灯", None, "「行こう」", None], nexts=ways)
    scenes = read(first, script(["灯", None, "「来た」", None]))
    assert scenes[0].next == ["*b", "*c", "data/s1.ks.scn#*z", "data/s1.ks.scn#"]


def test_labels_without_texts() -> None:
    root = {
        "name": "a.ks",
        "scenes": [
            {"label": "*a", "title": ["序章", "Prologue"], "nexts": [{"target": "*b"}]},
            {"label": "*b", "title": [None, "Prologue"], "lines": [[1, {}]], "spCount": 0},
            {"label": "*c", "texts": [["灯", None, "「一」", None]]},
            {"label": "*c", "texts": [["灯", None, "「二」", None]]},
            {"texts": [["灯", None, "「三」", None]]},
        ],
    }
    assert [(scene.scene, scene.title, len(scene.lines)) for scene in read(root)] == [
        ("*a", "序章", 0),
        ("*c", "", 1),
        ("*c~3", "", 1),
        ("~4", "", 1),
    ]


def test_what_is_no_text_is_counted() -> None:
    losses = Losses()
    found = lines(
        [],
        ["灯"],
        ["灯", None],
        ["灯", None, 5, None],
        [7, None, "「雨」", None],
        ["灯", [], None],
        ["灯", [None, [None, "x"]], None],
        None,
        "雨",
        ["灯", None, "", "a1"],
        ["灯", None, "「」", None],
        ["灯", None, "%f;　", None],
        ["灯" * 500, None, "「雨」", None],
        ["灯", None, "雨" * 20_000, None],
        ["灯", None, "「やっと」", {"name": "x"}],
        losses=losses,
    )
    assert [line.text for line in found] == ["やっと"]
    assert losses.skipped == {"no text": 9, "empty text": 3, "longer than a text or a name can be": 2}
    assert losses.seen == 15


def test_freemotes_json_is_read_alike() -> None:
    root = script(*OLD, selects=[{"text": "はい"}], nexts=[{"target": "*b"}]) | {"languages": ["en"]}
    for text in (json.dumps(root), "\ufeff" + json.dumps(root, ensure_ascii=False, indent=2)):
        scenes = read(memory_file("data/s0.ks.scn", write_psb(root)))
        from_json = read(memory_file("data/s0.ks.scn", text.encode()))
        assert from_json == scenes
    with pytest.raises(ScriptError, match="line 3: no JSON") as error:
        read(memory_file("a.ks.json", b'{\n"scenes":\n[{]}'))
    assert error.value.line == 3
    with pytest.raises(ScriptError, match="no scenes"):
        read(memory_file("a.ks.json", b"[1, 2]"))


def test_shells_versions_and_keys() -> None:
    expected = lines(*OLD)
    for version in (1, 2, 3, 4):
        data = write_psb(script(*OLD), version)
        for each in (data, write_mdf(data)):
            assert read(memory_file("data/s0.ks.scn", each))[0].lines == expected
    locked = memory_file("data/s0.ks.scn", write_psb(script(*OLD), 3, key=77))
    assert read(locked, psb_key=77)[0].lines == expected
    with pytest.raises(ScriptError, match="--psb-key"):
        read(locked)


def test_art_and_broken_files_among_scenes() -> None:
    losses = Losses()
    art = memory_file("motion.psb", write_psb({"object": {}, "metadata": [1]}))
    broken = memory_file("broken.ks.scn", write_psb(script(*OLD))[:-30])
    scenes = read(art, broken, script(*OLD), losses=losses)
    assert [scene.file for scene in scenes] == ["data/s2.ks.scn"]
    assert losses.skipped == {"a PSB without scenes": 1, "file cannot be read": 1}
    assert "broken.ks.scn" in losses.warnings[0]


def test_a_broken_text_is_left_out_and_the_rest_is_read() -> None:
    losses = Losses()
    data = write_psb(script(*OLD, ["灯", None, "「最後」", None]))
    data = data.replace("待った".encode(), b"\xff" * 9)
    (scene,) = read(memory_file("a.ks.scn", data), losses=losses)
    assert [line.text for line in scene.lines] == ["夕方の駅前。", "……誰？", "最後"]
    assert [line.index for line in scene.lines] == [0, 1, 2]
    assert losses.skipped == {"broken text": 1}
    assert losses.warnings == ["a.ks.scn scenes/0/texts/1: a broken PSB: a string that is no UTF-8"]


def test_a_file_that_repeats_itself_comes_to_an_end() -> None:
    (scene,) = script(*[["灯", None, "「もう一度」", None]] * 300)["scenes"]
    data = write_psb({"scenes": [scene] * 300}, shared=True)
    losses = Losses()
    scenes = read(memory_file("a.ks.scn", data), losses=losses)
    assert len(data) < 3000
    assert 0 < sum(len(scene.lines) for scene in scenes) == losses.emitted < 3000
    assert losses.skipped["broken scene"] > 250
    assert "repeats itself" in losses.warnings[-1]


def test_phone_chats_are_told() -> None:
    root = script(*OLD, lines=[[1, {"phonechat": [{"text": "今どこ？"}]}]])
    for data in (write_psb(root), json.dumps(root).encode()):
        losses = Losses()
        read(memory_file("a.ks.scn", data), losses=losses)
        assert losses.warnings == ["a.ks.scn: its phone chats are not read"]


def test_whose_file_it_is() -> None:
    psb, mdf = write_psb(script(*OLD)), write_mdf(write_psb(script(*OLD)))
    scenes = json.dumps(script(*OLD)).encode()
    late = b'{"hash": "0", "name": "a.ks", "outlines": [' + b"0, " * 5000
    assert scn.sniff("x/a.ks.scn", psb[:4096]) > 0.9
    assert scn.sniff("A.TXT.SCN", mdf[:4096]) > 0.9
    assert scn.sniff("a.psb", psb[:4096]) >= 0.9
    assert scn.sniff("a.ks.scn", b"mzs\0" + bytes(60)) > 0.9
    assert scn.sniff("a.ks.json", scenes[:4096]) >= 0.9
    assert scn.sniff("a.json", b"\xef\xbb\xbf\r\n" + scenes[:4000]) == 0.8
    assert scn.sniff("a.ks.json", late[:4096]) == 0.6
    for name, head in (
        ("a.pimg", psb),
        ("a.ks.resx.json", scenes),
        ("a.ks.scn", b"[p]"),
        ("a.ks", b"*start\n[scenes]"),
        ("a.ks.json", b'[{"name": "x", "message": "y"}]'),
        ("a.ks.json", '{"おはよう": "早", "name": "x"}'.encode()),
        ("a.json", late),
        ("a.scn", b""),
    ):
        assert scn.sniff(name, head[:4096]) == 0, name


FUZZED = script(
    *OLD,
    ["灯", "一同", "「[そうた,1]颯太%lカフェ;#;も%l;#;」", [{"name": "灯", "voice": "a|b"}, {"name": "澪"}]],
    ["灯", [["箱", "「にゃ」", 3], ["Box", '"M-meow"']], None],
    selects=[{"text": "はい", "target": "*a", "language": [None, {"text": "Yes"}]}],
    nexts=[{"target": "*a", "storage": "b.ks", "type": 0}],
    title=["序章", "Prologue"],
) | {"languages": ["en"]}


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_flipped_and_cut_files_give_fewer_scenes_or_one_error(version: int) -> None:
    rng = random.Random(version)
    sound = write_psb(FUZZED, version, shared=version == 2)
    shelled = write_mdf(sound)
    outcomes = Counter[str]()
    for _ in range(800):
        data = bytearray(shelled if rng.random() < 0.1 else sound)
        for _ in range(rng.choice((1, 1, 4))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        losses = Losses()
        try:
            scenes = read(memory_file("a.ks.scn", bytes(data)), losses=losses)
        except ScriptError:
            outcomes["refused"] += 1
            continue
        outcomes["read"] += 1
        assert losses.seen == losses.emitted + losses.skipped.total()
        assert losses.emitted == sum(len(scene.lines) for scene in scenes)
    assert outcomes["read"] > 50 < outcomes["refused"], outcomes


@given(
    st.recursive(
        st.none() | st.integers() | st.text("雨*%[;", max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["text", "label", "title", "target", "storage", "name", "voice", "language"]),
                inner,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_gives_scenes_or_one_error(value: Any) -> None:
    for root in (value, {"scenes": value}, {"scenes": [{"texts": value, "selects": value, "nexts": value}]}):
        data = json.dumps(root).encode()
        try:
            for scene in read(memory_file("a.ks.json", data)):
                assert all(line.text for line in scene.lines)
        except ScriptError:
            assert not isinstance(root, dict)


@pytest.mark.corpora
def test_real_files() -> None:
    found = {
        path.name: read(
            memory_file("a.ks.scn", path.read_bytes()), psb_key=0x2AF31B05 if "key" in path.name else None
        )
        for path in sorted(FIXTURES.glob("*.scn"))
        if not path.name.startswith("truncated")
    }
    for kind in ("old", "multilang", "newest"):
        alike = [scenes for name, scenes in found.items() if name.startswith(kind)]
        expected = read(memory_file("a.ks.scn", (FIXTURES / f"{kind}_tuple.expected.json").read_bytes()))
        assert len(alike) >= 4
        assert all(scenes == expected for scenes in alike)
    start, cafe = found["old_tuple_v2.ks.scn"]
    assert [said(line) for line in start.lines] == [
        ("narration", None, None, "朝の光が窓から差しこんでいる。"),
        ("speech", "灯", "灯", "おはよう、颯太くん。よく眠れた？"),
        ("speech", "颯太", "颯太", "うん、まあ……"),
        ("speech", "灯", "？？？", "こっちだよ、こっち"),
        ("thought", "颯太", "颯太", "誰の声だ……？"),
        ("speech", "灯", "灯＆澪", "「せーのっ！」"),
        ("speech", "澪", "澪", "カフェに行こう。割引は50%だって"),
        ("narration", None, None, "ざわ……"),
        ("choice", None, None, "カフェに行く"),
        ("choice", None, None, "家に帰る"),
    ]
    assert start.choices == [Choice("カフェに行く", "*cafe"), Choice("家に帰る", "*end")]
    assert (start.next, cafe.next) == (["*cafe", "*end"], ["*end"])
    assert start.lines[5].speakers == ("灯", "澪")
    (several,) = found["multilang_tuple_v4.ks.scn"]
    assert several.lines[2].ruby == (Ruby("板", "バン"), Ruby("伊日", "イビ"))
    assert several.lines[1].translations == {"en": "M-meow...?", "zh": "喵、喵～？"}
    assert several.lines[3].translations == {"en": "Yes", "zh": "是"}
    with pytest.raises(ScriptError, match="cut off"):
        read(memory_file("truncated.ks.scn", (FIXTURES / "truncated.ks.scn").read_bytes()))
