"""From an inference request's bytes to validated rows: its tensors become objects of features, as /predict's are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gateway.registry import Feature, ModelCard
from gateway.serving.body import parse_object
from gateway.serving.models import ServedModel
from gateway.serving.problems import MALFORMED, Fault, Problem, invalid, parts_of, pointer
from gateway.serving.v2.metadata import RequestedOutput, TensorMetadata, outputs
from gateway.serving.v2.tensors import TensorHead, below, parameters_of, read_elements, read_head
from gateway.serving.validation import Row

#: Names the length of the JSON that binary data follows.
HEADER_LENGTH = "Inference-Header-Content-Length"
#: What asks for an output in a form that this gateway does not have.
_UNKNOWN_FORMS = ("classification", "shared_memory_region")
_TRUTH = {0: False, 1: True}


@dataclass(frozen=True)
class Column:
    """One feature's values: every `step`th element of a tensor, from `start` on."""

    head: TensorHead
    start: int
    step: int

    def at(self, row: int) -> str:
        """The JSON pointer of the value in a row."""
        return self.head.at(self.start + row * self.step)


@dataclass(frozen=True)
class InferRequest:
    """A valid inference request. `columns`: where each feature came from."""

    id: str | None
    rows: list[Row]
    outputs: tuple[RequestedOutput, ...]
    columns: dict[str, Column]


def read_request(served: ServedModel, body: bytes, header_length: str | None) -> InferRequest:
    """An inference request. `header_length`: as its header says, None without one.

    Raises:
        Problem: with every fault of the first stage that has one: form, elements, values.
    """
    document, binary = _split(body, header_length)
    card = served.card
    heads, faults = _heads(document)
    requested, more = _requested(document, card)
    faults += more + _id_faults(document)
    if faults:
        raise invalid(faults)
    columns = _layout(heads, card)
    served.input.check_count(heads[0].shape[0])
    elements = _elements(heads, binary, columns)
    values = [
        _values(feature, elements[column.head.index][column.start :: column.step])
        for feature, column in zip(card.features, columns.values(), strict=True)
    ]
    return InferRequest(document.get("id"), _rows(served, columns, values), requested, columns)


def relocated(problem: Problem, columns: dict[str, Column]) -> Problem:
    """The same problem with the places that a client of the protocol knows, instead of /predict's."""
    faults = [_relocated(fault, columns) for fault in problem.faults]
    return Problem(problem.kind, problem.detail, faults, causes=problem.causes, rows=problem.rows)


def _relocated(fault: Fault, columns: dict[str, Column]) -> Fault:
    _, row, *feature = parts_of(fault.pointer)
    if feature:
        return replace(fault, pointer=columns[feature[0]].at(int(row)))
    return replace(fault, pointer="/inputs", detail=f"row {row} {fault.detail}")


def _split(body: bytes, header_length: str | None) -> tuple[dict[str, Any], bytes]:
    """The JSON object and the binary data behind it."""
    if header_length is None:
        return parse_object(body), b""
    if not (header_length.isascii() and header_length.isdigit() and len(header_length) < 16):
        raise Problem(MALFORMED, f"{HEADER_LENGTH} must be a whole number")
    length = int(header_length)
    if length > len(body):
        raise Problem(MALFORMED, f"{HEADER_LENGTH} is {length}, and the body has {len(body)} bytes")
    return parse_object(body[:length]), body[length:]


def _heads(document: dict[str, Any]) -> tuple[list[TensorHead], list[Fault]]:
    items = document.get("inputs")
    if not isinstance(items, list) or not items:
        return [], [Fault("/inputs", "must be a list of one or more tensors")]
    found = [read_head(index, item) for index, item in enumerate(items)]
    return [head for head, _ in found if head], [fault for _, faults in found for fault in faults]


def _requested(document: dict[str, Any], card: ModelCard) -> tuple[tuple[RequestedOutput, ...], list[Fault]]:
    """The outputs to answer: those that are asked for, in that order, else all."""
    parameters, faults = parameters_of(document)
    is_binary, more = _flag(parameters, "binary_data_output", False)
    faults += more
    items = document.get("outputs") or []
    if not isinstance(items, list):
        return (), [*faults, Fault("/outputs", "must be a list of outputs")]
    known = {output.name: output for output in outputs(card)}
    if not items:
        return tuple(RequestedOutput(output, is_binary) for output in known.values()), faults
    requested: list[RequestedOutput] = []
    for index, item in enumerate(items):
        output, more = _requested_output(item, known, is_binary)
        faults += below(more, "outputs", index)
        if output is not None:
            requested.append(output)
            # Each is answered once: named again, it is not known any more.
            del known[output.tensor.name]
    return tuple(requested), faults


