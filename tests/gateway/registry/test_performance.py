"""Metrics are scikit-learn's, figures that the rows cannot support are absent, and intervals keep their promise."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from gateway.registry.card import Metric
from gateway.registry.performance import accuracy_drop, classification_metrics, regression_metrics

EXACT = 1e-12


def by_key(metrics: tuple[Metric, ...]) -> dict[tuple[str, str | None], Metric]:
    return {(metric.name, metric.average): metric for metric in metrics}


def scored(rows: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random labels with probabilities that know something about them, some of them tied."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    probabilities = rng.dirichlet(np.ones(classes), rows)
    probabilities[np.arange(rows), labels] += 0.3
    probabilities = np.round(probabilities / probabilities.sum(axis=1, keepdims=True), 2)
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True), probabilities.argmax(axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_binary_figures_are_scikit_learns(seed: int) -> None:
    """Accuracy, precision, recall, F1, AUC, log loss and Brier score equal scikit-learn's to 1e-12."""
    labels, probabilities, predictions = scored(300, 2, seed)
    names = np.array(["no", "yes"])
    found = by_key(classification_metrics(names[labels], names[predictions], probabilities, ["no", "yes"], "yes"))
    precision, recall, f1, _ = reference.precision_recall_fscore_support(labels, predictions, average="binary")
    weighted = reference.precision_recall_fscore_support(labels, predictions, average="weighted")
    expected = {
        ("accuracy", None): reference.accuracy_score(labels, predictions),
        ("precision", "positive"): precision,
        ("recall", "positive"): recall,
        ("f1_score", "positive"): f1,
        ("precision", "weighted"): weighted[0],
        ("recall", "weighted"): weighted[1],
        ("f1_score", "weighted"): weighted[2],
        ("roc_auc", None): reference.roc_auc_score(labels, probabilities[:, 1]),
        ("log_loss", None): reference.log_loss(labels, probabilities),
        ("brier", None): reference.brier_score_loss(labels, probabilities[:, 1]),
    }
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].value == pytest.approx(value, abs=EXACT), key
        assert found[key].lower <= found[key].value <= found[key].upper, key


@pytest.mark.parametrize("seed", range(5))
def test_multiclass_figures_are_scikit_learns(seed: int) -> None:
    """With three classes AUC is the weighted one-vs-rest one, and nothing speaks of a positive class."""
    labels, probabilities, predictions = scored(300, 3, seed)
    names = np.array(["a", "b", "c"])
    found = by_key(classification_metrics(names[labels], names[predictions], probabilities, list("abc"), None))
    weighted = reference.precision_recall_fscore_support(labels, predictions, average="weighted")
    auc = reference.roc_auc_score(labels, probabilities, multi_class="ovr", average="weighted")
    assert {average for _, average in found} == {None, "weighted"}
    assert found["precision", "weighted"].value == pytest.approx(weighted[0], abs=EXACT)
    assert found["recall", "weighted"].value == pytest.approx(weighted[1], abs=EXACT)
    assert found["f1_score", "weighted"].value == pytest.approx(weighted[2], abs=EXACT)
    assert found["roc_auc", "weighted"].value == pytest.approx(auc, abs=EXACT)
    assert found["log_loss", None].value == pytest.approx(reference.log_loss(labels, probabilities), abs=EXACT)
    assert found["brier", None].value == pytest.approx(reference.brier_score_loss(labels, probabilities), abs=EXACT)


def test_the_first_class_can_be_the_positive_one() -> None:
    """AUC and precision follow the positive class, wherever it stands."""
    labels, probabilities, predictions = scored(300, 2, seed=1)
    names = np.array(["no", "yes"])
    found = by_key(classification_metrics(names[labels], names[predictions], probabilities, ["no", "yes"], "no"))
    assert found["roc_auc", None].value == pytest.approx(reference.roc_auc_score(labels == 0, probabilities[:, 0]))
    assert found["recall", "positive"].value == pytest.approx(reference.recall_score(labels == 0, predictions == 0))


