"""Labels to predictions: the newest label of a prediction, by request id or by the client's own id."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

#: Columns of the two logs that say which prediction is meant.
KEY_COLUMNS = ("request_id", "client_id", "instance")


def newest_labels(predictions: pa.Table, labels: pa.Table) -> NDArray[np.int64]:
    """For each prediction the row of `labels` that holds its newest label, or -1; shape (predictions,).

    Newest is by `received_at`, then by position in `labels`. A label names `request_id` or `client_id`, and
    `instance`; labels without a value, and labels for predictions that are not here, match nothing.
    """
    order = pc.sort_indices(labels["received_at"].combine_chunks()).to_numpy().astype(np.int64)
    order = order[np.asarray(pc.is_valid(labels["label"]).to_numpy(zero_copy_only=False))[order]]
    by_request = _latest_rank(predictions, labels, order, "request_id")
    by_client = _latest_rank(predictions, labels, order, "client_id")
    rank = np.maximum(by_request, by_client)
    found = np.full(len(rank), -1, dtype=np.int64)
    found[rank >= 0] = order[rank[rank >= 0]]
    return found


def _latest_rank(predictions: pa.Table, labels: pa.Table, order: NDArray[np.int64], column: str) -> NDArray[np.int64]:
    """For each prediction the last place in `order` of a label row with its id and instance, or -1."""
    ranks = np.full(predictions.num_rows, -1, dtype=np.int64)
    encoded = pc.dictionary_encode(_ids(labels, column))
    if len(encoded.dictionary) == 0:
        return ranks
    instances = _instances(predictions)
    stride = 1 + int(instances.max(initial=0))
    label_keys = _keys(encoded.indices, _instances(labels), stride)
    found = pc.index_in(_ids(predictions, column), value_set=encoded.dictionary, skip_nulls=True)
    keys = _keys(found, instances, stride)
    ordered = label_keys[order]
    valid = np.flatnonzero(ordered >= 0)
    known = pc.dictionary_encode(pa.array(ordered[valid]))
    last = np.empty(len(known.dictionary), dtype=np.int64)
    # Of several assignments to one place numpy keeps the last, which is the newest label.
    last[known.indices.to_numpy()] = valid
    places = _numbers(pc.index_in(pa.array(keys), value_set=known.dictionary))
    ranks[places >= 0] = last[places[places >= 0]]
    return ranks


def _ids(table: pa.Table, column: str) -> pa.Array:
    """The ids as texts, null where missing or empty."""
    ids = table[column].combine_chunks()
    empty = pc.equal(ids, "")
    return pc.if_else(empty, pa.scalar(None, pa.string()), ids) if pc.any(empty).as_py() else ids


def _instances(table: pa.Table) -> NDArray[np.int64]:
    return _numbers(pc.cast(table["instance"].combine_chunks(), pa.int64(), safe=False))


def _keys(codes: pa.Array, instances: NDArray[np.int64], stride: int) -> NDArray[np.int64]:
    """An id's code with its instance as one number, since texts are to be hashed once; -1 where there is none.

    An instance that no prediction has is none: a client may send any, and the number must not overflow.
    """
    numbers = _numbers(codes)
    valid = (numbers >= 0) & (instances >= 0) & (instances < stride)
    return np.where(valid, numbers * stride + np.where(valid, instances, 0), -1)


def _numbers(codes: pa.Array) -> NDArray[np.int64]:
    """Positions, -1 where null."""
    return np.asarray(pc.fill_null(codes, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
