"""What the owner may look at: conversations, the prompt of one as it would be sent, and what stands behind a
reply.
"""

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bot import keys
from bot.app import find_characters, open_store
from bot.errors import CharacterNotFound
from bot.memory.store import Store
from bot.memory.turns import Turns
from bot.messages import Conversation
from bot.settings import BotSettings
from bot.trace import Tracer, read_conversation
from bot.trace_view import as_json, draw
from inference import prompt
from inference.client import InferenceClient
from inference.errors import InferenceError

_DAY = 86_400


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
            version = (await client.version_of(character, str(conversation))).version
            length = f"{await client.count_tokens(version, messages)} tokens for `{version}`"
        except InferenceError as error:
            length = f"length unknown: {error}"
    console = Console(highlight=False)
    for message in messages:
        console.print(Text(f"[{message.role}]", style="bold"))
        console.print(Text(message.content))
    console.print(Text(f"({len(messages)} messages, {length})", style="dim"))


async def show_trace(settings: BotSettings, reply: str, *, message: str | None, json: bool) -> None:
    """What stands behind a reply. With `message`, the platform's id of a message that shows it, `reply` is
    the name of the conversation. Raises `BotError`.
    """
    characters, _ = find_characters(settings)
    async with open_store(settings) as store:
        tracer = Tracer(store, _turns(store, settings), characters, settings.data / "feedback")
        if message is not None:
            reply = await tracer.reply_shown(read_conversation(reply), message)
        trace = await tracer.trace(reply)
    console = Console(highlight=False)
    if json:
        console.out(as_json(trace), highlight=False)
    else:
        draw(trace, console)


def _turns(store: Store, settings: BotSettings) -> Turns:
    return Turns(store, "reader", keep_seconds=_DAY, reply_seconds=_DAY, inbox=1, rate=1)
