"""Concept drift on real files, replayed in time order through real logs, with labels that come days later."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.concept_files import Find, replay, streams
from drift_engine.results.days import DayStore


@pytest.mark.parametrize(("name", "found"), [("elec2", True), ("bank", True), ("fdh", False)])
def test_concept_drift_is_found_where_it_is_and_only_there(
    shared_data: Find, tmp_path: Path, name: str, found: bool
) -> None:
    """Looked at on every tenth day: in elec2 and bank after the world changed, never in fdh's clean months."""
    stream = streams(shared_data)[name]
    evenings = list(replay(stream, tmp_path, every=10))
    changed = stream.changed_on or 0
    verdicts = {evening.day: evening.result.concept_drift for evening in evenings}
    assert any(verdict.detected for day, verdict in verdicts.items() if day >= changed) == found
    assert sum(verdict.detected is not None for verdict in verdicts.values()) >= 2
    assert all(evening.result.diagnosis for evening in evenings)
    trends = [verdict.trend for verdict in verdicts.values() if verdict.trend is not None]
    assert any(trend.declining is not None for trend in trends)
    if not found:
        assert not any(trend.declining for trend in trends)
    days = DayStore(tmp_path / "reports").days(name, "1")
    assert len(days) == len(stream.days)
