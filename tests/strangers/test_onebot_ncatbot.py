"""Our QQ gateway against ncatbot's mock of NapCat: string ids, string numbers, its own histories."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.messages import Part, Place
from tests.bot.test_qq import House, living
from tests.strangers.onebot_peer import Peer, peer

pytestmark = [pytest.mark.slow, pytest.mark.strangers]

REQUIREMENTS = ["ncatbot5==5.0.0rc7"]
GROUP = Place("qq", "123456789", "group", "200001")
FRIEND = Place("qq", "123456789", "private", "100001")
AT_ME = {"type": "at", "data": {"qq": "123456789"}}


def text(words: str) -> dict[str, object]:
    return {"type": "text", "data": {"text": words}}


def part(words: str, place: Place = GROUP, quotes: str | None = None) -> Part:
    return Part(place, "r1", 0, words, quotes, "maeve")


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with living(token="sesame-sesame-sesame") as house:
        yield house


@pytest.fixture
async def mock(house: House, tmp_path: Path) -> AsyncIterator[Peer]:
    async with peer("onebot_ncatbot.py", REQUIREMENTS, house.url, "sesame-sesame-sesame", tmp_path) as mock:
        await house.chat.until(house.gateway.accounts)
        yield mock


async def test_messages(house: House, mock: Peer) -> None:
    await mock.do("private", user=100001, message="你好", id="abc-1")
    await mock.do("group", group=200001, user=100002, message=[AT_ME, text(" hi")])
    await mock.do("group", group=200001, user=100002, message="among ourselves")
    private, group, aside = [await house.chat.message(n) for n in (1, 2, 3)]
    assert (private.place, private.id, private.text, private.person.name) == (
        FRIEND,
        "abc-1",
        "你好",
        "好友1",
    )
    assert (group.place, group.text, group.addressed) == (GROUP, "hi", True)
    assert not aside.addressed


async def test_sends_and_quotes(house: House, mock: Peer) -> None:
    shown = await house.gateway.send(part("[CQ:at,qq=all] hello", quotes="abc-1"))
    assert (await mock.do("calls", action="send_group_msg"))[0]["message"] == [
        {"type": "reply", "data": {"id": "abc-1"}},
        text("[CQ:at,qq=all] hello"),
    ]
    assert [line["message_id"] for line in await mock.do("history", group=200001)] == [shown]
    assert await house.gateway.send(part("hello", FRIEND))
    await mock.do(
        "group",
        group=200001,
        user=100001,
        message=[{"type": "reply", "data": {"id": shown}}, text("really?")],
    )
    quoting = await house.chat.message()
    assert (quoting.quotes, quoting.quoted_text, quoting.addressed) == (shown, "[CQ:at,qq=all] hello", True)


@pytest.mark.parametrize("place", [GROUP, FRIEND])
async def test_shown_though_reported_as_failed(house: House, mock: Peer, place: Place) -> None:
    action = "send_group_msg" if place.kind == "group" else "send_private_msg"
    await mock.do("shown_but_failed", action=action)
    assert await house.gateway.send(part("hello", place))
    assert len(await mock.do("calls", action=action)) == 1


async def test_reactions(house: House, mock: Peer) -> None:
    await mock.do(
        "event",
        event={
            "post_type": "notice",
            "notice_type": "group_msg_emoji_like",
            "group_id": 200001,
            "user_id": 100001,
            "message_id": "abc-2",
            "likes": [{"emoji_id": "76", "count": 1}],
            "is_add": True,
        },
    )
    await house.chat.until(lambda: house.chat.reactions)
    assert (house.chat.reactions[0].place, house.chat.reactions[0].message) == (GROUP, "abc-2")
