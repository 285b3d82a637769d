"""Numbers that are no measurements: a code that stands for "missing", a lone spike that cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from drift_engine.data_quality.findings import Pair, counted, first_few, graded
from drift_engine.results.schema import QualityFinding, Severity
from drift_engine.sentences import number, percent
from drift_engine.table import Floats, NumberColumn

#: A code occurs so often, and makes at least this part of the values.
_ROWS_MIN, _SHARE_MIN = 5, 0.001
#: It stands apart from all others by so many times the width of their middle 98 %: a usual code, any other value.
_GAP_USUAL, _GAP_ANY = 1.0, 10.0
#: -1, and nines: what forms and databases put where nothing is known. 0 only where it is news.
_USUAL_CODE = re.compile(r"-1|-?9+")
#: A share of codes has risen when it did so by more than a point and by more than half of what it was.
_RISE_MIN, _RISE_FACTOR = 0.01, 1.5
#: Fewer distinct values than this beside the code are a coding of their own.
_DISTINCT_MIN = 3
#: A value that lies this many widths of the reference's whole range outside of it is a fault of unit or of memory.
_SPIKE_WIDTHS = 100.0


def odd_values(pair: Pair) -> Iterator[QualityFinding]:
    """Sentinel values and impossible spikes of a number; nothing for other columns."""
    if not isinstance(pair.window, NumberColumn) or not isinstance(pair.reference, NumberColumn):
        return
    values, before = pair.now, pair.before
    if not len(values) or not len(before):
        return
    codes = [code for code in (float(values.min()), float(values.max())) if _is_code(values, before, code)]
    for code in codes:
        yield _sentinel(pair.name, values, before, code)
    others = values[~np.isin(values, codes)] if codes else values
    yield from _spikes(pair.name, others, before, len(values))


def _is_code(values: Floats, before: Floats, code: float) -> bool:
    same = values == code
    count = int(np.count_nonzero(same))
    if count < _ROWS_MIN or count < _SHARE_MIN * len(values) or not np.isfinite(code):
        return False
    # The reference's values too: a window of nothing but codes has none to compare with.
    rest = np.concatenate([values[~same], before[before != code]])
    rest = rest[np.isfinite(rest)]
    if len(np.unique(rest)) < _DISTINCT_MIN:
        return False
    if code == 0 and not _has_risen(values, before, code):
        return False
    if code == -1 and rest.min() >= 0:
        return True
    low, high = np.quantile(rest, (0.01, 0.99), method="inverted_cdf")
    # Halves: the difference of two numbers may be larger than the largest one.
    width = high / 2 - low / 2 or rest.max() / 2 - rest.min() / 2
    gap = rest.min() / 2 - code / 2 if code < rest.min() else code / 2 - rest.max() / 2
    usual = code == 0 or _USUAL_CODE.fullmatch(number(code)) is not None
    return bool(gap / (_GAP_USUAL if usual else _GAP_ANY) >= width)


def _sentinel(name: str, values: Floats, before: Floats, code: float) -> QualityFinding:
    count = int(np.count_nonzero(values == code))
    share, usual = count / len(values), float(np.mean(before == code))
    severity: Severity = graded(share - usual) if _has_risen(values, before, code) else "notice"
    said = f"{counted(count, 'value')} of {len(values):,} ({percent(share)}) are {number(code)}, far from all others"
    sentence = f"{said}: a code for missing? {percent(usual)} in the reference"
    return QualityFinding("sentinel value", name, count, share, severity, sentence, (number(code),))


def _has_risen(values: Floats, before: Floats, code: float) -> bool:
    share, usual = float(np.mean(values == code)), float(np.mean(before == code))
    return share > usual + _RISE_MIN and share > _RISE_FACTOR * usual


def _spikes(name: str, values: Floats, before: Floats, rows: int) -> Iterator[QualityFinding]:
    finite = before[np.isfinite(before)]
    if not len(finite):
        return
    low, high = float(finite.min()), float(finite.max())
    with np.errstate(over="ignore"):
        width = np.float64(_SPIKE_WIDTHS) * (np.float64(high) - low)
        spikes = values[(values < low - width) | (values > high + width)]
    if not width > 0 or not len(spikes):
        return
    share = len(spikes) / rows
    reach = f"more than {_SPIKE_WIDTHS:g} times the width of {number(low)} to {number(high)}, the reference's range"
    sentence = f"{counted(len(spikes), 'value')} of {rows:,} ({percent(share)}) lie outside by {reach}"
    farthest = spikes[np.argsort(-np.abs(spikes), kind="stable")]
    examples = first_few(dict.fromkeys(number(float(value)) for value in farthest))
    yield QualityFinding("impossible spike", name, len(spikes), share, graded(share, "warning"), sentence, examples)
