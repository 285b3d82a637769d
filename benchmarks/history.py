"""What the kept history costs: 90 days made from nothing, nothing new, and new labels of the last two weeks.

Prints the table of docs/formats/kept_history.md, writes `.cache/bench/history.json`. Each job is its own process.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.cards import number_features, unfitted_card
from gateway.clock import utc_text
from gateway.files import make_dirs
from gateway.log import labels, predictions, seal
from gateway.log.line import LogColumn, header_line
from gateway.log.writer import SegmentWriter
from gateway.registry import ModelCard
from gateway.registry.card import encode

DAY = 86400.0
FEATURES = 10
#: New labels come for so many of the last days.
LATE_DAYS = 14


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a log, run the jobs, print the table."""
    options = _options(arguments)
    facts = report.machine("numpy", "pyarrow")
    with report.scratch_folder() as folder:
        card, midnight = _card(folder), datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        ids = _write_log(folder, card, midnight, options)
        rows = [_job(folder, "all days from nothing"), _job(folder, "nothing new")]
        rng = np.random.default_rng(2)
        late = [str(key) for day in ids[-LATE_DAYS:] for key in rng.choice(day, options.late // LATE_DAYS)]
        _label(folder / "data" / "live", card, late, time.time(), "yes")
        seal.seal(folder / "data" / "live", time.time)
        rows.append(_job(folder, f"{len(late):,} new labels of {LATE_DAYS} days"))
        _label(folder / "data" / "live", card, [str(uuid.uuid4())], time.time(), "yes")
        rows.append(_job(folder, "one label of nobody"))
    facts |= {"days": options.days, "rows a day": options.rows, "labelled": options.labelled}
    print(report.markdown(rows))
    report.write("history", facts, rows, [])
    return 0


def _job(folder: Path, what: str) -> dict[str, Any]:
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "drift_engine", "history", "--quiet"],
        env=report.environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    row = {
        "job": what,
        "says": done.stdout.strip().partition(": ")[2],
        "seconds": f"{time.monotonic() - begun:.1f}",
        "processor seconds": f"{used:.1f}",
        "largest memory so far, MB": f"{after.ru_maxrss / 1024:.0f}",
    }
    print(row, file=sys.stderr, flush=True)
    return row


def _card(folder: Path) -> ModelCard:
    card = unfitted_card(
        "loans",
        number_features(FEATURES),
        target="label",
        classes=("no", "yes"),
        positive_class="yes",
        created_at=utc_text(time.time()),
    )
    path = folder / "models" / card.name / card.version
    make_dirs(path)
    (path / "model.json").write_bytes(encode(card))
    return card


def _write_log(folder: Path, card: ModelCard, midnight: float, options: argparse.Namespace) -> list[list[str]]:
    """A segment a day, and its labels two days later; the ids by day, oldest first."""
    live, rng = folder / "data" / "live", np.random.default_rng(1)
    encode_row, ids = predictions.PredictionEncoder(card).encode, []
    for back in range(options.days - 1, -1, -1):
        start = midnight - back * DAY
        end = min(start + DAY, time.time())
        values, shares = rng.normal(size=(options.rows, FEATURES)).tolist(), rng.random(options.rows).tolist()
        keys = [str(uuid.UUID(bytes=rng.bytes(16), version=4)) for _ in range(options.rows)]
        payloads = [
            encode_row(
                keys[row],
                utc_text(start + (end - start) * row / options.rows),
                0,
                None,
                values[row],
                "yes" if shares[row] > 0.5 else "no",
                max(shares[row], 1 - shares[row]),
                [1 - shares[row], shares[row]],
                1.5,
            )
            for row in range(options.rows)
        ]
        _append(
            predictions.folder(live, card.name, card.version), predictions.PREFIX, predictions.columns(card), payloads
        )
        if back >= 2:
            _label(live, card, keys[: round(options.labelled * options.rows)], start + 2.5 * DAY, "no")
        ids.append(keys)
        print(f"  {back} days left to write", file=sys.stderr, flush=True)
    seal.seal(live, time.time)
    return ids


def _label(live: Path, card: ModelCard, keys: Sequence[str], received: float, value: str) -> None:
    encode_label = labels.LabelEncoder(card).encode
    payloads = [encode_label(key, None, 0, value, None, utc_text(received)) for key in keys]
    _append(labels.folder(live, card.name), labels.PREFIX, labels.columns(card), payloads)


def _append(folder: Path, prefix: str, columns: tuple[LogColumn, ...], payloads: list[bytes]) -> None:
    writer = SegmentWriter(folder, prefix, header_line(columns), durable=False)
    for first in range(0, len(payloads), 20_000):
        writer.append(payloads[first : first + 20_000])
    writer.close()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--rows", type=int, default=50_000, help="predictions a day")
    parser.add_argument("--labelled", type=float, default=0.5, help="part of them that gets a label")
    parser.add_argument("--late", type=int, default=7_000, help="labels that come between two jobs")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
