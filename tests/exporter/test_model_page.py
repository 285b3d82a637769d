"""The page of one model as a reader sees it."""

from __future__ import annotations

import dataclasses
import html
import re
import time

import pytest

from drift_engine.results.days import NumberSummary
from drift_engine.results.schema import ConceptDrift, Performance, Retraining
from exporter.charts import Course, Part, Point, histogram, line_chart, stacked_days
from tests import kept, results
from tests.exporter.site import Site
from tests.exporter.test_api_history import rich
from tests.results import accuracy

HOSTILE = "<script>alert(1)</script>\"'&"


def text_of(shown: str) -> str:
    """The text of a page as a person reads it, one space between words."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", shown)))


def page(site: Site, url: str = "/models/fraud") -> str:
    """The text of a page that answers."""
    answer = site.client().get(url)
    assert answer.status_code == 200
    return text_of(answer.text)


def full(site: Site) -> None:
    """Ninety days, incidents, and a run that knows all there is to know."""
    site.serve(baseline=(accuracy(0.93),), fraud="1")
    site.commit(rich())
    kept.keep_days(site.paths.reports, *(kept.day(i) for i in range(90)))
    kept.keep_incidents(site.paths.reports, kept.incidents(kept.incident(), kept.resolved()))


def test_the_page_tells_everything_of_a_model(site: Site) -> None:
    """Verdict, incidents, quality, labels, retraining, versions, predictions: in words and with numbers."""
    full(site)
    text = page(site)
    for said in (
        "Quality: accuracy fell.",
        "1 open, as of 2026-11-20 12:00 UTC",
        "Accuracy is 0.780, below 0.8 (baseline 0.930).",
        "was critical",
        "1 resolved",
        "Trend: Accuracy 0.910 over 7 days, 0.930 over the 7 days before; worse on each of the newest 4 days.",
        "Less sure.",
        "0.910 (0.890 to 0.930)",
        "off by +0.020 on 200 labelled rows",
        "An estimate cannot see concept drift.",
        "In the window: 40 of 100 labelled rows.",
        "67 % 200 of 300 since 2026-11-19 12:00",
        "half within 1 h 90 % within 2 h",
        "Recommended.",
        "800 labelled rows to retrain on.",
        "said 0",
        "90,000",
    ):
        assert said in text, said


def test_every_chart_can_be_read_without_being_seen(site: Site) -> None:
    """A title, a description, and the figures as a table."""
    full(site)
    shown = site.client().get("/models/fraud").text
    charts = re.findall(r'<figure class="chart">.*?</figure>', shown, re.DOTALL)
    assert len(charts) == 7
    ids = re.findall(r'\bid="([^"]*)"', shown)
    assert len(ids) == len(set(ids))
    for chart in charts:
        labelled_by = re.search(r'role="img" aria-labelledby="([^"]*)"', chart)
        assert labelled_by is not None
        assert all(f'id="{name}"' in chart for name in labelled_by[1].split())
        assert "<summary>Figures as a table</summary>" in chart
        assert "<td" in chart


def test_the_policy_allows_all_of_it(site: Site) -> None:
    """No inline script or style, nothing from elsewhere."""
    full(site)
    kept.keep_review(site.paths.reports, kept.review(kept.review_row()))
    for url in ("/models/fraud", "/review?model=fraud", "/models/nobody"):
        answer = site.client().get(url)
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert re.findall(r'(?:src|href)="(?:https?:)?//', answer.text) == []
        assert re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", answer.text) == []


def test_a_model_without_anything_says_so(site: Site) -> None:
    """Registered and serving; nothing ran, nothing is kept, and no figure pretends to be known."""
    site.serve(fraud="1")
    text = page(site)
    for said in (
        "No run yet",
        "No run has taken stock of incidents yet.",
        "No run has counted labels yet.",
        "No run has decided yet.",
        "No day of these 90 is kept yet.",
    ):
        assert said in text, said
    assert "<svg viewBox" not in site.client().get("/models/fraud").text


def test_a_run_without_labels_claims_no_quality(site: Site) -> None:
    """The reason stands where the figure would."""
    site.commit(results.insufficient())
    text = page(site)
    assert "No labels yet." in text
    assert "Cannot tell yet." in text


def test_an_estimate_that_cannot_be_trusted_is_marked(site: Site) -> None:
    """And says how much lies outside of the reference."""
    shifted = kept.estimate(
        trusted=False, caution="31 % of the rows score where the reference has none", outside_support=0.31
    )
    site.commit(rich(estimated=shifted))
    assert "The estimate cannot be trusted. 31 % of the rows score where the reference has none." in page(site)
    none = kept.estimate(reason="the model gives no probabilities", metrics=(), back_test=(), outside_support=None)
    site.commit(results.later(rich(estimated=none), 300))
    assert "No estimate: the model gives no probabilities." in page(site)


def test_a_regression_model_is_followed_by_its_error(site: Site) -> None:
    """Answers instead of classes, the error instead of the accuracy."""
    error = dataclasses.replace(accuracy(2.5), name="mae")
    performance = Performance("ok", None, 800, 0.8, (error,), (error,))
    days = [
        kept.day(i, classes={}, answers=NumberSummary(5.0, 1.0, 4.5, 9.0), confidence_mean=None, confidence_counts=(),
                 performance=performance, estimated=None)
        for i in range(5)
    ]  # fmt: skip
    concept = ConceptDrift(False, "none", "mae", -2.0, -5.0, 1.0, 5.0, 0.4, "the error did not rise")
    site.commit(results.result(performance=performance, concept_drift=concept))
    kept.keep_days(site.paths.reports, *days)
    text = page(site)
    assert "Mean absolute error by day of prediction" in text
    assert "Median answer by day" in text
    assert "Confidence of the answers" not in text
    assert "The error did not rise." in text


def test_other_versions_are_a_link_away(site: Site) -> None:
    """By default the version that serves; one without a run, too, has a page; one that never was has none."""
    site.serve(fraud="2")
    site.serve(fraud="1")
    site.commit(results.drifted())
    client = site.client()
    assert "version 1" in text_of(client.get("/models/fraud").text)
    assert "/models/fraud?version=2" in client.get("/models/fraud").text
    other = text_of(client.get("/models/fraud?version=2").text)
    assert "version 2, not serving" in other
    assert "make drift NAME=fraud VERSION=2" in other
    for url in ("/models/fraud?version=3", "/models/nobody", "/models/..%2f"):
        answer = client.get(url)
        assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert client.get("/models/fraud?days=0").status_code == 400


def test_whatever_files_say_is_text(site: Site) -> None:
    """Class names, causes and reasons come from users' data; none of them becomes markup, in a chart either."""
    site.commit(
        rich(
            retraining=Retraining("watch", (HOSTILE,), (HOSTILE,)),
            concept_drift=ConceptDrift(
                None, "none", None, None, None, None, 5.0, None, HOSTILE, kept.trend(sentence=HOSTILE), (HOSTILE,)
            ),
            estimated=kept.estimate(caution=HOSTILE),
        )
    )
    kept.keep_days(site.paths.reports, kept.day(0, classes={HOSTILE: 900, HOSTILE * 9: 100}))
    kept.keep_incidents(
        site.paths.reports, kept.incidents(kept.incident(alert=HOSTILE, subject=HOSTILE * 9, cause=HOSTILE))
    )
    for url in ("/models/fraud", "/"):
        shown = site.client().get(url).text
        assert "<script>alert" not in shown
        assert HOSTILE in text_of(shown)


