"""How a finding is made: graded by its share, with a few examples that may be printed anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from drift_engine.findings import BANDS
from drift_engine.results.schema import Severity
from drift_engine.table import Column, NumberColumn

EXAMPLES_MAX = 5


@dataclass(frozen=True)
class Pair:
    """One input on both sides, each in its own order of time. `alpha`: its part of the budget, for each question."""

    name: str
    reference: Column
    window: Column
    alpha: float

    @cached_property
    def before(self) -> NDArray[Any]:
        """The reference's values that are not missing: numbers, or codes of levels."""
        return _present(self.reference)

    @cached_property
    def now(self) -> NDArray[Any]:
        """The window's, likewise."""
        return _present(self.window)


def graded(share: float, least: Severity = "notice") -> Severity:
    """By the classic bands for shares: `least`, warning above 5 %, high above 20 %."""
    more, most = BANDS["missing"]
    if share > most:
        return "high"
    return "warning" if share > more else least


def first_few(texts: Iterable[str]) -> tuple[str, ...]:
    """At most EXAMPLES_MAX, in the given order."""
    return tuple(text for text, _ in zip(texts, range(EXAMPLES_MAX), strict=False))


def counted(count: int, noun: str) -> str:
    """A count with its noun.

    >>> counted(1, "row"), counted(1234, "row")
    ('1 row', '1,234 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _present(column: Column) -> NDArray[Any]:
    return column.present() if isinstance(column, NumberColumn) else column.codes[column.codes >= 0]
