"""Labels that an operator's command prints: recorded as from a file, on a schedule, and whatever the command does."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

import scheduler
from gateway.fetch_labels import CommandFailed, run
from gateway.label_settings import LabelSettings
from gateway.log.settings import LogSettings
from gateway.registry import ModelCard
from gateway.settings import InvalidSettings, Paths, load
from scheduler import Job, SchedulerSettings, read_status
from tests.logs import label_rows
from tests.models import register_numbers
from tests.processes import is_gone
from tests.running import Place, started
from tests.tools import wait_until

IDS = [str(uuid.UUID(int=number)) for number in range(1, 10)]
HEADER = "request_id,label"


def prints(*lines: str) -> list[str]:
    """A command that prints lines of labels under their header."""
    return [sys.executable, "-c", f"print({chr(10).join([HEADER, *lines])!r})"]


def runs(code: str) -> list[str]:
    """A command that runs a piece of Python."""
    return [sys.executable, "-c", code]


def write_settings(tmp_path: Path, command: Sequence[str], **settings: object) -> None:
    """A settings file that names a command."""
    keys = {"fetch_command": list(command), **settings}
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    (tmp_path / "sentinel.toml").write_text(f"[labels]\n{lines}")


def place_with(tmp_path: Path, command: Sequence[str], **settings: object) -> tuple[Place, ModelCard]:
    """A place whose settings file names a command, and its one model."""
    write_settings(tmp_path, command, **settings)
    place = Place(tmp_path, settings={"SENTINEL_SETTINGS": str(tmp_path / "sentinel.toml")})
    return place, register_numbers(place.registry, tmp_path / "in")


def logged(place: Place, card: ModelCard) -> list[tuple[str, str]]:
    """The labels in the log."""
    return [(row["request_id"], row["label"]) for row in label_rows(place.paths.live, card)]


def test_what_the_command_prints_is_recorded_once(tmp_path: Path) -> None:
    """As from a file: a label that is known already is skipped and counted; nothing else is left behind."""
    place, card = place_with(tmp_path, prints(f"{IDS[0]},1", f"{IDS[1]},0"))
    first, second = (place.run("-m", "gateway.fetch_labels") for _ in range(2))
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.startswith("numbers: 2 labels recorded; skipped: 0 ")
    assert second.stdout.startswith("numbers: 0 labels recorded; skipped: 2 ")
    assert logged(place, card) == [(IDS[0], "1"), (IDS[1], "0")]
    assert not list(place.paths.state.glob("fetched-*"))


def test_wrong_lines_refuse_all_that_was_fetched_or_are_left_out(tmp_path: Path) -> None:
    """As the setting says. What was refused is kept to be looked at."""
    place, card = place_with(tmp_path, prints(f"{IDS[0]},1", f"{IDS[1]},7"))
    refused = place.run("-m", "gateway.fetch_labels")
    assert (refused.returncode, logged(place, card)) == (1, [])
    assert "fetched-numbers.csv:3: label: must be one of 0, 1" in refused.stderr
    assert (place.paths.state / "fetched-numbers.csv").read_text().startswith(HEADER)
    with open(tmp_path / "sentinel.toml", "a") as file:
        file.write("fetch_skip_invalid = true\n")
    assert place.run("-m", "gateway.fetch_labels").returncode == 0
    assert logged(place, card) == [(IDS[0], "1")]


@pytest.mark.parametrize(
    ("code", "settings", "reason"),
    [
        ("print('request_id,label'); raise SystemExit(4)", {}, "failed with exit code 4"),
        ("import os; os.kill(os.getpid(), 9)", {}, "was ended by signal 9"),
        ("import time; time.sleep(60)", {"fetch_timeout_seconds": 1}, "took longer than 1 s"),
        ("import os, time; os.close(1); time.sleep(60)", {"fetch_timeout_seconds": 1}, "took longer than 1 s"),
        ("print('x' * 10**6)", {"fetch_bytes_max": 1024}, "printed more than 1,024 bytes"),
    ],
)
def test_a_command_that_fails_gives_no_label(
    tmp_path: Path, code: str, settings: dict[str, object], reason: str
) -> None:
    """Nor part of any; the reason is said, and the exit code is one of its own."""
    place, card = place_with(tmp_path, runs(code), **settings)
    began = time.monotonic()
    done = place.run("-m", "gateway.fetch_labels")
    assert (done.returncode, logged(place, card)) == (3, [])
    assert reason in done.stderr
    assert time.monotonic() - began < 30


def test_a_command_that_prints_nothing_has_no_labels(tmp_path: Path) -> None:
    """Nothing new is the normal case of a command that is asked every quarter of an hour."""
    place, _ = place_with(tmp_path, runs("pass"))
    done = place.run("-m", "gateway.fetch_labels")
    assert (done.returncode, done.stdout) == (0, "numbers: nothing was printed, so there are no labels\n")


def test_a_program_that_is_not_there_and_no_command_at_all(tmp_path: Path) -> None:
    """The first is the command's failure, the second a matter of settings."""
    place, _ = place_with(tmp_path, ["/no/such/program"])
    done = place.run("-m", "gateway.fetch_labels")
    assert (done.returncode, "could not be started: No such file" in done.stderr) == (3, True)
    assert place.run("-m", "gateway.fetch_labels", "--name", "numbers").returncode == 2
    assert Place(tmp_path).run("-m", "gateway.fetch_labels").returncode == 2


