"""The scheduler: starts each batch job when it is due, at idle priority, bounded in time and memory, one at a time.

`python scheduler.py [--interval 5m] [--once]`. The `schedule` library decides when; a job is a subprocess in a
session of its own, so whatever happens in it stays there. What became of each job is printed as one line and
kept in `data/state/scheduler.json` (`Status`), replaced atomically.

Exit codes: 0 stopped as asked; 2 unusable settings, arguments or data folder; 75 another scheduler runs already.
With --once the worst code of the jobs: their own, 124 for a timeout, 128 + n for signal n, 71 when one could not
be started.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar, Literal

import msgspec
import schedule

from drift_engine import run_requests
from drift_engine.actions.settings import RetrainingSettings
from gateway import heartbeat
from gateway.clock import parse_utc, utc_text
from gateway.files import make_dirs, write_atomically
from gateway.label_settings import LabelSettings
from gateway.locks import Busy, locked
from gateway.log import retention
from gateway.log.settings import LogSettings
from gateway.pacing import Pacer
from gateway.process_group import continue_when_orphaned, has_ended, stop_group
from gateway.settings import InvalidSettings, Paths, load, setting

EXIT_USAGE = 2
EXIT_TIMEOUT = 124
POLL_SECONDS = 0.2
BEAT_SECONDS = 5.0
#: How often what is beyond the operator's limits is deleted.
EXPIRE_SECONDS = 3600.0
#: How long the history job begins new days for.
HISTORY_SECONDS_MAX = 120.0
#: The drift engine divides a monthly budget of false alarms by its runs, so there is at least one run a month.
INTERVAL_SECONDS_MAX = 30 * 86400.0
#: The wall clock has jumped when it went this much further, or less far, than time did.
JUMP_SECONDS = 1.0
NICE_IDLE, NICE_STARVED = 19, 10
#: Several threads of a job would take several processors from the requests. Arrow's pool goes by the first, too.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

_NOTHING_TO_DO = RetrainingSettings()

Outcome = Literal["running", "ok", "failed", "busy", "timeout", "starved", "killed", "not started", "stopped"]


@dataclass(frozen=True)
class SchedulerSettings:
    """Section `[scheduler]`."""

    section: ClassVar[str] = "scheduler"

    interval_seconds: float = setting(
        300.0, "time from the start of one drift run to the next", minimum=1, maximum=INTERVAL_SECONDS_MAX
    )
    history_interval_seconds: float = setting(
        3600.0, "time between the jobs that keep what each day came to, scored again as labels come", minimum=60
    )
    timeout_seconds: float = setting(1800.0, "a job that runs longer is stopped", minimum=1)
    kill_after_seconds: float = setting(10.0, "how long a stopped job may take to clean up", minimum=0)
    starved_after_seconds: float = setting(
        120.0, "a job that waited this long for a processor is started again at nice 10", minimum=0.1
    )
    idle_share: float = setting(
        0.07,
        "part of the processors' idle time that a regular job gets while others need them; 1: it is not held back",
        minimum=0.01,
        maximum=1,
    )
    memory_bytes_max: int = setting(4 * 1024**3, "data memory of a job (RLIMIT_DATA)", minimum=64 * 1024**2)


@dataclass(frozen=True)
class Job:
    """Something to run every so often: a name for people, and the command."""

    name: str
    command: tuple[str, ...]
    every_seconds: float


@dataclass(frozen=True)
class Ending:
    """How one run ended; `exit_code` as a shell would show it."""

    outcome: Outcome
    exit_code: int


@dataclass(frozen=True)
class JobStatus:
    """What became of a job's newest run. Times are RFC 3339 in UTC; None where there is none yet."""

    last_start: str
    outcome: Outcome
    last_end: str | None = None
    exit_code: int | None = None
    next_due: str | None = None
    runs: int = 0
    runs_not_ok: int = 0


@dataclass(frozen=True)
class Status:
    """`data/state/scheduler.json`."""

    jobs: dict[str, JobStatus] = field(default_factory=dict)
    format: str = "sentinelml.scheduler"
    format_version: int = 1


