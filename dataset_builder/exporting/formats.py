"""A row in the formats of those who train: TRL, ShareGPT, OpenAI, Parquet. LLaMA-Factory has its own file.

A row is a whole dialogue; every answer in it is the character's own, so every `assistant` message trains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dataset_builder.errors import DatasetError
from dataset_builder.exporting.splits import scene_name
from dataset_builder.schema import Message

SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt"}
_ROWS_A_GROUP = 4096
_PARQUET = ("id", "language", "source", "character", "work", "file", "scene")


@dataclass(frozen=True, slots=True)
class Row:
    """What trains, and where it comes from. `speakers` has a name for each utterance in front of her
    answers that somebody says; a replay row has neither dialogue nor place."""

    messages: tuple[Message, ...]
    dialogue: str = ""  # its id
    language: str = ""
    source: Literal["dialogue", "replay"] = "dialogue"
    character: str = ""
    work: str = ""
    file: str = ""
    scene: str = ""
    speakers: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The dialogue's id and the language, which together are unique in a data set."""
        return f"{self.dialogue}-{self.language}" if self.language else self.dialogue

    @property
    def place(self) -> str:
        """The scene that it is split by; a dialogue that names none is a scene of its own."""
        return scene_name(self.work, self.file, self.scene) or self.dialogue

    @property
    def chat(self) -> tuple[Message, ...]:
        """All but the system prompt."""
        return self.messages[1:] if self.messages[0].role == "system" else self.messages

    @property
    def system(self) -> str:
        return self.messages[0].content if self.messages[0].role == "system" else ""

    @property
    def text(self) -> str:
        """What is said in it, by which duplicates are told."""
        return "\n".join(message.content for message in self.chat)


def provenance(row: Row) -> dict[str, str]:
    """The columns beside the messages, where a format allows any."""
    return {name: getattr(row, name) for name in _PARQUET}


def language_modeling(row: Row) -> dict[str, Any]:
    """TRL's conversational *language modeling* type: trained with `assistant_only_loss=True`."""
    return {"messages": _chat(row.messages), **provenance(row)}


def prompt_completion(row: Row) -> dict[str, Any]:
    """TRL's conversational *prompt-completion* type: only her last answer is trained."""
    return {"prompt": _chat(row.messages[:-1]), "completion": _chat(row.messages[-1:]), **provenance(row)}


def openai(row: Row) -> dict[str, Any]:
    """OpenAI's fine-tuning format, which allows no other keys
    (https://platform.openai.com/docs/guides/supervised-fine-tuning)."""
    return {"messages": _chat(row.messages)}


def sharegpt(row: Row) -> dict[str, Any]:
    """ShareGPT's `conversations`, the system prompt as its first message."""
    said = [{"from": SHAREGPT[each.role], "value": each.content} for each in row.messages]
    return {"conversations": said, **provenance(row)}


def _chat(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def parquet(rows: Sequence[Row]) -> bytes:
    """A Parquet file with the columns of `language_modeling`: fixed schema, fixed compression, no times.

    Raises `DatasetError` when `pyarrow` is missing.
    """
    try:
        import pyarrow
        from pyarrow import parquet as files
    except ImportError as error:
        raise DatasetError("Parquet needs `pyarrow`; run `pip install 'chatnvl[dataset]'`") from error
    text = pyarrow.string()
    message = pyarrow.struct([("role", text), ("content", text)])
    schema = pyarrow.schema([("messages", pyarrow.list_(message)), *((name, text) for name in _PARQUET)])
    table = pyarrow.Table.from_pylist([language_modeling(row) for row in rows], schema)
    written = pyarrow.BufferOutputStream()
    files.write_table(
        table, written, compression="zstd", compression_level=3, row_group_size=_ROWS_A_GROUP, version="2.6"
    )
    return bytes(written.getvalue())
