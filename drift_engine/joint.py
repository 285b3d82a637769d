"""Do the inputs together tell the rows of a window from those of the reference? A second opinion on all at once.

The checks of single columns see nothing of a broken relation: two columns that used to move together and no longer do,
each with the values that it always had. A classifier that learns which side a row is of sees it (Lopez-Paz and Oquab,
"Revisiting classifier two-sample tests", ICLR 2017). Its AUC on rows that it did not learn from is a half where both
sides are alike.

Each side is cut in order of time into `PARTS` parts; the rows of a part are told by a classifier that learned from the
parts before it (Dawid's prequential principle, 1984). So, given all that it learned from, every split of a part's rows
into sides is equally likely without drift: the AUC of each part has Mann and Whitney's permutation law, ties and all,
and the parts' deviations add up like independent figures. Those of the folds of a cross-validation do not: they learn
from one another's labels and deviate together (docs/verdicts.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtri
from scipy.stats import rankdata

from drift_engine.findings import Subject
from drift_engine.results.schema import JointDrift
from drift_engine.sentences import percent
from drift_engine.table import Column, Floats, NumberColumn, Table, TextColumn, sample

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

#: Parts of each side; the first one is learned from alone.
PARTS = 5
#: Fewest rows of a part, of either side, for its AUC to be normally distributed far out.
_PART_ROWS_MIN = 50
#: Levels of a category that the classifier can tell apart; the rarer ones are one level together.
_LEVELS_MAX = 250
#: Larger numbers, and infinity, are this one: the classifier takes none that are not finite.
_NUMBER_MAX = 1e300
#: Columns that are named when the sides differ, at most, and the fall of the AUC without it that one must cause.
_COLUMNS_TOLD_MAX, _FALL_TOLD_MIN = 3, 0.01
#: Rows that repeat one another are looked for in so many blocks of a part; a smaller chance than this is no chance.
_BLOCKS, _LOOK_ALPHA = 20, 0.01
#: As of `drift_engine.statistics.clustering`: what a variance from steps between neighbours tells.
_STEP_DEGREES = 2 / 3

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class JointRule:
    """How the inputs are judged together.

    Attributes:
        alpha: chance of a false alarm.
        floor: an AUC up to it is no drift, however many rows there are.
        rows_max: rows of each side that are drawn, at most.
        seed: of the draw and of the classifier.
    """

    alpha: float
    floor: float
    rows_max: int
    seed: int


@dataclass(frozen=True)
class _Part:
    """Rows of both sides that one classifier tells: the reference's, then the window's, each in order of time.

    Attributes:
        features: shape (rows, columns).
        is_window: shape (rows,).
        scores: shape (rows,), what the classifier says of each.
    """

    features: Floats
    is_window: NDArray[np.bool_]
    scores: Floats


def judge_jointly(subjects: Sequence[Subject], reference: Table, window: Table, rule: JointRule) -> JointDrift:
    """Judge all inputs together. Both tables are in order of time; equal arguments give equal figures."""
    known = [item for item in subjects if item.column in reference.columns and item.column in window.columns]
    before, now = (sample(table, rule.rows_max, rule.seed) for table in (reference, window))
    needed = PARTS * _PART_ROWS_MIN
    fewest, side = min((before.rows, "reference"), (now.rows, "window"))
    if fewest < needed:
        return _unknown(rule, before.rows, now.rows, f"{fewest} rows in the {side}, {needed} needed")
    if not known:
        return _unknown(rule, before.rows, now.rows, "there is no column to compare")
    features = np.column_stack([_feature(before.columns[item.column], now.columns[item.column]) for item in known])
    categories = [isinstance(before.columns[item.column], TextColumn) for item in known]
    parts, last = _told(features, before.rows, categories, rule.seed)
    auc, error = _combined(parts)
    allowed = max(rule.floor, 0.5 - float(ndtri(rule.alpha)) * error)
    detected = auc > allowed
    used = _most_used(last, parts[-1], rule.seed) if detected else ()
    columns = tuple(known[place].name for place in used)
    return JointDrift(
        detected=detected,
        auc=auc,
        threshold=allowed,
        standard_error=error,
        false_alarm_rate=rule.alpha,
        rows=now.rows,
        reference_rows=before.rows,
        columns=columns,
        sentence=_sentence(auc, allowed, detected, columns),
    )


def _unknown(rule: JointRule, reference_rows: int, rows: int, reason: str) -> JointDrift:
    return JointDrift(None, None, None, None, rule.alpha, rows, reference_rows, (), reason)


def _sentence(auc: float, allowed: float, detected: bool, columns: tuple[str, ...]) -> str:
    if not detected:
        return (
            f"a classifier does not tell the window's rows from the reference's: AUC {auc:.3f}, {allowed:.3f} allowed"
        )
    mostly = f"; it goes mostly by {_listed(columns)}" if columns else "; no column stands out"
    return (
        f"a classifier tells the window's rows from the reference's: of two rows, one of each, it picks the window's "
        f"in {percent(auc)} of cases (AUC {auc:.3f}, {allowed:.3f} allowed){mostly}"
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _feature(reference: Column, window: Column) -> Floats:
    """Both sides of a column, one under the other, as the classifier takes them; NaN where missing."""
    if isinstance(reference, NumberColumn):
        assert isinstance(window, NumberColumn)
        numbers: Floats = np.concatenate([reference.values, window.values]).clip(-_NUMBER_MAX, _NUMBER_MAX)
        return numbers
    assert isinstance(window, TextColumn)
    sides = (reference, window)
    totals: dict[str, int] = {}
    for side in sides:
        counts = np.bincount(side.codes[side.codes >= 0], minlength=len(side.levels))
        for level, count in zip(side.levels, counts.tolist(), strict=True):
            totals[level] = totals.get(level, 0) + count
    ranked = sorted(totals, key=lambda level: (-totals[level], level))
    places = {level: min(place, _LEVELS_MAX) for place, level in enumerate(ranked)}
    # The last entry is what the code -1, no value, finds.
    found = [np.array([*(places[level] for level in side.levels), np.nan])[side.codes] for side in sides]
    both: Floats = np.concatenate(found)
    return both


def _told(
    features: Floats, reference_rows: int, categories: list[bool], seed: int
) -> tuple[list[_Part], HistGradientBoostingClassifier]:
    """Every part but the first, told by what was learned from those before it; and the last classifier."""
    sides = [np.arange(reference_rows), np.arange(reference_rows, len(features))]
    cuts = [np.array_split(rows, PARTS) for rows in sides]
    is_window = np.arange(len(features)) >= reference_rows
    parts = []
    for place in range(1, PARTS):
        known = np.concatenate([*cuts[0][:place], *cuts[1][:place]])
        rows = np.concatenate([cuts[0][place], cuts[1][place]])
        learned = learn(features[known], is_window[known], categories, seed)
        parts.append(_Part(features[rows], is_window[rows], _scores(learned, features[rows])))
    return parts, learned


def learn(
    features: Floats, is_window: NDArray[np.bool_], categories: list[bool], seed: int
) -> HistGradientBoostingClassifier:
    """Boosted trees that tell the window's rows. `categories`: which columns are codes of levels."""
    # Late: only who asks for this needs scikit-learn, which takes a second to import. It must be there before threads
    # are limited, since that reaches what is loaded.
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    # Sides of unlike size are left unlike: to thin the larger one finds less, and weighted rows take ten times as long.
    trees = HistGradientBoostingClassifier(
        max_iter=60,
        max_leaf_nodes=15,
        early_stopping=False,
        categorical_features=categories,
        random_state=seed,
    )
    # A column without any value cannot be cut into bins; one with a single value tells as little.
    features = np.where(np.isnan(features).all(axis=0), 0.0, features)
    # One thread: sums of floats that several share depend on which of them comes first.
    with threadpool_limits(limits=1, user_api="openmp"):
        return trees.fit(features, is_window)


