"""Retention: off by default, oldest first, sealed segments only, and the chain verifies before and after."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.clock import utc_text
from gateway.log import retention
from gateway.log.__main__ import main
from gateway.log.manifest import read_chain
from gateway.log.retention import disk_used_ratio, expire
from gateway.log.settings import LogSettings
from tests.gateway.log.faults import Crash, crash_at
from tests.gateway.log.sealed import seal_all, sealed_entries, verified, write_segment

DAY = 86400
WEEK = LogSettings(retention_days=7)


def log_of_days(live: Path, *days: int) -> list[Path]:
    """A sealed segment of ten rows for each day after the epoch."""
    paths = []
    for day in days:
        paths.append(write_segment(live, 10, first=day * DAY))
        seal_all(live)
    return paths


def test_nothing_expires_unless_the_operator_says_so(tmp_path: Path) -> None:
    """What was answered is kept for ever by default."""
    (path,) = log_of_days(tmp_path, 0)
    assert expire(tmp_path, LogSettings(), now=1e9).expired == ()
    assert path.exists()


def test_segments_expire_by_the_age_of_their_newest_row(tmp_path: Path) -> None:
    """A segment goes when its last row is older than the limit, and not before."""
    old, edge, new = log_of_days(tmp_path, 0, 1, 2)
    done = expire(tmp_path, WEEK, now=8 * DAY + 9)
    assert [(tmp_path / entry.path, entry.reason) for entry in done.expired] == [(old, "older than 7 days")]
    assert (old.exists(), edge.exists(), new.exists()) == (False, True, True)


def test_the_chain_verifies_afterwards_and_still_says_what_was_there(tmp_path: Path) -> None:
    """An expired segment is not a deleted one: its entry stays, and the head goes on from the old one."""
    log_of_days(tmp_path, 0, 100)
    witnessed = read_chain(tmp_path).head
    done = expire(tmp_path, WEEK, now=101 * DAY)
    found = verified(tmp_path, witnessed, done.head)
    assert found.findings == ()
    assert (found.result.entries, found.result.rows) == (3, 10)
    (expired,) = done.expired
    first = sealed_entries(tmp_path)[0]
    assert (expired.sealed_number, expired.sha256, expired.segment_id) == (1, first.sha256, first.segment_id)
    assert expired.expired_at == utc_text(101 * DAY)


def test_the_oldest_go_until_the_logs_are_small_enough(tmp_path: Path) -> None:
    """The limit is on all that is there, whatever the order in which it was sealed."""
    newest, oldest, middle = log_of_days(tmp_path, 9, 1, 5)
    padded = write_segment(tmp_path, 10_000, first=10 * DAY)
    limit = LogSettings(retention_bytes=1024 * 1024)
    assert padded.stat().st_size > limit.retention_bytes  # type: ignore[operator]
    done = expire(tmp_path, limit, now=10 * DAY)
    assert [tmp_path / entry.path for entry in done.expired] == [oldest, middle, newest]
    assert padded.exists(), "it is not sealed"
    seal_all(tmp_path)
    assert [tmp_path / entry.path for entry in expire(tmp_path, limit, now=10 * DAY).expired] == [padded]
    assert expire(tmp_path, limit, now=10 * DAY).expired == ()
    assert verified(tmp_path).findings == ()


def test_no_more_goes_than_must(tmp_path: Path) -> None:
    """Expiry stops as soon as the rest fits."""
    for day in range(3):
        write_segment(tmp_path, 6_000, first=day * DAY)
    seal_all(tmp_path)
    done = expire(tmp_path, LogSettings(retention_bytes=1_600_000), now=10 * DAY)
    oldest = min(sealed_entries(tmp_path), key=lambda entry: entry.last_timestamp or "")
    assert [entry.path for entry in done.expired] == [oldest.path]
    assert done.freed_bytes == oldest.bytes


def test_an_edited_segment_is_kept_as_evidence(tmp_path: Path) -> None:
    """Retention must not wash away what verify would name."""
    (path,) = log_of_days(tmp_path, 0)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b",1.5,", b",2.5,"))
    done = expire(tmp_path, WEEK, now=100 * DAY)
    assert done.expired == ()
    assert [failure.reason for failure in done.failures] == ["is not what was sealed, so it is kept as evidence"]
    assert path.exists()


def test_a_segment_deleted_by_hand_stays_a_finding(tmp_path: Path) -> None:
    """A deletion that the chain did not learn of before it happened cannot be made right afterwards."""
    (path,) = log_of_days(tmp_path, 0)
    path.unlink()
    assert expire(tmp_path, WEEK, now=100 * DAY).expired == ()
    assert [kind for _, kind, _ in verified(tmp_path).damages()] == ["deleted"]


def test_a_crash_between_any_two_steps_is_finished_by_the_next_expiry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every N: die at the N-th call; no file is gone that the chain does not know of, and in the end all are."""
    wanted, calls = 0, 1
    while wanted <= calls:
        wanted += 1
        live = tmp_path / f"{wanted}"
        old = log_of_days(live, 0, 1)
        log_of_days(live, 100)
        with monkeypatch.context() as patch:
            made = crash_at(patch, wanted, torn=True)
            try:
                expire(live, WEEK, now=101 * DAY)
            except Crash:
                calls = wanted
            else:
                calls = made()
        assert verified(live).damages() == [], wanted
        expire(live, WEEK, now=101 * DAY)
        assert not any(path.exists() for path in old)
        assert verified(live).findings == (), wanted
        assert len(read_chain(live).expired) == 2
    assert wanted > 6


def test_a_crash_right_before_the_files_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry is the commit point: until the next expiry the file is there, named, and no damage."""
    (old,) = log_of_days(tmp_path, 0)

    def die(_: Path) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", die)
        with pytest.raises(Crash):
            expire(tmp_path, WEEK, now=100 * DAY)
    assert old.exists()
    assert (verified(tmp_path).damages(), verified(tmp_path).notes()) == ([], ["not yet deleted"])
    assert expire(tmp_path, WEEK, now=100 * DAY).expired == ()
    assert not old.exists()


def test_an_expiry_of_what_was_never_sealed_is_damage(tmp_path: Path) -> None:
    """An entry "expired" without its entry "sealed" vouches for nothing."""
    log_of_days(tmp_path, 0)
    expire(tmp_path, WEEK, now=100 * DAY)
    chain = tmp_path / "manifests.jsonl"
    sealed, expired = chain.read_bytes().splitlines(keepends=True)
    chain.write_bytes(expired)
    assert "false expiry" in [kind for _, kind, _ in verified(tmp_path).damages()]
    assert sealed


def test_the_commands_expire_and_warn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`expire` says what went and the new head; `seal` warns of a disk that is four fifths full."""
    live = tmp_path / "live"
    (path,) = log_of_days(live, 0)
    monkeypatch.setenv("SENTINEL_PATHS_DATA", str(tmp_path))
    assert main(["expire"]) == 0
    assert "retention is off" in capsys.readouterr().out
    monkeypatch.setenv("SENTINEL_LOG_RETENTION_DAYS", "7")
    assert main(["expire", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert f"expired {path.relative_to(live)}: older than 7 days" in out
    assert f"head {read_chain(live).head}" in out
    assert 0 < disk_used_ratio(live) < 1
    monkeypatch.setattr(retention, "DISK_WARNING_RATIO", 0.0)
    assert main(["seal", "--quiet"]) == 0
    assert "full; when it is full, predictions are refused" in capsys.readouterr().out