def main(arguments: list[str] | None = None) -> int:
    """Run until told to stop, or once."""
    options = _parser().parse_args(arguments)
    try:
        paths, settings, log, labels, retraining = load(
            Paths, SchedulerSettings, LogSettings, LabelSettings, RetrainingSettings
        )
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    if options.interval is not None:
        settings = dataclasses.replace(settings, interval_seconds=options.interval)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(paths.state / "locks" / "scheduler.lock", "another scheduler"))
        except Busy:
            print(f"scheduler: another scheduler works on {paths.data} already", file=sys.stderr)
            return os.EX_TEMPFAIL
        except OSError as error:
            print(f"scheduler: the data folder {paths.data} cannot be used: {error}", file=sys.stderr)
            return EXIT_USAGE
        scheduler = Scheduler(jobs(settings, log, labels, retraining), paths.state, settings)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: scheduler.stop())
        return scheduler.run_once() if options.once else scheduler.run_forever()


def jobs(
    settings: SchedulerSettings,
    log: LogSettings,
    labels: LabelSettings,
    retraining: RetrainingSettings = _NOTHING_TO_DO,
) -> tuple[Job, ...]:
    """The jobs of an installation, in the order in which they run when several are due."""
    python = (sys.executable, "-m")
    found = [Job("seal", (*python, "gateway.log", "seal", "--quiet"), log.seal_interval_seconds)]
    if retention.is_on(log):
        found.append(Job("expire", (*python, "gateway.log", "expire", "--quiet"), EXPIRE_SECONDS))
    if log.reports_days is not None:
        found.append(Job("expire reports", (*python, "drift_engine.results", "expire"), EXPIRE_SECONDS))
    if labels.commands:
        found.append(Job("fetch labels", (*python, "gateway.fetch_labels"), labels.fetch_interval_seconds))
    found.append(Job("drift", drift_command("--scheduled"), settings.interval_seconds))
    if retraining.is_on:
        found.append(Job("act", (*python, "drift_engine", "act", "--quiet"), settings.interval_seconds))
    # Drift runs wait while it runs: what is left of a long log is made the next time.
    history = (*python, "drift_engine", "history", "--quiet", "--seconds-max", f"{HISTORY_SECONDS_MAX:g}")
    return (*found, Job("history", history, settings.history_interval_seconds))


def drift_command(*arguments: str) -> tuple[str, ...]:
    """The command of a drift run."""
    return (sys.executable, "-m", "drift_engine", "run", "--quiet", *arguments)


