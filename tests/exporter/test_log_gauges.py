"""What Prometheus gets from the logs: the chain's head as a witness, and what waits to be sealed."""

from __future__ import annotations

from gateway.log.manifest import FILE
from tests.exporter.site import Scrape, Site
from tests.gateway.log.sealed import seal_all, write_segment


def names(scrape: Scrape) -> set[str]:
    """The names of all series of the logs."""
    return {name for name, _ in scrape.samples if name.startswith("sentinel_log_")}


def test_before_the_first_row_there_is_nothing_to_show(site: Site) -> None:
    """Absent, not zero."""
    assert names(Scrape(site.sources())) == set()


def test_the_head_is_the_one_that_sealing_prints(site: Site) -> None:
    """A Prometheus on another host keeps each head with its time: that is the witness."""
    live, sources = site.paths.live, site.sources()
    write_segment(live, 1)
    before = Scrape(sources)
    assert before.of("sentinel_log_unsealed_segments") == 1
    assert before.of("sentinel_log_chain_length") == 0
    assert "sentinel_log_chain_head_info" not in names(before)
    first = seal_all(live).head
    write_segment(live, 2)
    after = Scrape(sources)
    assert after.of("sentinel_log_chain_head_info", sha256=first) == 1
    assert (after.of("sentinel_log_chain_length"), after.of("sentinel_log_unsealed_segments")) == (1, 1)
    second = seal_all(live).head
    last = Scrape(sources)
    assert last.of("sentinel_log_chain_head_info", sha256=second) == 1
    assert last.of("sentinel_log_chain_head_info", sha256=first) is None
    assert 0 < (last.of("sentinel_log_disk_used_ratio") or 0) < 1


def test_an_unreadable_chain_is_counted_and_the_last_state_shown(site: Site) -> None:
    """A newer format or a refused read is an error of the exporter's source, not a chain of length 0."""
    live, sources = site.paths.live, site.sources()
    write_segment(live, 1)
    head = seal_all(live).head
    Scrape(sources)
    (live / FILE).write_text('{"kind":"sealed","format_version":2}\n')
    broken = Scrape(sources)
    assert broken.of("sentinel_log_chain_head_info", sha256=head) == 1
    assert broken.of("sentinel_exporter_errors_total", source="log") == 1
    assert "newer" in sources.failing()["log"]
