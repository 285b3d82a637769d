"""One of the logs, file by file: the rows of a time span, from columnar copies where there are any.

Sealed segments that hold no row of the span are not opened, others are read from their columnar copies; what is
not sealed is streamed. A log may be read several times, for one span after another: a file that grows meanwhile
is read only as far as the first time, so that all of it is one moment's log.

To repeat a run, its recorded inputs are read instead: the same bytes of the same files, whatever was appended since.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import pyarrow as pa

from drift_engine.errors import DriftError
from drift_engine.reading.columnar import DAMAGE_KEPT_MAX, ColumnCache
from drift_engine.reading.columnar import Span as MicrosecondSpan
from drift_engine.reading.parsing import moment, parse
from drift_engine.results.schema import CorruptLine, InputFile
from gateway.log.line import LogColumn
from gateway.log.manifest import Chain, Sealed, UnreadableChain, read_chain
from gateway.log.reader import Damage, SegmentStream
from gateway.log.segment import MissingSegment, UnreadableSegment, parse_name, suspect_path, unreadable

_LOG = logging.getLogger(__name__)

#: Places of damage that a result lists for each file.
DAMAGE_LISTED_MAX = 20
LogName = Literal["predictions", "labels", "refusals"]
_LOGS = get_args(LogName)
#: start <= time < end, both as `gateway.clock` writes them; None is unbounded.
OpenSpan = tuple[str | None, str | None]
#: Called with how many of the log's files are done.
FilesDone = Callable[[int], None]
#: Called with rows of a file.
Take = Callable[[pa.Table], None]
_NOT_AS_SEALED = "the file is not as it was sealed"


class InputGone(DriftError):
    """A file that a run recorded cannot be read any more."""


@dataclass(frozen=True)
class Figures:
    """What one or several of a log's files came to, beside their rows.

    Attributes:
        inputs: the files, as they were read.
        corrupt: of each of them the damaged lines that may belong to the window.
        rejected: rows with values of a wrong type, as text.
        unreadable_lines: lines with a right checksum that are no rows.
        expired_rows: rows of segments that retention deleted after the folder was listed.
        exhausted: segments that hold no row from before the span.
    """

    inputs: tuple[InputFile, ...] = ()
    corrupt: tuple[int, ...] = ()
    rejected: tuple[pa.Table, ...] = ()
    unreadable_lines: int = 0
    expired_rows: int = 0
    exhausted: frozenset[str] = frozenset()

    def with_files_of(self, later: Figures) -> Figures:
        """And the files that another reading of the same log opened; its lines are of no window."""
        known = {_identity(file.path) for file in self.inputs}
        added = [pair for pair in zip(later.inputs, later.corrupt, strict=True) if _identity(pair[0].path) not in known]
        files, corrupt = zip(*added, strict=True) if added else ((), ())
        return dataclasses.replace(
            self,
            inputs=(*self.inputs, *files),
            corrupt=(*self.corrupt, *corrupt),
            exhausted=self.exhausted | later.exhausted,
        )


@dataclass(frozen=True)
class Log:
    """One log of a model. `kind` says which.

    Attributes:
        live: the folder of all logs.
        columns: the log's; `names` those to read; `time_name` the one that spans bound.
        window: damage counts where it may belong to it.
        files: those to read, listed once.
        recorded: how an earlier run read each file, to be read again; empty for a run of its own.
    """

    kind: LogName
    live: Path
    columns: tuple[LogColumn, ...]
    names: Sequence[str]
    time_name: str
    window: OpenSpan
    files: Sequence[Path]
    chain: Chain
    cache: ColumnCache
    recorded: Mapping[Path, InputFile] = field(default_factory=dict)

    def read(
        self, span: OpenSpan, take: Take, done: FilesDone = lambda _: None, before: Figures | None = None
    ) -> Figures:
        """Hand the rows of a span to `take`, table by table, and say what the files came to.

        Args:
            before: what reading a later span came to; None the first time.

        Raises:
            InputGone: a recorded file is not there any more.
        """
        parts = []
        reading = _Reading(self, span, take, before or Figures())
        for number, path in enumerate(self.files):
            done(number)
            parts.append(reading.file(path))
        done(len(self.files))
        return Figures(
            inputs=tuple(file for part in parts for file in part.inputs),
            corrupt=tuple(count for part in parts for count in part.corrupt),
            rejected=tuple(table for part in parts for table in part.rejected),
            unreadable_lines=sum(part.unreadable_lines for part in parts),
            expired_rows=sum(part.expired_rows for part in parts),
            exhausted=frozenset[str]().union(*(part.exhausted for part in parts)),
        )


def chain_of(live: Path) -> Chain:
    """The manifest chain; empty where it cannot be read."""
    try:
        return read_chain(live)
    except UnreadableChain as error:
        # Without it a run takes longer and finds the same.
        _LOG.warning("sealed segments are read in full: %s", error)
        return Chain()


def files_of(
    kind: LogName, listed: Sequence[Path], recorded: Mapping[Path, InputFile] | None
) -> tuple[Sequence[Path], Mapping[Path, InputFile]]:
    """A log's `files` and `recorded`: those in its folder now, or those that a run to be repeated has read."""
    if recorded is None:
        return listed, {}
    return [path for path, file in recorded.items() if file.log == kind], recorded


