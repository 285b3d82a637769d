"""A Parquet copy of each sealed segment: reading it again costs neither checksums nor a CSV parser.

`data/state/columns/<segment id>.parquet` holds every column but `seq` and `crc32`, in the order of the file, as
`drift_engine.reading.parsing` returns them; `<segment id>.crc32` beside it holds checksums of its parts, since
Parquet's own leave headers out: whoever needs few columns reads and checks those alone. It is made by whoever reads
a sealed segment first. It is a cache and nothing else: a copy that is absent, damaged, or not of the bytes that
were sealed, is made anew; deleting one costs time. A segment with a value that does not parse gets none: such rows
are judged where they are.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from drift_engine.reading.parsing import arrow_type, no_rows, parse
from gateway.files import make_dirs, open_regular, read_regular, replaced_atomically, write_atomically
from gateway.log.line import LogColumn
from gateway.log.manifest import Sealed
from gateway.log.reader import Damage, SegmentStream

_LOG = logging.getLogger(__name__)

FORMAT_VERSION = 3
#: Places of damage that a copy lists, with the times around them; it counts all.
DAMAGE_KEPT_MAX = 1000
#: Copies that no run has used for so long are deleted.
UNUSED_SECONDS_MAX = 7 * 24 * 3600.0
#: A temporary file this old was left behind by a process that was killed.
_ABANDONED_SECONDS = 3600.0
_LEFT_OUT = ("seq", "crc32")
_NOTE_KEY = b"sentinelml"
_ROW_GROUP_BYTES = 32 << 20
#: Texts that every row has its own of; a dictionary of them would be larger than they are.
_DISTINCT = ("request_id", "client_id")
#: A Parquet file ends with the length of its footer and these bytes.
_END, _END_BYTES = b"PAR1", 8

#: Reading with start <= time < end, as microseconds since the epoch; None is unbounded.
Span = tuple[int | None, int | None]


@dataclass(frozen=True)
class Copied:
    """Rows of a sealed segment inside a span, and the damage that the whole segment has.

    `tables` have the requested columns as `parsing.parse` returns them, but texts may be dictionary-encoded.
    """

    tables: tuple[pa.Table, ...]
    damage: tuple[Damage, ...]
    damaged: int


class _Note(msgspec.Struct, frozen=True):
    """What a copy says of itself, in the Parquet file's metadata."""

    format_version: int
    sha256: str
    columns: tuple[tuple[str, str], ...]
    rows: int
    damaged: int
    damage: tuple[Damage, ...]


class _Checksums(msgspec.Struct, frozen=True):
    """CRC-32 of the parts of a copy: its footer, and each column of each row group."""

    footer: int
    columns: tuple[tuple[int, ...], ...]


class _NoCopy(Exception):
    """There is no copy, or none that can be used, or none can be made; the text says why."""


