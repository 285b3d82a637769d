"""`python -m drift_engine reproduce`: a run repeated from what it recorded, to the digit, or the reason why not."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drift_engine import exit_codes
from drift_engine.__main__ import main
from drift_engine.reproduce import reproduce
from drift_engine.results.schema import Window
from drift_engine.results.store import ResultStore, encode_result
from drift_engine.run import Committed
from gateway.clock import utc_text
from gateway.files import make_dirs
from gateway.log import seal
from gateway.registry.card import encode
from tests.drift_engine.scenario import NOW, Scenario, regression_card, rows

ROOT = Path(__file__).resolve().parents[2]
HOUR, WEEK = 3600.0, 7 * 86400.0


def registered(made: Scenario) -> Scenario:
    """Put the card where the registry has it."""
    folder = made.paths.models / made.card.name / made.card.version
    make_dirs(folder)
    (folder / "model.json").write_bytes(encode(made.card))
    return made


def scenario(tmp_path: Path) -> Scenario:
    """A model, four weeks of log, labels, and a last hour in which one column moved."""
    made = registered(Scenario(tmp_path).reference(rows(2000, 1)))
    for week in range(1, 3):
        made.log(rows(500, 10 + week), start=NOW - week * WEEK - HOUR, seconds=HOUR - 1)
    found = rows(500, 2, noise=[None] * 100 + [0.5] * 400)
    made.label(made.log(found, start=NOW - HOUR, seconds=HOUR - 1), found["label"])
    return made


def last_hour() -> Window:
    """The hour before NOW."""
    return Window(utc_text(NOW - HOUR), utc_text(NOW), "adhoc")


def again(made: Scenario, committed: Committed, monkeypatch: pytest.MonkeyPatch) -> int:
    """The command's exit code."""
    for name, value in environment(made).items():
        monkeypatch.setenv(name, value)
    return main(["reproduce", committed.result.run_id])


def environment(made: Scenario) -> dict[str, str]:
    """Where everything is."""
    return {
        "SENTINEL_PATHS_DATA": str(made.paths.data),
        "SENTINEL_PATHS_MODELS": str(made.paths.models),
        "SENTINEL_PATHS_REPORTS": str(made.paths.reports),
    }


def segments(made: Scenario, log: str) -> list[Path]:
    """The segments of a log, oldest first."""
    return sorted(made.paths.live.glob(f"loans/*/live_{log}-*.csv" if log == "predictions" else "loans/labels/*.csv"))


@pytest.mark.parametrize("reference", ["file", "rolling:30d", "season:2w"])
def test_a_run_comes_out_as_it_was_after_the_logs_have_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reference: str
) -> None:
    """Rows of its own window that came later, newer labels and sealing have no say."""
    made = scenario(tmp_path)
    committed = made.run(last_hour(), reference=reference, alpha=0.02)
    late = rows(300, 99, amount=1e6)
    made.label(made.log(late, start=NOW - HOUR / 2, seconds=60), late["label"])
    made.log(rows(300, 98, amount=1e6), start=NOW - WEEK - HOUR / 2, seconds=60)
    assert again(made, committed, monkeypatch) == exit_codes.OK
    said = capsys.readouterr().out
    assert "reproduced: all " in said
    found = reproduce(made.paths, committed.result.run_id)
    assert found.figures > 200
    assert (found.differences, found.libraries, found.notes) == ((), (), ())
    changed = made.run(last_hour(), reference=reference, alpha=0.02)
    assert changed.result.data_drift != committed.result.data_drift


def test_damage_unreadable_files_and_regression_are_reproduced_too(tmp_path: Path) -> None:
    """What a run could not use, it cannot use again, and counts alike; a bootstrap has its seed."""
    made = registered(Scenario(tmp_path, regression_card()).reference(rows(2000, 1, label=[0.5] * 2000)))
    found = rows(500, 2, label=[0.4] * 500)
    made.label(made.log(found, start=NOW - HOUR, seconds=HOUR - 1), found["label"])
    segment = segments(made, "predictions")[0]
    data = segment.read_bytes()
    segment.write_bytes(data[:5000] + b"#" + data[5001:-30])
    (segment.parent / segment.name.replace("-", "-z", 1)).mkdir()
    committed = made.run(last_hour())
    assert committed.result.rows.corrupt >= 2
    assert reproduce(made.paths, committed.result.run_id).differences == ()


