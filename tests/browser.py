"""Headless Chromium, driven through chromedriver: what a person would see, and what the page asked for."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.tools import require_tool

#: Without these Chromium looks up hosts of its own at every start.
_QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,1000",
)
#: Content of the page itself, and the new-tab page that Chromium opens at its start.
_NOT_REQUESTS = ("data:", "blob:", "chrome:", "chrome-untrusted:")


@dataclass(frozen=True)
class Page:
    """A loaded page: its text, the console's errors, and every URL that it requested."""

    driver: webdriver.Chrome
    errors: list[str]
    requested: list[str]

    @property
    def text(self) -> str:
        """All visible text."""
        return str(self.driver.execute_script("return document.body.innerText"))  # type: ignore[no-untyped-call]

    def screenshot(self, path: Path) -> None:
        """Save what the window shows."""
        self.driver.save_screenshot(str(path))


class Browser:
    """One Chromium for several pages."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def open(self, url: str) -> Page:
        """Load a page to the end of its scripts."""
        for kind in ("browser", "performance"):
            self._driver.get_log(kind)  # type: ignore[no-untyped-call]  # what came before is not this page's
        self._driver.get(url)
        self._driver.execute_async_script("const done = arguments[0]; requestIdleCallback(() => done())")  # type: ignore[no-untyped-call]
        errors = [
            entry["message"]
            for entry in self._driver.get_log("browser")  # type: ignore[no-untyped-call]
            if entry["level"] == "SEVERE"
        ]
        messages = [json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance")]  # type: ignore[no-untyped-call]
        requested = [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]
        return Page(self._driver, errors, [url for url in requested if not url.startswith(_NOT_REQUESTS)])


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile in `profile`; skipped by name where Chromium is not installed."""
    options = webdriver.ChromeOptions()
    options.binary_location = require_tool("chromium")
    for argument in (*_QUIET, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(require_tool("chromedriver")))
    try:
        driver.set_page_load_timeout(60)
        driver.set_script_timeout(60)
        yield Browser(driver)
    finally:
        driver.quit()
