"""The report library as a reader sees it."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Callable

import pytest

from drift_engine.results import Result
from drift_engine.results.schema import ConceptDrift, JointDrift, PredictionDrift
from gateway import heartbeat
from tests import kept, results
from tests.exporter.site import Site
from tests.results import NOON, later


def page(site: Site, url: str = "/", now: float = NOON + 60) -> str:
    """The text of a page as a person reads it, one space between words."""
    answer = site.client(now).get(url)
    assert answer.status_code == 200
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text)))


def test_an_empty_installation_says_what_to_do(site: Site) -> None:
    """Nothing ran yet: the page says so and names the commands."""
    text = page(site)
    assert "No model yet" in text
    assert "make register" in text
    assert "make demo" in text


def test_a_model_without_a_run_says_what_will_make_one(site: Site) -> None:
    """Registered and serving, but nothing was compared."""
    site.serve(fraud="1")
    text = page(site)
    assert "No run yet" in text
    assert "make drift NAME=fraud" in text


QUALITY_LOST = ConceptDrift(True, "critical", "accuracy", 9.3, 6.1, 12.0, 5.0, 0.0, "accuracy fell by 9.3 %")
TOGETHER = JointDrift(True, 0.71, 0.55, 0.01, 0.001, 1000, 5000, ("V1", "V2"), "the trees tell the sides apart")
ONLY_TOGETHER = results.data_drift(detected=True, columns_drifted=0, joint=TOGETHER)
NOT_JUDGED = results.data_drift(detected=None, score=None, drifted_ratio=None)


@pytest.mark.parametrize(
    ("run", "word", "sentence"),
    [
        (results.result(), "No drift", "Inputs: none of 2 columns moved."),
        (results.drifted(), "Drift", "Inputs: 1 of 2 columns moved."),
        (results.insufficient(), "Not enough data", "12 rows of the 50 needed."),
        (results.failed(), "Failed", "The reference is damaged."),
        (results.result(prediction_drift=PredictionDrift(True, 0.01, ())), "Drift", "Predictions: they moved."),
        (results.result(concept_drift=QUALITY_LOST), "Drift", "Quality: accuracy fell by 9.3 %."),
        (
            results.result(data_drift=ONLY_TOGETHER),
            "Drift",
            "Inputs: none of 2 columns moved by itself, all together did.",
        ),
        (results.result(data_drift=NOT_JUDGED), "Not enough data", "Inputs: not enough data for a verdict."),
        (results.insufficient(reason=None), "Not enough data", "12 rows in the window."),
    ],
)
def test_the_card_gives_the_verdict_in_words(site: Site, run: Result, word: str, sentence: str) -> None:
    """Drift, no drift, not enough data, failed: and why."""
    site.commit(run)
    text = page(site)
    card = text[text.index("version 1") : text.index("Window")]
    assert f" {word} " in card
    assert sentence in card


def test_the_card_names_the_columns_that_moved_most(site: Site) -> None:
    """Three columns with their sentences; those that did not move are not listed."""
    moved = [results.finding(f"moved{i}", 0.5 - i / 10, sentence=f"by {i}.") for i in range(4)]
    site.commit(results.drifted(data_drift=results.data_drift(*moved, results.finding("still"))))
    text = page(site)
    assert "moved0 by 0. moved1 by 1. moved2 by 2." in text
    assert "moved3 " not in text
    assert "still " not in text


@pytest.mark.parametrize("make", [results.insufficient, results.failed])
def test_a_run_without_a_verdict_does_not_hide_the_last_one(site: Site, make: Callable[..., Result]) -> None:
    """Drift an hour ago and no traffic since: both are told, and the card stays among the urgent ones."""
    site.commit(results.drifted(model_name="quiet"))
    site.commit(later(make(model_name="quiet"), 3600))
    site.commit(results.insufficient(model_name="a-new-one"))
    text = page(site)
    assert "Last verdict: Drift 2026-11-20 12:00:03 UTC, Inputs: 1 of 2 columns moved." in text
    cards = re.findall(r'<h2><a href="/models/([\w-]+)', site.client().get("/").text)
    assert cards == ["quiet", "a-new-one"]


def test_the_newest_run_is_on_top_with_its_own_time(site: Site) -> None:
    """Newest first, and an old run says that it is old."""
    for i in range(3):
        site.commit(later(results.result(), 300 * i, i))
    text = page(site, now=NOON + 7200)
    rows = re.findall(r"2026-11-20 12:\d\d:03", text)
    assert rows == ["2026-11-20 12:10:03", "2026-11-20 12:05:03", "2026-11-20 12:00:03"]
    assert "1 h ago : no newer run" in text


def test_a_fresh_run_is_not_called_old(site: Site) -> None:
    """The age is shown, without a warning."""
    site.commit(results.result())
    text = page(site, now=NOON + 63)
    assert "1 min ago" in text
    assert "no newer run" not in text


def test_pages_and_the_filter_go_together(site: Site) -> None:
    """Fifty runs a page; the filter holds on the next page; a wrong page number gives a page, not an error."""
    for i in range(60):
        site.commit(later(results.result(), 300 * i, i))
    site.commit(results.result(model_name="churn"))
    assert "Page 1 of 2" in page(site)
    first = site.client().get("/?model=fraud").text
    assert 'href="/?model=fraud&amp;page=2"' in first
    assert len(re.findall('data-label="Finished"', first)) == 50
    second = site.client().get("/?model=fraud&page=2").text
    assert len(re.findall('data-label="Finished"', second)) == 10
    assert "Page 2 of 2" in page(site, "/?page=999999999999999999")
    assert "Page 1 of 2" in page(site, "/?page=-1")
    assert "Page 1 of 2" in page(site, "/?page=abc")


def test_the_filter_shows_one_model(site: Site) -> None:
    """Cards and runs of the others are gone; an unknown name says so."""
    site.commit(results.result())
    site.commit(results.result(model_name="churn"))
    shown = site.client().get("/?model=churn").text
    assert "/reports/churn/" in shown
    assert "/reports/fraud/" not in shown
    assert "No model called nothing" in page(site, "/?model=nothing")


def test_what_needs_a_person_comes_first(site: Site) -> None:
    """Cards are ordered by urgency, then by name."""
    makers: dict[str, Callable[..., Result]] = {
        "a": results.result,
        "b": results.insufficient,
        "c": results.failed,
        "d": results.drifted,
    }
    for name, make in makers.items():
        site.commit(make(model_name=name))
    assert re.findall(r'<h2><a href="/models/(\w)', site.client().get("/").text) == ["d", "c", "b", "a"]


def test_a_replaced_version_keeps_its_runs_but_not_its_card(site: Site) -> None:
    """On top stands what answers now."""
    site.commit(results.drifted())
    site.commit(later(results.result(model_version="2"), 300))
    site.serve(fraud="2")
    shown = site.client().get("/").text
    assert shown.count("<article") == 1
    assert "version 2" in shown
    assert "/reports/fraud/1/" in shown


def test_an_unreadable_run_is_a_row_and_not_an_error(site: Site) -> None:
    """One damaged file costs one row its figures."""
    site.commit(results.result())
    broken = site.commit(later(results.result(), 300))
    (broken / "result.json").write_bytes(b"{")
    text = page(site)
    assert "Unreadable" in text
    assert "No drift" in text
    assert "Something could not be read" in text


def test_a_thinned_out_report_has_no_link(site: Site) -> None:
    """Retention removes reports and keeps results; the table knows at once."""
    client = site.client()
    folder = site.commit(results.result())
    assert "report.html" in client.get("/").text
    (folder / "report.html").unlink()
    shown = client.get("/").text
    assert "report.html" not in shown
    assert "no report" in shown
    assert "result.json" in shown


def test_the_page_says_which_processes_run(site: Site) -> None:
    """Alive, silent, or never there: from the heartbeats alone."""
    heartbeat.write(site.paths.state, "gateway", NOON)
    assert "gateway running" in page(site, now=NOON + 5)
    assert "gateway silent for 5 min" in page(site, now=NOON + 300)
    assert "scheduler not running" in page(site)


HOSTILE = "<script>alert(1)</script>\"'&"


def test_whatever_a_result_says_is_text(site: Site) -> None:
    """Column names and reasons come from users' data; none of them becomes markup."""
    moved = results.finding(HOSTILE, 0.5, sentence=HOSTILE)
    site.commit(results.drifted(data_drift=results.data_drift(moved)))
    site.commit(results.failed(model_name="b", reason=HOSTILE))
    for url in ("/", f"/?model={HOSTILE}"):
        shown = site.client().get(url).text
        assert "<script>alert" not in shown
    assert HOSTILE in page(site)


