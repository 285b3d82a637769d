"""Addresses of reports, None where there is none to open: old ones are thinned out, the figures stay."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from flask import url_for

from drift_engine.results import ResultStore
from gateway.registry import ModelCard, RegistryError


@dataclass(frozen=True)
class _Told:
    """Of a model report what says which artifact it is about."""

    artifact_sha256: str


@dataclass(frozen=True)
class Links:
    """Links into one `reports` folder."""

    store: ResultStore

    def report(self, name: str, version: str, run_id: str) -> str | None:
        """The report of a run."""
        return self._link(name, version, run_id, "report.html")

    def model_report(self, card: ModelCard) -> str | None:
        """What a candidate was fitted on, and how it compares with the version before.

        A retraining that was stopped leaves a report of a version that never was, and another may have its number.
        """
        name, version = card.name, card.version
        try:
            folder = self.store.folder(name, version)
            told = msgspec.json.decode((folder / "model_report.json").read_bytes(), type=_Told)
            if told.artifact_sha256 != card.artifact.record.sha256 or not (folder / "model_report.html").is_file():
                return None
        except (OSError, RegistryError, ValueError, RecursionError):
            return None
        return url_for("model_report", name=name, version=version, file="model_report.html")

    def newest_replay(self, name: str, version: str) -> str | None:
        """Where the version's answers differ from those that were logged, as the newest replay found it."""
        try:
            found = (self.store.folder(name, version) / "replays").glob("*/replay.html")
            # Ids begin with their UTC time.
            newest = max((path.parent.name for path in found), default=None)
        except (OSError, RegistryError):
            return None
        if newest is None:
            return None
        return url_for("replay", name=name, version=version, replay_id=newest, file="replay.html")

    def _link(self, name: str, version: str, run_id: str, file: str) -> str | None:
        try:
            if not (self.store.folder(name, version) / run_id / file).is_file():
                return None
        except (OSError, RegistryError, ValueError):
            return None
        return url_for("report", name=name, version=version, run_id=run_id, file=file)
