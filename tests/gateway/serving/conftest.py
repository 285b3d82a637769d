"""One running gateway with three models, shared by the tests that only talk to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.models import register_mixed, register_numbers, register_regression
from tests.running import Place, gateway


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place whose gateway serves `numbers` (the default), `mixed` and `prices`."""
    place = Place(tmp_path_factory.mktemp("served"), settings={"SENTINEL_GATEWAY_BODY_BYTES_MAX": "250000"})
    for register in (register_numbers, register_mixed, register_regression):
        register(place.registry, place.root / "in")
    with gateway(place):
        yield place
