"""Whole runs over logs written by the gateway's writer: every odd input is an outcome or a finding, and a report."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from drift_engine import run
from drift_engine.results.schema import Result, Window
from drift_engine.results.store import encode_result, read_result
from drift_engine.run import Committed
from gateway.clock import utc_text
from gateway.log import predictions
from gateway.log.line import header_line, id_checksum, seal_line
from gateway.log.segment import parse_name
from gateway.registry.card import Feature
from tests.drift_engine.scenario import FEATURES, NOW, Scenario, binary_card, regression_card, rows


def scenario(tmp_path: Path, **reference: Any) -> Scenario:
    """A model with a reference of 2,000 rows."""
    return Scenario(tmp_path).reference(rows(2000, 1, **reference))


def report_of(committed: Committed) -> str:
    """The page, which every run has."""
    return committed.report.read_text()


def comparable(result: Result) -> bytes:
    """A result without what may differ between two runs of the same inputs."""
    return encode_result(
        dataclasses.replace(result, run_id="", started_at="", finished_at="", duration_seconds=0.0, supersedes=None)
    )


def test_rows_like_the_reference_are_no_drift(tmp_path: Path) -> None:
    """The verdict is False, not absent; every column was tested; the pointer names the run."""
    made = scenario(tmp_path)
    made.log(rows(1000, 2))
    committed = made.run()
    result = committed.result
    assert result.outcome == "ok"
    assert result.data_drift.detected is False
    assert result.prediction_drift.detected is False
    assert result.data_drift.columns_tested == 5
    assert result.data_drift.score is not None
    assert result.data_drift.score < 0.1
    assert result.rows.read == 1000
    assert result.rows.corrupt == 0
    assert "no drift" in report_of(committed)
    assert "drawDashboard" in report_of(committed)


def test_the_columns_that_moved_are_named_strongest_first(tmp_path: Path) -> None:
    """A shift, a mix and a surge of missing values, each in words with its numbers."""
    made = scenario(tmp_path)
    found = rows(1000, 2, country=["it"] * 500 + ["de"] * 500, noise=[None] * 400 + [0.1] * 300 + [-0.2] * 300)
    found["amount"] = [value * 2 for value in found["amount"]]
    made.log(found)
    drift = made.run().result.data_drift
    assert drift.detected is True
    assert {finding.column for finding in drift.columns if finding.detected} == {"amount", "country", "noise"}
    ratios = [finding.drift_ratio or 0 for finding in drift.columns]
    assert ratios == sorted(ratios, reverse=True)
    by_name = {finding.column: finding for finding in drift.columns}
    assert by_name["country"].kind == "mix"
    assert '"it" 11 % -> 50 %' in by_name["country"].sentence
    assert by_name["amount"].kind == "shift"
    assert "missing in 40 % of rows" in by_name["noise"].sentence
    assert by_name["member"].detected is False


def test_drift_of_the_answers_alone_is_prediction_drift(tmp_path: Path) -> None:
    """The inputs are as before, the scores are not."""
    made = scenario(tmp_path)
    found = rows(1000, 2)
    found["score"] = [min(1.0, score * 1.5) for score in found["score"]]
    made.log(found)
    result = made.run().result
    assert result.data_drift.detected is False
    assert result.prediction_drift.detected is True
    assert {finding.column for finding in result.prediction_drift.findings} == {
        "prediction",
        "probability of yes",
        "confidence",
    }


def empty_window(made: Scenario) -> None:
    made.log(rows(100, 2), start=NOW - 90_000)


def no_log(made: Scenario) -> None:
    pass


def one_row(made: Scenario) -> None:
    made.log(rows(1, 2))


def thin(made: Scenario) -> None:
    made.log(rows(49, 2))


@pytest.mark.parametrize(("write", "count"), [(no_log, 0), (empty_window, 0), (one_row, 1), (thin, 49)])
def test_a_thin_window_is_not_enough_data(tmp_path: Path, write: Callable[[Scenario], None], count: int) -> None:
    """No verdict is a value of its own: None everywhere, never "no drift"; and the report says so."""
    made = scenario(tmp_path)
    write(made)
    committed = made.run()
    result = committed.result
    assert result.outcome == "insufficient_data"
    assert result.reason == f"{count} rows of 50 needed"
    assert result.data_drift.detected is result.data_drift.score is result.prediction_drift.detected is None
    assert result.retraining.decision == "unknown"
    assert result.alerts == ()
    assert all(finding.detected is None for finding in result.data_drift.columns)
    assert "not enough data" in report_of(committed)


ODD_WINDOWS: dict[str, dict[str, Any]] = {
    "all missing": {"noise": None, "country": None},
    "all features missing": dict.fromkeys([feature.name for feature in FEATURES]),
    "constant": {"amount": 3.0, "country": "de", "member": True, "noise": 0.0, "age": 30},
    "unseen category": {"country": "</script><script>alert(1)</script>"},
    "empty and odd texts": {"country": ["", "\n", '"', "\\n", "\u2028", "=1+1", ",", "\x00", "x" * 5000, "ü"] * 20},
    "huge": {"amount": [1e308, -1e308, 5e-324, 0.0] * 50},
    "infinite": {"amount": [float("inf"), float("-inf")] * 100},
    "not a number": {"amount": float("nan")},
    "one class": {"score": 1.0},
    "a level per row": {"country": [f"level {number}" for number in range(200)]},
}


@pytest.mark.parametrize("name", ODD_WINDOWS)
def test_an_odd_window_is_judged_and_reported(tmp_path: Path, name: str) -> None:
    """Whatever the values are: outcome ok, a finding for every column, a report, and figures that are figures."""
    made = scenario(tmp_path)
    ids = made.log(rows(200, 2, **ODD_WINDOWS[name]))
    made.label(ids, ["yes", "no"] * 100)
    committed = made.run()
    result = committed.result
    assert result.outcome == "ok", result.reason
    assert len(result.data_drift.columns) == 5
    assert "What was read" in report_of(committed)
    assert "<script>alert" not in report_of(committed)
    assert made.run().result.data_drift == result.data_drift
    assert read_result(committed.folder / "result.json") == result


ODD_REFERENCES: dict[str, dict[str, Any]] = {
    "a column is missing": {"noise": None},
    "a column is all missing": {"noise": pa.nulls(2000, pa.float64()), "country": pa.nulls(2000, pa.string())},
    "a column is constant": {"amount": pa.array([1.5] * 2000), "country": pa.array(["de"] * 2000)},
    "a number is text": {"amount": pa.array(["1.5", "many"] * 1000), "noise": pa.array([[1.0], []] * 1000)},
    "a text is a list": {"country": pa.array([["de"], ["fr"]] * 1000), "label": pa.array([["yes"], None] * 1000)},
    "a text is a number": {"country": pa.array([1, 2] * 1000)},
    "no labels": {"label": pa.nulls(2000, pa.string())},
    "no scores": {"probability_yes": None, "confidence": None},
}


@pytest.mark.parametrize("name", ODD_REFERENCES)
def test_an_odd_reference_is_judged_and_reported(tmp_path: Path, name: str) -> None:
    """A column that the reference lacks, or knows nothing of, is a finding without a verdict."""
    made = Scenario(tmp_path).reference(rows(2000, 1), **ODD_REFERENCES[name])
    found = rows(300, 2)
    made.label(made.log(found), found["label"])
    committed = made.run()
    assert committed.result.outcome == "ok"
    if name == "a column is missing":
        finding = next(item for item in committed.result.data_drift.columns if item.column == "noise")
        assert finding.detected is None
        assert finding.sentence == "the reference has no such column"
    if name == "a number is text":
        found_of = {item.column: item for item in committed.result.data_drift.columns}
        assert found_of["amount"].detected is found_of["noise"].detected is None
        assert found_of["amount"].sentence == "the reference's column holds string, not numbers"
        assert found_of["age"].detected is False
    assert "drawDashboard" in report_of(committed)


def damage_bytes(made: Scenario) -> None:
    path = made.paths.reference / "loans" / "1.parquet"
    path.write_bytes(path.read_bytes()[:-40] + b"x" * 40)


def delete(made: Scenario) -> None:
    (made.paths.reference / "loans" / "1.parquet").unlink()


def not_parquet(made: Scenario) -> None:
    from gateway.registry.artifact import file_record

    path = made.paths.reference / "loans" / "1.parquet"
    path.write_bytes(b"not a parquet file")
    made.card = dataclasses.replace(made.card, reference=file_record(path))


@pytest.mark.parametrize("harm", [damage_bytes, delete, not_parquet])
def test_an_unusable_reference_fails_with_a_reason_and_a_report(
    tmp_path: Path, harm: Callable[[Scenario], None]
) -> None:
    """The result is committed all the same: who looks sees that nothing is known, and why."""
    made = scenario(tmp_path)
    made.log(rows(300, 2))
    harm(made)
    committed = made.run()
    assert committed.result.outcome == "failed"
    assert committed.result.reason is not None
    assert "1.parquet" in committed.result.reason
    assert committed.result.data_drift.detected is None
    assert "RUN FAILED" in report_of(committed)
    latest = made.run().result
    assert latest.outcome == "failed"


@pytest.mark.parametrize(
    ("labels", "outcome"),
    [(["yes"] * 300, "ok"), (["yes", None] * 150, "ok"), (["maybe"] * 300, "ok"), (["no"] * 50, "insufficient_data")],
)
def test_odd_labels_are_measured_or_said_to_be_too_few(tmp_path: Path, labels: list[str | None], outcome: str) -> None:
    """One class, half of them, a class the model does not know, too few: never a crash, never an invented figure."""
    made = scenario(tmp_path)
    found = rows(300, 2)
    ids = made.log(found)
    pairs = [(request, label) for request, label in zip(ids, labels, strict=False) if label is not None]
    made.label([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    committed = made.run()
    performance = committed.result.performance
    assert performance.outcome == outcome
    assert performance.labelled_rows == len(pairs)
    if outcome == "ok":
        accuracy = performance.metric("accuracy")
        assert accuracy is not None
        right = {request for request, score in zip(ids, found["score"], strict=True) if score > 0.5}
        correct = sum(label == ("yes" if request in right else "no") for request, label in pairs)
        assert accuracy.value == pytest.approx(correct / len(pairs))


def test_a_drop_of_accuracy_is_concept_drift(tmp_path: Path) -> None:
    """Same inputs, same answers, other labels: critical, and retraining is recommended."""
    made = scenario(tmp_path)
    found = rows(500, 2)
    made.label(made.log(found), ["no" if score > 0.5 else "yes" for score in found["score"]])
    result = made.run().result
    assert result.data_drift.detected is False
    assert result.concept_drift.detected is True
    assert result.concept_drift.severity == "critical"
    assert result.retraining.decision == "recommended"


def test_a_regression_model_is_judged_by_its_error(tmp_path: Path) -> None:
    """Labels as good as the reference's are fine; with four times the error they are not."""
    noise = np.random.default_rng(0).normal(size=4000).tolist()
    made = Scenario(tmp_path, regression_card())
    reference = rows(2000, 1)
    reference["label"] = [score + 0.1 * extra for score, extra in zip(reference["score"], noise, strict=False)]
    made.reference(reference)
    for scale, detected in ((0.1, False), (0.4, True)):
        found = rows(400, 2)
        ids = made.log(found, start=NOW - (3600 if scale == 0.1 else 40_000), seconds=300)
        made.label(ids, [score + scale * extra for score, extra in zip(found["score"], noise[2000:], strict=False)])
        window = Window(
            utc_text(NOW - (7200 if scale == 0.1 else 40_000)), utc_text(NOW - (0 if scale == 0.1 else 30_000)), "adhoc"
        )
        result = made.run(window).result
        assert result.concept_drift.metric == "mae"
        assert result.concept_drift.detected is detected
        assert {metric.name for metric in result.performance.metrics} >= {"mae", "rmse"}
        assert result.prediction_drift.findings[0].type == "number"