def test_regression_figures_are_scikit_learns() -> None:
    """mae, rmse, r2 and bias, with a mean far from zero."""
    rng = np.random.default_rng(0)
    labels = rng.normal(1e6, 1.0, 400)
    predictions = labels + rng.normal(0.1, 0.5, 400)
    found = {metric.name: metric for metric in regression_metrics(labels, predictions)}
    assert found["mae"].value == pytest.approx(reference.mean_absolute_error(labels, predictions), rel=EXACT)
    assert found["rmse"].value == pytest.approx(reference.root_mean_squared_error(labels, predictions), rel=EXACT)
    assert found["r2"].value == pytest.approx(reference.r2_score(labels, predictions), rel=1e-9)
    assert found["bias"].value == pytest.approx(np.mean(predictions - labels), rel=EXACT)
    assert all(metric.lower < metric.value < metric.upper for metric in found.values())


def test_one_class_in_the_labels_leaves_out_what_needs_two() -> None:
    """Without positives there is no AUC and no recall, and no made-up value in their place."""
    labels = np.array(["no"] * 50)
    probabilities = np.column_stack([np.full(50, 0.9), np.full(50, 0.1)])
    found = by_key(classification_metrics(labels, labels, probabilities, ["no", "yes"], "yes"))
    assert found["accuracy", None].value == 1.0
    assert not {name for name, average in found if average == "positive" or name == "roc_auc"}


@pytest.mark.parametrize(("positives", "present"), [(9, False), (10, True)])
def test_under_ten_positives_nothing_is_said_of_them(positives: int, present: bool) -> None:
    """Precision, recall and F1 of the positive class need ten true positives-to-be."""
    labels = np.array(["yes"] * positives + ["no"] * 100)
    found = by_key(classification_metrics(labels, labels, None, ["no", "yes"], "yes"))
    assert (("recall", "positive") in found) is present


def test_precision_without_positive_predictions_is_absent() -> None:
    """0/0 is not zero: recall and F1 are 0, precision is unknown."""
    labels = np.array(["yes"] * 20 + ["no"] * 80)
    found = by_key(classification_metrics(labels, np.full(100, "no"), None, ["no", "yes"], "yes"))
    assert ("precision", "positive") not in found
    assert found["recall", "positive"].value == found["f1_score", "positive"].value == 0.0


def test_a_label_outside_the_classes_counts_as_wrong() -> None:
    """A new kind of outcome lowers accuracy; the figures from probabilities are of the other rows."""
    labels, probabilities, predictions = scored(200, 2, seed=3)
    names = np.array(["no", "yes"])
    texts = names[labels]
    whole = by_key(classification_metrics(texts, names[predictions], probabilities, ["no", "yes"], "yes"))
    texts = np.concatenate([texts, ["maybe"] * 50])
    predicted = np.concatenate([names[predictions], ["no"] * 50])
    padded = np.vstack([probabilities, np.tile([0.5, 0.5], (50, 1))])
    found = by_key(classification_metrics(texts, predicted, padded, ["no", "yes"], "yes"))
    assert found["accuracy", None].value == pytest.approx(whole["accuracy", None].value * 200 / 250)
    assert found["roc_auc", None].value == whole["roc_auc", None].value
    assert found["log_loss", None].value == whole["log_loss", None].value


def test_no_rows_no_metrics() -> None:
    """An empty window has no quality."""
    nothing = np.array([], dtype=str)
    assert classification_metrics(nothing, nothing, None, ["a", "b"], "b") == ()
    assert regression_metrics(np.array([]), np.array([])) == ()


def test_few_rows_have_values_without_bounds() -> None:
    """Three rows would pretend to know; one row must not crash."""
    found = {metric.name: metric for metric in regression_metrics(np.array([1.0, 2.0, 3.0]), np.ones(3))}
    assert found["mae"].lower is None
    single = {metric.name for metric in regression_metrics(np.array([1.0]), np.array([2.0]))}
    assert single == {"mae", "rmse", "bias"}


