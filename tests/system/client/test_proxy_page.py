"""The proxy's page in a real browser, before a stand-in for SageMaker's runtime that a test holds back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser import DESKTOP, PHONE, browser  # noqa: F401 a fixture
from tests.fake_runtime import container_refusing
from tests.proxied import Harbor, harbor

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass
class Opened:
    """The page, and all that it asked for and complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def ask(self, text: str) -> None:
        """Type a question, and Enter."""
        self.page.get_by_label("Question").fill(text)
        self.page.keyboard.press("Enter")


@contextmanager
def opened(
    browser: Browser,  # noqa: F811 the fixture from above
    here: Harbor,
    *,
    size: tuple[int, int] = DESKTOP,
    dark: bool = False,
) -> Iterator[Opened]:
    """Open the page as a screen of this size would."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
    )
    context.set_default_timeout(20_000)
    shown = Opened(context.new_page())
    shown.page.on("request", lambda request: shown.requests.append(request.url))
    shown.page.on("console", lambda message: shown.complaints.append(message.text))
    shown.page.on("pageerror", lambda error: shown.complaints.append(str(error)))
    shown.page.goto(here.url)
    yield shown
    context.close()


CONTRAST = """
() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const found = getComputedStyle(one).backgroundColor;
      if (!/, 0\\)$|transparent/.test(found)) return found;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("h1, h2, label, button, select, summary, p, .text, .figures")]
    .filter((one) => one.offsetParent !== null && one.textContent.trim())
    .map((one) => [light(getComputedStyle(one).color), light(behind(one)), one.outerHTML.slice(0, 60)])
    .map(([a, b, what]) => [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), what])
    .filter(([ratio]) => ratio < 4.5);
}
"""
"""Texts whose contrast is below what WCAG wants (AA)."""


@pytest.mark.parametrize(
    ("size", "dark"),
    [pytest.param(PHONE, True, id="phone, dark"), pytest.param(DESKTOP, False, id="desktop, light")],
)
def test_a_conversation_is_shown_word_by_word(
    browser: Browser,  # noqa: F811 the fixture from above
    size: tuple[int, int],
    *,
    dark: bool,
) -> None:
    """The first word before the second is said; with what was said before, and how fast; by the keyboard alone."""
    with harbor() as here, opened(browser, here, size=size, dark=dark) as shown:
        page = shown.page
        expect(page.get_by_label("Service")).to_be_enabled()
        assert page.get_by_label("Service").locator("option").all_inner_texts() == ["barge", "tug"]
        page.get_by_label("Service").select_option("tug")
        page.get_by_text("System text, length, temperature").press("Enter")
        page.get_by_label("System text").fill("Be brief.")
        page.get_by_label("Tokens at most").fill("30")
        page.get_by_label("Temperature").fill("0.5")
        shown.ask("What?")

        answer = page.locator("article.assistant .text")
        expect(answer).to_have_text("Heavy ")
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        expect(page.get_by_role("button", name="Send")).to_be_hidden()
        assert not here.going_on.is_set()
        here.going_on.set()
        expect(answer).to_have_text("Heavy cargo <b>")
        expect(page.locator(".figures")).to_contain_text("3 tokens, 12.5 tokens/s")
        expect(page.get_by_role("status")).to_contain_text("Answered")
        assert here.asked == {
            "model": "tug",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What?"}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": 30,
            "temperature": 0.5,
        }

        shown.ask("And?")
        expect(page.locator("article.assistant")).to_have_count(2)
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        assert [one["content"] for one in here.messages] == ["Be brief.", "What?", "Heavy cargo <b>", "And?"]
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("document.activeElement.id") == "question"
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is dark
        assert all(url.startswith(here.url) for url in shown.requests)
        assert shown.complaints == []

        page.get_by_role("button", name="Clear").click()
        expect(page.locator("article")).to_have_count(0)
        shown.ask("Anew?")
        expect(page.locator("article.assistant .figures")).to_be_visible()
        assert [one["content"] for one in here.messages] == ["Be brief.", "Anew?"]


@pytest.mark.parametrize("way", ["Escape", "Stop"])
def test_an_answer_can_be_stopped(
    browser: Browser,  # noqa: F811 the fixture from above
    way: str,
) -> None:
    """The endpoint's work ends with it; what was said so far stays, and the conversation goes on."""
    with harbor() as here, opened(browser, here) as shown:
        shown.page.get_by_label("Service").select_option("tug")
        shown.ask("What?")
        expect(shown.page.locator("article.assistant .text")).to_have_text("Heavy ")
        if way == "Stop":
            shown.page.get_by_role("button", name="Stop").click()
        else:
            shown.page.keyboard.press("Escape")

        expect(shown.page.get_by_role("status")).to_have_text("Stopped.")
        expect(shown.page.locator(".figures")).to_contain_text("stopped after")
        assert here.hung_up.wait(20)
        here.going_on.set()
        shown.ask("And?")
        expect(shown.page.locator(".figures")).to_have_count(2)
        assert [one["content"] for one in here.messages] == ["What?", "Heavy ", "And?"]
        assert shown.complaints == []


