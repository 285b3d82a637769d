"""Where a run's live rows come from: the logs as they are now, or the bytes that an earlier run recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from drift_engine.labels.look_back import Wanted
from drift_engine.reading.columnar import ColumnCache
from drift_engine.reading.live_log import LiveRows, Progress, Span, SpanRows, read_live, read_spans
from drift_engine.reading.refusals import Refusals, read_refusals
from drift_engine.results.schema import InputFile
from gateway.registry import ModelCard
from gateway.settings import Paths


class Source(Protocol):
    """Reads the logs of a model version."""

    def live(
        self,
        card: ModelCard,
        *,
        span_start: str,
        window_start: str,
        end: str,
        wanted: Wanted | None = None,
        progress: Progress = ...,
    ) -> LiveRows:
        """The predictions with span_start <= timestamp < end, and their labels. See `read_live`."""

    def refusals(self, card: ModelCard, *, start: str, end: str) -> Refusals:
        """What was refused with start <= until < end. See `read_refusals`."""

    def reference(self, card: ModelCard, spans: Sequence[Span]) -> SpanRows:
        """The predictions of the spans that a reference consists of."""


@dataclass(frozen=True)
class Logs:
    """The logs as they are now; or what a run recorded: of each file as many bytes as it read, and no other file.

    Attributes:
        recorded, recorded_reference: the inputs of the run to repeat; None for the logs as they are.
    """

    paths: Paths
    recorded: tuple[InputFile, ...] | None = None
    recorded_reference: tuple[InputFile, ...] | None = None

    @property
    def _cache(self) -> ColumnCache:
        return ColumnCache(self.paths.state / "columns")

    def live(
        self,
        card: ModelCard,
        *,
        span_start: str,
        window_start: str,
        end: str,
        wanted: Wanted | None = None,
        progress: Progress = lambda *_: None,
    ) -> LiveRows:
        """See Source. Raises InputGone."""
        return read_live(
            self.paths.live,
            card,
            cache=self._cache,
            span_start=span_start,
            window_start=window_start,
            end=end,
            wanted=wanted,
            recorded=self.recorded,
            progress=progress,
        )

    def refusals(self, card: ModelCard, *, start: str, end: str) -> Refusals:
        """See Source. Raises InputGone."""
        return read_refusals(self.paths.live, card, cache=self._cache, start=start, end=end, recorded=self.recorded)

    def reference(self, card: ModelCard, spans: Sequence[Span]) -> SpanRows:
        """See Source. Raises InputGone."""
        return read_spans(self.paths.live, card, spans, cache=self._cache, recorded=self.recorded_reference)