class ColumnCache:
    """The copies in one folder. `folder` is made with the first of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(
        self, path: Path, sealed: Sealed, columns: Sequence[LogColumn], names: Sequence[str], time_name: str, span: Span
    ) -> Copied | None:
        """The rows of the sealed segment at `path` whose time lies in `span`, making the copy if need be.

        Args:
            sealed: the segment's entry in the manifest chain.
            columns: the log's columns; `names` are the ones wanted, `time_name` the one that `span` bounds.

        Returns:
            None when there is no copy and none can be made; then the segment itself must be read.
        """
        copy = self.folder / f"{sealed.segment_id}.parquet"
        with contextlib.suppress(_NoCopy):
            return _read(copy, sealed, columns, names, time_name, span)
        try:
            _make(copy, path, sealed, columns)
            return _read(copy, sealed, columns, names, time_name, span)
        except (_NoCopy, OSError, pa.ArrowException) as error:
            _LOG.warning("no columnar copy of %s: %s", path.name, error)
            return None

    def prune(self, sealed_ids: Collection[str]) -> None:
        """Delete copies of segments that are not `sealed_ids` (any more), and what no run used for long."""
        now = time.time()
        for file in self.folder.iterdir() if self.folder.is_dir() else ():
            abandoned = file.name.startswith(".tmp-")
            patience = _ABANDONED_SECONDS if abandoned else UNUSED_SECONDS_MAX
            # A missing file was deleted by another run at the same time.
            with contextlib.suppress(OSError):
                if file.stat().st_mtime < now - patience or not (abandoned or file.stem in sealed_ids):
                    file.unlink()


def _read(
    copy: Path, sealed: Sealed, columns: Sequence[LogColumn], names: Sequence[str], time_name: str, span: Span
) -> Copied:
    try:
        # Opened first by ourselves: pyarrow would wait for a FIFO. Mapped, so that the file is neither copied nor
        # held: all that is kept are the columns wanted.
        os.close(open_regular(copy))
        with pa.memory_map(str(copy)) as mapped:
            content, sums = mapped.read_buffer(), _read_checksums(copy)
            if zlib.crc32(_footer(content)) != sums.footer:
                raise _NoCopy("is damaged")
            with _opened(mapped, columns) as file:
                note = _checked_note(file, sealed, columns)
                _check_columns(file, content, sums, {*names, time_name})
                tables = tuple(_tables(file, names, time_name, span))
        for part in (copy, _checksum_file(copy)):
            # The file's time says when it was last of use.
            os.utime(part)
    except (OSError, pa.ArrowException, LookupError) as error:
        raise _NoCopy(str(error)) from None
    return Copied(tables, note.damage, note.damaged)


def _opened(mapped: pa.MemoryMappedFile, columns: Sequence[LogColumn]) -> pq.ParquetFile:
    texts = [column.name for column in columns if column.type == "text" and column.name not in _DISTINCT]
    return pq.ParquetFile(mapped, read_dictionary=texts)


def _footer(content: pa.Buffer) -> pa.Buffer:
    """What says where everything is, with the length and the mark behind it."""
    end = content.slice(max(0, content.size - _END_BYTES)).to_pybytes()
    size = _END_BYTES + int.from_bytes(end[:4], "little")
    if end[4:] != _END or size > content.size:
        raise _NoCopy("is cut off")
    return content.slice(content.size - size)


def _chunk_checksums(file: pq.ParquetFile, content: pa.Buffer, columns: Iterable[int], group: int) -> Iterator[int]:
    for column in columns:
        chunk = file.metadata.row_group(group).column(column)
        begin = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
        yield zlib.crc32(content.slice(begin, chunk.total_compressed_size))


def _check_columns(file: pq.ParquetFile, content: pa.Buffer, sums: _Checksums, names: Collection[str]) -> None:
    wanted = [place for place, name in enumerate(file.schema_arrow.names) if name in names]
    for group in range(file.num_row_groups):
        expected = [sums.columns[group][place] for place in wanted]
        if list(_chunk_checksums(file, content, wanted, group)) != expected:
            raise _NoCopy("is damaged")


def _read_checksums(copy: Path) -> _Checksums:
    try:
        return msgspec.json.decode(read_regular(_checksum_file(copy)), type=_Checksums)
    except msgspec.MsgspecError as error:
        raise _NoCopy(str(error)) from None


def _checksums(copy: Path) -> _Checksums:
    """Of a copy as it is on disk."""
    with pa.memory_map(str(copy)) as mapped, pq.ParquetFile(mapped) as file:
        content, every = mapped.read_buffer(), range(file.metadata.num_columns)
        groups = range(file.num_row_groups)
        columns = tuple(tuple(_chunk_checksums(file, content, every, group)) for group in groups)
        return _Checksums(zlib.crc32(_footer(content)), columns)


def _checksum_file(copy: Path) -> Path:
    return copy.with_suffix(".crc32")


def _checked_note(file: pq.ParquetFile, sealed: Sealed, columns: Sequence[LogColumn]) -> _Note:
    try:
        note = msgspec.json.decode((file.metadata.metadata or {})[_NOTE_KEY], type=_Note)
    except msgspec.MsgspecError as error:
        raise _NoCopy(str(error)) from None
    expected = _kept(columns)
    if note.format_version != FORMAT_VERSION or note.columns != tuple((c.name, c.type) for c in expected):
        raise _NoCopy("was made for other columns or by another version")
    if note.sha256 != sealed.sha256 or note.rows != file.metadata.num_rows:
        raise _NoCopy("is not of the segment as it was sealed")
    return note


def _tables(file: pq.ParquetFile, names: Sequence[str], time_name: str, span: Span) -> Iterator[pa.Table]:
    wanted = list(dict.fromkeys([*names, time_name]))
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=wanted)
        inside = _inside(table[time_name], span)
        if inside is not None:
            table = table.filter(inside)
        if table.num_rows:
            yield table.select(list(names))


def _inside(times: pa.ChunkedArray, span: Span) -> pa.Array | None:
    """Which rows lie in the span; None when all do."""
    numbers = pc.cast(times, pa.int64())
    start, end = span
    extremes = pc.min_max(numbers)
    first, last = extremes["min"].as_py(), extremes["max"].as_py()
    if first is None or ((start is None or first >= start) and (end is None or last < end)):
        return None
    inside = pa.scalar(True)
    if start is not None:
        inside = pc.and_(inside, pc.greater_equal(numbers, start))
    if end is not None:
        inside = pc.and_(inside, pc.less(numbers, end))
    return inside


def _make(copy: Path, path: Path, sealed: Sealed, columns: Sequence[LogColumn]) -> None:
    make_dirs(copy.parent)
    stream = SegmentStream(path, columns, damage_listed_max=DAMAGE_KEPT_MAX)
    kept = _kept(columns)
    names = [column.name for column in kept]
    schema = pa.schema([(column.name, arrow_type(column)) for column in kept])
    with (
        replaced_atomically(copy) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            use_dictionary=[column.name for column in kept if column.type == "text" and column.name not in _DISTINCT],
            compression="lz4",
        ) as writer,
    ):
        for table in _in_groups(_parsed(stream, columns, names), no_rows(columns, names)):
            writer.write_table(table, row_group_size=max(1, table.num_rows))
        if stream.sha256 != sealed.sha256:
            raise _NoCopy("the segment is not as it was sealed")
        note = _Note(
            FORMAT_VERSION,
            stream.sha256,
            tuple((column.name, column.type) for column in kept),
            stream.rows,
            stream.damaged,
            tuple(stream.damage),
        )
        writer.add_key_value_metadata({_NOTE_KEY: msgspec.json.encode(note)})
    # Last: a copy without the right checksum is none.
    write_atomically(_checksum_file(copy), msgspec.json.encode(_checksums(copy)))


def _parsed(stream: SegmentStream, columns: Sequence[LogColumn], names: Sequence[str]) -> Iterator[pa.Table]:
    for block in stream:
        parsed = parse(stream.header + block, columns, names)
        if parsed.rejected.num_rows or parsed.unreadable_lines:
            raise _NoCopy("the segment holds values that do not parse")
        yield parsed.table


def _in_groups(tables: Iterator[pa.Table], nothing: pa.Table) -> Iterator[pa.Table]:
    """Join small tables, so that a row group is large enough to be read at once and small enough to be held."""
    group = [nothing]
    for table in tables:
        group.append(table)
        if sum(part.nbytes for part in group) >= _ROW_GROUP_BYTES:
            yield pa.concat_tables(group)
            group = [nothing]
    if len(group) > 1:
        yield pa.concat_tables(group)


def _kept(columns: Sequence[LogColumn]) -> list[LogColumn]:
    return [column for column in columns if column.name not in _LEFT_OUT]
