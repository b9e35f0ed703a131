"""What a person does on the page, in a real Chromium."""

import json
import re

import pytest
from playwright.async_api import Page, expect

from inference.prompt import clean
from tests.browser.conftest import House, Opening

pytestmark = [pytest.mark.slow, pytest.mark.browser]
expect.set_options(timeout=60_000)  # a busy machine is slow; what never comes fails all the same


async def choose(page: Page, character: str) -> None:
    await expect(page.locator("#picker")).to_be_visible()
    await page.click(f"[data-character={character}]")
    await expect(page.locator("#picker")).to_be_hidden()


async def say(page: Page, text: str) -> None:
    await page.fill("#text", text)
    await page.press("#text", "Enter")


async def heard(page: Page, text: str) -> None:
    """Her whole reply stands in the text box, typed to its end."""
    await expect(page.locator("#words")).to_have_text(text)
    await expect(page.locator("#box .mark.again")).to_be_visible()


async def test_a_whole_evening(house: House, opened: Opening) -> None:
    answers = iter(["门口有毛巾，先擦擦。", "伞放桶里，别靠着书架。"])
    house.model.reply = lambda _: next(answers)
    house.model.delay = 0.1
    page = await opened(locale="zh-CN")
    await expect(page.locator("#picker-title")).to_have_text("今夜，和谁说话？")
    await choose(page, "zhiwei")
    await expect(page.locator("#plate")).to_have_text("沈知微")
    await expect(page.locator("#portrait")).to_have_attribute("src", re.compile(r"^portraits/zhiwei\.png"))

    await page.evaluate(
        """() => {
          window.seen = { plate: [], words: [] };
          for (const [id, texts] of Object.entries(window.seen)) {
            const element = document.getElementById(id);
            const note = () => texts.push(element.textContent);
            const all = { childList: true, characterData: true, subtree: true };
            new MutationObserver(note).observe(element, all);
          }
        }"""
    )
    await say(page, "雨好大")
    await heard(page, "门口有毛巾，先擦擦。")
    # Her answer comes so fast that what stood there for a moment is only seen from inside.
    seen = await page.evaluate("window.seen")
    assert "你" in seen["plate"]
    assert "雨好大" in seen["words"]
    typed = [text for text in seen["words"] if text and "门口有毛巾，先擦擦。".startswith(text)]
    assert len(typed) > 2  # it was typed out
    await expect(page.locator("#version")).to_have_text("zhiwei.v1")

    await page.click("#box .mark.up")
    await expect(page.locator("#box .mark.up")).to_have_attribute("aria-pressed", "true")
    await page.click("#box .mark.down")
    await expect(page.locator("#box .mark.up")).to_have_attribute("aria-pressed", "false")
    await page.click("#box .mark.again")
    await heard(page, "伞放桶里，别靠着书架。")
    await expect(page.locator("#box .mark.down")).to_have_attribute("aria-pressed", "false")
    await page.click("#box .mark.up")
    await expect(page.locator("#box .mark.up")).to_have_attribute("aria-pressed", "true")

    await page.reload()
    await heard(page, "伞放桶里，别靠着书架。")
    await expect(page.locator("#picker")).to_be_hidden()
    await expect(page.locator("#box .mark.up")).to_have_attribute("aria-pressed", "true")
    await page.click("#open-log")
    lines = page.locator("#lines li p")
    await expect(lines).to_have_count(3)
    assert (await lines.all_text_contents())[1:] == ["雨好大", "伞放桶里，别靠着书架。"]
    await expect(page.locator("#lines .mark.up")).to_have_attribute("aria-pressed", "true")
    await page.keyboard.press("Escape")
    await expect(page.locator("#log")).to_be_hidden()


async def test_another_answer_from_the_log(house: House, opened: Opening) -> None:
    answers = iter(["one", "two", "three"])
    house.model.reply = lambda _: next(answers)
    page = await opened()
    await choose(page, "maeve")
    await say(page, "hello")
    await heard(page, "one")
    await say(page, "and?")
    await heard(page, "two")
    await page.click("#open-log")
    await expect(page.locator("#lines .mark.again")).to_have_count(1)
    await page.locator("#lines li", has_text="one").locator(".down").click()
    await expect(page.locator("#lines .mark.down[aria-pressed=true]")).to_have_count(1)
    await page.click("#lines .mark.again")
    await heard(page, "three")
    await page.click("#open-log")
    assert (await page.locator("#lines li p").all_text_contents())[1:] == ["hello", "one", "and?", "three"]


