"""The demo as a newcomer runs it, against the real gateway and the real drift engine."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.__main__ import main
from demo.client import Address
from demo.play import model_name
from demo.replay import Tally, Traffic, replay, traffic_rows
from demo.train import fraud_card, fraud_parts
from gateway.log import labels, predictions
from gateway.log.line import LogColumn
from gateway.log.reader import scan
from gateway.registry import Registry
from tests.demo.tables import mixed_table
from tests.tools import free_port

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_795_000_000.0


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An installation of its own in `tmp_path`, for this process and for those it starts."""
    settings = {
        f"SENTINEL_PATHS_{name}": str(tmp_path / name.lower()) for name in ("DATA", "MODELS", "REPORTS", "METRICS")
    }
    settings["SENTINEL_GATEWAY_PORT"] = str(free_port())
    settings["SENTINEL_GATEWAY_RELOAD_SECONDS"] = "0.2"
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    return {**os.environ, **settings}


@contextmanager
def gateway(environment: dict[str, str], log: Path) -> Iterator[None]:
    """The real gateway; terminated and waited for afterwards."""
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway"], cwd=ROOT, env=environment, stdout=stream, stderr=stream
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=40)


def run_demo(environment: dict[str, str], *arguments: str) -> str:
    """`python -m demo play ...` and what it printed; fails unless it exits with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "demo", "play", "--wait", "60", *arguments],
        cwd=ROOT,
        env={**environment, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.alone
@pytest.mark.e2e
def test_no_drift_turns_into_drift_before_the_newcomers_eyes(environment: dict[str, str], tmp_path: Path) -> None:
    """Started before any model exists: phase 1 is clean, phase 2 names the columns that moved, both have reports."""
    with gateway(environment, tmp_path / "gateway.log"):
        out = run_demo(environment, "--rate", "0", "--rows", "600", "--label-delay", "0.1")
    closing = out[out.index("All reports") - 2_000 :]
    assert "Phase 1: no drift in 30 columns" in closing
    assert "Phase 2: drift in " in closing
    verdict = next(line for line in closing.splitlines() if line.startswith("Phase 2: drift"))
    assert {"V1", "V4"} <= set(verdict.partition("columns: ")[2].split(", "))
    assert len(list((tmp_path / "reports" / "fraud" / "1").glob("*/report.html"))) == 2
    assert out.count("600 rows sent, 600 answered, 0 refused; 600 labels sent") == 2


@pytest.mark.alone
@pytest.mark.e2e
def test_own_file_with_texts_and_gaps_is_replayed_in_time_order(environment: dict[str, str], tmp_path: Path) -> None:
    """A CSV whose later rows are ten years older and know a job more: drift in age and in job, nothing refused."""
    table = mixed_table(3_000)
    later = table.index >= 1_500
    table.loc[later, "age"] += 10
    table.loc[later & (table.index % 10 == 0), "job"] = "astronaut"
    table.to_csv(tmp_path / "my shop.csv", sep=";", index=False)
    with gateway(environment, tmp_path / "gateway.log"):
        out = run_demo(
            environment,
            *("--data", str(tmp_path / "my shop.csv"), "--label", "bought", "--exclude", "spent,visits"),
            *("--first", "0.5", "--rate", "0", "--label-delay", "0"),
        )
    assert "left out: customer, it is text with 3,000 different values" in out
    assert "refused 150" not in out
    assert out.count(" 0 refused") == 2
    assert "Phase 1: no drift in 3 columns" in out
    assert "Phase 2: drift in 2 of 3 columns: " in out
    assert "which the reference never showed" in out
    assert (tmp_path / "models" / "demo-my-shop" / "1" / "model.json").exists()


@pytest.mark.e2e
def test_replay_outlives_a_restart_of_the_real_gateway(environment: dict[str, str], tmp_path: Path) -> None:
    """Terminated in the middle and started again: every row is answered, every answer and label is in the logs."""
    registry = Registry(tmp_path / "models", tmp_path / "data" / "reference")
    card = fraud_card(registry, NOW)
    rows = traffic_rows(card, fraud_parts(200, 1).alike)
    address = Address("127.0.0.1", int(environment["SENTINEL_GATEWAY_PORT"]))
    begun = threading.Event()
    tallies: list[Tally] = []

    def watch(tally: Tally) -> None:
        if tally.answered >= 20:
            begun.set()

    def run() -> None:
        traffic = Traffic(card.name, rows_per_second=100, label_delay_seconds=0, patience_seconds=80)
        tallies.append(replay(address, rows, traffic, on_progress=watch))

    replaying = threading.Thread(target=run)
    with gateway(environment, tmp_path / "gateway.log"):
        replaying.start()
        assert begun.wait(60)
    with gateway(environment, tmp_path / "gateway.log"):
        replaying.join(timeout=90)
    assert tallies
    assert (tallies[0].answered, tallies[0].labels_sent, tallies[0].refused.total()) == (200, 200, 0)
    assert tallies[0].retries > 0
    live = tmp_path / "data" / "live"
    client_ids = logged(predictions.segments(live, card.name, card.version), predictions.columns(card), "client_id")
    assert set(client_ids) == {f"demo-{number}" for number in range(200)}
    request_ids = logged(predictions.segments(live, card.name, card.version), predictions.columns(card), "request_id")
    labelled = logged(labels.segments(live, card.name), labels.columns(card), "request_id")
    assert len(set(labelled)) == 200
    assert set(labelled) <= set(request_ids)


def logged(segments: list[Path], columns: Sequence[LogColumn], column: str) -> list[str]:
    """One column of a log, all segments."""
    found: list[str] = []
    for path in segments:
        found += [record[column] for record in csv.DictReader(scan(path, columns).data.decode().splitlines())]
    return found


def test_without_a_gateway_it_says_how_to_start_one(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, no hang, and the command to type."""
    assert main(["play", "--wait", "0.2"]) == 1
    assert "start it with 'make run'" in capsys.readouterr().err


