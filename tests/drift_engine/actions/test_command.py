"""`python -m drift_engine act` with real commands: once per incident, whatever dies or hangs."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drift_engine.results.incidents import IncidentStore
from gateway.registry import Registry
from tests.drift_engine.actions.place import NAME, ROOT, Place, python
from tests.drift_engine.test_cli import log_answers
from tests.processes import is_gone
from tests.tools import wait_until


def test_a_command_runs_once_for_an_incident_and_is_told_of_it(place: Place) -> None:
    """By its words and its environment; what it said and how it ended is kept."""
    code = (
        "import os, sys; print(sys.argv[1:]); "
        "print({k: v for k, v in os.environ.items() if k.startswith('SENTINELML_')})"
    )
    command = f"{python(code)} {{model_name}} v{{model_version}} {{unknown}}"
    done = place.act(command=command)
    assert done.returncode == 0, done.stderr
    (action,) = place.actions
    assert action.ended is not None
    assert (action.ended.outcome, action.ended.code) == ("ok", 0)
    assert "['numbers', 'v1', '{unknown}']" in action.ended.output
    for told in ("'SENTINELML_INCIDENT_ID': 'performance-", "'SENTINELML_DECISION': 'recommended'", "20.1 %"):
        assert told in action.ended.output
    assert action.begun.target == sys.executable
    assert action.begun.reasons == ("accuracy fell by 20.1 %",)
    assert place.act(command=command).stdout == "nothing is to be done\n"
    assert len(place.actions) == 1


def test_a_command_of_ours_accepts_the_environment(place: Place) -> None:
    """None of the variables looks like a setting, which a command would refuse as unknown."""
    command = shlex.join([sys.executable, "-m", "gateway.registry", "list"])
    assert place.act(command=command).returncode == 0
    assert place.actions[0].ended is not None
    assert "numbers" in place.actions[0].ended.output


@pytest.mark.parametrize(
    ("command", "detail", "exit_code"),
    [
        (python("import sys; print('no rows'); sys.exit(3)"), "exit code 3", 3),
        ("no-such-program-at-all --now", "cannot be started: No such file or directory", None),
        (python("import os; os.kill(os.getpid(), 11)"), "exit code 139", 139),
    ],
)
def test_a_command_that_fails_is_recorded_and_not_repeated(
    place: Place, command: str, detail: str, exit_code: int | None
) -> None:
    """At most once: whoever wants it again runs it."""
    assert place.act(command=command).returncode == 1
    (action,) = place.actions
    assert action.ended is not None
    assert (action.ended.outcome, action.ended.code, action.ended.detail) == ("failed", exit_code, detail)
    assert place.act(command=command).returncode == 0
    assert len(place.actions) == 1


def test_a_command_that_hangs_is_stopped_with_all_that_it_started(place: Place, tmp_path: Path) -> None:
    """Also what it started and does not wait for; what it printed until then is kept."""
    child = tmp_path / "child"
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"p = subprocess.Popen(['sleep', '600'])\nopen({str(child)!r}, 'w').write(str(p.pid))\n"
        "print('fitting', flush=True)\ntime.sleep(600)"
    )
    began = time.monotonic()
    assert place.act(command=python(code), timeout_seconds="2").returncode == 1
    assert time.monotonic() - began < 30
    (action,) = place.actions
    assert action.ended is not None
    assert (action.ended.outcome, action.ended.output) == ("timeout", "fitting\n")
    wait_until(lambda: is_gone(int(child.read_text())), 5, "the command's child to be gone")


def test_of_much_output_the_end_is_kept(place: Place) -> None:
    """Nothing fills the disk, and no full pipe stops the command."""
    assert place.act(command=python("print('x' * 10_000_000); print('the end')")).returncode == 0
    (action,) = place.actions
    assert action.ended is not None
    assert len(action.ended.output) == 4096
    assert action.ended.output.endswith("the end\n")


def test_a_child_that_keeps_the_output_open_keeps_nobody_waiting(place: Place) -> None:
    """What a command leaves behind ends with it."""
    code = "import subprocess; print('done', flush=True); subprocess.Popen(['sleep', '600'])"
    began = time.monotonic()
    assert place.act(command=python(code)).returncode == 0
    assert time.monotonic() - began < 30


def test_killed_in_the_middle_it_never_runs_the_command_again(place: Place, tmp_path: Path) -> None:
    """The record says that it began and not how it ended; the command does not outlive it."""
    ran = tmp_path / "ran"
    code = f"import os, time\nopen({str(ran)!r}, 'a').write(f'{{os.getpid()}}\\n')\ntime.sleep(600)"
    process = place.started(command=python(code))
    try:
        wait_until(lambda: ran.exists() and ran.read_text().endswith("\n"), 30, "the command to run")
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: is_gone(int(ran.read_text())), 5, "the command to be gone")
    (action,) = place.actions
    assert action.ended is None
    assert place.act(command=python(code)).returncode == 0
    assert len(ran.read_text().splitlines()) == 1


def test_stopped_it_stops_the_command_too(place: Place, tmp_path: Path) -> None:
    """As the scheduler stops a job: TERM."""
    ran = tmp_path / "ran"
    code = (
        f"import subprocess\np = subprocess.Popen(['sleep', '600'])\nopen({str(ran)!r}, 'w').write(f'{{p.pid}}\\n')\n"
        "p.wait()"
    )
    process = place.started(command=python(code))
    try:
        wait_until(lambda: ran.exists() and ran.read_text().endswith("\n"), 30, "the command to run")
    finally:
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM
    wait_until(lambda: is_gone(int(ran.read_text())), 5, "the command's child to be gone")


def test_two_at_once_act_once(place: Place, tmp_path: Path) -> None:
    """The second one does not wait: it comes again by itself."""
    ran, go_on = tmp_path / "ran", tmp_path / "go-on"
    code = (
        f"import pathlib, time\nopen({str(ran)!r}, 'a').write('once\\n')\n"
        f"while not pathlib.Path({str(go_on)!r}).exists(): time.sleep(0.05)"
    )
    process = place.started(command=python(code))
    try:
        wait_until(ran.exists, 30, "the command to run")
        second = place.act(command=python(code))
        assert second.returncode == 75
        assert "under way" in second.stderr
    finally:
        go_on.touch()
        assert process.wait(30) == 0
    assert ran.read_text() == "once\n"


def test_from_harm_to_an_action(registered: Path, tmp_path: Path) -> None:
    """The scheduler's commands on a log whose answers are all wrong: a critical alert, an incident, an action, once."""
    shutil.copytree(registered, tmp_path / "root")
    real = Place(tmp_path / "root")
    registry = Registry(real.root / "models", real.root / "data" / "reference")
    log_answers(real.root, registry.resolve(NAME, None), shift=0.0, rows=300, flipped=True)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "drift_engine", "run", "--scheduled"],
            cwd=ROOT,
            env=real.environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "retraining: recommended" in done.stdout
        assert "incident, critical: performance" in done.stdout
        acted = real.act(command=python("import os; print(os.environ['SENTINELML_REASONS'])"))
        assert acted.returncode == 0, acted.stderr
    state = IncidentStore(real.reports).read(NAME, "1")
    assert state is not None
    assert [(item.alert, item.severity, item.windows) for item in state.open] == [("performance", "critical", 2)]
    (action,) = real.actions
    assert action.begun.incident == state.open[0].id
    assert action.begun.run_id == state.open[0].first_run_id
    assert action.ended is not None
    assert action.ended.outcome == "ok"
    assert action.ended.output.startswith("accuracy fell by ")
