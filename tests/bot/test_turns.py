"""The turn machine step by step: fences, leases, repeated calls, what is left when a process dies."""

import asyncio
import time
from collections.abc import Callable

import pytest

from bot.feedback.ledger import Record
from bot.memory.store import Store
from bot.memory.turn import Busy, Claim, Delivery, Swipe, Turn, turn_id, with_swipe
from bot.memory.turns import StaleFence, Turns
from bot.messages import Conversation, IncomingMessage, Person, Place

RECORD = Record(b'{"kind":"reply"}', b"{}", b"{}")
HERE = Conversation(Place("paper", "bot", "private", "anna"), "maeve")
Machine = Callable[[str], Turns]


@pytest.fixture
def machine(store: Store) -> Machine:
    return lambda owner: Turns(store, owner, keep_seconds=1000, reply_seconds=1000, inbox=5, rate=100)


def said(number: int | str) -> IncomingMessage:
    return IncomingMessage(HERE.place, f"m{number}", Person("anna", "Anna"), f"text {number}", time.time())


async def take(turns: Turns, number: int | str) -> str:
    return await turns.accept(HERE, said(number), "message", f"text {number}")


async def claimed(turns: Turns) -> Claim:
    claim, _ = await turns.claim(HERE)
    assert isinstance(claim, Claim), claim
    return claim


def answer(claim: Claim, text: str = "reply") -> tuple[Turn, Delivery]:
    turn = Turn(turn_id(HERE.place, "maeve", claim.inbox[0]), claim.inbox[:1], ())
    reply = f"{turn.id}0"
    swipe = Swipe(reply, text, "maeve.v1", 1.0)
    return with_swipe(turn, swipe), Delivery(reply, text, "maeve.v1", "m1", 1.0)


async def commit(turns: Turns, claim: Claim, text: str = "reply") -> Delivery:
    turn, delivery = answer(claim, text)
    await turns.commit(
        claim, turn, items=1, replaces=None, start=claim.start, record=RECORD, delivery=delivery
    )
    return delivery


async def test_a_message_is_taken_once_and_a_repeated_call_agrees(machine: Machine) -> None:
    turns = machine("a")
    message = said(1)
    assert await turns.accept(HERE, message, "message", "text") == "taken"
    assert (
        await turns.accept(HERE, message, "message", "text") == "taken"
    )  # the same call again: redis-py's retry
    assert await turns.accept(HERE, said(1), "message", "text") == "seen"  # another delivery by the platform
    assert len((await claimed(turns)).inbox) == 1


async def test_an_inbox_has_an_end(machine: Machine) -> None:
    turns = machine("a")
    assert [await take(turns, number) for number in range(6)] == ["taken"] * 5 + ["full"]


async def test_one_process_at_a_time(machine: Machine) -> None:
    a, b = machine("a"), machine("b")
    await take(a, 1)
    first = await claimed(a)
    busy, _ = await b.claim(HERE)
    assert isinstance(busy, Busy)
    assert 0 < busy.seconds <= 10
    await a.release(first)
    assert (await claimed(b)).fence > first.fence


async def test_nothing_to_do(machine: Machine) -> None:
    assert (await machine("a").claim(HERE))[0] is None


