"""Where a run's live rows come from: the logs as they are now, or the bytes that an earlier run recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from drift_engine.labels.look_back import Wanted
from drift_engine.reading.columnar import ColumnCache
from drift_engine.reading.live_log import LiveRows, Progress, Span, SpanRows, read_live, read_spans
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

    def reference(self, card: ModelCard, spans: Sequence[Span]) -> SpanRows:
        """The predictions of the spans that a reference consists of."""


@dataclass(frozen=True)
class Logs:
    """The logs as they are now."""

    paths: Paths

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
        """See Source."""
        return read_live(
            self.paths.live,
            card,
            cache=self._cache,
            span_start=span_start,
            window_start=window_start,
            end=end,
            wanted=wanted,
            progress=progress,
        )

    def reference(self, card: ModelCard, spans: Sequence[Span]) -> SpanRows:
        """See Source."""
        return read_spans(self.paths.live, card, spans, cache=self._cache)


@dataclass(frozen=True)
class RecordedLogs:
    """The prefixes that a run recorded: of each file as many bytes as it read, and no other file."""

    paths: Paths
    inputs: tuple[InputFile, ...]
    reference_inputs: tuple[InputFile, ...]

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
            cache=ColumnCache(self.paths.state / "columns"),
            span_start=span_start,
            window_start=window_start,
            end=end,
            wanted=wanted,
            recorded=self.inputs,
            progress=progress,
        )

    def reference(self, card: ModelCard, spans: Sequence[Span]) -> SpanRows:
        """See Source. Raises InputGone."""
        cache = ColumnCache(self.paths.state / "columns")
        return read_spans(self.paths.live, card, spans, cache=cache, recorded=self.reference_inputs)