@pytest.mark.parametrize("label", [1e308, float("inf"), float("nan"), 0.0])
def test_absurd_labels_of_a_regression_give_no_absurd_figures(tmp_path: Path, label: float) -> None:
    """What overflows is left out, and the result can be read back."""
    made = Scenario(tmp_path, regression_card())
    made.reference({**rows(1000, 1), "label": [0.5] * 1000})
    ids = made.log(rows(200, 3))
    made.label(ids, [label, *[0.5] * 199])
    committed = made.run()
    assert committed.result.outcome == "ok", committed.result.reason
    assert read_result(committed.folder / "result.json") == committed.result


@pytest.mark.parametrize("answer", [float("inf"), float("-inf"), float("nan")])
def test_labelled_answers_that_are_not_finite_are_counted(tmp_path: Path, answer: float) -> None:
    """No error can be computed of them: they are told as left out, and the others are measured."""
    made = Scenario(tmp_path, regression_card())
    made.reference({**rows(1000, 1), "label": [0.5] * 1000})
    found = rows(300, 3)
    found["score"] = [answer] * 40 + found["score"][40:]
    made.label(made.log(found)[:250], [0.5] * 250)
    committed = made.run()
    assert committed.result.rows.dropped == {"not finite answer": 40}
    assert committed.result.rows.read == 300
    assert committed.result.performance.labelled_rows == 210
    assert "40 left out (not finite answer)" in report_of(committed)


