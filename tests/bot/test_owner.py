"""The owner's page over HTTP: a whole bot with the page; people talk and vote on paper beside it."""

import asyncio
import itertools
import json
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import app
from bot.errors import ConfigurationError
from bot.gateways.web import WebGateway
from bot.memory.store import Store
from bot.messages import Person, Place
from bot.periods import Periods
from bot.settings import BotSettings
from dataset_builder.schema import FEEDBACK, VoteEvent
from inference.release import Canary, first_release, write_release
from tests.conftest import ROOT
from tests.fakes.gateway import ANNA, BEN, PaperGateway, Talk
from tests.fakes.shown import shown_by

OWNER = "the-owner-alone-knows-this"
ROOM = Place("paper", "bot", "group", "room")


@dataclass(frozen=True)
class House:
    """The bot, its page's address, and a group on paper."""

    url: str
    room: Talk


Serving = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def settings(settings: BotSettings, tmp_path: Path) -> BotSettings:
    """With a Maeve whose folder may be written."""
    maeve = tmp_path / "characters" / "maeve"
    maeve.mkdir(parents=True)
    shutil.copy(ROOT / "characters" / "maeve" / "card.json", maeve)
    return settings.model_copy(update={"characters": maeve.parent})


@pytest.fixture
def serving(settings: BotSettings) -> Serving:
    """`async with serving() as house`; keywords go to the page's gateway."""

    @asynccontextmanager
    async def begin(**options: Any) -> AsyncIterator[House]:
        web = WebGateway(**{"port": 0, "owner_token": OWNER, **options})
        paper = PaperGateway()
        stop = asyncio.Event()
        async with app.chat_service(settings, [web, paper]) as chat, asyncio.TaskGroup() as group:
            group.create_task(web.run(chat, stop))
            try:
                yield House(await web.listening(), Talk(chat, paper, ROOM))
            finally:
                stop.set()

    return begin


@asynccontextmanager
async def owner(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser that has opened the page with the token."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.get(f"{url}owner?token={OWNER}") as answer:
            assert answer.status == 200
            assert str(answer.url) == f"{url}owner"
        yield http


async def figures(http: aiohttp.ClientSession, url: str, until: Callable[[Any], object] = bool) -> Any:
    """What the page shows, once it shows that: the journal writes every two seconds."""
    async with asyncio.timeout(60):
        while True:
            async with http.get(f"{url}owner/figures") as answer:
                assert answer.status == 200
                shown = await answer.json()
            if until(shown):
                return shown
            await asyncio.sleep(0.2)


def versions(shown: Any, character: str = "maeve") -> dict[str, Any]:
    (found,) = [each for each in shown["characters"] if each["id"] == character]
    return {each["name"]: each for each in found["versions"]}


async def strangers_dislike(room: Talk, message: str, count: int) -> None:
    for number in range(count):
        await room.react(message, "down", person=Person(f"stranger-{number}", ""))


# --- who may come in


async def test_without_a_token_there_is_no_such_page(serving: Serving) -> None:
    async with serving(owner_token=None) as house, aiohttp.ClientSession() as http:
        for path in (
            "owner",
            "owner?token=",
            f"owner?token={OWNER}",
            "owner/figures",
            "owner/release",
            "nothing",
        ):
            async with http.get(house.url + path) as answer:
                assert answer.status == 405 if path == "owner/release" else 404, path


@pytest.mark.parametrize("page_token", [None, "for-everybody-who-talks"])
async def test_a_wrong_token_finds_nothing_and_the_right_one_is_never_written_down(
    serving: Serving, page_token: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with serving(token=page_token) as house:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            paths = (
                "owner",
                "owner?token=",
                "owner?token=wrong",
                f"owner?token={page_token}",
                "owner/figures",
            )
            for path in paths:
                async with http.get(house.url + path) as answer:
                    assert answer.status == 404, path
                    assert "Set-Cookie" not in answer.headers
            async with http.get(f"{house.url}owner?token={OWNER}", allow_redirects=False) as answer:
                assert answer.status == 303
                assert OWNER not in str(answer.headers)
                cookie = SimpleCookie(answer.headers["Set-Cookie"])["chatnvl_owner"]
            assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
        for value, status in (
            (cookie.value, 200),
            ("", 404),
            (cookie.value[:-1], 404),
            (OWNER, 404),
            ("é", 404),
        ):
            headers = {"Cookie": f"chatnvl_owner={value}"}
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"{house.url}owner/figures", headers=headers) as answer,
            ):
                assert answer.status == status, value
                if status == 200:
                    assert answer.headers["Cache-Control"] == "no-store"
    assert OWNER not in caplog.text


async def test_the_owner_s_token_opens_nobody_s_chat(serving: Serving) -> None:
    async with (
        serving(token="for-everybody-who-talks") as house,
        owner(house.url) as http,
        http.get(f"{house.url}characters") as answer,
    ):
        assert answer.status == 401


