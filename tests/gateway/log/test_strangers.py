"""What is called like a segment and is none: every command names it, and none waits for it or stops at it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.log.manifest import FILE, UnreadableChain, read_chain
from gateway.log.retention import expire
from gateway.log.settings import LogSettings
from tests.gateway.log.sealed import seal_all, sealed_entries, verified, write_segment
from tests.running import Place

DAY = 86400
HANGS_AFTER_SECONDS = 30


def fifo(path: Path) -> None:
    """Opening it waits for a writer."""
    os.mkfifo(path)


def link_to_fifo(path: Path) -> None:
    """The same behind a link."""
    os.mkfifo(path.with_suffix(".fifo"))
    path.symlink_to(path.with_suffix(".fifo"))


def link_to_file(path: Path) -> None:
    """A link is not what a gateway wrote, whatever it points to."""
    path.with_suffix(".file").write_bytes(b"elsewhere\n")
    path.symlink_to(path.with_suffix(".file"))


def dangling_link(path: Path) -> None:
    """A link to nothing."""
    path.symlink_to("nowhere")


def folder(path: Path) -> None:
    """A folder."""
    path.mkdir()


def unix_socket(path: Path) -> None:
    """A socket that nobody listens on. Its address has at most 108 bytes, so it is bound from inside."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def device(path: Path) -> None:
    """A device that never ends."""
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("making a device needs root")


Make = Callable[[Path], None]
STRANGERS: tuple[Make, ...] = (fifo, link_to_fifo, link_to_file, dangling_link, folder, unix_socket, device)


def stranger(live: Path, make: Make) -> Path:
    """Something that is called like a segment, beside the segments."""
    path = write_segment(live, 0)
    path.unlink()
    make(path)
    return path


def in_place_of(path: Path, make: Make) -> None:
    """Something else where a segment was."""
    path.unlink()
    make(path)


@pytest.mark.parametrize("make", STRANGERS)
def test_the_commands_name_it_and_go_on(tmp_path: Path, make: Make) -> None:
    """Real processes: sealing and verifying end, name it, exit with 1, and do their work on the others."""
    place = Place(tmp_path)
    live = place.paths.live
    good = write_segment(live, 5)
    strange = stranger(live, make).relative_to(live)
    sealing = place.run("-m", "gateway.log", "seal", timeout=HANGS_AFTER_SECONDS)
    assert (sealing.returncode, sealing.stderr) == (1, f"not sealed: {strange}: is no regular file\n")
    assert [entry.path for entry in sealed_entries(live)] == [good.relative_to(live).as_posix()]
    verifying = place.run("-m", "gateway.log", "verify", timeout=HANGS_AFTER_SECONDS)
    assert verifying.returncode == 1
    assert f"{strange}: unreadable: is no regular file\n" in verifying.stdout
    assert "1 segments (1 sealed), 5 rows" in verifying.stdout


@pytest.mark.parametrize("make", STRANGERS)
def test_in_the_place_of_a_sealed_segment_it_hides_no_loss(tmp_path: Path, make: Make) -> None:
    """Verifying names it and what is missing; retention keeps it, as it keeps everything that was not sealed so."""
    place = Place(tmp_path, settings={"SENTINEL_LOG_RETENTION_DAYS": "1"})
    live = place.paths.live
    lost, old = write_segment(live, 5), write_segment(live, 5)
    seal_all(live)
    in_place_of(lost, make)
    kinds = [(name, kind) for name, kind, _ in verified(live).damages() if name == lost.name]
    assert kinds == [(lost.name, "unreadable"), (lost.name, "deleted")]
    expiring = place.run("-m", "gateway.log", "expire", timeout=HANGS_AFTER_SECONDS)
    assert (expiring.returncode, expiring.stderr) == (1, f"kept {lost.relative_to(live)}: is no regular file\n")
    assert os.path.lexists(lost)
    assert not old.exists()


def test_a_folder_in_the_place_of_an_expired_segment_stops_no_expiry(tmp_path: Path) -> None:
    """It cannot be deleted as a file is; it is named, and what else is due goes."""
    old = write_segment(tmp_path, 5)
    seal_all(tmp_path)
    limit = LogSettings(retention_days=1)
    assert len(expire(tmp_path, limit, now=9 * DAY).expired) == 1
    old.mkdir()
    later = write_segment(tmp_path, 5, first=9 * DAY)
    seal_all(tmp_path)
    done = expire(tmp_path, limit, now=99 * DAY)
    assert [(failure.path, failure.reason) for failure in done.failures] == [
        (old.relative_to(tmp_path).as_posix(), "Is a directory")
    ]
    assert [tmp_path / entry.path for entry in done.expired] == [later]
    assert not later.exists()


@pytest.mark.parametrize("make", [fifo, link_to_fifo, folder, unix_socket])
def test_a_chain_that_is_no_regular_file_is_unreadable_at_once(tmp_path: Path, make: Make) -> None:
    """Whoever reads the chain is told so, and the commands stop with the reason."""
    place = Place(tmp_path)
    live = place.paths.live
    write_segment(live, 1)
    make(live / FILE)
    with pytest.raises(UnreadableChain, match="is no regular file"):
        read_chain(live)
    for command in ("seal", "verify"):
        done = place.run("-m", "gateway.log", command, timeout=HANGS_AFTER_SECONDS)
        assert done.returncode == 1, done
        assert "Traceback" not in done.stderr
        assert FILE in done.stdout + done.stderr