async def test_a_stale_fence_writes_nothing(
    machine: Machine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.memory.turns.LEASE_SECONDS", 0.05)
    a, b = machine("a"), machine("b")
    await take(a, 1)
    late = await claimed(a)
    await asyncio.sleep(0.1)  # its process was stopped for longer than its lease
    mine = await claimed(b)
    turn, delivery = answer(late, "late")
    for refused in (
        a.commit(late, turn, items=1, replaces=None, start=0, record=RECORD, delivery=delivery),
        a.renew(late),
        a.mark(late, delivery, shown=["x"]),
        a.draft(late, delivery.reply, ["x"]),
        a.drop(late, 1),
    ):
        with pytest.raises(StaleFence):
            await refused
    await commit(b, mine, "mine")
    assert [each.kept.text for each in await b.turns(HERE)] == ["mine"]


async def test_a_repeated_commit_writes_once(machine: Machine) -> None:
    turns = machine("a")
    await take(turns, 1)
    await take(turns, 2)
    claim = await claimed(turns)
    await commit(turns, claim)
    await commit(turns, claim)  # the reply to the first call was lost
    await turns.drop(claim, 1)  # and a late refusal of the same work takes nothing that came after
    assert len(await turns.turns(HERE)) == 1
    await turns.release(claim)
    assert [item.id for item in (await claimed(turns)).inbox] == ["m2"]


async def test_a_committed_reply_waits_in_the_outbox_until_it_is_sent(machine: Machine) -> None:
    a, b = machine("a"), machine("b")
    await take(a, 1)
    claim = await claimed(a)
    await commit(a, claim)
    assert await a.release(claim)  # there is still something to do: process a dies here
    after = await claimed(b)
    assert not after.inbox
    (delivery,) = after.outbox
    assert delivery.text == "reply"
    delivery.sent.append("p1")
    await b.mark(after, delivery, shown=["p1"], finished=True)
    assert not await b.release(after)


async def test_drafts_survive_their_process(machine: Machine) -> None:
    turns = machine("a")
    await take(turns, 1)
    claim = await claimed(turns)
    await turns.draft(claim, "r0", ["p1", "p2"])
    await turns.release(claim)
    assert (await claimed(turns)).drafts == {"r0": ["p1", "p2"]}


async def test_the_index_finds_what_was_left_and_forgets_what_is_done(machine: Machine) -> None:
    turns = machine("a")
    await take(turns, 1)
    assert await turns.waiting("paper", "bot", 0) == [HERE]
    assert await turns.waiting("paper", "bot", 60) == []
    assert await turns.waiting("paper", "other", 0) == []
    _, entry = await turns.claim(HERE)
    await asyncio.sleep(0.002)
    await take(turns, 2)  # comes between the look and the removal
    await turns.idle(HERE, entry)
    assert await turns.waiting("paper", "bot", 0) == [HERE]
    await turns.idle(HERE, (await turns.claim(HERE))[1])
    assert await turns.waiting("paper", "bot", 0) == []
    assert await turns.active_places("paper", "bot", 60) == [HERE.place]


async def test_old_turns_leave_the_list_but_the_window_stays(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.memory.turns.KEPT_TURNS", 3)
    turns = machine("a")
    for number in range(5):
        await take(turns, number)
        claim = await claimed(turns)
        turn, delivery = answer(claim, f"reply {number}")
        start = 2 if number == 2 else claim.start
        await turns.commit(claim, turn, items=1, replaces=None, start=start, record=RECORD, delivery=delivery)
        await turns.release(claim)
    assert [each.kept.text for each in await turns.turns(HERE)] == ["reply 2", "reply 3", "reply 4"]


async def test_many_writers_lose_nothing(machine: Machine) -> None:
    """The common get-append-set history loses three quarters of its turns with eight writers."""
    machines = [machine(f"w{number}") for number in range(8)]

    async def work(turns: Turns, texts: list[str]) -> None:
        for text in texts:
            while await take(turns, text) != "taken":
                await asyncio.sleep(0.01)
            while True:
                claim, _ = await turns.claim(HERE)
                if claim is None:
                    break
                if isinstance(claim, Busy):
                    await asyncio.sleep(0.002)
                    continue
                if claim.inbox:
                    delivery = await commit(turns, claim, claim.inbox[0].text)
                    await turns.mark(claim, delivery, finished=True)
                await turns.release(claim)

    names = [[f"{writer}-{number}" for number in range(12)] for writer in range(8)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(work(turns, texts) for turns, texts in zip(machines, names, strict=True)))
    kept = [turn.kept.text for turn in await machines[0].turns(HERE)]
    assert sorted(kept) == sorted(f"text {name}" for texts in names for name in texts)
    for texts in names:  # each writer's own messages in their order
        assert [text for text in kept if text.removeprefix("text ") in texts] == [
            f"text {name}" for name in texts
        ]
