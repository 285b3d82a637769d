"""Paired comparison of two models: known figures, honest p-values, and rows that repeat one another."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score, log_loss, mean_absolute_error, roc_auc_score

from drift_engine.paired.compare import CannotCompare, compare
from drift_engine.paired.schema import PairedComparison, PairedFigure
from drift_engine.paired.significance import block_length, mcnemar_p, share_difference_interval
from gateway.registry.inference import Answers
from gateway.registry.ranking import auc_terms
from tests.drift_engine.scenario import binary_card, regression_card

SEED = 20261120


def answers(scores: np.ndarray) -> Answers:
    """A binary model's answers of "no" and "yes" with these probabilities of "yes"."""
    texts = np.array(["no", "yes"], dtype=object)[(scores > 0.5).astype(int)]
    shares = np.column_stack([1 - scores, scores])
    return Answers(texts, shares, shares.max(axis=1), True)


def figure(found: PairedComparison, name: str, average: str | None = None) -> PairedFigure:
    """One figure of a comparison."""
    return next(item for item in found.figures if (item.name, item.average) == (name, average))


def pair(rows: int, seed: int, gain: float) -> tuple[np.ndarray, Answers, Answers]:
    """Labels, and two models of which the second sees the truth with `gain` more weight."""
    rng = np.random.default_rng(seed)
    truth = rng.random(rows) < 0.4
    sides = [1 / (1 + np.exp(-(weight * (truth - 0.5) + rng.normal(0, 1, rows)))) for weight in (1.0, 1.0 + gain)]
    return np.where(truth, "yes", "no").astype(object), answers(sides[0]), answers(sides[1])


def test_figures_are_those_of_scikit_learn() -> None:
    """Each model's own figure, to 1e-12, and the difference of both."""
    truth, first, second = pair(800, 1, 0.5)
    found = compare(binary_card(), truth, first, second, deciding="accuracy", seed=SEED)
    positive = (truth == "yes").astype(int)
    for side, place in ((first, "first"), (second, "second")):
        assert side.probabilities is not None
        expected = {
            ("accuracy", None): float(np.mean(side.predictions == truth)),
            ("f1_score", "positive"): f1_score(truth, side.predictions, pos_label="yes"),
            ("f1_score", "weighted"): f1_score(truth, side.predictions, average="weighted"),
            ("roc_auc", None): roc_auc_score(positive, side.probabilities[:, 1]),
            ("log_loss", None): log_loss(positive, side.probabilities),
            ("brier", None): float(np.mean((side.probabilities[:, 1] - positive) ** 2)),
        }
        for key, value in expected.items():
            assert getattr(figure(found, *key), place) == pytest.approx(value, abs=1e-12)
    assert all(item.difference == item.second - item.first for item in found.figures)
    assert {(item.name, item.average) for item in found.figures} == set(expected)


def test_mcnemar_is_the_exact_binomial_test() -> None:
    """Of the rows where one model alone is right."""
    for gained, lost in itertools.product((0, 1, 5, 20, 60), repeat=2):
        if gained + lost:
            assert mcnemar_p(gained, lost) == pytest.approx(binomtest(gained, gained + lost).pvalue, abs=1e-12)


def test_the_variance_of_the_auc_difference_is_delongs() -> None:
    """The terms' variance is that of DeLong's structural components, with the covariance of both models in it."""
    truth, first, second = pair(400, 3, 0.3)
    positive = truth == "yes"
    assert first.probabilities is not None
    assert second.probabilities is not None
    components = []
    for scores in (first.probabilities[:, 1], second.probabilities[:, 1]):
        wins = (scores[positive][:, None] > scores[~positive]) + 0.5 * (scores[positive][:, None] == scores[~positive])
        components.append((wins.mean(axis=1), wins.mean(axis=0)))
    expected = sum(np.var(components[1][side] - components[0][side]) / len(components[0][side]) for side in (0, 1))
    terms = [auc_terms(positive, side) for side in (first.probabilities[:, 1], second.probabilities[:, 1])]
    assert np.var(terms[1] - terms[0]) / len(truth) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rows", [300, 1000])
def test_equal_models_are_called_different_no_more_often_than_stated(rows: int) -> None:
    """Over 100 independent draws; 5 % is stated, and needing both p-values makes it rarer."""
    verdicts = [
        compare(binary_card(), *pair(rows, seed, 0.0), deciding="accuracy", seed=SEED).verdict for seed in range(100)
    ]
    # 5 % of 100 is 5; 12 or more has a chance of under 0.5 %.
    assert sum(verdict != "no difference" for verdict in verdicts) < 12


