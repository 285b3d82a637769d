"""Time and memory of labels: joining 1,000,000 with as many predictions, and looking back for labels that come late."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.cards import number_features, unfitted_card
from gateway.clock import parse_utc, utc_text
from gateway.log import labels, predictions
from gateway.log.line import header_line
from gateway.log.seal import seal
from gateway.log.writer import SegmentWriter
from gateway.registry import ModelCard
from gateway.settings import Paths

#: The end of the logs and of the window.
END = 1_795_186_800.0
DAY = 24 * 3600
FEATURES = 4
WANTED_ROWS = 1000
_CHUNK = 2_000


@dataclass(frozen=True)
class Labelling:
    """How labels come: for this part of the predictions, so many days later, and what else.

    Attributes:
        by_client: they name the client's own id.
        again: part of the labels that are sent a second time; half of these say something else.
        orphans: labels that no prediction has.
    """

    share: float = 1.0
    days_late: float = 0.0
    by_client: bool = False
    again: float = 0.0
    orphans: int = 0


JOINED = {
    "by request_id": Labelling(),
    "by client_id": Labelling(by_client=True),
    "a fifth again, half of those corrections": Labelling(share=0.8, again=0.25),
}
LATE = {
    "a tenth of the labels, at once": Labelling(share=0.1),
    "every label 7 days late": Labelling(days_late=7),
    "1 % of the labels, 7 days late": Labelling(share=0.01, days_late=7),
    "1 in 20,000, 7 days late: too few in all": Labelling(share=0.00005, days_late=7),
    "none but one that nothing has": Labelling(share=0.0, orphans=1),
    "no labels": Labelling(share=0.0),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write `.cache/bench/labels.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="predictions to join (default: 1000000)")
    parser.add_argument("--days", type=int, default=30, help="days to look back over (default: 30)")
    parser.add_argument("--rows-a-day", type=int, default=288_000, help="predictions a day (default: 288000)")
    parser.add_argument("--read", nargs=2, metavar=("FOLDER", "DAYS"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.read:
        print(json.dumps(_read(Path(options.read[0]), float(options.read[1]))))
        return 0
    with report.scratch_folder() as scratch:
        rows = list(_measure_joins(scratch / "join", options.rows))
    with report.scratch_folder() as scratch:
        rows += list(_measure_late(scratch, options.days, options.rows_a_day))
    notes = [
        f"{FEATURES} features and two probabilities a prediction; both logs sealed, read from their columnar copies, "
        "which lie in the page cache. Each line is a process of its own, as a run reads: its log, the labels, the join "
        "and the counts; peak memory includes the interpreter and the libraries.",
        "`late`: a scheduled run compares the newest 24 hours, and quality wants 1,000 labelled rows.",
    ]
    joins = [row for row in rows if row["part"] == "join"]
    targets = [
        # By the clock it takes as long as whatever else runs lets it.
        _target("slowest join, s", max(row["s"] for row in joins), 5.0),
        _target("largest peak of a join, MiB", max(row["peak MiB"] for row in joins), 1000.0),
    ]
    report.publish("labels", report.machine("pyarrow", "numpy"), rows, notes, targets)
    return 0 if all(target["met"] for target in targets) else 1


def _target(name: str, value: float, limit: float) -> dict[str, Any]:
    return {"target": name, "wanted": f"<= {limit:g}", "measured": round(value, 2), "met": value <= limit}


def _measure_joins(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    ids = _write_predictions(folder / "log", count, DAY)
    for name, labelling in JOINED.items():
        data = _with_labels(folder, ids, labelling, DAY)
        # The first one makes the copies.
        _in_a_process(data, 1)
        for _ in range(3):
            yield {"part": "join", "what": name, **_in_a_process(data, 1)}
        _keep_copies(folder, data)


def _measure_late(folder: Path, days: int, rows_a_day: int) -> Iterator[dict[str, Any]]:
    ids = _write_predictions(folder / "log", days * rows_a_day, days * DAY)
    for name, labelling in LATE.items():
        data = _with_labels(folder, ids, labelling, days * DAY)
        _in_a_process(data, days)
        yield {"part": "late", "what": name, **_in_a_process(data, days)}
        _keep_copies(folder, data)


def _in_a_process(data: Path, days: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.labels", "--read", str(data), str(days)]
    done = subprocess.run(command, cwd=report.ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    print(found, flush=True)
    return found


def _read(data: Path, days: float) -> dict[str, Any]:
    """In a process of its own: read the newest 24 hours, and as far back as labels are wanted."""
    # A run has pandas loaded anyway, and Arrow loads it along the way.
    import pandas as pd  # noqa: F401
    import pyarrow as pa

    from drift_engine.labels.look_back import Wanted
    from drift_engine.reading.columnar import ColumnCache
    from drift_engine.reading.live_log import read_live

    # As `python -m drift_engine` does.
    pa.set_memory_pool(pa.system_memory_pool())
    paths = Paths(data=data)
    start = utc_text(END - DAY)
    began, cpu_began = time.perf_counter(), time.process_time()
    found = read_live(
        paths.live,
        _card(),
        cache=ColumnCache(paths.state / "columns"),
        span_start=start,
        window_start=start,
        end=utc_text(END),
        wanted=Wanted(WANTED_ROWS, utc_text(END - days * DAY)),
    )
    took, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    counts = found.labels
    return {
        "predictions": counts.predictions,
        "labels": counts.received,
        "labelled": counts.labelled,
        "repeated": counts.repeated,
        "corrected": counts.corrected,
        "days": round((END - parse_utc(counts.since)) / DAY, 1),
        "s": round(took, 2),
        "CPU s": round(cpu, 2),
        "peak MiB": _peak_mib(),
    }


def _peak_mib() -> int:
    """The most memory that this process held. getrusage would tell of the one that started it, where that is more."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def _card() -> ModelCard:
    return unfitted_card("bench", number_features(FEATURES))