class Scheduler:
    """Runs jobs one after another. `stop` may be called from a signal handler at any moment."""

    def __init__(self, jobs: Iterable[Job], state: Path, settings: SchedulerSettings) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._state = state
        self._settings = settings
        self._status = read_status(state)
        self._stopping = threading.Event()
        self._starved: set[str] = set()
        self._beat_at = -BEAT_SECONDS

    def stop(self) -> None:
        """End the running job, and then the scheduler."""
        self._stopping.set()

    def run_once(self) -> int:
        """Run every job once, and return the worst exit code."""
        return max((self._run(job).exit_code for job in self._jobs.values()), default=0)

    def run_forever(self) -> int:
        """Run jobs as they fall due, and the runs that others ask for, until stopped."""
        timetable = Timetable(self._jobs.values(), self._first_due_in)
        _say("scheduler", ", ".join(f"{job.name} every {job.every_seconds:g} s" for job in self._jobs.values()))
        try:
            while not self._stopping.is_set():
                self._beat()
                for name in timetable.due():
                    self._run(self._jobs[name], timetable.next_due(name))
                for job in self._requested():
                    self._run(job)
                self._stopping.wait(POLL_SECONDS)
        finally:
            heartbeat.remove(self._state, "scheduler")
        _say("scheduler", "stopped")
        return 0

    def _first_due_in(self, job: Job) -> float:
        """Seconds from now: a scheduler that is restarted over and over must not run its jobs each time."""
        before = self._status.jobs.get(job.name)
        if before is None:
            return 0.0
        return min(max(0.0, parse_utc(before.last_start) + job.every_seconds - time.time()), job.every_seconds)

    def _requested(self) -> list[Job]:
        try:
            requests = run_requests.take(self._state)
        except OSError as error:
            _say("requested", f"the run requests cannot be taken: {error}")
            # Not at once again: a broken folder would be reported several times a second.
            self._stopping.wait(BEAT_SECONDS)
            return []
        names = [("--name", request.model_name) if request.model_name else () for request in requests]
        return [Job("requested", drift_command(*name), 0.0) for name in names]

    def _run(self, job: Job, next_due: float | None = None) -> Ending:
        if self._stopping.is_set():
            return Ending("stopped", 0)
        before = self._status.jobs.get(job.name, JobStatus("", "running"))
        running = dataclasses.replace(
            before,
            last_start=utc_text(time.time()),
            outcome="running",
            next_due=None if next_due is None else utc_text(next_due),
        )
        self._record(job, running)
        begun = time.monotonic()
        ending = self._supervise(job, idle=job.name not in self._starved)
        if ending.outcome == "starved":
            _say(job.name, "waited too long for a processor at idle priority; starts again at nice 10")
            self._starved.add(job.name)
            ending = self._supervise(job, idle=False)
        ended = dataclasses.replace(
            running,
            last_end=utc_text(time.time()),
            outcome=ending.outcome,
            exit_code=ending.exit_code,
            runs=before.runs + 1,
            runs_not_ok=before.runs_not_ok + (ending.outcome not in ("ok", "stopped")),
        )
        self._record(job, ended)
        code = f" (exit code {ending.exit_code})" if ending.exit_code else ""
        later = f", next at {ended.next_due[11:19]} UTC" if ended.next_due else ""
        _say(job.name, f"{ending.outcome}{code} after {time.monotonic() - begun:.1f} s{later}")
        return ending

    def _supervise(self, job: Job, idle: bool) -> Ending:
        """Start the job and stay with it to its end, its timeout, its starvation or our own stop."""
        try:
            process = start(job, idle, self._settings)
        except OSError as error:
            _say(job.name, f"cannot be started: {error}")
            return Ending("not started", os.EX_OSERR)
        deadline = time.monotonic() + self._settings.timeout_seconds
        # A job that was asked for has somebody waiting. And none is held back until it is too late to end.
        pacer = Pacer(process.pid, self._settings.idle_share if idle and job.every_seconds else 1.0)
        paced_until = time.monotonic() + self._settings.timeout_seconds / 2
        cut: Ending | None = None
        while cut is None and not has_ended(process):
            self._beat()
            if time.monotonic() < paced_until:
                pacer.pass_time(POLL_SECONDS)
            else:
                self._stopping.wait(POLL_SECONDS)
            if self._stopping.is_set():
                cut = Ending("stopped", 0)
            elif time.monotonic() > deadline:
                cut = Ending("timeout", EXIT_TIMEOUT)
            elif idle and _waited_seconds(process) > self._settings.starved_after_seconds:
                cut = Ending("starved", 0)
        stop_group(process, self._settings.kill_after_seconds)
        return cut or _ending(process.returncode)

    def _record(self, job: Job, status: JobStatus) -> None:
        self._status = dataclasses.replace(self._status, jobs={**self._status.jobs, job.name: status})
        try:
            make_dirs(self._state)
            write_atomically(self._state / "scheduler.json", msgspec.json.encode(self._status))
        except OSError as error:
            _say(job.name, f"its outcome cannot be recorded: {error}")

    def _beat(self) -> None:
        # From this loop and not from a thread: a heartbeat that goes on while the loop hangs would be a lie.
        if time.monotonic() - self._beat_at >= BEAT_SECONDS:
            self._beat_at = time.monotonic()
            with contextlib.suppress(OSError):
                heartbeat.write(self._state, "scheduler", time.time())


