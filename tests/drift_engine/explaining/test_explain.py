"""A run explains what moved: since when, in which rows, and whether it is stuck."""

from __future__ import annotations

import doctest
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.verdict_files import SETTINGS, table
from drift_engine.console import print_summary
from drift_engine.explaining import explain
from drift_engine.explaining.explain import Explainer
from drift_engine.findings import Subject, judge
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
    assert finding.sentence.startswith("30 % of values are 12.5 exactly (0 % in the reference)")


def test_elec2_is_explained_and_the_clean_pair_of_the_cards_is_not(shared_data: Callable[[str], Path]) -> None:
    """Three columns since row 17,424 exactly, half an hour a row; what did not move has no beginning."""
    frame = pd.read_csv(shared_data("elec2.csv.gz")).drop(columns=["class", "date"])
    first, columns = 13_440, ("vicprice", "vicdemand", "transfer")
    moved = {finding.column: finding for finding in explained(frame[:first], frame[first:22_000])}
    for column in columns:
        onset = moved[column].onset
        assert onset is not None
        assert (first + onset.row, onset.before_window) == (17_424, False)
        assert onset.since == onset.earliest == onset.latest == utc_text(1800 * (17_424 - first))
        assert onset.first_beyond is not None
        assert 0 <= parse_utc(onset.since) - parse_utc(onset.first_beyond) < 1800 * onset.part_rows
    frame = pd.read_parquet(shared_data("fdh_simulated_customers_mod10.parquet"))
    days = frame["TX_TIME_DAYS"].astype(int)
    features = [name for name in frame if "WINDOW" in str(name) or name == "TX_AMOUNT"]
    clean = explained(frame.loc[days.between(60, 89), features], frame.loc[days.between(120, 149), features])
    assert all((finding.onset, finding.segments) == (None, ()) for finding in clean)


def explained(reference: pd.DataFrame, window: pd.DataFrame) -> list[ColumnFinding]:
    """The findings of an ad hoc run, all columns weighted alike, half an hour a row."""
    subjects = [Subject(str(name), str(name), "number", 1 / reference.shape[1]) for name in reference]
    before, now = table(reference), table(window)
    judged = judge(subjects, before, now, SETTINGS.alpha, SETTINGS)
    times = 1_800_000_000 * np.arange(now.rows)
    explainer, by_name = (
        Explainer(subjects, before, now, times, SETTINGS),
        {subject.name: subject for subject in subjects},
    )
    return [
        explainer.explained(item, by_name[item.finding.column], SETTINGS.alpha / len(subjects)).finding
        if item.finding.detected
        else item.finding
        for item in judged
    ]


def test_the_terminal_says_it_all_in_plain_text(tmp_path: Path) -> None:
    """Since when, in which rows, what is wrong with the data; no control character of a value reaches it."""
    found = rows(1000, 2, country=["de"] * 600 + ["\x1b[31m\u202e", "it"] * 200)
    made = Scenario(tmp_path).reference(rows(4000, 1))
    made.log(found)
    shown = io.StringIO()
    print_summary(made.run(), shown)
    text = shown.getvalue()
    assert "since 2026-11-20 14:30:00 UTC (95 % interval 14:30:00 to 14:30:0" in text
    assert "data quality, warning: unseen category in country: 200 values of 1,000 (20 %)" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


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