def test_models_have_commands_of_their_own_and_one_does_not_stop_the_other(tmp_path: Path) -> None:
    """A table each; the gravest exit code is returned."""
    place = Place(tmp_path, settings={"SENTINEL_SETTINGS": str(tmp_path / "sentinel.toml")})
    cards = [register_numbers(place.registry, tmp_path / name, name) for name in ("aaa", "bbb")]
    commands = {"aaa": runs("raise SystemExit(1)"), "bbb": prints(f"{IDS[0]},1")}
    (tmp_path / "sentinel.toml").write_text(
        "".join(f"[labels.models.{name}]\nfetch_command = {json.dumps(words)}\n" for name, words in commands.items())
    )
    done = place.run("-m", "gateway.fetch_labels")
    assert (done.returncode, [logged(place, card) for card in cards]) == (3, [[], [(IDS[0], "1")]])
    assert place.run("-m", "gateway.fetch_labels", "--name", "bbb").returncode == 0


def test_only_one_fetch_at_a_time(tmp_path: Path) -> None:
    """The second one comes again by itself."""
    place, _ = place_with(tmp_path, prints())
    lock = place.paths.state / "locks" / "fetch-labels.lock"
    lock.parent.mkdir(parents=True)
    with open(lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert place.run("-m", "gateway.fetch_labels").returncode == os.EX_TEMPFAIL


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGKILL])
def test_killed_in_the_middle_the_next_fetch_begins_anew(tmp_path: Path, with_signal: signal.Signals) -> None:
    """The command dies with it, nothing was recorded, and the lock is free."""
    pid = tmp_path / "pid"
    slow = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); print('request_id,label', flush=True)"
    place, card = place_with(tmp_path, runs(f"{slow}; time.sleep(60)"))
    with started(place, "-m", "gateway.fetch_labels") as fetching:
        wait_until(lambda: pid.exists() and pid.read_text(), 20, "the command")
        wait_until(lambda: any(place.paths.state.glob("fetched-*")), 20, "its output")
        fetching.stop(with_signal)
        wait_until(lambda: is_gone(int(pid.read_text())), 10, "the end of the command")
    assert logged(place, card) == []
    write_settings(tmp_path, prints(f"{IDS[0]},1"))
    assert place.run("-m", "gateway.fetch_labels").returncode == 0
    assert logged(place, card) == [(IDS[0], "1")]


def test_nothing_that_a_command_started_lives_on(tmp_path: Path) -> None:
    """What it left in the background is of no use to anybody."""
    pid = tmp_path / "pid"
    code = (
        "import subprocess, sys\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], stdout=subprocess.DEVNULL)\n"
        f"open({str(pid)!r}, 'w').write(str(left.pid))"
    )
    assert run(tuple(runs(code)), tmp_path / "out.csv", seconds=20, bytes_max=1024) == 0
    wait_until(lambda: is_gone(int(pid.read_text())), 10, "the end of what was left")
    with pytest.raises(CommandFailed, match="took longer"):
        run(("sh", "-c", "sleep 60 & wait"), tmp_path / "out.csv", seconds=0.5, bytes_max=1024)


@pytest.mark.alone
def test_the_scheduler_fetches(tmp_path: Path) -> None:
    """Beside its other jobs: the real one, with all of them."""
    place, card = place_with(tmp_path, prints(f"{IDS[0]},1"))
    place.settings["SENTINEL_SCHEDULER_STARVED_AFTER_SECONDS"] = "1"
    place.paths.live.mkdir(parents=True, exist_ok=True)
    done = place.run("scheduler.py", "--once", timeout=300)
    assert (done.returncode, logged(place, card)) == (0, [(IDS[0], "1")]), done.stderr
    assert "numbers: 1 labels recorded" in done.stdout
    status = read_status(place.paths.state).jobs["fetch labels"]
    assert (status.outcome, status.runs, status.runs_not_ok) == ("ok", 1, 0)
    job = Job("fetch labels", (sys.executable, "-m", "gateway.fetch_labels"), 900.0)
    assert job in scheduler.jobs(SchedulerSettings(), LogSettings(), LabelSettings(fetch_command=("true",)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\"curl -sf 'https://labels.example/?q=a b'\"", ("curl", "-sf", "https://labels.example/?q=a b")),
        ('["psql", "-c", "copy labels to stdout"]', ("psql", "-c", "copy labels to stdout")),
    ],
)
def test_a_command_is_words_or_one_text(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    """As a shell would cut it; `|`, `;` and `$` are nothing special."""
    file = tmp_path / "sentinel.toml"
    file.write_text(f"[labels]\nfetch_command = {text}\n")
    (found,) = load(LabelSettings, environ={}, file=file)
    assert found.commands == ((None, words),)


@pytest.mark.parametrize("value", ['""', "[]", "7", '"a \'b"', '["a", 1]', '[""]'])
def test_what_is_no_command_is_refused_at_the_start(tmp_path: Path, value: str) -> None:
    """With its key."""
    file = tmp_path / "sentinel.toml"
    file.write_text(f"[labels]\nfetch_command = {value}\n[labels.models.a]\nfetch_command = {value}\n")
    with pytest.raises(InvalidSettings) as refused:
        load(LabelSettings, environ={}, file=file)
    assert len(refused.value.faults) == 2


def test_the_environment_cannot_name_a_program() -> None:
    """Whoever can set a variable of one process must not thereby run another."""
    with pytest.raises(InvalidSettings, match="SENTINEL_LABELS_FETCH_COMMAND: only the settings file"):
        load(Paths, LabelSettings, environ={"SENTINEL_LABELS_FETCH_COMMAND": "rm -rf /"})


def test_nothing_is_fetched_by_default() -> None:
    """No command, no job."""
    assert LabelSettings().commands == ()
