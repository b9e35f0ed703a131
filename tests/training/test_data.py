"""Rows: the three shapes, what is refused, and which tokens are learned."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.schema import Message
from inference.characters import Character
from training.data import IGNORED, Row, read_rows, replay, split, tokens_of, wrong_language_rows
from training.errors import RowError, TrainingError


class Letters:
    """A tokenizer of letters; `<e>` ends a message and is one token."""

    eos_token_id = 1

    def get_added_vocab(self) -> dict[str, int]:
        return {}

    def apply_chat_template(
        self, chat: Sequence[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        assert not tokenize
        text = "".join(f"{message['role'][0]}:{message['content']}\x01\n" for message in chat)
        return text + ("a:" if add_generation_prompt else "")

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) for letter in text]}


class Forgetful(Letters):
    """Its template leaves earlier answers out, as templates of thinking models do."""

    def apply_chat_template(self, chat: Sequence[dict[str, str]], **options: Any) -> str:
        last = max((at for at, each in enumerate(chat) if each["role"] == "user"), default=0)
        kept = [each for at, each in enumerate(chat) if each["role"] != "assistant" or at > last]
        return super().apply_chat_template(kept, **options)


class Glm(Letters):
    """A message ends where the next speaker's token stands."""

    def get_added_vocab(self) -> dict[str, int]:
        return {"<|user|>": 2}

    def apply_chat_template(
        self, chat: Sequence[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        tokens = {"system": "\x04", "user": "\x02", "assistant": "\x03"}
        text = "".join(tokens[message["role"]] + message["content"] for message in chat)
        return text + ("\x03" if add_generation_prompt else "")


class Endless(Glm):
    def get_added_vocab(self) -> dict[str, int]:
        return {}


def row_of(*contents: str, system: str = "") -> Row:
    head = [Message(role="system", content=system)] if system else []
    said = [Message(role=("user", "assistant")[at % 2], content=each) for at, each in enumerate(contents)]
    messages = (*head, *said)
    learned = tuple(at for at, message in enumerate(messages) if message.role == "assistant")
    return Row(messages, learned, Path("rows.jsonl"), 1)


def read(folder: Path, *lines: str, character: Character | None = None) -> list[Row]:
    file = folder / "rows.jsonl"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return list(read_rows(file, character))


def learned_text(row: Row, max_length: int = 10_000) -> str:
    tokens = tokens_of(Letters(), row, max_length)
    return "".join(chr(label) for label in tokens.labels if label != IGNORED)


def test_answers_are_learned_with_the_token_that_ends_them() -> None:
    assert (
        learned_text(row_of("hi", "well, hello", "who?", "me", system="be Nene")) == "well, hello\x01me\x01"
    )


def test_the_next_speaker_ends_an_answer_where_nothing_else_does() -> None:
    tokens = tokens_of(Glm(), row_of("hi", "hello", "who?", "me", system="be Nene"), 100)
    assert "".join(chr(label) for label in tokens.labels if label != IGNORED) == "hello\x02me\x02"
    assert "".join(map(chr, tokens.ids)) == "\x04be Nene\x02hi\x03hello\x02who?\x03me\x02"


def test_a_template_in_which_nothing_ends_is_refused() -> None:
    with pytest.raises(RowError, match="never learn to stop"):
        tokens_of(Endless(), row_of("hi", "hello"), 100)


def test_only_the_completion_is_learned(tmp_path: Path) -> None:
    prompt = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "not this"},
        {"role": "user", "content": "who?"},
    ]
    (row,) = read(
        tmp_path, json.dumps({"prompt": prompt, "completion": [{"role": "assistant", "content": "me"}]})
    )
    assert learned_text(row) == "me\x01"


def test_the_prefix_is_the_system_message() -> None:
    tokens = tokens_of(Letters(), row_of("hi", "hello", system="be Nene"), 100)
    assert "".join(chr(id_) for id_ in tokens.ids[: tokens.prefix]) == "s:be Nene\x01\n"
    assert tokens_of(Letters(), row_of("hi", "hello"), 100).prefix == 0


