"""A day's record from real logs: every figure against the rows that were logged."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from drift_engine.history.score import latency_counts
from drift_engine.results.days import (
    CONFIDENCE_BINS,
    REVIEW_ROWS_MAX,
    DayStore,
    latency_bucket_end_ms,
    latency_quantile_ms,
)
from gateway.log import seal
from tests.drift_engine.history.place import DAY, TODAY, answered, day_text, days, history, records, scenario
from tests.drift_engine.scenario import NOW, Scenario, regression_card, rows
from tests.drift_engine.test_reproduce import registered


def test_a_day_is_counted_row_by_row(tmp_path: Path) -> None:
    """Every figure of a record against the rows that were logged."""
    made, told = scenario(tmp_path)
    ids, true = told[2]
    made.label(ids[:200], true[:200], received=NOW - 5 * 3600)
    assert days(history(made)) == [day_text(back) for back in (3, 2, 1, 0)]
    found = records(made)
    record, logged = found[day_text(2)], rows(300, 3)
    answers = ["yes" if score > 0.5 else "no" for score in logged["score"]]
    confidence = np.array([max(score, 1 - score) for score in logged["score"]])
    assert (record.predictions, record.classes) == (300, dict(Counter(answers)))
    assert record.confidence_mean == pytest.approx(confidence.mean())
    assert record.confidence_counts == tuple(
        np.histogram(confidence, np.linspace(0, 1, CONFIDENCE_BINS + 1))[0].tolist()
    )
    assert latency_quantile_ms(record.latency_counts, 0.5) == pytest.approx(1.5, rel=0.01)
    wrong = sum(answer != label for answer, label in zip(answers[:200], true[:200], strict=True))
    assert dataclasses.astuple(record.losses) == (200, wrong, wrong)
    assert (record.labels.labelled, record.labels.coverage, record.labels.orphaned) == (200, 200 / 300, None)
    accuracy = record.performance.metric("accuracy")
    assert accuracy is not None
    assert accuracy.value == 1 - wrong / 200
    assert record.performance.labelled_rows == 200
    assert found[day_text(1)].performance.outcome == "insufficient_data"
    assert [found[day_text(back)].complete for back in (1, 0)] == [True, False]
    assert {file.log for file in record.inputs} == {"predictions", "labels"}
    assert {file.log for file in found[day_text(3)].inputs} == {"predictions"}


def test_the_answers_of_least_confidence_are_kept_with_what_was_asked(tmp_path: Path) -> None:
    """Least first, at most so many, features as JSON's own types."""
    made, told = scenario(tmp_path, (1,))
    answered(made, 2, REVIEW_ROWS_MAX + 50)
    ids, true = told[1]
    made.label(ids, true)
    history(made)
    store, logged = DayStore(made.paths.reports), rows(300, 2)
    review = store.review("loans", "1", day_text(1))
    assert review is not None
    assert (review.rows_of_day, len(review.rows)) == (300, 300)
    confidences = [row.confidence for row in review.rows]
    assert confidences == sorted(confidences)
    for row in review.rows[:20]:
        place = ids.index(row.request_id)
        assert row.label == true[place]
        assert row.timestamp[:10] == day_text(1)
        assert row.features == {feature.name: logged[feature.name][place] for feature in made.card.features}
        assert isinstance(row.features["age"], int)
        assert isinstance(row.features["member"], bool)
    many = store.review("loans", "1", day_text(2))
    assert many is not None
    assert (many.rows_of_day, len(many.rows)) == (REVIEW_ROWS_MAX + 50, REVIEW_ROWS_MAX)


def test_regression_has_answers_and_errors_instead(tmp_path: Path) -> None:
    """No classes, no confidence, nothing to look at."""
    made = registered(Scenario(tmp_path, regression_card()).reference(rows(500, 1, label=[0.5] * 500)))
    found = rows(200, 2)
    ids = made.log(found, start=TODAY - DAY, seconds=3600)
    seal.seal(made.paths.live, lambda: NOW)
    made.label(ids[:150], [0.25] * 150)
    history(made)
    record = records(made)[day_text(1)]
    errors = np.abs(np.array(found["score"][:150]) - 0.25)
    assert record.losses.loss_sum == pytest.approx(errors.sum())
    assert record.losses.loss_squares == pytest.approx((errors**2).sum())
    assert record.answers is not None
    assert record.answers.p50 == pytest.approx(np.median(found["score"]))
    assert (record.classes, record.confidence_counts, record.confidence_mean) == ({}, (), None)
    assert DayStore(made.paths.reports).reviews("loans", "1") == []


def test_latency_buckets_end_where_the_format_says() -> None:
    """At an end belongs to the bucket before; nothing and less than the first are in the first; NaN is in none."""
    ends = [latency_bucket_end_ms(bucket) for bucket in range(700)]
    assert latency_counts(np.array(ends)) == dict.fromkeys(range(700), 1)
    assert latency_counts(np.array([0.0, 1e-9, 0.01, np.nan, np.inf, -1.0])) == {0: 3}
