"""Retraining through the real registry and the real logs: what is fitted, what judges, what is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from drift_engine.retraining.errors import CannotRetrain, TooFewRows
from drift_engine.retraining.retrain import retrain
from drift_engine.retraining.rows import Limits, Order
from drift_engine.retraining.schema import ModelReport
from drift_engine.run import Silent
from gateway.clock import utc_text
from gateway.registry import ModelCard
from gateway.registry.artifact import load_verified
from gateway.registry.columns import LABEL
from tests import answered
from tests.models import (
    COLUMNS,
    flag_table,
    mixed_table,
    number_table,
    register_colours,
    register_flags,
    register_linear,
    register_mixed,
    register_numbers,
    register_regression,
)
from tests.running import ROOT, Place

START, STEP = 1_780_000_000.0, 600.0
SEED = 20261120


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty place."""
    return Place(tmp_path)


def turned(rows: int, seed: int) -> pd.DataFrame:
    """`number_table` after the concept changed: another column decides."""
    rng = np.random.default_rng(seed)
    table = number_table(rows, seed)
    table["y"] = (table["x2"] - table["x0"] + rng.normal(scale=0.5, size=rows) > 0).astype(int)
    return table


def serve(
    place: Place, card: ModelCard, table: pd.DataFrame, labels: Sequence[Any], *, start: float = START
) -> list[str]:
    """Answer the table and label every row, an hour after its prediction."""
    ids = answered.answer(place.registry, place.paths.live, card, table, start=start, step_seconds=STEP)
    received = [start + STEP * number + 3600 for number in range(len(ids))]
    answered.label(place.paths.live, card, ids, labels, received)
    return ids


def order(card: ModelCard, **changes: Any) -> Order:
    """An order with the defaults of the command."""
    limits = changes.pop("limits", Limits())
    return replace(Order(card, None, None, limits, SEED), **changes)


def retrained(place: Place, card: ModelCard, **changes: Any) -> ModelReport:
    """Retrain in this process."""
    return retrain(place.paths, order(card, **changes), now=START + 10**7, progress=Silent())


def numbers_served(place: Place, rows: int = 2000) -> ModelCard:
    """A forest whose concept changed since, with so many labelled rows."""
    card = register_numbers(place.registry, place.root / "in")
    table = turned(rows, seed=7)
    serve(place, card, table, table["y"].tolist())
    return card


def test_a_candidate_learns_what_changed(place: Place) -> None:
    """It is registered and does not serve, its reference is the newest 30 %, its report stands beside it."""
    card = numbers_served(place)
    report = retrained(place, card)
    assert (report.model_version, report.champion) == ("2", "1")
    assert report.comparison.verdict == "better"
    assert report.comparison.rows == report.judged.rows == 600
    assert [used.rows for used in report.fitted] == [1400]
    assert place.registry.serving().versions == {"numbers": "1"}
    candidate = place.registry.card("numbers", "2")
    reference = pq.read_table(place.registry.reference_path("numbers", "2")).to_pandas()
    newest = turned(2000, seed=7).iloc[1400:]
    assert reference[LABEL].tolist() == newest["y"].astype(str).tolist()
    assert np.array_equal(reference[COLUMNS].to_numpy(), newest[COLUMNS].to_numpy())
    assert candidate.baseline_metric("accuracy") is not None
    assert candidate.baseline_metric("accuracy").value == report.comparison.decided_by.second  # type: ignore[union-attr]
    folder = place.paths.reports / "numbers" / "2"
    stored = msgspec.json.decode((folder / "model_report.json").read_bytes(), type=ModelReport)
    assert stored == report
    page = (folder / "model_report.html").read_text()
    assert "The candidate is better" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    line = json.loads((place.paths.models / "audit.jsonl").read_text().splitlines()[-1])
    assert (line["action"], line["version"], line["serves"]) == ("register", "2", "false")
    assert line["origin"] == "retrained from 1"


