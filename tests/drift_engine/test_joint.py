"""All inputs judged together: a broken relation is found, chance is not, and the budget holds with it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from drift_engine.console import print_summary
from drift_engine.findings import Subject, judge
from drift_engine.joint import JointRule, judge_jointly
from drift_engine.junit import document, suite_of_result
from drift_engine.reproduce import reproduce
from drift_engine.results.schema import JointDrift, Window
from drift_engine.scales import joint_scale, scales_of
from drift_engine.settings import DriftSettings
from drift_engine.table import Column, NumberColumn, Table, TextColumn
from gateway.clock import utc_text
from tests.drift_engine.scenario import NOW, Scenario, rows
from tests.drift_engine.test_reproduce import registered

RULE = JointRule(alpha=0.01, floor=0.55, rows_max=5000, seed=1)
DAY = 86_400.0


def table(**columns: Any) -> Table:
    """Numbers as arrays, categories as lists of texts or None."""
    found: dict[str, Column] = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray):
            found[name] = NumberColumn(values)
        else:
            levels = tuple(sorted({value for value in values if value is not None}))
            codes = np.array([-1 if value is None else levels.index(value) for value in values], dtype=np.int32)
            found[name] = TextColumn(codes, levels)
    return Table(found, max(len(values) for values in columns.values()))


def subjects(tables: Table) -> list[Subject]:
    """All columns, weighted alike."""
    return [Subject(name, name, "number", 1 / len(tables.columns)) for name in tables.columns]


def pair(rng: np.random.Generator, count: int, correlation: float) -> Table:
    """Two normal columns that go together, and three that mean nothing."""
    first, second, *others = rng.normal(size=(5, count))
    second = correlation * first + np.sqrt(1 - correlation**2) * second
    return table(first=first, second=second, **{f"other {place}": values for place, values in enumerate(others)})


def told(before: Table, now: Table, rule: JointRule = RULE) -> JointDrift:
    """What the check says of two tables."""
    return judge_jointly(subjects(before), before, now, rule)


def test_a_broken_relation_is_found_that_no_single_column_shows() -> None:
    """A correlation of 0.8 is gone, every column has the values that it always had; the pair is named."""
    rng = np.random.default_rng(1)
    before, now = pair(rng, 2000, 0.8), pair(rng, 800, 0.0)
    alone = judge(subjects(before), before, now, 0.01, DriftSettings())
    assert not any(item.finding.detected for item in alone)
    found = told(before, now)
    assert found.detected
    assert set(found.columns) == {"first", "second"}
    assert found.sentence.endswith(f"it goes mostly by {found.columns[0]} and {found.columns[1]}")
    assert f"AUC {found.auc:.3f}" in found.sentence


def test_a_relation_of_a_category_and_a_number_is_found_too() -> None:
    """Prices of two countries are swapped; both columns keep their values."""
    rng = np.random.default_rng(2)

    def drawn(count: int, swapped: bool) -> Table:
        country = rng.choice(["de", "fr"], count)
        price = np.where((country == "de") ^ swapped, 1.0, 3.0) + rng.normal(size=count)
        texts: list[str | None] = [None if rng.random() < 0.1 else str(value) for value in country]
        return table(country=texts, price=price)

    assert told(drawn(2000, False), drawn(800, True)).detected
    assert told(drawn(2000, False), drawn(800, False)).detected is False


def test_chance_is_beyond_it_no_more_often_than_stated() -> None:
    """30 clean windows at 5 %, no floor: as many as 5 % gives in 999 of 1,000 tries at most; the spread is right."""
    rng, found = np.random.default_rng(3), []
    for _ in range(30):
        drawn = told(pair(rng, 600, 0.5), pair(rng, 400, 0.5), replace(RULE, alpha=0.05, floor=0.0))
        assert drawn.auc is not None
        assert drawn.standard_error is not None
        found.append((drawn.detected, (drawn.auc - 0.5) / drawn.standard_error))
    assert sum(detected is True for detected, _ in found) <= 6
    assert 0.6 < np.std([z for _, z in found]) < 1.45


def test_rows_in_sessions_make_chance_larger() -> None:
    """20 like rows a session: the scores bunch, and the interval is wider for it."""
    rng = np.random.default_rng(4)

    def drawn(sessions: int) -> Table:
        return table(**{f"x{place}": np.repeat(rng.normal(size=sessions), 20) for place in range(5)})

    errors = [told(drawn(200), drawn(100)).standard_error for _ in range(2)]
    alike = [told(pair(rng, 4000, 0.0), pair(rng, 2000, 0.0)).standard_error for _ in range(2)]
    assert np.median([error or 0.0 for error in errors]) > 2 * np.median([error or 0.0 for error in alike])


def test_equal_arguments_give_equal_figures_whatever_the_threads() -> None:
    """To the last digit, also where rows are drawn."""
    rng = np.random.default_rng(5)
    before, now = pair(rng, 2000, 0.8), pair(rng, 900, 0.2)
    rule = replace(RULE, rows_max=700)
    found = [told(before, now, rule)]
    for threads in (2,):
        with threadpool_limits(limits=threads, user_api="openmp"):
            found.append(told(before, now, rule))
    assert found[0] == found[1]
    assert (found[0].rows, found[0].reference_rows) == (700, 700)


def test_too_few_rows_are_no_verdict() -> None:
    """The sentence says on which side."""
    rng = np.random.default_rng(6)
    found = told(pair(rng, 3000, 0.8), pair(rng, 249, 0.0))
    assert (found.detected, found.auc) == (None, None)
    assert found.sentence == "249 rows in the window, 250 needed"
    assert told(table(x=np.ones(500)), table(y=np.ones(500))).sentence == "there is no column to compare"


# Of a column without any value the classifier makes no bins, and says so.
@pytest.mark.filterwarnings("error")
def test_odd_columns_do_not_stop_it() -> None:
    """Infinite, missing altogether, constant, with more levels than the classifier takes, or on one side alone."""
    rng = np.random.default_rng(7)

    def drawn(count: int) -> Table:
        wild = rng.normal(size=count)
        wild[::50] = np.inf
        wild[1::50] = -1.7e308
        return table(
            wild=wild,
            nothing=np.full(count, np.nan),
            constant=np.ones(count),
            levels=[f"level {number}" for number in rng.integers(0, 400, count)],
            one=[None] * count,
        )

    before, now = drawn(1500), drawn(600)
    fewer = Table({name: column for name, column in before.columns.items() if name != "constant"}, before.rows)
    assert told(before, now).detected is False
    assert judge_jointly(subjects(now), fewer, now, RULE).detected is False


def test_the_budget_is_shared_so_that_the_stated_rate_stays_true() -> None:
    """Ad hoc: columns and joint check add up to alpha. Scheduled: to one false alarm a month."""
    asked = Window(utc_text(NOW - DAY), utc_text(NOW), "adhoc")
    always, daily, off = (DriftSettings(joint_check=name) for name in ("always", "daily", "off"))
    joint = joint_scale(asked, always)
    assert joint is not None
    assert joint.alpha + scales_of(asked, always)[0].alpha == pytest.approx(0.01)
    assert joint.alpha == pytest.approx(0.001)
    for settings in (daily, off):
        assert joint_scale(asked, settings) is None
        assert scales_of(asked, settings)[0].alpha == 0.01
    run = Window(utc_text(NOW - 300), utc_text(NOW), "scheduled")
    for one, other in zip(scales_of(run, daily), scales_of(run, off), strict=True):
        assert one.alpha == pytest.approx(0.9 * other.alpha)
    assert joint_scale(run, daily) is None
    midnight = NOW - NOW % DAY
    nightly = joint_scale(Window(utc_text(midnight - 200), utc_text(midnight + 100), "scheduled"), daily)
    assert nightly is not None
    assert 30 * nightly.alpha == pytest.approx(0.1)
    assert nightly.start == utc_text(midnight + 100 - DAY)
    every = joint_scale(run, always)
    assert every is not None
    assert every.alpha < nightly.alpha


def test_a_run_that_is_asked_says_it_everywhere_and_can_be_repeated(tmp_path: Path) -> None:
    """Result, page, terminal, JUnit and alerts; no column moved alone, and the run says drift all the same."""
    made, later = rows(3000, 1), rows(2000, 2)
    for found, sign in ((made, 1), (later, -1)):
        amount = np.array(found["amount"])
        found["age"] = np.clip(50 + sign * 12 * (np.log(amount) - 3), 18, 90).astype(int).tolist()
    scenario = Scenario(tmp_path).reference(made)
    scenario.log(later)
    assert scenario.run().result.data_drift.joint is None
    committed = registered(scenario).run(joint_check="always")
    data = committed.result.data_drift
    joint = data.joint
    assert joint is not None
    assert joint.detected
    assert {"amount", "age"} <= set(joint.columns)
    assert (data.detected, data.columns_drifted) == (True, 0)
    assert "though no column did alone" in committed.report.read_text()
    assert joint.sentence in committed.report.read_text().replace("&#39;", "'")
    stream = io.StringIO()
    print_summary(committed, stream)
    assert f"together: {joint.sentence}" in stream.getvalue()
    assert [alert.severity for alert in committed.result.alerts if alert.name == "joint_drift"] == ["notice"]
    assert b'name="all together"' in document([suite_of_result(committed.result, ())])
    assert reproduce(scenario.paths, committed.result.run_id).differences == ()
