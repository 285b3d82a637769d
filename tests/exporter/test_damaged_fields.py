"""One wrong value anywhere in the files that the pages show: an old or a shorter answer, never an error."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests import kept, results
from tests.exporter.site import Site
from tests.exporter.test_api_history import rich

#: What a field might hold when its writer was wrong, or its disk.
VALUES = (0, -1, 1e308, 1e-320, 10**30, "", "x" * 300, "2026-13-40", None, [], {}, True, 0.5)
URLS = (
    "/",
    "/models/fraud",
    "/review?model=fraud&threshold=1",
    "/api/alerts",
    "/api/metrics/latest",
    "/api/metrics/history",
    "/api/drift/concept",
    "/api/retraining/status",
    "/api/predictions/stats",
    "/api/predictions/low-confidence?threshold=1&format=csv",
    "/metrics",
    "/health",
)
MUTATIONS = 30


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a document has a value; of lists the first few."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:4]) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


@pytest.mark.parametrize("seed", range(2))
def test_one_wrong_value_is_no_error(site: Site, seed: int) -> None:
    """Seeded: any field of a result, a day, a review or the incidents becomes something else."""
    run = rich()
    site.serve(fraud="1")
    site.commit(run)
    kept.keep_days(site.paths.reports, kept.day(1))
    kept.keep_review(site.paths.reports, kept.review(*(kept.review_row(number) for number in range(5))))
    kept.keep_incidents(site.paths.reports, kept.incidents(kept.incident(), kept.resolved()))
    days = site.home() / "days"
    files = (*days.iterdir(), site.home() / "incidents.json", site.home() / run.run_id / "result.json")
    whole = {path: json.loads(path.read_bytes()) for path in sorted(files)}
    chance = random.Random(seed)
    for _ in range(MUTATIONS):
        path = chance.choice(list(whole))
        document = copy.deepcopy(whole[path])
        place = chance.choice(list(places(document)))
        inner = document
        for key in place[:-1]:
            inner = inner[key]
        value = inner[place[-1]] = chance.choice(VALUES)
        path.write_text(json.dumps(document))
        client = site.client()
        for url in URLS:
            # 404: a review of a model whose only run cannot be read.
            assert client.get(url).status_code in (200, 404), (seed, path.name, place, value, url)
        path.write_text(json.dumps(whole[path]))


def test_the_values_are_seen(site: Site) -> None:
    """The oracle works: a damaged day is counted, and the page says so."""
    site.commit(results.result())
    kept.keep_days(site.paths.reports, kept.day(0))
    path = site.home() / "days" / f"{kept.TODAY}.json"
    path.write_bytes(path.read_bytes().replace(b'"predictions":1000', b'"predictions":"many"'))
    assert "Something could not be read" in site.client().get("/models/fraud").text
