"""The page's gateway: real sockets, the real chat service, a real Valkey; the model is a fake server."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from http.cookies import SimpleCookie

import aiohttp
import pytest
import websockets

from bot import app
from bot.errors import ConfigurationError
from bot.feedback.names import Names
from bot.feedback.votes import Votes
from bot.gateways.web import FRAME_LIMIT, WebGateway
from bot.memory.store import Store
from bot.messages import Place
from bot.settings import BotSettings
from tests.fakes.model import FakeModel
from tests.fakes.page import Visitor, visit

Serving = Callable[..., AbstractAsyncContextManager[str]]
TOKEN = "correct-horse-battery"


@pytest.fixture
def serving(settings: BotSettings) -> Serving:
    """`async with serving() as url`: a whole bot with the page; keywords go to the gateway."""

    @asynccontextmanager
    async def begin(**options: object) -> AsyncIterator[str]:
        web = WebGateway(**{"port": 0, **options})  # type: ignore[arg-type]
        stop = asyncio.Event()
        async with app.chat_service(settings, [web]) as chat, asyncio.TaskGroup() as group:
            running = group.create_task(web.run(chat, stop))
            arrived = asyncio.create_task(web.listening())
            await asyncio.wait((running, arrived), return_when=asyncio.FIRST_COMPLETED)
            try:
                yield await arrived
            finally:
                stop.set()

    return begin


# Talking


async def test_a_reply_grows_on_the_page(serving: Serving, model: FakeModel) -> None:
    model.reply = lambda _: ["Copy ", "that. ", "The kettle ", "is on."]
    model.delay = 0.05
    async with serving() as url, visit(url) as anna, anna.tab() as tab:
        await tab.hello("maeve")
        said = await tab.say("hello?")
        assert (await tab.next("taken"))["id"] == said
        final = await tab.reply()
        await tab.next("typing", lambda frame: not frame["on"])
    parts = [frame for frame in tab.frames if frame["type"] == "part"]
    assert final["text"] == "Copy that. The kettle is on."
    assert final["version"] == "maeve.v1"
    assert final["character"] == "maeve"
    assert final["answers"] == said
    assert {part["reply"] for part in parts} == {final["reply"]}
    assert len(parts) > 2
    assert all(final["text"].startswith(part["text"].rstrip()) for part in parts)
    assert [frame["on"] for frame in tab.frames if frame["type"] == "typing"] == [True, False]


async def test_a_message_said_again_is_answered_once(serving: Serving, model: FakeModel) -> None:
    async with serving() as url, visit(url) as anna, anna.tab() as tab:
        await tab.hello()
        for _ in range(2):
            await tab.say("hello", message="once-and-again")
            assert (await tab.next("taken"))["id"] == "once-and-again"
        await tab.reply()
        async with anna.tab() as later:
            await later.hello()
            await later.say("hello", message="once-and-again")
            await later.next("taken")
            await later.say("second")
            await later.reply()
    assert len(model.requests) == 2


async def test_a_page_that_opens_again_has_the_whole_conversation(serving: Serving) -> None:
    async with serving() as url, visit(url) as anna:
        async with anna.tab() as tab:
            assert (await tab.hello("maeve"))["utterances"] == []
            said = await tab.say("hello")
            reply = await tab.reply()
            await tab.send(type="vote", reply=reply["reply"], vote="up", added=True)
            assert (await tab.next("vote"))["counted"]
        async with anna.tab() as tab:
            history = await tab.hello()
    assert history["character"] == "maeve"
    mine, hers = history["utterances"]
    assert (mine["text"], mine["message"], mine["reply"]) == ("hello", said, "")
    assert (hers["text"], hers["reply"], hers["version"]) == (reply["text"], reply["reply"], "maeve.v1")
    assert hers["mine"] == "up"


async def test_a_reply_written_while_nobody_looked_is_found_in_the_history(
    serving: Serving, model: FakeModel
) -> None:
    model.delay = 0.1
    async with serving() as url, visit(url) as anna:
        async with anna.tab() as tab:
            await tab.hello("maeve")
            await tab.say("hello")
            await tab.next("part")
        async with anna.tab() as tab:
            for _ in range(100):
                history = await tab.hello()
                if history["utterances"]:
                    break
                await asyncio.sleep(0.1)
    assert [line["text"] for line in history["utterances"]] == ["hello", "maeve.v1 heard: hello"]


async def test_two_tabs_show_the_same(serving: Serving) -> None:
    async with serving() as url, visit(url) as anna, anna.tab() as one, anna.tab() as two:
        await one.hello("maeve")
        await two.hello("maeve")
        said = await one.say("hello")
        heard = await two.next("said")
        assert (heard["id"], heard["text"], heard["character"]) == (said, "hello", "maeve")
        reply = await one.reply()
        assert (await two.reply()) == reply
        await two.send(type="vote", reply=reply["reply"], vote="down", added=True)
        told = await one.next("vote")
    assert (told["reply"], told["vote"], told["added"], told["counted"]) == (
        reply["reply"],
        "down",
        True,
        True,
    )
    assert "said" not in {frame["type"] for frame in one.frames}


async def test_visitors_are_kept_apart(serving: Serving, model: FakeModel) -> None:
    async with serving() as url, visit(url) as anna, visit(url) as ben:
        assert anna.cookie != ben.cookie
        async with anna.tab() as hers, ben.tab() as his:
            await hers.hello("maeve")
            await his.hello("maeve")
            await hers.say("canary of Anna")
            reply = await hers.reply()
            await his.send(type="vote", reply=reply["reply"], vote="up", added=True)
            assert (await his.next("vote"))["counted"] is False
            assert (await his.hello())["utterances"] == []
            await his.say("canary of Ben")
            await his.reply()
    assert "Anna" not in json.dumps([frame for frame in his.frames if frame["type"] != "vote"])
    assert "Anna" not in json.dumps(model.requests[1])


async def test_votes_are_counted_changed_and_taken_back(serving: Serving, store: Store) -> None:
    async with serving() as url, visit(url) as anna, anna.tab() as tab:
        await tab.hello("maeve")
        await tab.say("hello")
        reply = (await tab.reply())["reply"]
        place = Place("web", "page", "private", anna.cookie.partition("=")[2])
        seen = []
        for vote, added in (("up", True), ("down", True), ("down", False)):
            await tab.send(type="vote", reply=reply, vote=vote, added=added)
            assert (await tab.next("vote"))["counted"]
            votes = Votes(store, await Names.open(store), keep_seconds=60, daily=9)
            seen.append({person: cast.vote for person, cast in (await votes.of(place, reply)).items()})
        await tab.send(type="vote", reply="nosuchreply0", vote="up", added=True)
        assert (await tab.next("vote"))["counted"] is False
    assert seen == [{place.id: "up"}, {place.id: "down"}, {}]


async def test_everything_about_a_visitor_comes_as_a_file(serving: Serving) -> None:
    async with serving() as url, visit(url) as anna, anna.tab() as tab:
        await tab.hello("maeve")
        await tab.say("hello")
        await tab.reply()
        await tab.send(type="command", text="/export", character="maeve")
        file = await tab.next("file")
        assert json.loads(file["text"])["turns"][0]["said"][0]["text"] == "hello"
        assert "You have it: 1 turns" in (await tab.next("notice"))["text"]


async def test_another_answer_replaces_the_last(serving: Serving, model: FakeModel) -> None:
    answers = iter(["first", "second", "third"])
    model.reply = lambda _: next(answers)
    async with serving() as url, visit(url) as anna, anna.tab() as tab:
        await tab.hello("maeve")
        said = await tab.say("hello")
        first = await tab.reply()
        await tab.send(type="regenerate", reply=first["reply"])
        second = await tab.reply()
        assert (second["text"], second["answers"]) == ("second", said)
        assert second["reply"] != first["reply"]
        await tab.say("and then?")
        await tab.reply()
        await tab.send(type="regenerate", reply=second["reply"])
        refused = await tab.next("notice")
        history = await tab.hello()
    assert refused["reply"] == second["reply"]
    assert refused["text"] == "Only the last reply can be said again."
    assert [line["text"] for line in history["utterances"]] == ["hello", "second", "and then?", "third"]


async def test_commands_work_and_speak_the_language_of_the_page(serving: Serving) -> None:
    async with serving() as url, visit(url) as anna, anna.tab() as tab:
        await tab.hello("maeve", language="zh")
        help_id = await tab.say("/help")
        told = await tab.next("notice")
        assert told["id"] == help_id
        assert "你正在和Maeve说话" in told["text"]
        await tab.say("/character zhiwei")
        assert (await tab.next("character"))["character"] == "zhiwei"
        assert "沈知微" in (await tab.next("notice"))["text"]
        await tab.say("在吗", character="zhiwei")
        await tab.reply()
        await tab.send(type="command", text="/reset", character="zhiwei")
        assert (await tab.next("history", lambda frame: "after" in frame))["utterances"] == []
        async with anna.tab() as later:
            assert (await later.hello())["character"] == "zhiwei"


async def test_a_command_means_whom_this_tab_talks_to(serving: Serving) -> None:
    async with serving() as url, visit(url) as anna, anna.tab() as one, anna.tab() as two:
        await one.hello("maeve")
        await two.hello("zhiwei")
        await one.say("/character zhiwei", character="maeve")
        assert (await one.next("character"))["character"] == "zhiwei"


async def test_what_was_not_taken_comes_with_a_notice(serving: Serving, model: FakeModel) -> None:
    async with serving() as url, visit(url) as anna, anna.tab() as tab:
        await tab.hello("maeve")
        for text, words in (("x" * 2001, "too long"), ("   \u200b ", "no text"), ("hi", "no “nobody”")):
            character = "nobody" if text == "hi" else "maeve"
            said = await tab.say(text, character=character)
            told = await tab.next("notice")
            assert told["id"] == said
            assert words in told["text"]
    assert model.requests == []


# Frames that no page of ours sends


@pytest.mark.parametrize(
    "frame",
    [
        "no JSON",
        "[]",
        "{}",
        '{"type": "dance"}',
        '{"type": "say", "text": "x"}',
        '{"type": "say", "id": "short", "character": "maeve", "text": "x"}',
        '{"type": "say", "id": "long-enough", "character": "maeve", "text": 5}',
        '{"type": "say", "id": "long-enough", "character": "maeve", "text": "\\ud800"}',
        '{"type": "vote", "reply": "a b", "vote": "up", "added": true}',
        '{"type": "command", "text": "hello", "character": "maeve"}',
        "[" * 60_000,
        b"\xff\xfe",
    ],
)
async def test_a_frame_that_means_nothing_gets_a_notice(serving: Serving, frame: str | bytes) -> None:
    async with serving() as url, visit(url) as anna, anna.tab() as tab:
        await tab.hello("maeve")
        await tab.socket.send(frame)
        assert "reload" in (await tab.next("notice"))["text"]
        await tab.say("still here?")
        assert (await tab.reply())["text"] == "maeve.v1 heard: still here?"


@pytest.mark.parametrize("letter", ["x", "雨"])
async def test_a_frame_that_is_too_large_gets_a_notice(serving: Serving, letter: str) -> None:
    size = len(letter.encode())
    async with serving() as url, visit(url) as anna, anna.tab() as tab:
        await tab.hello("maeve")
        await tab.socket.send(letter * (FRAME_LIMIT // size + 1))
        assert "far too long" in (await tab.next("notice"))["text"]
        await tab.say("still here?")
        assert (await tab.reply())["text"] == "maeve.v1 heard: still here?"


# Who may come in


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null", ""])
async def test_another_site_cannot_open_a_socket(serving: Serving, origin: str) -> None:
    async with serving() as url, visit(url) as anna:
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with anna.tab(Origin=origin):
                pass
    assert refused.value.response.status_code == 403


async def test_a_name_that_was_made_to_point_here_is_refused(serving: Serving) -> None:
    async with serving() as url, aiohttp.ClientSession() as http:
        port = url.rstrip("/").rpartition(":")[2]
        for host, status in (
            ("evil.example", 403),
            (f"evil.example:{port}", 403),
            (f"localhost:{port}", 200),
        ):
            async with http.get(url, headers={"Host": host}) as answer:
                assert answer.status == status
        async with visit(url) as anna:
            with pytest.raises(websockets.InvalidStatus):
                async with Visitor(url, anna.http).tab(Host="evil.example", Origin="http://evil.example"):
                    pass


async def test_a_socket_without_our_cookie_is_sent_back_to_the_page(serving: Serving) -> None:
    async with serving() as url, visit(url) as anna:
        for cookie in ("", "chatnvl_visitor=", "chatnvl_visitor=../../x", "chatnvl_visitor=" + "g" * 32):
            async with anna.tab(Cookie=cookie) as tab:
                assert await tab.closed() == 4401


async def test_the_visitor_is_a_strict_cookie_that_scripts_cannot_read(serving: Serving) -> None:
    async with serving() as url, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        # A link on another site opens the page without the cookie: that must not bring a new one.
        async with http.get(url) as answer:
            assert "Set-Cookie" not in answer.headers
        async with http.get(url + "characters") as answer:
            cookie = SimpleCookie(answer.headers["Set-Cookie"])["chatnvl_visitor"]
        assert len(cookie.value) == 32
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        assert int(cookie["max-age"]) > 300 * 86_400
        async with http.get(
            url + "characters", headers={"Cookie": f"chatnvl_visitor={cookie.value}"}
        ) as answer:
            assert "Set-Cookie" not in answer.headers


async def test_with_a_token_everything_is_closed_without_it(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with serving(token=TOKEN) as url:
        async with visit(url) as stranger:
            for path in (
                "",
                "?token=wrong",
                "?token=",
                "characters",
                "portraits/maeve.png",
                "backgrounds/maeve",
            ):
                async with stranger.http.get(url + path) as answer:
                    assert answer.status == 401, path
                    assert "zhiwei" not in await answer.text()
            async with stranger.http.post(url + "enter", data={"token": "wrong"}) as answer:
                assert answer.status == 401
            async with stranger.tab(Cookie=f"chatnvl_visitor={'0' * 32}") as tab:
                assert await tab.closed() == 4401
        for method, path, form in (("GET", f"?token={TOKEN}", None), ("POST", "enter", {"token": TOKEN})):
            async with visit(url) as anna:
                async with anna.http.request(method, url + path, data=form, allow_redirects=False) as answer:
                    assert answer.status == 303
                    assert TOKEN not in str(answer.headers)
                    cookie = SimpleCookie(answer.headers["Set-Cookie"])["chatnvl_key"]
                    assert cookie["httponly"]
                async with anna.http.get(url + "characters") as answer:
                    assert [each["id"] for each in await answer.json()] == ["maeve", "zhiwei"]
                async with anna.tab() as tab:
                    assert (await tab.hello())["utterances"] == []
    assert TOKEN not in caplog.text


async def test_beyond_this_machine_only_with_a_token() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.4", "example.org"):
        with pytest.raises(ConfigurationError):
            WebGateway(host=host)
        with pytest.raises(ConfigurationError):
            WebGateway(host=host, token="short")
        WebGateway(host=host, token=TOKEN)
    assert WebGateway(host="0.0.0.0", token=TOKEN).url == "http://127.0.0.1:8400/"
    assert WebGateway(host="::1").url == "http://[::1]:8400/"


async def test_a_taken_port_is_one_line_that_names_the_setting(serving: Serving) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ExceptionGroup) as failed:
            async with asyncio.timeout(60), serving(port=port):
                pass
    found = failed.value.exceptions[0]
    assert isinstance(found, ConfigurationError)
    assert "CHATNVL_WEB__PORT" in str(found)
    assert str(port) in str(found)
    assert "\n" not in str(found)


# What is served


async def test_files_carry_what_keeps_the_page_safe(serving: Serving) -> None:
    async with serving() as url, visit(url) as anna:
        for path in ("", "static/chat.js", "static/chat.css", "characters", "portraits/maeve.png", "nothing"):
            async with anna.http.get(url + path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "frame-ancestors 'none'" in policy
                assert "unsafe-inline" not in policy or path.startswith("portraits")
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        async with anna.http.get(url + "backgrounds/maeve") as answer:
            assert answer.content_type == "image/svg+xml"
            assert "sandbox" in answer.headers["Content-Security-Policy"]


async def test_files_are_kept_and_asked_for_again(serving: Serving) -> None:
    async with serving() as url, visit(url) as anna:
        async with anna.http.get(url + "static/chat.js") as answer:
            assert answer.headers["Cache-Control"] == "no-cache"
            etag = answer.headers["ETag"]
        async with anna.http.get(url + "static/chat.js", headers={"If-None-Match": etag}) as answer:
            assert answer.status == 304
        async with anna.http.get(url + "characters") as answer:
            portrait = {each["id"]: each["portrait"] for each in await answer.json()}["zhiwei"]
        async with anna.http.get(url + portrait) as answer:
            assert answer.content_type == "image/png"
            assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize(
    "path",
    [
        "portraits/nobody.png",
        "portraits/..%2fmaeve%2fportrait.png",
        "backgrounds/..",
        "static/..%2fsettings.py",
        "static/%2e%2e/settings.py",
        "static/",
    ],
)
async def test_nothing_else_is_served(serving: Serving, path: str) -> None:
    from yarl import URL

    async with serving() as url, visit(url) as anna, anna.http.get(URL(url + path, encoded=True)) as answer:
        assert answer.status == 404


async def test_health_needs_nothing(serving: Serving) -> None:
    async with (
        serving(token=TOKEN) as url,
        aiohttp.ClientSession() as http,
        http.get(url + "health") as answer,
    ):
        assert await answer.json() == {"ok": True}


# The end


async def test_a_stop_says_goodbye_to_every_tab(serving: Serving) -> None:
    async with visit_twice(serving) as codes:
        pass
    assert await codes == [1001, 1001]


@asynccontextmanager
async def visit_twice(serving: Serving) -> AsyncIterator["asyncio.Future[list[int | None]]"]:
    """Two tabs that are still open when the bot stops; the future holds the codes they were closed with."""
    codes: asyncio.Future[list[int | None]] = asyncio.get_running_loop().create_future()
    ready = asyncio.Event()
    done = asyncio.Event()

    async def look(url: str) -> None:
        async with visit(url) as anna, anna.tab() as one, anna.tab() as two:
            await one.hello()
            await two.hello()
            ready.set()
            codes.set_result(list(await asyncio.gather(one.closed(), two.closed())))
        done.set()

    async with serving() as url:
        looking = asyncio.create_task(look(url))
        await ready.wait()
        yield codes
    with suppress(asyncio.CancelledError):
        await looking
    assert done.is_set()
