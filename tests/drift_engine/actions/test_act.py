"""`python -m drift_engine act` with real commands and real servers: once per incident, whatever dies or hangs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from drift_engine.actions.act import Actor
from drift_engine.actions.settings import RetrainingSettings
from drift_engine.incidents.fold import fold
from drift_engine.results import ResultStore
from drift_engine.results.actions import Action, ActionLog, Begun, Ended
from drift_engine.results.incidents import Incidents, IncidentStore
from drift_engine.results.schema import Alert, Retraining, Window
from drift_engine.results.store import run_time
from gateway.clock import utc_text
from gateway.registry import Registry
from gateway.settings import InvalidSettings, load
from tests.drift_engine.test_cli import log_answers
from tests.incidents import blind, quality, run
from tests.models import register_numbers
from tests.processes import is_gone
from tests.tools import wait_until

ROOT = Path(__file__).resolve().parents[3]
NAME = "numbers"
SECRET = "s3cret-token-of-the-hook"


@dataclass(frozen=True)
class Place:
    """A registered model under `root`, for which retraining is recommended."""

    root: Path

    @property
    def reports(self) -> Path:
        """Where results, incidents and actions are."""
        return self.root / "reports"

    @property
    def actions(self) -> tuple[Action, ...]:
        """What was done."""
        return ActionLog(self.reports).read(NAME, "1")

    def bad(self, *alerts: Alert, seconds_ago: float = 60.0, decision: str = "recommended") -> Incidents:
        """Commit a run that found quality critically low, its window ended so long ago, and take stock."""
        end = time.time() - seconds_ago
        found = dataclasses.replace(
            run(0, *(alerts or (quality("critical"),))),
            run_id=f"{run_time(end + 11)}-000001",
            model_name=NAME,
            window=Window(utc_text(end - 300), utc_text(end), "scheduled"),
            retraining=Retraining(decision, ("accuracy fell by 20.1 %",), ("1,000 rows are labelled",)),  # type: ignore[arg-type]
        )
        ResultStore(self.reports).commit(found, b"<html>", end + 12)
        state = fold(IncidentStore(self.reports).read(NAME, "1"), found)
        IncidentStore(self.reports).write(state)
        return state

    def environment(self, **settings: str) -> dict[str, str]:
        """That of the command, which names a file with these settings of [retraining]."""
        file = self.root / "sentinel.toml"
        lines = [f"{name} = {text if _is_number(text) else json.dumps(text)}" for name, text in settings.items()]
        file.write_text("\n".join(["[retraining]", *lines]))
        paths = {f"SENTINEL_PATHS_{name.upper()}": str(self.root / name) for name in ("data", "models", "reports")}
        return os.environ | paths | {"SENTINEL_SETTINGS": str(file)}

    def act(self, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "drift_engine", "act"],
            cwd=ROOT,
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def started(self, **settings: str) -> subprocess.Popen[bytes]:
        """The command while it runs. The caller waits for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "drift_engine", "act"], cwd=ROOT, env=self.environment(**settings)
        )


