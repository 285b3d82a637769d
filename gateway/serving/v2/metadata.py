"""What the server and its models say of themselves: names, versions, and the tensors that go in and come out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gateway import VERSION
from gateway.registry import Feature, ModelCard

PREDICT, CONFIDENCE, PROBABILITIES = "predict", "confidence", "probabilities"


@dataclass(frozen=True)
class TensorMetadata:
    """One input or output; in `shape`, -1 stands for the number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class RequestedOutput:
    """An output to answer, and whether in binary."""

    tensor: TensorMetadata
    is_binary: bool


def server() -> dict[str, Any]:
    """The server metadata."""
    return {"name": "sentinelml", "version": VERSION, "extensions": ["binary_tensor_data"]}


def model(card: ModelCard) -> dict[str, Any]:
    """The metadata of one version."""
    return {
        "name": card.name,
        "versions": [card.version],
        "platform": f"sklearn_{card.artifact.kind}",
        "inputs": [asdict(TensorMetadata(feature.name, _datatype(feature), (-1,))) for feature in card.features],
        "outputs": [asdict(output) for output in outputs(card)],
    }


def outputs(card: ModelCard) -> tuple[TensorMetadata, ...]:
    """What a model answers, in the order in which it is answered."""
    predict = TensorMetadata(PREDICT, _class_datatype(card), (-1,))
    if not card.has_probabilities:
        return (predict,)
    return (
        predict,
        TensorMetadata(CONFIDENCE, "FP64", (-1,)),
        TensorMetadata(PROBABILITIES, "FP64", (-1, len(card.classes))),
    )


def _datatype(feature: Feature) -> str:
    """A datatype that holds every value of the feature; the missing ones of numbers and booleans are NaN."""
    match feature.type:
        case "number":
            return "FP64"
        case "integer":
            return "FP64" if feature.nullable else "INT64"
        case "boolean":
            return "FP64" if feature.nullable else "BOOL"
        case "category":
            return "BYTES"


def _class_datatype(card: ModelCard) -> str:
    if card.task == "regression":
        return "FP64"
    kinds = {type(label) for label in card.classes}
    return {frozenset({int}): "INT64", frozenset({bool}): "BOOL"}.get(frozenset(kinds), "BYTES")
