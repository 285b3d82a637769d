"""Column names that references and prediction logs share, so that the two can be laid side by side."""

from __future__ import annotations

from gateway.registry.card import ClassLabel, ModelCard

#: Columns of the prediction log around the features. A feature of one of these names is renamed.
LEADING_COLUMNS = ("seq", "request_id", "timestamp", "instance", "client_id")
PREDICTION = "prediction"
CONFIDENCE = "confidence"
TRAILING_COLUMNS = ("latency_ms", "crc32")
#: The true value: in the reference, and in the label log.
LABEL = "label"

_RESERVED = frozenset({*LEADING_COLUMNS, PREDICTION, CONFIDENCE, *TRAILING_COLUMNS, LABEL})
_PROBABILITY_PREFIX = "probability_"
_FEATURE_PREFIX = "feature."


def feature_column(feature: str) -> str:
    """The column that holds `feature`: its own name, or `feature.<name>` where that name is taken.

    >>> feature_column("amount"), feature_column("timestamp"), feature_column("probability_yes")
    ('amount', 'feature.timestamp', 'feature.probability_yes')
    """
    taken = feature in _RESERVED or feature.startswith((_PROBABILITY_PREFIX, _FEATURE_PREFIX))
    return _FEATURE_PREFIX + feature if taken else feature


def class_text(label: ClassLabel) -> str:
    """A class as text, as the logs hold it: `true`/`false` for booleans, digits for integers, else itself."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label)


def probability_column(label: ClassLabel) -> str:
    """The column that holds the probability of one class."""
    return _PROBABILITY_PREFIX + class_text(label)


def feature_columns(card: ModelCard) -> tuple[str, ...]:
    """The columns of all features, in the model's order."""
    return tuple(feature_column(name) for name in card.feature_names)


def probability_columns(card: ModelCard) -> tuple[str, ...]:
    """The columns of all class probabilities, in the order of the card's classes; empty without probabilities."""
    return tuple(probability_column(label) for label in card.classes) if card.has_probabilities else ()
