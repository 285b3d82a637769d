"""The input tensors of a request: first what each says of itself, then its elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from gateway.serving.problems import Fault, pointer
from gateway.serving.v2.datatypes import DATATYPES, BadElements, Datatype, from_bytes, from_json

#: Parameters that mean the data is where this gateway does not look.
_ELSEWHERE = "shared_memory_region"
_BINARY_SIZE = "binary_data_size"
_SIZE_MAX = 2**63 - 1


@dataclass(frozen=True)
class TensorHead:
    """What an input says of itself.

    Attributes:
        index: its place among the inputs.
        data: its JSON array; None when its elements are in binary.
        binary_bytes: how many bytes those are, 0 when they are not.
    """

    index: int
    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    data: list[Any] | None
    binary_bytes: int

    @property
    def is_nested(self) -> bool:
        """Whether its JSON is an array of rows, rather than flat."""
        return len(self.shape) == 2 and bool(self.data) and isinstance(self.data[0], list)  # type: ignore[index]

    def at(self, position: int) -> str:
        """The JSON pointer of an element; of a binary one, where it would be."""
        place = divmod(position, self.shape[1]) if self.is_nested else (position,)
        return pointer("inputs", self.index, "data", *place)


def parameters_of(item: dict[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """The parameters of a request, an input or an output; clients write none as null, too."""
    parameters = item.get("parameters")
    if parameters is None or isinstance(parameters, dict):
        return parameters or {}, []
    return {}, [Fault("/parameters", "must be an object")]


def below(faults: Sequence[Fault], *prefix: str | int) -> list[Fault]:
    """The faults of a part, as those of the whole."""
    return [replace(fault, pointer=pointer(*prefix) + fault.pointer) for fault in faults]


def read_head(index: int, item: Any) -> tuple[TensorHead | None, list[Fault]]:
    """One input without its elements, or all that is wrong with it."""
    if not isinstance(item, dict):
        return None, [Fault(pointer("inputs", index), "must be an object")]
    parameters, faults = parameters_of(item)
    size = parameters.get(_BINARY_SIZE)
    checks = {
        "name": (type(item.get("name")) is str, "must be a text"),
        "datatype": (item.get("datatype") in tuple(DATATYPES), f"must be one of {', '.join(DATATYPES)}"),
        "shape": (_is_shape(item.get("shape")), "must be a list of one or two whole numbers, the first at least 1"),
        f"parameters/{_BINARY_SIZE}": (size is None or _is_size(size), "must be a whole number"),
        f"parameters/{_ELSEWHERE}": (_ELSEWHERE not in parameters, "is not supported: send the data"),
        "data": (
            type(item.get("data")) is list if size is None else "data" not in item,
            "must be a list" if size is None else f"must not be there beside {_BINARY_SIZE}",
        ),
    }
    faults += [Fault("/" + place, refusal) for place, (is_right, refusal) in checks.items() if not is_right]
    if faults:
        return None, below(faults, "inputs", index)
    datatype = DATATYPES[item["datatype"]]
    return TensorHead(index, item["name"], datatype, tuple(item["shape"]), item.get("data"), size or 0), []


def read_elements(
    head: TensorHead, binary: bytes, features: Callable[[], Sequence[str]]
) -> tuple[list[Any], list[Fault]]:
    """The elements in row-major order, or all that is wrong with them.

    Args:
        binary: the bytes that are this tensor's.
        features: says whose values it holds, in turn; asked only when something is wrong.
    """
    count = math.prod(head.shape)
    values: Sequence[Any] = ()
    try:
        if head.data is None:
            return from_bytes(head.datatype, binary, count), []
        values = _flat(head, head.data, count)
        return from_json(head.datatype, values), []
    except BadElements as error:
        names = features()
        return [], [_fault(head, at, refusal, names, values) for at, refusal in error.faults]


def _fault(head: TensorHead, at: int | None, refusal: str, features: Sequence[str], values: Sequence[Any]) -> Fault:
    """What is wrong with an element, or with all of them (`at` None). `values`: the elements, where JSON has them."""
    if at is None:
        return Fault(pointer("inputs", head.index, "data"), refusal)
    value = values[at] if values else None
    return Fault(head.at(at), refusal, "wrong type", features[at % len(features)], value)


def _flat(head: TensorHead, data: Sequence[Any], count: int) -> Sequence[Any]:
    if head.is_nested:
        width = head.shape[1]
        if not all(isinstance(row, list) and len(row) == width for row in data):
            raise BadElements([(None, f"must be a list of rows of {width} elements, or of all elements")])
        data = list(chain.from_iterable(data))
    if len(data) != count:
        raise BadElements([(None, f"holds {len(data)} elements, and its shape says {count}")])
    return data


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) in (1, 2) and all(map(_is_size, value)) and value[0] > 0


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _SIZE_MAX