def test_a_perfect_model_is_not_certain() -> None:
    """Fifty right answers leave room for some wrong ones: no interval has zero width."""
    labels = np.array(["no", "yes"] * 25)
    probabilities = np.where((labels == "yes")[:, np.newaxis], [0.1, 0.9], [0.9, 0.1])
    found = classification_metrics(labels, labels, probabilities, ["no", "yes"], "yes")
    shares = [metric for metric in found if metric.name not in ("log_loss", "brier")]
    assert len(shares) == 8
    assert all(metric.value == 1.0 and 0.8 < metric.lower < 0.97 for metric in shares)


def test_a_drop_is_measured_against_an_uncertain_baseline() -> None:
    """The same fall is less certain when the baseline was measured on few rows."""

    def baseline(rows: int) -> Metric:
        labels = np.array(["a"] * rows)
        predictions = np.where(np.arange(rows) % 10 == 0, "b", "a")
        return classification_metrics(labels, predictions, None, ["a", "b"], None)[0]

    small, large = accuracy_drop(baseline(100), 800, 1000), accuracy_drop(baseline(10_000), 800, 1000)
    assert small is not None
    assert large is not None
    assert small.percent == pytest.approx(large.percent) == pytest.approx(100 * (1 - 0.8 / 0.9))
    assert small.lower < large.lower < large.percent < large.upper < small.upper
    assert large.p_value < small.p_value


def test_the_drops_bound_and_p_value_agree() -> None:
    """The lower bound exceeds what is allowed exactly when the one-sided p-value is under 2.5 %."""
    baseline = Metric("accuracy", 0.9, 0.8799, 0.9170, None, "wilson")
    for correct in range(300, 501, 5):
        drop = accuracy_drop(baseline, correct, 500)
        assert drop is not None
        assert (drop.lower > 5.0) == (drop.p_value < 0.025)


def test_an_exact_baseline_gives_wilsons_interval() -> None:
    """With no uncertainty in the baseline the score interval of the ratio is the score interval of the share."""
    drop = accuracy_drop(Metric("accuracy", 0.8, None, None), 70, 100)
    share = _accuracy(70, 100)[0]
    assert drop is not None
    assert drop.upper == pytest.approx(100 * (1 - share.lower / 0.8), abs=1e-6)
    assert drop.lower == pytest.approx(100 * (1 - share.upper / 0.8), abs=1e-6)


@pytest.mark.parametrize(("correct", "rows"), [(0, 1), (1, 1), (0, 200), (200, 200)])
def test_the_drop_is_bounded_at_the_ends(correct: int, rows: int) -> None:
    """All right, all wrong, one row: finite bounds on both sides of the value."""
    for baseline in (_accuracy(1, 200)[0], _accuracy(100, 200)[0], _accuracy(200, 200)[0]):
        drop = accuracy_drop(baseline, correct, rows)
        assert drop is not None
        assert np.isfinite([drop.lower, drop.upper]).all()
        assert drop.lower <= drop.percent <= drop.upper
        assert 0.0 <= drop.p_value <= 1.0


def test_no_drop_without_rows_or_baseline() -> None:
    """Nothing to compare is None, not zero."""
    assert accuracy_drop(_accuracy(90, 100)[0], 0, 0) is None
    assert accuracy_drop(_accuracy(0, 100)[0], 50, 100) is None


def _accuracy(correct: int, rows: int) -> list[Metric]:
    labels = np.array(["a"] * rows)
    predictions = np.array(["a"] * correct + ["b"] * (rows - correct))
    return [classification_metrics(labels, predictions, None, ["a", "b"], None)[0]]


def test_figures_that_overflow_are_left_out() -> None:
    """One label of 1e200 is a number, and its square is none: a card with it could not be read again."""
    rng = np.random.default_rng(1)
    labels = rng.normal(size=200)
    labels[7] = 1e200
    assert regression_metrics(labels, rng.normal(size=200)) == ()
    labels[7] = 1e100
    assert {metric.name for metric in regression_metrics(labels, rng.normal(size=200))} == {"mae", "bias", "r2"}