def test_a_fifo_among_the_segments_is_damage_and_hangs_no_run(tmp_path: Path) -> None:
    """Named in the result, the other files read."""
    made = scenario(tmp_path)
    made.log(rows(100, 2))
    folder = predictions.folder(made.paths.live, made.card.name, made.card.version)
    name = parse_name(next(folder.iterdir()))
    os.mkfifo(folder / f"{name.prefix}-{name.segment_id[:-12]}{'0' * 12}.csv")
    result = made.run().result
    assert result.rows.read == 100
    assert [place.reason for file in result.inputs for place in file.corrupt] == ["is no regular file"]


def test_late_labels_of_earlier_rows_count_for_a_short_window(tmp_path: Path) -> None:
    """Labels come late: a window of minutes has none, so quality looks back a day; drift does not."""
    made = scenario(tmp_path)
    found = rows(300, 2)
    made.label(made.log(found, start=NOW - 20_000, seconds=600), found["label"])
    made.log(rows(100, 3), start=NOW - 250, seconds=200)
    result = made.run(Window(utc_text(NOW - 300), utc_text(NOW), "scheduled")).result
    assert result.rows.read == 100
    assert result.performance.outcome == "ok"
    assert result.performance.labelled_rows == 300
    assert result.performance.labelled_ratio == pytest.approx(0.75)


