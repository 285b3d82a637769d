"""What Prometheus gets from the logs: the chain's head as a witness, and what waits to be sealed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gateway.log import outcomes
from gateway.log.__main__ import main
from gateway.log.manifest import FILE
from tests.exporter.site import Scrape, Site
from tests.gateway.log.sealed import seal_all, write_segment


def names(scrape: Scrape) -> set[str]:
    """The names of all series of the logs."""
    return {name for name, _ in scrape.samples if name.startswith("sentinel_log_")}


def test_before_the_first_row_there_is_nothing_to_show(site: Site) -> None:
    """Absent, not zero; but for the disk, which fills before the first row too."""
    assert names(Scrape(site.sources())) == {"sentinel_log_disk_used_ratio"}


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


def test_the_disk_is_the_one_that_the_logs_are_on_at_this_moment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `df` counts: of what a user who is not root may fill. Before the first row, the disk where it will be."""
    asked: list[Path] = []

    def of_100_blocks(path: Path) -> os.statvfs_result:
        asked.append(path)
        return os.statvfs_result((4096, 4096, 100, 24, 19, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", of_100_blocks)
    sources = site.sources()
    assert Scrape(sources).of("sentinel_log_disk_used_ratio") == 76 / 95
    write_segment(site.paths.live, 1)
    assert Scrape(sources).of("sentinel_log_disk_used_ratio") == 76 / 95
    assert site.paths.live not in asked[:1]
    assert asked[-1] == site.paths.live


def test_a_disk_that_does_not_answer_is_not_shown_as_it_was(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gauge is absent, for which there is an alert, and the failure is counted; it comes back by itself."""
    write_segment(site.paths.live, 1)
    sources = site.sources()
    assert Scrape(sources).of("sentinel_log_disk_used_ratio") is not None

    def stale(_: Path) -> os.statvfs_result:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", stale)
        broken = Scrape(sources)
    assert broken.of("sentinel_log_disk_used_ratio") is None
    assert broken.of("sentinel_exporter_errors_total", source="disk") == 1
    assert broken.of("sentinel_log_unsealed_segments") == 1
    assert Scrape(sources).of("sentinel_log_disk_used_ratio") is not None
    assert sources.failing() == {}


def test_the_commands_say_how_they_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by its own time; a failure leaves the time of the last success as it was."""
    live, sources = site.paths.live, site.sources()
    monkeypatch.setenv("SENTINEL_PATHS_DATA", str(site.paths.data))
    path = write_segment(live, 5)
    assert (main(["seal"]), main(["verify"]), main(["expire"])) == (0, 0, 0)
    sound = Scrape(sources)
    for command in ("seal", "verify"):
        ended = sound.of("sentinel_log_command_timestamp_seconds", command=command)
        assert ended == sound.of("sentinel_log_command_last_success_timestamp_seconds", command=command)
        assert sound.of("sentinel_log_command_succeeded", command=command) == 1
    assert sound.of("sentinel_log_command_timestamp_seconds", command="expire") is None, "retention is off"
    path.chmod(0o644)
    path.write_bytes(b"")
    assert main(["verify"]) == 1
    damaged = Scrape(sources)
    assert damaged.of("sentinel_log_command_succeeded", command="verify") == 0
    before = sound.of("sentinel_log_command_timestamp_seconds", command="verify")
    assert damaged.of("sentinel_log_command_last_success_timestamp_seconds", command="verify") == before
    assert (damaged.of("sentinel_log_command_timestamp_seconds", command="verify") or 0) > (before or 0)
    assert damaged.of("sentinel_log_command_succeeded", command="seal") == 1


def test_a_record_that_cannot_be_read_is_absent_and_one_that_cannot_be_written_stops_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Absent and old are what the alerts look for; the command itself has done its work."""
    monkeypatch.setenv("SENTINEL_PATHS_DATA", str(site.paths.data))
    write_segment(site.paths.live, 5)
    assert main(["seal"]) == 0
    folder = site.paths.state / "log_commands"
    for content in (b"", b"[]", b'{"command":"reboot","ended_at":1,"succeeded":true,"last_success_at":1}'):
        (folder / "seal.json").write_bytes(content)
        assert Scrape(site.sources()).of("sentinel_log_command_timestamp_seconds", command="seal") is None
    (folder / "seal.json").unlink()
    os.mkfifo(folder / "seal.json")
    assert outcomes.read_all(site.paths.state) == []
    (folder / "seal.json").unlink()
    folder.rmdir()
    folder.write_text("in the way")
    capsys.readouterr()
    assert main(["seal"]) == 0
    assert "how it ended cannot be recorded" in capsys.readouterr().err


def test_where_nothing_was_logged_a_command_leaves_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler seals every minute, also before the first row."""
    monkeypatch.setenv("SENTINEL_PATHS_DATA", str(site.paths.data))
    assert main(["seal"]) == 0
    assert not site.paths.state.exists()
