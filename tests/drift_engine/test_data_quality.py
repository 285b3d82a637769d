"""What is wrong with the data is found, with counts and examples; and nothing is, where nothing is."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.verdict_files import SETTINGS, table
from drift_engine.data_quality import findings as finding_words
from drift_engine.data_quality.assess import assess_table
from drift_engine.findings import Subject, data_drift, judge
from drift_engine.results.schema import DataQuality, QualityFinding, Window
from drift_engine.results.store import read_result
from drift_engine.run import Committed
from gateway.clock import utc_text
from gateway.log.segment import parse_name
from gateway.registry.card import Feature
from tests.drift_engine.scenario import FEATURES, NOW, Scenario, binary_card, rows

Find = Callable[[str], Path]


def found(reference: pd.DataFrame, window: pd.DataFrame) -> list[QualityFinding]:
    """What an ad hoc run says of the rows, all columns weighted alike."""
    subjects = [Subject(str(name), str(name), "number", 1 / reference.shape[1]) for name in reference]
    before, now = table(reference), table(window)
    drift = data_drift(judge(subjects, before, now, SETTINGS.alpha, SETTINGS), SETTINGS.alpha, SETTINGS)
    return list(assess_table(subjects, drift.columns, before, now, SETTINGS.alpha, SETTINGS))


def told(findings: Sequence[QualityFinding]) -> set[tuple[str, str]]:
    """Kinds and columns."""
    return {(finding.kind, finding.column) for finding in findings}


def only(findings: Sequence[QualityFinding]) -> QualityFinding:
    """The one finding that there is."""
    assert len(findings) == 1, told(findings)
    return findings[0]


def test_simulated_cards_are_clean(shared_data: Find) -> None:
    """Days 120-149 against 60-89: 29,091 rows, 17 columns, of which some repeat their value for hours."""
    frame = pd.read_parquet(shared_data("fdh_simulated_customers_mod10.parquet"))
    days = frame["TX_TIME_DAYS"].astype(int)
    features = [name for name in frame if "WINDOW" in str(name) or str(name).startswith(("TX_AMOUNT", "TX_DURING"))]
    reference, window = (frame.loc[days.between(*span), features] for span in ((60, 89), (120, 149)))
    assert found(reference, window) == []
    # Of a reference whose order is lost, slow columns are known by their window.
    assert found(reference.sample(frac=1, random_state=0), window) == []


def test_bank_says_999_where_a_client_was_never_called(shared_data: Find) -> None:
    """Far from all other values; the reference had it too: a notice. Random splits are clean of all else."""
    frame = pd.read_csv(shared_data("bank_additional_full.csv.gz"), sep=";").drop(columns=["y", "duration"])
    findings = found(frame[:12_000], frame[30_000:31_000])
    code = next(finding for finding in findings if finding.kind == "sentinel value")
    assert (code.column, code.count, code.severity, code.examples) == ("pdays", 927, "notice", ("999",))
    assert ("unseen category", "contact") in told(findings)
    rng = np.random.default_rng(0)
    for _ in range(20):
        order = rng.permutation(41_188)
        # The code is in every split.
        assert told(found(frame.iloc[order[:5000]], frame.iloc[order[5000:6000]])) == {("sentinel value", "pdays")}


def test_elec2_has_three_columns_that_stand_still(shared_data: Find) -> None:
    """Constant up to row 17,423: wholly in a window before, for its first 424 rows in one across."""
    frame = pd.read_csv(shared_data("elec2.csv.gz")).drop(columns=["class", "date"])
    reference, still = frame[20_000:33_440], {"vicprice", "vicdemand", "transfer"}
    assert told(found(reference, frame[10_000:10_500])) == {("constant", column) for column in still}
    across = found(reference, frame[17_000:17_924])
    assert told(across) == {("stuck", column) for column in still}
    assert {finding.count for finding in across} == {424}
    rng = np.random.default_rng(0)
    for _ in range(20):
        order = 20_000 + rng.permutation(13_440)
        assert found(frame.iloc[order[:5000]], frame.iloc[order[5000:5500]]) == []


def made(count: int, seed: int, **changes: Any) -> pd.DataFrame:
    """Rows with an amount, an age, a slow temperature and a kind."""
    rng = np.random.default_rng(seed)
    values = {
        "amount": rng.lognormal(3, 1, count),
        "age": rng.integers(18, 80, count).astype(float),
        "temperature": np.round(10 + 5 * np.sin(np.arange(count) / 200)),
        "kind": rng.choice(["a", "b", "c"], count, p=[0.7, 0.2, 0.1]),
    }
    return pd.DataFrame(values | changes)


@pytest.mark.parametrize("rows_in_window", [50, 300, 1000, 5000])
def test_clean_rows_give_no_finding(rows_in_window: int) -> None:
    """In 200 windows of each size no more than the budget of 1 % allows."""
    reference = made(5000, 0)
    count = sum(bool(found(reference, made(rows_in_window, seed))) for seed in range(1, 201))
    # 7: at 1 % more have a chance of 0.1 %.
    assert count <= 7


def changed(column: str, values: Any, places: slice) -> pd.DataFrame:
    """1,000 rows of which some have other values in one column."""
    frame = made(1000, 1)
    frame.loc[frame.index[places], column] = values
    return frame


FAULTS = {
    "missing": (changed("amount", np.nan, slice(0, 80)), ("missing", "amount", 80, "warning")),
    "all missing": (changed("amount", np.nan, slice(None)), ("missing", "amount", 1000, "high")),
    "unseen": (changed("kind", "<b>\u202e", slice(0, 900, 3)), ("unseen category", "kind", 300, "high")),
    "constant": (changed("amount", 7.0, slice(None)), ("constant", "amount", 1000, "high")),
    "constant kind": (changed("kind", "a", slice(None)), ("constant", "kind", 1000, "high")),
    "stuck": (changed("amount", 7.5, slice(400, 440)), ("stuck", "amount", 40, "notice")),
    "code": (changed("age", 999.0, slice(0, 300, 10)), ("sentinel value", "age", 30, "notice")),
    "minus one": (changed("age", -1.0, slice(0, 1000, 4)), ("sentinel value", "age", 250, "high")),
    "spike": (changed("amount", 1e9, slice(5, 6)), ("impossible spike", "amount", 1, "warning")),
    "infinite": (changed("amount", np.inf, slice(5, 7)), ("impossible spike", "amount", 2, "warning")),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_counted_and_graded(name: str) -> None:
    """One finding, with an example that may be printed."""
    window, expected = FAULTS[name]
    finding = only(found(made(5000, 0), window))
    assert (finding.kind, finding.column, finding.count, finding.severity) == expected
    assert finding.share == expected[2] / 1000
    assert finding.kind == "missing" or finding.examples
    assert all(example.isprintable() and len(example) < 60 for example in finding.examples)


def test_values_out_of_range_are_told_from_both_ends() -> None:
    """The farthest first."""
    window = made(1000, 1)
    window.loc[:39, "age"] = [*range(81, 101), *range(-4, 16)]
    finding = only(found(made(5000, 0), window))
    assert (finding.kind, finding.count) == ("out of range", 40)
    assert finding.examples == ("-4", "100", "-3", "99", "-2")


def test_repeated_rows_are_told_beyond_the_rate_of_the_reference() -> None:
    """A client that retries; not a model whose few inputs repeat by nature."""
    again = made(1000, 1)
    again = pd.concat([again[:900], again[:100]])
    finding = only(found(made(5000, 0), again))
    assert (finding.kind, finding.count, finding.share, finding.severity) == ("duplicate rows", 100, 0.1, "warning")
    assert finding.examples[0].startswith("2 x amount ")
    few = ["kind", "age"]
    for count in (300, 20_000):
        assert found(made(5000, 0)[few], made(count, 1)[few]) == []


def run_of(root: Path, **changes: Any) -> DataQuality:
    """The findings of a run over one window with changed columns, as a reader of the result has them."""
    scenario = Scenario(root).reference(rows(2000, 1))
    scenario.log(rows(300, 2, **changes))
    return of(scenario.run())


def of(committed: Committed) -> DataQuality:
    """The findings of a committed run."""
    quality = read_result(committed.folder / "result.json").data_quality
    assert quality is not None
    return quality


def test_a_run_says_what_it_found_and_what_it_could_not_ask(tmp_path: Path) -> None:
    """An ad hoc run reads its own window alone: it cannot know how many rows are usual."""
    quality = run_of(tmp_path / "clean")
    assert quality.findings == ()
    assert "not enough history" in quality.unanswered[0]
    quality = run_of(tmp_path / "fault", amount=3.0, country=None)
    assert [(finding.kind, finding.column) for finding in quality.findings] == [
        ("missing", "country"),
        ("constant", "amount"),
    ]


def scheduled(start: float, end: float) -> Window:
    """A scheduled window."""
    return Window(utc_text(start), utc_text(end), "scheduled")


@pytest.mark.parametrize(("count", "severity"), [(50, None), (200, "warning"), (5, "warning"), (0, "high")])
def test_a_window_with_too_few_or_too_many_rows_is_told(tmp_path: Path, count: int, severity: str | None) -> None:
    """Against the 40 windows of five minutes before it, of 50 rows each."""
    scenario = Scenario(tmp_path).reference(rows(2000, 1))
    scenario.log(rows(2000, 2), start=NOW - 300 * 41, seconds=300 * 40)
    if count:
        scenario.log(rows(count, 3), start=NOW - 300, seconds=300)
    quality = of(scenario.run(scheduled(NOW - 300, NOW)))
    assert quality.unanswered == ()
    volume = [finding for finding in quality.findings if finding.kind == "volume"]
    assert [finding.severity for finding in volume] == ([severity] if severity else [])
    if severity:
        assert re.match(rf"{count} rows?; the 40 windows of this length before had 50 to 5\d, half", volume[0].sentence)


def test_segments_of_another_schema_are_named(tmp_path: Path) -> None:
    """A version was registered anew with one more feature: what its old gateway wrote is of other columns."""
    scenario = Scenario(tmp_path, binary_card((*FEATURES, Feature("extra", "number", nullable=True))))
    scenario.log(rows(20, 2, extra=None))
    scenario.card = binary_card()
    scenario.reference(rows(2000, 1))
    scenario.log(rows(300, 2))
    quality = of(scenario.run())
    finding = only(quality.findings)
    assert (finding.kind, finding.count, finding.share, finding.severity) == ("schema mismatch", 1, 0.5, "high")
    assert parse_name(Path(finding.examples[0])).prefix == "live_predictions"


def test_damaged_lines_are_a_finding(tmp_path: Path) -> None:
    """With the file and the reason; the intact rows are judged."""
    scenario = Scenario(tmp_path).reference(rows(2000, 1))
    scenario.log(rows(300, 2))
    path = next(scenario.paths.live.rglob("live_predictions-*.csv"))
    data = path.read_bytes().split(b"\n")
    data[7] = data[7].replace(b"0.", b"1.", 1)
    path.write_bytes(b"\n".join(data))
    finding = only(of(scenario.run()).findings)
    assert (finding.kind, finding.count, finding.severity) == ("damaged lines", 1, "warning")
    assert "checksum does not match" in finding.examples[0]


def test_a_failed_run_knows_nothing_of_the_data(tmp_path: Path) -> None:
    """Neither a finding nor a clean bill."""
    scenario = Scenario(tmp_path).reference(rows(2000, 1))
    scenario.log(rows(300, 2))
    (scenario.paths.reference / "loans" / "1.parquet").unlink()
    assert scenario.run().result.data_quality is None


def test_examples() -> None:
    """The examples of the docstrings."""
    assert doctest.testmod(finding_words).failed == 0