def _is_number(text: str) -> bool:
    return text.lstrip("-").isdigit()


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one registered model and nothing else."""
    root = tmp_path_factory.mktemp("act")
    register_numbers(Registry(root / "models", root / "data" / "reference"), root / "files")
    return root


@pytest.fixture
def place(registered: Path, tmp_path: Path) -> Place:
    """A copy of it with a grave incident."""
    shutil.copytree(registered, tmp_path / "root")
    found = Place(tmp_path / "root")
    found.bad()
    return found


def python(code: str) -> str:
    """A command that runs a piece of Python."""
    return shlex.join([sys.executable, "-c", code])


@dataclass
class Hook:
    """A webhook: what it was sent, and what it answers."""

    url: str
    status: int
    received: list[tuple[dict[str, str], bytes]]


@contextlib.contextmanager
def hook(status: int = 204, location: str | None = None) -> Iterator[Hook]:
    """A real server on a free port."""
    received: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((dict(self.headers), body))
            self.send_response(status)
            if location is not None:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Hook(f"http://127.0.0.1:{server.server_port}/retrain/{SECRET}?key={SECRET}", status, received)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


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


def test_nothing_is_done_without_cause(place: Place) -> None:
    """Not without a setting, not for another matter, not on another decision, not for what was seen long ago."""
    assert "nothing is set" in place.act().stdout
    for state in (
        Incidents(NAME, "1", "", "", ()),
        dataclasses.replace(place.bad(), incidents=()),
    ):
        IncidentStore(place.reports).write(state)
        assert place.act(command=python("1/0")).returncode == 0
    drift = Alert("column_drift", "critical", "x0: far", "x0")
    place.bad(drift, seconds_ago=30)
    assert place.act(command=python("1/0")).returncode == 0
    place.bad(seconds_ago=20, decision="watch")
    assert place.act(command=python("1/0")).returncode == 0
    assert place.actions == ()


def test_an_incident_that_was_not_seen_for_a_day_is_no_cause(registered: Path, tmp_path: Path) -> None:
    """It stays open while nothing can be told; that is no reason to act now."""
    shutil.copytree(registered, tmp_path / "root")
    old = Place(tmp_path / "root")
    assert old.bad(seconds_ago=25 * 3600).open
    assert old.act(command=python("1/0")).returncode == 0
    assert old.actions == ()


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


def test_a_webhook_gets_the_decision_as_json(place: Place, tmp_path: Path) -> None:
    """With reasons, evidence and the report's path, and the token of the file. No record or output shows a secret."""
    token = tmp_path / "token"
    token.write_text(f"{SECRET}\n")
    with hook() as server:
        done = place.act(webhook=server.url, webhook_token_file=str(token))
        again = place.act(webhook=server.url, webhook_token_file=str(token))
    assert (done.returncode, again.returncode) == (0, 0)
    ((headers, body),) = server.received
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["Content-Type"] == "application/json"
    told = json.loads(body)
    assert (told["model_name"], told["model_version"], told["decision"]) == (NAME, "1", "recommended")
    assert told["incident_id"].startswith("performance-")
    assert (told["reasons"], told["evidence"]) == (["accuracy fell by 20.1 %"], ["1,000 rows are labelled"])
    assert Path(told["report"]).read_bytes() == b"<html>"
    (action,) = place.actions
    assert action.ended is not None
    assert (action.ended.outcome, action.ended.code) == ("ok", 204)
    assert SECRET not in ActionLog(place.reports).path(NAME, "1").read_text() + done.stdout + done.stderr


def test_a_webhook_that_refuses_is_recorded_and_not_asked_again(place: Place) -> None:
    """500 is an answer; a redirect is not followed, for it would take the token elsewhere."""
    with hook(500) as server:
        assert place.act(webhook=server.url).returncode == 1
        assert place.act(webhook=server.url).returncode == 0
    assert len(server.received) == 1
    (action,) = place.actions
    assert action.ended is not None
    assert (action.ended.outcome, action.ended.code, action.ended.detail) == ("failed", 500, "HTTP status 500")


def test_a_redirect_is_not_followed(place: Place) -> None:
    """The other server is never asked."""
    with hook() as other, hook(307, other.url) as server:
        assert place.act(webhook=server.url).returncode == 1
    assert (len(server.received), len(other.received)) == (1, 0)


