"""The scheduler with real subprocesses: endings, limits, stopping, requests."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

import scheduler
from drift_engine import run_requests
from drift_engine.actions.settings import RetrainingSettings
from gateway import heartbeat
from gateway.clock import utc_text
from gateway.label_settings import LabelSettings
from gateway.log.settings import LogSettings
from scheduler import Job, JobStatus, Scheduler, SchedulerSettings, read_status
from tests.processes import is_gone
from tests.tools import wait_until

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
QUICK = SchedulerSettings(kill_after_seconds=1.0, idle_share=1.0)
NEVER = JobStatus("", "running")


def python(code: str, name: str = "job", every_seconds: float = 3600.0) -> Job:
    """A job that runs a piece of Python."""
    return Job(name, (sys.executable, "-c", code), every_seconds)


def once(state: Path, *jobs: Job, settings: SchedulerSettings = QUICK) -> tuple[int, dict[str, JobStatus]]:
    """Run `jobs` once; the exit code and what was recorded."""
    code = Scheduler(jobs, state, settings).run_once()
    return code, outcomes(state)


@contextmanager
def running(state: Path, *jobs: Job, settings: SchedulerSettings = QUICK) -> Iterator[Scheduler]:
    """A scheduler that works in a thread for as long as the block runs."""
    under_test = Scheduler(jobs, state, settings)
    thread = threading.Thread(target=under_test.run_forever)
    thread.start()
    try:
        yield under_test
    finally:
        under_test.stop()
        thread.join(timeout=10)
        assert not thread.is_alive()


def outcomes(state: Path) -> dict[str, JobStatus]:
    """The recorded outcomes by job."""
    return read_status(state).jobs


def lines(path: Path) -> list[str]:
    """The lines of a file that may not be there yet."""
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ("code", "outcome", "exit_code"),
    [
        ("pass", "ok", 0),
        ("raise SystemExit(1)", "failed", 1),
        ("raise SystemExit(75)", "busy", 75),
        ("import os; os.kill(os.getpid(), 9)", "killed", 137),
    ],
)
def test_how_a_run_ended_is_recorded_and_returned(
    tmp_path: Path, code: str, outcome: str, exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every ending has a name and a code, in scheduler.json, in the exit code of --once and in one printed line."""
    returned, recorded = once(tmp_path, python(code))
    assert returned == exit_code
    assert (recorded["job"].outcome, recorded["job"].exit_code) == (outcome, exit_code)
    assert recorded["job"].last_start < (recorded["job"].last_end or "")
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1
    assert f"job: {outcome}" in printed[0]


def test_a_job_that_cannot_be_started_does_not_stop_the_others(tmp_path: Path) -> None:
    """A missing program is one job's outcome; the next job still runs, and --once tells of the worst."""
    returned, recorded = once(tmp_path, Job("absent", ("/no/such/program",), 60), python("pass", "present"))
    assert returned == os.EX_OSERR
    assert {name: status.outcome for name, status in recorded.items()} == {"absent": "not started", "present": "ok"}


def test_a_job_runs_in_its_own_session_at_idle_priority_with_bounded_memory(tmp_path: Path) -> None:
    """What a job may take from the host is bounded before it does anything."""
    seen = tmp_path / "seen.json"
    code = (
        "import json, os, resource, time\n"
        # Priority and limit are set by the parent just after the start.
        "deadline = time.monotonic() + 5\n"
        "while os.sched_getscheduler(0) != os.SCHED_IDLE and time.monotonic() < deadline: time.sleep(0.01)\n"
        "json.dump([os.getsid(0) == os.getpid(), os.nice(0), os.sched_getscheduler(0) == os.SCHED_IDLE,"
        f" resource.getrlimit(resource.RLIMIT_DATA)[0]], open({str(seen)!r}, 'w'))"
    )
    settings = SchedulerSettings(idle_share=1.0, memory_bytes_max=512 * 1024**2)
    assert once(tmp_path, python(code), settings=settings)[0] == 0
    assert json.loads(seen.read_text()) == [True, 19, True, 512 * 1024**2]


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this Linux does not group processes by session")
def test_a_job_is_low_among_sessions_too(tmp_path: Path) -> None:
    """Each session has the same share of a processor, whatever its members' priorities, unless it is told otherwise."""
    seen = tmp_path / "seen.txt"
    code = (
        "import pathlib, time\n"
        "group = pathlib.Path('/proc/self/autogroup')\n"
        "deadline = time.monotonic() + 5\n"
        "while 'nice 19' not in group.read_text() and time.monotonic() < deadline: time.sleep(0.01)\n"
        f"pathlib.Path({str(seen)!r}).write_text(group.read_text())"
    )
    assert once(tmp_path, python(code))[0] == 0
    assert seen.read_text().strip().endswith("nice 19")