def test_a_scheduled_run_is_reproduced_from_sealed_segments(tmp_path: Path) -> None:
    """Its budget and what it read before its window included; the copies of columns do not matter."""
    made = scenario(tmp_path)
    window = dataclasses.replace(last_hour(), start=utc_text(NOW - 1800), kind="scheduled")
    first = made.run(window)
    seal.seal(made.paths.live, lambda: NOW)
    second = made.run(window)
    for committed in (first, second):
        assert reproduce(made.paths, committed.result.run_id).differences == ()


def test_a_figure_that_differs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In its last digit, too; with the library that is another now."""
    made = scenario(tmp_path)
    committed = made.run(last_hour())
    path = committed.folder / "result.json"
    raw = json.loads(path.read_text())
    check = raw["data_drift"]["columns"][0]["checks"][0]
    check["score"] = float(f"{check['score']:.15g}") * (1 + 1e-15)
    raw["libraries"]["numpy"] = "1.0"
    path.write_text(json.dumps(raw))
    assert again(made, committed, monkeypatch) == exit_codes.FAILED
    said = capsys.readouterr().out
    column = raw["data_drift"]["columns"][0]["column"]
    assert "NOT REPRODUCED: 1 of" in said
    assert f"data_drift.columns[{column}].checks[{check['name']}].score: recorded {check['score']!r}, now" in said
    assert "library: numpy was 1.0, is " in said


def test_inputs_that_are_gone_or_changed_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them, each way with an exit code of its own; nothing is computed from other bytes."""
    made = scenario(tmp_path)
    committed = made.run(last_hour())
    newest = made.paths.live / committed.result.inputs[0].path
    content = newest.read_bytes()
    newest.write_bytes(content.replace(b"de", b"fr", 1))
    assert again(made, committed, monkeypatch) == exit_codes.CHANGED
    assert newest.name in capsys.readouterr().err
    newest.unlink()
    assert again(made, committed, monkeypatch) == exit_codes.EXPIRED
    said = capsys.readouterr().err
    assert "expired or removed" in said
    assert newest.name in said
    newest.write_bytes(content)
    reference = made.paths.reference / "loans" / "1.parquet"
    reference.write_bytes(reference.read_bytes() + b"x")
    assert again(made, committed, monkeypatch) == exit_codes.CHANGED
    reference.unlink()
    assert again(made, committed, monkeypatch) == exit_codes.EXPIRED


def test_runs_that_cannot_be_repeated_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """None of that id; one that failed; one whose settings this version does not have."""
    made = scenario(tmp_path)
    committed = made.run(last_hour())
    nobody = dataclasses.replace(committed, result=dataclasses.replace(committed.result, run_id="nobody"))
    assert again(made, nobody, monkeypatch) == exit_codes.USAGE
    assert "no run 'nobody'" in capsys.readouterr().err
    path = committed.folder / "result.json"
    result = committed.result
    for changes, text in (
        ({"outcome": "failed", "reason": "the disk was full"}, "the disk was full"),
        ({"config": {**result.config, "colour": "red"}}, "colour"),
    ):
        fields: dict[str, Any] = changes
        path.write_bytes(encode_result(dataclasses.replace(result, **fields)))
        assert again(made, committed, monkeypatch) == exit_codes.USAGE
        assert text in capsys.readouterr().err


def test_two_processes_write_the_same_bytes_apart_from_times(tmp_path: Path) -> None:
    """With other hash seeds, over the same window, inputs and settings; and a third process reproduces it."""
    made = scenario(tmp_path)
    contents = []
    for seed in ("1", "2"):
        options = ("--name", "loans", "--version", "1", "--since", utc_text(NOW - HOUR), "--until", utc_text(NOW))
        done = command(made, seed, "run", *options, "--format", "json")
        assert done.returncode == 0, done.stderr
        place = ResultStore(made.paths.reports).runs()[0]
        path = place.folder / "result.json"
        content = path.read_bytes()
        assert json.loads(done.stdout)["runs"][0] == json.loads(content)
        contents.append(re.sub(rb'"(run_id|started_at|finished_at|duration_seconds|supersedes)": [^\n]*', b"", content))
    assert contents[0] == contents[1]
    again = command(made, "3", "reproduce", place.run_id)
    assert again.returncode == 0, again.stdout + again.stderr


def command(made: Scenario, seed: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, with a hash seed."""
    return subprocess.run(
        [sys.executable, "-m", "drift_engine", *arguments],
        cwd=ROOT,
        env=os.environ | environment(made) | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