class Timetable:
    """Which jobs are due, as decided by `schedule`, whose clock is made to run evenly.

    `schedule` compares local wall-clock times, so a clock set back by an hour, or the end of summer time, would
    stop every job for that hour. Whenever the wall clock departs from the monotonic one, the due times are
    moved along with it. And `schedule` only notes down that a job is due, never runs it: there an exception
    would skip the others and be tried again without a pause.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        first_due_in: Callable[[Job], float],
        wall: Callable[[], datetime] = datetime.now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._seen = wall(), monotonic()
        self._due: list[str] = []
        self._schedule = schedule.Scheduler()
        self._entries: dict[str, schedule.Job] = {}
        for job in jobs:
            entry = self._schedule.every(1).seconds.do(self._due.append, job.name)
            entry.interval = job.every_seconds  # `every()` accepts whole numbers only
            entry.next_run = wall() + timedelta(seconds=first_due_in(job))
            self._entries[job.name] = entry

    def due(self) -> list[str]:
        """The names of the jobs to run now, each once however often it was missed."""
        self._follow_the_wall_clock()
        self._schedule.run_pending()
        names = list(dict.fromkeys(self._due))
        self._due.clear()
        return names

    def next_due(self, name: str) -> float:
        """When a job falls due next, in seconds since the epoch."""
        return (self._entries[name].next_run or self._wall()).timestamp()

    def _follow_the_wall_clock(self) -> None:
        wall, monotonic = self._wall(), self._monotonic()
        jump = (wall - self._seen[0]).total_seconds() - (monotonic - self._seen[1])
        if abs(jump) >= JUMP_SECONDS:
            for entry in self._entries.values():
                entry.next_run = (entry.next_run or wall) + timedelta(seconds=jump)
            self._seen = wall, monotonic


def start(job: Job, idle: bool, settings: SchedulerSettings) -> subprocess.Popen[bytes]:
    """Start `job` in its own session, at idle priority or at nice 10, its memory bounded. Raises OSError.

    Priority and limit are set from outside: the less runs between fork and exec the better, and an interpreter
    needs far longer to start its first thread. The disk follows, because Linux gives a process of the idle class
    idle I/O too.
    """
    environment = os.environ | ONE_THREAD | {"SENTINEL_DRIFT_INTERVAL_SECONDS": f"{settings.interval_seconds:g}"}
    process = subprocess.Popen(
        job.command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        env=environment,
        # One system call. This process has one thread, so no lock of another one can be held for ever in the child.
        preexec_fn=continue_when_orphaned,
    )
    # It may be over already, or the host may forbid a step; a job at a higher priority is better than none.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_DATA)
        bound = settings.memory_bytes_max if hard == resource.RLIM_INFINITY else min(settings.memory_bytes_max, hard)
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (bound, bound))
        wanted = NICE_IDLE if idle else NICE_STARVED
        nice = max(wanted, os.getpriority(os.PRIO_PROCESS, 0))
        os.setpriority(os.PRIO_PROCESS, process.pid, nice)
        if idle:
            os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
        # Where Linux groups processes by session (sched_autogroup_enabled), priorities count within a group only, and
        # each group gets the same share. This one is the job's alone.
        with contextlib.suppress(FileNotFoundError):
            Path(f"/proc/{process.pid}/autogroup").write_text(f"{nice}")
    return process


def read_status(state: Path) -> Status:
    """The recorded outcomes; empty when there are none, or none that this program can read."""
    try:
        return msgspec.json.decode((state / "scheduler.json").read_bytes(), type=Status)
    except (OSError, msgspec.MsgspecError):
        return Status()


def parse_interval(text: str) -> float:
    """Seconds of `300`, `90s`, `5m`, `1.5h` or `1d`, from 1 s to 30 days. Raises argparse.ArgumentTypeError.

    >>> parse_interval("5m"), parse_interval("300")
    (300.0, 300.0)
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smhd]?)", text.strip())
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]] if match else 0.0
    if not 1 <= seconds <= INTERVAL_SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no interval; write 300, 90s, 5m, 1h or 1d, from 1s to 30d")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scheduler.py",
        description="Starts drift runs: regularly, and when the report library or a client asks for one.",
        epilog="Settings: section [scheduler] of sentinel.toml, or SENTINEL_SCHEDULER_INTERVAL_SECONDS, ... "
        "Exit codes: 0 stopped, 2 settings, 75 another scheduler runs; with --once the worst code of the jobs.",
    )
    parser.add_argument(
        "--interval", type=parse_interval, metavar="5m", help="time between drift runs (default: 5m, or the setting)"
    )
    parser.add_argument("--once", action="store_true", help="run every job once, now, and exit")
    return parser


def _waited_seconds(process: subprocess.Popen[bytes]) -> float:
    """How long the job was ready to run and got no processor; 0 where the kernel does not tell."""
    try:
        return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _ending(code: int) -> Ending:
    if code < 0:
        return Ending("killed", 128 - code)
    outcomes: dict[int, Outcome] = {0: "ok", os.EX_TEMPFAIL: "busy"}
    return Ending(outcomes.get(code, "failed"), code)


def _say(subject: str, text: str) -> None:
    print(f"{utc_text(time.time())} {subject}: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