async def test_the_language_is_the_browser_s_and_can_be_changed(opened: Opening) -> None:
    page = await opened(locale="fr-FR")
    await choose(page, "zhiwei")
    await expect(page.locator("#text")).to_have_attribute("placeholder", "Say something to 沈知微…")
    await page.click("#language")
    await expect(page.locator("#text")).to_have_attribute("placeholder", "对沈知微说…")
    await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    await say(page, "/help")
    await expect(page.locator("#notice p")).to_contain_text("你正在和沈知微说话")
    await page.reload()
    await expect(page.locator("#open-log")).to_have_text("回想")
    untranslated = await page.evaluate(
        "[...document.querySelectorAll('[data-text]')].filter(e => !e.textContent)"
    )
    assert untranslated == []


async def test_commands_switch_reset_and_forget(opened: Opening) -> None:
    page = await opened()
    await choose(page, "maeve")
    await say(page, "hello")
    await heard(page, "maeve.v1 heard: hello")
    await say(page, "/character zhiwei")
    await expect(page.locator("#plate")).to_have_text("沈知微")
    await expect(page.locator("#notice p")).to_contain_text("沈知微")
    await page.click("#who")
    await page.click("[data-character=maeve]")
    await heard(page, "maeve.v1 heard: hello")
    await page.click("#open-menu")
    await page.click("[data-command='/forget yes']")
    await page.click("#no")
    await page.click("[data-command='/reset']")
    await page.click("#yes")
    await expect(page.locator("#notice p")).to_contain_text("fresh start")
    await expect(page.locator("#words")).to_contain_text("Skerrow Light")
    await page.click("#open-log")
    await expect(page.locator("#lines li.me")).to_have_count(0)


