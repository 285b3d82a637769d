"""From the request's bytes to one JSON object, strictly: UTF-8, one document, no duplicate keys, finite numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from flask import Request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected

from gateway.serving.problems import MALFORMED, UNSUPPORTED_MEDIA_TYPE, Problem, too_large

JSON_TYPE = "application/json"


def read(request: Request, bytes_max: int, media_types: Sequence[str] = (JSON_TYPE,)) -> bytes:
    """The request's body. `media_types`: what it may be; "" where it need not say.

    Raises:
        Problem: wrong media type, or too large.
    """
    if request.mimetype not in media_types:
        wanted = " or ".join(filter(None, media_types))
        raise Problem(UNSUPPORTED_MEDIA_TYPE, f"send the body with Content-Type: {wanted}")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Problem(UNSUPPORTED_MEDIA_TYPE, "send the body without Content-Encoding")
    return _read(request, bytes_max)


def parse_object(data: bytes) -> dict[str, Any]:
    """One JSON object. Raises Problem: not JSON as RFC 8259 means it, or no object."""
    document = parse(data)
    if not isinstance(document, dict):
        raise Problem(MALFORMED, "the body must be one JSON object")
    return document


def parse(data: bytes) -> Any:
    """Strict JSON. Raises Problem."""
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Problem(MALFORMED, f"the body is not UTF-8: invalid byte at offset {error.start}") from None
    except RecursionError:
        raise Problem(MALFORMED, "the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise Problem(
            MALFORMED, f"the body is not JSON: {error.msg}, line {error.lineno} column {error.colno}"
        ) from None
    except _RefusedError as error:
        raise Problem(MALFORMED, f"the body is not acceptable JSON: {error}") from None
    except ValueError:
        # Python refuses to read integers of thousands of digits: they would take quadratic time.
        raise Problem(MALFORMED, "the body holds a number of too many digits") from None


def _read(request: Request, bytes_max: int) -> bytes:
    if (request.content_length or 0) > bytes_max:
        raise too_large(bytes_max)
    # A chunked body has no length to believe: read one byte more than allowed and see. The server ends the
    # stream at the body's end, so reading past it does not wait.
    try:
        stream = request.environ["wsgi.input"] if request.content_length is None else request.stream
        data: bytes = stream.read(bytes_max + 1)
    except (ClientDisconnected, OSError):
        raise Problem(MALFORMED, "the body ended early") from None
    except ParseException as error:
        raise Problem(MALFORMED, f"the body's chunks cannot be read: {type(error).__name__}") from None
    if len(data) > bytes_max:
        raise too_large(bytes_max)
    return data


class _RefusedError(ValueError):
    """Something that Python's parser accepts and RFC 8259 does not."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("a key stands twice in one object")
    return found


def _constant(name: str) -> float:
    raise _RefusedError(f"{name} is not a JSON number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _RefusedError("a number is too large for a double")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
