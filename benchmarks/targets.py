"""By how much the gateway means to be faster than its peers, and whether it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.load import Load

#: Where requests per second and p99 are compared.
COMPARED_CONNECTIONS = 16
#: The gateway's p50 with one connection is under this share of a peer's.
P50_SHARE = 1 / 5


@dataclass(frozen=True)
class Measurement:
    """One load on one server.

    Attributes:
        rows: in each request.
        logged: rows that the prediction log gained meanwhile; None for a server that has no such log.
    """

    server: str
    rows: int
    load: Load
    logged: int | None = None

    @property
    def rows_per_second(self) -> float:
        """Answered rows per second."""
        return self.load.per_second * self.rows


def judged(times: float, gateway: Sequence[Measurement], peer: Sequence[Measurement]) -> Iterator[dict[str, Any]]:
    """The targets against one peer, as rows of a table; those whose load was not measured are left out.

    Args:
        times: the gateway's requests per second, divided by the peer's, are to be at least this.
    """
    for ours, theirs in _pairs(gateway, peer):
        connections = theirs.load.connections
        if theirs.rows > 1:
            yield _batches(ours, theirs, "rows/s in batches, gateway / peer")
            continue
        if connections == 1:
            ratio = ours.load.p50_ms / theirs.load.p50_ms
            yield _target(theirs, "p50 at 1 connection, gateway / peer", "<", P50_SHARE, ratio)
        if connections == COMPARED_CONNECTIONS:
            ratio = ours.load.per_second / theirs.load.per_second
            yield _target(theirs, f"requests/s at {connections} connections, gateway / peer", ">=", times, ratio)
            ratio = ours.load.p99_ms / theirs.load.p99_ms
            yield _target(theirs, f"p99 at {connections} connections, gateway / peer", "<", 1, ratio)


def judged_in_tensors(gateway: Sequence[Measurement], peer: Sequence[Measurement]) -> Iterator[dict[str, Any]]:
    """The target of batches against a peer that is asked in tensors, with the gateway asked in the same way."""
    for ours, theirs in _pairs(gateway, peer):
        if theirs.rows > 1:
            yield _batches(ours, theirs, "rows/s in batches, both asked in V2 tensors, gateway / peer")


def _batches(ours: Measurement, theirs: Measurement, what: str) -> dict[str, Any]:
    return _target(theirs, what, ">=", 1, ours.rows_per_second / theirs.rows_per_second)


def _pairs(gateway: Sequence[Measurement], peer: Sequence[Measurement]) -> Iterator[tuple[Measurement, Measurement]]:
    same = {(ours.rows, ours.load.connections): ours for ours in gateway}
    for theirs in peer:
        ours = same.get((theirs.rows, theirs.load.connections))
        # Of a server that answered nothing there is no ratio; its row in the table shows that.
        if ours is not None and theirs.load.answered:
            yield ours, theirs


def _target(peer: Measurement, what: str, sign: str, bound: float, found: float) -> dict[str, Any]:
    met = found >= bound if sign == ">=" else found < bound
    return {
        "peer": peer.server,
        "what": what,
        "target": f"{sign} {bound:g}",
        "found": found,
        "met": "yes" if met else "NO",
    }
