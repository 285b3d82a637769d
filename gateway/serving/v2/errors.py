"""Refusals in the form of the protocol: an object with one sentence under `error`."""

from __future__ import annotations

import json

from gateway.serving.problems import Problem

PREFIX = "/v2"


def is_v2(path: str) -> bool:
    """Whether whoever asks for this path speaks the protocol."""
    return path == PREFIX or path.startswith(PREFIX + "/")


def error_body(problem: Problem, request_id: str) -> bytes:
    """The response body: `error` tells all that is wrong, with a JSON pointer to each place."""
    faults = "; ".join(f"{fault.pointer or 'the request'} {fault.detail}" for fault in problem.faults)
    error = f"{problem.detail}: {faults}" if faults else problem.detail
    # As in problem documents, non-ASCII is escaped: what a client sent comes back as harmless text.
    return json.dumps({"error": error, "request_id": request_id}).encode()
