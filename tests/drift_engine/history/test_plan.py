"""Which days are made, and in which order."""

from __future__ import annotations

from drift_engine.history.plan import PredictionFile, days_to_make
from drift_engine.results.schema import CorruptLine, InputFile
from tests import kept

UNREAD = "v1-20261110T000000Z-0b202ec5-409195e8217a"


def test_a_file_that_cannot_be_read_holds_up_no_other_day() -> None:
    """It is looked at again, since it may be mended, but after every day of which something else is new."""
    found = InputFile(
        "predictions", f"fraud/1/live_predictions-{UNREAD}.csv", "", 0, "", 1, (CorruptLine(0, "damaged"),)
    )
    records = {kept.day_before(number): kept.day(number, inputs=(found,)) for number in (1, 2, 3)}
    newest, middle, oldest = (kept.day_before(number) for number in (1, 2, 3))
    files = [PredictionFile(UNREAD, oldest, None, 4096)]
    nothing: dict[str, int] = {}

    def labels(day: str) -> dict[str, int]:
        return {"v1-20261111T000000Z-0b202ec5-000000000001": 100} if day == oldest else nothing

    assert days_to_make([oldest, middle, newest], files, records, labels, ()) == [oldest, newest, middle]
