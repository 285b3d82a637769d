"""`python -m drift_engine`, started as people and the scheduler start it, on a model registered for real."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from drift_engine.__main__ import main
from drift_engine.results import ResultStore
from drift_engine.results.store import encode_latest
from gateway.clock import parse_utc, utc_text
from gateway.files import make_dirs
from gateway.log import labels, predictions
from gateway.log.line import header_line
from gateway.log.writer import SegmentWriter
from gateway.registry import ModelCard, Registry
from gateway.settings import Paths
from tests.models import COLUMNS, number_table, register_numbers

ROOT = Path(__file__).resolve().parents[2]


LONG_AGO = ("--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z")


def environment_of(root: Path) -> dict[str, str]:
    """Everything under `root`."""
    return {f"SENTINEL_PATHS_{name.upper()}": str(root / name) for name in ("data", "models", "reports")}


def lock_path(root: Path, card: ModelCard) -> Path:
    """The lock of a model's runs, its folder made."""
    path = root / "data" / "state" / "locks" / f"drift-{card.name}-{card.version}.lock"
    make_dirs(path.parent)
    return path


def run(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command over the files under `root`."""
    return subprocess.run(
        [sys.executable, "-m", "drift_engine", *arguments],
        cwd=ROOT,
        env=os.environ | environment_of(root) | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def store_of(root: Path) -> ResultStore:
    """The results under `root`."""
    return ResultStore(root / "reports")


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelCard]:
    """A root with one registered model and no log."""
    root = tmp_path_factory.mktemp("cli")
    registry = Registry(root / "models", root / "data" / "reference")
    return root, register_numbers(registry, root / "files")


def log_answers(root: Path, card: ModelCard, *, shift: float, rows: int = 400, flipped: bool = False) -> None:
    """Log answers of the registered model to fresh rows, just before now, and their labels, or the other class's."""
    from gateway.registry.artifact import load_verified

    registry = Registry(root / "models", root / "data" / "reference")
    model = load_verified(registry.folder(card.name, card.version), card)
    table = number_table(rows, seed=int(shift * 10) + 77)
    table["x2"] += shift
    scores = model.predict_proba(table[COLUMNS])
    live = Paths(data=root / "data").live
    encoder, label_encoder = predictions.PredictionEncoder(card), labels.LabelEncoder(card)
    answers, truths = [], []
    for row in range(rows):
        request, moment = str(uuid.uuid4()), utc_text(time.time() - 60)
        share = [float(score) for score in scores[row]]
        answer = str(card.classes[share.index(max(share))])
        features = table[COLUMNS].iloc[row].astype(float).tolist()
        answers.append(encoder.encode(request, moment, 0, None, features, answer, max(share), share, 1.0))
        truth = table.loc[row, "y"]
        truths.append(label_encoder.encode(request, None, 0, str(1 - truth if flipped else truth), None, moment))
    for folder, prefix, columns, payloads in (
        (predictions.folder(live, card.name, card.version), predictions.PREFIX, predictions.columns(card), answers),
        (labels.folder(live, card.name), labels.PREFIX, labels.columns(card), truths),
    ):
        writer = SegmentWriter(folder, prefix, header_line(columns), durable=False)
        writer.append(payloads)
        writer.close()


def test_from_registering_to_a_verdict(registered: tuple[Path, ModelCard]) -> None:
    """No drift on rows like the reference; then one column is shifted, and that column is named."""
    root, card = registered
    log_answers(root, card, shift=0.0)
    calm = run(root, "run", "--window", "1h")
    assert calm.returncode == 0, calm.stderr
    assert calm.stdout.startswith("no drift: 5 columns")
    assert "quality on 400 labelled rows: accuracy" in calm.stdout
    assert "labels: 400 of 400 predictions since " in calm.stdout
    assert "baseline" in calm.stdout
    log_answers(root, card, shift=1.0, rows=800)
    moved = run(root, "run", "--name", card.name, "--window", "1h")
    assert moved.returncode == 0, moved.stderr
    assert moved.stdout.startswith("DRIFT: 1 of 5 columns moved")
    lines = moved.stdout.splitlines()
    assert any(line.split()[:1] == ["x2"] and "median" in line for line in lines)
    report = Path(lines[-1].removeprefix("report: "))
    assert "x2" in report.read_text()
    latest = store_of(root).latest(card.name, card.version)
    assert latest is not None
    assert report.parent.name == latest.run_id
    assert "Warning" not in calm.stderr + moved.stderr
    assert [line for line in moved.stderr.splitlines() if "reading the log" in line]


def test_quiet_is_one_line_and_nothing_else(registered: tuple[Path, ModelCard]) -> None:
    """What the scheduler prints."""
    root, card = registered
    done = run(root, "run", "--quiet", "--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].startswith(f"{card.name} {card.version} not enough data: 0 rows of 50 needed [")
    assert len(done.stdout.splitlines()) == 1


def test_scheduled_runs_join(registered: tuple[Path, ModelCard]) -> None:
    """The second window starts where the first ended, or where it started if that gave no verdict."""
    root, card = registered
    store = store_of(root)
    windows = []
    for _ in range(2):
        assert run(root, "run", "--scheduled", "--quiet").returncode == 0
        newest = store.runs()[0]
        windows.append(store.result(card.name, card.version, newest.run_id))
    first, second = windows
    assert second.window.start == (first.window.end if first.outcome == "ok" else first.window.start)
    assert second.data_drift.false_alarm_rate < 0.001


def test_a_failed_run_commits_its_reason_and_exits_1(registered: tuple[Path, ModelCard]) -> None:
    """A reference that is not the registered one is not compared with."""
    root, card = registered
    path = root / "data" / "reference" / card.name / f"{card.version}.parquet"
    original = path.read_bytes()
    path.write_bytes(original[:100])
    try:
        done = run(root, "run")
    finally:
        path.write_bytes(original)
    assert done.returncode == 1
    assert done.stdout.startswith("RUN FAILED")
    assert "Traceback" not in done.stderr
    latest = store_of(root).latest(card.name, card.version)
    assert latest is not None
    assert latest.outcome == "failed"


def test_two_runs_of_one_model_exclude_each_other(registered: tuple[Path, ModelCard]) -> None:
    """The scheduler's says so and exits 75 at once; it comes again."""
    root, card = registered
    with open(lock_path(root, card), "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        done = run(root, "run", "--scheduled")
    assert done.returncode == 75
    assert "under way" in done.stderr
    assert "waiting" not in done.stderr


def test_a_persons_run_waits_for_the_one_under_way(registered: tuple[Path, ModelCard]) -> None:
    """And says so; it runs once the other has ended."""
    root, card = registered
    command = [sys.executable, "-m", "drift_engine", "run", "--quiet", *LONG_AGO]
    with open(lock_path(root, card), "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment_of(root), stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stderr is not None
        said = process.stderr.readline()
    out, _ = process.communicate(timeout=120)
    assert b"waiting for it, 60 s at most" in said
    assert process.returncode == 0
    assert out.startswith(f"{card.name} {card.version} not enough data".encode())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--name", "nobody"), "no model named 'nobody'"),
        (("run", "--window", "yesterday"), "not a duration"),
        (("run", "--since", "9999-12-31T23:59:59-23:00"), "not a moment"),
        (("run", "--scheduled", "--window", "1h"), "leave out --window"),
        (("run", "--version", "1"), "--version needs --name"),
        (("run", "--reference", "season:3d"), "write season:4w"),
        (("run", "--fail-on", "rain"), "'rain' is not drift, warning, insufficient"),
        (("ran",), "no command 'ran'"),
        ((), "required"),
    ],
)
def test_usage_faults_exit_2_with_a_sentence(
    registered: tuple[Path, ModelCard], arguments: tuple[str, ...], said: str
) -> None:
    """And write nothing."""
    before = len(store_of(registered[0]).runs())
    done = run(registered[0], *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(store_of(registered[0]).runs()) == before


def test_settings_that_cannot_be_used_exit_2_with_all_faults(tmp_path: Path) -> None:
    """Both are named."""
    done = run(tmp_path, "run", SENTINEL_DRIFT_ALPHA="2", SENTINEL_DRIFT_MINIMUM_ROWS="many")
    assert done.returncode == 2
    assert "SENTINEL_DRIFT_ALPHA" in done.stderr
    assert "SENTINEL_DRIFT_MINIMUM_ROWS" in done.stderr


def test_without_a_model_a_person_is_told_and_the_scheduler_is_not_failed(tmp_path: Path) -> None:
    """Nothing to compare is a mistake of the one, and a normal state for the other."""
    assert run(tmp_path, "run").returncode == 2
    assert run(tmp_path, "run", "--scheduled", "--quiet").returncode == 0


@pytest.mark.parametrize(
    ("command", "codes"), [("run", (0, 1, 2, 3, 4, 75)), ("compare", (0, 1, 2, 3, 4)), ("reproduce", (0, 1, 2, 5, 6))]
)
def test_help_names_the_exit_codes(command: str, codes: tuple[int, ...]) -> None:
    """All of each command."""
    done = run(ROOT, command, "--help")
    assert done.returncode == 0
    for code in codes:
        assert f"\n  {code:<3} " in done.stdout


def test_gates_make_a_verdict_an_exit_code(registered: tuple[Path, ModelCard], tmp_path: Path) -> None:
    """Without one a drift is no failure; JUnit has a case for what stopped the gate, the page is made all the same."""
    root, card = registered
    log_answers(root, card, shift=1.5, rows=800)
    asked = ("run", "--window", "1h", "--quiet")
    assert run(root, *asked).returncode == 0
    done = run(root, *asked, "--fail-on", "drift", "--format", "junit", "--output", str(tmp_path))
    assert done.returncode == 3, done.stderr
    suite = next(ElementTree.parse(tmp_path / "junit.xml").getroot().iter("testsuite"))
    assert suite.get("name") == f"{card.name} {card.version}"
    failed = {(case.get("classname"), case.get("name")) for case in suite if case.find("failure") is not None}
    assert (f"{card.name} {card.version}.inputs", "x2") in failed
    assert run(root, "run", "--quiet", *LONG_AGO, "--fail-on", "drift,warning").returncode == 0
    thin = run(root, "run", "--quiet", *LONG_AGO, "--fail-on", "insufficient", "--format", "json")
    assert thin.returncode == 4
    assert [found["outcome"] for found in json.loads(thin.stdout)["runs"]] == ["insufficient_data"]


@pytest.mark.parametrize("delay", [0.4, 1.0, 2.0, 3.0])
def test_a_killed_run_leaves_nothing_by_halves(registered: tuple[Path, ModelCard], delay: float) -> None:
    """kill -9 while it reads, computes, draws or writes: the pointer stays whole, and the next run works."""
    root, card = registered
    command = [sys.executable, "-m", "drift_engine", "run", "--quiet"]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment_of(root), stdout=subprocess.DEVNULL)
    try:
        process.wait(timeout=delay)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    store = store_of(root)
    store.latest(card.name, card.version)
    for place in store.runs():
        assert store.result(place.model_name, place.model_version, place.run_id).run_id == place.run_id
        assert (place.folder / "report.html").stat().st_size > 0
    assert (
        run(root, "run", "--quiet", "--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z").returncode
        == 0
    )


def test_a_version_that_cannot_be_run_does_not_stop_the_others(registered: tuple[Path, ModelCard]) -> None:
    """Its fault is said, the exit code is 1, and the other model has its result."""
    root, card = registered
    registry = Registry(root / "models", root / "data" / "reference")
    serving = registry.serving()
    with registry.changing():
        registry.set_serving(replace(serving, versions={"absent": "1", **serving.versions}))
    try:
        done = run(root, "run", "--quiet", "--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z")
    finally:
        with registry.changing():
            registry.set_serving(serving)
    assert done.returncode == 1
    assert "absent 1: no model" in done.stderr
    assert done.stdout.startswith(f"{card.name} {card.version} not enough data")


@pytest.mark.parametrize("content", [b"garbage", b"from the future"])
def test_a_pointer_that_cannot_be_followed_stops_no_scheduled_run(
    registered: tuple[Path, ModelCard], content: bytes
) -> None:
    """The run takes the last 24 hours, says in one line what it did, and the next one follows the pointer again."""
    root, card = registered
    store = store_of(root)
    pointer = store.folder(card.name, card.version) / "latest.json"
    if content == b"from the future":
        assert run(root, "run", "--quiet", *LONG_AGO).returncode == 0
        found = store.latest(card.name, card.version)
        assert found is not None
        content = encode_latest(replace(found, scheduled_from="2090-01-01T00:00:00.000000Z"))
    make_dirs(pointer.parent)
    pointer.write_bytes(content)
    done = run(root, "run", "--scheduled", "--quiet")
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    newest = store.runs()[0]
    window = store.result(card.name, card.version, newest.run_id).window
    assert parse_utc(window.end) - parse_utc(window.start) == pytest.approx(86400, abs=0.001)
    latest = store.latest(card.name, card.version)
    assert latest is not None
    assert latest.run_id == newest.run_id


def test_whatever_one_model_raises_the_others_run(
    registered: tuple[Path, ModelCard], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even a fault of the program: it is logged, and that model's run has failed."""
    root, card = registered

    def fault(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    for name, value in environment_of(root).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("drift_engine.run_command._versions", lambda *_: [("first", "1"), (card.name, card.version)])
    monkeypatch.setattr(Registry, "card", fault)
    assert main(["run", "--quiet"]) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"the run of {name} {version} failed" for name, version in (("first", "1"), (card.name, card.version))
    ]