def test_equal_inputs_give_equal_reports(place: Place) -> None:
    """All but the version's own number and time; the artifacts answer alike, since every draw is seeded."""
    card = numbers_served(place, 1000)
    one, two = (retrained(place, card) for _ in range(2))
    changing = {"model_version": "", "made_at": "", "artifact_sha256": "", "reference_sha256": ""}
    assert replace(one, **changing) == replace(two, **changing)


def test_the_newest_rows_are_fitted_by_nobody(place: Place) -> None:
    """Labels of the newest 30 % that are all wrong change the comparison, and not the candidate."""
    table = turned(1000, seed=7)
    answers = []
    for number, labels in enumerate((table["y"], table["y"].where(np.arange(1000) < 700, 1 - table["y"]))):
        there = Place(place.root / str(number))
        card = register_numbers(there.registry, there.root / "in")
        serve(there, card, table, labels.tolist())
        report = retrained(there, card)
        assert report.judged.rows == 300
        model = load_verified(there.registry.folder("numbers", "2"), there.registry.card("numbers", "2"))
        answers.append(model.predict_proba(table[COLUMNS]))
    assert np.array_equal(*answers)


def test_what_a_shadow_logged_too_is_fitted_once_and_never_judged(place: Place) -> None:
    """The same requests, under the same ids, a moment later than in the log of the version that serves."""
    numbers_served(place)
    other = register_numbers(place.registry, place.root / "shadow")
    answered.answer(place.registry, place.paths.live, other, turned(2000, seed=7), start=START + 0.9, step_seconds=STEP)
    report = retrained(place, other)
    assert sum(used.rows for used in report.fitted) == 1400
    assert report.judged.rows == 600
    # 1,400 are fitted as the shadow logged them, and the first that is judged was served before its shadow answered.
    assert report.left_out["log of version 1, of requests that another log holds"] == 1401


def test_a_batch_stays_on_one_side_and_late_labels_are_counted(place: Place) -> None:
    """Rows of one moment are judged or fitted together; labels that came after the split are told."""
    card = register_numbers(place.registry, place.root / "in")
    table = turned(1000, seed=7)
    ids = answered.answer(place.registry, place.paths.live, card, table.iloc[:650], start=START, step_seconds=STEP)
    # The last 350 in one moment: the cut, which would fall among them, moves before them.
    later = START + 651 * STEP
    ids += answered.answer(place.registry, place.paths.live, card, table.iloc[650:], start=later, step_seconds=0.0)
    answered.label(place.paths.live, card, ids, table["y"].tolist(), later + 60)
    report = retrained(place, card)
    assert report.judged.rows == 350
    assert report.labels_after_split == 650


def test_the_newest_label_wins_and_strangers_are_left_out(place: Place) -> None:
    """A corrected label is the one that is learned; a label that is no class of the model is none."""
    card = register_numbers(place.registry, place.root / "in")
    table = turned(1000, seed=7)
    ids = serve(place, card, table, (1 - table["y"]).tolist())
    answered.label(place.paths.live, card, ids, table["y"].tolist(), START + 10**6 * 2)
    answered.label(place.paths.live, card, ids[:10], ["9"] * 10, START + 10**6 * 3)
    report = retrained(place, card)
    assert report.comparison.verdict == "better"
    assert report.left_out == {"with a label that is none of the model's": 10}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_training_table_is_fitted_too(place: Place, kind: str) -> None:
    """Mixed columns with missing values; the rows that also stand among the judged ones are told."""
    card = register_mixed(place.registry, place.root / "in")
    live = mixed_table(900, seed=9)
    serve(place, card, live, live["outcome"].tolist())
    train = pd.concat([mixed_table(1000, seed=1), live.iloc[-5:]])
    path = place.root / f"train.{kind}"
    train.to_csv(path, index=False) if kind == "csv" else train.to_parquet(path, index=False)
    report = retrained(place, card, train=path)
    assert [(used.source, used.rows) for used in report.fitted] == [(path.name, 1005), ("log of version 1", 630)]
    known = {tuple(map(str, row)) for row in train.fillna("missing").itertuples(index=False)}
    seen = sum(tuple(map(str, row)) in known for row in live.iloc[630:].fillna("missing").itertuples(index=False))
    assert seen >= 5
    assert any(note.startswith(f"{seen} of the 270 judged rows stand in the training table") for note in report.notes)
    assert report.comparison.verdict == "no difference"
    assert place.registry.card("mixed", "2").input_form == "dataframe"