def _requested_output(
    item: Any, known: dict[str, TensorMetadata], is_binary: bool
) -> tuple[RequestedOutput | None, list[Fault]]:
    if not isinstance(item, dict):
        return None, [Fault("", "must be an object")]
    name = item.get("name")
    parameters, faults = parameters_of(item)
    faults += [Fault(pointer("parameters", form), "is not supported") for form in _UNKNOWN_FORMS if form in parameters]
    is_binary, more = _flag(parameters, "binary_data", is_binary)
    faults += more
    if type(name) is not str or name not in known:
        faults.append(Fault("/name", f"must be an output of the model, each once: {', '.join(known) or 'no more'}"))
    return (None if faults else RequestedOutput(known[str(name)], is_binary)), faults


def _flag(parameters: dict[str, Any], name: str, default: bool) -> tuple[bool, list[Fault]]:
    value = parameters.get(name, default)
    if type(value) is bool:
        return value, []
    return default, [Fault(pointer("parameters", name), "must be true or false")]


def _id_faults(document: dict[str, Any]) -> list[Fault]:
    """An id is echoed, so it must be a text that can be written."""
    sent = document.get("id")
    if sent is not None and type(sent) is not str:
        return [Fault("/id", "must be a text")]
    try:
        (sent or "").encode()
    except UnicodeEncodeError:
        return [Fault("/id", "must not hold a lone surrogate")]
    return []


def _layout(heads: Sequence[TensorHead], card: ModelCard) -> dict[str, Column]:
    """Where each feature is: in the one tensor of all, whatever its name, or in a tensor of its own. Raises Problem."""
    names = card.feature_names
    faults = _matrix_faults(heads[0], len(names)) if len(heads) == 1 else _columns_faults(heads, names)
    if faults:
        raise invalid(faults)
    if len(heads) == 1:
        return {name: Column(heads[0], index, len(names)) for index, name in enumerate(names)}
    by_name = {head.name: head for head in heads}
    return {name: Column(by_name[name], 0, 1) for name in names}


def _matrix_faults(head: TensorHead, width: int) -> list[Fault]:
    # One feature is a matrix and a column alike.
    if head.shape[1:] == (width,) or (width == 1 and len(head.shape) == 1):
        return []
    wanted = f"must be [rows, {width}] in the only tensor, in the order of the model's features"
    return [Fault(pointer("inputs", head.index, "shape"), wanted)]


def _columns_faults(heads: Sequence[TensorHead], names: Sequence[str]) -> list[Fault]:
    rows = heads[0].shape[0]
    missing = dict.fromkeys(names)
    faults = []
    for head in heads:
        if head.name in missing:
            del missing[head.name]
        elif head.name in names:
            faults.append(Fault(pointer("inputs", head.index, "name"), "is there twice"))
        else:
            where = pointer("inputs", head.index, "name")
            faults.append(Fault(where, "is no feature of the model", "unknown field", value=head.name))
        if head.shape not in ((rows,), (rows, 1)):
            faults.append(Fault(pointer("inputs", head.index, "shape"), f"must be [{rows}] or [{rows}, 1]"))
    return faults + [Fault("/inputs", f"has no tensor {name!r}", "missing feature", name) for name in missing]


def _elements(heads: Sequence[TensorHead], binary: bytes, columns: dict[str, Column]) -> list[list[Any]]:
    """The elements of each tensor, those in binary cut from what follows the JSON, in their order. Raises Problem."""
    rows = heads[0].shape[0]
    announced = sum(head.binary_bytes for head in heads)
    if announced != len(binary):
        refusal = f"announces {announced} bytes of binary data, and {len(binary)} follow the JSON object"
        raise invalid([Fault("/inputs", refusal)], rows=rows)
    elements, faults, at = [], [], 0
    for head in heads:
        found, more = read_elements(head, binary[at : at + head.binary_bytes], partial(_features_of, head, columns))
        at += head.binary_bytes
        elements.append(found)
        faults += more
    if faults:
        raise invalid(faults, rows=rows)
    return elements


def _features_of(head: TensorHead, columns: dict[str, Column]) -> list[str]:
    return [name for name, column in columns.items() if column.head is head]


def _values(feature: Feature, elements: list[Any]) -> list[Any]:
    """The elements as the values of a feature, where tensors write those in another way than JSON."""
    if feature.type == "boolean":
        # A tensor of numbers holds a boolean as 0 or 1. (A boolean is its own key: True == 1.)
        return [_TRUTH.get(element, element) for element in elements]
    if feature.type == "category" and feature.nullable and "" not in (feature.categories or ()):
        # No bytes are a missing text: BYTES has no other way to say so.
        return [None if element == "" else element for element in elements]
    return elements


def _rows(served: ServedModel, columns: dict[str, Column], values: list[list[Any]]) -> list[Row]:
    instances = [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
    rows = served.decoder.convert(instances)
    if rows is not None:
        return rows
    try:
        return served.input.batch(instances)
    except Problem as problem:
        raise relocated(problem, columns) from None
