"""How many rows the window has, against the windows of the same length before it, by the log's own times."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from drift_engine.data_quality.findings import counted
from drift_engine.reading.live_log import LiveRows
from drift_engine.reading.parsing import moment
from drift_engine.results.schema import QualityFinding, Severity, Window

#: Fewer earlier windows show no usual number of rows; of more the newest 288 are used, a day of 5 minutes.
EARLIER_MIN, _EARLIER_MAX = 24, 288
#: So many robust standard deviations off the median, and ...
_DEVIATIONS = 6.0
#: ... less than this part of the smallest, or more than so many times the largest: traffic has its hours.
_BELOW, _ABOVE = 0.5, 2.0


def earlier_counts(live: LiveRows, window: Window) -> NDArray[np.int64]:
    """Rows of the windows of the same length before this one, newest first, back to the first row that was read.

    Whether nothing came before that row, or the gateway did not run, nobody knows.
    """
    start, length = moment(window.start), moment(window.end) - moment(window.start)
    before = live.times[~live.in_window]
    count = min(_EARLIER_MAX, (start - int(before[0])) // length) if len(before) else 0
    bounds = start - length * np.arange(count + 1)
    return -np.diff(np.searchsorted(before, bounds))


def volume_anomaly(live: LiveRows, window: Window) -> Iterator[QualityFinding]:
    """A finding when the window has far fewer or far more rows than any earlier one, of which there are enough."""
    earlier = earlier_counts(live, window)
    if len(earlier) < EARLIER_MIN:
        return
    rows, usual = int(live.in_window.sum()), float(np.median(earlier))
    deviation = 1.4826 * float(np.median(np.abs(earlier - usual)))
    # Independent requests alone make a spread of the root of their number.
    far = abs(rows - usual) > _DEVIATIONS * max(deviation, math.sqrt(usual), 1.0)
    smallest, largest = int(earlier.min()), int(earlier.max())
    if not far or _BELOW * smallest <= rows <= _ABOVE * largest:
        return
    severity: Severity = "high" if rows == 0 else "warning"
    before = f"the {len(earlier)} windows of this length before had {smallest:,} to {largest:,}, half of them under"
    sentence = f"{counted(rows, 'row')}; {before} {usual:,.0f}"
    yield QualityFinding("volume", "", rows, rows / usual if usual else 0.0, severity, sentence)