def test_a_successor_takes_what_its_predecessor_took(place: Place) -> None:
    """A level and a missing value that the newest rows happen not to show are no reason to refuse requests."""
    card = register_mixed(place.registry, place.root / "in")
    live = mixed_table(1000, seed=9)
    live.loc[700:, "job"] = "clerk"
    live.loc[700:, "amount"] = 20.0
    serve(place, card, live, live["outcome"].tolist())
    retrained(place, card)
    before, after = card.features, place.registry.card("mixed", "2").features
    for old, new in zip(before, after, strict=True):
        assert (new.name, new.type, new.nullable) == (old.name, old.type, old.nullable)
        assert set(new.categories or ()) >= set(old.categories or ())
        if old.minimum is not None:
            assert new.minimum is not None
            assert new.minimum <= old.minimum


def test_booleans_several_classes_and_numbers(place: Place) -> None:
    """Each kind of model is fitted again, compared by its own figures, and loads as a gateway loads it."""
    flags = register_flags(place.registry, place.root / "in")
    table = flag_table(800, seed=5)
    serve(place, flags, table, table["y"].astype(bool).tolist())
    colours = register_colours(place.registry, place.root / "in")
    colour_table = number_table(900, seed=5)
    reds = np.select([colour_table["x0"] > 0.5, colour_table["x1"] > 0.5], ["red", "green"], "blue")
    serve(place, colours, colour_table, reds.tolist(), start=START + 1)
    prices = register_regression(place.registry, place.root / "in")
    price_table = number_table(700, seed=6)
    moved = 3 * price_table["x0"] + 2 * price_table["x3"]
    serve(place, prices, price_table, moved.tolist(), start=START + 2)

    assert retrained(place, flags).comparison.verdict == "no difference"
    several = retrained(place, colours)
    assert {figure.name for figure in several.comparison.figures} == {
        "accuracy", "f1_score", "log_loss", "brier", "roc_auc",
    }  # fmt: skip
    assert [item.label for item in several.classes] == ["blue", "green", "red"]
    priced = retrained(place, prices)
    assert priced.comparison.deciding == "mae"
    assert priced.comparison.verdict == "better"
    for name in ("flags", "colours", "prices"):
        assert versions_in(place, "promote", name, "2") == 0


def test_a_promoted_candidate_is_retrained_with_what_its_predecessor_logged(place: Place) -> None:
    """Rows that another version answered may be fitted; only those that the champion itself answered judge."""
    card = numbers_served(place, 1000)
    retrained(place, card)
    second = place.registry.card("numbers", "2")
    table = turned(600, seed=8)
    serve(place, second, table, table["y"].tolist(), start=START + 10**7)
    report = retrained(place, second)
    assert [(used.source, used.rows) for used in report.fitted] == [
        ("log of version 2", 420),
        ("log of version 1", 1000),
    ]
    assert report.judged.source == "log of version 2"
    few = retrained(place, second, limits=Limits(rows_max=600))
    assert [(used.source, used.rows) for used in few.fitted] == [("log of version 2", 420), ("log of version 1", 180)]
    assert few.fitted[1].last == report.fitted[1].last
    assert "only the newest 600 of 1,020 logged rows are fitted (--rows-max)" in few.notes


class Trusted(LogisticRegression):
    """An estimator that skops does not know."""


