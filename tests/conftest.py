"""What tests of several packages share: a fixture, and the processors."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# Whoever runs the tests in the background, or under nohup, has these ignored, and every process that a test
# starts would inherit that: Ctrl-C and a closed terminal could not be tried.
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

# The tests themselves keep the processors busy: jobs would be held back for as long as a test has patience.
os.environ["SENTINEL_SCHEDULER_IDLE_SHARE"] = "1"

# Files that every process of a test run has; they are only locked.
_PROCESSORS, _TURNSTILE = Path(__file__), Path(__file__).with_name("__init__.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Tests run beside one another in several processes, but beside one that is marked `alone` none does."""
    alone = item.get_closest_marker("alone") is not None
    with open(_TURNSTILE) as turnstile, open(_PROCESSORS) as processors:
        # Through the turnstile, so that those that come later do not keep one waiting for ever that wants to be alone.
        fcntl.flock(turnstile, fcntl.LOCK_EX)
        fcntl.flock(processors, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(turnstile, fcntl.LOCK_UN)
        return (yield)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Find a real data set by file name; a test that needs an absent one is skipped by that name."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"data set {name} is not here")
        return path

    return find
