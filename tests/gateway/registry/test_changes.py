"""Promoting, rolling back, splitting and shadowing: the commands, what they write, and what they refuse."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from gateway.files import write_atomically
from gateway.registry import Registry, RegistryError, store
from gateway.registry.__main__ import main as registry_main
from gateway.registry.artifact import file_record
from gateway.registry.card import encode
from gateway.registry.changes import Changes
from gateway.registry.check_rows import read_check_rows, write_check_rows
from gateway.registry.pointer import EARLIER_KEPT, Serving, Split
from gateway.registry.register import register
from gateway.versions import main
from tests.running import ROOT

from .test_register import mixed_pipeline
from .workshop import NOW, Workshop, mixed, numbers

X = ["x0", "x1", "x2"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`demo` in the versions 1 to 3, and 4, which takes other features; `other` 1."""
    folder = tmp_path_factory.mktemp("made")
    workshop = Workshop(folder)
    train, table = numbers(seed=1), workshop.save_table(numbers())
    model = workshop.save_model(LogisticRegression().fit(train[X], train["y"]))
    for _ in range(3):
        workshop.register(model, table)
    workshop.register(LogisticRegression().fit(train[X[:2]], train["y"]), table)
    workshop.register(model, table, name="other")
    return folder


@pytest.fixture
def registry(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A copy of it, which the commands find."""
    shutil.copytree(made, tmp_path / "place")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENTINEL_PATHS_MODELS", str(tmp_path / "place" / "models"))
    monkeypatch.setenv("SENTINEL_PATHS_DATA", str(tmp_path / "place" / "data"))
    return Registry(tmp_path / "place" / "models", tmp_path / "place" / "data" / "reference")


def audit(registry: Registry) -> list[dict[str, Any]]:
    """The audit file's lines since the registrations."""
    lines = [json.loads(line) for line in (registry.models / "audit.jsonl").read_text().splitlines()]
    return [line for line in lines if line["action"] != "register"]


def test_promote_and_rollback_walk_the_versions(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    """Rolling back twice goes back twice; each step says what serves, and has its line in the audit file."""
    for command, serves in (
        (["promote", "demo", "2", "--why", "better recall"], "2"),
        (["promote", "demo", "3"], "3"),
        (["rollback", "demo"], "2"),
        (["rollback", "demo"], "1"),
    ):
        assert main(command) == 0
        assert registry.serving().versions == {"demo": serves, "other": "1"}
        assert capsys.readouterr().out.startswith(f"demo {serves} serves; it answers POST /predict")
    lines = audit(registry)
    assert [(line["action"], line["from"], line["to"], line["version"]) for line in lines] == [
        ("promote", "1", "2", "2"),
        ("promote", "2", "3", "3"),
        ("rollback", "3", "2", "2"),
        ("rollback", "2", "1", "1"),
    ]
    assert [line.get("why") for line in lines] == ["better recall", None, None, None]
    assert all(line["user"] and line["at"].endswith("Z") and line["name"] == "demo" for line in lines)
    assert main(["rollback", "demo"]) == 1
    assert "no version of demo served before 1" in capsys.readouterr().err
    assert len(audit(registry)) == 4


def test_how_far_back_a_rollback_can_go_is_bounded(registry: Registry) -> None:
    """The pointer stays a small file."""
    serving = Serving()
    for number in range(100):
        serving = serving.promoted("demo", str(number))
    assert serving.earlier["demo"] == tuple(str(number) for number in range(99 - EARLIER_KEPT, 99))


def test_the_default_model_is_chosen(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    """Of those that serve."""
    assert main(["default", "other"]) == 0
    assert registry.serving().default_model == "other"
    assert main(["default", "absent"]) == 1
    assert "no model named 'absent' serves; serving: demo, other" in capsys.readouterr().err
    assert [(line["action"], line["from"], line["to"]) for line in audit(registry)] == [("default", "demo", "other")]


def test_a_split_and_a_shadow_begin_and_end(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    """The list shows who does what; promoting the one that had a part ends its part."""
    assert main(["shadow", "demo", "2"]) == 0
    assert main(["split", "demo", "3", "--share", "0.25"]) == 0
    assert registry.serving().splits == {"demo": Split("3", 0.25)}
    assert registry.serving().shadows == {"demo": "2"}
    assert "3 answers 0.25 of the requests; 2 shadows" in capsys.readouterr().out
    assert registry_main(["list"]) == 0
    roles = [line.split("  ")[2:] for line in capsys.readouterr().out.replace(" (", "(").splitlines()]
    assert any("0.25 of requests" in row for row in roles)
    assert any("shadow" in row for row in roles)
    assert main(["split", "demo", "3", "--share", "0.5"]) == 0
    assert main(["promote", "demo", "3"]) == 0
    assert registry.serving().splits == {}
    assert main(["shadow", "demo", "--off"]) == 0
    assert registry.serving().shadows == {}
    assert [(line["action"], line["from"], line["to"]) for line in audit(registry)] == [
        ("shadow", "", "2"),
        ("split", "", "3 0.25"),
        ("split", "3 0.25", "3 0.5"),
        ("promote", "1", "3"),
        ("shadow", "2", ""),
    ]


@pytest.mark.parametrize(
    "command", [["promote", "demo", "1"], ["default", "demo"], ["split", "demo", "--off"], ["shadow", "demo", "--off"]]
)
def test_what_is_so_already_is_no_change(
    command: list[str], registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, the pointer untouched, no line in the audit file."""
    before = registry.serving_mark()
    assert main(command) == 0
    assert "nothing changed" in capsys.readouterr().out
    assert (registry.serving_mark(), audit(registry)) == (before, [])


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["promote", "demo", "9"], "no model 'demo' version '9'"),
        (["promote", "demo", "../1"], "version '../1': use"),
        (["split", "demo", "1"], "demo 1 serves already"),
        (["shadow", "demo", "1"], "demo 1 serves already"),
        (["split", "demo", "2", "--share", "1"], "to give a version all requests, promote it"),
        (["split", "demo", "4"], "demo 4 has other features than 1: without x2"),
        (["shadow", "demo", "4"], "the two cannot share requests"),
        (["split", "absent", "--off"], "no model named 'absent' serves"),
    ],
)
def test_what_cannot_be_is_refused(
    command: list[str], reason: str, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence; nothing is changed, nothing audited."""
    before = registry.serving_mark()
    assert main(command) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("refused: ")
    assert reason in printed.err
    assert (registry.serving_mark(), audit(registry)) == (before, [])


@pytest.mark.parametrize("command", [["promote", "demo", "2"], ["shadow", "demo", "2"], ["split", "demo", "2"]])
def test_an_artifact_that_changed_does_not_come_into_use(
    command: list[str], registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its hash; it is not even loaded."""
    (registry.folder("demo", "2") / "model.skops").write_bytes(b"garbage")
    assert main(command) == 1
    assert "SHA-256" in capsys.readouterr().err
    assert registry.serving().role("demo", "2") == "no"


def test_a_model_that_answers_otherwise_than_registered_is_not_promoted(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after an update of a library: it loads, and says something else."""
    folder = registry.folder("demo", "2")
    check = read_check_rows(folder / "check.npz")
    write_check_rows(folder / "check.npz", replace(check, predictions=np.array(check.predictions.tolist()[::-1])))
    card = replace(registry.card("demo", "2"), check_rows=file_record(folder / "check.npz"))
    write_atomically(folder / "model.json", encode(card))
    assert main(["promote", "demo", "2"]) == 1
    assert "does not answer as it did when it was registered" in capsys.readouterr().err


def test_a_version_that_takes_less_is_promoted_with_a_note(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clients may have changed with it; whoever promotes it is told what will be refused."""
    assert main(["promote", "demo", "4"]) == 0
    assert "note: demo 4 refuses requests with x2\n" in capsys.readouterr().err


def test_a_promotion_that_leaves_the_split_behind_is_refused(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """The two would not take the same requests any more; ending the split first is one command."""
    assert main(["split", "demo", "2"]) == 0
    assert main(["promote", "demo", "4"]) == 1
    assert "demo 2 has other features than 4: with x2" in capsys.readouterr().err
    assert registry.serving().versions["demo"] == "1"


def test_lost_levels_and_missing_values_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that happened not to show a level makes the gateway refuse it."""
    workshop = Workshop(tmp_path)
    train, table = mixed(seed=1), mixed()
    model = mixed_pipeline(LogisticRegression()).fit(train.drop(columns="y"), train["y"])
    workshop.register(model, table)
    poorer = table[(table["job"] != "student") & table["amount"].notna()]
    workshop.register(model, poorer)
    changes = Changes(workshop.registry, lambda name, version: None, lambda: NOW)
    assert changes.split("demo", "2", 0.5).notes == (
        "demo 2 refuses missing values of amount",
        "demo 2 refuses levels of job ('student')",
    )


def test_a_registration_leaves_split_and_shadow_alone(registry: Registry, made: Path) -> None:
    """The pointer is one file for all models: who adds one keeps the rest."""
    assert main(["split", "demo", "2"]) == 0
    assert main(["shadow", "demo", "3"]) == 0
    card = register(made / "input.skops", made / "table.csv", "y", "third", registry=registry, now=NOW)
    serving = registry.serving()
    assert (serving.splits, serving.shadows) == ({"demo": Split("2", 0.1)}, {"demo": "3"})
    assert serving.versions["third"] == card.version


def test_without_its_line_no_change_is_made(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit file cannot be written: the pointer stays as it is."""
    (registry.models / "audit.jsonl").unlink()
    (registry.models / "audit.jsonl").mkdir()
    assert main(["promote", "demo", "2"]) == 1
    assert registry.serving().versions["demo"] == "1"


def test_a_pointer_that_cannot_be_replaced_is_said_so_twice(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To whoever asked, and in the audit file, where the change was announced."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_atomically", full)
    assert main(["promote", "demo", "2"]) == 1
    assert "nothing was changed" in capsys.readouterr().err
    assert [line["action"] for line in audit(registry)] == ["promote", "promote failed"]
    assert registry.serving().versions["demo"] == "1"


def test_a_line_that_was_cut_short_spoils_no_other(registry: Registry) -> None:
    """A power cut may leave half a line in the audit file."""
    path = registry.models / "audit.jsonl"
    path.write_bytes(path.read_bytes() + b'{"at": "2026-')
    assert main(["promote", "demo", "2"]) == 0
    *_, torn, whole = path.read_bytes().splitlines()
    assert torn == b'{"at": "2026-'
    assert json.loads(whole)["action"] == "promote"


def test_a_kill_at_any_step_leaves_the_old_pointer_or_the_new_one(registry: Registry) -> None:
    """Killed before each rename, write and sync in turn: what serves is one or the other, and has its line."""
    script = """
import os, signal, sys
from gateway import files
from gateway.registry import Registry, store
from gateway.registry.changes import Changes
from pathlib import Path

left = int(sys.argv[2])
def counted(function):
    def call(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    return call
os.write, os.fsync, Path.replace = counted(os.write), counted(os.fsync), counted(Path.replace)
registry = Registry(Path(sys.argv[1]), Path(sys.argv[1]))
Changes(registry, lambda name, version: None, lambda: 1.0).promote("demo", "2")
"""
    killed = 0
    for step in range(20):
        done = subprocess.run(
            [sys.executable, "-c", script, str(registry.models), str(step)], cwd=ROOT, check=False, timeout=60
        )
        changed = registry.serving().versions["demo"] == "2"
        announced = [line for line in audit(registry) if line["action"] == "promote"]
        assert not changed or announced
        if done.returncode == 0:
            assert changed
            break
        killed += 1
        registry.set_serving(registry.serving().promoted("demo", "1"))
    assert killed >= 5


def test_two_changes_at_once_are_refused_not_mixed(registry: Registry) -> None:
    """The lock is held by whoever changes the registry, registrations included."""
    changes = Changes(registry, lambda name, version: None, lambda: NOW)
    with registry.changing(), pytest.raises(RegistryError, match="being changed by another command"):
        changes.promote("demo", "2")
    assert changes.promote("demo", "2").after.versions["demo"] == "2"
