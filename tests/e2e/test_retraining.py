"""Real files in their own order of time: a candidate beats the champion on the newest rows, and the log replays."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from drift_engine.replay.schema import Replay
from drift_engine.retraining.schema import ModelReport
from gateway.registry.register import register
from tests import answered
from tests.running import Place

pytestmark = pytest.mark.e2e

#: 1996-05-07, when the series begins; one row every half hour. Labels come a week later.
START, STEP, DELAY = 831_427_200.0, 1800.0, 7 * 86_400.0
FITTED, REFERENCE = 13_440, 17_424
SEED = 20261120


def test_retraining_and_replaying_elec2(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    """A static champion of the first 280 days, retrained from its own log once the Victorian market had joined."""
    place = Place(tmp_path)
    table = pd.read_csv(shared_data("elec2.csv.gz")).drop(columns=["date", "nswprice"])
    train, live = table.iloc[:FITTED], table.iloc[REFERENCE:]
    train.to_csv(tmp_path / "train.csv", index=False)
    table.iloc[FITTED:REFERENCE].to_csv(tmp_path / "reference.csv", index=False)
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    model.fit(train.drop(columns="class"), train["class"])
    skops.io.dump(model, tmp_path / "model.skops")
    card = register(
        tmp_path / "model.skops", tmp_path / "reference.csv", "class", "elec2", registry=place.registry, now=START
    )
    first = START + REFERENCE * STEP
    ids = answered.answer(place.registry, place.paths.live, card, live, start=first, step_seconds=STEP)
    received = first + np.arange(len(ids)) * STEP + DELAY
    answered.label(place.paths.live, card, ids, live["class"].tolist(), received.tolist())

    done = place.run(
        "-m", "drift_engine", "retrain", "--name", "elec2", "--train", str(tmp_path / "train.csv"), "--promote"
    )
    assert done.returncode == 0, done.stderr
    report = msgspec.json.decode(
        (place.paths.reports / "elec2" / "2" / "model_report.json").read_bytes(), type=ModelReport
    )
    check_report(report, live)
    assert place.registry.serving().versions == {"elec2": "2"}

    same = place.run("-m", "drift_engine", "replay", "--name", "elec2", "--version", "1", "--log", "1")
    assert same.returncode == 0, same.stderr
    assert f"The log is reproduced: all {len(live):,} answers are equal" in same.stdout
    other = place.run("-m", "drift_engine", "replay", "--name", "elec2", "--version", "2", "--log", "1")
    assert other.returncode == 0, other.stderr
    check_replay(place.paths.reports / "elec2" / "2" / "replays", report)
    print(done.stdout, other.stdout)


def check_report(report: ModelReport, live: pd.DataFrame) -> None:
    """Better on rows that neither was fitted on, by accuracy, AUC and log loss, and honest about the dependence."""
    judged = int(np.ceil(0.3 * len(live)))
    assert [used.rows for used in report.fitted] == [FITTED, len(live) - judged]
    assert report.judged.rows == judged
    assert report.labels_after_split == round(DELAY / STEP)
    found = report.comparison
    assert found.verdict == "better"
    assert found.decided_by.p_value < 1e-6
    assert found.decided_by.block_p_value < 0.01
    assert {f.name for f in found.figures if f.verdict == "better"} >= {"accuracy", "roc_auc", "log_loss", "brier"}
    # The labels of neighbouring half hours are alike: blocks are many rows long.
    assert found.block_rows > 10
    assert len(report.slices) > 5


def check_replay(replays: Path, report: ModelReport) -> None:
    """The replay agrees with the model report about which version is right, and lists the changed rows."""
    (folder,) = replays.iterdir()
    found = msgspec.json.decode((folder / "replay.json").read_bytes(), type=Replay)
    assert found.comparison is not None
    assert found.comparison.rows == report.judged.rows
    assert found.comparison.decided_by.second == report.comparison.decided_by.second
    assert found.comparison.decided_by.first == pytest.approx(report.comparison.decided_by.first)
    assert found.changed.count > 1000
    rows = list(csv.DictReader(io.StringIO((folder / "changes.csv").read_text(), newline="")))
    assert len(rows) == found.largest
    assert all(row["logged_prediction"] != row["replayed_prediction"] for row in rows)


def test_retraining_bank_marketing(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    """Texts and numbers, through the financial crisis: the log replays, and the candidate keeps what was accepted."""
    place = Place(tmp_path)
    table = pd.read_csv(shared_data("bank_additional_full.csv.gz"), sep=";").drop(columns="duration")
    train, reference, live = table.iloc[:24_000:2], table.iloc[1:24_000:2], table.iloc[27_690:]
    texts = [name for name in train.select_dtypes(exclude=np.number) if name != "y"]
    live = live[np.logical_and.reduce([live[name].isin(set(reference[name])) for name in texts])]
    train.to_csv(tmp_path / "train.csv", index=False)
    reference.to_csv(tmp_path / "reference.csv", index=False)
    model = make_pipeline(
        make_column_transformer(
            (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), texts), remainder="passthrough"
        ),
        HistGradientBoostingClassifier(max_iter=60, random_state=0),
    ).fit(train.drop(columns="y"), train["y"])
    skops.io.dump(model, tmp_path / "model.skops")
    card = register(
        tmp_path / "model.skops", tmp_path / "reference.csv", "y", "bank", registry=place.registry, now=START
    )
    ids = answered.answer(place.registry, place.paths.live, card, live, start=START, step_seconds=600.0)
    answered.label(place.paths.live, card, ids, live["y"].tolist(), START + 10**8)

    same = place.run("-m", "drift_engine", "replay", "--name", "bank", "--version", "1")
    assert (same.returncode, "The log is reproduced" in same.stdout) == (0, True), same.stderr
    table_file = str(tmp_path / "train.csv")
    done = place.run(
        "-m", "drift_engine", "retrain", "--name", "bank", "--train", table_file, "--decide-by", "log_loss"
    )
    assert done.returncode == 0, done.stderr
    report = msgspec.json.decode(
        (place.paths.reports / "bank" / "2" / "model_report.json").read_bytes(), type=ModelReport
    )
    # Who will say yes is hardly known by either; how many will, the candidate has learned.
    assert (report.comparison.deciding, report.comparison.verdict) == ("log_loss", "better")
    for before, after in zip(card.features, place.registry.card("bank", "2").features, strict=True):
        assert (before.name, before.type) == (after.name, after.type)
        assert set(before.categories or ()) <= set(after.categories or ())
    print(done.stdout)
