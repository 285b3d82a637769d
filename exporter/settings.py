"""Section `[exporter]` of the settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from gateway.settings import setting


@dataclass(frozen=True)
class ExporterSettings:
    """Section `[exporter]`."""

    section: ClassVar[str] = "exporter"

    host: str = setting("127.0.0.1", "address to listen on")
    port: int = setting(9108, "port to listen on", minimum=1, maximum=65535)
    tokens_file: Path | None = setting(
        None, "file of '<name> <token>' lines: without one of these tokens only /health answers"
    )
    threads: int = setting(4, "requests answered at the same time", minimum=1, maximum=64)
    stale_after_seconds: float = setting(
        900.0, "age at which the report library calls a model's newest run old", minimum=1
    )
    heartbeat_timeout_seconds: float = setting(
        30.0, "age at which the report library calls a process stopped", minimum=1
    )
    socket_timeout_seconds: int = setting(
        10, "how long a client may stay silent in the middle of a request or of an answer", minimum=1, maximum=300
    )
