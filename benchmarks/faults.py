"""Is every answer on disk, whatever dies? Kills and power cuts under load, and what the log costs: `make bench-faults`.

Parts, all of them unless some are named: `kills` (kill -9 of workers), `masters` (kill -9 of the master), `oracle`
(the same on a build that answers before it writes: the comparison must fail), `power` (power cuts, simulated and of
a real ext4), `cost` (requests/s without the log, with it, and with it on the disk). Prints Markdown; each part
replaces its own entry of `.cache/bench/faults.json`. Exits with 1 when an acknowledged row was lost.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.linear_model import LogisticRegression

from benchmarks import report
from benchmarks.bare_sync import Sync, cut_under
from benchmarks.load import put_load, wait_for
from benchmarks.oracle import COUNTS, Clients, Findings, judge
from benchmarks.power_cut import ext4, simulate, why_no_ext4
from benchmarks.servers import Server, bare_flask, free_port, gateway
from gateway.registry import ModelCard, Registry
from gateway.registry.register import register

#: Kills between two comparisons with the log: bounds the memory of what was acknowledged.
ROUND = 100
CLIENTS = 8
WORKERS, THREADS = 3, 4
FEATURES = [f"x{index}" for index in range(30)]
_BODIES = 256


@dataclass(frozen=True)
class Options:
    """What to run and how much of it."""

    kills: int
    process_kills: int
    masters: int
    oracle_kills: int
    simulated_cuts: int
    real_cuts: int
    process_cuts: int
    control_cuts: int
    seconds: int
    seed: int


@dataclass(frozen=True)
class Part:
    """A part's table, and whether what it shows is as promised."""

    rows: list[dict[str, Any]]
    notes: list[str]
    holds: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts, print their tables, keep them. 1 when a promise was broken."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    wanted = given.pop("parts") or list(PARTS)
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    options = Options(**given)
    # A failing disk is what is wanted here; what the writer says about each is of no interest.
    logging.getLogger("gateway.log").setLevel(logging.CRITICAL)
    holds = True
    for name in wanted:
        with report.scratch_folder() as scratch:
            card = linear_model(Registry(scratch / "models", scratch / "data" / "reference"), scratch)
            begun = time.monotonic()
            part = PARTS[name](options, card, scratch)
        _publish(name, part, time.monotonic() - begun)
        holds &= part.holds
    return 0 if holds else 1


def linear_model(registry: Registry, scratch: Path) -> ModelCard:
    """A logistic regression on 30 numbers: so cheap that what the gateway does around it shows."""
    rng = np.random.default_rng(20_261)
    table = pd.DataFrame(rng.normal(size=(3000, len(FEATURES))), columns=FEATURES)
    table["y"] = (table["x0"] + rng.normal(scale=0.5, size=len(table)) > 0).astype(int)
    fit, held_out = table[:1000], table[1000:]
    model_file, table_file = scratch / "linear.skops", scratch / "linear.csv"
    skops.io.dump(LogisticRegression().fit(fit[FEATURES], fit["y"]), model_file)
    held_out.to_csv(table_file, index=False)
    return register(model_file, table_file, "y", "linear", registry=registry, now=time.time())


def _kills(options: Options, card: ModelCard, scratch: Path) -> Part:
    rows, holds = [], True
    for durability, kills in (("power", options.kills), ("process", options.process_kills)):
        if kills:
            found = _kill_workers(card, scratch, kills, options.seed, durability=durability)
            rows.append(_row(f"kill -9 of a worker, {durability}", kills, found))
            holds &= found.holds
    return Part(rows, [*_load_notes(), "A worker is a victim once it has written; the moment is random."], holds)


def _kill_workers(card: ModelCard, scratch: Path, kills: int, seed: int, **how: str) -> Findings:
    """Kill workers one after another, comparing with the log every `ROUND` kills."""
    rng, total = random.Random(seed), Findings()
    for done in range(0, kills, ROUND):
        count = min(ROUND, kills - done)
        data = Path(tempfile.mkdtemp(prefix="round-", dir=scratch))
        with (
            gateway(scratch, workers=str(WORKERS), threads=str(THREADS), paths_data=str(data), **how) as server,
            Clients(server.port, card, CLIENTS, rng.randrange(2**32)) as clients,
        ):
            killed: set[int] = set()
            while len(killed) < count:
                victim = _writing_worker(server, killed)
                # The moment within its work is chance's.
                time.sleep(rng.uniform(0, 0.1))
                os.kill(victim, signal.SIGKILL)
                killed.add(victim)
        total += judge(clients.all, data / "live", card)
        print(f"{done + count} workers killed, {total.acknowledged:,} acknowledged, {total.lost} lost", flush=True)
    return total


