"""Why quality cannot be estimated."""

from __future__ import annotations

from drift_engine.errors import DriftError


class CannotEstimate(DriftError):
    """The model, its reference or the rows do not suffice; the text says what is lacking."""
