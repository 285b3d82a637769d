"""The kinds of drift told apart in words, and the signs before labels: for every combination of what is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from drift_engine.diagnosis import diagnosis
from drift_engine.early import RESIDUALS_MIN, early_signs
from drift_engine.results.schema import PredictionDrift
from drift_engine.table import NumberColumn, Table
from gateway.registry.columns import CONFIDENCE, LABEL, PREDICTION
from tests.drift_engine.scenario import binary_card, regression_card
from tests.results import data_drift, finding

VERDICTS = (True, False, None)


@pytest.mark.parametrize("regression", [False, True])
def test_every_combination_says_something_of_its_own(regression: bool) -> None:
    """27 texts, in whole sentences, none claiming what is not known."""
    texts = {
        verdicts: diagnosis(*verdicts, regression=regression) for verdicts in itertools.product(VERDICTS, repeat=3)
    }
    assert len(set(texts.values())) == 27
    for (data, answers, concept), text in texts.items():
        assert text.endswith(".")
        assert "{" not in text
        assert ("Retrain it" in text or "retrain it" in text) == (concept is True)
        assert ("Too few labels" in text) == (concept is None)
        assert ("cannot be told" in text) == (data is None or answers is None)


def test_the_words_for_the_cases_that_matter_most() -> None:
    """What a person on call reads at night."""
    assert diagnosis(True, True, False) == (
        "The inputs moved, and the model's answers with them. Where labels are known it is as right as it was: the "
        "cases are others, and it copes with them. Nothing to retrain."
    )
    assert diagnosis(False, False, True) == (
        "Neither the inputs nor the model's answers moved. Yet where labels are known it is wrong more often than it "
        "was: the same inputs mean something else now, which no check of inputs can see. Retrain it on newer rows."
    )
    assert diagnosis(False, False, None).endswith(
        "if the same inputs meant something else now, it would look just like this."
    )
    assert "errs by more than it did" in diagnosis(True, True, True, regression=True)


def answers(moved: bool) -> PredictionDrift:
    """The answers' findings, with the confidence's own."""
    return PredictionDrift(moved, 0.01, (finding(CONFIDENCE, 0.3 if moved else 0.01), finding("prediction")))


def test_confidence_that_moved_alone_is_a_sign() -> None:
    """And none where the inputs moved too, or where nobody knows whether they did."""
    nothing = Table({}, 0)
    calm, moved = data_drift(), data_drift(finding("amount", 0.4))
    unknown = data_drift(detected=None)
    signs = early_signs(binary_card(), calm, answers(True), nothing, nothing)
    assert len(signs) == 1
    assert "confidence moved though no input did (PSI 0.3, allowed 0.05.)" in signs[0]
    for data in (moved, unknown):
        assert early_signs(binary_card(), data, answers(True), nothing, nothing) == ()
    assert early_signs(binary_card(), calm, answers(False), nothing, nothing) == ()


def residuals(values: np.ndarray) -> Table:
    """Labelled rows whose answers are off by these."""
    truth = np.linspace(0, 10, len(values))
    return Table({PREDICTION: NumberColumn(truth + values), LABEL: NumberColumn(truth)}, len(values))


def signs(reference: np.ndarray, now: np.ndarray) -> tuple[str, ...]:
    """Of a regression's residuals."""
    return early_signs(regression_card(), data_drift(), answers(False), residuals(reference), residuals(now))


def test_a_few_labels_show_larger_errors_and_errors_to_one_side() -> None:
    """Each a sentence with its numbers; too few labels show nothing."""
    rng = np.random.default_rng(3)
    reference = rng.normal(0, 1, 2000)
    larger = signs(reference, rng.normal(0, 3, 40))
    assert len(larger) == 1
    assert "the first 40 labels show larger errors: half are over" in larger[0]
    sided = signs(reference, rng.normal(2, 1, 40))
    assert any("answer minus truth is +" in sign for sign in sided)
    assert signs(reference, rng.normal(9, 3, RESIDUALS_MIN - 1)) == ()
    assert signs(reference[:5], rng.normal(9, 3, 40)) == ()
    assert signs(reference, np.full(40, np.inf)) == ()


def test_signs_without_a_cause_are_rare() -> None:
    """1 % of 1,000 draws of 50 labels from the reference's own errors, heavy-tailed ones."""
    rng = np.random.default_rng(4)
    reference = rng.standard_t(2, 2000)
    false = sum(bool(signs(reference, rng.standard_t(2, 50))) for _ in range(1000))
    assert false <= 20