def _write_predictions(data: Path, count: int, seconds: float) -> list[str]:
    """A sealed log, evenly over the `seconds` before END; returns the request ids."""
    card, live = _card(), Paths(data=data).live
    print(f"writing {count:,} predictions ...", flush=True)
    encode = predictions.PredictionEncoder(card).encode
    random = np.random.default_rng(1)
    ids: list[str] = []
    folder = predictions.folder(live, card.name, card.version)
    writer = SegmentWriter(folder, predictions.PREFIX, header_line(predictions.columns(card)), durable=False)
    for at in range(0, count, _CHUNK):
        size = min(_CHUNK, count - at)
        values = random.normal(size=(size, FEATURES)).tolist()
        made = [str(uuid.UUID(bytes=random.bytes(16), version=4)) for _ in range(size)]
        writer.append(
            [
                encode(
                    request_id,
                    utc_text(END + seconds * ((at + place) / count - 1)),
                    0,
                    f"order-{at + place:012}",
                    row,
                    "1",
                    0.75,
                    (0.25, 0.75),
                    1.5,
                )
                for place, (request_id, row) in enumerate(zip(made, values, strict=True))
            ]
        )
        ids += made
    writer.close()
    _seal(live)
    return ids


def _with_labels(folder: Path, ids: Sequence[str], labelling: Labelling, seconds: float) -> Path:
    """The same predictions in a data folder of their own, with labels; sealed."""
    data = folder / "labelled"
    # Linked: they are the same files.
    shutil.copytree(folder / "log" / "live", data / "live", copy_function=os.link)
    (data / "live" / "manifests.jsonl").unlink()
    shutil.copy(folder / "log" / "live" / "manifests.jsonl", data / "live")
    if (folder / "columns").exists():
        shutil.copytree(folder / "columns", data / "state" / "columns", copy_function=os.link)
    _write_labels(data, ids, labelling, seconds)
    _seal(Paths(data=data).live)
    return data


def _keep_copies(folder: Path, data: Path) -> None:
    """Those of the predictions are the same for all labels."""
    shutil.rmtree(folder / "columns", ignore_errors=True)
    shutil.copytree(data / "state" / "columns", folder / "columns", copy_function=os.link)
    shutil.rmtree(data)


def _write_labels(data: Path, ids: Sequence[str], labelling: Labelling, seconds: float) -> None:
    card, live = _card(), Paths(data=data).live
    encode = labels.LabelEncoder(card).encode
    random = np.random.default_rng(2)
    chosen = np.flatnonzero(random.random(len(ids)) < labelling.share)
    times = END + seconds * (chosen / len(ids) - 1) + labelling.days_late * DAY
    again = chosen[random.random(len(chosen)) < labelling.again]
    lines = [(moment, row, "1") for moment, row in zip(times.tolist(), chosen.tolist(), strict=True) if moment < END]
    lines += [(END - 1, row, str(place % 2)) for place, row in enumerate(again.tolist())]
    writer = SegmentWriter(
        labels.folder(live, card.name), labels.PREFIX, header_line(labels.columns(card)), durable=False
    )
    for at in range(0, len(lines), _CHUNK):
        writer.append(
            [
                encode(
                    None if labelling.by_client else ids[row],
                    f"order-{row:012}" if labelling.by_client else None,
                    0,
                    value,
                    None,
                    utc_text(moment),
                )
                for moment, row, value in lines[at : at + _CHUNK]
            ]
        )
    orphans = [encode(str(uuid.uuid4()), None, 0, "1", None, utc_text(END - 60)) for _ in range(labelling.orphans)]
    if orphans:
        writer.append(orphans)
    writer.close()


def _seal(live: Path) -> None:
    assert not seal(live, time.time).failures


if __name__ == "__main__":
    sys.exit(main())
