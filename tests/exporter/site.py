"""An installation's folders for exporter tests, and what a client sees of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from drift_engine.results import Result
from exporter.app import create_app
from exporter.collector import exposition
from exporter.settings import ExporterSettings
from exporter.sources import Sources
from gateway.registry import Metric, Registry, Serving, card
from gateway.settings import Paths
from tests import results
from tests.gateway import cards


@dataclass(frozen=True)
class Site:
    """The folders of one installation."""

    paths: Paths

    @staticmethod
    def at(folder: Path) -> Site:
        """An empty installation under `folder`."""
        paths = Paths(
            data=folder / "data", models=folder / "models", reports=folder / "reports", metrics=folder / "metrics"
        )
        return Site(paths)

    def commit(self, run: Result, html: bytes = b"<!doctype html><title>report</title>") -> Path:
        """Commit a run as the drift engine does."""
        return results.commit(self.paths.reports, run, html)

    def home(self, name: str = "fraud", version: str = "1") -> Path:
        """The results folder of one model version."""
        return self.paths.reports / name / version

    def serve(self, baseline: tuple[Metric, ...] = (), **versions: str) -> None:
        """Register `name=version` pairs and let each of them serve."""
        registry = Registry(self.paths.models, self.paths.reference)
        for name, version in versions.items():
            folder = registry.folder(name, version)
            folder.mkdir(parents=True, exist_ok=True)
            made = cards.card(name=name, version=version, baseline=baseline)
            (folder / "model.json").write_bytes(card.encode(made))
        registry.set_serving(Serving(next(iter(versions), None), versions))

    def sources(self) -> Sources:
        """Sources as one exporter process has them."""
        return Sources(self.paths)

    def client(self, now: float = results.NOON + 60) -> FlaskClient:
        """A client of a new application whose clock stands at `now`."""
        return create_app(self.paths, ExporterSettings(), lambda: now).test_client()


class Scrape:
    """One scrape, parsed by Prometheus's own rules."""

    def __init__(self, sources: Sources) -> None:
        self.text = exposition(sources, "")[0].decode()
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(self.text):
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self.samples, f"{key} appears twice"
                self.samples[key] = sample.value

    def get(self, name: str, model: str = "fraud", version: str = "1", **labels: str) -> float | None:
        """The value of a series of one model version, None where it is absent."""
        return self.of(name, model_name=model, model_version=version, **labels)

    def of(self, name: str, **labels: str) -> float | None:
        """The value of any series."""
        return self.samples.get((name, frozenset(labels.items())))

    def names(self, model: str = "fraud", version: str = "1") -> set[str]:
        """The names of all series of one model version."""
        wanted = {("model_name", model), ("model_version", version)}
        return {name for name, labels in self.samples if wanted <= labels}
