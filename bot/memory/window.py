"""How much of the conversation she sees.

The window is cut in blocks: it grows until the prompt is full and is then cut to half. A window that slides
by one turn changes the prompt near its start every time, and vLLM's prefix cache then holds a third of it
instead of nineteen twentieths.
"""

from collections.abc import Awaitable, Callable, Sequence

from dataset_builder.schema import Message
from inference.client import token_bound

Count = Callable[[Sequence[Message]], Awaitable[int]]
Write = Callable[[int], Sequence[Message]]

DEFAULT_CONTEXT = 4096


async def fit(write: Write, turns: int, budget: int, count: Count, known: int | None = None) -> int:
    """How many of the oldest turns must go so that the prompt has at most `budget` tokens.

    `write(n)` gives the messages without the n oldest of the `turns`; `count` asks the server's tokenizer.
    `known` is the length of the whole prompt as far as the last reply told it (an upper bound); the
    tokenizer, a round trip, is asked only when that is no proof. Returns `turns` when even the last message
    alone is too long.
    """
    if not turns:
        return 0
    bound = known if known is not None else sum(token_bound(message.content) for message in write(0))
    if bound <= budget or await count(write(0)) <= budget:
        return 0
    low, high = 1, turns  # the smallest cut that fits into half: bisect, as each question is a round trip
    while low < high:
        middle = (low + high) // 2
        if await count(write(middle)) <= budget // 2:
            high = middle
        else:
            low = middle + 1
    return low
