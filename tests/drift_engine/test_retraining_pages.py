"""Model reports and replays as files: the formats are pinned, and pages escape what came from outside."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import pytest

from drift_engine.charts import axis_for
from drift_engine.paired.compare import compare
from drift_engine.paired.schema import PairedComparison
from drift_engine.replay import schema as replay_schema
from drift_engine.replay.page import headline as replay_headline
from drift_engine.replay.page import replay_page
from drift_engine.replay.schema import Replay, Segment, Share, Spread
from drift_engine.results.quality import Confusion
from drift_engine.results.schema import InputFile
from drift_engine.retraining import schema as report_schema
from drift_engine.retraining.page import headline, model_report_page
from drift_engine.retraining.schema import CalibrationBin, ClassFigures, ModelReport, RowsUsed, Slice
from gateway.registry import Metric
from gateway.registry.inference import Answers
from tests.drift_engine.scenario import binary_card

GOLDEN = Path(__file__).parent / "golden"
Kept = TypeVar("Kept", ModelReport, Replay)
HOSTILE = "<script>alert(1)</script>"
INPUT = InputFile("predictions", "loans/1/live_predictions-x.csv", "0" * 32, 1234, "a" * 64, 0, ())


def comparison(rows: int = 40) -> PairedComparison:
    """Two models on a few rows, the second right where the first is not."""
    truth = np.array(["no", "yes"] * (rows // 2), dtype=object)
    shares = np.linspace(0.05, 0.45, rows)
    first = Answers(np.array(["no"] * rows, dtype=object), np.column_stack([1 - shares, shares]), None, True)
    right = np.where(truth == "yes", 0.5 + shares, 0.5 - shares)
    second = Answers(truth, np.column_stack([1 - right, right]), None, True)
    return compare(binary_card(), truth, first, second, deciding="accuracy", seed=1)


def model_report(found: PairedComparison, text: str = "no") -> ModelReport:
    """A complete report; `text` is the name of a class, of a source, and a note."""
    recall = Metric("recall", 0.5, 0.4, 0.6, None, "wilson")
    used = RowsUsed(f"log of {text}", 70, "2026-11-01T00:00:00.000000Z", "2026-11-02T00:00:00.000000Z", {text: 70})
    bins = (CalibrationBin(20, 0.2, 0.25, 0.1, 0.4), CalibrationBin(20, 0.7, 0.6, 0.4, 0.8))
    return ModelReport(
        model_name="loans",
        model_version="2",
        champion="1",
        made_at="2026-11-20T15:00:00.000000Z",
        task="binary",
        estimator="LogisticRegression",
        parameters=f"LogisticRegression({text})",
        comparison=found,
        fitted=(used, dataclasses.replace(used, source="train.csv", first=None, last=None, sha256="b" * 64)),
        judged=used,
        labels_after_split=3,
        left_out={"without a label": 5},
        champion_metrics=(Metric("accuracy", 0.5, 0.4, 0.6, None, "wilson"),),
        candidate_metrics=(Metric("accuracy", 1.0, 0.9, 1.0, None, "wilson"),),
        classes=(ClassFigures(text, 20, None, recall, recall, recall),),
        slices=(Slice("2026-11-02T00:00:00.000000Z", "2026-11-02T01:00:00.000000Z", 40, 0.5, 1.0),),
        champion_calibration=bins,
        candidate_calibration=bins,
        notes=(f"note on {text}",),
        not_checked=("speed",),
        artifact_sha256="c" * 64,
        champion_artifact_sha256="d" * 64,
        reference_sha256="e" * 64,
        inputs=(INPUT,),
        seed=1,
        libraries={"python": "3.11"},
    )


def replay(found: PairedComparison | None, text: str = "no", **changes: object) -> Replay:
    """A complete replay; `text` is the name of a class, of a feature, and a note."""
    spread = Spread("probability of yes", 0.1, -0.5, -0.4, -0.2, 0.0, 0.2, 0.4, 0.5, (-0.5, 0.0, 0.5), (10, 30))
    made = Replay(
        replay_id="20261120T150000.000000Z-1a2b3c",
        model_name="loans",
        model_version="2",
        log_version="1",
        made_at="2026-11-20T15:00:00.000000Z",
        since="2026-11-01T00:00:00.000000Z",
        until="2026-11-02T00:00:00.000000Z",
        rows=40,
        refused_rows=1,
        refused={f"{text}: a missing value": 1},
        changed=Share(20, 40, 0.5, 0.35, 0.65),
        differing=None,
        largest_difference=0.5,
        confusion=Confusion((text, "yes"), ((20, 20), (0, 0))),
        spread=spread,
        segments=(Segment(text, f'"{text}"', 30, 0.6, 0.1),),
        comparison=found,
        comparison_reason=None if found else "50 labelled rows; 100 are needed",
        largest=20,
        notes=(f"note on {text}",),
        dropped={"unreadable line": 2},
        corrupt=0,
        artifact_sha256="c" * 64,
        inputs=(INPUT,),
        seed=1,
        libraries={"python": "3.11"},
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_a_model_report_reads_as_the_golden_one() -> None:
    """The bytes of format version 1; a change of them is a change of the format."""
    golden = (GOLDEN / "model_report-v1.json").read_bytes()
    assert report_schema.encode(rounded(model_report(comparison()))) == golden
    assert msgspec.json.decode(golden, type=ModelReport).comparison.verdict == "better"


def test_a_replay_reads_as_the_golden_one() -> None:
    """The bytes of format version 1."""
    golden = (GOLDEN / "replay-v1.json").read_bytes()
    assert replay_schema.encode(rounded(replay(comparison()))) == golden
    assert msgspec.json.decode(golden, type=Replay).changed.count == 20


@pytest.mark.parametrize("found", [True, False])
def test_what_came_from_outside_is_escaped(found: bool) -> None:
    """Names of classes, features, files and notes; nothing is asked of another host."""
    pages = [model_report_page(model_report(comparison(), HOSTILE))]
    pages.append(replay_page(replay(comparison() if found else None, HOSTILE)))
    for page in pages:
        assert HOSTILE not in page
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert "http" not in page
        assert page.count("<svg") == page.count("</svg>") > 0


def test_headlines_say_what_was_found() -> None:
    """Of a replay of another version, of itself, and of a report that contradicts itself."""
    assert replay_headline(replay(None)) == "50 % of the answers change: 20 of 40 predictions change"
    itself = replay(None, model_version="1", differing=0, changed=Share(0, 40, 0.0, 0.0, 0.1))
    assert replay_headline(itself) == "The log is reproduced: all 40 answers are equal"
    assert replay_headline(dataclasses.replace(itself, differing=3)) == (
        "The log is not reproduced: 3 of 40 answers differ"
    )
    contradicted = dataclasses.replace(comparison(), against=("log_loss",))
    assert headline(model_report(contradicted)) == "The candidate is better, but not by log_loss"


@pytest.mark.parametrize("values", [[], [0.0], [1.0, 1.0], [-1e12, 1e12], [float("nan"), 0.5], [1e-9, 2e-9]])
def test_an_axis_holds_its_values(values: list[float]) -> None:
    """Whatever they are: it has a width, and a few ticks inside."""
    axis = axis_for(values, "x")
    assert axis.low < axis.high
    assert all(axis.low <= value <= axis.high for value in values if value == value)
    assert 1 <= len(axis.ticks) <= 9
    assert all(axis.low - 1e-9 <= tick <= axis.high + 1e-9 for tick, _ in axis.ticks)


def rounded(made: Kept) -> Kept:
    """Without the last digits, which another build of numpy may have otherwise."""
    assert made.comparison is not None
    figures = tuple(
        dataclasses.replace(
            figure,
            **{
                spec.name: round(getattr(figure, spec.name), 6)
                for spec in dataclasses.fields(figure)
                if isinstance(getattr(figure, spec.name), float)
            },
        )
        for figure in made.comparison.figures
    )
    return dataclasses.replace(made, comparison=dataclasses.replace(made.comparison, figures=figures))
