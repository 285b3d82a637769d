"""gunicorn's settings and hooks, read by `python -m gateway`. Names here are gunicorn's."""

from __future__ import annotations

import gc
import resource
import sys
import threading
import time
from typing import Any

from gateway import heartbeat, metrics_folder
from gateway.settings import GatewaySettings, Paths, load

_paths: Paths
_settings: GatewaySettings
_paths, _settings = load(Paths, GatewaySettings)

#: Workers of a killed master live on for about a second; a gateway started right after it waits for them.
TAKE_OVER_SECONDS = 10.0

bind = f"{_settings.host}:{_settings.port}"
workers = _settings.workers
threads = _settings.threads
worker_class = "gateway.serving.worker.loop.Worker"
if _settings.tls_certificate_file is not None:
    # Our worker reads plain bytes. Without it there is no lane, and slow clients hold threads: better is a proxy.
    worker_class = "gthread"
    certfile = str(_settings.tls_certificate_file)
    keyfile = None if _settings.tls_key_file is None else str(_settings.tls_key_file)
# Each worker loads its models after the fork: a model that predicted before it hangs in OpenMP after it.
preload_app = False
graceful_timeout = _settings.drain_seconds
# A worker that does not answer its master for this long is killed; a long batch must not look like that.
timeout = 120
# A connection is a file descriptor, and logs, models and metrics need some, too.
worker_connections = max(8, min(1000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 64))
# A client between two requests holds no thread, so its connection may stay open.
keepalive = 75
proc_name = "sentinelml-gateway"
# Its commands are of no use here, and two gateways of one user would share the socket.
control_socket_disable = True
accesslog = None
errorlog = "-"
loglevel = "info"
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "formatters": {"plain": {"format": "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"}},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["stderr"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": [], "propagate": False},
        # Warnings of libraries about single rows: models are checked when they are registered and loaded.
        "py.warnings": {"level": "ERROR", "handlers": ["stderr"], "propagate": False},
    },
}


def when_ready(server: Any) -> None:
    """Take the metrics folder and empty it: the port is ours by now, and no worker runs yet."""
    try:
        server.sentinel_lock = metrics_folder.take(_paths.gateway_metrics, wait_seconds=TAKE_OVER_SECONDS)
        metrics_folder.prepare(_paths.gateway_metrics)
    except (metrics_folder.MetricsFolderError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def post_worker_init(worker: Any) -> None:
    """Say that the gateway lives, for as long as this worker does; begin the access log."""
    worker.wsgi.extensions["access"].start()
    # Libraries and models stay for good: a collection need not look through them each time.
    gc.collect()
    gc.freeze()
    stop = threading.Event()
    worker.sentinel_stop = stop

    def beat() -> None:
        with heartbeat.beating(_paths.state, "gateway", time.time):
            stop.wait()

    worker.sentinel_beat = threading.Thread(target=beat, name="heartbeat", daemon=True)
    worker.sentinel_beat.start()


def worker_exit(server: Any, worker: Any) -> None:
    """Close the logs once the last request is answered, and take the heartbeat back."""
    if (stop := getattr(worker, "sentinel_stop", None)) is not None:
        stop.set()
        worker.sentinel_beat.join(timeout=5)
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions["shadow"].close()
        app.extensions["refusals"].close()
        app.extensions["models"].close()
        app.extensions["access"].stop()


def child_exit(server: Any, worker: Any) -> None:
    """A worker is gone: its live gauges go, and what it counted is kept with that of the others that are gone."""
    if (leave := getattr(worker, "leave", None)) is not None:
        leave()
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
    try:
        metrics_folder.fold(_paths.gateway_metrics)
    except OSError as error:
        server.log.error("the metrics of worker %s stay in its own files: %s", worker.pid, error)
