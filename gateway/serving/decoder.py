"""The compiled way in: bytes to rows in one pass, for requests that are plainly valid.

A decoder says either "these are the rows" or nothing. Nothing is not a verdict: whoever gets it asks
`validation`, which accepts more and says what is wrong. What a decoder accepts, validation accepts too, with the
same values; a property test holds both to that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from msgspec.structs import astuple

from gateway.registry import Feature, ModelCard
from gateway.serving.validation import BATCH_KEY, INTEGER_MAX, Row

# One less than what validation allows: an integer beyond 2^53 would have been rounded to it unseen.
_MAX = INTEGER_MAX - 1
_QUOTE = ord('"')


class RowDecoder:
    """Decodes the input of one model.

    msgspec refuses what is no JSON, wrong types, missing and unknown names, but lets a name stand twice. So
    quotes are counted: with every name present, and as many quotes as names and texts need, none is there twice.
    """

    def __init__(self, card: ModelCard, *, instances_max: int, text_length_max: int) -> None:
        self._instances_max = instances_max
        types = [_type(feature, text_length_max) for feature in card.features]
        self._usable = all(kind is not None for kind in types) and all(map(_is_plain, card.feature_names))
        if not self._usable:
            return
        attributes = [f"f{index}" for index in range(len(types))]
        row = msgspec.defstruct(
            "Row",
            list(zip(attributes, types, strict=True)),
            rename=dict(zip(attributes, card.feature_names, strict=True)),
            forbid_unknown_fields=True,
            gc=False,
        )
        self._row = msgspec.json.Decoder(row)
        self._rows: Any = list[row]  # type: ignore[valid-type]  # a type made at run time
        batch = msgspec.defstruct(
            "Batch", [("rows", self._rows)], rename={"rows": BATCH_KEY}, forbid_unknown_fields=True
        )
        self._batch: msgspec.json.Decoder[Any] = msgspec.json.Decoder(batch)
        self._takes_batches = BATCH_KEY not in card.feature_names
        self._quotes = 2 * len(types)
        self._texts = tuple(index for index, feature in enumerate(card.features) if feature.type == "category")

    def row(self, body: bytes) -> Row | None:
        """The row of a body that is one plainly valid object of features; values as validation gives them."""
        if not self._usable or b"\\" in body:
            return None
        try:
            row = astuple(self._row.decode(body))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return row if body.count(b'"') == self._quotes_of(row) else None

    def rows(self, body: bytes) -> list[Row] | None:
        """The rows of a body that is a plainly valid batch of 1 to `instances_max` objects."""
        if not self._usable or not self._takes_batches or b"\\" in body:
            return None
        try:
            rows: list[Row] = [astuple(row) for row in self._batch.decode(body).rows]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if not 0 < len(rows) <= self._instances_max:
            return None
        # Two more for the name of the list itself. numpy counts them in a quarter of the time that `bytes.count` takes.
        quotes = np.count_nonzero(np.frombuffer(body, np.uint8) == _QUOTE)
        expected = sum(map(self._quotes_of, rows)) if self._texts else len(rows) * self._quotes
        return rows if quotes == 2 + expected else None

    def convert(self, instances: Sequence[Mapping[str, Any]]) -> list[Row] | None:
        """The rows of objects of features that are plainly valid, however they came; None if one is not."""
        if not self._usable:
            return None
        try:
            return [astuple(row) for row in msgspec.convert(instances, self._rows)]
        except (msgspec.MsgspecError, UnicodeEncodeError):
            return None

    def _quotes_of(self, row: Row) -> int:
        """How many quotes a row's object holds: round each name and round each text."""
        if not self._texts:
            return self._quotes
        return self._quotes + 2 * sum(row[index] is not None for index in self._texts)


def _type(feature: Feature, text_length_max: int) -> Any:
    """A feature as a type for msgspec; None for one that cannot be told apart exactly in one pass."""
    kind: Any
    match feature.type:
        case "number":
            least, most = number_range(feature)
            kind = Annotated[float, Meta(ge=float(least), le=float(most))]
        case "integer":
            least, most = number_range(feature)
            kind = Annotated[int, Meta(ge=math.ceil(least), le=math.floor(most))]
        case "boolean":
            kind = bool
        case "category":
            if feature.accepts_unseen:
                return _or_missing(Annotated[str, Meta(max_length=text_length_max)], feature)
            plain = filter(_is_plain, feature.categories or ())
            levels = tuple(level for level in plain if len(level) <= text_length_max)
            if not levels:
                return None
            kind = Literal[levels]
    return _or_missing(kind, feature)


def _or_missing(kind: Any, feature: Feature) -> Any:
    return kind | None if feature.nullable else kind


def number_range(feature: Feature) -> tuple[float, float]:
    """What a number may be, at most; where the reference's range is the limit, that."""
    if feature.accepts_unseen or feature.minimum is None or feature.maximum is None:
        return -_MAX, _MAX
    return max(-_MAX, feature.minimum), min(_MAX, feature.maximum)


def _is_plain(text: str) -> bool:
    """Whether a text is written in JSON as it is, between two quotes."""
    return text.isprintable() and '"' not in text and "\\" not in text
