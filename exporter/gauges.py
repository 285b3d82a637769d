"""Gauge families under construction: what the modules that know a kind of figure fill."""

from __future__ import annotations

from prometheus_client.core import GaugeMetricFamily


class Gauges:
    """Gauge families under construction; the first value of a series counts, and None is no value."""

    def __init__(self) -> None:
        self._families: dict[str, GaugeMetricFamily] = {}
        self._seen: set[tuple[str, tuple[str, ...]]] = set()

    def add(self, name: str, about: str, labels: dict[str, str], value: float | bool | None) -> None:
        """Add one sample. A repeated series is left out: two values of one series would spoil the scrape."""
        key = (name, tuple(labels.values()))
        if value is None or key in self._seen:
            return
        self._seen.add(key)
        family = self._families.setdefault(name, GaugeMetricFamily(name, about, labels=list(labels)))
        family.add_metric(list(labels.values()), float(value))

    def families(self) -> list[GaugeMetricFamily]:
        """All families, sorted by name."""
        return [self._families[name] for name in sorted(self._families)]
