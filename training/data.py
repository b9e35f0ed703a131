"""Rows, as the trainers take them: read, checked, rendered by the chat template, answers marked.

Three shapes are read from JSON lines, all of them written elsewhere in this project:

- `{"turns": [["said", "answered"], …]}`: dialogues beside a card; the card is rendered by `inference.prompt`;
- `{"messages": […]}`: TRL's language modeling row; every assistant message is learned;
- `{"prompt": […], "completion": […]}`: TRL's prompt-completion row; only the completion is learned.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from dataset_builder.checks import wrong_language
from dataset_builder.schema import LanguageModelingRow, Message, PromptCompletionRow
from inference.characters import Character
from inference.prompt import exchange, training_row
from training.errors import RowError, TrainingError
from training.files import json_rows, naming_row

IGNORED = -100  # the label of a token that is not learned: torch.nn.CrossEntropyLoss's ignore_index


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation. `learned` are the places of the messages that are learned, all of them assistant's."""

    messages: tuple[Message, ...]
    learned: tuple[int, ...]
    path: Path
    line: int

    @property
    def id(self) -> str:
        """A hash of what is said: the same wherever the row stands."""
        text = "\x1e".join(f"{message.role}\x1f{message.content}" for message in self.messages)
        return sha256(text.encode()).hexdigest()[:16]

    @property
    def answers(self) -> tuple[str, ...]:
        return tuple(self.messages[at].content for at in self.learned)


@dataclass(frozen=True, slots=True)
class Tokens:
    """A row by the chat template. `labels` is `ids` where a token is learned, else `IGNORED`; `prefix` is how
    many tokens its system message has."""

    ids: list[int]
    labels: list[int]
    prefix: int


def read_rows(path: Path, character: Character | None = None) -> Iterator[Row]:
    """The rows of a file. Without `character`, `turns` are refused: they have no card.

    Raises `RowError` for the first wrong row, `TrainingError` if the file cannot be read.
    """
    for number, raw in json_rows(path):
        with naming_row(path, number):
            messages, learned = _conversation(raw, character)
        yield Row(messages, learned, path, number)


def _conversation(
    raw: dict[str, Any], character: Character | None
) -> tuple[tuple[Message, ...], tuple[int, ...]]:
    """The messages of a row, and the places of those that are learned."""
    if "turns" in raw:
        messages, learned = _turns(raw["turns"], character)
    elif "messages" in raw:
        messages = LanguageModelingRow.model_validate({"messages": raw["messages"]}).messages
        learned = tuple(at for at, message in enumerate(messages) if message.role == "assistant")
    elif "prompt" in raw:
        row = PromptCompletionRow.model_validate({key: raw.get(key) for key in ("prompt", "completion")})
        messages = row.prompt + row.completion
        learned = tuple(
            at for at, each in enumerate(messages) if at >= len(row.prompt) and each.role == "assistant"
        )
    else:
        raise ValueError("it has neither `turns`, `messages` nor `prompt`")
    check_turns(messages, learned)
    return messages, learned


def _turns(turns: Any, character: Character | None) -> tuple[tuple[Message, ...], tuple[int, ...]]:
    if character is None:
        raise ValueError("`turns` stand beside a character's card; here `messages` are wanted")
    if not isinstance(turns, list) or not turns:
        raise ValueError("`turns` is empty")
    for turn in turns:
        if not (isinstance(turn, list) and len(turn) == 2 and all(isinstance(each, str) for each in turn)):
            raise ValueError(f"`{turn}` is no pair of what was said and what she answered")
    messages = training_row(character, [exchange(*turn) for turn in turns]).messages
    return messages, tuple(range(2, len(messages), 2))


def check_turns(messages: Sequence[Message], learned: Sequence[int]) -> None:
    """Raises `ValueError` unless people and she take turns, nothing is empty and there is an answer."""
    if not learned:
        raise ValueError("no answer in it to learn")
    for at, message in enumerate(messages):
        if not message.content.strip():
            raise ValueError(f"message {at + 1} is empty")
        expected = "system" if at == 0 and message.role == "system" else None
        before = messages[at - 1].role if at else "system"
        if expected is None:
            wanted = "assistant" if before == "user" else "user"
            if message.role != wanted:
                raise ValueError(
                    f"message {at + 1} is the {message.role}'s; after the {before}'s the {wanted} speaks. "
                    "Join messages of one speaker into one"
                )


