"""A short life of a log writer that goes through every system call it knows, and what must be true afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.files import FileSystem
from gateway.log import predictions
from gateway.log.line import header_line
from gateway.log.reader import scan
from gateway.log.writer import LogUnavailable, SegmentWriter
from tests.gateway.log.rows import CARD, COLUMNS, parse, payload


@dataclass
class Life:
    """What a writer was asked to record, by row number, and what it acknowledged. `refused` counts its refusals."""

    tried: list[int] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    refused: int = 0

    def append(self, writer: SegmentWriter, count: int = 1) -> bool:
        """Append `count` new rows at once."""
        rows = [len(self.tried) + index for index in range(count)]
        self.tried += rows
        try:
            writer.append([payload(row) for row in rows])
        except LogUnavailable:
            self.refused += 1
            return False
        self.acknowledged += rows
        return True


def folder(root: Path) -> Path:
    """Where the log of the script lies; none of its folders exists at first."""
    return predictions.folder(root / "live", CARD.name, CARD.version)


def live_on(disk: FileSystem, root: Path, *, durable: bool = True) -> tuple[Life, SegmentWriter]:
    """Probe, open, append, fill a segment, let one grow old, and go on; the writer stays open."""
    now = [0.0]
    writer = SegmentWriter(
        folder(root),
        predictions.PREFIX,
        header_line(COLUMNS),
        durable=durable,
        bytes_max=600,
        age_seconds_max=60,
        monotonic=lambda: now[0],
        files=disk,
    )
    life = Life()
    is_ready(writer)
    for count in (1, 3, 2, 1):
        life.append(writer, count)
    now[0] += 60
    writer.tick()
    for count in (1, 2):
        life.append(writer, count)
    is_ready(writer)
    return life, writer


def is_ready(writer: SegmentWriter) -> bool:
    """What readiness says."""
    try:
        writer.probe()
    except LogUnavailable:
        return False
    return True


def logged_rows(root: Path) -> list[int]:
    """The numbers of the intact rows under `root`, in file order; each with the content that the script gave it."""
    found = [
        row
        for path in predictions.segments(root / "live", CARD.name, CARD.version)
        for row in parse(scan(path, COLUMNS))
    ]
    numbers = [int(row["request_id"].replace("-", ""), 16) for row in found]
    assert all(row["timestamp"] == expected_time(number) for row, number in zip(found, numbers, strict=True))
    return numbers


def expected_time(number: int) -> str:
    """The timestamp of `payload(number)`."""
    return payload(number).split(b",")[1].decode()


def check_promise(life: Life, root: Path) -> None:
    """Acknowledged implies logged, once; nothing is there that nobody wrote."""
    logged = logged_rows(root)
    assert len(logged) == len(set(logged)), "a row stands in the log twice"
    assert set(life.acknowledged) <= set(logged), "an acknowledged row is lost"
    assert set(logged) <= set(life.tried), "a row was invented"


def open_descriptors(of: Callable[[str], bool]) -> list[str]:
    """The files that this process has open and whose path `of` accepts."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(entry)  # noqa: PTH115 - the target may be gone
        except OSError:
            continue
        if of(target):
            found.append(target)
    return found
