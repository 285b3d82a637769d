"""Quality over days: 7 days against the 7 before, declining only beyond chance, and seldom where nothing is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest
from scipy.stats import chi2, ttest_ind

from benchmarks import concept_trend
from drift_engine.results.days import Losses
from drift_engine.results.quality import Trend
from drift_engine.results.schema import ConceptDrift
from drift_engine.trend import DayQuality, day_scatter, settled_days, trend_of, with_trend
from gateway.registry.intervals import wilson

FIRST = date(2026, 11, 1)


def days(wrong: Sequence[float], rows: int | Sequence[int] = 1000, predictions: int = 1000) -> list[DayQuality]:
    """One day after the other with so many wrong answers."""
    counts = [rows] * len(wrong) if isinstance(rows, int) else rows
    return [
        DayQuality(FIRST + timedelta(days=number), predictions, Losses(count, float(bad), float(bad)))
        for number, (bad, count) in enumerate(zip(wrong, counts, strict=True))
    ]


def trend(found: list[DayQuality], metric: str = "accuracy", floor_percent: float = 1.0) -> Trend:
    """With the default settings."""
    made = trend_of(metric, found, rows_min=100, floor_percent=floor_percent)
    assert made is not None
    return made


def test_a_fall_of_seven_days_against_the_seven_before() -> None:
    """Figures and interval are those of the rows of both weeks; six days in a row the week was worse."""
    found = trend(days([100] * 8 + [150] * 6))
    assert (found.rows_7d, found.rows_previous_7d) == (7000, 7000)
    assert found.value_7d == pytest.approx(1 - 1000 / 7000)
    assert found.value_previous_7d == 0.9
    assert (found.lower_7d, found.upper_7d) == pytest.approx(wilson(6000, 7000))
    assert found.change == pytest.approx(0.9 * 0 - 300 / 7000)
    assert found.p_value is not None
    assert found.p_value < 1e-6
    assert (found.declining_days, found.declining) == (6, True)
    assert found.sentence == (
        "accuracy was 0.8571 (95 % interval 0.8487 to 0.8651) on 7,000 labelled rows of the 7 days to 2026-11-14, "
        "after 0.9 on 7,000 of the 7 days before: declining, lower each day for 6 days"
    )


def test_a_week_that_ended_is_no_decline_any_more() -> None:
    """Bad for two weeks and level since: quality is low, and does not decline."""
    found = trend(days([100] * 14 + [150] * 14))
    assert (found.declining_days, found.declining) == (0, False)
    assert found.sentence.endswith("no decline beyond chance")


def test_where_labels_stopped_nothing_is_known_of_now() -> None:
    """A decline that was seen long ago is not told again every day until its records are gone."""
    found = days([100] * 14 + [110, 130, 150, 170, 190, 210, 230])
    last = found[-1].day
    assert trend(found).declining
    args = {"rows_min": 100, "floor_percent": 1.0}
    assert trend_of("accuracy", found, **args, since=last) == trend(found)
    assert trend_of("accuracy", found, **args, since=last + timedelta(days=1)) is None


def test_two_days_are_not_enough_and_a_trifle_is_none() -> None:
    """Three days in a row are asked for; and 1 % of the figure, however sure."""
    assert trend(days([100] * 12 + [300] * 2)).declining is False
    assert trend(days([100] * 12 + [300] * 2)).declining_days == 2
    million = days([100_000] * 8 + [105_000] * 6, rows=1_000_000)
    assert trend(million).declining is False
    assert trend(million, floor_percent=0.1).declining is True


def test_rises_of_accuracy_are_no_decline_and_rises_of_an_error_are() -> None:
    """The same sums, read as errors."""
    better = trend(days([150] * 8 + [100] * 6))
    assert (better.declining, better.declining_days) == (False, 0)
    rng = np.random.default_rng(1)
    weeks = [np.abs(rng.normal(0, 1, 1000)) for _ in range(8)] + [np.abs(rng.normal(0, 1.3, 1000)) for _ in range(6)]
    found = trend(
        [
            DayQuality(FIRST + timedelta(days=number), 1000, Losses(1000, float(day.sum()), float((day**2).sum())))
            for number, day in enumerate(weeks)
        ],
        "mae",
    )
    assert found.value_7d == pytest.approx(np.concatenate(weeks[7:]).mean())
    assert found.declining is True
    assert "MAE was" in found.sentence
    assert "higher each day" in found.sentence


def test_the_test_of_errors_is_welchs() -> None:
    """Where days do not scatter: each day of a week is the same here."""
    rng = np.random.default_rng(2)
    weeks = [[np.abs(rng.normal(0, spread, 1000))] * 7 for spread in (1.0, 1.05)]
    found = trend(
        [
            DayQuality(FIRST + timedelta(days=number), 1000, Losses(1000, float(day.sum()), float((day**2).sum())))
            for number, day in enumerate(weeks[0] + weeks[1])
        ],
        "mae",
    )
    expected = ttest_ind(np.concatenate(weeks[1]), np.concatenate(weeks[0]), equal_var=False)
    assert found.p_value == pytest.approx(math.erfc(abs(expected.statistic) / math.sqrt(2)), rel=1e-6)


def test_too_few_labels_are_no_verdict() -> None:
    """Neither for a young history nor for thin weeks; and no day with a label is no trend at all."""
    young = trend(days([100] * 5))
    assert (young.declining, young.value_previous_7d, young.p_value) == (None, None, None)
    assert young.value_7d == 0.9
    assert "0 in the 7 days before; 100 are needed" in young.sentence
    assert trend(days([100] * 7 + [300])).declining is None
    thin = trend(days([1] * 14, rows=10))
    assert (thin.declining, thin.value_7d) == (None, None)
    assert trend_of("accuracy", days([0] * 14, rows=0), rows_min=100, floor_percent=1) is None


def test_a_model_that_never_errs_does_not_decline() -> None:
    """Nothing varies, and nothing is divided by it."""
    found = trend(days([0] * 14))
    assert (found.declining, found.p_value, found.value_7d) == (False, 1.0, 1.0)


def test_days_whose_labels_have_only_begun_to_come_wait() -> None:
    """Frauds are told at once and honest payments later: the first labels of a day are all "wrong"."""
    found = days([20] * 14 + [10, 10, 8], rows=[200] * 14 + [10, 10, 8])
    assert settled_days(found) == found[:14]
    assert trend(found).declining is False
    assert "7 days to 2026-11-14" in trend(found).sentence


def scatter(found: list[DayQuality]) -> float:
    """The factor."""
    made = day_scatter(found)
    assert made is not None
    return made.factor


def test_days_that_scatter_more_than_rows_do_widen_the_interval() -> None:
    """The factor is near 1 for independent rows, near the ratio of variances for days that differ."""
    rng = np.random.default_rng(5)
    independent = days(rng.binomial(1000, 0.1, 89).tolist())
    assert 1.0 <= scatter(independent) < 1.5
    shares = np.clip(rng.normal(0.1, 0.03, 89), 0, 1)
    scattered = days(rng.binomial(1000, shares).tolist())
    assert scatter(scattered) == pytest.approx(1 + 0.03**2 / (0.1 * 0.9 / 1000), rel=0.5)
    assert scatter(days(rng.binomial(1000, [0.1] * 45 + [0.3] * 44).tolist())) < 1.5
    assert day_scatter(days([100, 300] * 4)) is None
    wide, narrow = trend(scattered), trend(independent)
    assert wide.upper_7d - wide.lower_7d > 2 * (narrow.upper_7d - narrow.lower_7d)  # type: ignore[operator]


def test_a_healthy_model_is_seldom_called_declining() -> None:
    """15 simulated years of each kind of stream: no more false alarms than 0.2 a year, at 99.9 % confidence."""
    for row in concept_trend.healthy(5, seed=7, progress=lambda line: None, labels_a_day=(1_000,)):
        years = row["years"]
        begun = round(float(row["false alarms a year"]) * years)
        lower = chi2.ppf(0.001, 2 * begun) / 2 / years if begun else 0.0
        assert lower < 0.2, row


def test_a_model_that_loses_a_point_a_day_is_found() -> None:
    """With 1,000 labels a day within a week, mostly; and ten points at once on the third day."""
    rows = {
        (row["accuracy 0.9 falls by"], row["labels a day"]): row
        for row in concept_trend.declines(20, seed=7, progress=lambda line: None, labels_a_day=(1_000,))
    }
    slow, sudden = rows["1 point a day", 1_000], rows["10 points at once", 1_000]
    assert (slow["found within 60 days"], sudden["found within 60 days"]) == ("100 %", "100 %")
    assert int(slow["median day"]) <= 8
    assert int(sudden["median day"]) <= 4


@pytest.mark.parametrize(
    ("detected", "declining", "expected"),
    [
        (None, True, (True, "warning")),
        (False, True, (True, "warning")),
        (True, True, (True, "critical")),
        (None, False, (None, "none")),
        (False, False, (False, "none")),
        (None, None, (None, "none")),
    ],
)
def test_a_decline_is_concept_drift(
    detected: bool | None, declining: bool | None, expected: tuple[bool | None, str]
) -> None:
    """A warning where nothing graver is known, and the reason says both; it calms nobody."""
    known = ConceptDrift(
        detected, "critical" if detected else "none", None, None, None, None, 5.0, None, "3 labelled rows"
    )
    said = Trend("accuracy", 0.8, 0.7, 0.9, 0.9, -0.1, 1e-9, 700, 700, 4, declining, "it fell")
    found = with_trend(known, said)
    assert (found.detected, found.severity) == expected
    assert found.trend is said
    assert ("it fell" in found.reason) == (bool(declining) and not detected)
    assert "3 labelled rows" in found.reason
    assert with_trend(known, None) is known