def test_a_webhook_that_never_answers_has_an_end(place: Place) -> None:
    """Whether it is silent, or sends one byte after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:

        def drip() -> None:
            connection, _ = listener.accept()
            stack.enter_context(connection)
            with contextlib.suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.2)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        began = time.monotonic()
        done = place.act(webhook=f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout_seconds="1")
        assert time.monotonic() - began < 20
    thread.join(5)
    assert done.returncode == 1
    (action,) = place.actions
    assert action.ended is not None
    assert (action.ended.outcome, action.ended.detail) == ("timeout", "no answer within 1 s")


def test_a_webhook_that_nobody_listens_on_shows_no_url(place: Place) -> None:
    """Its path may be a secret."""
    done = place.act(webhook=f"http://127.0.0.1:9/{SECRET}")
    assert done.returncode == 1
    (action,) = place.actions
    assert action.ended is not None
    assert action.ended.detail == "no answer: Connection refused"
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("content", ["", "two words\n", "snowm\N{SNOWMAN}n"])
def test_a_token_file_that_holds_no_token_sends_nothing(place: Place, tmp_path: Path, content: str) -> None:
    """Rather not told than told without the token."""
    token = tmp_path / "token"
    token.write_text(content)
    with hook() as server:
        assert place.act(webhook=server.url, webhook_token_file=str(token)).returncode == 1
    assert server.received == []
    (action,) = place.actions
    assert action.ended is not None
    assert action.ended.detail == "the token file cannot be used"


def actor(place: Place, now: float, **settings: object) -> Actor:
    """An actor whose clock stands at `now`."""
    return Actor(place.reports, RetrainingSettings(**settings), lambda: now)  # type: ignore[arg-type]


def test_between_two_actions_of_a_model_lies_the_cool_down(place: Place) -> None:
    """Whatever its version. The next incident is not forgotten: it has its turn afterwards."""
    now = time.time()
    acting = actor(place, now, command=("true",), webhook="http://127.0.0.1:9/")
    log = ActionLog(place.reports)
    before = Begun(utc_text(now - 23 * 3600), "command", "performance-of-version-0", "true", "run", ())
    log.append(NAME, "0", before)
    assert [due.kind for due in acting.due(NAME, "1")] == ["webhook"]
    later = actor(place, now + 3601, command=("true",))
    assert [due.kind for due in later.due(NAME, "1")] == ["command"]
    hasty = actor(place, now, command=("true",), cooldown_hours=1.0)
    assert [due.kind for due in hasty.due(NAME, "1")] == ["command"]


def test_an_action_of_the_future_was_begun_by_a_wrong_clock(place: Place) -> None:
    """It does not hold up the next incident's; its own is done once all the same."""
    now = time.time()
    log = ActionLog(place.reports)
    log.append(NAME, "1", Begun(utc_text(now + 10**7), "command", "another", "true", "run", ()))
    acting = actor(place, now, command=("true",))
    (due,) = acting.due(NAME, "1")
    log.append(NAME, "1", Begun(utc_text(now + 10**7), "command", due.incident.id, "true", "run", ()))
    assert acting.due(NAME, "1") == ()


def test_what_cannot_be_read_is_no_licence_to_act(place: Place) -> None:
    """A damaged line may have been the one that says it was done. A torn last one was never synced."""
    begun = place.act(command=python("pass"))
    assert begun.returncode == 0
    path = ActionLog(place.reports).path(NAME, "1")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"begun", b"b\x00gun"))
    refused = place.act(command=python("pass"))
    assert refused.returncode == 1
    assert "actions.jsonl" in refused.stderr
    path.write_bytes(whole.replace(b'"format_version":1', b'"format_version":2'))
    assert "newer" in place.act(command=python("pass")).stderr
    assert path.read_bytes().count(b"\n") == 2


def test_a_torn_last_line_is_cut_off_by_the_next_writer(place: Place) -> None:
    """Cut at every byte: what was synced before it stays, and what was not says nothing."""
    log = ActionLog(place.reports)
    first = Begun(utc_text(0), "command", "one", "true", "run", ("why",))
    second = Ended(utc_text(1), "command", "one", "ok", 0, "", "said")
    log.append(NAME, "1", first)
    whole = log.path(NAME, "1").read_bytes()
    log.append(NAME, "1", second)
    both = log.path(NAME, "1").read_bytes()
    for size in range(len(both) + 1):
        log.path(NAME, "1").write_bytes(both[:size])
        expected = () if size < len(whole) else (Action(first, second if size == len(both) else None),)
        assert log.read(NAME, "1") == expected
        log.append(NAME, "1", dataclasses.replace(first, incident="two"))
        assert log.read(NAME, "1")[:-1] == expected
        assert log.read(NAME, "1")[-1].begun.incident == "two"


