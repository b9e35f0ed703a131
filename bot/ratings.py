"""`python -m bot feedback`: what people voted, why a vote weighs what it does, and what is held back."""

from collections import Counter
from datetime import datetime

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bot.app import find_characters, open_store
from bot.errors import BotError
from bot.feedback.names import Names
from bot.feedback.quarantine import Rush, VoteFiles, release
from bot.feedback.votes import Votes
from bot.memory.turns import Turns
from bot.opinions import Opinion
from bot.settings import BotSettings
from bot.trace import Tracer

_DAY = 86_400
_BAR = 24


async def show_feedback(settings: BotSettings, last: int) -> None:
    """The replies voted on, the last voted first, and how each version fares."""
    table = Table("when", "reply", "version", "up", "down", "where", Column("text", overflow="fold"))
    sums: dict[str, Counter[str]] = {}
    async with open_store(settings) as store:
        votes = Votes(store, await Names.open(store), keep_seconds=_DAY, daily=1)  # only reads
        async for voted in votes.recent(last):
            found: Counter[str] = Counter()
            for cast in voted.votes.values():
                found[cast.vote] += 1
                found[f"weighted {cast.vote}"] += cast.weight  # type: ignore[assignment]  # no integer
            sums.setdefault(voted.record["version"], Counter()).update(found)
            table.add_row(
                _moment(voted.record["time"]),
                voted.record["reply"],
                voted.record["version"],
                *(_counted(found[vote], found[f"weighted {vote}"]) for vote in ("up", "down")),
                voted.record["platform"],
                Text(voted.record["text"]),  # her words, never markup
            )
    console = Console()
    if not table.row_count:
        console.print("Nobody has voted yet: a thumb on a reply, or /good and /bad, and it stands here.")
        return
    console.print(table)
    for version, found in sorted(sums.items()):
        green = round(_BAR * found["up"] / (found["up"] + found["down"]))
        console.print(
            f"{version:<24} [green]{'█' * green}[/][red]{'█' * (_BAR - green)}[/] "
            f"{found['up']} up, {found['down']} down; by weight {found['weighted up']:.4g} to "
            f"{found['weighted down']:.4g}"
        )
    if held := sum(len(rush.votes) for rush in VoteFiles(settings.data / "feedback").rushes()):
        console.print(f"{held} votes are held back: `python -m bot feedback --quarantine`")


async def explain_votes(settings: BotSettings, reply: str) -> None:
    """Each vote on a reply in words. Raises `BotError`."""
    characters, _ = find_characters(settings)
    async with open_store(settings) as store:
        turns = Turns(store, "reader", keep_seconds=_DAY, reply_seconds=_DAY, inbox=1, rate=1)
        trace = await Tracer(store, turns, characters, settings.data / "feedback").trace(reply)
    console = Console()
    record = trace.record
    console.print(
        Text(f"{record['version']}, {_moment(record['time'])}, {record['platform']}: ", style="bold"), end=""
    )
    console.print(Text(record.get("text") or "(her words are not kept: not everybody had said yes)"))
    if not trace.opinions:
        console.print("Nobody has voted on it.")
        return
    console.print(votes_table(trace.opinions))


def votes_table(opinions: tuple[Opinion, ...]) -> Table:
    """Who voted what and when, and why it weighs what it does."""
    table = Table("who", "when", "vote", "weighs", Column("because the person", overflow="fold"))
    for each in opinions:
        weighs = "held back" if each.held else f"{each.weight:g}"
        table.add_row(each.person, _moment(each.time), each.vote, weighs, Text(each.why))
    return table


def show_quarantine(settings: BotSettings) -> None:
    """What is held back, and how to let it count."""
    rushes = VoteFiles(settings.data / "feedback").rushes()
    console = Console()
    if not rushes:
        console.print("Nothing is held back.")
        return
    table = Table("id", "character", "from", "until", "persons", "votes", Column("why", overflow="fold"))
    for rush in rushes:
        table.add_row(
            Text(rush.id, overflow="fold"),
            rush.character,
            _moment(rush.since),
            _moment(rush.until),
            str(len(rush.persons) or "all"),
            _by_vote(rush),
            Text(rush.reason),
        )
    console.print(table)
    console.print("`python -m bot feedback --release ID` lets one count again.")


async def release_quarantine(settings: BotSettings, wanted: str) -> None:
    """Let it count again. Raises `BotError`."""
    rushes = VoteFiles(settings.data / "feedback").rushes()
    rush = next((each for each in rushes if each.id == wanted), None)
    if rush is None:
        raise BotError(f"nothing is held back as `{wanted}`; `python -m bot feedback --quarantine` lists it")
    async with open_store(settings) as store:
        await release(store, rush, settings.reply_days * _DAY)
    Console().print(
        f"{_by_vote(rush)} will count again as soon as the bot runs (within seconds, if it does now)."
    )


def _by_vote(rush: Rush) -> str:
    counts = Counter(vote.new for vote in rush.votes)
    return f"{counts['up']} up, {counts['down']} down"


def _counted(count: int, weight: float) -> str:
    if not count:
        return ""
    return str(count) if weight == count else f"{count} ({weight:.4g})"


def _moment(time: float) -> str:
    return f"{datetime.fromtimestamp(time):%Y-%m-%d %H:%M}"
