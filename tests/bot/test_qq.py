"""The border of the QQ gateway: frames in, values out; parts in, frames out. Every trap of OneBot once."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import websockets

from bot.errors import ConfigurationError, DeliveryFailed, StorageUnavailable
from bot.gateways.qq import QQGateway
from bot.messages import IncomingMessage, Part, Place, Reaction
from tests.fakes.onebot import FakeOneBot

ACCOUNT = "123456789"
GROUP = Place("qq", ACCOUNT, "group", "987654")
FRIEND = Place("qq", ACCOUNT, "private", "10001")


@dataclass
class Recorder:
    """The other side of the border: writes down what the gateway hands over."""

    messages: list[IncomingMessage] = field(default_factory=list)
    reactions: list[Reaction] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    ours: set[str] = field(default_factory=set)
    active: list[Place] = field(default_factory=list)
    answer: Callable[[IncomingMessage], str | None] = lambda message: None

    async def receive(self, message: IncomingMessage) -> str | None:
        self.messages.append(message)
        return self.answer(message)

    async def react(self, reaction: Reaction) -> bool:
        self.reactions.append(reaction)
        return True

    async def is_ours(self, place: Place, message: str) -> bool:
        return message in self.ours

    async def active_places(self, platform: str, account: str, within: float) -> list[Place]:
        assert platform == "qq"
        return [place for place in self.active if place.account == account]

    def connected(self, platform: str, account: str) -> None:
        self.connections.append(account)

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not true():  # what is waited for is not always announced
                await asyncio.sleep(0.002)

    async def message(self, count: int = 1) -> IncomingMessage:
        await self.until(lambda: len(self.messages) >= count)
        return self.messages[count - 1]


@dataclass
class House:
    gateway: QQGateway
    chat: Recorder
    stop: asyncio.Event
    task: asyncio.Task[None]

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.gateway.port}/onebot/v11/ws"

    @asynccontextmanager
    async def client(self, **settings: Any) -> AsyncIterator[FakeOneBot]:
        async with FakeOneBot(self.url, **settings) as qq:
            if qq.role != "Event":
                await self.chat.until(lambda: str(qq.account) in self.gateway.accounts())
            yield qq


@asynccontextmanager
async def living(chat: Recorder | None = None, **settings: Any) -> AsyncIterator[House]:
    settings = {"port": 0, "pace": (0, 0), "look_after": (0.02, 0.05, 0.1), "patience": 0.3} | settings
    house = House(QQGateway(**settings), chat or Recorder(), asyncio.Event(), None)  # type: ignore[arg-type]
    house.task = asyncio.create_task(house.gateway.run(house.chat, house.stop))  # type: ignore[arg-type]
    while house.gateway.port == 0 and not house.task.done():  # it has no event to wait for
        await asyncio.sleep(0)
    try:
        yield house
    finally:
        house.stop.set()
        await house.task


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with living() as house:
        yield house


def part(text: str, place: Place = GROUP, *, index: int = 0, quotes: str | None = None) -> Part:
    return Part(place, "r1", index, text, quotes, "maeve")


# Who may come in


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_other_machines_only_with_a_good_token(host: str) -> None:
    with pytest.raises(ConfigurationError, match="token"):
        QQGateway(host=host)
    with pytest.raises(ConfigurationError, match="16 characters"):
        QQGateway(host=host, token="short")
    QQGateway(host=host, token="0123456789abcdef")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    QQGateway(host=host)


@pytest.mark.parametrize("token", ["", "two words", "mot de passe é", "line\n"])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(ConfigurationError, match="ASCII"):
        QQGateway(token=token)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer wrong"}, 403),
        ({"Authorization": "Bearer sésame"}, 403),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "sesame"}, 401),
        ({}, 401),
        ({"Authorization": "Bearer sesame", "X-Self-ID": ""}, 400),
        ({"Authorization": "Bearer sesame", "X-Client-Role": "Visitor"}, 400),
    ],
)
async def test_refused(headers: dict[str, str], status: int, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"X-Self-ID": ACCOUNT, "X-Client-Role": "Universal"} | headers
    async with living(token="sesame") as house:
        for path in (
            "/ws/",
            "/ws",
            "/ws/api",
            "/ws/event/",
            "/onebot/v11/ws",
            "/onebot/v11/ws/",
            "/onebot/v11/",
        ):
            with pytest.raises(websockets.InvalidStatus) as refusal:
                await websockets.connect(
                    f"ws://127.0.0.1:{house.gateway.port}{path}", additional_headers=headers
                )
            assert refusal.value.response.status_code == status
        assert not house.gateway.accounts()
    assert "refused a connection from 127.0.0.1" in caplog.text
    assert "sesame" not in caplog.text


@pytest.mark.parametrize("path", ["/ws/", "/ws", "/onebot/v11/ws", "/onebot/v11/ws/", "/onebot/v11/"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token"])
async def test_admitted(path: str, scheme: str) -> None:
    async with living(token="sesame") as house:
        headers = {"Authorization": f"{scheme} sesame"}
        async with FakeOneBot(
            f"ws://127.0.0.1:{house.gateway.port}{path}", token=None, headers=headers
        ) as qq:
            await qq.say("hello", user=10001)
            assert (await house.chat.message()).text == "hello"


async def test_napcat_without_a_token_sends_an_empty_one(house: House) -> None:
    async with house.client(token="") as qq:
        assert await qq.say("hello", user=10001)
        await house.chat.message()


async def test_events_by_http_are_not_taken(house: House) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.gateway.port)
    body = b'{"post_type":"message","message_type":"private","user_id":1,"message_id":1,"message":"hi"}'
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nX-Self-ID: 1\r\nContent-Type: application/json\r\n")
    writer.write(b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
    assert (await reader.readline()).split()[1] == b"404"
    writer.close()
    assert not house.chat.messages


async def test_a_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}") as error:
            await QQGateway(port=port).run(Recorder(), asyncio.Event())  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


async def test_the_root_logger_stays_as_it_was(house: House, caplog: pytest.LogCaptureFixture) -> None:
    before = list(logging.getLogger().handlers)
    with caplog.at_level(logging.INFO):
        async with house.client(heartbeat=0.01) as qq:
            await qq.say("a secret", user=10001)
            await house.chat.message()
            await asyncio.sleep(0.05)
    assert logging.getLogger().handlers == before
    assert "connected from 127.0.0.1" in caplog.text
    assert "disconnected" in caplog.text
    assert "a secret" not in caplog.text
    assert "heartbeat" not in caplog.text


# What people say


async def test_private(house: House) -> None:
    async with house.client() as qq:
        known = await qq.say("  你好 ", user=10001, name="Alice")
        message = await house.chat.message()
    assert message.place == FRIEND
    assert (message.id, message.text, message.addressed) == (str(known), "你好", True)
    assert (message.person.id, message.person.name) == ("10001", "Alice")
    assert abs(message.time - time.time()) < 60


async def test_group(house: House) -> None:
    async with house.client() as qq:
        await qq.say("你好", user=10001, group=987654, name="Alice", card="群名片")
        await qq.say("among ourselves", user=10001, group=987654, at=False)
        await qq.say(
            "hey", user=10001, group=987654, at=False, segments=[{"type": "at", "data": {"qq": "all"}}]
        )
        at, aside, everybody = [await house.chat.message(n) for n in (1, 2, 3)]
    assert at.place == GROUP
    assert (at.text, at.addressed, at.person.name) == ("你好", True, "群名片")
    assert not aside.addressed
    assert (everybody.text, everybody.addressed) == ("@全体成员hey", False)


@pytest.mark.parametrize("format", ["array", "string"])
async def test_segments_and_cq_strings_say_the_same(house: House, format: Any) -> None:
    odd = "&#91;CQ:at,qq=1&#93; a,b & [c]"
    segments = [
        {"type": "text", "data": {"text": odd}},
        {"type": "image", "data": {"file": "a,b.jpg", "url": "https://x/?a=1&b=2"}},
        {"type": "image", "data": {"file": "x", "summary": "[开心]"}},
        {"type": "record", "data": {"file": "x"}},
        {"type": "face", "data": {"id": "178"}},
        {"type": "face", "data": {"id": "76"}},
        {"type": "at", "data": {"qq": "10002"}},
        {"type": "json", "data": {"data": '{"a":[1,2]}'}},
        {"type": "brand-new", "data": {}},
        {"type": "at", "data": {"qq": ACCOUNT}},
    ]
    async with house.client(format=format) as qq:
        await qq.say("end", user=10001, group=987654, at=False, segments=segments)
        message = await house.chat.message()
    assert message.addressed
    assert message.text == f"{odd}[图片][开心][语音][表情][赞]@10002 [卡片][brand-new] end"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sub_type": "other"}, {}),
        ({"sub_type": "group"}, {}),
        ({"sub_type": None}, {}),
        ({"sender": None}, {"name": "10001"}),
        ({"sender": {}}, {"name": "10001"}),
        ({"sender": "?"}, {"name": "10001"}),
        ({"sender": {"user_id": 10001, "nickname": " ", "card": None}}, {"name": "10001"}),
        ({"font": None, "raw_message": None, "anonymous": None, "message_format": None}, {}),
        ({"user_id": "10001", "group_id": "987654"}, {}),
        ({"user_id": 10001.0}, {}),
        ({"message_id": -1763512345}, {"id": "-1763512345"}),
        ({"message_id": "m-17"}, {"id": "m-17"}),
        ({"time": 1755000000123}, {"time": 1755000000.123}),
        ({"message": {"type": "text", "data": {"text": "hello"}}}, {"addressed": False}),
        (
            {"message": [{"type": "text", "data": {"text": "hello"}}, 7, None, {"data": {}}]},
            {"addressed": False},
        ),
        ({"message": None, "raw_message": f"[CQ:at,qq={ACCOUNT}] hello"}, {}),
    ],
)
async def test_other_spellings(house: House, change: dict[str, Any], expected: dict[str, Any]) -> None:
    async with house.client() as qq:
        await qq.say("hello", user=10001, group=987654, name="Alice", **change)
        message = await house.chat.message()
    assert message.place == GROUP
    assert message.person.id == "10001"
    seen = {
        "id": message.id,
        "name": message.person.name,
        "time": message.time,
        "addressed": message.addressed,
    }
    assert message.text == "hello"
    expected = {"name": "Alice", "addressed": True} | expected
    assert {key: seen[key] for key in expected} == expected


async def test_half_an_emoji(house: House) -> None:
    async with house.client() as qq:
        await qq.say("half \ud83d, whole \ud83d\ude00", user=10001, name="A\udc00", message_id="m\ud800")
        message = await house.chat.message()
    assert (message.text, message.person.name, message.id) == ("half \ufffd, whole 😀", "A\ufffd", "m\ufffd")


JUNK = [
    "not json",
    "[" * 100_000,
    "[]",
    "null",
    "7",
    "{}",
    '{"post_type":null}',
    '{"post_type":["message"]}',
    '{"post_type":"message"}',
    '{"post_type":"message","message_type":7}',
    '{"post_type":"message","message_type":"private","sub_type":7,"user_id":1,"message_id":1,"message":"x"}',
    '{"post_type":"message","message_type":"private","user_id":null,"message_id":1,"message":"x"}',
    '{"post_type":"message","message_type":"private","user_id":true,"message_id":1,"message":"x"}',
    '{"post_type":"message","message_type":"group","user_id":1,"message_id":1,"message":"x"}',
    '{"post_type":"message","message_type":"private","user_id":1,"message":"x"}',
    '{"post_type":"message","message_type":"guild","user_id":1,"message_id":1,"message":"x"}',
    '{"post_type":"notice","notice_type":"group_msg_emoji_like","likes":7,"user_id":1,"message_id":1}',
    '{"post_type":"notice","notice_type":"notify","sub_type":"poke","user_id":1,"target_id":123456789}',
    '{"post_type":"notice","notice_type":"notify","sub_type":"input_status","user_id":1}',
    '{"post_type":"request","request_type":"friend","user_id":1,"flag":"x","comment":"hi"}',
    '{"post_type":"meta_event","meta_event_type":"heartbeat","status":7}',
    '{"status":"ok","retcode":0,"data":null,"echo":null}',
    '{"status":"ok","retcode":0,"data":null,"echo":{"seq":1}}',
    '{"status":"ok","retcode":0,"data":null,"echo":"nobody asked"}',
    '{"status":"ok","retcode":0,"data":null}',
]


@pytest.mark.parametrize("frame", JUNK, ids=range(len(JUNK)))
async def test_junk_changes_nothing(house: House, frame: str, caplog: pytest.LogCaptureFixture) -> None:
    async with house.client() as qq:
        await qq.push(frame)
        await qq._socket.send(b"\xff\xfe")
        await qq.say("still there?", user=10001)
        assert (await house.chat.message()).text == "still there?"
        assert len(house.chat.messages) == 1
        assert (await asyncio.gather(house.gateway.send(part("yes")), qq.wait_reply()))[1].text == "yes"
    assert "Traceback" not in caplog.text


async def test_nobody_talks_to_himself(house: House) -> None:
    async with house.client() as qq, house.client(account=222) as second:
        await qq.say("mine", user=int(ACCOUNT), group=987654)
        await qq.say("mine", user=10001, group=987654, post_type="message_sent")
        await qq.say("our other account", user=222, group=987654)
        await qq.say("QQ's helper", user=2854196310, group=987654)
        await qq.say("a person", user=10001, group=987654)
        assert (await house.chat.message()).text == "a person"
        await second.say("to the other", user=10001)
        assert (await house.chat.message(2)).place.account == "222"


async def test_a_replayed_event_keeps_its_id(house: House) -> None:
    """The core answers an id once; the gateway must not invent another one."""
    async with house.client() as qq:
        await qq.say("once", user=10001, message_id=5)
        await qq.say("once", user=10001, message_id=5)
        first, second = await house.chat.message(1), await house.chat.message(2)
    assert (first.place, first.id) == (second.place, second.id)


async def test_a_notice_is_shown_where_it_belongs() -> None:
    async with (
        living(Recorder(answer=lambda message: f"no command {message.text}")) as house,
        house.client() as qq,
    ):
        known = await qq.say("/x", user=10001, group=987654)
        shown = await qq.wait_reply()
        assert (shown.text, shown.group, shown.quotes) == ("no command /x", 987654, str(known))
        await qq.say("/y", user=10001)
        shown = await qq.wait_reply(2)
        assert (shown.text, shown.group, shown.user) == ("no command /y", None, 10001)


async def test_what_the_core_cannot_take_does_not_end_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(message: IncomingMessage) -> None:
        if message.text == "bug":
            raise ZeroDivisionError
        raise StorageUnavailable("Redis is away")

    async with living(Recorder(answer=answer)) as house, house.client() as qq:
        await qq.say("bug", user=10001)
        await qq.say("away", user=10001)
        await house.chat.message(2)
        assert ACCOUNT in house.gateway.accounts()
    assert "ZeroDivisionError" in caplog.text
    assert "Redis is away" in caplog.text


# Quotes


@pytest.mark.parametrize("dialect", ["napcat", "lagrange"])
async def test_quotes(house: House, dialect: Any) -> None:
    async with house.client(dialect=dialect) as qq:
        theirs = await qq.say("I like tea", user=10002, group=987654, at=False)
        await house.chat.message()
        mine = await house.gateway.send(part("I like coffee"))
        house.chat.ours.add(mine)
        await qq.say("really?", user=10001, group=987654, at=False, reply_to=mine)
        ours = await house.chat.message(2)
        assert (ours.quotes, ours.quoted_text, ours.addressed) == (mine, "I like coffee", True)
        await qq.say("me too", user=10001, group=987654, at=False, reply_to=theirs)
        aside = await house.chat.message(3)
        assert (aside.quotes, aside.quoted_text, aside.addressed) == (str(theirs), "I like tea", False)
        await qq.say("and you?", user=10001, group=987654, reply_to=theirs)
        assert (await house.chat.message(4)).addressed


async def test_a_quoted_notice_of_ours_addresses_us(house: House) -> None:
    async with house.client() as qq:
        notice = await house.gateway.send(part("say /help"))
        await qq.say("what?", user=10001, group=987654, at=False, reply_to=notice)
        assert (await house.chat.message()).addressed


async def test_an_unanswered_get_msg_delays_nobody_else_and_loses_nothing(house: House) -> None:
    async with house.client(mute={"get_msg"}) as qq:
        house.chat.ours.add("77")
        await qq.say("first", user=10001, reply_to=77)
        await qq.say("second", user=10001)
        await qq.say("elsewhere", user=10002)
        assert (await house.chat.message()).text == "elsewhere"
        quoting, after = await house.chat.message(2), await house.chat.message(3)
    assert (quoting.text, quoting.quotes, quoting.quoted_text) == ("first", "77", "")
    assert after.text == "second"


async def test_a_long_quote_is_cut(house: House) -> None:
    async with house.client() as qq:
        await qq.say("that one", user=10001, reply_to=await qq.say("x" * 5000, user=10001))
        assert (await house.chat.message(2)).quoted_text == "x" * 500


async def test_an_old_quote_is_unknown_to_the_client(house: House) -> None:
    async with house.client() as qq:
        await qq.say("that one", user=10001, reply_to=12)
        assert (await house.chat.message()).quoted_text == ""


@pytest.mark.parametrize(
    ("text", "command"),
    [("赞", "/good"), ("👍", "/good"), ("👍🏽", "/good"), ("踩", "/bad"), ("👎", "/bad"), ("赞美你", None)],
)
async def test_a_thumb_under_her_words_in_private(house: House, text: str, command: str | None) -> None:
    house.chat.ours.add("77")
    async with house.client() as qq:
        await qq.say(text, user=10001, reply_to=77)
        message = await house.chat.message()
        assert (message.text, message.quotes) == (command or text, "77")
        await qq.say(text, user=10001)
        assert (await house.chat.message(2)).text == text
        await qq.say(text, user=10001, reply_to=78)  # not her words
        assert (await house.chat.message(3)).text == text
        await qq.say(text, user=10001, group=987654, reply_to=77)  # a group has reactions
        assert (await house.chat.message(4)).text == text


async def test_a_thumb_as_a_qq_face(house: House) -> None:
    house.chat.ours.add("77")
    async with house.client() as qq:
        await qq.say("", user=10001, reply_to=77, segments=[{"type": "face", "data": {"id": "76"}}])
        assert (await house.chat.message()).text == "/good"


# Reactions


@pytest.mark.parametrize("dialect", ["napcat", "llbot", "lagrange"])
async def test_reactions(house: House, dialect: Any) -> None:
    async with house.client(dialect=dialect) as qq:
        for emoji in ("76", "128077", "66", "10084", "124", "77", "128078", "123"):
            await qq.react(42, emoji, 10001)
        await qq.react(42, "76", 10001, added=False)
        await house.chat.until(lambda: len(house.chat.reactions) == 9)
    first, last = house.chat.reactions[0], house.chat.reactions[-1]
    assert (first.place, first.message, first.person.id) == (GROUP, "42", "10001")
    assert (first.vote, first.added, first.mark) == ("up", True, "76")
    assert (last.added, last.mark) == (False, "76")
    assert [each.vote for each in house.chat.reactions[:8]] == ["up"] * 5 + ["down"] * 3


@pytest.mark.parametrize(
    ("message", "emoji", "user", "fields"),
    [
        (42, "76", None, {}),  # NapCat does not always know who it was
        (42, "76", int(ACCOUNT), {}),  # our own, put there as an invitation
        (42, "63", 10001, {}),  # a rose is no vote
        (None, "76", 10001, {}),
        (42, "76", 10001, {"group_id": None}),
        (42, "76", 10001, {"notice_type": "group_recall"}),
    ],
)
@pytest.mark.parametrize("dialect", ["napcat", "lagrange"])
async def test_reactions_that_do_not_count(
    house: House, dialect: Any, message: Any, emoji: str, user: Any, fields: dict[str, Any]
) -> None:
    async with house.client(dialect=dialect) as qq:
        await qq.react(message, emoji, user, **fields)
        await qq.react(43, "77", 10001)
        await house.chat.until(lambda: house.chat.reactions)
    assert [each.message for each in house.chat.reactions] == ["43"]


async def test_an_older_napcat_reports_adds_without_saying_so(house: House) -> None:
    async with house.client() as qq:
        await qq.react(42, "76", 10001, is_add=None)
        await house.chat.until(lambda: house.chat.reactions)
    assert house.chat.reactions[0].added


async def test_euler_says_neither_the_group_nor_a_textual_code(house: House) -> None:
    async with house.client(dialect="lagrange") as qq:
        shown = await house.gateway.send(part("hello"))
        await qq.react(int(shown), "x", 10001, code=76, group_id=None)
        await house.chat.until(lambda: house.chat.reactions)
    assert (house.chat.reactions[0].place, house.chat.reactions[0].mark) == (GROUP, "76")


# What she says


async def test_sending(house: House) -> None:
    async with house.client() as qq:
        injected = "[CQ:at,qq=all] & &#91;x&#93;"
        shown = await house.gateway.send(part(injected, quotes="55"))
        first = await qq.wait_reply()
        assert shown == str(first.id)
        assert first.segments == [
            {"type": "reply", "data": {"id": "55"}},
            {"type": "text", "data": {"text": injected}},
        ]
        assert first.params.keys() == {"group_id", "message"}
        await house.gateway.send(part("more", index=1))
        assert (await qq.wait_reply(2)).quotes is None
        await house.gateway.send(part("just us", FRIEND, quotes="55"))
        third = await qq.wait_reply(3)
        assert (third.params["user_id"], third.quotes, third.group) == (10001, None, None)


async def test_ids_that_are_no_numbers(house: House) -> None:
    async with house.client(ids="string") as qq:
        assert (await house.gateway.send(part("hello"))).startswith("m-")
        await house.gateway.send(part("hello", Place("qq", ACCOUNT, "group", "abc")))
        assert (await qq.wait_reply(2)).group == "abc"


async def test_a_stranger_through_a_group_is_answered_through_it(house: House) -> None:
    async with house.client() as qq:
        await qq.say("hi", user=10001, sub_type="group", group_id=987654, temp_source=0)
        assert (await house.chat.message()).place == FRIEND
        await house.gateway.send(part("hello", FRIEND))
        assert (await qq.wait_call("send_private_msg")) | {"message": 0} == {
            "user_id": 10001,
            "group_id": 987654,
            "message": 0,
        }


async def test_nobody_connected(house: House) -> None:
    with pytest.raises(DeliveryFailed) as failure:
        await house.gateway.send(part("hello"))
    assert failure.value.sent is False
    async with house.client(account=222):
        with pytest.raises(DeliveryFailed, match="123456789"):
            await house.gateway.send(part("hello"))


async def test_refused_by_the_client(house: House) -> None:
    async with house.client() as qq:
        qq.faults.append("refused")
        with pytest.raises(DeliveryFailed, match="1400") as failure:
            await house.gateway.send(part("hello"))
    assert failure.value.sent is False


@pytest.mark.parametrize("place", [GROUP, FRIEND])
@pytest.mark.parametrize("name", ["silence", "1200 shown", "async", "twice"])
async def test_shown_though_not_confirmed(house: House, name: Any, place: Place) -> None:
    async with house.client() as qq:
        qq.faults.append(name)
        shown = await house.gateway.send(part("hello\n\nyou", place))
        assert len(qq.sent) == 1
        assert shown == str(qq.sent[0].id)
        assert await house.gateway.send(part("again", place))  # the socket is as good as before
        assert len(qq.sent) == 2


@pytest.mark.parametrize("name", ["1200 lost", "silence"])
async def test_nobody_knows(house: House, name: Any) -> None:
    async with house.client(unknown={"get_group_msg_history"} if name == "silence" else set()) as qq:
        qq.faults.append(name)
        with pytest.raises(DeliveryFailed) as failure:
            async with asyncio.timeout(60):
                await house.gateway.send(part("hello"))
    assert failure.value.sent is None


async def test_the_same_words_of_a_moment_before_are_not_taken_for_these(house: House) -> None:
    async with house.client() as qq:
        first = await house.gateway.send(part("嗯。"))
        qq.faults.append("1200 lost")
        with pytest.raises(DeliveryFailed) as failure:
            await house.gateway.send(part("嗯。"))
        assert failure.value.sent is None
        await qq.say("嗯。", user=10001, group=987654)  # nor somebody else's
        qq.faults.extend(["1200 lost", "1200 shown"])
        with pytest.raises(DeliveryFailed):
            await house.gateway.send(part("嗯。"))
        assert await house.gateway.send(part("嗯。")) not in (first, "")


async def test_it_comes_into_the_history_late() -> None:
    async with living(look_after=(0.05,) * 40) as house, house.client() as qq:
        qq.faults.append("late")
        sending = asyncio.create_task(house.gateway.send(part("hello")))
        await qq.wait_call("get_group_msg_history", 2)
        qq.arrive()
        assert await sending == str(qq.sent[0].id)


@pytest.mark.parametrize("name", ["cut shown", "cut lost"])
async def test_the_socket_goes_while_the_answer_is_awaited(name: Any) -> None:
    async with living(patience=60, look_after=(0.1,) * 20) as house, house.client() as qq:
        qq.faults.append(name)
        sending = asyncio.create_task(house.gateway.send(part("hello")))
        await house.chat.until(lambda: len(qq.sent) == 1 or not house.gateway.accounts())
        await qq.closed()
        await qq.connect()
        if name == "cut shown":
            assert await sending == str(qq.sent[0].id)
        else:
            with pytest.raises(DeliveryFailed) as failure:
                await sending
            assert failure.value.sent is None
            assert not qq.sent


async def test_calls_of_a_lost_socket_fail_at_once() -> None:
    async with living(patience=60, look_after=()) as house, house.client() as qq:
        qq.faults.append("silence")
        sending = asyncio.create_task(house.gateway.send(part("hello")))
        await qq.wait_reply()
        qq.cut()
        async with asyncio.timeout(5):
            with pytest.raises(DeliveryFailed, match="connection was lost") as failure:
                await sending
        assert failure.value.sent is None


async def test_many_calls_at_once_find_their_own_answers(house: House) -> None:
    async with house.client() as qq:
        shown = await asyncio.gather(*(house.gateway.send(part(f"n{n}")) for n in range(50)))
        assert {str(each.id): each.text for each in qq.sent} == {shown[n]: f"n{n}" for n in range(50)}


# Connections


async def test_the_newest_connection_wins(house: House) -> None:
    async with house.client() as old:
        async with house.client() as new:
            await house.chat.until(lambda: len(house.chat.connections) == 2)
            assert await old.closed() == 1001
            await house.gateway.send(part("hello"))
            assert [len(old.sent), len(new.sent)] == [0, 1]
            await new.say("I am here", user=10001)
            await house.chat.message()
        async with house.client() as third:
            await house.gateway.send(part("again"))
            assert third.sent


async def test_a_zombie_does_not_lock_the_account_out() -> None:
    async with living(patience=60, look_after=(0.05,) * 20) as house, house.client() as zombie:
        zombie.freeze()
        sending = asyncio.create_task(house.gateway.send(part("into the void")))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5), house.client() as new:
            await house.chat.until(lambda: len(house.chat.connections) == 2)
            await house.gateway.send(part("hello"))
            assert new.sent[0].text == "hello"
            with pytest.raises(DeliveryFailed) as failure:
                await sending
            assert failure.value.sent is None
        zombie.cut()


async def test_a_client_whose_heart_stops_is_gone(house: House) -> None:
    async with house.client(heartbeat=0.05) as qq:
        await house.gateway.send(part("hello"))
        qq.freeze()
        await house.chat.until(lambda: not house.gateway.accounts())
        qq.cut()


async def test_two_accounts(house: House) -> None:
    async with house.client() as one, house.client(account=222) as two:
        await house.gateway.send(part("from one"))
        await house.gateway.send(part("from two", Place("qq", "222", "group", "987654")))
        assert ([each.text for each in one.sent], [each.text for each in two.sent]) == (
            ["from one"],
            ["from two"],
        )
        assert set(house.gateway.accounts()) == {ACCOUNT, "222"}


async def test_separate_sockets_for_events_and_calls(house: House) -> None:
    async with house.client(role="Event", lifecycle=False) as events:
        assert not house.gateway.accounts()
        async with house.client(role="API", lifecycle=False) as calls:
            await events.say("hello", user=10001)
            await house.chat.message()
            await house.gateway.send(part("hi", FRIEND))
            assert calls.sent
        await house.chat.until(lambda: not house.gateway.accounts())


async def test_without_a_role_or_a_lifecycle(house: House) -> None:
    async with house.client(role=None, lifecycle=False) as qq:
        await qq.say("hello", user=10001)
        await house.chat.message()


@pytest.mark.parametrize("how", ["heartbeat", "notice"])
async def test_logged_out_of_qq(house: House, how: str, caplog: pytest.LogCaptureFixture) -> None:
    async with house.client() as qq:
        qq.online = False
        if how == "heartbeat":
            await qq.beat()
        else:
            await qq.push(
                {"post_type": "notice", "notice_type": "bot_offline", "user_id": int(ACCOUNT), "message": "x"}
            )
        await qq.say("?", user=10001)
        await house.chat.message()
        assert not house.gateway.accounts()
        with pytest.raises(DeliveryFailed) as failure:
            await house.gateway.send(part("hello"))
        assert failure.value.sent is False
        assert "log in again" in caplog.text
        qq.online = True
        await qq.beat()
        await house.chat.until(lambda: len(house.chat.connections) == 2)
        assert await house.gateway.send(part("hello"))


async def test_catch_up(house: House) -> None:
    house.chat.active = [GROUP, FRIEND, Place("qq", ACCOUNT, "private", "404")]
    async with house.client() as qq:
        await qq.wait_call("get_friend_msg_history", 2)
        assert not house.chat.messages
        await qq.say("long ago", user=10001, group=987654, heard=False, time=int(time.time()) - 3600)
        await qq.say("meanwhile", user=10001, group=987654, heard=False)
        await qq.say("aside", user=10001, group=987654, heard=False, at=False)
        await qq.say("and in private", user=10001, heard=False)
        await house.gateway.send(part("mine"))
        qq.cut()
        await qq.closed()
        await qq.connect()
        await house.chat.message(3)
        await qq.wait_call("get_friend_msg_history", 4)
    assert [(each.text, each.place, each.addressed) for each in house.chat.messages] == [
        ("meanwhile", GROUP, True),
        ("aside", GROUP, False),
        ("and in private", FRIEND, True),
    ]


async def test_a_client_without_history_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    chat = Recorder(active=[GROUP])
    async with (
        living(chat) as house,
        house.client(unknown={"get_group_msg_history", "get_version_info"}) as qq,
    ):
        await qq.wait_call("get_group_msg_history")
        await qq.say("hello", user=10001)
        await chat.message()
    assert "Traceback" not in caplog.text


# Manners


@pytest.mark.parametrize(("dialect", "shown"), [("napcat", True), ("llbot", False), ("lagrange", False)])
async def test_typing_in_private_on_napcat(house: House, dialect: Any, shown: bool) -> None:
    async with house.client(dialect=dialect) as qq:
        await qq.wait_call("get_version_info")
        await asyncio.sleep(0.05)
        async with house.gateway.typing(FRIEND), house.gateway.typing(GROUP):
            await house.gateway.send(part("done", FRIEND))
        calls = [call["params"] for call in qq.calls if call["action"] == "set_input_status"]
    assert calls == ([{"user_id": 10001, "event_type": 1}] if shown else [])


async def test_bubbles_are_paced_and_the_pause_ends_with_the_bot() -> None:
    async with living(pace=(60, 60)) as house, house.client() as qq:
        await house.gateway.send(part("first"))
        second = asyncio.create_task(house.gateway.send(part("second", index=1)))
        await asyncio.sleep(0.05)
        assert len(qq.sent) == 1
        house.stop.set()
        with pytest.raises(DeliveryFailed, match="stopping") as failure:
            await second
        assert failure.value.sent is False


async def test_stop_says_goodbye_and_waits_for_an_answer_under_way() -> None:
    async with living(patience=60) as house, house.client() as qq, house.client(account=222) as other:
        qq.faults.append("silence")
        sending = asyncio.create_task(house.gateway.send(part("last words")))
        shown = await qq.wait_reply()
        house.stop.set()
        await asyncio.sleep(0.2)
        call = next(call for call in qq.calls if call["action"] == "send_group_msg")
        await qq._respond(call, {"message_id": shown.id})
        assert await sending == str(shown.id)
        assert await qq.closed() == 1001
        assert await other.closed() == 1001
        async with asyncio.timeout(2):
            await house.task
