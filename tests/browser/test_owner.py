"""The owner's page in a real Chromium, over weeks of votes. Its picture in docs/images is of this."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from bot import app
from bot.gateways.web import WebGateway
from bot.settings import BotSettings
from dataset_builder.schema import FEEDBACK, QuarantineEvent, ReplyEvent, VoteEvent
from inference.arms import wilson
from inference.release import Canary, first_release, write_release
from tests.conftest import ROOT
from tests.fakes.model import FakeModel

pytestmark = [pytest.mark.slow, pytest.mark.browser]
expect.set_options(timeout=60_000)  # a busy machine is slow; what never comes fails all the same

OWNER = "the-owner-alone-knows-this"
DAY = 86_400.0
BASE = "qwen2.5-coder-0.5b"
DAYS = 24
LIKED = {"maeve.v1": 0.52, "maeve.v2": 0.66, "maeve.v3": 0.74}
RUSH = 14


def versions_of(day: int) -> dict[str, int]:
    """Replies of each version on a day: the second takes over, the third is on trial."""
    if day < 9:
        return {"maeve.v1": 34}
    return {"maeve.v2": 40} if day < 17 else {"maeve.v2": 36, "maeve.v3": 9}


def weeks(end: float) -> Iterator[ReplyEvent | VoteEvent | QuarantineEvent]:
    """Three weeks and a half of talk, and an evening when strangers came to dislike the newest version."""
    draw = random.Random(5)
    number = 0
    for day in range(DAYS):
        for version, replies in versions_of(day).items():
            for _ in range(draw.randint(replies - 8, replies + 8)):
                number += 1
                at = end - (DAYS - day) * DAY + draw.random() * DAY * 0.9
                common = {"time": at, "place": f"p{number % 17}", "character": "maeve", "reply": f"r{number}"}
                arm = "" if day < 17 else "canary" if version == "maeve.v3" else "stable"
                yield ReplyEvent(
                    id=f"s01-{number}-0",
                    turn=f"t{number}",
                    people=(f"u{number % 29}",),
                    platform="qq",
                    card="",
                    version=version,
                    arm=arm,
                    prompt="",
                    swipe=int(draw.random() < 0.08),
                    **common,
                )
                if draw.random() < 0.45:
                    vote = "up" if draw.random() < LIKED[version] else "down"
                    person = f"u{number % 29}"
                    yield VoteEvent(
                        id=f"s01-{number}-1",
                        version=version,
                        arm=arm,
                        person=person,
                        old=None,
                        new=vote,
                        **common,
                    )
    strangers = tuple(f"stranger{each}" for each in range(RUSH))
    since = end - DAY / 3
    for at, person in enumerate(strangers):
        yield VoteEvent(
            id=f"s02-{at}-0",
            time=since + 30 * at,
            place="p1",
            character="maeve",
            reply=f"r{number}",
            version="maeve.v3",
            arm="canary",
            person=person,
            old=None,
            new="down",
            weight=0.3,
        )
    yield QuarantineEvent(
        id="quarantine-s02-0-0",
        time=since + 1000,
        place="",
        character="maeve",
        since=since,
        until=since + 3600,
        persons=strangers,
        reason=f"{RUSH} votes of {RUSH} newcomers within an hour, where 3 are usual, 100% down",
    )


def evaluated(folder: Path, **figures: float) -> None:
    """A version folder with an evaluation."""
    folder.mkdir(parents=True)
    manifest = {"base": BASE, "base_sha256": "0" * 64, "sha256": folder.name[1:] * 64}
    (folder / "version.json").write_text(json.dumps(manifest))
    labels = {
        "heldout_perplexity": ("perplexity of her held-out lines", "lower", "", 44.7),
        "rouge1": ("ROUGE-1 to her own lines", "higher", "%", 11.4),
        "who_said_it": ("replies told from others' and the base model's", "higher", "%", 22.4),
        "persona_right": ("questions about herself, right", "higher", "%", 34.2),
        "safety": ("harmful requests declined", "higher", "%", 77.5),
    }
    metrics = []
    for name, value in figures.items():
        label, better, unit, base = labels[name]
        figure = {"value": value, "low": value * 0.94, "high": value * 1.05, "n": 160}
        values = {"card": figure | {"value": base}, "adapter": figure}
        metrics.append({"name": name, "label": label, "better": better, "unit": unit, "values": values})
    goals = [{"met": True}] * 4 + [{"met": figures["persona_right"] > 85}]
    (folder / "evaluation.json").write_text(json.dumps({"metrics": metrics, "goals": goals}))


def share(count: int, right: int) -> dict[str, float]:
    low, high = wilson(right, count)
    return {"value": right / count, "low": low, "high": high, "n": count}


def judged(folder: Path) -> None:
    """A reward model with its report."""
    folder.mkdir(parents=True)
    kinds = {
        "assistant": (61, 60),
        "other": (48, 44),
        "shuffled": (52, 37),
        "vote": (70, 49),
        "truncated": (18, 18),
    }
    bins = [
        {"low": low, "high": low + 0.05, "n": n, "confidence": low + 0.025, "accuracy": right}
        for low, n, right in (
            (0.5, 31, 0.48),
            (0.55, 24, 0.58),
            (0.6, 22, 0.64),
            (0.65, 19, 0.63),
            (0.7, 17, 0.76),
            (0.75, 15, 0.73),
            (0.8, 16, 0.81),
            (0.85, 19, 0.89),
            (0.9, 27, 0.93),
            (0.95, 59, 0.98),
        )
    ]
    report = {
        "overall": share(249, 208),
        "kinds": {name: share(*counts) for name, counts in kinds.items()},
        "calibration": {"temperature": 0.9, "error": 0.03, "error_before": 0.06, "bins": bins},
    }
    (folder / "reward.json").write_text(json.dumps(report))


@dataclass(frozen=True)
class House:
    url: str
    settings: BotSettings


@pytest.fixture
async def house(redis_url: str, store: object, tmp_path: Path) -> AsyncIterator[House]:
    """A bot that has talked for weeks."""
    maeve = tmp_path / "characters" / "maeve"
    maeve.mkdir(parents=True)
    for name in ("card.json", "portrait.png"):
        (maeve / name).write_bytes((ROOT / "characters" / "maeve" / name).read_bytes())
    adapters = maeve / "adapters" / BASE
    evaluated(
        adapters / "v1",
        heldout_perplexity=33.9,
        rouge1=14.2,
        who_said_it=78.0,
        persona_right=79.2,
        safety=80.0,
    )
    evaluated(
        adapters / "v2",
        heldout_perplexity=30.8,
        rouge1=16.1,
        who_said_it=84.7,
        persona_right=86.7,
        safety=80.0,
    )
    evaluated(
        adapters / "v3",
        heldout_perplexity=29.6,
        rouge1=16.7,
        who_said_it=86.5,
        persona_right=88.3,
        safety=82.5,
    )
    judged(maeve / "rewards" / BASE / "r2")
    release = first_release("maeve.v1", by="owner", reason="the first")
    release = release.promote("maeve.v2", by="owner", reason="liked more")
    canary = Canary(version="maeve.v3", share=0.2, since=time.time() - (DAYS - 17) * DAY)
    write_release(adapters, release.with_canary(canary, by="owner", reason="from the votes of October"))
    feedback = tmp_path / "feedback"
    feedback.mkdir()
    lines = [FEEDBACK.dump_json(each) for each in sorted(weeks(time.time()), key=lambda each: each.time)]
    (feedback / "events-2026-01-01.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    async with FakeModel() as model:
        settings = BotSettings(
            _env_file=None,  # type: ignore[call-arg]
            characters=maeve.parent,
            data=tmp_path,
            inference={"base_url": model.base_url, "api_key": model.api_key},
            redis={"url": redis_url},
        )
        web = WebGateway(port=0, owner_token=OWNER)
        stop = asyncio.Event()
        async with app.chat_service(settings, [web]) as chat, asyncio.TaskGroup() as group:
            group.create_task(web.run(chat, stop))
            yield House(await web.listening(), settings)
            stop.set()


async def open_page(browser: Browser, house: House, wrong: list[str], **options: Any) -> Page:
    context = await browser.new_context(**options)
    context.set_default_timeout(60_000)
    page = await context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
    await page.goto(f"{house.url}owner?token={OWNER}")
    assert page.url == f"{house.url}owner"
    await expect(page.locator("svg.over-time")).to_have_count(3)
    return page


async def test_bars_of_weeks_the_button_and_both_languages(
    browser: Browser, house: House, tmp_path: Path
) -> None:
    wrong: list[str] = []
    page = await open_page(
        browser, house, wrong, locale="en-GB", color_scheme="light", viewport={"width": 1180, "height": 900}
    )
    up, down = page.locator(".over-time .bar.up"), page.locator(".over-time .bar.down")
    assert await up.count() > DAYS * 0.8
    assert await down.count() > DAYS * 0.8
    heights = await up.evaluate_all("bars => bars.map((bar) => bar.getBoundingClientRect().height)")
    assert max(heights) > 20
    assert await page.locator(".over-time .whisker").count() > DAYS * 0.8
    await expect(page.locator(".calibration .bar")).to_have_count(10)
    await expect(page.locator(".evaluations")).to_contain_text("88.3")
    await expect(page.locator(".totals tr", has_text="maeve.v3")).to_contain_text("on trial")
    await expect(page.locator(".comparison")).to_contain_text("more votes could show a difference")
    await page.screenshot(path=tmp_path / "owner.png", full_page=True)

    before = int(
        (await page.locator(".totals tr", has_text="maeve.v3").locator("td").last.text_content()) or 0
    )
    assert before == RUSH
    await page.click("[data-rush]")
    await expect(page.locator(".held")).to_have_count(0)
    await expect(page.locator(".totals tr", has_text="maeve.v3").locator("td").last).to_have_text("0")

    await page.click("#language")
    await expect(page.locator("h1")).to_have_text("她们的近况")
    await expect(page.locator(".evaluations")).to_contain_text("关于自己的问题，答对")
    await expect(page.locator(".comparison")).to_contain_text("还差约")
    await page.reload()
    await expect(page.locator("h1")).to_have_text("她们的近况")
    assert wrong == []


async def test_on_a_phone_in_the_dark(browser: Browser, house: House, tmp_path: Path) -> None:
    wrong: list[str] = []
    page = await open_page(
        browser, house, wrong, locale="zh-CN", color_scheme="dark", viewport={"width": 375, "height": 740}
    )
    await expect(page.locator("h1")).to_have_text("她们的近况")
    await page.screenshot(path=tmp_path / "owner-phone.png", full_page=True)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wide = await page.locator("svg.over-time").evaluate_all(
        "all => all.map((svg) => svg.getBoundingClientRect().right)"
    )
    assert max(wide) <= 375
    paper = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in paper[4:-1].split(",")) < 64
    assert wrong == []