def test_dialogues_stand_below_her_card(character: Character) -> None:
    rows = list(read_rows(character.folder / "dialogues.jsonl", character))
    assert rows[0].messages[0].role == "system"
    assert "a gardener" in rows[0].messages[0].content
    assert rows[10].answers == ("mind rain", "rain is older than you")


def test_a_long_dialogue_loses_its_oldest_turns() -> None:
    row = row_of("a" * 40, "b" * 40, "c", "d", "e", "f", system="s")
    assert learned_text(row, 60) == "d\x01f\x01"


def test_a_turn_that_is_too_long_alone_names_its_row() -> None:
    with pytest.raises(RowError, match=r"raise `max_length` \(now 30\)"):
        learned_text(row_of("a" * 40, "b", system="s"), 30)


def test_a_template_that_forgets_answers_is_refused_where_it_would_teach_another_thing() -> None:
    with pytest.raises(RowError, match="writes message 2 differently"):
        tokens_of(Forgetful(), row_of("hi", "hello", "who?", "me"), 1000)
    assert tokens_of(Forgetful(), row_of("hi", "hello"), 1000).labels.count(IGNORED) > 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "it is no JSON"),
        ("[1]", "it is no JSON object"),
        ("{}", "neither `turns`, `messages` nor `prompt`"),
        ('{"turns": []}', "`turns` is empty"),
        ('{"turns": [["hi"]]}', "no pair"),
        ('{"turns": [["hi", ""]]}', "message 3 is empty"),
        ('{"messages": []}', "no answer in it"),
        ('{"messages": [{"role": "user", "content": "hi"}]}', "no answer in it"),
        ('{"messages": [{"role": "assistant", "content": "hi"}]}', "the user speaks"),
        ('{"messages": [{"role": "boss", "content": "hi"}]}', "`messages.0.role`"),
        ('{"prompt": [{"role": "user", "content": "hi"}]}', "`completion`"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(
    tmp_path: Path, character: Character, line: str, message: str
) -> None:
    good = json.dumps({"turns": [["hi", "hello"]]})
    with pytest.raises(RowError) as caught:
        read(tmp_path, good, line, character=character)
    assert caught.value.line == 2
    assert message in str(caught.value)


def test_turns_without_a_character_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RowError, match="stand beside a character's card"):
        read(tmp_path, json.dumps({"turns": [["hi", "hello"]]}))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be read"):
        list(read_rows(tmp_path / "none.jsonl"))


def test_more_rows_move_none_between_learned_and_held_out() -> None:
    rows = [row_of(f"question {number}", f"answer {number}") for number in range(400)]
    learned, held_out = split(rows[:200], 0.2, seed=1)
    more_learned, more_held_out = split(rows, 0.2, seed=1)
    assert {row.id for row in learned} <= {row.id for row in more_learned}
    assert {row.id for row in held_out} <= {row.id for row in more_held_out}
    assert 0.1 < len(more_held_out) / len(rows) < 0.3
    assert split(rows, 0.2, seed=2)[1] != more_held_out


def test_replay_draws_each_row_before_any_comes_again() -> None:
    rows = [row_of(f"q{number}", "a") for number in range(10)]
    assert len({row.id for row in replay(rows, 10, seed=3)}) == 10
    assert len(replay(rows, 25, seed=3)) == 25
    assert replay(rows, 5, seed=3) == replay(rows, 5, seed=3)
    assert replay([], 5, seed=3) == []


def test_answers_in_another_language_are_found() -> None:
    rows = [
        row_of("你好", "你好，坐下来喝杯茶吧，外面雨大。"),
        row_of("hi", "Sit down and have some tea with me."),
    ]
    assert [row for row, _ in wrong_language_rows(rows, "zh")] == [rows[1]]
    assert [row for row, _ in wrong_language_rows(rows, "en")] == [rows[0]]
