"""The protocol's datatypes: a tensor's elements as Python values, from JSON or from bytes, and back to bytes.

In all of them None stands for a missing value: null in JSON, NaN in a float tensor.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

_LENGTH = struct.Struct("<I")


class BadElements(Exception):
    """Elements that their datatype does not have. `faults`: position (None: all of them) and what is wrong."""

    def __init__(self, faults: Sequence[tuple[int | None, str]]) -> None:
        super().__init__(f"{len(faults)} faults")
        self.faults = faults


@dataclass(frozen=True)
class Datatype:
    """One datatype. `code`: how numpy names its elements in a request's bytes, little-endian; None for BYTES."""

    name: str
    kind: Literal["boolean", "integer", "float", "bytes"]
    code: str | None


#: All of the protocol's, by name.
DATATYPES = {
    datatype.name: datatype
    for datatype in (
        Datatype("BOOL", "boolean", "u1"),
        *(Datatype(f"INT{8 * size}", "integer", f"<i{size}") for size in (1, 2, 4, 8)),
        *(Datatype(f"UINT{8 * size}", "integer", f"<u{size}") for size in (1, 2, 4, 8)),
        *(Datatype(f"FP{8 * size}", "float", f"<f{size}") for size in (2, 4, 8)),
        Datatype("BYTES", "bytes", None),
    )
}


def from_json(datatype: Datatype, values: Sequence[Any]) -> list[Any]:
    """The elements that a flat JSON array holds, exactly: nothing is converted but numbers to the datatype's precision.

    Raises:
        BadElements: for each element of another type or beyond the datatype's range.
    """
    accepts, refusal = _json_rule(datatype)
    faults = [
        (index, refusal) for index, value in enumerate(values) if value is not None and not accepts(type(value), value)
    ]
    if faults:
        raise BadElements(faults)
    if datatype.code is None or datatype.kind == "boolean" or datatype.name == "FP64":
        return list(values)
    # An FP32 tensor holds 0.1 as FP32, whichever way it comes; 3.0 is an integer, as everywhere in JSON.
    element = np.dtype(datatype.code).type
    return [None if value is None else element(value).item() for value in values]


def from_bytes(datatype: Datatype, data: bytes, count: int) -> list[Any]:
    """The `count` elements that a tensor's bytes hold.

    Raises:
        BadElements: the bytes are not `count` elements.
    """
    if datatype.code is None:
        return _texts(data, count)
    wanted = count * np.dtype(datatype.code).itemsize
    if len(data) != wanted:
        raise BadElements([(None, f"is {len(data)} bytes, and {count} elements of {datatype.name} are {wanted}")])
    values = np.frombuffer(data, datatype.code).tolist()
    if datatype.kind == "boolean":
        return _booleans(values)
    # NaN is what float tensors hold where a value is missing: numpy, pandas and scikit-learn agree on that.
    return [None if value != value else value for value in values] if datatype.kind == "float" else values


def to_bytes(datatype: Datatype, values: Sequence[Any]) -> bytes:
    """The elements as a tensor's bytes."""
    if datatype.code is not None:
        return np.array(values, dtype=datatype.code).tobytes()
    texts = [str(value).encode() for value in values]
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def _json_rule(datatype: Datatype) -> tuple[Callable[[type, Any], bool], str]:
    """What a JSON value of that datatype must be, as a test of its type and itself, and as a sentence."""
    if datatype.code is None:
        return lambda kind, value: kind is str, "must be a text"
    if datatype.kind == "boolean":
        return lambda kind, value: kind is bool, "must be true or false"
    if datatype.kind == "integer":
        bounds = np.iinfo(datatype.code)
        low, high = int(bounds.min), int(bounds.max)
        return (
            lambda kind, value: (kind is int or (kind is float and value.is_integer())) and low <= value <= high,
            f"must be an integer that {datatype.name} can hold",
        )
    # FP64 is left to validation, which has a narrower range.
    limit = math.inf if datatype.name == "FP64" else float(np.finfo(datatype.code).max)
    return (
        lambda kind, value: (kind is float or kind is int) and -limit <= value <= limit,
        f"must be a number that {datatype.name} can hold",
    )


def _booleans(values: list[int]) -> list[bool]:
    faults = [(index, "must be the byte 0 or 1") for index, value in enumerate(values) if value > 1]
    if faults:
        raise BadElements(faults)
    return [value == 1 for value in values]


def _texts(data: bytes, count: int) -> list[str]:
    """Each element is its length, 4 bytes, and then itself."""
    found, faults = [], []
    for index, element in enumerate(_cut(data, count)):
        try:
            found.append(element.decode())
        except UnicodeDecodeError:
            faults.append((index, "must be UTF-8"))
    if faults:
        raise BadElements(faults)
    return found


def _cut(data: bytes, count: int) -> Iterator[bytes]:
    at = 0
    for index in range(count):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(data, at)[0] if start <= len(data) else start
        if at > len(data):
            raise BadElements([(None, f"ends within element {index}, and its shape says {count}")])
        yield data[start:at]
    if at < len(data):
        raise BadElements([(None, f"has {len(data) - at} bytes more than its {count} elements")])