def _scores(learned: HistGradientBoostingClassifier, features: Floats) -> Floats:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="openmp"):
        return np.asarray(learned.decision_function(features), dtype=np.float64)


def _combined(parts: Sequence[_Part]) -> tuple[float, float]:
    """The AUC over all parts, each weighted by how exact it is, and the standard error that it has by chance."""
    aucs = np.array([_auc(part.scores, part.is_window) for part in parts])
    variances = np.array([_variance(part) for part in parts]) * _design_effect(parts)
    # Scores that are all equal tell nothing, and do so exactly.
    exact = np.where(variances > 0, 1 / np.where(variances > 0, variances, 1.0), 0.0)
    if not exact.any():
        return 0.5, 0.0
    return float(aucs @ exact / exact.sum()), float(exact.sum() ** -0.5)


def _auc(scores: Floats, is_window: NDArray[np.bool_]) -> float:
    m = int(is_window.sum())
    n = len(scores) - m
    return float((rankdata(scores)[is_window].sum() - m * (m + 1) / 2) / (n * m))


def _variance(part: _Part) -> float:
    """Of a part's AUC over all splits of its rows into sides, ties included."""
    rows, m = len(part.scores), int(part.is_window.sum())
    return float(rankdata(part.scores).var(ddof=1)) / (rows * m * (rows - m))


def _design_effect(parts: Sequence[_Part]) -> float:
    """By how much more the scores of neighbouring blocks of rows differ than chance makes them; 1 for independent rows.

    Rows of one session get like scores, so that an AUC of 1,000 of them is as uncertain as one of 100.
    """
    total, degrees = 0.0, 0.0
    for scores in _sides(parts):
        length = len(scores) // _BLOCKS
        means = scores[: length * _BLOCKS].reshape(_BLOCKS, length).mean(axis=1)
        variance = float(scores.var(ddof=1))
        if variance > 0:
            total += float((np.diff(means) ** 2).sum()) * length / (2 * variance)
            degrees += _BLOCKS - 1
    if not degrees or chdtrc(degrees * _STEP_DEGREES, total * _STEP_DEGREES) >= _LOOK_ALPHA:
        return 1.0
    return total / degrees


def _sides(parts: Sequence[_Part]) -> Iterable[Floats]:
    """The ranks of each part's scores, the reference's and the window's apart, in order of time."""
    for part in parts:
        ranks = rankdata(part.scores)
        yield ranks[~part.is_window]
        yield ranks[part.is_window]


def _most_used(learned: HistGradientBoostingClassifier, part: _Part, seed: int) -> tuple[int, ...]:
    """The columns without which the classifier tells the last part least well: those whose values it needs in place.

    Breiman's permutation importance (Machine Learning 45, 2001).
    """
    rng = np.random.default_rng(seed)
    full = _auc(part.scores, part.is_window)
    falls = []
    for place in range(part.features.shape[1]):
        mixed = part.features.copy()
        mixed[:, place] = rng.permutation(mixed[:, place])
        falls.append(full - _auc(_scores(learned, mixed), part.is_window))
    ranked = sorted(range(len(falls)), key=lambda place: -falls[place])
    return tuple(place for place in ranked[:_COLUMNS_TOLD_MAX] if falls[place] >= _FALL_TOLD_MIN)
