"""The browser of this machine, for tests that look at a page as a person does; without one they are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE, DESKTOP = (375, 812), (1280, 900)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the browser of this machine."""
    if BROWSER is None:
        pytest.skip("no browser is here: `make browser` installs one as root, else install chromium")
    with sync_playwright() as player:
        started = player.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield started
        started.close()
