"""One question to a model: what is asked, of what shape the answer is, and what it may cost."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from dataset_builder.asking.cost import Tokens
from dataset_builder.errors import DatasetError
from dataset_builder.languages import tokens as likely_tokens

_REPAIR_ROOM = 1024  # tokens: what the second question says besides the first and its answer

Shape = TypeVar("Shape", bound=BaseModel)


class Garbage(DatasetError):
    """An answer that is not what was asked for; the words go to the model once."""


@dataclass(frozen=True)
class Question(Generic[Shape]):
    """One question. `check` raises `Garbage` for an answer of the right shape that makes no sense."""

    task: str  # its name and the version of its prompt, such as `rewrite-1`
    system: str
    text: str
    shape: type[Shape]
    answer_tokens: int  # that a good answer has, about
    check: Callable[[Shape], None]

    def key(self, model: str) -> str:
        """What makes it this question: its prompt's version, the model, and all that is asked."""
        asked = [self.task, model, self.system, self.text, self.schema]
        return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def read(self, text: str, finish: str) -> Shape:
        """The answer in `text`. Raises `Garbage`, which says what is wrong with it."""
        if finish == "length":
            raise Garbage("it is too long and was cut off")
        text = text.rpartition("</think>")[2]
        start, end = text.find("{"), text.rfind("}")  # models like to put a fence around JSON
        if start < 0 or end < start:
            raise Garbage("there is no JSON object in it")
        try:
            answer = self.shape.model_validate_json(text[start : end + 1])
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(key) for key in first["loc"])
            raise Garbage(f"{first['msg']}{f' at `{place}`' if place else ''}") from error
        self.check(answer)
        return answer

    @property
    def schema(self) -> dict[str, Any]:
        """The shape of the answer as JSON schema."""
        return _schema(self.shape)

    @property
    def max_tokens(self) -> int:
        return 2 * self.answer_tokens + 256

    @property
    def _parts(self) -> tuple[str, str, str]:
        return self.system, self.text, orjson.dumps(self.schema).decode()

    @property
    def likely(self) -> Tokens:
        """What it costs, about."""
        read = sum(likely_tokens(part) + 4 for part in self._parts)
        return Tokens(read, self.answer_tokens)

    def most(self, thinking_tokens: int) -> Tokens:
        """What it cannot cost more than: asked twice, each answer as long as it may be."""
        read = sum(len(part.encode("utf-8", "replace")) + 8 for part in self._parts)  # a token has a byte
        written = self.max_tokens + thinking_tokens
        return Tokens(2 * read + self.max_tokens + _REPAIR_ROOM, 2 * written)


@cache
def _schema(shape: type[BaseModel]) -> dict[str, Any]:
    return shape.model_json_schema()