def test_the_format_of_version_1_reads_and_writes_back_the_same_bytes(tmp_path: Path) -> None:
    """The golden file is never regenerated: one action that failed, and one that was cut short."""
    golden = (Path(__file__).parents[1] / "golden" / "actions-v1.jsonl").read_bytes()
    log = ActionLog(tmp_path)
    log.path(NAME, "1").parent.mkdir(parents=True)
    log.path(NAME, "1").write_bytes(golden)
    failed, cut_short = log.read(NAME, "1")
    assert failed.ended is not None
    assert (failed.ended.code, cut_short.ended) == (2, None)
    for line in (failed.begun, failed.ended, cut_short.begun):
        log.append(NAME, "2", line)
    assert log.path(NAME, "2").read_bytes() == golden


def test_one_that_cannot_be_recorded_is_not_done(place: Place) -> None:
    """A folder stands where the record should be."""
    place.act(command=python("pass"))
    path = ActionLog(place.reports).path(NAME, "1")
    path.unlink()
    path.mkdir()
    done = place.act(command=python("raise SystemExit(0)"))
    assert done.returncode == 1
    assert list(path.iterdir()) == []


def test_the_newest_window_without_a_verdict_changes_nothing(place: Place) -> None:
    """The incident's own newest run decides, which is the one whose report shows it."""
    end = time.time() - 10
    later = dataclasses.replace(
        blind(0),
        run_id=f"{run_time(end)}-000002",
        model_name=NAME,
        window=Window(utc_text(end - 30), utc_text(end), "scheduled"),
    )
    ResultStore(place.reports).commit(later, b"<html>", end + 1)
    state = IncidentStore(place.reports).read(NAME, "1")
    IncidentStore(place.reports).write(fold(state, later))
    assert place.act(command=python("pass")).returncode == 0
    assert len(place.actions) == 1


def test_a_command_comes_from_the_settings_file_alone(place: Place) -> None:
    """Whoever can set a variable of a process may not name the program that another one runs."""
    done = subprocess.run(
        [sys.executable, "-m", "drift_engine", "act"],
        cwd=ROOT,
        env=place.environment() | {"SENTINEL_RETRAINING_COMMAND": "true"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "SENTINEL_RETRAINING_COMMAND: only the settings file may set this" in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ('command = ["make", "retrain", "NAME=a b"]', ("make", "retrain", "NAME=a b")),
        ("command = \"make retrain 'NAME=a b'\"", ("make", "retrain", "NAME=a b")),
    ],
)
def test_a_command_is_words_or_one_text(tmp_path: Path, command: str, words: tuple[str, ...]) -> None:
    """A text is split as a shell would, and nothing else of a shell happens."""
    file = tmp_path / "sentinel.toml"
    file.write_text(f"[retraining]\n{command}\n")
    (settings,) = load(RetrainingSettings, environ={}, file=file)
    assert settings.command == words


@pytest.mark.parametrize("value", ["[]", '""', '[""]', "[1]", "7", '["a", "b\\u0000"]', "{a = 1}"])
def test_a_command_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    """By name."""
    file = tmp_path / "sentinel.toml"
    file.write_text(f"[retraining]\ncommand = {value}\n")
    with pytest.raises(InvalidSettings, match="command"):
        load(RetrainingSettings, environ={}, file=file)


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


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("command", "'unclosed", "No closing quotation"),
        ("webhook", "ftp://127.0.0.1/", "must be an http:// or https:// URL"),
        ("webhook", f"http://user:{SECRET}@127.0.0.1/", "must not hold credentials"),
        ("webhook", f"http://127.0.0.1:{SECRET}/", "must be an http:// or https:// URL"),
        ("webhook", "http:///nowhere", "must be an http:// or https:// URL"),
        ("cooldown_hours", "-1", "below the minimum"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(place: Place, name: str, value: str, said: str) -> None:
    """Before anything is done, and without showing what may be secret."""
    done = place.act(**{name: value})
    assert done.returncode == 2
    assert said in done.stderr
    assert SECRET not in done.stderr