def test_a_regular_job_is_held_back_and_one_that_was_asked_for_is_not(tmp_path: Path) -> None:
    """Beside processes that want all processors; each job says how much of a second it has run."""
    ran = tmp_path / "ran"
    code = f"""
import time
end = time.monotonic() + 3
while time.monotonic() < end: pass
open({str(ran)!r}, "a").write(f"{{time.process_time():.3f}}\\n")
"""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        regular, asked = python(code), python(code, "requested", every_seconds=0.0)
        assert once(tmp_path / "state", regular, settings=SchedulerSettings())[0] == 0
        assert once(tmp_path / "state", asked, settings=SchedulerSettings())[0] == 0
    finally:
        for process in others:
            process.kill()
            process.wait()
    held_back, free = map(float, lines(ran))
    # Both are at idle priority, so neither gets much; how much is the kernel's to say.
    assert held_back < 0.3 * 3
    assert free > 0


def test_a_job_that_takes_too_much_memory_fails_alone(tmp_path: Path) -> None:
    """The bound is real: an allocation beyond it fails in the job."""
    settings = SchedulerSettings(idle_share=1.0, memory_bytes_max=256 * 1024**2)
    code = "import time; time.sleep(0.3); bytearray(400 * 1024**2)"
    before = resource.getrlimit(resource.RLIMIT_DATA)
    _, recorded = once(tmp_path, python(code), settings=settings)
    assert recorded["job"].outcome == "failed"
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_job_that_ignores_its_timeout_is_killed_with_all_it_started(tmp_path: Path) -> None:
    """TERM first, then KILL to the whole group: no grandchild is left behind."""
    pids = tmp_path / "pids"
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal, time;"
        " signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}}\\n{{child.pid}}\\n')\n"
        "time.sleep(600)"
    )
    settings = SchedulerSettings(idle_share=1.0, timeout_seconds=1.0, kill_after_seconds=0.5)
    returned, recorded = once(tmp_path, python(code), settings=settings)
    assert (returned, recorded["job"].outcome) == (124, "timeout")
    assert len(lines(pids)) == 2
    wait_until(lambda: all(is_gone(int(pid)) for pid in lines(pids)), 5, "the job and its child to be gone")


def test_what_a_job_leaves_running_ends_with_it(tmp_path: Path) -> None:
    """A job that ends well takes its forgotten children along."""
    pid_file = tmp_path / "pid"
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pid_file)!r}, 'w').write(str(child.pid))"
    )
    assert once(tmp_path, python(code))[0] == 0
    wait_until(lambda: is_gone(int(pid_file.read_text())), 5, "the grandchild to be gone")


def test_a_starved_job_is_started_again_at_nice_10(tmp_path: Path) -> None:
    """On a host that is always busy an idle job never gets on; it must finish all the same."""
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("this kernel does not tell how long a process waited")
    starts = tmp_path / "starts"
    code = (
        "import os, time\n"
        "time.sleep(0.3)\n"
        f"open({str(starts)!r}, 'a').write(f'{{os.sched_getscheduler(0) == os.SCHED_IDLE}} {{os.nice(0)}}\\n')\n"
        "while os.sched_getscheduler(0) == os.SCHED_IDLE: pass"
    )
    burn = "import os; os.sched_setaffinity(0, {0})\nwhile True: pass"
    before = os.sched_getaffinity(0)
    # Bound to one processor, which something else wants all the time.
    os.sched_setaffinity(0, {min(before)})
    burner = subprocess.Popen([sys.executable, "-c", burn.replace("{0}", f"{{{min(before)}}}")])
    try:
        settings = SchedulerSettings(
            idle_share=1.0, starved_after_seconds=0.5, kill_after_seconds=1, timeout_seconds=20
        )
        returned, recorded = once(tmp_path, python(code), settings=settings)
    finally:
        burner.kill()
        burner.wait()
        os.sched_setaffinity(0, before)
    assert (returned, recorded["job"].outcome) == (0, "ok")
    assert lines(starts)[-1] == "False 10"


def test_a_failing_job_neither_spins_nor_stops_the_others(tmp_path: Path) -> None:
    """A job that fails at once is tried again after its interval, while the others keep theirs."""
    bad, good = tmp_path / "bad", tmp_path / "good"
    fails = python(f"open({str(bad)!r}, 'a').write('x\\n'); raise SystemExit(1)", "bad", every_seconds=1.0)
    works = python(f"open({str(good)!r}, 'a').write('x\\n')", "good", every_seconds=1.0)
    begun = time.monotonic()
    with running(tmp_path, fails, works):
        wait_until(lambda: outcomes(tmp_path).get("good", NEVER).runs >= 3, 20, "three runs of the good job")
    assert len(lines(bad)) <= time.monotonic() - begun + 1
    recorded = outcomes(tmp_path)
    assert recorded["bad"].runs_not_ok == recorded["bad"].runs >= 2
    assert recorded["good"].runs_not_ok == 0
    assert (recorded["good"].next_due or "") > recorded["good"].last_start


