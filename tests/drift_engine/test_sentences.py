"""Findings in words: the numbers are right, and whatever a level contains stays text."""

from __future__ import annotations

import doctest
import re

import numpy as np
import pytest
from scipy.special import ndtri

from drift_engine import report, sentences, window
from drift_engine.findings import rule_of
from drift_engine.sentences import describe
from drift_engine.settings import DriftSettings
from drift_engine.statistics.checks import check_column
from drift_engine.statistics.summaries import Summary, reference_cuts, summarise_levels, summarise_number
from drift_engine.table import Floats, NumberColumn, TextColumn


def said(reference: NumberColumn | TextColumn, current: NumberColumn | TextColumn) -> tuple[str, str]:
    """Sentence and kind of one column, judged with a generous budget."""
    before: Summary
    now: Summary
    if isinstance(reference, NumberColumn):
        assert isinstance(current, NumberColumn)
        cuts = reference_cuts(reference)
        assert cuts is not None
        before, now = summarise_number(reference, cuts), summarise_number(current, cuts)
    else:
        assert isinstance(current, TextColumn)
        cuts, before, now = None, summarise_levels(reference), summarise_levels(current)
    _, checks = check_column(before, now, rule_of("amount", 0.01, DriftSettings()))
    return describe(checks, before, now, cuts)


def levels(**counts: int) -> TextColumn:
    """A category with so many rows of each level."""
    names = tuple(counts)
    return TextColumn(np.repeat(np.arange(len(names)), list(counts.values())).astype(np.int32), names)


UNIFORM = NumberColumn(np.linspace(0, 1, 1001))


@pytest.mark.parametrize(
    ("current", "sentence", "kind"),
    [
        (UNIFORM, "no change beyond chance", ""),
        (NumberColumn(np.linspace(0.5, 1, 501)), "median 0.5 -> 0.75; 20 % of rows", "shift"),
        (NumberColumn(np.linspace(0.3, 0.7, 501)), "narrower: the middle half was 0.25 to 0.75, is 0.4", "scale"),
        (
            NumberColumn(np.append(np.linspace(0, 1, 500), [9.0] * 30)),
            "5.7 % of values above 1, the largest",
            "novel values",
        ),
        (
            NumberColumn(np.append(np.linspace(0, 1, 500), [np.nan] * 30)),
            "missing in 5.7 % of rows (0 %",
            "missing surge",
        ),
        (NumberColumn(np.linspace(0, 1, 20)), "20 values in the window, 50 needed", ""),
    ],
)
def test_a_number_is_described_by_what_moved(current: NumberColumn, sentence: str, kind: str) -> None:
    """Shift, scale, novel and missing values, nothing, and not enough."""
    found = said(UNIFORM, current)
    assert found[0].startswith(sentence)
    assert found[1] == kind


def test_a_category_is_described_by_the_levels_that_moved_most() -> None:
    """Largest first; those that stayed are left out."""
    sentence, kind = said(levels(a=500, b=300, c=150, d=50), levels(a=200, b=300, c=150, d=350))
    assert sentence == '"a" 50 % -> 20 %, "d" 5.0 % -> 35 %'
    assert kind == "mix"


def test_an_unseen_level_is_quoted_without_control_characters() -> None:
    """It is printed on terminals and in logs."""
    strange = TextColumn(np.repeat([0, 1], [900, 100]).astype(np.int32), ("a", "\x1b[31m\nx" + "y" * 100))
    sentence, _ = said(levels(a=1000, b=1000), strange)
    assert "\x1b" not in sentence
    assert "\n" not in sentence
    assert "..." in sentence


@pytest.mark.parametrize("module", [sentences, window, report])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    """They are what a reader learns from."""
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


NORMAL = ndtri((np.arange(1001) + 0.5) / 1001)


@pytest.mark.parametrize(
    ("current", "sentence", "kind"),
    [
        (NORMAL[::2] + 0.2, r"median 0 -> 0\.2; 14 % of rows above 1\.279 .*", "shift"),
        (NORMAL[::2] * 1.2, r"wider: the middle half was -0\.67\d* to 0\.67\d*, is -0\.8\d* to 0\.8\d*; .*", "scale"),
        (NORMAL[::2] * 0.8, r"narrower: the middle half .*", "scale"),
    ],
)
def test_what_only_a_rank_check_saw_is_described_like_any_shift_or_scale(
    current: Floats, sentence: str, kind: str
) -> None:
    """The three looks at the distribution give one sentence, whichever of them found the change."""
    found = said(NumberColumn(NORMAL), NumberColumn(current))
    assert re.fullmatch(sentence, found[0])
    assert found[1] == kind


def test_both_ends_are_told_where_both_are_new() -> None:
    """Values above the maximum and below the minimum, each with its share."""
    current = NumberColumn(np.concatenate([np.linspace(0, 1, 480), [9.0] * 15, [-9.0] * 5]))
    above, below = "3.0 % of values above 1, the largest of the reference", "1.0 % of values below 0, the smallest"
    assert said(UNIFORM, current)[0].startswith(f"{above} and {below}")