def recorded_files(live: Path, inputs: Sequence[InputFile] | None) -> dict[Path, InputFile] | None:
    """The recorded files where they are now, in their order; None when nothing is to be repeated. Raises InputGone."""
    if inputs is None:
        return None
    found = {}
    for file in inputs:
        # What could not be read then is not read now, whatever became of it.
        path = live / file.path if not file.segment else located(live, file)
        if path is None:
            raise InputGone(f"{file.path} is gone")
        found[path] = file
    return found


def located(live: Path, file: InputFile) -> Path | None:
    """Where a recorded file is now: its writer may have renamed it since. None when it is gone."""
    path = live / file.path
    renamed = path if not file.segment or parse_name(path).suspect else suspect_path(path)
    return next((place for place in (path, renamed) if place.exists()), None)


def in_order(inputs: Iterable[InputFile]) -> tuple[InputFile, ...]:
    """Files log by log, predictions first, in the order of their names, whatever span each was opened for."""
    return tuple(sorted(inputs, key=lambda file: (_LOGS.index(file.log), _identity(file.path))))


def _identity(path: str) -> str:
    """A file's path as it was before its writer gave it up."""
    return path.replace(".suspect.csv", ".csv")


@dataclass(frozen=True)
class _Reading:
    """One pass over a log's files. `before`: what a pass for a later span came to."""

    log: Log
    span: OpenSpan
    take: Take
    before: Figures

    def file(self, path: Path) -> Figures:
        """Take a file's rows of the span; one that cannot be read is damage. Raises InputGone."""
        try:
            return self._file(path)
        except UnreadableSegment as error:
            if path in self.log.recorded:
                raise InputGone(f"{path.name}: {error.reason}") from None
            if isinstance(error, MissingSegment):
                return self._vanished(path)
            return self._unreadable(path, error.reason)

    def _file(self, path: Path) -> Figures:
        """Raises UnreadableSegment."""
        if path in self.log.recorded:
            return self._again(path, self.log.recorded[path])
        if parse_name(path).segment_id in self.before.exhausted:
            return Figures()
        sealed = self._entry(path)
        if sealed is not None:
            if _is_outside(sealed, self.span):
                return Figures()
            copied = self._from_copy(path, sealed)
            if copied is not None:
                return copied
        return self._from_segment(path, sealed, self._seen(path))

    def _seen(self, path: Path) -> InputFile | None:
        """How the file was read before."""
        place = _identity(path.relative_to(self.log.live).as_posix())
        return next((file for file in self.before.inputs if _identity(file.path) == place and file.segment), None)

    def _again(self, path: Path, was: InputFile) -> Figures:
        """Take what a run took that recorded this file, from the segment itself and not from a copy."""
        if not was.segment:
            return Figures((was,), corrupt=(1,))
        sealed = self._entry(path)
        no_row = sealed is not None and sealed.sha256 == was.sha256 and _is_outside(sealed, self.span)
        if was.segment in self.before.exhausted or (no_row and not was.corrupt_lines):
            return Figures((was,), corrupt=(0,))
        return self._from_segment(path, None, was)

    def _vanished(self, path: Path) -> Figures:
        """What became of a file since the folder was listed: renamed by its writer, expired, or nobody knows."""
        renamed = suspect_path(path)
        if not parse_name(path).suspect and renamed.exists():
            try:
                return Figures() if renamed in self.log.files else self._file(renamed)
            except UnreadableSegment as error:
                return self._unreadable(renamed, error.reason)
        chain = chain_of(self.log.live)
        segment_id = parse_name(path).segment_id
        if segment_id in chain.expired and segment_id in chain.sealed:
            return Figures(expired_rows=chain.sealed[segment_id].rows)
        return self._unreadable(path, MissingSegment(path).reason)

    def _entry(self, path: Path) -> Sealed | None:
        """The manifest of a sealed segment; None for one that is not sealed, or lies where it was not sealed."""
        sealed = self.log.chain.present.get(parse_name(path).segment_id)
        return sealed if sealed is not None and sealed.path == path.relative_to(self.log.live).as_posix() else None

    def _from_copy(self, path: Path, sealed: Sealed) -> Figures | None:
        if _size(path) != sealed.bytes:
            return None
        log = self.log
        start, end = self.span
        span: MicrosecondSpan = (None if start is None else moment(start), None if end is None else moment(end))
        copied = log.cache.read(path, sealed, log.columns, log.names, log.time_name, span)
        if copied is None:
            return None
        for table in copied.tables:
            self.take(table)
        file = self._input(path, sealed.segment_id, sealed.bytes, sealed.sha256, copied.damaged, copied.damage)
        return Figures((file,), (self._corrupt(copied.damaged, copied.damage),))

    def _from_segment(self, path: Path, sealed: Sealed | None, was: InputFile | None) -> Figures:
        """Stream a segment's rows of the span; only the bytes that `was` tells of, if given."""
        log = self.log
        start, end = self.span
        limit = None if was is None else was.bytes_read
        stream = SegmentStream(
            path, log.columns, start=start, end=end, bytes_limit=limit, damage_listed_max=DAMAGE_KEPT_MAX
        )
        tables, rejected, unreadable_lines = [], [], 0
        for block in stream:
            parsed = parse(stream.header + block, log.columns, log.names)
            tables.append(parsed.table)
            unreadable_lines += parsed.unreadable_lines
            if parsed.rejected.num_rows:
                rejected.append(parsed.rejected)
        # Only now: a file that cannot be read to its end counts for nothing.
        for table in tables:
            self.take(table)
        not_as_sealed = was is not None and any(line.reason == _NOT_AS_SEALED for line in was.corrupt[:1])
        damaged, damage = _damage_of(stream, not_as_sealed or (sealed is not None and sealed.sha256 != stream.sha256))
        file = self._input(path, stream.segment_id, stream.bytes_read, stream.sha256, damaged, damage)
        exhausted = frozenset([stream.segment_id]) if stream.rows_before == 0 else frozenset[str]()
        corrupt = (self._corrupt(damaged, damage),)
        return Figures((file,), corrupt, tuple(rejected), unreadable_lines, exhausted=exhausted)

    def _corrupt(self, damaged: int, damage: Sequence[Damage]) -> int:
        """How much of a segment's damage may belong to the window. What is not listed may."""
        return damaged - len(damage) + sum(place.may_be_inside(*self.log.window) for place in damage)

    def _input(
        self, path: Path, segment_id: str, size: int, sha256: str, damaged: int, damage: Sequence[Damage]
    ) -> InputFile:
        return InputFile(
            log=self.log.kind,
            path=path.relative_to(self.log.live).as_posix(),
            segment=segment_id,
            bytes_read=size,
            sha256=sha256,
            corrupt_lines=damaged,
            corrupt=tuple(CorruptLine(place.offset, place.reason) for place in damage[:DAMAGE_LISTED_MAX]),
        )

    def _unreadable(self, path: Path, reason: str) -> Figures:
        nothing = hashlib.sha256().hexdigest()
        place = path.relative_to(self.log.live).as_posix()
        return Figures((InputFile(self.log.kind, place, "", 0, nothing, 1, (CorruptLine(0, reason),)),), corrupt=(1,))


def _is_outside(sealed: Sealed, span: OpenSpan) -> bool:
    """Whether a sealed segment holds no row of the span. One without any intact row may hold what was one."""
    start, end = span
    if sealed.first_timestamp is None or sealed.last_timestamp is None:
        return (start, end) != (None, None) and not sealed.corrupt_lines
    before = start is not None and sealed.last_timestamp < start
    return before or (end is not None and sealed.first_timestamp >= end)


def _size(path: Path) -> int:
    try:
        # Not of what a link points to: a link is no segment, and streaming it says so.
        return path.stat(follow_symlinks=False).st_size
    except OSError as error:
        raise unreadable(path, error) from None


def _damage_of(stream: SegmentStream, not_as_sealed: bool) -> tuple[int, Sequence[Damage]]:
    """How much damage a segment has, and the places of it."""
    if not not_as_sealed:
        return stream.damaged, stream.damage
    # Each line may be right by itself and yet not what was written; `make verify` says more.
    return stream.damaged + 1, [Damage(0, _NOT_AS_SEALED), *stream.damage]
