"""The base of everything that a drift run refuses or cannot do."""

from __future__ import annotations


class DriftError(Exception):
    """Its text is one plain sentence, fit for the terminal and for the reason of a failed result."""
