"""Labels find their predictions by either id, the newest one counts, and all are counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_engine.labels import join as join_module
from drift_engine.labels.join import LEAD_SECONDS, Joined, join
from drift_engine.reading.parsing import MOMENT

ID = pa.string()
#: When predictions were made, in microseconds since the epoch; `labels` come so many seconds later.
MADE = 1_795_186_800_000_000
Prediction = tuple[str, str | None, int]
Line = tuple[str | None, str | None, int, str | None, int]


def predictions(*rows: Prediction) -> pa.Table:
    """Rows of (request_id, client_id, instance)."""
    return pa.table(
        {
            "request_id": pa.array([row[0] for row in rows], ID),
            "client_id": pa.array([row[1] for row in rows], ID),
            "instance": pa.array([float(row[2]) for row in rows], pa.float64()),
        }
    )


def labels(*rows: Line) -> pa.Table:
    """Rows of (request_id, client_id, instance, label, seconds from the prediction to its receipt)."""
    names = ("request_id", "client_id", "instance", "label")
    columns: dict[str, Any] = {
        name: pa.array([row[at] for row in rows], ID) for at, name in enumerate(names) if at != 2
    }
    columns["instance"] = pa.array([float(row[2]) for row in rows], pa.float64())
    columns["received_at"] = pa.array([MADE + row[4] * 10**6 for row in rows], MOMENT)
    return pa.table(columns)


def joined(known: pa.Table, given_labels: pa.Table) -> Joined:
    """Of predictions that were all made at the same time."""
    return join(known, np.full(known.num_rows, MADE), given_labels)


def newest_labels(known: pa.Table, given_labels: pa.Table) -> Any:
    """The row of the newest label of each prediction, or -1."""
    return joined(known, given_labels).newest


def test_request_id_and_instance_name_one_prediction() -> None:
    """Another instance of the same request stays without a label."""
    found = newest_labels(predictions(("r1", None, 0), ("r1", None, 1)), labels(("r1", None, 1, "yes", 1)))
    assert found.tolist() == [-1, 0]


def test_the_clients_own_id_does_too() -> None:
    """For clients that keep their id and not ours."""
    found = newest_labels(predictions(("r1", "order 7", 0), ("r2", "", 0)), labels((None, "order 7", 0, "yes", 1)))
    assert found.tolist() == [0, -1]


def test_empty_ids_match_nothing() -> None:
    """Or all predictions without a client id would get one label."""
    found = newest_labels(
        predictions(("r1", "", 0), ("r2", None, 0)), labels(("", "", 0, "yes", 1), (None, None, 0, "no", 2))
    )
    assert found.tolist() == [-1, -1]


def test_an_instance_that_no_prediction_has_matches_nothing() -> None:
    """A client may name any up to 2^53; it must not wrap round to somebody else's prediction."""
    known = predictions(("r1", None, 0), ("r2", None, 1), ("r3", None, 0))
    sent = [("r1", None, at, "yes", 1) for at in (2**53, 2**52, 2, -1)]
    sent += [(name, None, 2**53, "yes", 1) for name in ("r2", "r3")]
    assert newest_labels(known, labels(*sent)).tolist() == [-1, -1, -1]


def test_the_newest_label_wins_whatever_the_order_of_files() -> None:
    """By the time it was received, then by position; whichever id it came by."""
    known = predictions(("r1", "c1", 0))
    assert newest_labels(known, labels(("r1", None, 0, "new", 2), ("r1", None, 0, "old", 1))).tolist() == [0]
    assert newest_labels(known, labels(("r1", None, 0, "a", 1), ("r1", None, 0, "b", 1))).tolist() == [1]
    assert newest_labels(known, labels((None, "c1", 0, "new", 2), ("r1", None, 0, "old", 1))).tolist() == [0]


def test_a_label_without_a_value_is_none() -> None:
    """It does not hide the label before it."""
    found = newest_labels(predictions(("r1", None, 0)), labels(("r1", None, 0, "yes", 1), ("r1", None, 0, None, 2)))
    assert found.tolist() == [0]


def test_no_labels_at_all() -> None:
    """The normal case."""
    assert newest_labels(predictions(("r1", None, 0)), labels()).tolist() == [-1]