def test_a_trusted_version_stays_trusted(place: Place) -> None:
    """Somebody vouched for the joblib file once; its hash says that it is still that file."""
    card = register_linear(place.registry, place.root / "in", kind=Trusted)
    assert card.artifact.kind == "joblib"
    table = turned(600, seed=4)
    serve(place, card, table, table["y"].tolist())
    assert retrained(place, card).comparison.verdict == "better"
    assert place.registry.card("numbers", "2").artifact.kind == "joblib"


def test_parameters_come_through_the_registry(place: Place) -> None:
    """What is cloned from the stored artifact has the parameters that the model was made with."""
    card = register_numbers(place.registry, place.root / "in")
    stored = clone(load_verified(place.registry.folder(card.name, card.version), card))
    wanted = {"n_estimators": 20, "max_depth": 5, "random_state": 0}
    assert {name: stored.get_params()[name] for name in wanted} == wanted


def test_what_is_lacking_is_said(place: Place) -> None:
    """No labels, too few, one class only, or all in one moment: refused, and nothing is registered."""
    card = register_numbers(place.registry, place.root / "in")
    with pytest.raises(TooFewRows, match="0 labelled rows in the log, 500 are needed"):
        retrained(place, card)
    table = turned(600, seed=7)
    ids = serve(place, card, table, [0] * 600)
    with pytest.raises(TooFewRows, match="hold 0 of class '1'; 50 of each class are needed"):
        retrained(place, card)
    answered.label(place.paths.live, card, ids[:400], table["y"].tolist()[:400], START + 10**7)
    with pytest.raises(TooFewRows, match="which judge, hold one class only"):
        retrained(place, card)
    assert place.registry.versions("numbers") == ["1"]


def test_a_table_that_does_not_fit_is_refused(place: Place) -> None:
    """Columns that it lacks, values of another type, classes that the model has not."""
    card = numbers_served(place, 600)
    path = place.root / "train.csv"
    number_table(300, seed=1).drop(columns=["x1", "y"]).to_csv(path, index=False)
    with pytest.raises(CannotRetrain, match="lacks 'x1', 'y', which numbers 1 was registered with"):
        retrained(place, card, train=path)
    number_table(300, seed=1).assign(x1="text").to_csv(path, index=False)
    with pytest.raises(CannotRetrain, match="'x1' holds texts, the model takes number values"):
        retrained(place, card, train=path)
    number_table(300, seed=1).assign(y=[0, 1, 2] * 100).to_csv(path, index=False)
    with pytest.raises(CannotRetrain, match="holds '2', but the model's classes are '0', '1'"):
        retrained(place, card, train=path)
    with pytest.raises(CannotRetrain, match="no such file"):
        retrained(place, card, train=place.root / "none.csv")
    assert place.registry.versions("numbers") == ["1"]


def test_rows_are_bounded(place: Place) -> None:
    """The newest of the log are read and fitted, and that is told of the table."""
    card = numbers_served(place, 1500)
    path = place.root / "train.csv"
    number_table(1000, seed=1).to_csv(path, index=False)
    report = retrained(place, card, train=path, limits=Limits(rows_max=1000))
    assert [used.rows for used in report.fitted] == [300, 700]
    assert report.judged.rows == 300
    assert "of train.csv only the last 300 rows are fitted (--rows-max)" in report.notes


def test_the_log_is_read_back_as_far_as_labels_need(place: Place) -> None:
    """The newest predictions have no label yet: older segments are read, and all steps together lose no row."""
    card = register_numbers(place.registry, place.root / "in")
    table = turned(1200, seed=7)
    for begin in range(0, 1200, 300):
        ids = answered.answer(
            place.registry, place.paths.live, card, table.iloc[begin : begin + 300],
            start=START + begin * STEP, step_seconds=STEP,
        )  # fmt: skip
        if begin < 900:
            answered.label(place.paths.live, card, ids, table["y"].tolist()[begin : begin + 300], START + 10**6)
    assert place.run("-m", "gateway.log", "seal").returncode == 0
    report = retrained(place, card, limits=Limits(rows_max=550))
    assert (report.fitted[0].rows, report.judged.rows) == (385, 165)
    assert report.judged.last == utc_text(START + 899 * STEP)
    assert report.fitted[0].first == utc_text(START + 350 * STEP)
    assert report.left_out == {"without a label": 300}