def test_ninety_days_are_shown_fast(site: Site) -> None:
    """The files are parsed once; then a page or an answer of 90 days takes well under 200 ms."""
    full(site)
    client = site.client()
    for url in ("/models/fraud", "/api/predictions/stats?days=90", "/api/metrics/history"):
        client.get(url)
        took = []
        for _ in range(5):
            begun = time.process_time()
            assert client.get(url).status_code == 200
            took.append(time.process_time() - begun)
        assert min(took) < 0.2, (url, took)


@pytest.mark.parametrize("values", [[0.9], [0.0, 0.0], [1e-9, 1e9], [-5.0, 5.0], [0.93, 0.9300001]])
def test_any_figures_lie_within_their_drawing(values: list[float]) -> None:
    """One value, equal ones, huge ranges, below zero: all points inside, labels that differ."""
    days = [f"2026-11-{i + 1:02}" for i in range(len(values))]
    points = tuple(Point(i, value, value, value, "") for i, value in enumerate(values))
    chart = line_chart("a", "A", "a", days, (Course("realised", "a", points),), (values[0], "level"), (("Day",),))
    assert chart is not None
    for line in chart.lines:
        for dot in line.dots:
            assert chart.left <= dot.x <= 460
            assert 0 <= dot.y <= chart.bottom
    assert len({tick.text for tick in chart.y_ticks}) == len(chart.y_ticks) >= 2


def test_a_figure_beyond_any_scale_is_left_out() -> None:
    """One error that overflowed must not cost the page."""
    points = tuple(Point(i, value, -value, value, "") for i, value in enumerate((1e308, 0.9)))
    days = ["2026-11-01", "2026-11-02"]
    chart = line_chart("a", "A", "a", days, (Course("realised", "a", points),), (1e308, "level"), (("Day",),))
    assert chart is not None
    assert len(chart.lines[0].dots) == 1


def test_a_line_stops_where_a_day_is_missing() -> None:
    """No line is drawn over days of which nothing is known."""
    days = [f"2026-11-{i + 1:02}" for i in range(5)]
    points = tuple(Point(i, 0.9, 0.8, 1.0, "") for i in (0, 1, 3, 4))
    chart = line_chart("a", "A", "a", days, (Course("realised", "a", points),), None, (("Day",),))
    assert chart is not None
    (line,) = chart.lines
    assert [len(part.split()) for part in line.lines] == [2, 2]
    assert len(line.bands) == 2


def test_nothing_to_draw_is_no_chart() -> None:
    """An empty chart would look like a figure of 0."""
    assert line_chart("a", "A", "a", ["2026-11-01"], (Course("realised", "a", ()),), (0.9, "level"), ()) is None
    assert stacked_days("a", "A", "a", ["2026-11-01"], [Part("part0", "a", [0])], ()) is None
    assert histogram("a", "A", "a", (), (0.0, 1.0), 20) is None
    drawn = stacked_days("a", "A", "a", ["2026-11-01"], [Part("part0", "a", [3]), Part("part1", "b", [1])], ())
    assert drawn is not None
    assert [round(bar.height) for bar in drawn.bars] == [138, 46]
