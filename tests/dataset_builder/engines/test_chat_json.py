"""Conversations in JSON: ShareGPT's, OpenAI's, lists and lines, and what is broken."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.engines import chat_json, message_json, sheets
from dataset_builder.errors import ScriptError
from tests.dataset_builder.dump_reading import damaged, one, read, said, survives

SHAREGPT = {
    "id": "a-1",
    "conversations": [
        {"from": "system", "value": "あなたは灯です。"},
        {"from": "human", "value": "おはよう"},
        {"from": "gpt", "value": "「おはよう、先輩！」"},
    ],
}
OPENAI = {
    "messages": [
        {"role": "developer", "content": "You are Akari."},
        {
            "role": "user",
            "name": "冬弥",
            "content": [{"type": "text", "text": "これ、\n見て"}, {"type": "image_url"}],
        },
        {"role": "assistant", "name": "灯", "content": "わあ、きれい"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "20 °C"},
        {"role": "assistant", "content": " "},
    ]
}


def test_sharegpt() -> None:
    (scene,), losses = read(chat_json, {"a.json": json.dumps([SHAREGPT])})
    assert (scene.scene, said(scene.lines)) == (
        "a-1",
        [("user", "おはよう"), ("assistant", "おはよう、先輩！")],
    )
    assert [line.source.path for line in scene.lines] == ["0/1", "0/2"]
    assert losses.skipped == {"system prompt": 1}


def test_openai_with_names_parts_and_tools() -> None:
    (scene,), losses = read(chat_json, {"a.json": json.dumps(OPENAI)})
    assert said(scene.lines) == [("冬弥", "これ、見て"), ("灯", "わあ、きれい")]
    assert losses.skipped == {"system prompt": 1, "no text": 1, "message of a tool": 1, "empty text": 1}


def test_a_bare_list_of_messages() -> None:
    assert said(one(chat_json, "a.json", json.dumps(OPENAI["messages"][1:3]))) == [
        ("冬弥", "これ、見て"),
        ("灯", "わあ、きれい"),
    ]


def test_a_conversation_a_line() -> None:
    text = "\n".join(json.dumps(each) for each in (SHAREGPT, OPENAI, SHAREGPT, {"other": 1})) + "\n{\n"
    scenes, losses = read(chat_json, {"a.jsonl": text})
    assert [scene.scene for scene in scenes] == ["a-1", "1", "a-1 (2)"]
    assert [(line.source.line, line.source.path) for line in scenes[1].lines] == [(2, "1"), (2, "2")]
    assert losses.skipped["no conversation"] == losses.skipped["broken record"] == 1


def test_what_holds_no_conversation_is_an_error() -> None:
    for name, text in (("a.json", "[]"), ("a.json", "5"), ("a.json", '[{"text": "a"}]'), ("a.jsonl", "{}\n")):
        with pytest.raises(ScriptError, match="no conversation"):
            read(chat_json, {name: text})


def test_it_knows_its_files() -> None:
    for document in ([SHAREGPT], OPENAI):
        head = json.dumps(document).encode()
        assert chat_json.sniff("a.json", head) == 0.9
        assert max(message_json.sniff("a.json", head), sheets.sniff("a.json", head)) < 0.1
    assert chat_json.sniff("a.jsonl", json.dumps(OPENAI).encode()) == 0.9
    assert chat_json.sniff("a.json", b'[{"message": "a"}]') < 0.1
    assert chat_json.sniff("a.txt", b'{"messages": []}') == 0


values = st.recursive(
    st.none() | st.integers(0, 9) | st.sampled_from(["user", "gpt", "system", "あ", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["messages", "conversations", "role", "from", "content", "value", "id"]), inner
        )
    ),
    max_leaves=15,
)


@settings(max_examples=80)
@given(values)
def test_any_json_is_lines_or_an_error(document: Any) -> None:
    survives(chat_json, "a.json", json.dumps(document).encode())
    survives(chat_json, "a.jsonl", json.dumps(document).encode())


def test_damaged_files_are_lines_or_an_error() -> None:
    data = "\n".join(json.dumps(each, ensure_ascii=False) for each in (SHAREGPT, OPENAI)).encode()
    for number in range(150):
        survives(chat_json, "a.jsonl", damaged(data, number))