def test_a_serverless_answer_comes_whole(browser: Browser) -> None:  # noqa: F811 the fixture from above
    """All its events at once."""
    with harbor() as here, opened(browser, here) as shown:
        expect(shown.page.get_by_label("Service")).to_have_value("barge")
        shown.ask("What?")
        expect(shown.page.locator("article.assistant .text")).to_have_text("Heavy cargo")
        expect(shown.page.locator(".figures")).to_contain_text("12.5 tokens/s")
        assert shown.complaints == []


def test_what_is_not_answered_is_told_and_can_be_asked_again(
    browser: Browser,  # noqa: F811 the fixture from above
) -> None:
    """The question goes back to where it can be changed, and is no part of the conversation."""
    with harbor() as here, opened(browser, here) as shown:
        good = here.runtime.answers["barge-1"]
        here.runtime.answers["barge-1"] = container_refusing(400, '{"error": {"message": "too <i>long"}}')
        shown.ask("What?")
        expect(shown.page.locator("article.failed .text")).to_have_text("too <i>long")
        expect(shown.page.get_by_label("Question")).to_have_value("What?")
        here.runtime.answers["barge-1"] = good
        shown.ask("Else?")
        expect(shown.page.locator("article.assistant .text")).to_have_text("Heavy cargo")
        assert [one["content"] for one in here.messages] == ["Else?"]
        assert shown.page.evaluate(CONTRAST) == []


def test_a_proxy_that_is_gone_is_told(browser: Browser) -> None:  # noqa: F811 the fixture from above
    """Not in the browser's own words, which name neither what failed nor what to do."""
    with harbor() as here, opened(browser, here) as shown:
        expect(shown.page.get_by_label("Service")).to_be_enabled()
        shown.page.context.set_offline(True)
        shown.ask("What?")
        expect(shown.page.locator("article.failed .text")).to_have_text(
            "The proxy does not answer: is it still running?"
        )
        expect(shown.page.get_by_label("Question")).to_have_value("What?")


def test_a_key_is_asked_for(browser: Browser) -> None:  # noqa: F811 the fixture from above
    """Nothing is seen before; a wrong one is told."""
    with harbor("secret") as here, opened(browser, here) as shown:
        expect(shown.page.get_by_label("API key")).to_be_focused()
        expect(shown.page.get_by_role("button", name="Send")).to_be_disabled()
        for key in ("wrong", "secret"):
            shown.page.get_by_label("API key").fill(key)
            shown.page.keyboard.press("Enter")
            if key == "wrong":
                expect(shown.page.get_by_role("status")).to_contain_text("another key")
        expect(shown.page.get_by_label("Service")).to_be_enabled()
        shown.ask("What?")
        expect(shown.page.locator("article.assistant .text")).to_have_text("Heavy cargo")