def test_only_rows_inside_the_window_are_compared(tmp_path: Path) -> None:
    """The start belongs to the window, the end does not."""
    made = scenario(tmp_path)
    made.log(rows(100, 2), start=NOW - 200, seconds=100)
    window = Window(utc_text(NOW - 200), utc_text(NOW - 150), "adhoc")
    assert made.run(window).result.rows.read == 50


def test_damaged_and_unreadable_lines_are_counted_and_the_rest_is_used(tmp_path: Path) -> None:
    """A flipped byte is corrupt; a value of the wrong type under a right checksum is dropped; both are named."""
    made = scenario(tmp_path)
    made.log(rows(300, 2))
    path = predictions.segments(made.paths.live, "loans", "1")[0]
    lines = path.read_bytes().split(b"\n")
    lines[5] = lines[5].replace(b"e", b"f", 1)
    fields = lines[6].split(b",")
    fields[5] = b"much"
    lines[6] = seal_line(int(fields[0]), b",".join(fields[1:-1]), id_checksum(parse_name(path).segment_id))[:-1]
    path.write_bytes(b"\n".join(lines))
    result = made.run().result
    later = made.run(Window(utc_text(NOW - 1800), utc_text(NOW), "adhoc")).result
    assert (later.rows.dropped, later.rows.corrupt) == ({}, 0)
    assert [file.corrupt_lines for file in later.inputs] == [1], "the file is named all the same"
    assert result.rows.read == 298
    assert result.rows.corrupt == 1
    assert result.rows.dropped == {"unreadable value": 1}
    assert result.inputs[0].corrupt[0].reason == "checksum does not match"
    assert result.inputs[0].bytes_read == path.stat().st_size


