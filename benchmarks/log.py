"""Speed of sealing and verifying the logs: 500,000 rows of 30 features, 10,000 segments; sealers killed at random."""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks import report
from gateway.clock import utc_text
from gateway.files import write_all
from gateway.log.line import id_checksum, seal_line
from gateway.log.manifest import FILE, read_chain, unsealed
from gateway.log.seal import seal
from gateway.log.segment import create
from gateway.log.verify import Finding, Verification, verify

PREFIX = "live_predictions"
FEATURES = 30
SEGMENT_BYTES = 64 * 1024 * 1024
_CHUNK = 1_000
T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write `.cache/bench/log.json`. 1 when something that must verify does not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.log", description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000, help="(default: 500000)")
    parser.add_argument("--segments", type=int, default=10_000, help="of one row each (default: 10000)")
    parser.add_argument("--kills", type=int, default=100, help="of a sealing process (default: 100)")
    options = parser.parse_args(arguments)
    with report.scratch_folder() as scratch:
        rows = _many_rows(scratch / "rows", options.rows)
        rows += _many_segments(scratch / "segments" / "data" / "live", options.segments)
        kills = _killed_sealers(scratch / "kills", options.kills)
    notes = [
        "One process, files in the page cache. CPU MB/s: bytes over the process's processor time, user and system.",
        "Not sealed: each line's CRC-32 and `seq`. Sealed: length and SHA-256; an edited one also blocks and lines.",
        kills,
    ]
    report.publish("log", report.machine("msgspec"), rows, notes)
    return 0


def _many_rows(live: Path, count: int) -> list[dict[str, Any]]:
    print(f"writing {count:,} rows of {FEATURES} features ...", flush=True)
    size = _write_rows(live, count)
    measured = [_measured("verify, not sealed", size, lambda: _intact(live, count))]
    measured.append(_measured("seal", size, lambda: seal(live, time.time)))
    measured.append(_measured("verify, sealed", size, lambda: _intact(live, count)))
    _edit(sorted(live.rglob("*.csv"))[0])
    measured.append(_measured("verify, one segment edited", size, lambda: _edited(live)))
    return measured


def _many_segments(live: Path, count: int) -> list[dict[str, Any]]:
    print(f"writing {count:,} segments of one row ...", flush=True)
    lines = _lines(1, 1)
    for _ in range(count):
        _write_segment(live, lines)
    size = sum(path.stat().st_size for path in live.rglob("*.csv"))
    measured = [_measured(f"seal {count:,} segments", size, lambda: seal(live, time.time))]
    measured.append(_measured(f"verify {count:,} segments", size, lambda: _intact(live, count)))
    chain_bytes = (live / FILE).stat().st_size
    chain = read_chain(live)
    measured.append(_measured(f"read the chain of {count:,} entries", chain_bytes, lambda: read_chain(live)))
    measured.append(_measured(f"find none unsealed of {count:,}", size, lambda: unsealed(live, chain)))
    return measured


def _killed_sealers(folder: Path, kills: int) -> str:
    """kill -9 of `python -m gateway.log seal` at random moments; the chain must verify after each of them."""
    print(f"killing {kills} sealers ...", flush=True)
    live = folder / "data" / "live"
    folder.mkdir(parents=True)
    environment = report.environment(folder)
    draw = random.Random(20261120)
    written = in_the_middle = 0
    for _ in range(kills):
        for _ in range(40):
            _write_segment(live, _lines(3, 1))
            written += 3
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.log", "seal"], cwd=report.ROOT, env=environment, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        # Most of its time goes into starting the interpreter: count from the first or the second batch on.
        for _ in range(draw.choice((1, 17))):
            process.stdout.readline()
        time.sleep(draw.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        in_the_middle += bool(unsealed(live, read_chain(live)))
        _intact(live, written)
    seal(live, time.time)
    _intact(live, written)
    chain = read_chain(live)
    if len(chain.entries) != len(chain.sealed) or len(chain.sealed) * 3 != written:
        raise RuntimeError("a segment was sealed twice or not at all")
    return (
        f"kill -9 of a sealing process, {kills} times ({in_the_middle} of them with segments left to seal): "
        f"{written:,} rows in {len(chain.sealed):,} segments, each sealed once, all verified after every kill."
    )


def _measured(what: str, size: int, work: Callable[[], T]) -> dict[str, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "what": what,
        "MB": size / 1e6,
        "wall s": wall,
        "MB/s": size / 1e6 / wall,
        "CPU MB/s": size / 1e6 / max(cpu, 1e-9),
    }


def _intact(live: Path, rows: int) -> Verification:
    damages: list[Finding] = []
    result = verify(live, damages.append)
    if not result.is_intact or result.rows != rows:
        raise RuntimeError(f"{result.rows} of {rows} rows verified; {[f for f in damages if f.is_damage][:3]}")
    return result


def _edited(live: Path) -> None:
    found: list[Finding] = []
    verify(live, found.append)
    if [finding.kind for finding in found] != ["edited", "edited"]:
        raise RuntimeError(f"the edit was not found: {found}")


def _edit(path: Path) -> None:
    path.chmod(0o644)
    with open(path, "r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 1]))
    path.chmod(0o444)


def _write_rows(live: Path, count: int) -> int:
    lines = _lines(count, FEATURES)
    per_segment = SEGMENT_BYTES // len(lines[0])
    return sum(_write_segment(live, lines[at : at + per_segment]) for at in range(0, count, per_segment))


def _write_segment(live: Path, payloads: Sequence[bytes]) -> int:
    segment = create(live / "model" / "1", PREFIX, b"seq,request_id,timestamp,rest\n", time.time())
    id_crc = id_checksum(segment.segment_id)
    for at in range(0, len(payloads), _CHUNK):
        chunk = payloads[at : at + _CHUNK]
        write_all(segment.fd, b"".join(seal_line(at + number, line, id_crc) for number, line in enumerate(chunk)))
    size = os.fstat(segment.fd).st_size
    os.close(segment.fd)
    return size


def _lines(count: int, features: int) -> list[bytes]:
    """Payloads like those of a binary classifier of `features` numbers."""
    draw = np.random.default_rng(1)
    now = time.time()
    values = draw.normal(size=(count, features)).tolist()
    return [
        ",".join(
            [str(uuid.UUID(bytes=draw.bytes(16))), utc_text(now), "0", "", *map(repr, row), "1,0.75,0.25,0.75,0.321"]
        ).encode()
        for row in values
    ]


if __name__ == "__main__":
    sys.exit(main())
