"""What of a gateway's answers is in its prediction log, counted and looked up without the gateway's help."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gateway.log import predictions
from gateway.log.reader import scan
from gateway.registry import ModelCard

_STILL_SECONDS = 0.3


class Recorded:
    """The prediction log of one model version while it grows. Segments that stood still are not read again."""

    def __init__(self, card: ModelCard, live: Path) -> None:
        self._card = card
        self._live = live
        self._columns = predictions.columns(card)
        self._counted: dict[Path, tuple[int, int]] = {}

    def settled_rows(self) -> int:
        """The intact rows once they stop growing: requests under way at a load's end may still be written."""
        count = -1
        while (now := self._rows()) != count:
            count = now
            time.sleep(_STILL_SECONDS)
        return count

    def missing(self, answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of the gateway's answers to single rows that are not recorded with the same prediction."""
        wanted = {answer["request_id"]: str(answer["prediction"]) for answer in answers}
        for record in self._records(set(wanted)):
            if wanted.get(record["request_id"]) == record["prediction"]:
                del wanted[record["request_id"]]
        return [answer for answer in answers if answer["request_id"] in wanted]

    def _rows(self) -> int:
        for path in self._segments():
            size = path.stat().st_size
            if self._counted.get(path, (-1, 0))[0] != size:
                self._counted[path] = size, scan(path, self._columns).rows
        return sum(rows for _, rows in self._counted.values())

    def _records(self, request_ids: set[str]) -> Iterator[dict[str, str]]:
        names = [column.name for column in self._columns]
        for path in self._segments():
            # To look at one field of a million lines is quick; to parse all of each is not.
            lines = [
                line
                for line in scan(path, self._columns).data.decode().split("\n")
                if line and line.split(",", 2)[1] in request_ids
            ]
            yield from csv.DictReader(lines, names)

    def _segments(self) -> list[Path]:
        return predictions.segments(self._live, self._card.name, self._card.version)
