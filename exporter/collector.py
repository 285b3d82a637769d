"""The scrape: everything that Prometheus gets, gathered from the sources at the moment it asks."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from exporter.families import log_gauges, model_gauges
from exporter.sources import Sources
from gateway.heartbeat import Heartbeat


class SentinelCollector(Collector):
    """All metric families of this installation; nothing is kept between scrapes but the sources' caches."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterable[Metric]:
        """Read all sources. Never raises for a broken file: that is counted, and the last good answer given."""
        yield from model_gauges(self._sources.models())
        yield from self._sources.gateway_families()
        yield _heartbeats(self._sources.heartbeats())
        yield from log_gauges(self._sources.log(), self._sources.log_commands(), self._sources.log_disk_used_ratio())
        # Last, so that the failures of this very scrape are in it.
        errors = CounterMetricFamily("sentinel_exporter_errors", "Readings of a source that failed", labels=["source"])
        for source, count in self._sources.errors().items():
            errors.add_metric([source], count)
        yield errors


def exposition(sources: Sources, accept: str) -> tuple[bytes, str]:
    """The body of `/metrics` and its content type, in the newest text format that `accept` names."""
    registry = CollectorRegistry()
    registry.register(SentinelCollector(sources))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _heartbeats(beats: dict[str, Heartbeat]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "sentinel_heartbeat_timestamp_seconds",
        "When a process last said that it is alive; absent once it has stopped on purpose",
        labels=["process"],
    )
    for process, beat in sorted(beats.items()):
        family.add_metric([process], beat.beat_at)
    return family
