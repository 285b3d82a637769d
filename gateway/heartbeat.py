"""Heartbeats: how a long-lived process says that it is alive, in a file that others read.

`data/state/heartbeats/<process>.json`, replaced atomically: `{"process", "pid", "beat_at"}`, `beat_at` in
seconds since the epoch. A stopped process removes its file; a killed one leaves it behind to grow old.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gateway.files import make_dirs, write_atomically


@dataclass(frozen=True)
class Heartbeat:
    """One process's last sign of life; `beat_at` in seconds since the epoch."""

    process: str
    pid: int
    beat_at: float


def write(state: Path, process: str, now: float) -> None:
    """Record that `process` is alive at `now`. Raises OSError."""
    folder = state / "heartbeats"
    make_dirs(folder)
    write_atomically(folder / f"{process}.json", msgspec.json.encode(Heartbeat(process, os.getpid(), now)))


def remove(state: Path, process: str) -> None:
    """Forget `process`: it stopped on purpose."""
    (state / "heartbeats" / f"{process}.json").unlink(missing_ok=True)


def read_all(state: Path) -> dict[str, Heartbeat]:
    """Every readable heartbeat by process name. An unreadable one is absent, and absent is never healthy."""
    found = {}
    for path in sorted((state / "heartbeats").glob("[!.]*.json")):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            beat = msgspec.json.decode(path.read_bytes(), type=Heartbeat)
            found[beat.process] = beat
    return found


@contextlib.contextmanager
def beating(state: Path, process: str, clock: Callable[[], float], every_seconds: float = 5.0) -> Iterator[None]:
    """Beat from a daemon thread for as long as the block runs, and remove the heartbeat after it."""
    stop = threading.Event()

    def beat() -> None:
        while True:
            # A full disk must not end the beating: the next beat may find space again.
            with contextlib.suppress(OSError):
                write(state, process, clock())
            if stop.wait(every_seconds):
                return

    thread = threading.Thread(target=beat, name=f"heartbeat-{process}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        remove(state, process)