def test_model_command_leaves_a_registry_with_models_alone(
    environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty registry gets the fraud model; a second call changes nothing."""
    assert main(["model"]) == 0
    audit = (tmp_path / "models" / "audit.jsonl").read_bytes()
    assert main(["model"]) == 0
    out = capsys.readouterr().out
    assert "Registered fraud version 1" in out
    assert "no demo model is needed" in out
    assert (tmp_path / "models" / "audit.jsonl").read_bytes() == audit


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["play", "--data", "x.csv"], "--data needs --label"),
        (["play", "--label", "y"], "go with --data"),
        (["play", "--data", "x.csv", "--label", "y", "--concept", "1"], "--concept changes generated data"),
        (["play", "--rows", "-1"], "--rows"),
        (["play", "--first", "1.5"], "--first"),
        (["dance"], "dance"),
        ([], "COMMAND"),
    ],
)
def test_wrong_usage_is_refused_with_its_reason(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and the option's name."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_help_names_every_knob(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` exits with 0 and shows what can be set."""
    with pytest.raises(SystemExit) as stopped:
        main(["play", "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    for option in (
        "--data",
        "--label-delay",
        "--covariate",
        "--fraud-share",
        "--concept",
        "--missing-share",
        "--volume",
    ):
        assert option in out


def test_wrong_settings_end_with_code_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The settings' own message, on stderr."""
    monkeypatch.setenv("SENTINEL_GATEWAY_PORT", "0")
    assert main(["model"]) == 2
    assert "SENTINEL_GATEWAY_PORT" in capsys.readouterr().err


def test_names_come_from_files() -> None:
    """A file's stem, made fit for a folder and a URL."""
    assert model_name(Path("/x/my data (2).parquet")) == "demo-my-data-2"
    assert model_name(Path("--.csv")) == "demo-table"
