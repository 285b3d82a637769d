"""Why there is no candidate."""

from __future__ import annotations

from drift_engine.errors import DriftError


class RetrainError(DriftError):
    """Base of what retraining refuses; its text is one plain sentence."""


class CannotRetrain(RetrainError):
    """The version cannot be retrained: its table, or its pipeline, does not allow it."""


class TooFewRows(RetrainError):
    """There are too few labelled rows; the text says what is lacking."""