def split(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Learned and held out; which is which is told by each row's own content, so more rows move none."""
    held_out = [row for row in rows if _draw(row.id, seed) < share]
    left = [row for row in rows if _draw(row.id, seed) >= share]
    return left, held_out


def _draw(id_: str, seed: int) -> float:
    return int(sha256(f"{seed}:{id_}".encode()).hexdigest()[:8], 16) / 2**32


def wrong_language_rows(rows: Sequence[Row], language: str) -> list[tuple[Row, str]]:
    """Rows in which she answers in another language than `language`, and in words what is wrong."""
    found = []
    for row in rows:
        wrong = next((why for each in row.answers if (why := wrong_language(each, language))), None)
        if wrong:
            found.append((row, wrong))
    return found


def replay(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """`count` rows out of `rows`, drawn without return as long as there are any."""
    order = random.Random(seed)
    drawn: list[Row] = []
    while rows and len(drawn) < count:
        drawn += order.sample(list(rows), min(len(rows), count - len(drawn)))
    return drawn


def tokens_of(tokenizer: Any, row: Row, max_length: int) -> Tokens:
    """The row by the tokenizer's chat template, its answers marked with the token that ends each.

    What is learned is found by rendering the conversation up to each answer and behind it, so the template
    needs no `{% generation %}` markers. A conversation that is too long loses its oldest turns.

    Raises `RowError`, `TrainingError` for a template that cannot be trained on.
    """
    messages, learned = row.messages, row.learned
    while True:
        tokens = _tokens(tokenizer, messages, learned, row)
        if len(tokens.ids) <= max_length:
            return tokens
        head = 1 if messages[0].role == "system" else 0
        rest = learned[learned[0] < head + 2 :]
        if not rest or len(messages) <= head + 2:
            raise RowError(
                row.path,
                row.line,
                f"its last turn has {len(tokens.ids):,} tokens with the card; "
                f"raise `max_length` (now {max_length:,}) or shorten it",
            )
        messages = messages[:head] + messages[head + 2 :]
        learned = tuple(at - 2 for at in rest)


def _tokens(tokenizer: Any, messages: Sequence[Message], learned: Sequence[int], row: Row) -> Tokens:
    chat = [message.model_dump() for message in messages]
    ids = render(tokenizer, chat, ask=False)
    labels = [IGNORED] * len(ids)
    for at in learned:
        before = render(tokenizer, chat[:at], ask=True)
        after = ids if at == len(chat) - 1 else render(tokenizer, chat[: at + 1], ask=False)
        if ids[: len(before)] != before or ids[: len(after)] != after:
            raise RowError(
                row.path,
                row.line,
                f"the chat template writes message {at + 1} differently once others follow: what was learned "
                "would not be what is served; give prompt-completion rows with one answer each",
            )
        endings = ending_tokens(tokenizer)
        ends = [place for place in range(len(before), len(after)) if after[place] in endings]
        if ends:
            # Templates put a line end behind the ending token; she never gets to write that one.
            end = ends[-1] + 1
        else:
            end = len(after) + 1
            if at == len(chat) - 1:
                ids.append(_next_speaker(tokenizer, chat, after, endings, row))
                labels.append(IGNORED)
        labels[len(before) : end] = ids[len(before) : end]
    prefix = 0
    if messages[0].role == "system":
        alone = render(tokenizer, chat[:1], ask=False)
        while prefix < min(len(alone), len(ids)) and alone[prefix] == ids[prefix]:
            prefix += 1
    return Tokens(ids, labels, prefix)


def _next_speaker(
    tokenizer: Any, chat: list[dict[str, str]], after: list[int], endings: frozenset[int], row: Row
) -> int:
    """What ends an answer where no token of its own does: in GLM's templates, the user's."""
    following = render(tokenizer, [*chat, {"role": "user", "content": "…"}], ask=False)
    if len(following) > len(after) and following[: len(after)] == after and following[len(after)] in endings:
        return following[len(after)]
    raise RowError(
        row.path,
        row.line,
        "nothing in the base model's chat template ends an answer, so she would never learn to stop; put a "
        "`chat_template.jinja` that does into its folder",
    )


def render(tokenizer: Any, chat: Sequence[dict[str, str]], *, ask: bool) -> list[int]:
    """Token ids of a conversation; with `ask`, up to where the assistant begins.

    Raises `TrainingError` for a template that refuses it.
    """
    from jinja2 import TemplateError

    try:
        text = tokenizer.apply_chat_template(list(chat), tokenize=False, add_generation_prompt=ask)
    except TemplateError as error:
        raise TrainingError(
            f"the base model's chat template refuses the conversation: {error}. A character's card is a "
            "system message; take a base whose template has one, or put such a `chat_template.jinja` "
            "into its folder"
        ) from error
    except ValueError as error:  # transformers': there is no template
        raise TrainingError(
            "the base model has no chat template; put a `chat_template.jinja` into its folder, which vLLM "
            "reads too"
        ) from error
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def ending_tokens(tokenizer: Any) -> frozenset[int]:
    """Ids that end an answer: the end of the sequence, and what chat templates write in its place."""
    known = tokenizer.get_added_vocab()
    turns = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|user|>", "<|endoftext|>", "</s>")
    ends = {known[turn] for turn in turns if turn in known} | {tokenizer.eos_token_id}
    return frozenset(end for end in ends if end is not None)
