"""Our QQ gateway against euler-onebot: no lifecycle, sub_type "group", silence for actions that it does not
know, reactions that do not say where, integer codes.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.errors import DeliveryFailed
from bot.messages import Part, Place
from tests.bot.test_qq import House, living
from tests.strangers.onebot_peer import Peer, peer

pytestmark = [pytest.mark.slow, pytest.mark.strangers]

REQUIREMENTS = ["euler-onebot==0.0.2", "lagrange-python==0.1.8"]
GROUP = Place("qq", "123456789", "group", "987654")
FRIEND = Place("qq", "123456789", "private", "10001")


def part(words: str, place: Place = GROUP, quotes: str | None = None) -> Part:
    return Part(place, "r1", 0, words, quotes, "maeve")


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with living() as house:
        yield house


@pytest.fixture
async def euler(house: House, tmp_path: Path) -> AsyncIterator[Peer]:
    async with peer("onebot_euler.py", REQUIREMENTS, house.url, "", tmp_path) as euler:
        await house.chat.until(house.gateway.accounts)
        yield euler


async def test_messages(house: House, euler: Peer) -> None:
    await euler.do("private", user=10001, text="你好")
    await euler.do("group", group=987654, user=10002, text=" hi")
    await euler.do("group", group=987654, user=10002, text="among ourselves", at=False)
    private, group, aside = [await house.chat.message(n) for n in (1, 2, 3)]
    assert (private.place, private.text, private.person.id) == (FRIEND, "你好", "10001")
    assert (group.place, group.text, group.addressed, group.person.name) == (GROUP, "hi", True, "Alice")
    assert not aside.addressed


async def test_sends(house: House, euler: Peer) -> None:
    await euler.do("group", group=987654, user=10001, text="hi")
    await euler.do("private", user=10001, text="hi")
    asked = await house.chat.message()
    assert await house.gateway.send(part("[CQ:at,qq=all]", quotes=asked.id))
    assert await house.gateway.send(part("just us", FRIEND))
    in_group, in_private = await euler.do("shown")
    assert [kind for kind, _ in in_group["chain"]] == ["quote", "text"]
    assert in_group["chain"][1][1] == "[CQ:at,qq=all]"
    assert (in_private["where"], in_private["chain"]) == ("u_10001", [["text", "just us"]])


async def test_a_quote_of_a_message_that_it_does_not_know_is_refused(house: House, euler: Peer) -> None:
    with pytest.raises(DeliveryFailed, match="1400") as failure:
        await house.gateway.send(part("hello", quotes="1"))
    assert failure.value.sent is False


async def test_a_reaction_that_does_not_say_where(house: House, euler: Peer) -> None:
    await euler.do("group", group=987654, user=10001, text="hi")
    await house.chat.message()
    shown = await house.gateway.send(part("hello"))
    [sent] = await euler.do("shown")
    await euler.do("react", group=987654, seq=4711, user=10001, emoji=76)  # a message that nobody knows: id 0
    await euler.do("react", group=987654, seq=sent["seq"], user=10001, emoji=76)
    await euler.do("react", group=987654, seq=sent["seq"], user=10001, emoji=76, added=False)
    await house.chat.until(lambda: len(house.chat.reactions) == 2)
    assert {(each.place, each.message, each.mark) for each in house.chat.reactions} == {(GROUP, shown, "76")}
    assert sorted(each.added for each in house.chat.reactions) == [False, True]


async def test_actions_that_it_does_not_know_hold_nobody_up(euler: Peer, house: House) -> None:
    """It never answers them: neither our question for a history nor one for typing."""
    house.chat.active = [GROUP]
    catching_up = asyncio.create_task(house.gateway._catch_up("123456789"))
    await euler.do("private", user=10001, text="still there?")
    assert (await house.chat.message()).text == "still there?"
    async with house.gateway.typing(FRIEND):
        assert await house.gateway.send(part("yes", FRIEND))
    await catching_up
