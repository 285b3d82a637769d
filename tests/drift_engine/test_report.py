"""The report page: it says what the result says, stands alone, and shows values without running them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drift_engine import evidently_report
from drift_engine.evidently_report import NothingToDraw, Rendered
from drift_engine.report import report_page
from drift_engine.results.schema import ColumnFinding
from drift_engine.run import Committed
from drift_engine.subjects import answer_subjects, input_subjects
from drift_engine.verdict import decisive, measure
from gateway.registry.columns import CONFIDENCE, PREDICTION, feature_column
from tests.browser import browser
from tests.drift_engine.scenario import FEATURES, Scenario, binary_card, regression_card, rows
from tests.drift_engine.test_run import ODD_REFERENCES, ODD_WINDOWS
from tests.results import result as plain_result

#: A heading of Evidently's preset.
DRAWN = "Classification Model Performance"
HOSTILE = "</script><script>document.title='run'</script><img src=x onerror=alert(1)>"


def drifted_run(root: Path, **settings: Any) -> Committed:
    """A run with a hostile category, missing values and labels."""
    made = Scenario(root).reference(rows(2000, 1))
    found = rows(600, 2, country=[HOSTILE, "de", None] * 200, noise=None)
    made.label(made.log(found), found["label"])
    return made.run(**settings)


def evidently_rows(html: str) -> list[dict[str, Any]]:
    """The rows of Evidently's drift table, out of the page's data."""
    match = re.search(r"var report_\w+ = (\{.*?\});\nvar additional", html, re.DOTALL)
    assert match is not None
    found: list[dict[str, Any]] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "drift_score" in node and "column_name" in node:
                found.append(node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(json.loads(match[1]))
    return found


def test_evidently_shows_our_figures_and_verdicts(tmp_path: Path) -> None:
    """Score and verdict of each column are those of the result, though the plots come from 100 rows."""
    committed = drifted_run(tmp_path, plot_sample_rows=100)
    columns = {finding.column: finding for finding in committed.result.data_drift.columns}
    shown = {row["column_name"]: row for row in evidently_rows(committed.report.read_text())}
    assert {"amount", "age", "country", "member"} <= shown.keys()
    for name in ("amount", "age", "country", "member"):
        check = decisive(columns[name])
        assert check is not None
        assert check.score is not None
        assert float(shown[name]["drift_score"]) == pytest.approx(check.score, abs=1e-6)
        assert shown[name]["data_drift"] == ("Detected" if columns[name].detected else "Not Detected")


def agree_with_the_result(committed: Committed) -> set[str]:
    """The columns that Evidently's table shows, after a look at their figures; the others are named as not drawn."""
    html = committed.report.read_text()
    shown = {row["column_name"]: row for row in evidently_rows(html)}
    for name, finding in drawn_as(committed).items():
        if name not in shown:
            assert f"<li>{finding.column}: no" in html, f"{finding.column} is neither drawn nor named"
            continue
        check = decisive(finding)
        assert check is not None
        assert check.score is not None
        # Evidently shows six decimals.
        assert shown[name]["drift_score"] == round(check.score, 6), name
        assert shown[name]["data_drift"] == ("Detected" if finding.detected else "Not Detected"), name
        assert shown[name]["stattest_name"] == f"{measure(check)}, all rows"
    return set(shown)


def drawn_as(committed: Committed) -> dict[str, ColumnFinding]:
    """The findings by the name that the columns have in Evidently's table."""
    subjects = (*input_subjects(binary_card(), 0.5), *answer_subjects(binary_card()))
    columns = {subject.name: subject.column for subject in subjects}
    result = committed.result
    return {columns[item.column]: item for item in (*result.data_drift.columns, *result.prediction_drift.findings)}


@pytest.mark.parametrize("name", ODD_WINDOWS)
def test_an_odd_column_of_the_window_leaves_the_rest_of_the_report_standing(tmp_path: Path, name: str) -> None:
    """Whatever it holds: every other column is drawn, with the figures and the verdict of the result."""
    made = Scenario(tmp_path).reference(rows(2000, 1))
    made.log(rows(200, 2, **ODD_WINDOWS[name]))
    shown = agree_with_the_result(made.run())
    odd = {feature_column(changed) for changed in ODD_WINDOWS[name] if changed != "score"}
    every = {feature_column(feature.name) for feature in FEATURES} | {PREDICTION, CONFIDENCE}
    assert every - odd <= shown