def test_nothing_on_the_pages_comes_from_elsewhere(site: Site) -> None:
    """No external address, no inline script or style: the policy allows none, and it is sent everywhere."""
    site.commit(results.drifted())
    client = site.client()
    for url in ("/", "/?model=fraud", "/nowhere", "/static/style.css", "/metrics", "/health", "/api/drift/data"):
        answer = client.get(url, buffered=True)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    shown = client.get("/").text
    assert re.findall(r'(?:src|href)="(?:https?:)?//', shown) == []
    assert re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", shown) == []
    assert re.findall(r"url\(|@import", client.get("/static/style.css", buffered=True).text) == []


def test_open_incidents_stand_at_the_top(site: Site) -> None:
    """Of all models, the gravest first, each with its cause and a link; what is resolved is not there."""
    site.commit(results.result())
    site.commit(results.result(model_name="churn"))
    kept.keep_incidents(
        site.paths.reports,
        kept.incidents(kept.incident("prediction_drift", severity="warning", subject="score"), kept.resolved()),
    )
    kept.keep_incidents(site.paths.reports, kept.incidents(kept.incident(severity="critical"), model_name="churn"))
    text = page(site)
    top = text[: text.index("Inputs:")]
    assert "Open incidents 2" in top
    assert top.index("critical churn 1 performance : accuracy is 0.780") < top.index("prediction drift: score")
    assert "12 % of the columns" not in top
    assert 'href="/models/churn?version=1#incidents"' in site.client().get("/").text
    assert "Open incidents 1" in page(site, "/?model=churn")


def test_a_superseded_run_is_marked(site: Site) -> None:
    """Labels came and its window was scored again; also when the newer run stands on an earlier page."""
    runs = [later(results.result(), 300 * i, i) for i in range(60)]
    for run in runs:
        site.commit(run)
    again = dataclasses.replace(runs[0], run_id="20261121T000000.000000Z-00ffff", supersedes=runs[0].run_id)
    site.commit(again)
    # A name that is none, or leads elsewhere, marks nothing and breaks nothing.
    for number, name in enumerate(("", "../..", "x/y")):
        site.commit(later(results.result(supersedes=name), 300 * number, 100 + number))
    assert "scored again" in page(site)
    assert "superseded" not in page(site)
    second = site.client().get("/?page=2").text
    assert second.count(">superseded<") == 1
    assert f"run {again.run_id} scored this window again" in second
