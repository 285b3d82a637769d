"""Real files replayed in time order with late labels: realised figures are scikit-learn's on the same rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn import metrics as sk

from demo.train import model_for
from drift_engine.console import print_summary
from drift_engine.results.quality import Estimate
from drift_engine.results.schema import Performance, Result, Window
from drift_engine.run import Committed
from gateway.clock import utc_text
from gateway.registry import ModelCard, Registry
from gateway.registry.columns import class_text
from gateway.registry.register import register
from tests.drift_engine.scenario import NOW, Scenario

Find = Callable[[str], Path]
EXACT = 1e-12
HOUR = 3600.0


class Replay:
    """A model fitted on the first rows of a file, and its later rows in order, an hour of traffic for each part."""

    def __init__(self, root: Path, frame: pd.DataFrame, target: str, fitted: int, reference: int) -> None:
        known, self.later = frame[: fitted + reference].sample(frac=1, random_state=1), frame[fitted + reference :]
        self.target = target
        features = list(frame.columns.drop(target))
        self.model = model_for(known[:fitted], features, target)
        self.model.fit(known[:fitted][features], known[:fitted][target])
        made = Scenario(root)
        root.mkdir(parents=True, exist_ok=True)
        skops.io.dump(self.model, root / "model.skops")
        known[fitted:].to_csv(root / "reference.csv", index=False)
        card = register(
            root / "model.skops",
            root / "reference.csv",
            target,
            "replayed",
            registry=Registry(made.paths.models, made.paths.reference),
            unseen={"*": "accept"},
            now=NOW - 100 * HOUR,
        )
        self.scenario = Scenario(root, card)

    @property
    def card(self) -> ModelCard:
        """The registered model."""
        return self.scenario.card

    def answers(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray | None]:
        """What the model says: predictions, and probabilities if it has them."""
        inputs = rows[list(self.card.feature_names)]
        has = self.card.has_probabilities
        return self.model.predict(inputs), self.model.predict_proba(inputs) if has else None

    def log(self, rows: pd.DataFrame, start: float) -> list[str]:
        """An hour of answers; their request ids."""
        predictions, probabilities = self.answers(rows)
        found: dict[str, list[Any]] = {name: rows[name].tolist() for name in self.card.feature_names}
        found["score"] = predictions.tolist() if probabilities is None else probabilities.tolist()
        return self.scenario.log(found, start=start, seconds=HOUR - 1)

    def label(self, ids: list[str], rows: pd.DataFrame, received: float) -> None:
        """The labels of those answers."""
        truth = rows[self.target].tolist()
        values = truth if self.card.task == "regression" else [class_text(label) for label in truth]
        self.scenario.label(ids, values, received=received)


def replay(root: Path, frame: pd.DataFrame, target: str, fitted: int, reference: int, part: int) -> list[Committed]:
    """Four hours of `part` rows, labels of each come two hours later; a scheduled run at the end of each hour.

    Every run's realised figures are held against scikit-learn's.
    """
    replayed = Replay(root, frame, target, fitted, reference)
    parts = [replayed.later[begin : begin + part] for begin in range(0, 4 * part, part)]
    start = NOW - 4 * HOUR
    logged: list[list[str]] = []
    runs = []
    for hour, rows in enumerate(parts):
        end = start + (hour + 1) * HOUR
        logged.append(replayed.log(rows, end - HOUR))
        if hour >= 2:
            replayed.label(logged[hour - 2], parts[hour - 2], end - 1)
        run = replayed.scenario.run(Window(utc_text(end - HOUR), utc_text(end), "scheduled"), performance_days=2.0)
        runs.append(run)
        labelled = pd.concat(parts[: max(0, hour - 1)] or [rows[:0]])
        assert run.result.performance.labelled_rows == min(1000, len(labelled))
        if len(labelled):
            check(run.result.performance, replayed, labelled[-1000:])
    # All labels have come: the last hour by itself, every row of it.
    for ids, rows in itertools.islice(zip(logged, parts, strict=True), 2, None):
        replayed.label(ids, rows, NOW - 1)
    last = replayed.scenario.run(Window(utc_text(NOW - HOUR), utc_text(NOW), "adhoc"))
    assert last.result.window_performance is not None
    assert last.result.window_performance.labelled_rows == part
    check(last.result.window_performance, replayed, parts[-1])
    check(last.result.performance, replayed, parts[-1][-1000:])
    return [*runs, last]


def check(performance: Performance, replayed: Replay, rows: pd.DataFrame) -> None:
    """Every figure, and the confusion matrix."""
    assert performance.outcome == "ok"
    answers, probabilities = replayed.answers(rows)
    truth = rows[replayed.target].to_numpy()
    expected = numbers(truth, answers) if probabilities is None else classes(replayed, truth, answers, probabilities)
    found = {(metric.name, metric.average): metric.value for metric in performance.metrics}
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=EXACT), key
    if probabilities is not None:
        assert performance.confusion is not None
        names = [class_text(label) for label in replayed.card.classes]
        assert list(performance.confusion.classes) == names
        matrix = sk.confusion_matrix(truth, answers, labels=list(replayed.card.classes))
        assert [list(row) for row in performance.confusion.counts] == matrix.tolist()


def classes(
    replayed: Replay, truth: np.ndarray, answers: np.ndarray, probabilities: np.ndarray
) -> dict[tuple[str, str | None], float]:
    """scikit-learn's figures of a binary classifier."""
    positive = replayed.card.positive_class
    assert positive is not None
    score = probabilities[:, replayed.card.classes.index(positive)]
    shares = {
        (name, average): compute(truth, answers, **options, zero_division=0)
        for name, compute in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1_score", sk.f1_score))
        for average, options in (("positive", {"pos_label": positive}), ("weighted", {"average": "weighted"}))
    }
    if not (answers == positive).any():
        del shares["precision", "positive"]  # 0/0 is not zero
    return shares | {
        ("accuracy", None): sk.accuracy_score(truth, answers),
        ("roc_auc", None): sk.roc_auc_score(truth == positive, score),
        ("log_loss", None): sk.log_loss(truth, probabilities, labels=list(replayed.card.classes)),
        ("brier", None): sk.brier_score_loss(truth == positive, score),
    }


