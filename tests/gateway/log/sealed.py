"""Logs with closed segments, and what sealing and verifying say of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gateway.files import write_all
from gateway.log import predictions
from gateway.log.line import id_checksum, seal_line
from gateway.log.manifest import Sealed, read_chain
from gateway.log.seal import Sealing, seal
from gateway.log.segment import create
from gateway.log.verify import Finding, Verification, verify
from tests.gateway.log.rows import CARD, HEADER, payload

#: The clock of the tests' seals: 2026-11-20T00:00:00Z.
NOON = 1_795_132_800.0


def write_segment(live: Path, count: int, first: int = 0) -> Path:
    """A closed segment of `count` rows, whose times begin `first` seconds after the epoch."""
    segment = create(predictions.folder(live, CARD.name, CARD.version), predictions.PREFIX, HEADER, NOON)
    id_crc = id_checksum(segment.segment_id)
    write_all(segment.fd, b"".join(seal_line(seq, payload(first + seq), id_crc) for seq in range(count)))
    os.close(segment.fd)
    return segment.path


def seal_all(live: Path, now: float = NOON) -> Sealing:
    """Seal what is closed, at a fixed time."""
    return seal(live, lambda: now)


@dataclass(frozen=True)
class Verified:
    """A verification with its findings."""

    result: Verification
    findings: tuple[Finding, ...]

    def damages(self) -> list[tuple[str, str, int | None]]:
        """File name, kind and offset of all damage."""
        return [(Path(f.path).name, f.kind, f.offset) for f in self.findings if f.is_damage]

    def notes(self) -> list[str]:
        """The kinds of what is harmless."""
        return [f.kind for f in self.findings if not f.is_damage]


def verified(live: Path, *heads: str) -> Verified:
    """Verify everything under `live`."""
    findings: list[Finding] = []
    return Verified(verify(live, findings.append, heads), tuple(findings))


def sealed_entries(live: Path) -> list[Sealed]:
    """The entries of sealed segments, in the order of the chain."""
    return [entry for entry in read_chain(live).entries if isinstance(entry, Sealed)]
