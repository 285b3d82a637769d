"""The simulated months judge with the engine's own rule: what is fast about them leaves no alarm out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import verdict_months
from benchmarks.verdict_streams import KINDS, clustered, draw_counts, draw_stream, independent, rolling, suspects
from drift_engine.findings import rule_of
from drift_engine.settings import DriftSettings
from drift_engine.statistics.checks import check_column
from drift_engine.statistics.summaries import LevelSummary, NumberSummary

#: Loose: at the budget of a month nothing would alarm in so few runs.
ALPHA = 1e-3


@pytest.mark.parametrize("kind", range(len(KINDS)))
@pytest.mark.parametrize("sessions", [False, True])
def test_the_screen_lets_every_alarm_through(kind: int, sessions: bool) -> None:
    """All of 600 runs are judged by the rule, shifted ones among them; each that it calls drift was a suspect."""
    rng = np.random.default_rng([kind, sessions])
    stream = draw_stream(rng, KINDS[kind], 3000, clustered if sessions else independent, 200)
    shift = 0.8 if sessions else 0.3
    drawn = [draw_counts(rng, stream, 300, 200, sessions=sessions, shift=part) for part in (0.0, shift)]
    counts, missing = (np.concatenate([pair[place] for pair in drawn]) for place in (0, 1))
    settings = replace(DriftSettings(), psi_floor=0.0)
    rule = replace(rule_of("any", ALPHA, settings), clustering=stream.clustering)
    alarms = set()
    for run in range(len(counts)):
        _, checks = check_column(stream.reference, stream.window(counts[run], int(missing[run])), rule)
        if any(check.detected for check in checks):
            alarms.add(run)
    assert alarms
    assert alarms <= set(suspects(stream, counts, missing).tolist())


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_drawn_counts_are_distributed_like_counted_rows(kind: int) -> None:
    """The reference's own draw, counted in the stream's cells, has the shares that windows are drawn with."""
    rng = np.random.default_rng(kind)
    stream = draw_stream(rng, KINDS[kind], 200_000, independent, 1000)
    counts, _ = draw_counts(rng, stream, 100, 2000, sessions=False)
    summary = stream.window(counts.sum(axis=0), 0)
    if isinstance(summary, NumberSummary):
        assert isinstance(stream.reference, NumberSummary)
        found, expected = summary.counts, stream.reference.counts
    else:
        assert isinstance(summary, LevelSummary)
        assert isinstance(stream.reference, LevelSummary)
        found, expected = (
            np.array([side.counts.get(f"level {number}", 0) for number in range(8)])
            for side in (summary, stream.reference)
        )
    assert np.allclose(found / found.sum(), expected / expected.sum(), atol=0.006)


def test_longer_scales_are_sums_of_intervals() -> None:
    """Of the newest so many."""
    counts = np.arange(10).reshape(5, 2)
    assert rolling(counts, 2).tolist() == [[2, 4], [6, 8], [10, 12], [14, 16]]
    assert rolling(counts, 1).tolist() == counts.tolist()


def test_an_onset_is_a_run_that_says_drift_after_one_that_did_not() -> None:
    """An alarm that lasts is one."""
    assert verdict_months._onsets(np.array([True, True, False, True, True, False, True])) == 2
