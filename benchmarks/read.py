"""Time and memory of reading a window for a drift run: from the log, and from the copies of sealed segments."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.cards import number_features, unfitted_card
from gateway.clock import utc_text
from gateway.log import labels, predictions
from gateway.log.line import header_line, id_checksum, seal_line
from gateway.log.seal import seal
from gateway.log.writer import SegmentWriter
from gateway.registry import ModelCard
from gateway.settings import Paths

FEATURES = 30
#: Of the logged rows; the window ends here and is as long as WINDOW_SECONDS.
END = 1_795_186_800.0
WINDOW_SECONDS = 24 * 3600
_CHUNK = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write `.cache/bench/read.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.read", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows in the window (default: 1000000)")
    parser.add_argument("--segments", type=int, default=10_000, help="sealed segments before it (default: 10000)")
    parser.add_argument("--read", nargs=2, metavar=("FOLDER", "SECONDS"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.read:
        print(json.dumps(_read(Path(options.read[0]), float(options.read[1]))))
        return 0
    with report.scratch_folder() as scratch:
        rows = list(_measure(scratch, options.rows, options.segments))
    notes = [
        f"{FEATURES} features, two probabilities, one label for every second row; segments rotated as by the gateway.",
        "Each line is a process of its own; its peak memory includes the interpreter and the libraries (see "
        "'nothing'). The window itself, as the statistics need it, is rows x 33 doubles.",
        "`CPU s` is what reading costs when nothing else wants the cores; `s` is by the clock.",
        "Files lie in the page cache, as they do shortly after they were written.",
    ]
    report.publish("read", report.machine("pyarrow", "numpy"), rows, notes)
    return 0


def _measure(scratch: Path, count: int, segments: int) -> Iterator[dict[str, Any]]:
    live = Paths(data=scratch).live
    print(f"writing a log of {count:,} rows ...", flush=True)
    _write_log(live, count)
    yield _row("nothing: imports only", scratch, 0.0)
    yield _row("the log, nothing sealed", scratch, WINDOW_SECONDS, count)
    _timed("sealing", lambda: seal(live, time.time))
    yield _row("sealed, making the copies", scratch, WINDOW_SECONDS, count)
    for _ in range(3):
        yield _row("sealed, from the copies", scratch, WINDOW_SECONDS, count)
    yield _row("its last hour, from the copies", scratch, 3600.0)
    print(f"writing {segments:,} older segments ...", flush=True)
    _write_old_segments(live, segments)
    _timed("sealing", lambda: seal(live, time.time))
    yield _row(f"its last hour, {segments:,} older sealed segments", scratch, 3600.0)


def _row(what: str, scratch: Path, seconds: float, expected: int | None = None) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.read", "--read", str(scratch), str(seconds)]
    done = subprocess.run(command, cwd=report.ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    print(f"{what}: {found}", flush=True)
    if expected is not None and found["rows"] != expected:
        raise RuntimeError(f"read {found['rows']} of {expected} rows")
    return {"what": what, **found}


def _read(data: Path, seconds: float) -> dict[str, Any]:
    """In a process of its own: read the last `seconds` of the window, nothing for 0."""
    # A run has pandas loaded anyway, and Arrow loads it along the way.
    import pandas as pd  # noqa: F401
    import pyarrow as pa

    from drift_engine.reading.columnar import ColumnCache
    from drift_engine.reading.live_log import read_live

    # As `python -m drift_engine` does.
    pa.set_memory_pool(pa.system_memory_pool())
    paths = Paths(data=data)
    rows, files, took, cpu = 0, 0, 0.0, 0.0
    if seconds:
        start = utc_text(END - seconds)
        began, cpu_began = time.perf_counter(), time.process_time()
        found = read_live(
            paths.live,
            _card(),
            cache=ColumnCache(paths.state / "columns"),
            span_start=start,
            window_start=start,
            end=utc_text(END),
        )
        took, cpu = time.perf_counter() - began, time.process_time() - cpu_began
        rows, files = found.table.rows, len(found.inputs)
        labelled = sum(
            text is not None for text in found.table.columns["label"].take(np.arange(min(rows, 1000))).texts()
        )
        assert labelled == min(rows, 1000) // 2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": rows, "s": took, "CPU s": cpu, "peak MiB": peak, "files read": files}


def _card() -> ModelCard:
    return unfitted_card("bench", number_features(FEATURES, nullable=True))


def _write_log(live: Path, count: int) -> None:
    card = _card()
    encode, encode_label = predictions.PredictionEncoder(card).encode, labels.LabelEncoder(card).encode
    random = np.random.default_rng(1)
    start = END - WINDOW_SECONDS
    writer = _writer(predictions.folder(live, card.name, card.version), predictions.PREFIX, predictions.columns(card))
    label_writer = _writer(labels.folder(live, card.name), labels.PREFIX, labels.columns(card))
    for at in range(0, count, _CHUNK):
        size = min(_CHUNK, count - at)
        values = random.normal(size=(size, FEATURES)).tolist()
        shares = random.random(size).tolist()
        lines, label_lines = [], []
        for place, (row, share) in enumerate(zip(values, shares, strict=True)):
            request_id = str(uuid.UUID(bytes=random.bytes(16), version=4))
            moment = utc_text(start + WINDOW_SECONDS * (at + place) / count)
            chosen = int(share > 0.5)
            lines.append(
                encode(request_id, moment, 0, None, row, str(chosen), max(share, 1 - share), (1 - share, share), 1.5)
            )
            if place % 2 == 0:
                label_lines.append(encode_label(request_id, None, 0, str(chosen), None, moment))
        writer.append(lines)
        label_writer.append(label_lines)
    writer.close()
    label_writer.close()


def _writer(folder: Path, prefix: str, columns: Any) -> SegmentWriter:
    return SegmentWriter(folder, prefix, header_line(columns), durable=False)


def _write_old_segments(live: Path, count: int) -> None:
    """Segments of ten rows from before the window, written as files: opening that many writers would take minutes."""
    card = _card()
    columns = predictions.columns(card)
    encode = predictions.PredictionEncoder(card).encode
    folder = predictions.folder(live, card.name, card.version)
    (path, *_) = predictions.segments(live, card.name, card.version)
    header_crc = path.name.split("-")[3]
    row, before = [0.5] * FEATURES, utc_text(END - 2 * WINDOW_SECONDS)
    for number in range(count):
        segment_id = f"v1-20260101T000000Z-{header_crc}-{number:012x}"
        id_crc = id_checksum(segment_id)
        payloads = [encode(str(uuid.uuid4()), before, 0, None, row, "1", 0.5, (0.5, 0.5), 1.5) for _ in range(10)]
        lines = [seal_line(seq, payload, id_crc) for seq, payload in enumerate(payloads)]
        (folder / f"{predictions.PREFIX}-{segment_id}.csv").write_bytes(b"".join([header_line(columns), *lines]))


def _timed(what: str, do: Callable[[], object]) -> None:
    began = time.perf_counter()
    do()
    print(f"{what}: {time.perf_counter() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
