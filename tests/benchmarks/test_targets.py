"""What counts as fast enough."""

from __future__ import annotations

import pytest

from benchmarks.load import Load
from benchmarks.targets import Measurement, Round, judged, judged_in_tensors


def measured(server: str, rows: int, connections: int, per_second: int, p50_ms: float, p99_ms: float) -> Measurement:
    """A load of ten seconds."""
    return Measurement(server, rows, Load("wrk", connections, 10.0, 10 * per_second, 0, 0, p50_ms, p99_ms))


GATEWAY = [
    measured("gateway", 1, 1, 1000, 1.0, 2.0),
    measured("gateway", 1, 16, 6000, 2.0, 5.0),
    measured("gateway", 1, 64, 7000, 9.0, 20.0),
    measured("gateway", 1000, 8, 20, 300.0, 500.0),
]


def rounds(*peer: Measurement) -> list[Round]:
    """Each with the gateway's measurement of the same load."""
    same = {(ours.rows, ours.load.connections): ours for ours in GATEWAY}
    return [Round(same[theirs.rows, theirs.load.connections], theirs) for theirs in peer]


def test_each_load_has_its_target() -> None:
    """p50 at one connection, requests and p99 at sixteen, rows in batches; none at 64, which is for the table."""
    found = rounds(
        measured("peer", 1, 1, 100, 5.1, 9.0),
        measured("peer", 1, 16, 1000, 9.0, 5.1),
        measured("peer", 1, 64, 1000, 70.0, 10.0),
        measured("peer", 1000, 8, 20, 300.0, 500.0),
    )
    targets = list(judged(6, found))
    assert [target["met"] for target in targets] == ["yes"] * 4
    assert [target["found"] for target in targets] == pytest.approx([1 / 5.1, 6, 5 / 5.1, 1])
    assert [target["met"] for target in judged(6.1, found)] == ["yes", "NO", "yes", "yes"]


def test_bounds_that_are_not_reached_show() -> None:
    """Exactly a fifth is not under a fifth, an equal p99 is not lower, fewer rows are not as many."""
    found = rounds(
        measured("peer", 1, 1, 100, 5.0, 9.0),
        measured("peer", 1, 16, 1000, 9.0, 5.0),
        measured("peer", 1000, 8, 21, 300.0, 500.0),
    )
    assert [target["met"] for target in judged(6, found)] == ["NO", "yes", "NO", "NO"]


def test_the_median_of_the_rounds_counts() -> None:
    """One round that went well, or badly, does not decide; what each came to is said."""
    found = rounds(*(measured("peer", 1000, 8, per_second, 300.0, 500.0) for per_second in (10, 25, 16)))
    (target,) = judged(6, found)
    assert (target["lowest"], target["found"], target["highest"]) == pytest.approx((0.8, 1.25, 2.0))
    assert target["met"] == "yes"


def test_a_server_that_answered_nothing_is_not_beaten() -> None:
    """There is no ratio to nothing: the table shows its refusals instead."""
    nothing = measured("peer", 1, 16, 0, float("nan"), float("nan"))
    assert list(judged(6, rounds(nothing))) == []
    targets = list(judged(6, rounds(nothing, measured("peer", 1, 16, 1000, 9.0, 5.1))))
    assert [target["found"] for target in targets] == pytest.approx([6, 5 / 5.1])


def test_in_tensors_only_batches_are_judged() -> None:
    """Single rows have their targets already."""
    found = rounds(measured("peer", 1, 16, 1000, 9.0, 5.1), measured("peer", 1000, 8, 25, 300.0, 500.0))
    (target,) = judged_in_tensors(found)
    assert (target["found"], target["met"]) == (pytest.approx(0.8), "NO")
