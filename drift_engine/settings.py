"""Settings of a drift run: section `[drift]`."""

from __future__ import annotations

import typing
from dataclasses import dataclass

from gateway.settings import setting

#: Seconds of the month that the false-alarm budget of scheduled runs speaks of.
MONTH_SECONDS = 30 * 24 * 3600


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
    minimum_rows: int = setting(50, "fewest values of a column that its shape is judged on", minimum=20)
    psi_floor: float = setting(
        0.02, "PSI below which no shape counts as moved, however many rows there are", minimum=0, maximum=1
    )
    score_alert: float = setting(
        0.10, "line of the data set's drift score, the classic 0.1; it grades and does not decide", minimum=0.001
    )
    importance_share: float = setting(
        0.5, "part of the column weights that follows feature importance; the rest is equal", minimum=0, maximum=0.95
    )
    labelled_rows_min: int = setting(100, "fewest labelled rows that quality is judged on", minimum=10)
    performance_rows: int = setting(1000, "quality is measured on at most this many of the newest labelled rows")
    performance_hours: float = setting(
        24.0, "how far before its end a scheduled run looks for labelled rows, when its window is shorter", minimum=0
    )
    accuracy_drop_percent: float = setting(
        5.0, "drop of quality, in percent of the baseline, that is tolerated", minimum=0, maximum=100
    )
    plot_sample_rows: int = setting(5000, "rows that the report's plots are drawn from, at most", minimum=100)
    plot_columns_max: int = setting(
        60, "columns and answers that the report's plots show, at most; those that moved most come first", minimum=1
    )
    seed: int = setting(20261120, "seed of every sample and bootstrap", minimum=0)

    def run_budget(self, scheduled: bool) -> float:
        """The chance of a false alarm that one run may spend over everything it tests."""
        if not scheduled:
            return self.alpha
        return min(self.alpha, self.false_alarms_per_month * self.interval_seconds / MONTH_SECONDS)
