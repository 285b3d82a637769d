"""Any sequence of appends, rotations, restarts, crashes and faults, against a perfect log in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from benchmarks.disks import FAULTS, Fault, FaultyDisk
from gateway.log import predictions
from gateway.log.writer import SegmentWriter
from tests.faults.script import Life, check_promise, folder, is_ready
from tests.gateway.log.rows import HEADER


class WriterLife(RuleBasedStateMachine):
    """What a log directory goes through. The model is `Life`: what was tried, and what was acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self._scratch = tempfile.TemporaryDirectory(prefix="sentinelml-life-")
        self.root = Path(self._scratch.name)
        self.life = Life()
        self.now = 0.0
        self.disk = FaultyDisk()
        self.writer = self._start()

    def _start(self) -> SegmentWriter:
        return SegmentWriter(
            folder(self.root),
            predictions.PREFIX,
            HEADER,
            durable=False,
            bytes_max=1000,
            age_seconds_max=60,
            clock=lambda: 0.0,
            monotonic=lambda: self.now,
            files=self.disk,
        )

    @rule(count=st.integers(1, 12))
    def append(self, count: int) -> None:
        """A request with some rows."""
        self.life.append(self.writer, count)

    @rule(seconds=st.sampled_from([1, 59, 60]))
    def wait(self, seconds: int) -> None:
        """Time goes by, and the watcher looks in."""
        self.now += seconds
        self.writer.tick()

    @rule()
    def ask_readiness(self) -> None:
        """Readiness never harms the log, whatever it answers."""
        is_ready(self.writer)

    @rule(ahead=st.integers(1, 12), fault=st.sampled_from(FAULTS), lasts=st.integers(1, 5))
    def break_disk(self, ahead: int, fault: Fault, lasts: int) -> None:
        """One of the next calls fails, and perhaps some after it."""
        self.disk.fail(len(self.disk.calls) + ahead, fault, lasts)

    @rule()
    def mend_disk(self) -> None:
        """A row is recorded as soon as the disk is well again."""
        self.disk.heal()
        assert self.life.append(self.writer)

    @rule(torn=st.integers(0, 40), orderly=st.booleans())
    def restart(self, torn: int, orderly: bool) -> None:
        """The process ends, or is killed in the middle of a write, and another one starts on the same folder."""
        segment = self.writer._segment
        self.disk.heal()
        self.writer.close()
        if segment is not None and not orderly:
            with open(segment.path, "ab") as stream:
                stream.write(b"7,torn line that was never acknowledged,123"[:torn])
        self.writer = self._start()

    @invariant()
    def keeps_its_promise(self) -> None:
        """Acknowledged implies logged, once, with equal content; nothing is invented."""
        check_promise(self.life, self.root)

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.writer.close()
        self._scratch.cleanup()


TestWriterLife = WriterLife.TestCase
TestWriterLife.settings = settings(max_examples=25, stateful_step_count=20, deadline=None, print_blob=True)
