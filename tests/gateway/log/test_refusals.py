"""The refusal log's format: a golden segment, read, sealed and verified as those of the other logs are."""

from __future__ import annotations

import shutil
from pathlib import Path

from gateway.log import refusals
from gateway.log.line import header_line, id_checksum, seal_line
from gateway.log.reader import scan
from gateway.log.seal import seal
from gateway.log.segment import parse_name
from tests.gateway.log.sealed import NOON, verified
from tests.logs import parse

#: Made by the writer of format version 1, and never regenerated.
GOLDEN = Path(__file__).parent / "golden" / "refusals-v1-20261120T150000Z-2c116bc2-2ca426d800a1.csv"
SINCE, UNTIL = "2026-11-20T15:00:00.000000Z", "2026-11-20T15:00:05.000000Z"
LINES = (
    ("any", "", 14, 113, None),
    ("wrong type", "amount", 12, 12, '"41,5"'),
    ("unseen category", 'the "job"', 1, 100, '"astro\ufffdnaut"'),
    ("malformed", "", 1, 1, "the body is not acceptable JSON: NaN is not a JSON number"),
)


def in_place(tmp_path: Path) -> Path:
    """The golden segment where a gateway would have written it."""
    folder = refusals.folder(tmp_path, "loans", "1")
    folder.mkdir(parents=True)
    return Path(shutil.copy(GOLDEN, folder))


def test_the_golden_segment_is_what_the_encoder_writes() -> None:
    """Byte for byte, under the identity in its name."""
    name = parse_name(GOLDEN)
    assert name.prefix == refusals.PREFIX
    payloads = [refusals.encode(*line, SINCE, UNTIL) for line in LINES]
    lines = [seal_line(seq, payload, id_checksum(name.segment_id)) for seq, payload in enumerate(payloads)]
    assert GOLDEN.read_bytes() == b"".join([header_line(refusals.columns()), *lines])


def test_the_golden_segment_reads_as_what_was_counted(tmp_path: Path) -> None:
    """Every field; a window takes the lines that were written in it."""
    path = in_place(tmp_path)
    assert refusals.segments(tmp_path, "loans", "1") == [path]
    found = scan(path, refusals.columns())
    rows = parse(found, refusals.columns())
    names = ("reason", "feature", "requests", "rows", "example")
    assert [tuple(row[name] for name in names) for row in rows] == list(LINES)
    assert {(row["since"], row["until"]) for row in rows} == {(SINCE, UNTIL)}
    assert scan(path, refusals.columns(), start=UNTIL).rows == len(LINES)
    assert scan(path, refusals.columns(), end=UNTIL).rows == 0


def test_it_is_sealed_by_the_time_of_writing_and_verified(tmp_path: Path) -> None:
    """In the one chain of all logs; an edit of a count is found."""
    path = in_place(tmp_path)
    (entry,) = seal(tmp_path, lambda: NOON).sealed
    assert (entry.rows, entry.corrupt_lines, entry.sequence_breaks) == (4, 0, 0)
    assert (entry.first_timestamp, entry.last_timestamp) == (UNTIL, UNTIL)
    assert verified(tmp_path).result.is_intact
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b",12,12,", b",11,12,"))
    assert {kind for _, kind, _ in verified(tmp_path).damages()} == {"edited"}
