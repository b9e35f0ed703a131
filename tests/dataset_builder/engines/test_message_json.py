"""Messages in JSON: every tool's form, folders of languages, and what is broken."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import ReadOptions, chat_json, message_json, scn, sheets
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.work import open_work
from tests.dataset_builder.dump_reading import FIXTURES, damaged, one, read, said, survives


def dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def test_vntextpatch_names_kinds_and_line_breaks() -> None:
    lines = one(
        message_json,
        "a.json",
        dump(
            [
                {"message": "春の雨が\r\n降っていた。"},
                {"name": "灯", "message": "「おはよう、\r\n先輩」"},
                {"names": ["灯", "茜"], "message": "「せーの！」"},
                {"names": ["茜"], "message": "（ふふ）"},
                {"name": "？？？", "message": "「……誰？」"},
                {"name": "冬弥（小声）", "message": "「静かに」"},
                {"name": "灯＆茜", "message": "「えっ」"},
                {"name": None, "message": "「電話だ」"},
                {"name": "灯", "message": "「もしもし」と灯は言った。"},
                {"name": "【店員】", "message": "『毎度あり♪』"},
            ]
        ),
    )
    assert [(line.kind, line.speaker, line.display_name, line.speakers, line.text) for line in lines] == [
        ("narration", None, None, (), "春の雨が降っていた。"),
        ("speech", "灯", "灯", ("灯",), "おはよう、先輩"),
        ("speech", "灯＆茜", "灯＆茜", ("灯", "茜"), "せーの！"),
        ("thought", "茜", "茜", ("茜",), "ふふ"),
        ("speech", "？？？", "？？？", ("？？？",), "……誰？"),
        ("speech", "冬弥", "冬弥（小声）", ("冬弥",), "静かに"),
        ("speech", "灯＆茜", "灯＆茜", ("灯", "茜"), "えっ"),
        ("speech", None, None, (), "電話だ"),
        ("speech", "灯", "灯", ("灯",), "「もしもし」と灯は言った。"),
        ("speech", "店員", "店員", ("店員",), "毎度あり♪"),
    ]
    assert lines[1].raw == "「おはよう、\r\n先輩」"
    assert [line.source.path for line in lines[:2]] == ["0", "1"]


def test_a_name_that_stands_in_the_message() -> None:
    lines = one(
        message_json, "a.json", dump([{"message": "【灯】「おはよう」"}, {"message": "【閉店】本日休業"}])
    )
    assert said(lines) == [("灯", "おはよう"), ("", "【閉店】本日休業")]


def test_messages_without_text_are_counted() -> None:
    document = [
        {"name": "灯", "message": "「」"},
        {"name": "灯"},
        {"message": 5},
        "x",
        None,
        {"message": "　"},
        {"message": "雨"},
    ]
    (scene,), losses = read(message_json, {"a.json": dump(document)})
    assert said(scene.lines) == [("", "雨")]
    assert losses.skipped == {"empty text": 2, "no text": 2, "not a message": 2}


def test_galtransl_cache_takes_the_best_translation() -> None:
    lines = one(
        message_json,
        "a.json",
        dump(
            [
                {"index": 1, "name": "灯", "pre_src": "「お早う」", "post_src": "「おはよう」",
                 "pre_dst": "「早」", "proofread_dst": "「早上好」",
                 "post_dst_preview": "「早安」", "trans_by": "x"},
                {"index": 2, "name": "", "pre_jp": "雨だ。", "post_jp": "雨。",
                 "pre_zh": "雨。", "proofread_zh": "", "post_zh_preview": "下雨了。"},
                {"index": 3, "name": ["灯", "茜"], "post_src": "「え？」",
                 "pre_dst": "「诶？」", "proofread_dst": None},
                {"index": 4, "pre_src": "「未訳」", "pre_dst": ""},
            ]
        ),
    )  # fmt: skip
    assert [(line.speaker, line.text, line.translations) for line in lines] == [
        ("灯", "お早う", {"zh": "早上好"}),
        (None, "雨だ。", {"zh": "下雨了。"}),
        ("灯＆茜", "え？", {"zh": "诶？"}),
        (None, "未訳", {}),
    ]


def test_sextractors_dictionary_has_texts_and_no_speakers() -> None:
    lines = one(
        message_json,
        "a.json",
        dump({"雨だ。": "下雨了。", "「おはよう」": "「早上好」", "「え」": "", "「や」": "「や」"}),
    )
    assert [(line.kind, line.text, line.translations) for line in lines] == [
        ("narration", "雨だ。", {"zh": "下雨了。"}),
        ("speech", "おはよう", {"zh": "早上好"}),
        ("speech", "え", {}),
        ("speech", "や", {}),
    ]


def test_sextractors_list_of_names_and_messages() -> None:
    lines = one(
        message_json,
        "a.json",
        dump(["灯", "「おはよう」", "冬弥", "「おう」", "雨だ。", "灯", "「ね」", "冬弥", "「ん」"]),
    )
    assert said(lines) == [("灯", "おはよう"), ("冬弥", "おう"), ("", "雨だ。"), ("灯", "ね"), ("冬弥", "ん")]


def test_sextractors_lists_of_pairs() -> None:
    merged = [{"灯": "灯", "「おはよう」": "「早上好」"}, {"雨だ。": "下雨了。"}]
    apart = [{"灯": "灯"}, {"「おはよう」": "「早上好」"}, {"雨だ。": "下雨了。"}]
    expected = [("灯", "おはよう", {"zh": "早上好"}), (None, "雨だ。", {"zh": "下雨了。"})]
    for document, options in ((merged, {}), (apart, {"names": ("灯",), "name_after": False})):
        lines = one(message_json, "a.json", dump(document), **options)
        assert [(line.speaker, line.text, line.translations) for line in lines] == expected


def test_a_list_of_names_tells_plates_from_texts() -> None:
    document = ["あかり", "「おはよう」", "翌日", "冬弥", "「おう」"]
    lines = one(message_json, "a.json", dump(document), names=("灯 あかり", "冬弥"), name_after=False)
    assert [(line.speaker, line.display_name, line.text) for line in lines] == [
        ("灯", "あかり", "おはよう"),
        (None, None, "翌日"),
        ("冬弥", "冬弥", "おう"),
    ]


def test_folders_of_languages_are_paired() -> None:
    ja = [{"message": "雨だ。"}, {"name": "灯", "message": "「ね」"}]
    zh = [{"message": "下雨了。"}, {"name": "灯", "message": "「呐」"}]
    en = [{"message": "It rains."}, {"name": "Akari", "message": '"Hey."'}]
    files = {
        "d/cn/a.json": dump(zh),
        "d/en/a.json": dump(en),
        "d/jp/a.json": dump(ja),
        "d/jp/b.json": dump(ja),
    }
    scenes, losses = read(message_json, files)
    assert not losses.skipped
    assert [(scene.file, scene.language) for scene in scenes] == [
        ("d/jp/a.json", "ja"),
        ("d/jp/b.json", "ja"),
    ]
    assert [line.translations for line in scenes[0].lines] == [
        {"zh": "下雨了。", "en": "It rains."},
        {"zh": "呐", "en": "Hey."},
    ]
    assert [line.translations for line in scenes[1].lines] == [{}, {}]
    scenes, _ = read(message_json, files, language="en")
    assert [(scene.file, scene.language) for scene in scenes] == [
        ("d/en/a.json", "en"),
        ("d/jp/b.json", "ja"),
    ]


def test_galtransls_folders_are_paired() -> None:
    files = {
        "gt_input/a.json": dump([{"name": "灯", "message": "「ね」"}]),
        "gt_output/a.json": dump([{"name": "灯", "message": "「呐」"}]),
    }
    (scene,), _ = read(message_json, files)
    assert (scene.file, scene.lines[0].translations) == ("gt_input/a.json", {"zh": "呐"})


def test_a_folder_of_one_language_pairs_nothing() -> None:
    (scene,), _ = read(message_json, {"sc/a.json": dump([{"message": "雨だ。"}])})
    assert scene.language == ""


def test_lists_of_different_lengths_are_aligned_and_counted() -> None:
    ja = [
        {"message": "長い雨が、朝から降り続いていた。"},
        {"name": "灯", "message": "「おはよう」"},
        {"message": "灯は笑った。"},
        {"name": "冬弥", "message": "「おう」"},
        {"name": "灯", "message": "「寒いね」"},
        {"message": "風。"},
        {"name": "冬弥", "message": "「ああ」"},
    ]
    zh = [
        {"message": "翻译：某某"},
        {"message": "从早上起，就一直下着绵绵细雨。"},
        {"name": "灯", "message": "「早上好」"},
        {"name": "冬弥", "message": "「哦」"},
        {"name": "灯", "message": "「好冷呢」"},
        {"message": "风。"},
        {"name": "冬弥", "message": "「嗯」"},
    ]
    zh.append({"message": "完"})
    (scene,), losses = read(message_json, {"jp/a.json": dump(ja), "cn/a.json": dump(zh)})
    assert [(line.text, line.translations.get("zh")) for line in scene.lines] == [
        ("長い雨が、朝から降り続いていた。", "从早上起，就一直下着绵绵细雨。"),
        ("おはよう", "早上好"),
        ("灯は笑った。", None),
        ("おう", "哦"),
        ("寒いね", "好冷呢"),
        ("風。", "风。"),
        ("ああ", "嗯"),
    ]
    assert losses.skipped == {"translation without its original": 2}
    assert losses.warnings == ["cn/a.json: 8 messages and not 7 as `jp/a.json`; 6 are paired"]


def test_a_broken_translation_is_left_out() -> None:
    files = {"jp/a.json": dump([{"message": "雨だ。"}]), "cn/a.json": "[{"}
    (scene,), losses = read(message_json, files)
    assert scene.lines[0].translations == {}
    assert losses.skipped == {"file cannot be read": 1}
    assert losses.warnings[0].startswith("cn/a.json: `cn/a.json`, line 1: no JSON")
    with pytest.raises(ScriptError, match=r"cn/a\.json"):
        read(message_json, files, lenient=False)


def test_the_work_in_two_folders() -> None:
    work = open_work(FIXTURES / "seed" / "senren")
    assert all(message_json.sniff(file.name, file.head) == 0.9 for file in work.files)
    losses = Losses()
    scenes = list(message_json.read(work.files, ReadOptions(work=work.name), losses))
    assert [(scene.work, scene.file, scene.language, len(scene.lines)) for scene in scenes] == [
        ("senren", "jp/001_村.scn.json", "ja", 21),
        ("senren", "jp/002_稽古.scn.json", "ja", 10),
    ]
    assert all(line.translations.keys() == {"zh"} for scene in scenes for line in scene.lines)
    assert scenes[0].lines[6].text == "もう、『お客さまには笑顔で』って教えたでしょう？"
    assert scenes[0].lines[6].translations == {"zh": "真是的，不是教过你『对客人要面带笑容』吗？"}
    assert scenes[0].lines[10].speakers == ("灯", "茜")
    assert scenes[0].lines[20].translations == {"zh": "「……嗯。原谅你」灯把脸转向一边。"}
    assert losses.as_dict() == {**Losses().as_dict(), "seen": 31, "emitted": 31}


@pytest.mark.parametrize(
    ("document", "sure"),
    [
        ([{"name": "灯", "message": "「ね」"}], 0.9),
        ([{"message": "It rains."}], 0.9),
        ([{"index": 0, "name": "", "pre_src": "雨"}], 0.95),
        (["灯", "「ね」"], 0.7),
        ({"雨だ。": ""}, 0.7),
        ([{"灯": "灯", "「ね」": "「呐」"}], 0.7),
        ({"scenes": [{"texts": []}], "name": "a.ks"}, 0.05),
        ([{"conversations": [{"from": "human", "value": "雨"}]}], 0.05),
        ([{"speaker": "灯", "text": "「ね」"}], 0.05),
        ({"name": "chat", "version": "1.0"}, 0.05),
    ],
)
def test_it_knows_its_files(document: Any, sure: float) -> None:
    head = dump(document).encode()
    assert message_json.sniff("01.json", head) == sure
    others = max(engine.sniff("01.json", head) for engine in (chat_json, scn, sheets))
    assert (others < sure) == (sure > 0.1)
    assert message_json.sniff("01.txt", head) == 0


def test_a_dump_of_a_ks_script_is_not_taken_for_a_psb() -> None:
    for document in ([{"name": "灯", "message": "「ね」"}], [{"灯": "", "「ね」": ""}], {"雨": ""}):
        head = dump(document).encode()
        assert message_json.sniff("01.ks.json", head) > scn.sniff("01.ks.json", head)


@pytest.mark.parametrize(
    "data", ["", "{", '[{"message": "雨"', "5", '"雨"', "[" * 5000, "\ufeff", '[{"message": "\\ud800"}]']
)
def test_what_is_no_list_is_one_error(data: str) -> None:
    with pytest.raises(ScriptError) as caught:
        read(message_json, {"a.json": data})
    assert caught.value.file == "a.json"


def test_other_encodings() -> None:
    text = dump([{"name": "灯", "message": "「おはようございます、先輩」"}])
    for encoding in ("utf-8-sig", "utf-16", "cp932"):
        assert said(one(message_json, "a.json", text.encode(encoding))) == [
            ("灯", "おはようございます、先輩")
        ]


texts = st.text("灯あ「」（）【】？<s>\\n%5;[・]\r\n", max_size=10)
messages = st.fixed_dictionaries(
    {"message": texts}, optional={"name": texts, "names": st.lists(texts, max_size=3)}
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=80)
@given(st.lists(messages | values, max_size=8) | values)
def test_any_json_is_lines_or_an_error(document: Any) -> None:
    survives(message_json, "a.json", dump(document).encode())


@settings(max_examples=50)
@given(st.lists(messages, max_size=8), st.lists(messages, max_size=8))
def test_any_two_lists_are_paired_at_most_once(ja: list[Any], zh: list[Any]) -> None:
    scenes, losses = read(message_json, {"jp/a.json": dump(ja), "cn/a.json": dump(zh)})
    paired = sum(len(line.translations) for scene in scenes for line in scene.lines)
    assert paired <= min(len(ja), len(zh))
    assert losses.skipped["translation without its original"] <= len(zh)


def test_damaged_files_are_lines_or_an_error() -> None:
    data = (FIXTURES / "seed" / "senren" / "jp" / "002_稽古.scn.json").read_bytes()
    for number in range(150):
        survives(message_json, "a.json", damaged(data, number))
