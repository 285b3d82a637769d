"""The pages in headless Chromium: no error on the console, no request elsewhere, a button that works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By

from drift_engine.run_requests import take
from tests import kept, results
from tests.exporter.running import exporter
from tests.exporter.site import Site
from tests.tools import require_tool, wait_until

#: A report that tries what a report may do, and everything that it may not.
REPORT = b"""<!doctype html><title>report</title><style>#out{color:rgb(1,2,3)}</style>
<body><p id="out"></p><script>
const out = document.getElementById("out");
async function attempt(name, action) {
  try { await action(); out.textContent += name + " done;"; }
  catch (error) { out.textContent += name + " refused;"; }
}
(async () => {
  await attempt("script", () => {});
  await attempt("fetch", () => fetch("/metrics"));
  await attempt("post", () => fetch("/monitoring/run",
    {method: "POST", body: "{}", headers: {"Content-Type": "application/json"}}));
  await attempt("storage", () => localStorage.setItem("a", "b"));
  await attempt("top", () => new Promise((good, bad) => {
    const image = new Image(); image.onload = good; image.onerror = bad; image.src = "/static/icon.svg"; }));
  await attempt("data", () => new Promise((good, bad) => {
    const image = new Image(); image.onload = good; image.onerror = bad;
    image.src = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"; }));
  out.textContent += "end";
})();
</script></body>"""


@contextmanager
def chromium() -> Iterator[Chrome]:
    """A headless browser that records its console and its requests."""
    options = ChromeOptions()
    options.binary_location = require_tool("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=390,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Chrome(options=options, service=ChromeService(require_tool("chromedriver")))
    try:
        yield browser
    finally:
        browser.quit()


def console(browser: Chrome) -> list[dict[str, Any]]:
    """What the console said since the last call."""
    entries: list[dict[str, Any]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return entries


def answered(browser: Chrome) -> set[str]:
    """The addresses that the pages got answers from since the last call; what the policy blocked got none."""
    entries: list[dict[str, Any]] = browser.get_log("performance")  # type: ignore[no-untyped-call]
    messages = [json.loads(entry["message"])["message"] for entry in entries]
    urls = {m["params"]["response"]["url"] for m in messages if m["method"] == "Network.responseReceived"}
    return {url for url in urls if not url.startswith("data:")}


@pytest.mark.e2e
def test_the_library_works_in_a_browser_under_its_own_policy(site: Site) -> None:
    """Narrow and wide, light and dark: nothing on the console, everything from here, and "Run now" asks for a run."""
    site.commit(results.drifted())
    site.serve(fraud="1")
    with exporter(site) as running, chromium() as browser:
        for width, scheme in ((390, "dark"), (1280, "light")):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            browser.get(running.url + "/")
            assert browser.execute_script("return document.documentElement.scrollWidth") == width
        assert "Drift" in browser.find_element(By.CSS_SELECTOR, ".card .badge").text
        browser.find_element(By.ID, "run-now").click()
        state = browser.find_element(By.ID, "run-state")
        wait_until(lambda: "The scheduler starts it" in state.text, 10, "an answer")
        assert [request.model_name for request in take(site.paths.state)] == [None]
        assert console(browser) == []
        assert all(url.startswith(running.url + "/") for url in answered(browser))


def widest(browser: Chrome) -> int:
    """How wide the page is; wider than the window, and all of it scrolls sideways."""
    width = browser.execute_script("return document.documentElement.scrollWidth")  # type: ignore[no-untyped-call]
    return int(width)


@pytest.mark.e2e
def test_every_page_fits_its_window_and_obeys_its_policy(site: Site) -> None:
    """With much, with nothing, and with hostile text: nothing wider than the window, nothing on the console."""
    hostile = "<script>alert(1)</script>\"'&" * 4
    site.serve(fraud="1", new="1")
    for number in range(20):
        site.commit(results.later(results.drifted(), -300 * number, number))
    kept.keep_days(site.paths.reports, *(kept.day(number) for number in range(90)))
    kept.keep_days(site.paths.reports, kept.day(0, classes={hostile: 10, "w" * 200: 5}))
    over = kept.resolved(cause=hostile, subject="w" * 200)
    kept.keep_incidents(site.paths.reports, kept.incidents(kept.incident(cause=hostile), over))
    row = kept.review_row(0, features={f"{hostile}{i}": "w" * 300 for i in range(30)}, client_id=hostile)
    kept.keep_review(site.paths.reports, kept.review(row, number=1))
    with exporter(site) as running, chromium() as browser:
        for url in ("/", "/models/fraud?days=366", "/models/new", "/review?model=fraud&days=90", "/nowhere"):
            for width in (1280, 1000, 400):
                size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
                browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                browser.get(running.url + url)
                assert widest(browser) <= width, (url, width)
            errors = [entry for entry in console(browser) if "404" not in entry["message"]]
            assert errors == [], url
        assert all(address.startswith(running.url + "/") for address in answered(browser))


@pytest.mark.e2e
def test_a_report_runs_its_own_scripts_and_reaches_nothing(site: Site) -> None:
    """Inline scripts, styles and data images work; no request leaves the page, not even to us."""
    run = results.drifted()
    site.commit(run, REPORT)
    with exporter(site) as running, chromium() as browser:
        address = f"{running.url}/reports/fraud/1/{run.run_id}/report.html"
        browser.get(address)
        out = browser.find_element(By.ID, "out")
        wait_until(lambda: out.text.endswith("end"), 10, "the report's script")
        assert out.text == ("script done;fetch refused;post refused;storage refused;top refused;data done;end")
        assert out.value_of_css_property("color") == "rgba(1, 2, 3, 1)"
        assert answered(browser) - {f"{running.url}/favicon.ico"} == {address}
    assert take(site.paths.state) == ()
