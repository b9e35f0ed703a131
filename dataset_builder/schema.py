"""Every row that crosses a folder border. Imports pydantic and nothing of ours, so that anyone may import it.

Row types and column names are TRL's (https://huggingface.co/docs/trl/dataset_formats).
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """One chat message, as OpenAI's routes and every chat template take it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str


class Dialogue(BaseModel):
    """A character's dialogue before it is rendered: what people said, and what she answered.

    `turns` alternate, the person first; the card is not in it, since `inference.prompt` writes that part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    turns: tuple[tuple[str, str], ...]  # (said, answered), in order


class LanguageModelingRow(BaseModel):
    """TRL's *language modeling* row: a whole conversation, rendered as it is served."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: tuple[Message, ...]
