"""Retention of reports: pages of old runs go, their figures stay. Off unless `[log] reports_days` is set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from drift_engine.results.store import ResultError, ResultStore, RunPlace
from gateway.files import fsync_dir

_DAY_SECONDS = 86400.0


@dataclass(frozen=True)
class ExpiredReports:
    """The runs whose page was deleted, oldest first, and how many bytes that freed."""

    runs: tuple[RunPlace, ...]
    freed_bytes: int


def expire_reports(store: ResultStore, days: float, now: float) -> ExpiredReports:
    """Delete the `report.html` of runs that started more than `days` before `now` (seconds since the epoch).

    `result.json` stays, so history and figures are complete. The runs that `latest.json` names keep their page;
    where it cannot be read, every run of that version does. Raises OSError.
    """
    gone = []
    freed = 0
    latest: dict[tuple[str, str], set[str | None] | None] = {}
    for place in reversed(store.runs()):
        version = place.model_name, place.model_version
        if version not in latest:
            latest[version] = _latest_runs(store, place)
        kept = latest[version]
        started = _started(place.run_id)
        page = place.folder / "report.html"
        if kept is None or place.run_id in kept or started is None or started >= now - days * _DAY_SECONDS:
            continue
        try:
            size = page.stat().st_size
            page.unlink()
        except FileNotFoundError:
            continue
        fsync_dir(place.folder)
        gone.append(place)
        freed += size
    return ExpiredReports(tuple(gone), freed)


def _latest_runs(store: ResultStore, place: RunPlace) -> set[str | None] | None:
    """The runs that the pointer of `place`'s version names; None when there is no readable pointer."""
    try:
        latest = store.latest(place.model_name, place.model_version)
    except ResultError:
        return None
    return None if latest is None else {latest.run_id, latest.last_ok_run_id}


def _started(run_id: str) -> float | None:
    """When a run started, by its id; None for a folder that is not named like a run."""
    try:
        return datetime.strptime(run_id.partition("-")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
