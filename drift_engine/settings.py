"""Settings of a drift run: section `[drift]`."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway.settings import convert, setting

#: Seconds of the month that the false-alarm budget of scheduled runs speaks of.
MONTH_SECONDS = 30 * 24 * 3600
#: How one column is judged: may be set for all columns, for those of a model, and for one column of a model.
COLUMN_KEYS = (
    "method",
    "minimum_rows",
    "psi_floor",
    "location_floor",
    "spread_floor",
    "missing_floor",
    "novel_floor",
    "location_share",
    "spread_share",
    "missing_share",
    "novel_share",
)
#: What may differ between models. The rest belongs to the process that runs them all.
MODEL_KEYS = (
    *COLUMN_KEYS,
    "reference",
    "alpha",
    "false_alarms_per_month",
    "score_alert",
    "importance_share",
    "labelled_rows_min",
    "performance_rows",
    "performance_days",
    "accuracy_drop_percent",
    "trend_floor_percent",
)
#: At most this part of a column's budget for each check beside the shape's, so that the shape always has some.
_SHARE_MAX = 0.24

Overrides = dict[str, dict[str, Any]]


def _parse_models(raw: Any) -> Overrides:
    """`[drift.models.<model>]` and `[drift.models.<model>.columns.<column>]`."""
    faults: list[str] = []
    found: Overrides = {}
    for model, table in _tables(raw, "models", faults):
        columns = _tables(table.get("columns", {}), f"models.{model}.columns", faults)
        found[model] = _values({key: table[key] for key in table if key != "columns"}, MODEL_KEYS, model, faults)
        found[model]["columns"] = {
            column: _values(keys, COLUMN_KEYS, f"{model}.columns.{column}", faults) for column, keys in columns
        }
    if faults:
        raise ValueError("; ".join(faults))
    return found


def _parse_columns(raw: Any) -> Overrides:
    """`[drift.columns.<column>]`."""
    faults: list[str] = []
    found = {
        column: _values(keys, COLUMN_KEYS, f"columns.{column}", faults)
        for column, keys in _tables(raw, "columns", faults)
    }
    if faults:
        raise ValueError("; ".join(faults))
    return found


def _tables(raw: Any, where: str, faults: list[str]) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(raw, dict):
        faults.append(f"{where} must be tables of the settings file, as in [drift.{where}.<name>]")
        return []
    faults.extend(f"{where}.{name} must be a table" for name, table in raw.items() if not isinstance(table, dict))
    return [(name, table) for name, table in raw.items() if isinstance(table, dict)]


def _values(table: dict[str, Any], keys: tuple[str, ...], where: str, faults: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, raw in table.items():
        if key not in keys:
            faults.append(f"{where}: unknown key {key!r}; known are {', '.join(keys)}")
            continue
        try:
            found[key] = convert(DriftSettings, key, raw)
        except ValueError as error:
            faults.append(f"{where}.{key}: {error}")
    return found


@dataclass(frozen=True)
class DriftSettings:
    """Section `[drift]`. Every key is recorded in each result under `config`."""

    section: typing.ClassVar[str] = "drift"

    alpha: float = setting(
        0.01, "chance of a false alarm of one ad hoc run, over all columns and answers", minimum=1e-9, maximum=0.5
    )
    false_alarms_per_month: float = setting(
        1.0, "false alarms per model and month that scheduled runs may raise", minimum=1e-3, maximum=1000
    )
    interval_seconds: float = setting(300.0, "time between scheduled runs; it divides the monthly budget", minimum=1)
    grace_seconds: float = setting(
        11.0,
        "a scheduled window ends this long before now; more than the 10 s that the gateway may take to append a row, "
        "so that none that is still being written falls behind the window",
        minimum=0,
    )
    reference: str = setting(
        "file",
        "what a window is compared with: 'file' (the registered one), a time range of the live log such as "
        "'2026-11-01T00:00:00Z/2026-11-08T00:00:00Z', 'rolling:7d' (the 7 days before the window), or 'season:4w' "
        "(the same hours of the same weekday in the 4 weeks before)",
    )
    minimum_rows: int = setting(
        50, "fewest values of a column that its shape, location and spread are judged on", minimum=20
    )
    psi_floor: float = setting(
        0.02, "PSI below which no shape counts as moved, however many rows there are", minimum=0, maximum=1
    )
    location_floor: float = setting(
        0.02,
        "move of a number that counts as none: by how much the chance that it exceeds one of the reference differs "
        "from a half; 0.02 is 0.07 standard deviations",
        minimum=1e-4,
        maximum=0.5,
    )
    spread_floor: float = setting(
        0.03, "change of a number's mean squared rank that counts as none; 0.03 is 8 % wider", minimum=1e-4, maximum=1
    )
    missing_floor: float = setting(
        0.01, "change of the share of missing values that counts as none", minimum=1e-4, maximum=1
    )
    novel_floor: float = setting(
        0.005, "share of values the reference never showed that counts as none", minimum=1e-4, maximum=1
    )
    location_share: float = setting(
        0.2, "part of a number's budget for its location; the shape has what is left", minimum=1e-3, maximum=_SHARE_MAX
    )
    spread_share: float = setting(0.05, "part of a number's budget for its spread", minimum=1e-3, maximum=_SHARE_MAX)
    missing_share: float = setting(
        0.05, "part of a column's budget for its missing values", minimum=1e-3, maximum=_SHARE_MAX
    )
    novel_share: float = setting(0.2, "part of a column's budget for novel values", minimum=1e-3, maximum=_SHARE_MAX)
    method: str = setting(
        "default",
        "how the shape of a column is compared: by the default rule, or by one of Evidently's methods (`psi`, "
        "`wasserstein`, `jensenshannon`, `ks`, `chisquare`)",
        choices=("default", "psi", "wasserstein", "jensenshannon", "ks", "chisquare"),
    )
    score_alert: float = setting(
        0.10, "line of the data set's drift score, the classic 0.1; it grades and does not decide", minimum=0.001
    )
    importance_share: float = setting(
        0.5, "part of the column weights that follows feature importance; the rest is equal", minimum=0, maximum=0.95
    )
    labelled_rows_min: int = setting(100, "fewest labelled rows that quality is judged on", minimum=10)
    performance_rows: int = setting(1000, "quality is measured on at most this many of the newest labelled rows")
    performance_days: float = setting(
        90.0,
        "how far before its end a run looks for that many labelled rows, where those that it compares are fewer",
        minimum=0,
    )
    accuracy_drop_percent: float = setting(
        5.0, "drop of quality, in percent of the baseline, that is tolerated", minimum=0, maximum=100
    )
    history_days: int = setting(90, "days that the history holds, today among them", minimum=15, maximum=3660)
    trend_floor_percent: float = setting(
        1.0,
        "fall of the 7-day quality, in percent of that of the 7 days before, that counts as none, however sure it is",
        minimum=0,
        maximum=100,
    )
    plot_sample_rows: int = setting(5000, "rows that the report's plots are drawn from, at most", minimum=100)
    plot_columns_max: int = setting(
        60, "columns and answers that the report's plots show, at most; those that moved most come first", minimum=1
    )
    explained_columns_max: int = setting(
        20, "columns that moved, and answers, of which a run says since when and in which rows, at most", minimum=0
    )
    seed: int = setting(20261120, "seed of every sample and bootstrap", minimum=0)
    columns: Overrides | None = setting(
        None, "tables `[drift.columns.<column>]`: other floors and shares for that column", parse=_parse_columns
    )
    models: Overrides | None = setting(
        None,
        "tables `[drift.models.<model>]` and `[drift.models.<model>.columns.<column>]`: other values for that model",
        parse=_parse_models,
    )

    def for_model(self, name: str) -> DriftSettings:
        """What holds for one model: the values of its own table, else those of all models."""
        own = dict((self.models or {}).get(name, {}))
        columns = dict(self.columns or {})
        for column, keys in own.pop("columns", {}).items():
            columns[column] = columns.get(column, {}) | keys
        return dataclasses.replace(self, models=None, columns=columns or None, **own)

    def for_column(self, name: str) -> dict[str, Any]:
        """The values of COLUMN_KEYS that hold for one column."""
        return {key: getattr(self, key) for key in COLUMN_KEYS} | (self.columns or {}).get(name, {})

    def unknown_columns(self, model: str, known: Iterable[str]) -> tuple[str, ...]:
        """Columns that the model's own table names and the model does not have."""
        named = (self.models or {}).get(model, {}).get("columns", {})
        return tuple(sorted(set(named) - set(known)))

    def run_budget(self, scheduled: bool) -> float:
        """The chance of a false alarm that one run may spend over everything it tests."""
        if not scheduled:
            return self.alpha
        return min(self.alpha, self.false_alarms_per_month * self.interval_seconds / MONTH_SECONDS)
