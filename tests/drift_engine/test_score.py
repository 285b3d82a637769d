"""The drift score: under the classic line of 0.1 without drift at every window size, with it the drift's own size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from drift_engine.findings import Subject, data_drift, judge
from drift_engine.settings import DriftSettings
from drift_engine.table import NumberColumn, Table

SETTINGS = DriftSettings()
WINDOWS = 200


def table(rng: np.random.Generator, columns: int, rows: int, shift: float = 0.0) -> Table:
    """Normal columns."""
    found = {f"c{number}": NumberColumn(rng.normal(shift, 1, rows)) for number in range(columns)}
    return Table(found, rows)


def score(reference: Table, window: Table) -> float:
    """The data set's score, all columns weighted alike."""
    weight = 1 / len(reference.columns)
    subjects = [Subject(name, name, "number", weight) for name in reference.columns]
    found = data_drift(judge(subjects, reference, window, SETTINGS.alpha, SETTINGS), SETTINGS.alpha, SETTINGS).score
    assert found is not None
    return found


@pytest.mark.parametrize("columns", [1, 10])
@pytest.mark.parametrize("rows", [50, 100, 300, 1000, 5000])
def test_without_drift_the_score_stays_under_a_tenth(columns: int, rows: int) -> None:
    """Even of a single column in 50 rows: above it only in false alarms, one in 100 windows."""
    rng = np.random.default_rng(rows + columns)
    above = 0
    for number in range(WINDOWS):
        if number % 20 == 0:
            reference = table(rng, columns, 5000)
        above += score(reference, table(rng, columns, rows)) > 0.1
    assert above <= binom.isf(1e-3, WINDOWS, SETTINGS.alpha)


@pytest.mark.parametrize("rows", [300, 1000, 5000, 50_000])
def test_with_drift_the_score_is_its_size_at_every_window_size(rows: int) -> None:
    """Half a standard deviation is a PSI of about 0.24, however many rows there are."""
    rng = np.random.default_rng(rows)
    found = [score(table(rng, 3, 5000), table(rng, 3, rows, shift=0.5)) for _ in range(20)]
    assert np.mean(found) == pytest.approx(0.24, abs=0.03)
