"""A run explains what moved: since when, in which rows, and whether it is stuck."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np

from drift_engine import explain
from drift_engine.results.schema import ColumnFinding
from drift_engine.results.store import read_result
from drift_engine.run import Committed
from gateway.clock import parse_utc, utc_text
from tests.drift_engine.scenario import NOW, Scenario, rows


def of(committed: Committed, column: str) -> ColumnFinding:
    """The finding of one input."""
    return next(finding for finding in committed.result.data_drift.columns if finding.column == column)


def test_a_surge_in_one_country_is_told_with_its_time_and_place(tmp_path: Path) -> None:
    """From the 600th of 1,000 rows on, `noise` moves where the country is "fr"."""
    found = rows(1000, 2)
    after = np.arange(1000) >= 600
    for row in np.flatnonzero(after & (np.array(found["country"]) == "fr")):
        found["noise"][row] = None
    made = Scenario(tmp_path).reference(rows(4000, 1))
    made.log(found, start=NOW - 3600, seconds=3000)
    finding = of(committed := made.run(), "noise")
    assert finding.kind == "missing surge"
    assert finding.onset is not None
    changed = utc_text(NOW - 3600 + 3 * 600)
    assert finding.onset.earliest <= changed <= finding.onset.latest
    assert parse_utc(finding.onset.latest) - parse_utc(finding.onset.earliest) < 300
    assert not finding.onset.before_window
    assert finding.onset.first_beyond is not None
    assert finding.onset.first_beyond >= utc_text(NOW - 3600 + 3 * 500)
    assert [(segment.column, segment.where) for segment in finding.segments] == [("country", '"fr"')]
    assert of(committed, "amount").onset is None
    assert read_result(committed.folder / "result.json") == committed.result


def test_a_window_that_is_changed_throughout_says_so(tmp_path: Path) -> None:
    """It cannot know when that began: at its start, or before."""
    made = Scenario(tmp_path).reference(rows(4000, 1))
    made.log(rows(500, 2, noise=np.random.default_rng(3).normal(1, 1, 500).tolist()))
    onset = of(made.run(), "noise").onset
    assert onset is not None
    assert onset.before_window
    assert explain.since_words(onset).startswith("since the window's start")
    assert onset.first_beyond == utc_text(NOW - 3600)


def test_a_sensor_that_repeats_one_value_is_stuck(tmp_path: Path) -> None:
    """The kind says so, and the sentence the value; a column of few values has mass points of its own."""
    found = rows(1000, 2)
    found["amount"][700:] = [12.5] * 300
    made = Scenario(tmp_path).reference(rows(4000, 1))
    made.log(found)
    finding = of(made.run(), "amount")
    assert finding.kind == "stuck"
    assert finding.sentence.startswith("30 % of rows are 12.5 exactly (0 % in the reference)")


def test_only_so_many_columns_are_explained(tmp_path: Path) -> None:
    """Those that moved first by weight and severity."""
    made = Scenario(tmp_path).reference(rows(4000, 1))
    made.log(rows(500, 2, amount=1.0, age=99, noise=5.0))
    findings = made.run(explained_columns_max=1).result.data_drift.columns
    assert [finding.onset is not None for finding in findings] == [True, False, False, False, False]
    assert sum(finding.detected is True for finding in findings) == 3


def test_examples() -> None:
    """The examples of the docstrings."""
    assert doctest.testmod(explain).failed == 0
