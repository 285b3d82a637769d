"""The command line: what a person types and reads."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gateway.registry.__main__ import main

from .test_register import mixed_pipeline
from .workshop import Workshop, mixed, numbers

X = ["x0", "x1", "x2"]


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENTINEL_PATHS_MODELS", str(made.registry.models))
    monkeypatch.setenv("SENTINEL_PATHS_DATA", str(tmp_path / "data"))
    return made


def arguments(model: Path, table: Path, *more: str) -> list[str]:
    return ["register", "--model-file", str(model), "--reference", str(table), "--target", "y", "--name", "demo", *more]


def test_the_summary_says_what_was_inferred(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    """Task, rows, features with types, baseline with intervals, how it is scored, whether it serves."""
    train, table = mixed(seed=1), mixed()
    table["customer"] = "c"
    model = mixed_pipeline(LogisticRegression()).fit(train.drop(columns="y"), train["y"])
    assert main(arguments(workshop.save_model(model), workshop.save_table(table))) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for expected in (
        "Registered demo 1: Pipeline(ColumnTransformer, LogisticRegression)",
        "binary, classes no, yes; precision, recall and F1 speak of yes",
        "400 rows, 400 with a known 'y'",
        "DataFrames (the model selects columns by name)",
        "skops (loads without running code from the file)",
        "yes, and as the default model",
        "customer (columns the model does not take)",
        "category, nullable",
        "recall (positive)",
    ):
        assert expected in printed.out


def test_the_curl_line_carries_a_real_row(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    """It survives the shell, names every feature, and its row is one of the table's."""
    train, table = mixed(seed=1), mixed()
    table.loc[0, ["amount", "visits", "job"]] = [12.5, 3, 'a, "b"']
    model = mixed_pipeline(LogisticRegression()).fit(train.drop(columns="y"), train["y"])
    assert main(arguments(workshop.save_model(model), workshop.save_table(table))) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert words[:3] == ["curl", "-s", "http://127.0.0.1:8000/predict"]
    first = table.iloc[0]
    assert json.loads(words[-1]) == {
        "amount": 12.5, "visits": 3, "job": 'a, "b"', "city": first["city"], "known": bool(first["known"]),
    }  # fmt: skip


def test_a_refusal_is_one_sentence_and_exit_code_1(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback, nothing on stdout."""
    train = numbers(seed=1)
    model = workshop.save_model(LogisticRegression().fit(train[X], train["y"]), "joblib")
    assert main(arguments(model, workshop.save_table(numbers()))) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("refused: ")
    assert printed.err.count("\n") == 1


def test_trust_registers_a_joblib_file_as_skops(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    """What skops can hold is stored so that nobody has to trust it again."""
    train = numbers(seed=1)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(train[X], train["y"])
    path = workshop.save_model(model, "joblib")
    assert main(arguments(path, workshop.save_table(numbers()), "--trust")) == 0
    assert "skops (loads without running code from the file)" in capsys.readouterr().out
    assert workshop.registry.card("demo", "1").artifact.kind == "skops"


@pytest.mark.parametrize("more", [[], ["--version"], ["--nonsense"]])
def test_wrong_usage_is_exit_code_2(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """argparse's own sentence and code."""
    with pytest.raises(SystemExit) as stopped:
        main(["register", *more])
    assert stopped.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_invalid_settings_are_exit_code_2(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Printed as they are, all of them."""
    monkeypatch.setenv("SENTINEL_GATEWAY_PORT", "none")
    assert main(["list"]) == 2
    assert "SENTINEL_GATEWAY_PORT" in capsys.readouterr().err


def test_list_shows_every_version_and_which_serves(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first registration it says what to do."""
    assert main(["list"]) == 0
    assert "no model is registered" in capsys.readouterr().out
    train, table = numbers(seed=1), workshop.save_table(numbers())
    model = workshop.save_model(LogisticRegression().fit(train[X], train["y"]))
    workshop.register(model, table)
    workshop.register(model, table)
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["demo", "1", "yes", "(default)"],
        ["demo", "2", "no", "binary"],
    ]


def test_a_perfect_baseline_is_questioned(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    """The usual cause is a reference of training rows, which would make every window look like a drop."""
    table = numbers()
    table["y"] = (table["x0"] > 0).astype(int)
    table = table[table["x0"].abs() > 0.2]
    model = LogisticRegression(C=1000).fit(table[X], table["y"])
    assert main(arguments(workshop.save_model(model), workshop.save_table(table))) == 0
    assert "if the model was fitted on these rows" in capsys.readouterr().out


def test_control_characters_never_reach_the_terminal(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    """Category names and ignored columns are quoted without them; the request escapes them and still says the same."""
    train, table = mixed(seed=1), mixed()
    hostile = "\x1b[2J\x9b31m\u202eOslo"
    for part in (train, table):
        part["city"] = hostile
    table["ig\x1bnored"] = 1
    model = mixed_pipeline(LogisticRegression()).fit(train.drop(columns="y"), train["y"])
    assert main(arguments(workshop.save_model(model), workshop.save_table(table))) == 0
    printed = capsys.readouterr().out
    assert all(char.isprintable() or char == "\n" for char in printed)
    assert '"\ufffd[2J\ufffd31m\ufffdOslo"' in printed
    assert '"ig\ufffdnored"' in printed
    assert json.loads(shlex.split(printed.splitlines()[-1])[-1])["city"] == hostile


def test_list_shows_a_corrupt_card_as_a_line_among_the_others(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its fault, in its place; exit code 1 at the end."""
    train, table = numbers(seed=1), workshop.save_table(numbers())
    model = workshop.save_model(LogisticRegression().fit(train[X], train["y"]))
    for _ in range(3):
        workshop.register(model, table)
    card = workshop.registry.folder("demo", "2") / "model.json"
    card.write_text(card.read_text()[:100])
    stray = workshop.registry.models / "no name" / "1" / "model.json"
    stray.parent.mkdir(parents=True)
    stray.write_text("{}")
    assert main(["list"]) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    found = [line.split()[:2] for line in lines[1:]]
    assert found == [["demo", "1"], ["demo", "3"], ["demo", "2"], ["cannot", "be"]] or found == [
        ["demo", "1"], ["demo", "2"], ["demo", "3"], ["cannot", "be"],
    ]  # fmt: skip
    assert any(line.startswith(f"demo 2 cannot be read: {card}: Input data was truncated") for line in lines)
    assert "cannot be read: model name 'no name'" in lines[-1]
    assert printed.err == ""
