"""The compiled way in of an inference request: one FP64 tensor of all features, in JSON.

As `gateway.serving.decoder` is to objects: it says either "this is what was asked" or nothing, and nothing is not a
verdict. What it takes, `infer_request` takes too, to the same values; a property test holds both to that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from gateway.registry import ModelCard
from gateway.serving.decoder import number_range
from gateway.serving.v2.metadata import RequestedOutput, outputs
from gateway.serving.validation import Row


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: tuple[int, int]
    datatype: Literal["FP64"]
    data: list[float]


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    inputs: tuple[_Tensor]
    outputs: list[_Output] | UnsetType = UNSET
    id: str | UnsetType = UNSET

    def quotes(self) -> int:
        """How many quotes it is written with, if no name stands twice: round each name and round each text."""
        asked = self.outputs or ()
        # inputs; name, shape, datatype and data; the texts of two of these.
        return 2 * (7 + (self.outputs is not UNSET) + 2 * len(asked) + 2 * (self.id is not UNSET))


@dataclass(frozen=True, slots=True)
class PlainInference:
    """A valid inference request. `matrix`: the rows once more, shape (rows, features)."""

    id: str | None
    rows: list[Row]
    matrix: NDArray[np.float64]
    outputs: tuple[RequestedOutput, ...]


class TensorDecoder:
    """Decodes the inference requests for one model, all of whose features are numbers."""

    def __init__(self, card: ModelCard, *, instances_max: int) -> None:
        self._usable = all(feature.type == "number" for feature in card.features)
        self._instances_max = instances_max
        self._outputs = {output.name: RequestedOutput(output, False) for output in outputs(card)}
        self._low, self._high = np.array([number_range(feature) for feature in card.features], np.float64).T
        self._document = msgspec.json.Decoder(_Document)

    def decode(self, body: bytes) -> PlainInference | None:
        """What is asked, if that is plainly valid: nothing missing, nothing but numbers, no parameters."""
        if not self._usable or b"\\" in body:
            return None
        try:
            document = self._document.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        # msgspec lets a name stand twice; see `RowDecoder`.
        if np.count_nonzero(np.frombuffer(body, np.uint8) == ord('"')) != document.quotes():
            return None
        asked = self._asked(document)
        (tensor,) = document.inputs
        count, width = tensor.shape
        is_shaped = width == len(self._low) and count * width == len(tensor.data)
        if asked is None or not is_shaped or not 0 < count <= self._instances_max:
            return None
        matrix = np.fromiter(tensor.data, np.float64, len(tensor.data)).reshape(tensor.shape)
        if not ((matrix >= self._low) & (matrix <= self._high)).all():
            return None
        rows: list[Row] = [tensor.data[at : at + width] for at in range(0, len(tensor.data), width)]
        return PlainInference(None if document.id is UNSET else document.id, rows, matrix, asked)

    def _asked(self, document: _Document) -> tuple[RequestedOutput, ...] | None:
        """The outputs that are asked for, all if none is named; None for an unknown one, or one asked for twice."""
        names = [output.name for output in document.outputs or ()]
        if len(set(names)) < len(names) or not self._outputs.keys() >= set(names):
            return None
        return tuple(self._outputs[name] for name in names or self._outputs)
