"""The rule on real files: quiet where nothing changed, and the known columns found where something did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from drift_engine.findings import Subject, data_drift, judge
from drift_engine.results.schema import DataDrift
from drift_engine.settings import DriftSettings
from drift_engine.table import Column, Table, number_column, text_column

Find = Callable[[str], Path]
SETTINGS = DriftSettings()


def table(frame: pd.DataFrame) -> Table:
    """Numbers as numbers, all else as categories."""
    columns: dict[str, Column] = {}
    for name in frame:
        if pd.api.types.is_numeric_dtype(frame[name]):
            columns[str(name)] = number_column(pa.array(frame[name].astype(float).to_numpy()))
        else:
            columns[str(name)] = text_column(pa.array(frame[name].astype(object).tolist(), pa.string()))
    return Table(columns, len(frame))


def compared(reference: pd.DataFrame, window: pd.DataFrame) -> DataDrift:
    """The verdict of an ad hoc run, all columns weighted alike."""
    subjects = [Subject(str(name), str(name), "number", 1 / reference.shape[1]) for name in reference]
    judged = judge(subjects, table(reference), table(window), SETTINGS.alpha, SETTINGS)
    return data_drift(judged, SETTINGS.alpha, SETTINGS)


def moved(drift: DataDrift) -> set[str]:
    """The columns that drifted."""
    return {finding.column for finding in drift.columns if finding.detected}


def alarms_on_random_splits(frame: pd.DataFrame, windows: int = 25) -> int:
    """Alarms among windows of 500 rows against 5,000 rows of the same period."""
    rng = np.random.default_rng(0)
    count = 0
    for _ in range(windows):
        rows = rng.permutation(len(frame))[:5500]
        count += bool(compared(frame.iloc[rows[:5000]], frame.iloc[rows[5000:]]).detected)
    return count


def test_bank(shared_data: Find) -> None:
    """Quiet within 2008; in 2009 the five economic indices and the way of contact have changed."""
    frame = pd.read_csv(shared_data("bank_additional_full.csv.gz"), sep=";").drop(columns=["y", "duration"])
    assert alarms_on_random_splits(frame[:12_000]) <= 2
    drift = compared(frame[:12_000], frame[30_000:31_000])
    indices = {"emp.var.rate", "cons.price.idx", "cons.conf.idx", "euribor3m", "nr.employed"}
    assert indices | {"contact", "month", "poutcome"} <= moved(drift)
    assert drift.score is not None
    assert drift.score > 1


def test_elec2(shared_data: Find) -> None:
    """Three columns are constant up to row 17,423: the first 500 rows after that name all three, strongest."""
    frame = pd.read_csv(shared_data("elec2.csv.gz")).drop(columns=["class", "date"])
    assert alarms_on_random_splits(frame[:13_440]) <= 2
    drift = compared(frame[:13_440], frame[17_424:17_924])
    assert {finding.column for finding in drift.columns[:3]} == {"vicprice", "vicdemand", "transfer"}


def test_simulated_cards(shared_data: Find) -> None:
    """Days 60-89 against 120-149 is a clean pair; days 0-13 are the warm-up of the counters."""
    frame = pd.read_parquet(shared_data("fdh_simulated_customers_mod10.parquet"))
    days = frame["TX_TIME_DAYS"].astype(int)
    features = [name for name in frame if "WINDOW" in str(name) or name in ("TX_AMOUNT", "TX_DURING_NIGHT")]
    reference = frame.loc[days.between(60, 89), features]
    assert compared(reference, frame.loc[days.between(120, 149), features]).detected is False
    assert "TERMINAL_ID_NB_TX_30DAY_WINDOW" in moved(compared(reference, frame.loc[days.between(0, 13), features]))