def numbers(truth: np.ndarray, answers: np.ndarray) -> dict[tuple[str, str | None], float]:
    """scikit-learn's figures of a regression."""
    return {
        ("mae", None): sk.mean_absolute_error(truth, answers),
        ("rmse", None): sk.root_mean_squared_error(truth, answers),
        ("r2", None): sk.r2_score(truth, answers),
        ("bias", None): float(np.mean(answers - truth)),
    }


def estimate_of(result: Result) -> Estimate:
    """The run's estimate, which has figures."""
    assert result.estimated is not None
    assert result.estimated.reason is None, result.estimated.reason
    return result.estimated


def test_bank(tmp_path: Path, shared_data: Find, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows 36,300 and later: 2009 and 2010, after the economy turned. The estimate is flagged before any label came."""
    frame = pd.read_csv(shared_data("bank_additional_full.csv.gz"), sep=";").drop(columns="duration")
    frame = pd.concat([frame[:12_000], frame[36_300:]])
    runs = replay(tmp_path, frame, "y", 8000, 4000, 1200)
    first = estimate_of(runs[0].result)
    assert first.back_test == ()
    assert not first.trusted
    assert "inputs or scores that the reference does not show" in first.caution
    last = estimate_of(runs[-1].result)
    accuracy = next(error for error in last.back_test if error.metric == "accuracy")
    assert accuracy.error > 0.1
    print_summary(runs[-1])
    said = capsys.readouterr().out
    assert "estimated quality of 1200 rows, without labels: accuracy" in said
    assert "Not to be trusted" in said
    html = runs[-1].report.read_text()
    assert "Estimated quality, without labels" in html
    assert "Confusion matrix" in html


def test_elec2(tmp_path: Path, shared_data: Find) -> None:
    """The time before the Victorian market joined: inputs as before, figures of all labelled rows."""
    frame = pd.read_csv(shared_data("elec2.csv.gz")).drop(columns=["date", "nswprice"])
    runs = replay(tmp_path, frame[:17_424], "class", 8000, 4000, 1300)
    assert estimate_of(runs[0].result).outside_support is not None
    # The newest 1,000 labelled rows, of which the window itself has none.
    third = runs[2].result
    assert third.performance.labelled_rows == 1000
    assert third.window_performance is not None
    assert third.window_performance.outcome == "insufficient_data"
    assert third.window_performance.reason == "0 labelled rows of 100 needed"
    assert {error.rows for error in estimate_of(third).back_test} == {1000}


def test_a_number_to_predict(tmp_path: Path, shared_data: Find) -> None:
    """The demand of elec2: mae, rmse, r2 and bias, estimated by direct loss estimation."""
    frame = pd.read_csv(shared_data("elec2.csv.gz"))[:17_424]
    frame = frame.drop(columns=["date", "class", "vicprice", "vicdemand", "transfer"])
    runs = replay(tmp_path, frame, "nswdemand", 8000, 4000, 1300)
    estimate = estimate_of(runs[-1].result)
    assert estimate.method == "dle"
    assert [metric.name for metric in estimate.metrics] == ["mae", "rmse"]
