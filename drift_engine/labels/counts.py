"""What the labels of some predictions came to: the newest one of each, and the figures that a result shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from drift_engine.labels.join import Joined, Positions
from drift_engine.reading.collector import picked
from drift_engine.reading.parsing import moment
from drift_engine.results.quality import LabelCounts, Quantiles
from drift_engine.table import Column, Floats, number_column, text_column
from gateway.clock import utc_text


@dataclass(frozen=True)
class Matched:
    """Labels and the predictions that they are for.

    Attributes:
        joined: which label is whose.
        times: shape (predictions,), when they were made; `received`: shape (labels,); microseconds since the epoch.
        label: shape (labels,), the values.
        elsewhere: labels of the window that name none of the predictions.
    """

    joined: Joined
    times: Positions
    label: pa.ChunkedArray
    received: Positions
    elsewhere: int

    @property
    def predictions(self) -> int:
        """How many predictions there are."""
        return len(self.times)

    @property
    def labelled(self) -> int:
        """How many of them have a label."""
        return int(np.count_nonzero(self.joined.newest >= 0))

    def newest(self, order: Positions, *, is_number: bool) -> Column:
        """The newest label of each prediction, in the given order; missing where there is none."""
        column = number_column(self.label) if is_number else text_column(self.label)
        return picked(column, self.joined.newest[order])

    def newest_received(self, order: Positions) -> Positions:
        """When the newest label of each prediction was received, in the given order; -1 where there is none."""
        return np.append(self.received, -1)[self.joined.newest[order]]

    def counts(self, since: str, end: str, predictions: int) -> LabelCounts:
        """The figures of all `predictions` that were looked at, those that no label could name among them.

        Args:
            since: they are those from then on; `end`: of the window; RFC 3339 in UTC.
        """
        found = self.joined.newest[self.joined.newest >= 0]
        received = self.received[found]
        newest = int(received.max(initial=0))
        return LabelCounts(
            since=since,
            predictions=predictions,
            labelled=len(found),
            coverage=len(found) / predictions if predictions else None,
            received=int(np.count_nonzero(self.joined.named)),
            repeated=self.joined.repeated,
            corrected=self.joined.corrected,
            elsewhere=self.elsewhere,
            orphaned=None,
            delay_seconds=_quantiles((received - self.times[self.joined.newest >= 0]) / 1e6),
            newest_received_at=utc_text(newest / 1e6) if len(found) else None,
            newest_age_seconds=(moment(end) - newest) / 1e6 if len(found) else None,
        )


def _quantiles(seconds: Floats) -> Quantiles | None:
    if len(seconds) == 0:
        return None
    return Quantiles(*(float(value) for value in np.quantile(seconds, (0.0, 0.5, 0.9, 0.99, 1.0))))
