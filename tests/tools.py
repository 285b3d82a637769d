"""Small helpers that tests of several packages share."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")


def require_tool(name: str) -> str:
    """The path of a program; without it the test is skipped by name here, and fails in CI."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have {name}; .ci/run installs it")
        pytest.skip(f"{name} is not installed")
    return path


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until(probe: Callable[[], T | None], timeout_seconds: float, what: str) -> T:
    """Poll `probe` until it returns something true, and return that; fail the test after the deadline.

    An exception of `probe` counts as "not yet", and the last one is shown when the deadline passes.
    """
    deadline = time.monotonic() + timeout_seconds
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            found = probe()
            if found:
                return found
        except Exception as error:
            last = error
        time.sleep(0.05)
    pytest.fail(f"waited {timeout_seconds:g} s for {what}" + (f"; last error: {last!r}" if last else ""))
