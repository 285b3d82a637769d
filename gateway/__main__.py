"""`python -m gateway`: check the settings, say where metrics go, become gunicorn."""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn

from gateway.settings import GatewaySettings, InvalidSettings, Paths, load
from gateway.tokens import InvalidTokens, read_tokens


def main(arguments: list[str] | None = None) -> NoReturn:
    """Replace this process by gunicorn, or exit with 2 when the settings do not allow it."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway",
        description="Serve the registered models over HTTP. Settings come from sentinel.toml, section [gateway], "
        "and from SENTINEL_GATEWAY_... variables.",
    )
    parser.parse_args(arguments)
    try:
        paths, settings = load(Paths, GatewaySettings)
        if settings.tokens_file is not None:
            read_tokens(settings.tokens_file)
    except (InvalidSettings, InvalidTokens) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    # Before anything imports prometheus_client, which decides at import where its values live.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(paths.gateway_metrics)
    # One request is one thread's work; a pool of threads inside the model would only fight over the cores.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    command = [sys.executable, "-m", "gunicorn", "--config", "python:gateway.serving.gunicorn_conf"]
    os.execv(sys.executable, [*command, "gateway.serving.app:create_app()"])


if __name__ == "__main__":
    main()
