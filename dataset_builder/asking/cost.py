"""What asking a model costs: tokens and money, guessed before, counted meanwhile, kept below a budget."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dataset_builder.errors import DatasetError


class Price(BaseModel):
    """Dollars (or whatever the bill says) for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)


PRICES_OF = "April 2026"
# What OpenAI's models cost then. It ages: https://openai.com/api/pricing tells what is true today.
PRICES = {
    "gpt-4.1": Price(prompt=2.0, completion=8.0),
    "gpt-4.1-mini": Price(prompt=0.4, completion=1.6),
    "gpt-4.1-nano": Price(prompt=0.1, completion=0.4),
    "gpt-4o-mini": Price(prompt=0.15, completion=0.6),
    "gpt-5.4-mini": Price(prompt=0.75, completion=4.5),
    "gpt-5.4-nano": Price(prompt=0.2, completion=1.25),
}


def load_prices(path: Path) -> dict[str, Price]:
    """A price table in YAML: `gpt-4.1-mini: {prompt: 0.4, completion: 1.6}` a line. Raises `DatasetError`."""
    try:
        import yaml
    except ImportError as error:
        raise DatasetError("a price table needs PyYAML: `pip install pyyaml`") from error
    try:
        return TypeAdapter(dict[str, Price]).validate_python(yaml.safe_load(path.read_bytes()))
    except OSError as error:
        raise DatasetError(f"`{path}` cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise DatasetError(f"`{path}` is no YAML: {str(error).splitlines()[0]}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(key) for key in first["loc"])
        raise DatasetError(f"`{path}`: `{place or 'the table'}` is wrong: {first['msg']}") from error


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens read and written."""

    prompt: int = 0
    completion: int = 0

    def __add__(self, other: Self) -> "Tokens":
        return Tokens(self.prompt + other.prompt, self.completion + other.completion)

    def __sub__(self, other: Self) -> "Tokens":
        return Tokens(self.prompt - other.prompt, self.completion - other.completion)

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def money(self, price: Price) -> float:
        return (self.prompt * price.prompt + self.completion * price.completion) / 1_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will cost, before it is paid for."""

    rows: int  # that would be asked
    finished: int  # that were answered in an earlier run
    likely: Tokens
    most: Tokens  # if every answer had to be asked for twice and took all the room it has
    price: Price | None

    @property
    def money(self) -> float | None:
        return None if self.price is None else self.likely.money(self.price)

    @property
    def most_money(self) -> float | None:
        return None if self.price is None else self.most.money(self.price)


class Budget:
    """How much one run may spend. Room for the worst case is taken before a question is asked, so that
    answers never pass the limit; only what a broken stream cost can come on top.

    `tokens` counts read and written ones together; `money` needs a `price`, else it raises `DatasetError`.
    """

    def __init__(
        self, tokens: int | None = None, money: float | None = None, price: Price | None = None
    ) -> None:
        if money is not None and price is None:
            raise DatasetError("a budget in money needs the model's prices for a million tokens")
        self.tokens = tokens
        self.money = money
        self.price = price
        self.spent = Tokens()
        self._taken = Tokens()

    def fits(self, worst: Tokens) -> bool:
        after = self.spent + self._taken + worst
        if self.tokens is not None and after.total > self.tokens:
            return False
        return self.money is None or self.price is None or after.money(self.price) <= self.money

    def take(self, worst: Tokens) -> None:
        self._taken += worst

    def give_back(self, worst: Tokens) -> None:
        self._taken -= worst

    def spend(self, tokens: Tokens) -> None:
        self.spent += tokens

    def __str__(self) -> str:
        """How it stands, for a person."""
        said = f"{self.spent.total:,} tokens"
        if self.tokens is not None:
            said += f" of {self.tokens:,}"
        if self.price is not None:
            said += f", {self.spent.money(self.price):.4f}"
            if self.money is not None:
                said += f" of {self.money:.4f}"
        return said