def test_the_owner_s_token_is_another_one_and_long_enough() -> None:
    same = "one-token-for-everything"
    with pytest.raises(ConfigurationError, match="CHATNVL_WEB__OWNER_TOKEN"):
        WebGateway(token=same, owner_token=same)
    with pytest.raises(ConfigurationError, match="too short"):
        WebGateway(host="0.0.0.0", token=same, owner_token="short")


@pytest.mark.parametrize(
    ("asked", "language"), [("zh-CN,zh;q=0.9,en;q=0.5", "zh"), ("de,en;q=0.5", "en"), ("fr", "en")]
)
async def test_the_page_speaks_the_browser_s_language_and_runs_nothing_of_others(
    serving: Serving, asked: str, language: str
) -> None:
    async with (
        serving() as house,
        owner(house.url) as http,
        http.get(f"{house.url}owner", headers={"Accept-Language": asked}) as answer,
    ):
        assert f'<html lang="{language}">' in await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")


# --- what is shown


async def test_votes_are_shown_by_version_with_what_was_shown_and_not_rated(
    serving: Serving, store: Store
) -> None:
    async with serving() as house, owner(house.url) as http:
        assert versions(await figures(http, house.url)) == {}
        for number in range(4):
            await house.room.say(f"a secret {number}", ANNA)
        await shown_by(store, ROOM, "m4")
        await house.room.react("m1", "up", person=ANNA)
        await house.room.react("m1", "up", person=BEN)
        await house.room.react("m2", "down", person=ANNA)
        shown = await figures(
            http, house.url, lambda all_: versions(all_) and versions(all_)["maeve.v1"]["total"]["down"]
        )
    assert shown["period"] == "day"
    assert len(shown["periods"]) == 1
    maeve = versions(shown)["maeve.v1"]
    total = maeve["total"]
    assert (total["shown"], total["up"], total["down"], total["quarantined"]) == (4, 2, 1, 0)
    assert total["rated"] == pytest.approx({"value": 0.5, "low": 0.15, "high": 0.85, "n": 4}, abs=0.005)
    assert total["liked"] == pytest.approx(
        {"value": 2 / 3, "low": 0.2077, "high": 0.9385, "n": 3}, abs=0.0005
    )
    (point,) = maeve["points"]
    assert (point["up"], point["down"]) == (2, 1)
    assert "secret" not in json.dumps(shown)
    assert not {ANNA.id, BEN.id, ROOM.id} & set(re.findall(r"\w+", json.dumps(shown)))


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


async def test_what_lies_in_the_folders_is_shown(
    settings: BotSettings, serving: Serving, tmp_path: Path
) -> None:
    maeve = settings.characters / "maeve"
    share = {"value": 0.8, "low": 0.7, "high": 0.9, "n": 60}
    metric = {"name": "rouge1", "label": "ROUGE-1", "better": "higher", "unit": "%", "group": "style"}
    values = {"adapter": share, "card": share | {"value": 0.4}}
    sample = {"said": ["words of somebody"], "own": "", "replies": {}}
    for number in (1, 2, 10):
        folder = maeve / "adapters" / "tiny" / f"v{number}"
        write(folder / "version.json", {"base": "tiny", "base_sha256": "1" * 64, "sha256": "0" * 64})
        if number > 1:
            report = {"metrics": [metric | {"values": values}], "goals": [{"met": True}], "samples": [sample]}
            write(folder / "evaluation.json", report)
    write(maeve / "adapters" / "tiny" / "v11" / "version.json", "no JSON")
    calibration = {"temperature": 1.0, "error": 0.05, "error_before": 0.1, "bins": []}
    for number in (9, 10):
        report = {"overall": share | {"n": number}, "kinds": {"vote": share}, "calibration": calibration}
        write(maeve / "rewards" / "tiny" / f"r{number}" / "reward.json", report)
    async with serving() as house, owner(house.url) as http:
        shown = await figures(http, house.url)
    (character,) = shown["characters"]
    (base,) = character["bases"]
    assert [each["version"] for each in base["evaluations"]] == ["maeve.v10", "maeve.v2"]
    (found,) = base["evaluations"][0]["metrics"]
    assert (found["value"], found["base"], found["label"]) == (0.8, 0.4, "ROUGE-1")
    assert base["evaluations"][0]["goals"] == {"met": 1, "of": 1}
    (reward,) = character["rewards"]
    assert (reward["name"], reward["accuracy"]["n"], reward["calibration"]["error"]) == ("r10", 10, 0.05)
    assert "words of somebody" not in json.dumps(shown)