def test_stopping_ends_the_running_job_and_removes_the_heartbeat(tmp_path: Path) -> None:
    """While it works it is seen to be alive; once stopped it leaves nothing running."""
    pid_file = tmp_path / "pid"
    slow = python(f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    with running(tmp_path, slow):
        wait_until(lambda: lines(pid_file), 10, "the job to start")
        assert "scheduler" in heartbeat.read_all(tmp_path)
        assert outcomes(tmp_path)["job"].outcome == "running"
    assert is_gone(int(pid_file.read_text()))
    assert outcomes(tmp_path)["job"].outcome == "stopped"
    assert heartbeat.read_all(tmp_path) == {}


def test_a_restarted_scheduler_keeps_to_the_interval(tmp_path: Path) -> None:
    """A scheduler that is restarted over and over does not run its jobs each time."""
    runs = tmp_path / "runs"
    job = python(f"open({str(runs)!r}, 'a').write('x\\n')")
    with running(tmp_path, job):
        wait_until(lambda: outcomes(tmp_path).get("job", NEVER).runs, 10, "a run")
    with running(tmp_path, job):
        wait_until(lambda: "scheduler" in heartbeat.read_all(tmp_path), 10, "the second start")
    assert len(lines(runs)) == 1


def test_a_recorded_start_in_the_future_delays_by_one_interval_at_most(tmp_path: Path) -> None:
    """A clock that was wrong when the record was written must not silence the job for years."""
    runs = tmp_path / "runs"
    status = scheduler.Status({"job": JobStatus("2099-01-01T00:00:00.000000Z", "ok")})
    (tmp_path / "scheduler.json").write_bytes(msgspec.json.encode(status))
    with running(tmp_path, python(f"open({str(runs)!r}, 'a').write('x\\n')", every_seconds=1.0)):
        wait_until(lambda: lines(runs), 10, "a run")


def test_a_damaged_record_is_no_reason_not_to_run(tmp_path: Path) -> None:
    """scheduler.json informs people; nothing depends on it."""
    (tmp_path / "scheduler.json").write_text("{broken")
    returned, recorded = once(tmp_path, python("pass"))
    assert (returned, recorded["job"].outcome) == (0, "ok")


def test_a_record_that_cannot_be_written_is_no_reason_not_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full or broken disk is reported, and the job runs."""
    (tmp_path / "scheduler.json").mkdir()
    assert Scheduler((python("pass"),), tmp_path, QUICK).run_once() == 0
    assert "its outcome cannot be recorded" in capsys.readouterr().out


def test_a_request_is_taken_within_seconds_and_runs_the_named_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the exporter writes into the spool becomes a run of that model, once."""
    runs = tmp_path / "runs"
    code = f"import sys; open({str(runs)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')"
    monkeypatch.setattr(scheduler, "drift_command", lambda *more: (sys.executable, "-c", code, *more))
    with running(tmp_path):
        run_requests.write(tmp_path, "fraud", time.time())
        wait_until(lambda: lines(runs), 5, "the requested run")
        run_requests.write(tmp_path, None, time.time())
        wait_until(lambda: len(lines(runs)) == 2, 5, "the second requested run")
    assert lines(runs) == ["--name fraud", ""]
    assert outcomes(tmp_path)["requested"].runs == 2


def cli(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python scheduler.py` on an empty data folder."""
    environment = os.environ | {"SENTINEL_PATHS_DATA": str(tmp_path / "data")}
    command = [sys.executable, "scheduler.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)


def test_a_second_scheduler_says_so_and_leaves(tmp_path: Path) -> None:
    """Two schedulers on one data folder would run everything twice."""
    locks = tmp_path / "data" / "state" / "locks"
    locks.mkdir(parents=True)
    with open(locks / "scheduler.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = cli(tmp_path)
    assert second.returncode == 75
    assert "another scheduler" in second.stderr


@pytest.mark.parametrize("wrong", ["0", "5 parsecs", "-5m", "", "0.5s", "1e9", "31d"])
def test_a_wrong_interval_is_refused_in_words(tmp_path: Path, wrong: str) -> None:
    """The usage error names what would be accepted."""
    refused = cli(tmp_path, f"--interval={wrong}")
    assert refused.returncode == 2
    assert "write 300, 90s, 5m, 1h or 1d" in refused.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("300", 300), ("90s", 90), ("5m", 300), ("1.5h", 5400), ("1d", 86400), (" 5m ", 300)]
)
def test_intervals_are_written_as_people_do(text: str, seconds: float) -> None:
    """Seconds unless a unit is given."""
    assert scheduler.parse_interval(text) == seconds


def test_retention_has_a_job_only_where_the_operator_set_a_limit() -> None:
    """Sealing comes before the drift run that reads what was sealed; nothing is deleted by default."""
    settings = SchedulerSettings(interval_seconds=300.0)
    assert [(job.name, job.every_seconds) for job in scheduler.jobs(settings, LogSettings(), LabelSettings())] == [
        ("seal", 60.0),
        ("drift", 300.0),
        ("history", 3600.0),
    ]
    limits = LogSettings(seal_interval_seconds=5.0, retention_bytes=10**9, reports_days=30)
    names = [job.name for job in scheduler.jobs(settings, limits, LabelSettings())]
    assert names == ["seal", "expire", "expire reports", "drift", "history"]


def test_acting_has_a_job_only_where_it_is_set_what_to_do() -> None:
    """After the drift run, whose decision it acts on."""
    retraining = RetrainingSettings(command=("true",))
    found = {job.name: job for job in scheduler.jobs(SchedulerSettings(), LogSettings(), LabelSettings(), retraining)}
    assert list(found) == ["seal", "drift", "act", "history"]
    assert found["act"].command[1:4] == ("-m", "drift_engine", "act")


def test_the_jobs_of_an_installation_run(tmp_path: Path) -> None:
    """Each command exists and ends well where nothing is registered and nothing was logged."""
    (tmp_path / "data" / "live").mkdir(parents=True)
    environment = os.environ | {
        "SENTINEL_PATHS_DATA": str(tmp_path / "data"),
        "SENTINEL_PATHS_MODELS": str(tmp_path / "models"),
        "SENTINEL_PATHS_REPORTS": str(tmp_path / "reports"),
        "SENTINEL_LOG_RETENTION_DAYS": "30",
        "SENTINEL_LOG_REPORTS_DAYS": "30",
    }
    done = subprocess.run([sys.executable, "scheduler.py", "--once"], cwd=ROOT, env=environment, timeout=120)
    assert done.returncode == 0
    assert {name: job.outcome for name, job in outcomes(tmp_path / "data" / "state").items()} == dict.fromkeys(
        ("seal", "expire", "expire reports", "drift", "history"), "ok"
    )


def test_help_names_the_options(tmp_path: Path) -> None:
    """--help works without any setup."""
    helped = cli(tmp_path, "--help")
    assert helped.returncode == 0
    assert "--interval" in helped.stdout
    assert "--once" in helped.stdout


def test_sigterm_stops_the_process_with_exit_code_0(tmp_path: Path) -> None:
    """The real process, stopped the way a service manager does it."""
    state = tmp_path / "data" / "state"
    state.mkdir(parents=True)
    # A recent run on record: the first drift run is not due while the test lasts.
    status = scheduler.Status({"drift": JobStatus(utc_text(time.time()), "ok")})
    (state / "scheduler.json").write_bytes(msgspec.json.encode(status))
    environment = os.environ | {"SENTINEL_PATHS_DATA": str(tmp_path / "data")}
    process = subprocess.Popen(
        [sys.executable, "scheduler.py"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: "scheduler" in heartbeat.read_all(state), 20, "its heartbeat")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert output.splitlines()[-1].endswith("scheduler: stopped")
    assert heartbeat.read_all(state) == {}


#: `scheduler.py` with another job than the drift run.
DRIVER = "import sys, scheduler; scheduler.jobs = lambda *_: (scheduler.Job('job', tuple(sys.argv[1:]), 60.0),);"


def driver(tmp_path: Path, code: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A real scheduler process whose only job runs a piece of Python."""
    run = f"{DRIVER} sys.exit(scheduler.main({list(arguments)!r}))"
    environment = os.environ | {"SENTINEL_PATHS_DATA": str(tmp_path / "data")}
    return subprocess.Popen([sys.executable, "-c", run, sys.executable, "-c", code], cwd=ROOT, env=environment)


def test_a_killed_scheduler_leaves_the_way_free_and_its_run_unharmed(tmp_path: Path) -> None:
    """kill -9: the lock goes with the process, even though its job lives on and finishes."""
    pid_file, go, done = tmp_path / "pid", tmp_path / "go", tmp_path / "done"
    code = (
        "import os, pathlib, time\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\n"
        f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.02)\n"
        f"pathlib.Path({str(done)!r}).write_text('done')"
    )
    first = driver(tmp_path, code)
    try:
        wait_until(lambda: lines(pid_file), 20, "the job to start")
        first.kill()
        first.wait()
        assert driver(tmp_path, "pass", "--once").wait(20) == 0
        assert not is_gone(int(pid_file.read_text()))
    finally:
        first.kill()
        go.touch()
    wait_until(lambda: lines(done) == ["done"], 10, "the orphaned job to finish")
