"""What lies outside of a reference is counted, named, and told from what chance puts there."""

from __future__ import annotations

import numpy as np

from drift_engine.estimation.support import Support
from drift_engine.table import NumberColumn, Table
from gateway.registry.card import Feature
from tests.drift_engine.estimation.population import NUMBERS, SCORED, numbers, scored, table
from tests.drift_engine.scenario import binary_card


def test_rows_of_the_same_population_suffice_however_many_columns() -> None:
    """40 columns and 200 rows: a third of any window lies beyond some end, as much as chance says."""
    rng = np.random.default_rng(1)
    names = [f"x{place}" for place in range(40)]
    card = binary_card(features=tuple(Feature(name, "number") for name in names))

    def draw(rows: int) -> Table:
        base = scored(rng, rows).columns
        return Table(dict(base) | {name: NumberColumn(rng.normal(size=rows)) for name in names}, rows)

    support = Support(card, draw(200))
    coverages = [support.coverage(draw(1000)) for _ in range(20)]
    assert all(coverage.suffices for coverage in coverages)
    assert np.mean([coverage.share for coverage in coverages]) > 0.2


def test_inputs_beyond_their_range_are_named() -> None:
    """Half of the rows are; the column is told."""
    rng = np.random.default_rng(2)
    found = scored(rng, 1000)
    x = np.array(found.columns["x"].values)
    x[:500] += 100
    coverage = Support(SCORED, scored(rng, 2000)).coverage(Table(dict(found.columns) | {"x": NumberColumn(x)}, 1000))
    assert not coverage.suffices
    assert 0.5 <= coverage.share < 0.55
    assert coverage.most == "x"


def test_scores_that_the_reference_hardly_has_are_told() -> None:
    """Inputs as before; scores between 0.4 and 0.6, of which the reference has a handful."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=2000)
    sure = np.where(rng.random(2000) < 0.5, 0.05, 0.95)
    support = Support(SCORED, table(x, sure, rng.random(2000) < sure))
    unsure = np.full(400, 0.5)
    coverage = support.coverage(table(rng.choice(x, 400), unsure, rng.random(400) < unsure))
    assert not coverage.suffices
    assert coverage.most == "the score"


def test_unseen_levels_and_new_missing_values_lie_outside() -> None:
    """A level that no row of the reference has, a missing value where none is; known ones do not."""
    rng = np.random.default_rng(4)
    reference = numbers(rng, 3000)
    support = Support(NUMBERS, reference)
    found = numbers(rng, 1000)
    assert support.coverage(found).suffices
    country = found.columns["country"]
    levels = type(country)(country.codes, ("de", "fr", "xx"))
    assert support.coverage(Table(dict(found.columns) | {"country": levels}, 1000)).most == "country"
    age = NumberColumn(np.where(np.arange(1000) % 4 == 0, np.nan, found.columns["age"].values))
    coverage = support.coverage(Table(dict(found.columns) | {"age": age}, 1000))
    assert coverage.most == "age"
    assert not coverage.suffices
