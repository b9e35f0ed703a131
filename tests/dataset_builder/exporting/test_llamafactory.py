"""What LLaMA-Factory reads, and what it would leave out without a word here."""

import pytest

from dataset_builder.errors import DatasetError
from dataset_builder.exporting.formats import Row
from dataset_builder.exporting.llamafactory import check, dataset_info, sharegpt
from dataset_builder.schema import Message


def row(*roles: str) -> Row:
    return Row(tuple(Message(role=role, content=role[0]) for role in roles), "d1")  # type: ignore[arg-type]


@pytest.mark.parametrize("roles", ["user assistant", "system user assistant user assistant"])
def test_turns_are_taken(roles: str) -> None:
    check(row(*roles.split()))


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ("system", "0 messages"),
        ("user", "1 messages"),
        ("system user assistant user", "3 messages"),
        ("assistant user", "message 1 is of `assistant`"),
        ("user assistant assistant user", "message 3 is of `assistant`"),
        ("user assistant system assistant", "message 3 is of `system`"),
        ("user user", "message 2 is of `user`"),
    ],
)
def test_a_row_that_would_be_left_out_is_named(roles: str, words: str) -> None:
    with pytest.raises(DatasetError, match="`d1`") as raised:
        check(row(*roles.split()))
    assert words in str(raised.value)


def test_the_system_prompt_has_its_own_column() -> None:
    made = sharegpt(row("system", "user", "assistant"))
    assert made["system"] == "s"
    assert made["conversations"] == [{"from": "human", "value": "u"}, {"from": "gpt", "value": "a"}]
    assert sharegpt(row("user", "assistant"))["system"] == ""


def test_every_column_and_tag_is_listed() -> None:
    info = dataset_info("nene", ("train", "test"))
    assert list(info) == ["nene_train", "nene_test"]
    assert info["nene_test"] == {
        "file_name": "test.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "system": "system"},
        "tags": {
            "role_tag": "from",
            "content_tag": "value",
            "user_tag": "human",
            "assistant_tag": "gpt",
            "observation_tag": "observation",
            "function_tag": "function_call",
            "system_tag": "system",
        },
    }
