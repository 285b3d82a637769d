"""The default rule on the real files of `../shared/data`: random splits of one period, a clean pair, known changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from drift_engine.findings import Subject, data_drift, judge
from drift_engine.results.schema import DataDrift
from drift_engine.settings import DriftSettings
from drift_engine.table import Column, Table, number_column, text_column

SETTINGS = DriftSettings()
SPLIT_REFERENCE, SPLIT_WINDOW = 5000, 500
#: After a known change so many of its first rows are looked at, to say how soon it is found.
FIRST_ROWS = (50, 100, 200, 500, 1000)
Find = Callable[[str], Path]


@dataclass(frozen=True)
class KnownPair:
    """Two parts of a file, and the columns known to differ between them; none for a clean pair."""

    file: str
    reference: pd.DataFrame
    window: pd.DataFrame
    changed: frozenset[str]


def measure(folder: Path, splits: int, seed: int, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """A row per file and comparison: alarms on random splits, and what is found of known changes, how soon."""

    def find(name: str) -> Path:
        return folder / name

    rows = []
    for file, period in periods(find).items():
        alarms = random_split_alarms(period, splits, seed)
        rows.append(
            _row(f"{file}, random splits", SPLIT_REFERENCE, SPLIT_WINDOW, f"{alarms} of {splits:,} alarmed", "")
        )
        progress(f"{file}: {alarms} of {splits} random splits alarmed")
    for name, pair in pairs(find).items():
        found = moved(compared(pair.reference, pair.window))
        told = f"{len(pair.changed & found)} of {len(pair.changed)} known columns" if pair.changed else "nothing"
        if not pair.changed and found:
            told = ", ".join(sorted(found))
        rows.append(_row(name, len(pair.reference), len(pair.window), told, _how_soon(pair)))
        progress(f"{name}: {told}")
    return rows


def periods(find: Find) -> dict[str, pd.DataFrame]:
    """One period of each file in which nothing is known to change; rows of it are drawn at random."""
    bank, elec2, cards = _bank(find), _elec2(find), _cards(find)
    return {"bank": bank[:12_000], "elec2": elec2[:13_440], "fdh": cards.loc[60:89]}


def pairs(find: Find) -> dict[str, KnownPair]:
    """The comparisons whose outcome is known."""
    bank, elec2, cards, ulb = _bank(find), _elec2(find), _cards(find), _ulb(find)
    indices = {"emp.var.rate", "cons.price.idx", "cons.conf.idx", "euribor3m", "nr.employed"}
    counters = {f"{who}_ID_NB_TX_30DAY_WINDOW" for who in ("CUSTOMER", "TERMINAL")}
    return {
        "bank, 2008 against 2009": KnownPair(
            "bank", bank[:12_000], bank[30_000:31_000], frozenset(indices | {"contact", "month", "poutcome"})
        ),
        "elec2, before and after row 17,424": KnownPair(
            "elec2", elec2[:13_440], elec2[17_424:18_424], frozenset({"vicprice", "vicdemand", "transfer"})
        ),
        "fdh, days 60-89 against 0-13": KnownPair("fdh", cards.loc[60:89], cards.loc[0:13], frozenset(counters)),
        "fdh, days 60-89 against 120-149 (clean)": KnownPair("fdh", cards.loc[60:89], cards.loc[120:149], frozenset()),
        "ulb, day 1 against day 2, legitimate": KnownPair(
            "ulb", ulb[ulb.index == 0], ulb[ulb.index == 1], frozenset({"V3", "V1", "V28", "V15", "V5", "V25"})
        ),
    }


def random_split_alarms(period: pd.DataFrame, splits: int, seed: int) -> int:
    """Splits, of `splits`, that raise an alarm: SPLIT_WINDOW random rows against SPLIT_REFERENCE others."""
    rng = np.random.default_rng(seed)
    whole = table(period)
    alarms = 0
    for _ in range(splits):
        rows = rng.permutation(len(period))[: SPLIT_REFERENCE + SPLIT_WINDOW]
        drift = compared_tables(whole.take(rows[:SPLIT_REFERENCE]), whole.take(rows[SPLIT_REFERENCE:]))
        alarms += bool(drift.detected)
    return alarms


def compared(reference: pd.DataFrame, window: pd.DataFrame) -> DataDrift:
    """The verdict of an ad hoc run, all columns weighted alike."""
    return compared_tables(table(reference), table(window))


def compared_tables(reference: Table, window: Table) -> DataDrift:
    """The same of two tables."""
    subjects = [Subject(name, name, "number", 1 / len(reference.columns)) for name in reference.columns]
    return data_drift(judge(subjects, reference, window, SETTINGS.alpha, SETTINGS), SETTINGS.alpha, SETTINGS)


def moved(drift: DataDrift) -> set[str]:
    """The columns that drifted."""
    return {finding.column for finding in drift.columns if finding.detected}


def table(frame: pd.DataFrame) -> Table:
    """Numbers as numbers, all else as categories."""
    columns: dict[str, Column] = {}
    for name in frame:
        if pd.api.types.is_numeric_dtype(frame[name]):
            columns[str(name)] = number_column(pa.array(frame[name].astype(float).to_numpy()))
        else:
            columns[str(name)] = text_column(pa.array(frame[name].astype(object).tolist(), pa.string()))
    return Table(columns, len(frame))


def _how_soon(pair: KnownPair) -> str:
    """The fewest first rows of the window, of FIRST_ROWS, in which all known columns are found."""
    if not pair.changed:
        return ""
    reference, window = table(pair.reference), table(pair.window)
    for rows in FIRST_ROWS:
        if pair.changed <= moved(compared_tables(reference, window.take(np.arange(min(rows, window.rows))))):
            return f"all in the first {rows:,} rows"
    return f"not all in the first {FIRST_ROWS[-1]:,} rows"


def _row(what: str, reference: int, window: int, found: str, soon: str) -> dict[str, Any]:
    return {"file": what, "reference": reference, "window": window, "found": found, "how soon": soon}


def _bank(find: Find) -> pd.DataFrame:
    return pd.read_csv(find("bank_additional_full.csv.gz"), sep=";").drop(columns=["y", "duration"])


def _elec2(find: Find) -> pd.DataFrame:
    return pd.read_csv(find("elec2.csv.gz")).drop(columns=["class", "date"])


def _cards(find: Find) -> pd.DataFrame:
    """The simulated cards' features, indexed by day."""
    frame = pd.read_parquet(find("fdh_simulated_customers_mod10.parquet"))
    names = [name for name in frame if "WINDOW" in str(name) or name in ("TX_AMOUNT", "TX_DURING_NIGHT")]
    return frame.set_index(frame["TX_TIME_DAYS"].astype(int))[names]


def _ulb(find: Find) -> pd.DataFrame:
    """The legitimate rows, indexed by day."""
    frame = pd.read_csv(find("ulb_creditcard_sample.csv.gz"))
    frame = frame[frame["Class"] == 0]
    return frame.set_index((frame["Time"] // 86_400).astype(int)).drop(columns=["Time", "Class"])