def test_a_segment_of_other_columns_or_of_a_newer_format_is_named(tmp_path: Path) -> None:
    """It yields no rows, and its file is listed with the reason."""
    made = scenario(tmp_path)
    made.log(rows(100, 2))
    other = Scenario(tmp_path, binary_card(features=(*FEATURES, Feature("extra", "number"))))
    other.log({**rows(100, 3), "extra": [1.0] * 100})
    newer = predictions.folder(made.paths.live, "loans", "1") / "live_predictions-v9-later.csv"
    newer.write_bytes(header_line(predictions.columns(made.card)))
    result = made.run().result
    assert result.rows.read == 100
    reasons = sorted(line.reason for file in result.inputs for line in file.corrupt)
    assert reasons == ["format version 9 is newer than this program's 1", "was written for other columns"]


def test_the_same_inputs_give_the_same_result(tmp_path: Path) -> None:
    """Byte for byte, apart from the run's id and its times; three segments and their labels."""
    made = scenario(tmp_path)
    for seed in (2, 3, 4):
        found = rows(150, seed, country="it")
        made.label(made.log(found, start=NOW - 3600 + seed), found["label"])
    first, second = made.run(), made.run()
    assert first.folder != second.folder
    assert comparable(first.result) == comparable(second.result)
    assert made.paths.reports.joinpath("loans", "1", "latest.json").exists()


def test_features_named_like_the_logs_own_columns_are_judged(tmp_path: Path) -> None:
    """`prediction` and `timestamp` may be features; finding and column do not get mixed up with the answers."""
    features = (Feature("prediction", "number"), Feature("timestamp", "category", categories=("a", "b")), *FEATURES)
    made = Scenario(tmp_path, binary_card(features=features))
    extra: dict[str, Any] = {"prediction": [0.1, 0.2, 0.4, 0.7] * 500, "timestamp": ["a", "b"] * 1000}
    made.reference({**rows(2000, 1), **extra})
    made.log({**rows(200, 2), "prediction": [5.0] * 200, "timestamp": ["b"] * 200})
    committed = made.run()
    moved = {finding.column for finding in committed.result.data_drift.columns if finding.detected}
    assert moved == {"prediction", "timestamp"}
    assert committed.result.prediction_drift.detected is False
    assert "Not drawn" not in report_of(committed)


def test_a_fault_of_the_program_itself_is_a_failed_result_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody foresaw must not look like a run that never was; the log has the traceback."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr(run, "analyse", broken)
    made = scenario(tmp_path)
    committed = made.run()
    assert committed.result.outcome == "failed"
    assert committed.result.reason == "internal error: ZeroDivisionError: unforeseen"
    assert "unforeseen" in caplog.text
    assert "RUN FAILED" in report_of(committed)


def test_several_classes_are_judged_class_by_class(tmp_path: Path) -> None:
    """Each class's probability is an answer; integer classes are compared as their text."""
    rng = np.random.default_rng(0)
    card = binary_card(task="multiclass", classes=(1, 2, 3), positive_class=None, features=FEATURES[:1])
    made = Scenario(tmp_path, card)
    for count, write in ((2000, made.reference), (400, made.log)):
        shares = rng.dirichlet([2, 1, 1], count)
        found = rows(count, count)
        found["score"] = shares.tolist()
        found["label"] = [str(1 + rng.choice(3, p=share)) for share in shares]
        ids = write(found)
    assert isinstance(ids, list)
    made.label(ids, found["label"])
    result = made.run().result
    assert {finding.column for finding in result.prediction_drift.findings} == {
        "prediction",
        "confidence",
        *(f"probability of {label}" for label in (1, 2, 3)),
    }
    assert result.prediction_drift.detected is False
    assert result.performance.metric("roc_auc", "weighted") is not None
    page = (made.paths.reports / "loans" / "1" / result.run_id / "report.html").read_text()
    assert "Not drawn" not in page
