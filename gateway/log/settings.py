"""Section `[log]` of the settings: sealing and retention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateway.settings import setting


@dataclass(frozen=True)
class LogSettings:
    """Section `[log]`. Retention is off until one of its keys is set: nothing that was answered is deleted."""

    section: ClassVar[str] = "log"

    seal_interval_seconds: float = setting(60.0, "time from one sealing of finished segments to the next", minimum=1)
    retention_days: float | None = setting(
        None, "sealed segments whose newest row is older are deleted; off by default", minimum=1
    )
    retention_bytes: int | None = setting(
        None, "while the logs are larger, the oldest sealed segments are deleted; off by default", minimum=1024 * 1024
    )
    reports_days: float | None = setting(
        None, "HTML reports of older drift runs are deleted, their figures stay; off by default", minimum=1
    )
