"""By how much the gateway means to be faster than its peers, and whether it was."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
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


@dataclass(frozen=True)
class Round:
    """The same load on the gateway and on another server, one right after the other."""

    ours: Measurement
    theirs: Measurement


#: A figure of the gateway in a round, divided by the other server's.
Ratio = Callable[[Round], float]


def requests_ratio(found: Round) -> float:
    """Of requests, and so of rows, per second."""
    return found.ours.load.per_second / found.theirs.load.per_second


def _p50_ratio(found: Round) -> float:
    return found.ours.load.p50_ms / found.theirs.load.p50_ms


def _p99_ratio(found: Round) -> float:
    return found.ours.load.p99_ms / found.theirs.load.p99_ms


def ratios(rounds: Sequence[Round], ratio: Ratio) -> list[float]:
    """Ascending. A round in which the other server answered nothing has none: its row in the table shows that."""
    return sorted(ratio(found) for found in rounds if found.theirs.load.answered)


def judged(times: float, rounds: Sequence[Round]) -> Iterator[dict[str, Any]]:
    """The targets against one peer, as rows of a table; those whose load was not measured are left out.

    Args:
        times: the gateway's requests per second, divided by the peer's, are to be at least this.
        rounds: of all loads, with this peer.
    """
    at_compared = f"at {COMPARED_CONNECTIONS} connections, gateway / peer"
    yield from _target(_singles(rounds, 1), "p50 at 1 connection, gateway / peer", "<", P50_SHARE, _p50_ratio)
    singles = _singles(rounds, COMPARED_CONNECTIONS)
    yield from _target(singles, f"requests/s {at_compared}", ">=", times, requests_ratio)
    yield from _target(singles, f"p99 {at_compared}", "<", 1, _p99_ratio)
    yield from _target(_batches(rounds), "rows/s in batches, gateway / peer", ">=", 1, requests_ratio)


def judged_in_tensors(rounds: Sequence[Round]) -> Iterator[dict[str, Any]]:
    """The target of batches against a peer that is asked in tensors, with the gateway asked in the same way."""
    what = "rows/s in batches, both asked in V2 tensors, gateway / peer"
    yield from _target(_batches(rounds), what, ">=", 1, requests_ratio)


def _singles(rounds: Sequence[Round], connections: int) -> list[Round]:
    return [found for found in rounds if found.theirs.rows == 1 and found.theirs.load.connections == connections]


def _batches(rounds: Sequence[Round]) -> list[Round]:
    return [found for found in rounds if found.theirs.rows > 1]


def _target(rounds: Sequence[Round], what: str, sign: str, bound: float, ratio: Ratio) -> Iterator[dict[str, Any]]:
    each = ratios(rounds, ratio)
    if not each:
        return
    found = statistics.median(each)
    met = found >= bound if sign == ">=" else found < bound
    yield {
        "peer": rounds[0].theirs.server,
        "what": what,
        "target": f"{sign} {bound:g}",
        "found": found,
        "lowest": each[0],
        "highest": each[-1],
        "met": "yes" if met else "NO",
    }
