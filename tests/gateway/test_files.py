"""Atomic replacement: old or new, never a part, and nothing left behind by a failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.files import (
    NotRegular,
    make_dirs,
    open_regular,
    read_regular,
    replaced_atomically,
    write_all,
    write_atomically,
)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """An open reader keeps the old content, a new one sees the new."""
    target = tmp_path / "file"
    write_atomically(target, b"old")
    with open(target, "rb") as reader:
        write_atomically(target, b"new")
        assert reader.read() == b"old"
    assert target.read_bytes() == b"new"


def test_a_failure_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    """What raised half-way never becomes visible."""
    target = tmp_path / "file"
    write_atomically(target, b"old")

    def fail_half_way() -> None:
        with replaced_atomically(target) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_bytes() == b"old"


def test_a_short_write_is_an_error(tmp_path: Path) -> None:
    """A pipe that takes only a part stands for a disk that does."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(OSError, match="short write"):
        write_all(writer, b"x" * 10_000_000)
    os.close(reader)
    os.close(writer)


def test_folders_are_made_with_their_parents_and_twice_is_fine(tmp_path: Path) -> None:
    """Two processes may make the same folder."""
    make_dirs(tmp_path / "a" / "b")
    make_dirs(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_only_regular_files_are_opened_and_nothing_is_waited_for(tmp_path: Path) -> None:
    """A FIFO without a writer, a folder, a link: refused at once, and no descriptor stays open."""
    target, fifo, link = tmp_path / "file", tmp_path / "fifo", tmp_path / "link"
    target.write_bytes(b"content")
    os.mkfifo(fifo)
    link.symlink_to(target)
    assert read_regular(target) == b"content"
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in (fifo, tmp_path, link):
        with pytest.raises(NotRegular, match="is no regular file"):
            open_regular(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "absent")
