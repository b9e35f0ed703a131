"""What the owner may look at: votes by version, and the prompt of a conversation as it would be sent."""

from collections import Counter
from datetime import datetime

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bot import keys
from bot.app import find_characters, open_store
from bot.errors import CharacterNotFound, ConfigurationError
from bot.feedback.names import Names
from bot.feedback.votes import Votes
from bot.memory.store import Store
from bot.memory.turns import Turns
from bot.messages import Conversation, Place
from bot.settings import BotSettings
from inference import prompt
from inference.client import InferenceClient
from inference.errors import InferenceError

_DAY = 86_400
_BAR = 24


async def show_feedback(settings: BotSettings, last: int) -> None:
    """The replies voted on, the last voted first, and how each version fares."""
    table = Table("when", "version", "up", "down", "where", Column("reply", overflow="fold"))
    up: Counter[str] = Counter()
    down: Counter[str] = Counter()
    async with open_store(settings) as store:
        votes = Votes(store, await Names.open(store), keep_seconds=_DAY, daily=1)  # only reads
        async for voted in votes.recent(last):
            likes = sum(cast.vote == "up" for cast in voted.votes.values())
            dislikes = len(voted.votes) - likes
            version = voted.record["version"]
            up[version] += likes
            down[version] += dislikes
            table.add_row(
                f"{datetime.fromtimestamp(voted.record['time']):%Y-%m-%d %H:%M}",
                *(version, str(likes or ""), str(dislikes or ""), voted.record["platform"]),
                Text(voted.record["text"]),  # her words, never markup
            )
    console = Console()
    if not table.row_count:
        console.print("Nobody has voted yet: a thumb on a reply, or /good and /bad, and it stands here.")
        return
    console.print(table)
    for version in sorted(up | down):
        total = up[version] + down[version]
        green = round(_BAR * up[version] / total)
        console.print(
            f"{version:<24} [green]{'█' * green}[/][red]{'█' * (_BAR - green)}[/] "
            f"{up[version]} up, {down[version]} down"
        )


async def show_conversations(settings: BotSettings) -> None:
    """The conversations of the last day, by the names that `show_prompt` takes."""
    characters, _ = find_characters(settings)
    table = Table(Column("conversation", overflow="fold", ratio=3), "turns", Column("last said", ratio=1))
    async with open_store(settings) as store:
        turns = _turns(store, settings)
        async for key in store.client.scan_iter(match=f"{keys.PREFIX}:*:places", count=1000):
            for member in await store.do("ZREVRANGE", key, 0, -1):
                place, _ = keys.read_place(member)
                for character in characters:
                    if said := await turns.turns(Conversation(place, character), last=1000):
                        table.add_row(
                            f"{place}:{character}", str(len(said)), Text(said[-1].said[-1].text[:60])
                        )
    Console().print(table if table.row_count else "Nobody has said anything in the last day.")


async def show_prompt(settings: BotSettings, name: str, say: str) -> None:
    """What would be sent for a conversation if `say` came now, and how long it is. Raises
    `ConfigurationError`.
    """
    characters, _ = find_characters(settings)
    conversation = read_conversation(name)
    if conversation.character not in characters:
        raise CharacterNotFound(conversation.character, characters)
    character = characters[conversation.character]
    named = conversation.place.kind == "group"
    async with open_store(settings) as store, InferenceClient(settings.inference, settings.data) as client:
        window = await _turns(store, settings).turns(conversation)
        messages = prompt.messages(
            character,
            [turn.exchange(named=named) for turn in window],
            [prompt.Said(text=say, name="…" if named else "")],
        )
        try:
            version = await client.version_of(character)
            length = f"{await client.count_tokens(version, messages)} tokens for `{version}`"
        except InferenceError as error:
            length = f"length unknown: {error}"
    console = Console(highlight=False)
    for message in messages:
        console.print(Text(f"[{message.role}]", style="bold"))
        console.print(Text(message.content))
    console.print(Text(f"({len(messages)} messages, {length})", style="dim"))


def read_conversation(name: str) -> Conversation:
    """`platform:account:private|group:id:character`, where the id may hold colons itself. Raises
    `ConfigurationError`.
    """
    head, _, character = name.rpartition(":")
    parts = head.split(":", 3)
    if len(parts) != 4 or not all(parts) or parts[2] not in ("private", "group"):
        raise ConfigurationError(f"`{name}` is no conversation; `python -m bot prompt` lists them")
    platform, account, kind, place = parts
    return Conversation(Place(platform, account, "group" if kind == "group" else "private", place), character)


def _turns(store: Store, settings: BotSettings) -> Turns:
    return Turns(store, "reader", keep_seconds=_DAY, reply_seconds=_DAY, inbox=1, rate=1)