async def test_on_a_telephone(opened: Opening) -> None:
    size = {"width": 390, "height": 700}
    page = await opened(viewport=size, has_touch=True, is_mobile=True, device_scale_factor=2)
    await expect(page.locator("#picker")).to_be_visible()
    await page.tap("[data-character=maeve]")
    await say(page, "hello " * 60)
    await expect(page.locator("#box .mark.again")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") == size["width"]
    for part in ("#who", "#open-log", "#words", "#box .mark.up", "#text", "#send"):
        box = await page.locator(part).bounding_box()
        assert box is not None
        assert box["x"] >= 0, part
        assert box["y"] >= 0, part
        assert box["x"] + box["width"] <= size["width"], part
        assert box["y"] + box["height"] <= size["height"], part


async def test_text_is_only_text(house: House, opened: Opening) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script><b>bold</b>"
    house.model.reply = lambda _: evil
    page = await opened()
    await choose(page, "maeve")
    await say(page, evil)
    await heard(page, clean(evil))
    await page.click("#open-log")
    assert (await page.locator("#lines li p").all_text_contents())[1:] == [evil, clean(evil)]
    assert await page.evaluate("document.querySelectorAll('#lines p *, #words *, #spoken p *').length") == 0
    assert "owned" not in await page.title()


async def test_the_bot_goes_away_and_comes_back(house: House, opened: Opening) -> None:
    page = await opened()
    await choose(page, "maeve")
    await say(page, "one")
    await heard(page, "maeve.v1 heard: one")
    await house.stop()
    await expect(page.locator("#state")).to_have_text("Connection lost. Trying again…")
    await say(page, "two")
    await expect(page.locator("#words")).to_have_text("two")
    await expect(page.locator("#marks")).to_have_text("not delivered yet")
    await page.click("#open-log")
    await expect(page.locator("#lines")).to_contain_text("not delivered yet")
    await page.keyboard.press("Escape")
    await house.start()
    await heard(page, "maeve.v1 heard: two")
    await expect(page.locator("#state")).to_be_hidden()
    asked = [json.dumps(body["messages"][-1]["content"]) for body in house.model.requests]
    assert len([text for text in asked if "two" in text]) == 1


async def test_what_was_not_delivered_outlives_a_reload(house: House, opened: Opening) -> None:
    page = await opened()
    await choose(page, "maeve")
    await expect(page.locator("#words")).to_contain_text("Skerrow")
    await page.evaluate("WebSocket.prototype.send = () => {}")  # what is sent is lost on the way
    await say(page, "keep this")
    await page.reload()
    await heard(page, "maeve.v1 heard: keep this")
    assert len(house.model.requests) == 1


async def test_two_tabs_tell_each_other(opened: Opening) -> None:
    one = await opened()
    await choose(one, "maeve")
    two = await one.context.new_page()
    await two.goto(one.url)
    await expect(two.locator("#plate")).to_have_text("Maeve")
    await say(one, "hello")
    await heard(one, "maeve.v1 heard: hello")
    await heard(two, "maeve.v1 heard: hello")
    await two.click("#box .mark.up")
    await expect(one.locator("#box .mark.up")).to_have_attribute("aria-pressed", "true")
    await two.click("#open-log")
    assert (await two.locator("#lines li p").all_text_contents())[1:] == ["hello", "maeve.v1 heard: hello"]


async def test_enter_while_an_input_method_composes_sends_nothing(house: House, opened: Opening) -> None:
    page = await opened()
    await choose(page, "zhiwei")
    await page.focus("#text")
    ime = await page.context.new_cdp_session(page)
    await ime.send("Input.imeSetComposition", {"text": "ni hao", "selectionStart": 6, "selectionEnd": 6})
    enter = {"type": "rawKeyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    await ime.send("Input.dispatchKeyEvent", enter)  # as an input method passes it on
    await ime.send("Input.insertText", {"text": "你好"})
    await page.press("#text", "Shift+Enter")
    await page.keyboard.type("x")
    await expect(page.locator("#text")).to_have_value("你好\nx")
    assert house.model.requests == []
    await page.keyboard.press("Enter")
    await heard(page, "zhiwei.v1 heard: 你好 x")


async def test_what_is_written_at_once_is_for_her_who_was_chosen(house: House, opened: Opening) -> None:
    page = await opened()
    await expect(page.locator("#picker")).to_be_visible()
    await page.evaluate(
        """() => {
          document.querySelector("[data-character=zhiwei]").click();
          document.getElementById("text").value = "在吗";
          document.getElementById("say").requestSubmit();
        }"""
    )
    await heard(page, "zhiwei.v1 heard: 在吗")
    await expect(page.locator("#plate")).to_have_text("沈知微")


async def test_a_message_that_was_refused_can_be_sent_again(opened: Opening) -> None:
    page = await opened()
    await choose(page, "maeve")
    await say(page, "x" * 2001)
    await expect(page.locator("#notice p")).to_contain_text("too long")
    await expect(page.locator("#text")).to_have_value("x" * 2001)
    await expect(page.locator("#words")).to_contain_text("Skerrow")


async def test_the_keyboard_is_enough(opened: Opening) -> None:
    page = await opened()
    await expect(page.locator("#picker")).to_be_visible()
    await page.keyboard.press("Enter")  # the character that is offered has the focus
    await expect(page.locator("#picker")).to_be_hidden()
    await expect(page.locator("#text")).to_be_focused()
    await page.keyboard.type("hello")
    await page.keyboard.press("Enter")
    await heard(page, "maeve.v1 heard: hello")
    for _ in range(12):
        await page.keyboard.press("Shift+Tab")
        if await page.evaluate("document.activeElement.classList.contains('up')"):
            break
    await page.keyboard.press("Space")
    await expect(page.locator("#box .mark.up")).to_have_attribute("aria-pressed", "true")
    await expect(page.locator("#box .mark.up")).to_be_focused()
    await page.keyboard.press("PageUp")
    await expect(page.locator("#log")).to_be_visible()
    await expect(page.locator("#spoken")).to_contain_text("Maeve: maeve.v1 heard: hello")


async def test_a_character_without_pictures(house: House, opened: Opening) -> None:
    page = await opened()
    await page.context.route("**/characters", bare)
    await page.reload()
    await choose(page, "maeve")
    await expect(page.locator("#portrait")).to_have_attribute("src", "static/silhouette.svg")
    await expect(page.locator("#portrait")).to_have_class(re.compile("here"))
    await expect(page.locator("#background")).to_have_attribute("src", "static/night.svg")


async def bare(route) -> None:
    answer = await route.fetch()
    cast = [{**each, "portrait": None, "background": None} for each in await answer.json()]
    await route.fulfill(response=answer, json=cast)


async def test_the_door(house: House, opened: Opening) -> None:
    await house.stop()
    house.token = "correct-horse-battery"
    await house.start()
    page = await opened()
    await page.fill("#token", "wrong")
    await page.keyboard.press("Enter")
    await expect(page.locator(".refused")).to_be_visible()
    await page.fill("#token", house.token)
    await page.keyboard.press("Enter")
    await choose(page, "maeve")
    assert house.token not in page.url
    again = await opened(path=f"?token={house.token}")
    await choose(again, "maeve")
    assert house.token not in again.url
