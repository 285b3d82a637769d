"""Answers of little confidence: which ones, in what order, and as CSV."""

from __future__ import annotations

import csv
import html
import io
import re

import pytest

from drift_engine.results.days import ReviewRow
from exporter.review import to_csv
from tests import kept, results
from tests.exporter.site import Site

URL = "/api/predictions/low-confidence"


@pytest.fixture
def reviewed(site: Site) -> Site:
    """Two days: 300 rows today, of which the 300 least confident are all kept, and ten of yesterday."""
    site.commit(results.result())
    site.serve(fraud="1")
    kept.keep_review(site.paths.reports, kept.review(*(kept.review_row(i) for i in range(300))))
    yesterday = [kept.review_row(i, timestamp=f"2026-11-19T00:00:{i:02}.000000Z") for i in range(10)]
    kept.keep_review(site.paths.reports, kept.review(*yesterday, number=1, rows_of_day=5000))
    return site


def test_the_least_confident_come_first(reviewed: Site) -> None:
    """Under the threshold only, as many as asked for, and it says how many there are."""
    answer = reviewed.client().get(f"{URL}?threshold=0.6&limit=3").get_json()
    assert (answer["model_name"], answer["threshold"], answer["matching"]) == ("fraud", 0.6, 110)
    assert [row["confidence"] for row in answer["rows"]] == [0.5, 0.5, 0.501]
    # Of yesterday more rows were under the line than are kept.
    assert answer["days_with_more"] == ["2026-11-19"]
    assert answer["rows"][0]["features"] == {"amount": 12.5, "job": "clerk"}
    assert answer["rows"][0]["label"] is None


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("sort=-confidence", 0.699),
        ("sort=timestamp&days=1", 0.5),
        ("sort=-timestamp", 0.699),
        ("class=1&days=1", 0.501),
        ("threshold=1&sort=-confidence", 0.799),
    ],
)
def test_rows_are_filtered_and_sorted(reviewed: Site, query: str, first: float) -> None:
    """By confidence or time, either way; by class; by day."""
    rows = reviewed.client().get(f"{URL}?{query}").get_json()["rows"]
    assert rows[0]["confidence"] == pytest.approx(first)


def test_a_model_without_probabilities_has_no_confidence_to_go_by(site: Site) -> None:
    """A regression model, or a classifier that only says a class: the page says why there is nothing."""
    site.serve(house="1")
    path = site.paths.models / "house" / "1" / "model.json"
    path.write_bytes(path.read_bytes().replace(b'"has_probabilities": true', b'"has_probabilities": false'))
    assert "no confidence to go by" in site.client().get("/review?model=house").text


def test_nothing_kept_is_an_empty_list(site: Site) -> None:
    """A model whose days nobody kept yet has no rows; it is no error."""
    site.commit(results.result())
    answer = site.client().get(URL).get_json()
    assert (answer["matching"], answer["rows"]) == (0, [])
    assert site.client().get("/review?model=nobody").status_code == 404


def test_a_broken_review_is_counted_and_the_others_shown(reviewed: Site) -> None:
    """One day's file costs that day."""
    (reviewed.home() / "days" / f"{kept.TODAY}.review.json").write_bytes(b"{")
    client = reviewed.client()
    assert client.get(f"{URL}?threshold=1").get_json()["matching"] == 10
    assert 'sentinel_exporter_errors_total{source="history"} 1.0' in client.get("/metrics").text


HOSTILE = ["=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"]


def test_csv_has_no_formula_and_keeps_its_numbers(reviewed: Site) -> None:
    """A text that a spreadsheet would run gets an apostrophe; a negative number does not; nothing is lost."""
    rows = [
        kept.review_row(i, features={"=text": text, "amount": -1.5, "label": "-7", "list": 'a,"b"\nc'}, client_id=text)
        for i, text in enumerate(HOSTILE)
    ]
    kept.keep_review(reviewed.paths.reports, kept.review(*rows))
    answer = reviewed.client().get(f"{URL}?days=1&format=csv&sort=timestamp")
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="fraud-1-low-confidence.csv"'
    header, *lines = list(csv.reader(io.StringIO(answer.data.decode(), newline="")))
    assert header[-4:] == ["'=text", "amount", "feature.label", "list"]
    found = [dict(zip(header, line, strict=True)) for line in lines]
    assert [line["'=text"] for line in found] == [f"'{text}" for text in HOSTILE]
    assert [line["client_id"] for line in found] == [f"'{text}" for text in HOSTILE]
    assert {(line["amount"], line["feature.label"], line["list"]) for line in found} == {("-1.5", "-7", 'a,"b"\nc')}
    assert {line["label"] for line in found} == {""}


def test_csv_of_rows_with_different_features() -> None:
    """A feature that only newer rows have gets a column, empty in the others."""
    rows: list[ReviewRow] = [kept.review_row(0, features={"a": 1}), kept.review_row(1, features={"a": 2, "b": 3})]
    lines = csv.reader(io.StringIO(to_csv(rows).decode(), newline=""))
    assert [line[-2:] for line in lines] == [["a", "b"], ["1", ""], ["2", "3"]]


def test_the_page_shows_what_the_json_says(reviewed: Site) -> None:
    """With the form's values kept, and a CSV link that asks for the same rows."""
    shown = reviewed.client().get("/review?model=fraud&threshold=0.55&class=1&sort=-confidence&limit=5&days=").text
    text = html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", shown)))
    assert "5 of 30 answers" in text
    assert "and the answer 1" in text
    link = html.unescape(re.search(r'href="(/api/predictions/low-confidence[^"]*)"', shown)[1])  # type: ignore[index]
    assert len(reviewed.client().get(link).text.splitlines()) == 6


def test_wrong_parameters_of_the_page_are_told_on_a_page(reviewed: Site) -> None:
    """400, for a person."""
    answer = reviewed.client().get("/review?threshold=2&limit=0")
    assert (answer.status_code, answer.mimetype) == (400, "text/html")
    assert "threshold" in answer.text
    assert "must be a whole number from 1 to 10000" in answer.text


def test_whatever_a_row_says_is_text(site: Site) -> None:
    """Features and ids come from clients."""
    hostile = "<script>alert(1)</script>\"'&"
    site.commit(results.result())
    row = kept.review_row(0, client_id=hostile, prediction=hostile, label=hostile, features={hostile: hostile})
    kept.keep_review(site.paths.reports, kept.review(row))
    shown = site.client().get("/review?model=fraud").text
    assert "<script>alert" not in shown
    assert hostile in html.unescape(shown)
