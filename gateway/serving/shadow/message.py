"""What a worker writes into the pipe of its shadow process: a length (4 bytes, big-endian), then MessagePack.

Both ends are of one program and one start, so this is no format that anybody keeps.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import msgspec

_LENGTH_BYTES = 4


class ShadowRows(msgspec.Struct, array_like=True, frozen=True):
    """Rows of one request that `version` of the model `name` is to score.

    `rows`: values in the model's order, None where missing; `first_instance`: the place of the first one in its batch.
    """

    name: str
    version: str
    request_id: str
    client_id: str | None
    rows: Sequence[Sequence[Any]]
    first_instance: int = 0


_decoder = msgspec.msgpack.Decoder(ShadowRows)


def encode(message: ShadowRows) -> bytes:
    """The bytes of a message."""
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(_LENGTH_BYTES) + data


def read(fd: int) -> ShadowRows | None:
    """The next message; None when the pipe ends. Waits for all of it."""
    length = _exactly(fd, _LENGTH_BYTES)
    data = _exactly(fd, int.from_bytes(length)) if length is not None else None
    return _decoder.decode(data) if data is not None else None


def _exactly(fd: int, count: int) -> bytes | None:
    parts = []
    while count > 0:
        part = os.read(fd, min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
