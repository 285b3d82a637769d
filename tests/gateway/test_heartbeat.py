"""Heartbeats: seen while alive, gone after an orderly end, old after a kill, absent when unreadable."""

from __future__ import annotations

import os
from pathlib import Path

from gateway import heartbeat
from tests.tools import wait_until


def test_a_beating_process_is_seen_and_goes_in_order(tmp_path: Path) -> None:
    """The file says who, which process, and when; it is removed when the block ends."""
    with heartbeat.beating(tmp_path, "gateway", lambda: 12.5):
        beat = wait_until(lambda: heartbeat.read_all(tmp_path).get("gateway"), 5, "the first beat")
        assert (beat.process, beat.pid, beat.beat_at) == ("gateway", os.getpid(), 12.5)
    assert heartbeat.read_all(tmp_path) == {}


def test_an_unreadable_heartbeat_is_absent(tmp_path: Path) -> None:
    """Garbage is no sign of life, and hides no other process."""
    heartbeat.write(tmp_path, "scheduler", 1.0)
    (tmp_path / "heartbeats" / "gateway.json").write_text("{}")
    assert set(heartbeat.read_all(tmp_path)) == {"scheduler"}


def test_no_folder_is_no_heartbeat(tmp_path: Path) -> None:
    """Before anything ran there is nothing to read, and nothing to fail on."""
    assert heartbeat.read_all(tmp_path) == {}
