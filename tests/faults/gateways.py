"""Gateways under a fault that is switched on and off while they serve: served by gunicorn like the real one.

Each worker looks at the switch, a file named in the environment, at every call; so one test can show the time
before, during and after.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from flask import Flask

#: Names the file that holds the seconds that every fdatasync takes longer; without the file, none.
SYNC_SWITCH = "SENTINELTEST_SYNC_SECONDS_FILE"
#: Names the file that says what the clock is: "+3600" or "-3600" is off by so much, "=1795132800" stands still.
CLOCK_SWITCH = "SENTINELTEST_CLOCK_FILE"


def slow_sync() -> Flask:
    """The gateway on a disk that takes its time. While a sync is slow, a file `<switch>.<pid>-<fd>` says so."""
    from gateway.files import REAL
    from gateway.serving.app import create_app

    switch = Path(os.environ[SYNC_SWITCH])

    def fdatasync(fd: int) -> None:
        if seconds := _read(switch):
            # One per log: predictions and labels are synced side by side.
            under_way = switch.with_name(f"{switch.name}.{os.getpid()}-{fd}")
            under_way.touch()
            time.sleep(float(seconds))
            under_way.unlink()
        os.fdatasync(fd)

    REAL.fdatasync = fdatasync  # type: ignore[method-assign]
    return create_app()


def set_clock() -> Flask:
    """The gateway on a machine whose clock is set while it serves: the wall clock alone, not the monotonic one."""
    # Whoever took `time.time` as a default argument before would go on with the right time.
    assert "gateway.log.writer" not in sys.modules
    switch, real = Path(os.environ[CLOCK_SWITCH]), time.time

    def set_time() -> float:
        setting = _read(switch)
        return float(setting[1:]) if setting.startswith("=") else real() + float(setting or 0)

    time.time = set_time
    from gateway.serving.app import create_app

    return create_app()


def _read(switch: Path) -> str:
    try:
        return switch.read_text()
    except FileNotFoundError:
        return ""
