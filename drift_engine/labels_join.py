"""Labels to predictions: the newest label of a prediction, by request id or by the client's own id."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

#: Columns of the two logs that say which prediction is meant.
KEY_COLUMNS = ("request_id", "client_id", "instance")
_UNIT = "\x1f"


def newest_labels(predictions: pa.Table, labels: pa.Table) -> NDArray[np.int64]:
    """For each prediction the row of `labels` that holds its newest label, or -1; shape (predictions,).

    Newest is by `received_at`, then by position in `labels`. A label names `request_id` or `client_id`, and
    `instance`; labels without a value, and labels for predictions that are not here, match nothing.
    """
    order = pc.sort_indices(labels["received_at"].combine_chunks()).to_numpy().astype(np.int64)
    order = order[np.asarray(pc.is_valid(labels["label"]).to_numpy(zero_copy_only=False))[order]]
    ordered = labels.take(pa.array(order))
    by_request = _latest_rank(_keys(predictions, "request_id"), _keys(ordered, "request_id"))
    by_client = _latest_rank(_keys(predictions, "client_id"), _keys(ordered, "client_id"))
    rank = np.maximum(by_request, by_client)
    found = np.full(len(rank), -1, dtype=np.int64)
    found[rank >= 0] = order[rank[rank >= 0]]
    return found


def _keys(table: pa.Table, column: str) -> pa.Array:
    """One text per row, null where the id is missing or empty."""
    ids = table[column].combine_chunks()
    ids = pc.if_else(pc.equal(ids, ""), pa.scalar(None, pa.string()), ids)
    instances = pc.cast(pc.cast(table["instance"].combine_chunks(), pa.int64(), safe=False), pa.string())
    return pc.binary_join_element_wise(ids, instances, _UNIT)


def _latest_rank(predictions: pa.Array, labels: pa.Array) -> NDArray[np.int64]:
    """For each prediction the last position in `labels` with its key, or -1."""
    encoded = pc.dictionary_encode(labels)
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    last = np.full(len(encoded.dictionary), -1, dtype=np.int64)
    valid = np.flatnonzero(codes >= 0)
    # Of several assignments to one place numpy keeps the last, which is the newest label.
    last[codes[valid]] = valid
    found = pc.index_in(predictions, value_set=encoded.dictionary, skip_nulls=True)
    places = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    ranks = np.full(len(places), -1, dtype=np.int64)
    ranks[places >= 0] = last[places[places >= 0]]
    return ranks