async def test_a_release_is_shown_and_a_trial_compared_in_words(
    serving: Serving, settings: BotSettings
) -> None:
    adapters = settings.characters / "maeve" / "adapters"
    for base in ("plain", "tried", "broken"):
        (adapters / base).mkdir(parents=True)
    release = first_release("maeve.v1", by="owner", reason="begun")
    write_release(adapters / "plain", release)
    now = time.time()
    write_release(
        adapters / "tried",
        release.with_canary(Canary(version="maeve.v2", share=0.25, since=now), by="owner", reason="better?"),
    )
    (adapters / "broken" / "release.json").write_text("{}")
    feedback = settings.data / "feedback"
    feedback.mkdir()
    events = []
    for number in range(30):
        arm, version = (("stable", "maeve.v1"), ("canary", "maeve.v2"))[number % 3 == 0]
        for ago in (0.0, 3.0):  # of three days before the trial, nothing counts in it
            common = {
                "time": now - ago * 86_400,
                "place": "p",
                "character": "maeve",
                "reply": f"r{number}-{ago}",
                "version": version,
                "arm": arm,
            }
            events.append(
                VoteEvent(
                    id=f"s01-{number}-{ago}", person=f"u{number}", old=None, new="up", weight=0.5, **common
                )
            )
    lines = [FEEDBACK.dump_json(each) for each in events]
    (feedback / "events-2026-01-01.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    async with serving() as house, owner(house.url) as http:
        shown = await figures(http, house.url, versions)
    (character,) = shown["characters"]
    broken, plain, tried = character["releases"]
    assert "release.json" in broken["error"]
    assert (plain["stable"], plain["canary"], plain["comparison"]) == ("maeve.v1", None, None)
    assert (tried["canary"]["version"], tried["canary"]["share"], tried["canary"]["decides"]) == (
        "maeve.v2",
        0.25,
        False,
    )
    assert "canary: liked in 100 % (57 to 100) of 5 votes" in tried["comparison"]["en"]
    assert "stable: liked in 100 % (72 to 100) of 10 votes" in tried["comparison"]["en"]
    assert "还差约" in tried["comparison"]["zh"]
    assert tried["last"]["reason"] == "better?"


# --- what is held back


async def test_held_back_votes_are_released_by_a_button(serving: Serving, store: Store) -> None:
    async with serving() as house, owner(house.url) as http:
        await house.room.say("hello", ANNA)
        await shown_by(store, ROOM, "m1")
        await strangers_dislike(house.room, "m1", 16)
        shown = await figures(http, house.url, lambda all_: all_["held"] and all_["held"][0]["down"] == 16)
        (rush,) = shown["held"]
        assert (rush["character"], rush["persons"], rush["versions"]) == ("maeve", 16, ["maeve.v1"])
        total = versions(shown)["maeve.v1"]["total"]
        assert (total["down"], total["liked"], total["rated"]["value"]) == (0, None, 0)

        url, origin, proof = f"{house.url}owner/release", house.url.rstrip("/"), shown["proof"]
        asked = {"id": rush["id"]}
        for headers in (
            {"X-Owner-Proof": proof},  # no origin
            {"X-Owner-Proof": proof, "Origin": "https://evil.example"},
            {"X-Owner-Proof": proof[:-1], "Origin": origin},
            {"Origin": origin},
        ):
            async with http.post(url, json=asked, headers=headers) as answer:
                assert answer.status == 403
        headers = {"X-Owner-Proof": proof, "Origin": origin}
        async with (
            aiohttp.ClientSession() as stranger,
            stranger.post(url, json=asked, headers=headers) as answer,
        ):
            assert answer.status == 404
        for body, status in (({"id": "nothing"}, 409), ({"id": 5}, 400), ([], 400)):
            async with http.post(url, json=body, headers=headers) as answer:
                assert answer.status == status
        async with http.post(url, data={"id": rush["id"]}, headers=headers) as answer:  # a form
            assert answer.status == 400
        assert len((await figures(http, house.url))["held"]) == 1

        async with http.post(url, json=asked, headers=headers) as answer:
            assert answer.status == 200
        shown = await figures(http, house.url, lambda all_: not all_["held"])
        total = versions(shown)["maeve.v1"]["total"]
        assert (total["down"], total["rated"]["value"]) == (16, 1)
        async with http.post(url, json=asked, headers=headers) as answer:
            assert answer.status == 409


# --- periods


@given(st.lists(st.dates(date(2024, 1, 1), date(2026, 12, 31)), min_size=1, max_size=20))
def test_each_day_is_in_one_period_and_many_days_are_weeks(days: list[date]) -> None:
    periods = Periods.over(day.isoformat() for day in days)
    assert periods.name == ("day" if (max(days) - min(days)).days < 31 else "week")
    starts = [date.fromisoformat(start) for start in periods.starts]
    length = timedelta(days=1 if periods.name == "day" else 7)
    assert all(later - earlier == length for earlier, later in itertools.pairwise(starts))
    for day in days:
        start = starts[periods.index(day.isoformat())]
        assert start <= day < start + length
    assert {periods.index(max(days).isoformat()), periods.index(min(days).isoformat())} == {
        0,
        len(starts) - 1,
    }


def test_without_days_there_are_no_periods() -> None:
    assert Periods.over([]).starts == ()
