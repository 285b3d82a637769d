"""One running gateway with six models, and NVIDIA's client for it, unmodified."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tritonclient.http import InferenceServerClient

from tests.models import (
    register_colours,
    register_counts,
    register_flags,
    register_mixed,
    register_numbers,
    register_regression,
)
from tests.running import Place, gateway


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place whose gateway serves `numbers` (the default), `mixed`, `prices`, `colours`, `flags` and `counts`."""
    place = Place(
        tmp_path_factory.mktemp("v2"),
        settings={"SENTINEL_GATEWAY_BODY_BYTES_MAX": "250000", "SENTINEL_GATEWAY_INSTANCES_MAX": "500"},
    )
    for register in (
        register_numbers,
        register_mixed,
        register_regression,
        register_colours,
        register_flags,
        register_counts,
    ):
        register(place.registry, place.root / "in")
    with gateway(place):
        yield place


@pytest.fixture
def client(place: Place) -> Iterator[InferenceServerClient]:
    """tritonclient, connected."""
    client = InferenceServerClient(f"127.0.0.1:{place.gateway_port}")
    yield client
    client.close()
