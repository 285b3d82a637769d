"""Labels find their predictions by either id, and the newest one counts."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from drift_engine.labels_join import newest_labels

ID = pa.string()


def predictions(*rows: tuple[str, str | None, int]) -> pa.Table:
    """Rows of (request_id, client_id, instance)."""
    return pa.table(
        {
            "request_id": pa.array([row[0] for row in rows], ID),
            "client_id": pa.array([row[1] for row in rows], ID),
            "instance": pa.array([float(row[2]) for row in rows], pa.float64()),
        }
    )


def labels(*rows: tuple[str | None, str | None, int, str | None, str]) -> pa.Table:
    """Rows of (request_id, client_id, instance, label, received_at)."""
    names = ("request_id", "client_id", "instance", "label", "received_at")
    columns: dict[str, Any] = {
        name: pa.array([row[at] for row in rows], ID) for at, name in enumerate(names) if at != 2
    }
    columns["instance"] = pa.array([float(row[2]) for row in rows], pa.float64())
    return pa.table(columns)


def test_request_id_and_instance_name_one_prediction() -> None:
    """Another instance of the same request stays without a label."""
    found = newest_labels(predictions(("r1", None, 0), ("r1", None, 1)), labels(("r1", None, 1, "yes", "t1")))
    assert found.tolist() == [-1, 0]


def test_the_clients_own_id_does_too() -> None:
    """For clients that keep their id and not ours."""
    found = newest_labels(predictions(("r1", "order 7", 0), ("r2", "", 0)), labels((None, "order 7", 0, "yes", "t1")))
    assert found.tolist() == [0, -1]


def test_empty_ids_match_nothing() -> None:
    """Or all predictions without a client id would get one label."""
    found = newest_labels(
        predictions(("r1", "", 0), ("r2", None, 0)), labels(("", "", 0, "yes", "t1"), (None, None, 0, "no", "t2"))
    )
    assert found.tolist() == [-1, -1]


def test_an_instance_that_no_prediction_has_matches_nothing() -> None:
    """A client may name any up to 2^53; it must not wrap round to somebody else's prediction."""
    known = predictions(("r1", None, 0), ("r2", None, 1), ("r3", None, 0))
    sent = [("r1", None, at, "yes", "t1") for at in (2**53, 2**52, 2, -1)]
    sent += [(name, None, 2**53, "yes", "t1") for name in ("r2", "r3")]
    assert newest_labels(known, labels(*sent)).tolist() == [-1, -1, -1]


def test_the_newest_label_wins_whatever_the_order_of_files() -> None:
    """By the time it was received, then by position; whichever id it came by."""
    known = predictions(("r1", "c1", 0))
    assert newest_labels(known, labels(("r1", None, 0, "new", "t2"), ("r1", None, 0, "old", "t1"))).tolist() == [0]
    assert newest_labels(known, labels(("r1", None, 0, "a", "t1"), ("r1", None, 0, "b", "t1"))).tolist() == [1]
    assert newest_labels(known, labels((None, "c1", 0, "new", "t2"), ("r1", None, 0, "old", "t1"))).tolist() == [0]


def test_a_label_without_a_value_is_none() -> None:
    """It does not hide the label before it."""
    found = newest_labels(
        predictions(("r1", None, 0)), labels(("r1", None, 0, "yes", "t1"), ("r1", None, 0, None, "t2"))
    )
    assert found.tolist() == [0]


def test_no_labels_at_all() -> None:
    """The normal case."""
    assert newest_labels(predictions(("r1", None, 0)), labels()).tolist() == [-1]


IDS = st.sampled_from(["a", "b", "c"])


@given(
    st.lists(st.tuples(IDS, st.none() | IDS, st.integers(0, 1)), max_size=8),
    st.lists(
        st.tuples(st.none() | IDS, st.none() | IDS, st.integers(0, 1), st.sampled_from(["x", "y"]), IDS), max_size=8
    ),
)
def test_the_join_equals_the_plain_loop(
    known: list[tuple[str, str | None, int]], given_labels: list[tuple[str | None, str | None, int, str, str]]
) -> None:
    """Against the definition, written as two loops."""
    expected = []
    for request, client, instance in known:
        best = (-1, "")
        for place, (by_request, by_client, at, _, received) in enumerate(given_labels):
            same = at == instance and (by_request == request or (client is not None and by_client == client))
            if same and received >= best[1]:
                best = (place, received)
        expected.append(best[0])
    assert newest_labels(predictions(*known), labels(*given_labels)).tolist() == expected
