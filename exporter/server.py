"""gunicorn round the application: one worker, so that the sources' caches and counters exist once."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from exporter.settings import ExporterSettings


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn is untyped
    """Runs `make_app()` in the worker until SIGTERM or SIGINT."""

    def __init__(self, make_app: Callable[[], Flask], settings: ExporterSettings) -> None:
        self._make_app = make_app
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Hand our settings to gunicorn."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        options = {
            "bind": f"{host}:{self._settings.port}",
            "workers": 1,
            "worker_class": "gthread",
            "threads": self._settings.threads,
            "loglevel": "warning",
            "proc_name": "sentinelml-exporter",
            # gunicorn's own administration socket: nobody here talks to it.
            "control_socket_disable": True,
            "post_fork": self._bound_silence,
        }
        for key, value in options.items():
            self.cfg.set(key, value)

    def load(self) -> Flask:
        """The application, made in the worker."""
        return self._make_app()

    def _bound_silence(self, _arbiter: Any, worker: Any) -> None:
        # Otherwise as many half-sent requests as there are threads block every scrape. Accepted sockets inherit it.
        limit = struct.pack("ll", self._settings.socket_timeout_seconds, 0)
        for listener in worker.sockets:
            listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
