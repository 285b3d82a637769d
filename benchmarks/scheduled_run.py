"""One job as the scheduler runs it, by a process like the scheduler's; both can be suspended.

While they are, nothing of them uses a processor: what is measured then is measured without them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import scheduler
from benchmarks import report
from benchmarks.servers import children
from gateway.process_group import die_with_parent

_POLL_SECONDS = 0.005


class ScheduledRun:
    """A run that stands still, but for when it is told to go on. What ends the block ends it.

    Args:
        command: the job's.
        state: where the scheduler keeps what became of it.
        timeout_seconds: of the scheduler; the time that it stands still counts, too.
    """

    def __init__(self, command: tuple[str, ...], state: Path, timeout_seconds: float) -> None:
        self.seconds = 0.0
        self._was_cut_short = False
        task = {"command": command, "state": str(state), "timeout_seconds": timeout_seconds}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scheduled_run", json.dumps(task)],
            cwd=report.ROOT,
            stdout=subprocess.DEVNULL,
            # The job is continued then, and ends by itself.
            preexec_fn=die_with_parent,
        )
        # A scheduler has long begun when it starts a job.
        while not (self.is_over or children(self._process.pid)):
            time.sleep(_POLL_SECONDS)
        self._suspend()

    def __enter__(self) -> ScheduledRun:
        return self

    def __exit__(self, *error: object) -> None:
        if not self.is_over:
            self._was_cut_short = True
            self._process.terminate()
            self._resume()
        self._process.wait()

    @property
    def is_over(self) -> bool:
        """Whether the job and its scheduler have ended."""
        return self._process.poll() is not None

    @property
    def finished(self) -> bool:
        """Whether it has ended by itself, with success."""
        return self._process.poll() == 0 and not self._was_cut_short

    def go_on(self, seconds: float) -> None:
        """Let it run for so long, or to its end; then it stands still again."""
        began = time.monotonic()
        self._resume()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self._suspend()
        self.seconds += time.monotonic() - began

    def _suspend(self) -> None:
        # The scheduler first: it would continue the job.
        self._signal(signal.SIGSTOP, [self._process.pid])
        self._signal(signal.SIGSTOP, children(self._process.pid))

    def _resume(self) -> None:
        self._signal(signal.SIGCONT, [*children(self._process.pid), self._process.pid])

    def _signal(self, number: signal.Signals, pids: list[int]) -> None:
        for pid in pids:
            # Once it is over, its number may be another's.
            if not self.is_over:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)


def main() -> int:
    """The process itself: the job to its end, and its exit code."""
    task = json.loads(sys.argv[1])
    settings = scheduler.SchedulerSettings(timeout_seconds=task["timeout_seconds"])
    # Regular, so that it is held back.
    running = scheduler.Scheduler(
        (scheduler.Job("drift", tuple(task["command"]), 300.0),), Path(task["state"]), settings
    )
    signal.signal(signal.SIGTERM, lambda *_: running.stop())
    return running.run_once()


if __name__ == "__main__":
    sys.exit(main())