def test_a_better_model_is_found_and_named() -> None:
    """With its difference, interval and p in the sentence; swapped, it is worse."""
    truth, first, second = pair(1000, 5, 0.8)
    found = compare(binary_card(), truth, first, second, deciding="accuracy", seed=SEED)
    assert found.verdict == "better"
    assert found.sentence.startswith("better: accuracy ")
    assert found.decided_by.lower <= found.decided_by.difference <= found.decided_by.upper
    assert compare(binary_card(), truth, second, first, deciding="accuracy", seed=SEED).verdict == "worse"
    assert found.gained is not None
    assert found.lost is not None
    assert (found.gained - found.lost) / 1000 == pytest.approx(found.decided_by.difference, abs=1e-12)


def test_repeated_rows_do_not_make_a_difference_of_nothing() -> None:
    """Of 40 independent rows, each said 50 times, the plain test is sure too often; both together are not."""
    plain = both = 0
    for seed in range(100):
        truth, first, second = pair(40, seed, 0.0)
        repeat = np.repeat(np.arange(40), 50)
        found = compare(
            binary_card(), truth[repeat], _taken(first, repeat), _taken(second, repeat), deciding="accuracy", seed=SEED
        )
        plain += found.decided_by.p_value < 0.05
        both += found.verdict != "no difference"
        if found.decided_by.p_value < 1e-4:
            assert found.dependence is not None
            assert "cannot be trusted" in found.dependence
    assert plain > 60
    assert both < 25


def test_blocks_are_as_long_as_the_dependence() -> None:
    """1 for independent rows; of the order of what is expected for an autoregression."""
    rng = np.random.default_rng(SEED)
    assert block_length(rng.normal(size=5000)) <= 3
    noise, series = rng.normal(size=20_000), np.zeros(20_000)
    for place in range(1, len(series)):
        series[place] = 0.9 * series[place - 1] + noise[place]
    assert 30 <= block_length(series) <= 200
    assert block_length(np.ones(100)) == 1


def test_numbers_are_compared_by_their_errors() -> None:
    """MAE decides, RMSE and the rank test stand beside it."""
    rng = np.random.default_rng(SEED)
    truth = rng.normal(size=600)
    first, second = (Answers(truth + rng.normal(0, scale, 600), None, None, False) for scale in (1.0, 0.7))
    found = compare(regression_card(), truth, first, second, deciding="mae", seed=SEED)
    assert found.verdict == "better"
    assert figure(found, "mae").second == pytest.approx(mean_absolute_error(truth, second.predictions), abs=1e-12)
    assert figure(found, "rmse").first == pytest.approx(math.sqrt(np.mean((first.predictions - truth) ** 2)), abs=1e-12)
    assert found.rank_p_value is not None
    assert found.rank_p_value < 0.001
    assert (found.gained, found.lost) == (None, None)


def test_a_contradiction_is_told() -> None:
    """More right classes with worse probabilities: better by accuracy, and not by log loss."""
    rng = np.random.default_rng(SEED)
    truth = rng.random(3000) < 0.5
    calm = np.where(truth ^ (rng.random(3000) < 0.3), 0.7, 0.3)
    rash = np.where(truth ^ (rng.random(3000) < 0.25), 0.9999, 0.0001)
    texts = np.where(truth, "yes", "no").astype(object)
    found = compare(binary_card(), texts, answers(calm), answers(rash), deciding="accuracy", seed=SEED)
    assert found.verdict == "better"
    assert "log_loss" in found.against
    assert "other way round" in found.sentence


def test_the_same_rows_and_seed_give_the_same_comparison() -> None:
    """To the last bit."""
    truth, first, second = pair(500, 9, 0.2)
    one, two = (compare(binary_card(), truth, first, second, deciding="accuracy", seed=SEED) for _ in range(2))
    assert one == two


def test_nothing_is_said_without_rows_or_without_the_figure() -> None:
    """An AUC of one class is none."""
    truth, first, second = pair(100, 2, 0.0)
    with pytest.raises(CannotCompare, match="no labelled row"):
        compare(binary_card(), truth[:0], first, second, deciding="accuracy", seed=SEED)
    one = np.flatnonzero(truth == "no")
    with pytest.raises(CannotCompare, match="roc_auc cannot be made"):
        compare(binary_card(), truth[one], _taken(first, one), _taken(second, one), deciding="roc_auc", seed=SEED)


def test_the_paired_interval_covers() -> None:
    """Bonett and Price's interval holds the true difference in 93 to 97 % of 2,000 draws."""
    rng = np.random.default_rng(SEED)
    shares = np.array([0.10, 0.06, 0.84])
    held = 0
    for gained, lost, _ in rng.multinomial(300, shares, size=2000):
        low, high = share_difference_interval(int(gained), int(lost), 300)
        held += low <= 0.04 <= high
    assert 0.93 <= held / 2000 <= 0.97


def _taken(side: Answers, rows: np.ndarray) -> Answers:
    assert side.probabilities is not None
    assert side.confidence is not None
    return Answers(side.predictions[rows], side.probabilities[rows], side.confidence[rows], True)
