"""Scales of charts: whatever two values are, both can be drawn."""

from __future__ import annotations

import math

import pytest

from exporter.charts import Scale


@pytest.mark.parametrize("value", [31.21, 11.51, 0.0, -7.3, 1e15, 1e-9])
def test_values_that_differ_in_their_last_digits_have_a_scale(value: float) -> None:
    """Two days' medians may be the same number, rounded otherwise."""
    for other in (value, math.nextafter(value, math.inf), math.nextafter(math.nextafter(value, math.inf), math.inf)):
        scale = Scale(min(value, other), max(value, other))
        assert scale.low < scale.high
        assert math.isfinite(scale.y(value))
