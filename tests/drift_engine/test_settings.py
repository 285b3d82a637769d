"""Settings of one model and of one column: what holds, what is refused, and that a run follows them."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from drift_engine.settings import RULE_KEYS, DriftSettings
from gateway.settings import InvalidSettings, load
from tests.drift_engine.scenario import Scenario, rows

TABLES = """
[drift]
psi_floor = 0.03
[drift.columns.amount]
location_floor = 0.05
[drift.models.loans]
alpha = 0.001
minimum_rows = 80
[drift.models.loans.columns.amount]
psi_floor = 0.2
[drift.models.loans.columns."probability of yes"]
novel_share = 0.1
"""


def read(folder: Path, text: str) -> DriftSettings:
    """The settings of a file."""
    file = folder / "sentinel.toml"
    file.write_text(text)
    (settings,) = load(DriftSettings, environ={}, file=file)
    return settings


def test_the_narrowest_table_that_names_a_value_decides(tmp_path: Path) -> None:
    """Column of the model, column, model, all: in that order."""
    settings = read(tmp_path, TABLES)
    loans, others = settings.for_model("loans"), settings.for_model("others")
    assert (loans.alpha, others.alpha) == (0.001, 0.01)
    amount, age = loans.for_column("amount"), loans.for_column("age")
    assert (amount["psi_floor"], amount["location_floor"], amount["minimum_rows"]) == (0.2, 0.05, 80)
    assert (age["psi_floor"], age["location_floor"], age["minimum_rows"]) == (0.03, 0.02, 80)
    assert loans.for_column("probability of yes")["novel_share"] == 0.1
    assert others.for_column("amount") == others.for_column("age") | {"location_floor": 0.05}
    assert set(amount) == set(RULE_KEYS)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[drift.columns.amount]\npsi_flor = 1", "columns.amount: unknown key 'psi_flor'; known are method"),
        ("[drift.columns.amount]\nalpha = 0.1", "columns.amount: unknown key 'alpha'"),
        ("[drift.models.loans]\ninterval_seconds = 60", "loans: unknown key 'interval_seconds'"),
        ("[drift.models.loans.columns.age]\nnovel_share = 0.5", "age.novel_share: 0.5 is above the maximum 0.24"),
        ("[drift.models.loans]\nalpha = 'low'", "loans.alpha: 'low' is not a number"),
        ("[drift.models.loans]\nweight = 2", "loans: unknown key 'weight'"),
        ("[drift.columns.age]\nweight = 0", "age.weight: 0.0 is below the minimum 0.01"),
        ("[drift.models]\nloans = 3", "models.loans must be a table"),
        ("[drift]\ncolumns = 3", "columns must be tables of the settings file, as in [drift.columns.<name>]"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path: Path, text: str, fault: str) -> None:
    """Unknown keys, keys of another level, values out of range or of another type."""
    with pytest.raises(InvalidSettings) as refused:
        read(tmp_path, text)
    assert fault in str(refused.value)


def test_every_fault_of_the_tables_is_told_at_once(tmp_path: Path) -> None:
    """Two columns, two faults, one message."""
    with pytest.raises(InvalidSettings) as refused:
        read(tmp_path, "[drift.columns.a]\nx = 1\n[drift.columns.b]\npsi_floor = 7")
    assert "columns.a: unknown key 'x'" in str(refused.value)
    assert "columns.b.psi_floor: 7.0 is above the maximum" in str(refused.value)


def test_the_shape_always_keeps_a_part_of_the_budget() -> None:
    """Even where each of the other checks has the most that its setting takes."""
    shares = [name for name in RULE_KEYS if name.endswith("_share")]
    fields = {spec.name: spec for spec in DriftSettings.__dataclass_fields__.values()}
    assert sum(fields[name].metadata["maximum"] for name in shares) < 1


def test_a_run_follows_the_settings_of_its_model_and_records_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A shift of `amount` that is found by default is not where the model's table tolerates it; a typo is told."""
    scenario = Scenario(tmp_path).reference(rows(2000, seed=1))
    later = rows(500, seed=2)
    later["amount"] = (np.array(later["amount"]) * 1.5).tolist()
    scenario.log(later)
    tolerant = {"psi_floor": 1.0, "location_floor": 0.5, "spread_floor": 1.0, "novel_floor": 0.2}
    models = {"loans": {"alpha": 0.02, "columns": {"amount": tolerant, "amuont": {}}}}
    with caplog.at_level(logging.WARNING):
        found = [scenario.run(models=given).result for given in (None, models)]
    drifted = [{item.column for item in result.data_drift.columns if item.detected} for result in found]
    assert drifted == [{"amount"}, set()]
    assert found[1].config["alpha"] == 0.02
    assert found[1].config["columns"]["amount"] == tolerant
    assert "[drift.models.loans.columns.amuont]: the model has no such column" in caplog.text


def test_a_column_that_counts_more_has_more_of_the_budget_and_of_the_score(tmp_path: Path) -> None:
    """Three times as much as its fifth, of which the others pay; of the answers likewise; together they stay 1."""
    scenario = Scenario(tmp_path).reference(rows(2000, seed=1))
    later = rows(500, seed=2)
    later["amount"] = (np.array(later["amount"]) * 1.5).tolist()
    scenario.log(later)
    columns = {"amount": {"weight": 3.0}, "confidence": {"weight": 2.0}}
    plain, heavy = (scenario.run(**given).result for given in ({}, {"models": {"loans": {"columns": columns}}}))
    weights = {item.column: item.weight for item in heavy.data_drift.columns}
    assert weights["amount"] == pytest.approx(3 / 7)
    assert weights["age"] == pytest.approx(1 / 7)
    answers = [item.weight for item in heavy.prediction_drift.findings]
    assert sorted(answers) == pytest.approx([0.25, 0.25, 0.5])
    assert sum(weights.values()) == pytest.approx(1)
    thresholds = [
        next(item for item in result.data_drift.columns if item.column == "amount").checks[0].threshold or 0.0
        for result in (plain, heavy)
    ]
    assert thresholds[1] < thresholds[0]
    assert heavy.data_drift.score == pytest.approx(15 / 7 * (plain.data_drift.score or 0.0))
