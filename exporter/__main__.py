"""`python -m exporter`: serve metrics and reports until told to stop.

Exit codes: 0 stopped as asked, 1 the address cannot be used, 2 unusable settings or arguments.
"""

from __future__ import annotations

import argparse
import sys
import time

from exporter.address import why_not_free
from exporter.app import create_app
from exporter.server import Server
from exporter.settings import ExporterSettings
from gateway.settings import InvalidSettings, Paths, load
from gateway.tokens import InvalidTokens, read_tokens


def main(arguments: list[str] | None = None) -> int:
    """Start the exporter; returns an exit code when it cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m exporter",
        description="Serves Prometheus metrics, the report library and a JSON API from the newest drift runs.",
        epilog="Settings: section [exporter] of sentinel.toml, or SENTINEL_EXPORTER_HOST, SENTINEL_EXPORTER_PORT, ...",
    )
    parser.parse_args(arguments)
    try:
        paths, settings = load(Paths, ExporterSettings)
        if settings.tokens_file is not None:
            read_tokens(settings.tokens_file)
    except (InvalidSettings, InvalidTokens) as error:
        print(error, file=sys.stderr)
        return 2
    fault = why_not_free(settings.host, settings.port)
    if fault is not None:
        print(f"exporter: {fault}", file=sys.stderr)
        return 1
    print(f"exporter: http://{settings.host}:{settings.port}/ (reports), /metrics (Prometheus)", flush=True)
    Server(lambda: create_app(paths, settings, time.time), settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
