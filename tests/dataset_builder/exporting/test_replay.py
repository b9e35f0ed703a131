"""Rows of general ability: what may be given, which are taken, where they stand."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from dataset_builder.errors import ScriptError
from dataset_builder.exporting.formats import Row
from dataset_builder.exporting.replay import mix, read_replay
from dataset_builder.schema import Message


def chat(*said: tuple[str, str], **more: object) -> str:
    return json.dumps({"messages": [{"role": role, "content": text} for role, text in said], **more})


def rows(name: str, count: int) -> list[Row]:
    return [Row((Message(role="user", content="?"),), f"{name}{number}") for number in range(count)]


def test_rows_are_read_with_whatever_else_stands_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "alpaca.jsonl"
    with_system = chat(("system", "Be brief."), ("user", "2+2?"), ("assistant", "4"), source="ours")
    path.write_text(with_system + "\n\n" + chat(("user", "<b>?"), ("assistant", "bold")) + "\n")
    first, second = read_replay(path)
    assert (first.system, [each.content for each in first.chat]) == ("Be brief.", ["2+2?", "4"])
    assert (second.system, second.chat[0].content) == ("", "<b>?")
    assert {first.source, second.source} == {"replay"}
    assert first.id != second.id


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (chat(), "take turns"),
        (chat(("system", "s")), "take turns"),
        (chat(("user", "a")), "take turns"),
        (chat(("assistant", "a"), ("user", "b")), "take turns"),
        (chat(("user", "a"), ("assistant", "b"), ("assistant", "c")), "take turns"),
        (chat(("user", "a"), ("assistant", "b"), ("system", "c"), ("assistant", "d")), "take turns"),
        (chat(("tool", "a"), ("assistant", "b")), "messages.0.role"),
        ('{"messages": [{"role": "user"}]}', "messages.0.content"),
        ('{"text": "hello"}', "messages"),
        ("[", "its start"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "replay.jsonl"
    path.write_text(chat(("user", "a"), ("assistant", "b")) + "\n" + line + "\n")
    with pytest.raises(ScriptError, match=r"replay\.jsonl") as raised:
        list(read_replay(path))
    assert raised.value.line == 2
    assert words in str(raised.value)


@pytest.mark.parametrize(("share", "replayed"), [(0.0, 0), (0.1, 10), (0.5, 90), (0.9, 810)])
def test_the_share_is_of_all_that_trains(share: float, replayed: int) -> None:
    mixed = mix(rows("own", 90), rows("replay", 1000), share, 7)
    assert [row.id for row in mixed if row.id.startswith("own")] == [f"own{number}" for number in range(90)]
    assert len(mixed) == 90 + replayed
    assert len({row.id for row in mixed}) == len(mixed)


def test_replay_rows_stand_everywhere() -> None:
    mixed = mix(rows("own", 90), rows("replay", 1000), 0.1, 7)
    at = [place for place, row in enumerate(mixed) if row.id.startswith("replay")]
    assert {later - earlier for earlier, later in pairwise(at)} == {10}


def test_too_few_are_all_taken_and_none_twice() -> None:
    mixed = mix(rows("own", 10), rows("replay", 3) + rows("replay", 3), 0.5, 7)
    assert len(mixed) == 13


def test_which_ones_does_not_depend_on_their_order() -> None:
    given = rows("replay", 1000)
    assert mix(rows("own", 90), given, 0.1, 7) == mix(rows("own", 90), given[::-1], 0.1, 7)
    assert mix(rows("own", 90), given, 0.1, 7) != mix(rows("own", 90), given, 0.1, 8)