def _writing_worker(server: Server, killed: set[int]) -> int:
    """The pid of a worker that has a segment of the prediction log open; waits for one that was not killed yet."""
    found: list[int] = []

    def look() -> bool:
        found[:] = [pid for pid in server.workers() if pid not in killed and _writes(pid)]
        return bool(found)

    wait_for(look, 60, f"a worker that writes; see {server.log}")
    return random.choice(found)


def _writes(pid: int) -> bool:
    try:
        return any("/live_predictions-" in str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _masters(options: Options, card: ModelCard, scratch: Path) -> Part:
    """Each time the master dies, another is started at once: its workers and the orphans write side by side."""
    rng, port = random.Random(options.seed), free_port()
    with Clients(port, card, CLIENTS, options.seed) as clients:
        for done in range(options.masters):
            with gateway(scratch, port=port, workers=str(WORKERS), threads=str(THREADS)) as server:
                before = clients.answered()
                wait_for(lambda before=before: clients.answered() > before, 60, "answers")  # type: ignore[misc]
                time.sleep(rng.uniform(0, 0.5))
                server.process.kill()
                server.process.wait()
            print(f"{done + 1} masters killed, {clients.answered():,} acknowledged", flush=True)
    found = judge(clients.all, scratch / "data" / "live", card)
    return Part([_row("kill -9 of the master, power", options.masters, found)], _load_notes(), found.holds)


def _oracle(options: Options, card: ModelCard, scratch: Path) -> Part:
    """The comparison itself is worth nothing unless it fails where it must."""
    app = "benchmarks.variants:answering_first()"
    found = _kill_workers(card, scratch, options.oracle_kills, options.seed, app=app)
    row = _row("kill -9 of a worker, a build that answers first", options.oracle_kills, found)
    return Part([row], ["Here rows MUST be lost: this build answers up to 20 ms before it writes."], found.lost > 0)


def _power(options: Options, card: ModelCard, scratch: Path) -> Part:
    rows, holds, notes = [], True, []
    for durability in ("power", "process"):
        found = _simulated_cuts(options, durability)
        rows.append(_row(f"simulated power cut, {durability}", options.simulated_cuts, found))
        holds &= found.holds or durability == "process"
    why_not = why_no_ext4()
    if why_not is None:
        for durability, cuts in (("power", options.real_cuts), ("process", options.process_cuts)):
            found = _real_cuts(cuts, options.seed, card, scratch, durability)
            rows.append(_row(f"power cut of ext4, {durability}", cuts, found))
            holds &= found.holds or durability == "process"
        control = _control(options, scratch)
        rows += control.rows
        notes += control.notes
        holds &= control.holds
    else:
        notes.append(f"No power cut of a real file system: {why_not}.")
    notes.append("`process` promises nothing about power; its loss shows that the cut is one.")
    return Part(rows, notes, holds)


def _simulated_cuts(options: Options, durability: str) -> Findings:
    total = Findings()
    for seed in range(options.seed, options.seed + options.simulated_cuts):
        with tempfile.TemporaryDirectory(prefix="sentinelml-cut-") as folder:
            left = simulate(Path(folder), seed, durable=durability == "power")
        total += Findings(
            acknowledged=len(left.acknowledged),
            unanswered=len(left.tried) - len(left.acknowledged),
            logged=len(left.logged),
            lost=left.lost,
            invented=left.wrong,
        )
    return total


def _real_cuts(cuts: int, seed: int, card: ModelCard, scratch: Path, durability: str) -> Findings:
    rng, total = random.Random(seed), Findings()
    for cut in range(cuts):
        with ext4(scratch) as disk:
            data = disk.mount / "data"
            with (
                gateway(scratch, paths_data=str(data), durability=durability) as server,
                Clients(server.port, card, CLIENTS, seed + cut) as clients,
            ):
                wait_for(lambda clients=clients: clients.answered() > 100, 60, "answers")  # type: ignore[misc]
                time.sleep(rng.uniform(0, 2))
                disk.cut(server.process.pid)
            disk.start_again()
            total += judge(clients.all, data / "live", card)
        print(f"{cut + 1} cuts, {durability}: {total.acknowledged:,} acknowledged, {total.lost:,} lost", flush=True)
    return total


def _control(options: Options, scratch: Path) -> Part:
    """What the cut itself takes, with no code of ours between: from writers that die with the disk, and from others."""
    died, lived_on = (_bare_syncs(options, scratch, killed=killed) for killed in (True, False))
    before = [sync for sync in lived_on if sync.at < 0]
    during = [sync for sync in lived_on if sync.at >= 0]
    rows = [
        _row(
            f"bare write + fdatasync, {what}",
            options.control_cuts,
            Findings(len(syncs), logged=sum(sync.kept for sync in syncs), lost=sum(not sync.kept for sync in syncs)),
        )
        for what, syncs in (
            ("writers die with the disk", died),
            ("writers live on: returned 0 before the cut began", before),
            ("writers live on: returned 0 after that", during),
        )
    ]
    notes = [f"A bare write is 200 bytes of one of 6 threads; {options.control_cuts} cuts each way."]
    if lost := [sync.at for sync in during if not sync.kept]:
        notes.append(f"The earliest of these syncs that kept nothing returned {1000 * min(lost):.1f} ms after that.")
    return Part(rows, notes, all(sync.kept for sync in died + before))


def _bare_syncs(options: Options, scratch: Path, *, killed: bool) -> list[Sync]:
    rng = random.Random(options.seed)
    cuts = (cut_under(scratch, rng.uniform(0, 0.1), killed=killed) for _ in range(options.control_cuts))
    return [sync for syncs in cuts for sync in syncs]


def _cost(options: Options, card: ModelCard, scratch: Path) -> Part:
    """Requests per second of the same workers, one after another in one run."""
    rng = random.Random(options.seed)
    bodies = [json.dumps({name: rng.gauss(0, 1) for name in FEATURES}).encode() for _ in range(_BODIES)]
    servers: list[tuple[str, Any, str]] = [
        ("bare Flask, constant answer", lambda: bare_flask(scratch), "/bare"),
        ("gateway without its log", lambda: _gateway_app(scratch, "benchmarks.variants:recording_nothing()"), ""),
        ("gateway, durability process", lambda: gateway(scratch, durability="process"), ""),
        ("gateway, durability power", lambda: gateway(scratch, durability="power"), ""),
    ]
    found = []
    for what, start, path in servers:
        with start() as server:
            url = server.url + (path or "/predict")
            put_load(url, bodies, 16, 1, scratch)
            load = put_load(url, bodies, 16, options.seconds, scratch)
        print(f"{what}: {load.per_second:,.0f} requests/s", flush=True)
        found.append((what, load))
    bare, unlogged = (load.per_second for _, load in found[:2])
    rows = [
        {
            "server": what,
            "requests/s": load.per_second,
            "p50 ms": load.p50_ms,
            "p99 ms": load.p99_ms,
            "of bare Flask": load.per_second / bare,
            "of no log": load.per_second / unlogged,
            "refused": load.refused + load.broken,
        }
        for what, load in found
    ]
    notes = [
        f"2 workers x 8 threads, {found[0][1].client} with 16 connections on the same cores, {options.seconds} s each; "
        "30 features, logistic regression scored by scikit-learn.",
    ]
    return Part(rows, notes, not any(row["refused"] for row in rows))


def _gateway_app(scratch: Path, app: str) -> Any:
    return gateway(scratch, app=app)


def _row(what: str, times: int, found: Findings) -> dict[str, Any]:
    return {"what": what, "times": times, **{name.replace("_", " "): getattr(found, name) for name in COUNTS}}


def _load_notes() -> list[str]:
    return [f"{CLIENTS} clients, {WORKERS} workers x {THREADS} threads, one row of {len(FEATURES)} features a request."]


def _publish(name: str, part: Part, seconds: float) -> None:
    notes = [*part.notes, f"{seconds:,.0f} s; {'as promised' if part.holds else 'NOT as promised'}."]
    facts = report.machine("flask", "gunicorn", "scikit-learn", "numpy")
    print(f"\n{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}, {facts['measured_at']}\n")
    print(report.markdown(part.rows))
    for note in notes:
        print(f"- {note}")
    path = report.RESULTS / "faults.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept[name] = {"machine": facts, "rows": part.rows, "notes": notes}
    path.write_text(json.dumps(kept, indent=2) + "\n")
    print(f"\nwritten to {path.relative_to(report.ROOT)}\n", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)} (default: all)")
    for name, default, about in (
        ("kills", 1000, "workers killed, durability power"),
        ("process-kills", 200, "workers killed, durability process"),
        ("masters", 50, "masters killed"),
        ("oracle-kills", 20, "workers killed of the build that answers first"),
        ("simulated-cuts", 500, "simulated power cuts per durability"),
        ("real-cuts", 20, "power cuts of a real ext4, durability power"),
        ("process-cuts", 3, "power cuts of a real ext4, durability process"),
        ("control-cuts", 100, "power cuts of a real ext4 under bare writes, each way"),
        ("seconds", 10, "per measurement of the cost"),
        ("seed", 20_261_120, "of everything that is random"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{about} (default: %(default)s)")
    return parser


PARTS: dict[str, Callable[[Options, ModelCard, Path], Part]] = {
    "kills": _kills,
    "masters": _masters,
    "oracle": _oracle,
    "power": _power,
    "cost": _cost,
}


if __name__ == "__main__":
    sys.exit(main())
