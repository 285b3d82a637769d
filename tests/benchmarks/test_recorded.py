"""Counting and looking up what a gateway has recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.live_log import write_log
from benchmarks.recorded import Recorded
from gateway.registry.artifact import load_verified
from tests.logs import label_rows, prediction_rows
from tests.models import COLUMNS, register_numbers
from tests.running import Place


def test_rows_are_counted_and_answers_found(tmp_path: Path) -> None:
    """A log of 30 rows: each answer is found by its id and prediction, a changed or unknown one is not."""
    place = Place(tmp_path)
    card = register_numbers(place.registry, tmp_path)
    model = load_verified(place.registry.folder(card.name, card.version), card)
    table = pd.DataFrame(np.random.default_rng(1).normal(size=(30, 5)), columns=COLUMNS).assign(Class=0)
    write_log(card, model, table, 1_770_000_000.0, 1_770_000_060.0, place.paths.live)
    logged, recorded = prediction_rows(place.paths.live, card), Recorded(card, place.paths.live)
    assert recorded.settled_rows() == len(logged) == 30
    assert len(label_rows(place.paths.live, card)) == 15
    answers = [{"request_id": row["request_id"], "prediction": row["prediction"]} for row in logged]
    assert recorded.missing(answers) == []
    other = {**answers[0], "prediction": "neither"}
    unknown = {**answers[1], "request_id": "00000000-0000-4000-8000-000000000000"}
    assert recorded.missing([other, *answers[1:], unknown]) == [other, unknown]
