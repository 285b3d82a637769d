"""The answer to an inference request: a JSON object, and the binary data of the outputs that were asked for so."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec

from gateway.registry import ModelCard
from gateway.serving.scoring.model import Answers
from gateway.serving.v2.datatypes import DATATYPES, to_bytes
from gateway.serving.v2.infer_request import HEADER_LENGTH
from gateway.serving.v2.metadata import CONFIDENCE, PREDICT, RequestedOutput


class InferResponse:
    """Writes the answer to one request; `headers` are those of what it wrote last.

    Args:
        request_id: the client's own, which is echoed.
    """

    def __init__(self, request_id: str | None, outputs: Sequence[RequestedOutput]) -> None:
        self._id = request_id
        self._outputs = outputs
        self.headers: dict[str, str] = {}

    def render(self, card: ModelCard, answers: Answers, request_id: str, timestamp: str) -> bytes:
        """The response's body. Its `parameters` hold our id of the request, for labels, and its time."""
        tensors, binary = [], []
        for output in self._outputs:
            tensor, data = _tensor(output, card, answers)
            tensors.append(tensor)
            binary.append(data)
        document = msgspec.json.encode(
            {
                "model_name": card.name,
                "model_version": card.version,
                **({} if self._id is None else {"id": self._id}),
                "parameters": {"request_id": request_id, "timestamp": timestamp},
                "outputs": tensors,
            }
        )
        if any(output.is_binary for output in self._outputs):
            self.headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(document))}
        else:
            self.headers = {"Content-Type": "application/json"}
        return b"".join((document, *binary))


def _tensor(output: RequestedOutput, card: ModelCard, answers: Answers) -> tuple[dict[str, Any], bytes]:
    """The tensor as JSON, and its binary data, empty where its data is in the JSON."""
    tensor = output.tensor
    elements = _elements(tensor.name, tensor.datatype, answers)
    shape = (len(answers.predictions), *tensor.shape[1:])
    described = {"name": tensor.name, "datatype": tensor.datatype, "shape": shape}
    if not output.is_binary:
        return {**described, "data": elements}, b""
    data = to_bytes(DATATYPES[tensor.datatype], elements)
    return {**described, "parameters": {"binary_data_size": len(data)}}, data


def _elements(name: str, datatype: str, answers: Answers) -> Sequence[Any]:
    """The elements of an output in row-major order."""
    if name == PREDICT:
        # The log's texts are what classes of several types have in common.
        return answers.recorded if datatype == "BYTES" else answers.predictions
    if name == CONFIDENCE:
        return answers.confidences or ()
    return list(chain.from_iterable(answers.probabilities or ()))
