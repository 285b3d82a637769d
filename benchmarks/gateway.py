"""Requests per second and latency of the gateway beside other ways to serve the same model.

Each other server gets every load in turn with the gateway, a few seconds each, several times: a shared machine is not
equally fast at any time, and what counts is the median of the ratios of such rounds. Every answer that a load received
must be in the prediction log, and a thousand further answers are compared with it one by one; the benchmark fails when
one is not there. A peer is measured when it can be installed and answers what scikit-learn answers.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.comparison import (
    BATCH_CONNECTIONS,
    BATCH_ROWS,
    SINGLES,
    Contestant,
    Loads,
    Work,
    WrongAnswer,
    check_answers,
    prepare,
)
from benchmarks.load import collect_answers
from benchmarks.peers.catalogue import OBJECTS, PEERS, TENSORS, Dialect, Peer
from benchmarks.peers.installation import NotInstalled, python_of, versions
from benchmarks.recorded import Recorded
from benchmarks.servers import NotStarted, bare_flask, gateway, peer
from benchmarks.targets import Measurement, Round, judged, judged_in_tensors, ratios, requests_ratio
from gateway.settings import GatewaySettings

CHECKED_ANSWERS = 1_000
#: The one that is compared; the promise that it keeps is the default.
THE_GATEWAY = "gateway, durability power"
IN_TENSORS = f"{THE_GATEWAY}, V2 tensors"


@dataclass
class Findings:
    """What was found. `faults` break the gateway's promise; `notes` say what else a reader must know."""

    rounds: list[Round] = field(default_factory=list)
    targets: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, rounds: Iterator[Round]) -> list[Round]:
        """Measure and keep them, with the faults that they show; returns them."""
        found = list(rounds)
        self.rounds += found
        for measured in _measurements(found):
            self.faults += _unaccounted(measured)
        return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write `.cache/bench/gateway.json`. 1 when an answer is missing from the log."""
    options = _parser().parse_args(arguments)
    findings = Findings()
    pythons = _installed([known for known in PEERS if known.name in options.peers], findings)
    with report.scratch_folder() as scratch:
        print("training and registering the demo's random forest ...", flush=True)
        work = prepare(scratch)
        loads = Loads(scratch, options.connections, options.rounds, options.seconds)
        _compare_modes(work, loads, findings)
        _compare_ceiling(work, loads, findings)
        for chosen, python in pythons.items():
            _compare_peer(chosen, python, work, loads, findings)
    _publish(findings, list(pythons), loads)
    return 1 if findings.faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each load (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="of each server in a round (default: %(default)s)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64], help="(default: 1 16 64)")
    names = [known.name for known in PEERS]
    parser.add_argument(
        "--peers",
        nargs="*",
        choices=names,
        default=names,
        metavar="PEER",
        help=f"any of {', '.join(names)} (default: all); none with nothing behind it",
    )
    return parser


def _installed(wanted: Sequence[Peer], findings: Findings) -> dict[Peer, Path]:
    """The interpreter of each peer that can be had."""
    pythons = {}
    for chosen in wanted:
        try:
            pythons[chosen] = Path(sys.executable) if chosen.environment is None else python_of(chosen.environment)
        except NotInstalled as error:
            findings.notes.append(f"{chosen.title} was not measured, it cannot be installed here: {error}")
    return pythons


@contextlib.contextmanager
def _our_gateway(durability: str, work: Work, scratch: Path, findings: Findings) -> Iterator[Contestant]:
    """The gateway with a log of its own, in which answers are looked up afterwards."""
    with tempfile.TemporaryDirectory(prefix="gateway-", dir=scratch) as folder:
        place = Path(folder)
        for part in ("models", "data"):
            shutil.copytree(scratch / part, place / part)
        recorded = Recorded(work.card, place / "data" / "live")
        with gateway(place, durability=durability) as server:
            check_answers(server.url, OBJECTS, work)
            yield Contestant(f"gateway, durability {durability}", server.url, OBJECTS, recorded)
            findings.faults += _missing_answers(server.url, work, recorded)


def _in_tensors(ours: Contestant, work: Work) -> Contestant:
    check_answers(ours.url, TENSORS, work)
    return replace(ours, title=IN_TENSORS, dialect=TENSORS)


def _compare_modes(work: Work, loads: Loads, findings: Findings) -> None:
    """What the other dialect and the sync to the disk cost; there is nothing to judge."""
    with _our_gateway("power", work, loads.scratch, findings) as ours:
        tensors = _in_tensors(ours, work)
        findings.add(loads.singles(ours, tensors, work))
        findings.add(loads.batches(ours, tensors, work))
        with _our_gateway("process", work, loads.scratch, findings) as process:
            findings.add(loads.singles(ours, process, work))
            findings.add(loads.batches(ours, process, work))


def _compare_ceiling(work: Work, loads: Loads, findings: Findings) -> None:
    """What Flask itself leaves room for; there is nothing to judge."""
    constant = Dialect("/bare", "/bare", OBJECTS.one, OBJECTS.many, OBJECTS.probabilities)
    with _our_gateway("power", work, loads.scratch, findings) as ours, bare_flask(loads.scratch) as server:
        findings.add(loads.singles(ours, Contestant("bare Flask, constant answer", server.url, constant), work))


def _compare_peer(chosen: Peer, python: Path, work: Work, loads: Loads, findings: Findings) -> None:
    dialect = chosen.dialect
    first_body = dialect.one_body(work.singles[0])
    tensors: list[Round] = []
    try:
        with (
            peer(loads.scratch, chosen, python, work.model, first_body) as server,
            _our_gateway("power", work, loads.scratch, findings) as ours,
        ):
            check_answers(server.url, dialect, work)
            theirs = Contestant(chosen.title, server.url, dialect)
            rounds = findings.add(loads.singles(ours, theirs, work))
            rounds += findings.add(loads.batches(ours, theirs, work))
            if dialect.is_tensors:
                tensors = findings.add(loads.batches(_in_tensors(ours, work), theirs, work))
    except (NotStarted, WrongAnswer) as error:
        findings.notes.append(f"{chosen.title} was not measured: {error}")
        return
    if chosen.times is not None:
        findings.targets += judged(chosen.times, rounds)
    findings.targets += judged_in_tensors(tensors)


def _unaccounted(found: Measurement) -> list[str]:
    """The fault of a load after which the log, if there is one, lacks answered rows or has more than were asked."""
    if found.logged is None:
        return []
    load, logged = found.load, found.logged
    # A request cut off by the end of the load may be logged without its answer having arrived.
    most = load.answered + load.refused + load.broken + load.connections
    if load.answered * found.rows <= logged <= most * found.rows:
        return []
    return [
        f"FAULT: {load.answered * found.rows} rows answered but {logged} logged "
        f"({found.server}, {found.rows} rows a request, {load.connections} connections)"
    ]


def _missing_answers(url: str, work: Work, recorded: Recorded) -> list[str]:
    """The fault of a gateway whose log does not hold every answer with its prediction."""
    bodies = [OBJECTS.one_body(work.singles[number % SINGLES]) for number in range(CHECKED_ANSWERS)]
    answers = collect_answers(url + OBJECTS.one_path, bodies, connections=8)
    missing = recorded.missing(answers)
    if missing or len(answers) != CHECKED_ANSWERS:
        return [f"FAULT: of {CHECKED_ANSWERS} requests {len(answers)} were answered, {len(missing)} of them not logged"]
    return []


def _publish(findings: Findings, measured: Sequence[Peer], loads: Loads) -> None:
    facts = report.machine("flask", "gunicorn", "scikit-learn", "numpy")
    environments = sorted({chosen.environment for chosen in measured if chosen.environment is not None})
    facts["peers"] = {name: versions(name) for name in environments}
    kinds: dict[tuple[str, int, int], list[Measurement]] = {}
    for found in sorted(_measurements(findings.rounds), key=lambda found: found.server != THE_GATEWAY):
        kinds.setdefault(_kind(found), []).append(found)
    rows = [_row(measurements, findings.rounds) for measurements in kinds.values()]
    report.publish(
        "gateway", facts, rows, [*_notes(facts["peers"], loads), *findings.notes, *findings.faults], findings.targets
    )


def _kind(found: Measurement) -> tuple[str, int, int]:
    return found.server, found.rows, found.load.connections


def _measurements(rounds: Sequence[Round]) -> Iterator[Measurement]:
    for found in rounds:
        yield from (found.ours, found.theirs)


def _row(measurements: Sequence[Measurement], rounds: Sequence[Round]) -> dict[str, Any]:
    """One load on one server: medians of its measurements, and what they counted in all."""
    one, loads = measurements[0], [found.load for found in measurements]
    beside = [found for found in rounds if found.ours.server == THE_GATEWAY and _kind(found.theirs) == _kind(one)]
    logged = [found.logged for found in measurements if found.logged is not None]
    per_second = statistics.median(load.per_second for load in loads)
    each = ratios(beside, requests_ratio)
    return {
        "server": one.server,
        "rows a request": one.rows,
        "connections": one.load.connections,
        "requests/s": per_second,
        "rows/s": per_second * one.rows,
        "p50 ms": statistics.median(load.p50_ms for load in loads),
        "p99 ms": statistics.median(load.p99_ms for load in loads),
        "gateway / it": statistics.median(each) if each else None,
        "times": len(measurements),
        "answered": sum(load.answered for load in loads),
        "logged": sum(logged) if logged else None,
        "refused": sum(load.refused for load in loads),
        "broken": sum(load.broken for load in loads),
        "client": one.load.client,
    }


def _notes(peers: dict[str, dict[str, str]], loads: Loads) -> list[str]:
    usual = GatewaySettings()
    pinned = "; ".join(", ".join(f"{name} {at}" for name, at in pins.items()) for pins in peers.values())
    return [
        f"{usual.workers} workers of every server, the load generator on the same cores, keep-alive; gunicorn with "
        f"{usual.threads} threads a worker.",
        f"{loads.rounds} rounds of each load on the gateway and another server, {loads.seconds} s on each after 1 s of "
        "warming up. Figures of a server are medians, `gateway / it` is the median of the rounds' ratios.",
        "One model for all: a random forest of 100 trees of depth 12 on 30 features, in the same versions of "
        "scikit-learn and numpy. Before it was measured, each server answered one row and one batch as that does.",
        f"Batches: {BATCH_ROWS:,} rows a request from {BATCH_CONNECTIONS} connections.",
        *([f"Peers: {pinned}."] if pinned else []),
        f"logged >= answered x rows: every answer is in the log; {CHECKED_ANSWERS:,} answers of each gateway started "
        "were compared by id and prediction.",
    ]


if __name__ == "__main__":
    sys.exit(main())
