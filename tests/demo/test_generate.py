"""The generated card data are what their documentation says, and each knob turns one thing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from demo.generate import COMPONENTS, FEATURES, LABEL, Population, Shift, generate

ROWS = 20_000


def test_columns_are_those_of_the_card_data_in_time_order() -> None:
    """Time, V1..V28, Amount, Class; two days of seconds, ascending; amounts in cents; classes 0 and 1."""
    table = generate(2_000, seed=1).table
    assert tuple(table.columns) == ("Time", *(f"V{i}" for i in range(1, 29)), "Amount", "Class")
    assert table["Time"].is_monotonic_increasing
    assert table["Time"].between(0, 2 * 86_400).all()
    assert np.array_equal(table["Amount"], table["Amount"].round(2))
    assert table["Amount"].min() >= 0.01
    assert set(table[LABEL]) == {0, 1}
    assert not table.isna().any(axis=None)


def test_equal_seeds_give_equal_data_and_others_do_not() -> None:
    """Everything comes from the one seed."""
    pd.testing.assert_frame_equal(generate(500, seed=7).table, generate(500, seed=7).table)
    assert not generate(500, seed=7).table.equals(generate(500, seed=8).table)


@pytest.mark.parametrize("share", [0.002, 0.03, 0.3])
def test_fraud_share_is_the_one_asked_for(share: float) -> None:
    """Mean true probability and observed share lie within four standard errors of the setting."""
    drawn = generate(ROWS, seed=2, population=Population(fraud_share=share))
    error = 4 * np.sqrt(share / ROWS) + 0.001
    assert abs(drawn.probabilities.mean() - share) < error
    assert abs(drawn.table[LABEL].mean() - share) < error


def test_components_are_standardised_correlated_and_some_have_heavy_tails() -> None:
    """Mean 0, SD 1; 0.25 within a group of gaussians, 0 across groups; more than gaussian kurtosis in V4, V8, ..."""
    table = generate(ROWS, seed=3).table
    components = table[list(COMPONENTS)]
    assert components.mean().abs().max() < 0.04
    assert (components.std() - 1).abs().max() < 0.06
    correlation = components.corr()
    assert correlation.loc["V1", "V2"] == pytest.approx(0.25, abs=0.03)
    assert correlation.loc["V1", "V9"] == pytest.approx(0.0, abs=0.03)
    kurtosis = scipy.stats.kurtosis(components.to_numpy(), axis=0)
    assert kurtosis[7] > 1
    assert kurtosis[6] == pytest.approx(0, abs=0.3)
    assert np.log(table["Amount"]).mean() == pytest.approx(3.2, abs=0.05)


def test_afternoons_are_busier_than_nights() -> None:
    """Hour 15 has (1 + 0.8) / (1 - 0.8) = 9 times the traffic of hour 3."""
    hours = generate(ROWS, seed=4).table["Time"] % 86_400 / 3_600
    afternoon, night = hours.between(14.5, 15.5).sum(), hours.between(2.5, 3.5).sum()
    assert 6 < afternoon / night < 13


def test_true_probabilities_are_calibrated() -> None:
    """Of the rows with a true probability near p, a share near p is fraud."""
    drawn = generate(100_000, seed=5)
    labels = drawn.table[LABEL].to_numpy()
    for low, high in [(0.0, 0.1), (0.1, 0.4), (0.4, 0.7), (0.7, 1.0)]:
        band = (drawn.probabilities >= low) & (drawn.probabilities < high)
        spread = 4 * np.sqrt(0.25 / band.sum())
        assert abs(labels[band].mean() - drawn.probabilities[band].mean()) < spread


def test_covariate_shift_moves_the_named_columns_only() -> None:
    """V1 moves by half a standard deviation, its neighbours do not; the share of frauds follows the features."""
    shifted = generate(ROWS, seed=6, shift=Shift(covariate=0.5, covariate_columns=("V1",))).table
    assert shifted["V1"].mean() == pytest.approx(0.5, abs=0.03)
    assert shifted[["V2", "V3", "V8"]].mean().abs().max() < 0.04
    assert shifted[LABEL].mean() > 0.035


def test_covariate_shift_of_the_amount_moves_its_logarithm() -> None:
    """One SD of ln Amount is 1.2."""
    table = generate(ROWS, seed=6, shift=Shift(covariate=1.0, covariate_columns=("Amount",))).table
    assert np.log(table["Amount"]).mean() == pytest.approx(4.4, abs=0.05)


def test_label_shift_changes_the_share_but_not_the_classes_themselves() -> None:
    """Half of the rows are fraud; within a class the features keep their means, and p stays calibrated."""
    usual = generate(100_000, seed=7).table
    shifted = generate(ROWS, seed=8, shift=Shift(fraud_share=0.5))
    assert shifted.table[LABEL].mean() == pytest.approx(0.5, abs=0.02)
    assert shifted.probabilities.mean() == pytest.approx(0.5, abs=0.02)
    for label in (0, 1):
        means = [table.loc[table[LABEL] == label, ["V1", "V14"]].mean() for table in (usual, shifted.table)]
        assert np.abs(means[0] - means[1]).max() < 0.08


def test_concept_shift_turns_the_relation_round_and_keeps_the_features() -> None:
    """V14 speaks against fraud before and for it after; its own distribution stays."""
    before = generate(ROWS, seed=9).table
    after = generate(ROWS, seed=9, shift=Shift(concept=1.0)).table
    pd.testing.assert_frame_equal(before[list(FEATURES)], after[list(FEATURES)])
    assert before["V14"].corr(before[LABEL]) < -0.1
    assert after["V14"].corr(after[LABEL]) > 0.1
    erased = generate(ROWS, seed=9, shift=Shift(concept=0.5)).table
    assert abs(erased["V14"].corr(erased[LABEL])) < 0.03


def test_missing_values_and_volume() -> None:
    """A share of the named columns is missing on top of the population's; twice the volume is twice the rows."""
    population = Population(missing_share=0.1, missing_columns=("V27",))
    shift = Shift(missing_share=0.2, missing_columns=("V28", "Amount"), volume=2)
    table = generate(ROWS // 2, seed=10, population=population, shift=shift).table
    assert len(table) == ROWS
    missing = table.isna().mean()
    assert missing["V27"] == pytest.approx(0.1, abs=0.02)
    assert missing["V28"] == pytest.approx(0.2, abs=0.02)
    assert missing["Amount"] == pytest.approx(0.2, abs=0.02)
    assert missing.drop(["V27", "V28", "Amount"]).max() == 0


@pytest.mark.parametrize(
    ("shift", "said"),
    [
        (Shift(concept=1.5), "concept"),
        (Shift(fraud_share=-0.1), "fraud_share"),
        (Shift(missing_share=1.0), "missing_share"),
        (Shift(covariate_columns=("V29",)), "V29"),
        (Shift(covariate_columns=("Time",)), "Time"),
        (Shift(volume=0), "volume"),
    ],
)
def test_impossible_knobs_are_refused_by_name(shift: Shift, said: str) -> None:
    """A setting that cannot be is a ValueError that names it."""
    with pytest.raises(ValueError, match=said):
        generate(100, seed=1, shift=shift)