def test_the_command_promotes_only_what_is_better(place: Place) -> None:
    """Exit codes 0, 7, 4 and 2; the same words for people as in the report."""
    card = register_numbers(place.registry, place.root / "in")
    command = ("-m", "drift_engine", "retrain", "--name", "numbers")
    few = place.run(*command)
    assert (few.returncode, few.stderr.splitlines()[-1]) == (
        4,
        "refused: 0 labelled rows in the log, 500 are needed",
    )
    same = number_table(1000, seed=5)
    serve(place, card, same, same["y"].tolist())
    even = place.run(*command, "--promote")
    assert even.returncode == 7, even.stderr
    assert "not promoted: No difference that the rows show" in even.stderr
    assert place.registry.serving().versions == {"numbers": "1"}
    changed = turned(3000, seed=6)
    serve(place, card, changed, changed["y"].tolist(), start=START + 10**7)
    better = place.run(*command, "--promote")
    assert better.returncode == 0, better.stderr
    assert "The candidate is better: numbers 3, retrained from 1" in better.stdout
    assert "numbers 3 serves" in better.stdout
    assert place.registry.serving().versions == {"numbers": "3"}
    unknown = place.run("-m", "drift_engine", "retrain", "--name", "nobody")
    assert (unknown.returncode, "Traceback" in unknown.stderr) == (2, False)
    assert "no model named 'nobody' serves" in unknown.stderr
    undecided = place.run(*command, "--decide-by", "luck")
    assert undecided.returncode == 2
    assert "can be decided by accuracy, f1_score, roc_auc, log_loss, brier" in undecided.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_while_it_fits_it_leaves_nothing_and_can_be_repeated(place: Place, how: signal.Signals) -> None:
    """No version, no report; the next one takes the same number."""
    numbers_served(place, 600)
    process = subprocess.Popen(
        [sys.executable, "-m", "drift_engine", "retrain", "--name", "numbers"],
        cwd=ROOT, env=place.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "fitting on" in line:
            break
    process.send_signal(how)
    process.stderr.close()
    code = process.wait(20)
    # It may have been faster than the signal; then it is whole.
    assert code in (-how, 130, 0)
    expected = ["1"] if code else ["1", "2"]
    assert place.registry.versions("numbers") == expected
    assert (place.paths.reports / "numbers").exists() == (code == 0)
    again = place.run("-m", "drift_engine", "retrain", "--name", "numbers")
    assert again.returncode == 0, again.stderr
    assert place.registry.versions("numbers") == [*expected, str(len(expected) + 1)]


def test_a_report_that_cannot_be_written_keeps_the_version_from_appearing(place: Place) -> None:
    """The report is written first: there is no version without one."""
    numbers_served(place, 600)
    place.paths.reports.write_text("a file where a folder should be")
    done = place.run("-m", "drift_engine", "retrain", "--name", "numbers")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert place.registry.versions("numbers") == ["1"]


def test_one_at_a_time(place: Place) -> None:
    """A second retraining of the model says so at once."""
    from gateway.locks import locked

    numbers_served(place, 600)
    with locked(place.paths.state / "locks" / "retrain-numbers.lock", "this test"):
        busy = place.run("-m", "drift_engine", "retrain", "--name", "numbers")
    assert busy.returncode == 75
    assert "another retraining of numbers is under way" in busy.stderr


def versions_in(place: Place, *arguments: str) -> int:
    """`python -m gateway.versions` in the place."""
    return place.run("-m", "gateway.versions", *arguments).returncode