@pytest.mark.parametrize("name", ODD_REFERENCES)
def test_an_odd_column_of_the_reference_leaves_the_rest_of_the_report_standing(tmp_path: Path, name: str) -> None:
    """A column that it lacks, that is empty or of another type is a finding; the others are drawn as they are."""
    made = Scenario(tmp_path).reference(rows(2000, 1), **ODD_REFERENCES[name])
    found = rows(300, 2)
    made.label(made.log(found), found["label"])
    shown = agree_with_the_result(made.run())
    odd = {feature_column(changed) for changed in ODD_REFERENCES[name]}
    assert {feature_column(feature.name) for feature in FEATURES} - odd <= shown


ODD_LABELS = {
    "one class": (["yes"] * 300, "the labels of the window are all of one class"),
    "half of them": (["yes", None] * 150, "the labels of the window are all of one class"),
    "no class of the model": (["maybe"] * 300, "300 rows of the window whose label is no class of the model"),
    "some no class of the model": (["yes", "no", "maybe"] * 100, "100 rows of the window whose label is no class"),
}


@pytest.mark.parametrize("name", ODD_LABELS)
def test_odd_labels_leave_the_rest_of_the_report_standing(tmp_path: Path, name: str) -> None:
    """All columns are drawn, quality as far as Evidently can, and what it cannot is said."""
    labels, told = ODD_LABELS[name]
    made = Scenario(tmp_path).reference(rows(2000, 1))
    pairs = [pair for pair in zip(made.log(rows(300, 2)), labels, strict=True) if pair[1] is not None]
    made.label([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    committed = made.run()
    assert len(agree_with_the_result(committed)) == len(drawn_as(committed))
    html = committed.report.read_text()
    assert told in html
    assert (DRAWN in html) is (name != "no class of the model")


THREE = {"task": "multiclass", "classes": ("a", "b", "c"), "positive_class": None}
#: Of three classes: what is true and what is answered, by row number, and what the report then says.
ODD_CLASSES: dict[str, tuple[Any, Any, str]] = {
    "a class without a label": (lambda row: row % 2, lambda row: row % 3, "no label of the window is of class"),
    "a class never predicted": (lambda row: row % 3, lambda row: row % 2, ""),
    "a constant prediction": (lambda row: row % 3, lambda row: 0, ""),
    "a class neither true nor predicted": (
        lambda row: row % 2,
        lambda row: row % 2,
        "no label of the window is of class",
    ),
    "all labels equal": (lambda row: 1, lambda row: row % 3, "the labels of the window are all of one class"),
    "all labels and answers equal": (lambda row: 1, lambda row: 1, "the labels of the window are all of one class"),
}


@pytest.mark.parametrize("name", ODD_CLASSES)
def test_odd_classes_are_drawn_as_far_as_they_can_be(tmp_path: Path, name: str) -> None:
    """Of three classes, some without a label or an answer: the report stands and says what is lacking."""
    truth, answer, told = ODD_CLASSES[name]

    def some(count: int, true: Any, answered: Any) -> dict[str, list[Any]]:
        scores = [[0.8 if place == answered(row) else 0.1 for place in range(3)] for row in range(count)]
        return rows(count, 1, score=scores, label=["abc"[true(row)] for row in range(count)])

    made = Scenario(tmp_path, binary_card(**THREE))
    made.reference(some(600, lambda row: row % 3, lambda row: row // 2 % 3))
    found = some(300, truth, answer)
    made.label(made.log(found), found["label"])
    committed = made.run()
    html = committed.report.read_text()
    assert committed.result.performance.outcome == "ok"
    assert told in html
    assert DRAWN in html or "Quality on the labelled rows: not drawn" in html
    assert ("Quality on the labelled rows:" in html) is bool(told)


@pytest.mark.parametrize("side", ["answers", "labels", "both", "both alike"])
def test_constant_numbers_are_drawn(tmp_path: Path, side: str) -> None:
    """Of a regression: one answer for all, one label for all, no error at all."""
    made = Scenario(tmp_path, regression_card())
    reference = rows(600, 1)
    made.reference(reference | {"label": [score + 0.1 for score in reference["score"]]})
    found = rows(300, 2)
    found["label"] = [score + 0.1 for score in found["score"]] if side == "answers" else [2.0] * 300
    if side != "labels":
        found["score"] = [2.0 if side == "both alike" else 1.0] * 300
    made.label(made.log(found), found["label"])
    committed = made.run()
    assert "Regression Model Performance" in committed.report.read_text()
    assert committed.result.performance.metric("mae") is not None
    assert (committed.result.performance.metric("r2") is not None) is (side == "answers")


def test_a_reference_of_one_class_is_left_out_beside_the_window(tmp_path: Path) -> None:
    """Quality of the window is drawn by itself, with its probabilities."""
    made = Scenario(tmp_path).reference(rows(600, 1, label="yes"))
    found = rows(300, 2)
    made.label(made.log(found), found["label"])
    html = made.run().report.read_text()
    assert DRAWN in html
    assert "drawn without the reference (the labels of the reference are all of one class)" in html


def test_damage_in_the_log_leaves_the_rest_of_the_report_standing(tmp_path: Path) -> None:
    """The damaged line is told, every column is drawn from the others."""
    made = Scenario(tmp_path).reference(rows(2000, 1))
    made.log(rows(300, 2))
    segment = next(made.paths.live.rglob("*.csv"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.chmod(0o644)
    segment.write_bytes(content)
    committed = made.run()
    assert committed.result.rows.corrupt == 1
    assert len(agree_with_the_result(committed)) == len(drawn_as(committed))


def test_the_summary_comes_first_and_speaks_for_itself(tmp_path: Path) -> None:
    """Verdict, every column with its figures, the window, the rows, the quality."""
    committed = drifted_run(tmp_path)
    html = committed.report.read_text()
    summary = html[html.index("<body>") : html.index('<div id="root_')]
    assert summary.index("DRIFT") < summary.index("Inputs") < summary.index("Quality on labelled rows")
    for finding in (*committed.result.data_drift.columns, *committed.result.prediction_drift.findings):
        assert finding.column in summary
    assert "2026-11-19 15:00:00 UTC" in summary
    assert "roc_auc" in summary
    assert committed.result.inputs[0].sha256 in summary


def test_the_page_runs_no_value_and_asks_for_nothing(tmp_path: Path) -> None:
    """In a real browser: no console error, no request but the file, the hostile category shown as text."""
    pages = {
        "drift": drifted_run(tmp_path / "drift"),
        "thin": Scenario(tmp_path / "thin").reference(rows(500, 1)).run(),
        "regression": regression_run(tmp_path / "regression"),
    }
    with browser(tmp_path / "profile") as chromium:
        for name, committed in pages.items():
            page = chromium.open(committed.report.as_uri())
            assert page.errors == [], name
            # chrome:// is the browser's own first tab.
            requested = [url for url in page.requested if not url.startswith("chrome")]
            assert requested == [committed.report.as_uri()], name
            assert page.driver.title != "run"
            if name == "drift":
                assert HOSTILE[:20] in page.text
                assert "Dataset Drift is detected" in page.text
                assert "Classification Model Performance" in page.text
            if name == "regression":
                assert "Regression Model Performance" in page.text


def test_on_a_phone_nothing_is_cut_off(tmp_path: Path) -> None:
    """At 390 px the page is no wider than the screen, and the alerts are read without scrolling."""
    committed = drifted_run(tmp_path, labelled_rows_min=10)
    assert committed.result.alerts
    measure = """
        const wide = [...document.querySelectorAll('.sentinel .scroll')].filter(
            box => box.querySelector('.cols') && box.clientWidth && box.scrollWidth > box.clientWidth + 1);
        return [document.querySelector('.sentinel').scrollWidth, wide.length,
                document.querySelectorAll('.sentinel .alerts .says').length,
                [...document.querySelectorAll('.sentinel .faults tbody tr')].map(row => {
                    const boxes = [row.querySelector('.pill'), row.cells[1]];
                    const [kind, column] = boxes.map(box => box.getBoundingClientRect());
                    return kind.right <= column.left || kind.bottom <= column.top; })];
    """
    with browser(tmp_path / "profile") as chromium:
        page = chromium.open("about:blank")
        size = {"width": 390, "height": 1200, "deviceScaleFactor": 1, "mobile": True}
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        page = chromium.open(committed.report.as_uri())
        width, cut_off, alerts, apart = page.driver.execute_script(measure)
        page.screenshot(tmp_path / "phone.png")
    assert width <= 390
    assert cut_off == 0
    assert alerts >= 1
    assert apart == [True] * 3


def test_the_page_says_what_is_wrong_with_the_data_and_explains_what_moved(tmp_path: Path) -> None:
    """Findings with their examples, since when and in which rows; or that nothing is, and what is not known."""
    made = Scenario(tmp_path / "faults").reference(rows(4000, 1))
    found = rows(1000, 2, country=["de"] * 600 + [HOSTILE, "it"] * 200)
    made.log(found)
    committed = made.run()
    html = committed.report.read_text()
    summary = html[html.index("<body>") : html.index('<div id="root_')]
    assert "200 values of 1,000 (20 %) of 1 level unseen in the reference" in summary
    assert "since 2026-11-20 14:" in summary
    assert "(95 % interval 14:" in summary
    assert HOSTILE[:20] not in summary
    clean = Scenario(tmp_path / "clean").reference(rows(4000, 1))
    clean.log(rows(1000, 2))
    html = clean.run().report.read_text()
    assert "Nothing out of the ordinary" in html
    assert "Not known: whether the number of rows is usual" in html
    assert "Data quality" not in report_page(replace(plain_result(), data_quality=None), binary_card(), None)


def test_of_very_many_columns_the_strongest_are_drawn(tmp_path: Path) -> None:
    """As many as the setting says; the others are counted, and stay in our own tables."""
    committed = drifted_run(tmp_path, plot_columns_max=3)
    html = committed.report.read_text()
    findings = (*committed.result.data_drift.columns, *committed.result.prediction_drift.findings)
    # The window has no value of "noise": it cannot be drawn anyhow.
    drawable = [finding for finding in findings if finding.column != "noise"]
    by_ratio = sorted(drawable, key=lambda finding: -(finding.drift_ratio or 0))
    strongest = {finding.column for finding in by_ratio[:3]}
    assert {row["column_name"] for row in evidently_rows(html)} == strongest
    assert f"{len(drawable) - 3} of {len(drawable)} columns and answers: the 3 that moved most are drawn" in html
    summary = html[html.index("<body>") : html.index('<div id="root_')]
    assert all(f"<b>{finding.column}</b>" in summary for finding in findings)


def test_the_quality_tile_says_which_way_is_good(tmp_path: Path) -> None:
    """A rise of an error reads as a drop of accuracy does."""
    run = plain_result()
    concept = replace(run.concept_drift, metric="mae", drop_percent=7.5)
    assert ">7.5 % worse<" in report_page(replace(run, concept_drift=concept), binary_card(), None)
    better = replace(concept, metric="accuracy", drop_percent=-2.0)
    assert ">2.0 % better<" in report_page(replace(run, concept_drift=better), binary_card(), None)


def regression_run(root: Path) -> Committed:
    """A run of a regression model with labels."""
    made = Scenario(root, regression_card())
    reference, found = rows(1000, 1), rows(300, 3)
    for side in (reference, found):
        side["label"] = [score + 0.1 * age / 80 for score, age in zip(side["score"], side["age"], strict=True)]
    made.reference(reference)
    made.label(made.log(found), found["label"])
    return made.run()


def test_without_evidently_the_page_still_holds_every_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says why the plots are missing."""

    def refuse(_: object) -> Rendered:
        raise NothingToDraw("the library broke")

    monkeypatch.setattr(evidently_report, "render", refuse)
    committed = drifted_run(tmp_path)
    html = committed.report.read_text()
    assert "The plots are missing: the library broke." in html
    assert "drawDashboard" not in html
    assert all(finding.column in html for finding in committed.result.data_drift.columns)


def test_a_column_that_cannot_be_drawn_is_named_and_the_others_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad column costs its own plot, not the report."""
    draw = evidently_report._drift_widgets

    def fail_on_age(comparison: Any, drawable: Any) -> list[Any]:
        if any(subject.name == "age" for subject, _ in drawable):
            raise ValueError("cannot take age")
        return draw(comparison, drawable)

    monkeypatch.setattr(evidently_report, "_drift_widgets", fail_on_age)
    html = drifted_run(tmp_path).report.read_text()
    assert "age: not drawn (ValueError: cannot take age)" in html
    assert "amount" in {row["column_name"] for row in evidently_rows(html)}


@pytest.mark.parametrize("outcome", ["ok", "insufficient_data", "failed"])
def test_any_result_has_a_page(outcome: str) -> None:
    """Also one that was made elsewhere, without a row to draw."""
    html = report_page(plain_result(outcome=outcome, reason="why"), binary_card(), None)
    assert html.startswith("<!DOCTYPE html>")
    assert "What was read" in html
