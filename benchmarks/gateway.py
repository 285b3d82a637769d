"""Requests per second and latency of the gateway beside other ways to serve the same model.

Every answer that a load received must be in the prediction log, and the answers of a last round are compared
with it one by one; the benchmark fails when one is not there. A peer is measured when it can be installed and
answers what scikit-learn answers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.comparison import (
    BATCH_CONNECTIONS,
    BATCH_ROWS,
    SINGLES,
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
from benchmarks.targets import Measurement, judged, judged_in_tensors
from gateway.settings import GatewaySettings

CHECKED_ANSWERS = 1_000
#: The one that is compared; the promise that it keeps is the default.
THE_GATEWAY = "gateway, durability power"
IN_TENSORS = f"{THE_GATEWAY}, V2 tensors"


@dataclass
class Findings:
    """What was found. `faults` break the gateway's promise; `notes` say what else a reader must know."""

    measurements: list[Measurement] = field(default_factory=list)
    targets: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, server: str) -> list[Measurement]:
        """The measurements of one server."""
        return [found for found in self.measurements if found.server == server]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write `.cache/bench/gateway.json`. 1 when an answer is missing from the log."""
    options = _parser().parse_args(arguments)
    findings = Findings()
    pythons = _installed([known for known in PEERS if known.name in options.peers], findings)
    with report.scratch_folder() as scratch:
        print("training and registering the demo's random forest ...", flush=True)
        work = prepare(scratch)
        loads = Loads(scratch, options.connections, options.seconds)
        for durability in ("power", "process"):
            _measure_gateway(durability, work, loads, findings)
        _measure_ceiling(work, loads, findings)
        for chosen, python in pythons.items():
            _measure_peer(chosen, python, work, loads, findings)
    _publish(findings, list(pythons), options.seconds)
    return 1 if findings.faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="per measurement (default: %(default)s)")
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


def _measure_gateway(durability: str, work: Work, loads: Loads, findings: Findings) -> None:
    title = f"gateway, durability {durability}"
    recorded = Recorded(work.card, loads.scratch / "data" / "live")
    with gateway(loads.scratch, durability=durability) as server:
        check_answers(server.url, OBJECTS, work)
        measures = [(title, loads.singles, OBJECTS), (title, loads.batches, OBJECTS)]
        if title == THE_GATEWAY:
            check_answers(server.url, TENSORS, work)
            measures += [(IN_TENSORS, loads.singles, TENSORS), (IN_TENSORS, loads.batches, TENSORS)]
        for name, measure, dialect in measures:
            for found in measure(name, server.url, dialect, work, recorded):
                findings.measurements.append(found)
                findings.faults += _unaccounted(found)
        findings.faults += _missing_answers(server.url, work, recorded)


def _unaccounted(found: Measurement) -> list[str]:
    """The fault of a load after which the log holds fewer rows than were answered, or more than were asked for."""
    load, logged = found.load, found.logged or 0
    # A request cut off by the end of the load may be logged without its answer having arrived.
    most = load.answered + load.refused + load.broken + load.connections
    if load.answered * found.rows <= logged <= most * found.rows:
        return []
    return [
        f"FAULT: {load.answered * found.rows} rows answered but {logged} logged "
        f"({found.server}, {found.rows} rows a request, {load.connections} connections)"
    ]


def _missing_answers(url: str, work: Work, recorded: Recorded) -> list[str]:
    """The fault of a round of which the log does not hold every answer with its prediction."""
    bodies = [OBJECTS.one_body(work.singles[number % SINGLES]) for number in range(CHECKED_ANSWERS)]
    answers = collect_answers(url + OBJECTS.one_path, bodies, connections=8)
    missing = recorded.missing(answers)
    if missing or len(answers) != CHECKED_ANSWERS:
        return [f"FAULT: of {CHECKED_ANSWERS} requests {len(answers)} were answered, {len(missing)} of them not logged"]
    return []


def _measure_ceiling(work: Work, loads: Loads, findings: Findings) -> None:
    """What Flask itself leaves room for; there is nothing to judge."""
    constant = Dialect("/bare", "/bare", OBJECTS.one, OBJECTS.many, OBJECTS.probabilities)
    with bare_flask(loads.scratch) as server:
        findings.measurements += loads.singles("bare Flask, constant answer", server.url, constant, work)


def _measure_peer(chosen: Peer, python: Path, work: Work, loads: Loads, findings: Findings) -> None:
    dialect = chosen.dialect
    try:
        with peer(loads.scratch, chosen, python, work.model, dialect.one_body(work.singles[0])) as server:
            check_answers(server.url, dialect, work)
            findings.measurements += loads.singles(chosen.title, server.url, dialect, work)
            findings.measurements += loads.batches(chosen.title, server.url, dialect, work)
    except (NotStarted, WrongAnswer) as error:
        findings.notes.append(f"{chosen.title} was not measured: {error}")
        return
    if chosen.times is not None:
        findings.targets += judged(chosen.times, findings.of(THE_GATEWAY), findings.of(chosen.title))
    if dialect.is_tensors:
        findings.targets += judged_in_tensors(findings.of(IN_TENSORS), findings.of(chosen.title))


def _publish(findings: Findings, measured: Sequence[Peer], seconds: int) -> None:
    facts = report.machine("flask", "gunicorn", "scikit-learn", "numpy")
    environments = sorted({chosen.environment for chosen in measured if chosen.environment is not None})
    facts["peers"] = {name: versions(name) for name in environments}
    compared = {(found.rows, found.load.connections): found for found in findings.of(THE_GATEWAY)}
    rows = [_row(found, compared[found.rows, found.load.connections]) for found in findings.measurements]
    notes = [*_notes(facts["peers"], seconds), *findings.notes, *findings.faults]
    report.publish("gateway", facts, rows, notes, findings.targets)


def _row(found: Measurement, compared: Measurement) -> dict[str, Any]:
    load = found.load
    return {
        "server": found.server,
        "rows a request": found.rows,
        "connections": load.connections,
        "requests/s": load.per_second,
        "rows/s": found.rows_per_second,
        "p50 ms": load.p50_ms,
        "p99 ms": load.p99_ms,
        "gateway / it": compared.load.per_second / load.per_second if load.answered else None,
        "answered": load.answered,
        "logged": found.logged,
        "refused": load.refused,
        "broken": load.broken,
        "client": load.client,
    }


def _notes(peers: dict[str, dict[str, str]], seconds: int) -> list[str]:
    usual = GatewaySettings()
    pinned = "; ".join(", ".join(f"{name} {at}" for name, at in pins.items()) for pins in peers.values())
    return [
        f"{usual.workers} workers of every server, the load generator on the same cores, {seconds} s each after 1 s of "
        f"warming up, keep-alive; gunicorn with {usual.threads} threads a worker.",
        "One model for all: a random forest of 100 trees of depth 12 on 30 features, in the same versions of "
        "scikit-learn and numpy. Before it was measured, each server answered one row and one batch as that does.",
        f"Batches: {BATCH_ROWS:,} rows a request from {BATCH_CONNECTIONS} connections.",
        *([f"Peers: {pinned}."] if pinned else []),
        f"logged >= answered x rows: every answer is in the log; {CHECKED_ANSWERS:,} answers per mode were compared by "
        "id and prediction.",
    ]


if __name__ == "__main__":
    sys.exit(main())
