"""Whether an address can be listened on, in words: gunicorn itself only retries for a while and gives up."""

from __future__ import annotations

import socket


def why_not_free(host: str, port: int) -> str | None:
    """Why nothing can listen there, as a sentence; None when it can."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            # As gunicorn does: connections of an earlier process that linger in TIME_WAIT do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return f"cannot listen on {host}:{port}: {error.strerror}"
    return None
