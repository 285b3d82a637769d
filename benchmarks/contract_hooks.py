"""What JSON Schema cannot say of the gateway, for schemathesis, which reads this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import schemathesis
from hypothesis import strategies as st

INTEGER_MAX = 2**53

# Python's calendar has the years 1 to 9999 and no leap seconds; an offset must not lead out of it.
schemathesis.openapi.format(
    "date-time",
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.isoformat() + "Z"),  # noqa: DTZ001
)


@schemathesis.hook
def filter_body(context: Any, body: Any) -> bool:
    """JSON Schema has one kind of number; the gateway tells 1e20 from 100000000000000000000, which it refuses."""
    return not _holds_large_integer(body)


def _holds_large_integer(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_large_integer, value.values()))
    if isinstance(value, list):
        return any(map(_holds_large_integer, value))
    return type(value) is int and abs(value) > INTEGER_MAX