def test_a_label_may_come_before_its_prediction() -> None:
    """By the client's own id, up to a day; what the client called so before that is something else."""
    known = predictions(("r1", "c1", 0), ("r2", "c2", 0))
    lead = int(LEAD_SECONDS)
    found = joined(known, labels((None, "c1", 0, "yes", -lead), (None, "c2", 0, "yes", -lead - 1)))
    assert found.newest.tolist() == [0, -1]
    assert found.named.tolist() == [True, False]


def test_an_id_used_again_gets_no_label_of_the_time_before() -> None:
    """Each prediction by its own time."""
    known, week = predictions(("r1", "c1", 0), ("r2", "c1", 0)), 7 * 86400
    found = join(known, np.array([MADE, MADE + week * 10**6]), labels((None, "c1", 0, "yes", 60)))
    assert found.newest.tolist() == [0, -1]


def test_a_repeat_and_a_correction_are_told_apart() -> None:
    """By what was known before the line, whichever id that had come by."""
    known = predictions(("r1", "c1", 0), ("r2", "c2", 0), ("r3", None, 0))
    found = joined(
        known,
        labels(
            ("r1", None, 0, "yes", 1),
            ("r1", None, 0, "yes", 2),  # a repeat
            (None, "c1", 0, "no", 3),  # a correction
            ("r1", None, 0, "no", 4),  # a repeat
            ("r1", None, 0, "yes", 5),  # corrected again: one prediction
            ("r2", None, 0, "yes", 1),
            ("r9", None, 0, "yes", 1),  # of nobody
        ),
    )
    assert (found.repeated, found.corrected) == (2, 1)
    assert found.named.tolist() == [True] * 6 + [False]


IDS = st.sampled_from(["a", "b", "c"])
MOMENTS = st.sampled_from([-2 * 86400, -60, 0, 60, 120])


@given(
    st.lists(st.tuples(IDS, st.none() | IDS, st.integers(0, 1)), max_size=8),
    st.lists(
        st.tuples(st.none() | IDS, st.none() | IDS, st.integers(0, 1), st.none() | st.sampled_from("xy"), MOMENTS),
        max_size=12,
    ),
)
def test_the_join_equals_the_plain_loop(known: list[Prediction], given_labels: list[Line]) -> None:
    """Against the definition, written as loops."""
    found = joined(predictions(*known), labels(*given_labels))
    assert (found.newest.tolist(), found.named.tolist(), found.repeated, found.corrected) == plain(known, given_labels)


def plain(known: Sequence[Prediction], lines: Sequence[Line]) -> tuple[list[int], list[bool], int, int]:
    """The newest line of each prediction, the lines that name any, how many repeat, predictions corrected."""
    newest, corrected = [], 0
    named, effective = set(), set()
    order = sorted(range(len(lines)), key=lambda place: lines[place][4])
    for request, client, instance in known:
        mine = [place for place in order if names(lines[place], request, client, instance)]
        named |= set(mine)
        told = [None, *(lines[place][3] for place in mine)]
        changes = [place for place, before, now in zip(mine, told, told[1:], strict=False) if before != now]
        effective |= set(changes)
        corrected += len(changes) > 1
        newest.append(mine[-1] if mine else -1)
    return newest, [place in named for place in range(len(lines))], len(named - effective), corrected


def names(line: Line, request: str, client: str | None, instance: int) -> bool:
    """Whether a line is of a prediction."""
    by_request, by_client, at, label, seconds = line
    same = by_request == request or (client is not None and by_client == client)
    return same and at == instance and label is not None and seconds >= -LEAD_SECONDS


def test_an_id_that_a_client_uses_for_everything_costs_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every label is then one of every prediction; the newest one counts as ever."""
    monkeypatch.setattr(join_module, "_PAIRS_MAX", 100)
    known = predictions(*[(f"r{row}", "test", 0) for row in range(50)])
    lines: list[Line] = [(f"r{row}", None, 0, "yes", row) for row in range(50)]
    lines += [(None, "test", 0, "no", 100 + row) for row in range(50)]
    found = joined(known, labels(*lines))
    assert found.newest.tolist() == [99] * 50
    assert (found.named.tolist(), found.repeated) == ([True] * 100, 49)
