"""Query parameters: read one by one, every fault collected, then refused all at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import TypeVar

from exporter.problems import Fault, Refused

T = TypeVar("T")

#: The kept history's length, in days; more can be asked for, and finds what a longer setting kept.
DAYS_DEFAULT = 90
DAYS_MAX = 366


@dataclass(frozen=True)
class Span:
    """UTC days since <= day <= until, `days` of them; the last is today."""

    since: str
    until: str
    days: int

    @staticmethod
    def until_today(days: int, now: float) -> Span:
        """The newest `days` UTC days at `now` (seconds since the epoch), today among them."""
        today = datetime.fromtimestamp(now, UTC).date()
        return Span((today - timedelta(days=days - 1)).isoformat(), today.isoformat(), days)

    def each(self) -> list[str]:
        """All its days, oldest first."""
        first = date.fromisoformat(self.since)
        return [(first + timedelta(days=i)).isoformat() for i in range(self.days)]


class Parameters:
    """The query of one request. A parameter nobody asked for is a fault too: a misspelt filter filters nothing."""

    def __init__(self, given: Mapping[str, str]) -> None:
        # A form sends the fields that were left empty.
        self._given = {name: value for name, value in given.items() if value != ""}
        self._known: set[str] = set()
        self._faults: list[Fault] = []

    def text(self, name: str) -> str | None:
        """As it was sent; None where it was not."""
        self._known.add(name)
        return self._given.get(name)

    def whole(self, name: str, default: int, minimum: int, maximum: int) -> int:
        """A whole number from `minimum` to `maximum`."""
        return self._number(name, default, minimum, maximum, int, "a whole number")

    def number(self, name: str, default: float, minimum: float, maximum: float) -> float:
        """A number from `minimum` to `maximum`."""
        return self._number(name, default, minimum, maximum, float, "a number")

    def choice(self, name: str, default: str, choices: Collection[str]) -> str:
        """One of `choices`."""
        value = self.text(name) or default
        if value not in choices:
            self._faults.append(Fault(name, f"must be one of: {', '.join(choices)}"))
            return default
        return value

    def check(self) -> None:
        """Raises Refused (400) that names every parameter that cannot be used."""
        unknown = [
            Fault(name, f"is not known here; known: {', '.join(sorted(self._known))}")
            for name in self._given
            if name not in self._known
        ]
        faults = tuple(self._faults + unknown)
        if faults:
            raise Refused(HTTPStatus.BAD_REQUEST, "the query has parameters that cannot be used", faults)

    def _number(self, name: str, default: T, minimum: float, maximum: float, read: Callable[[str], T], what: str) -> T:
        given = self.text(name)
        if given is None:
            return default
        try:
            value = read(given)
            within = math.isfinite(float(value)) and minimum <= float(value) <= maximum  # type: ignore[arg-type]
        except (ValueError, OverflowError):
            within = False
        if not within:
            self._faults.append(Fault(name, f"must be {what} from {minimum:g} to {maximum:g}"))
            return default
        return value
