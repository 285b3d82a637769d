"""Any sequence of predictions, labels, imports, seals and runs, against a perfect log of labels in memory."""

from __future__ import annotations

import csv
import tempfile
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from drift_engine.labels.join import LEAD_SECONDS
from drift_engine.labels.look_back import Wanted
from drift_engine.reading.columnar import ColumnCache
from drift_engine.reading.live_log import LiveRows, read_live
from gateway.clock import parse_utc, utc_text
from gateway.import_labels import import_labels
from gateway.log import labels, predictions
from gateway.log.line import header_line
from gateway.log.seal import seal
from gateway.log.writer import SegmentWriter
from gateway.serving.validation import LabelInput
from gateway.settings import GatewaySettings
from tests.drift_engine.scenario import NOW, Scenario

HOUR, DAY = 3600, 86400
#: Ids that clients give their requests; some twice.
CLIENT_IDS = [None, "order 1", "order 2", "order 3", "order 4"]
REACH_DAYS = 12


@dataclass(frozen=True)
class Made:
    """A prediction, as the client knows it."""

    request_id: str
    client_id: str | None
    instance: int
    at: float


@dataclass(frozen=True)
class Line:
    """A line of the label log."""

    request_id: str | None
    client_id: str | None
    instance: int
    label: str
    at: float

    @property
    def key(self) -> tuple[str | None, str | None, int]:
        """What it names its prediction by."""
        return self.request_id, self.client_id, self.instance

    def names(self, made: Made) -> bool:
        """Whether it is for that prediction."""
        same = self.request_id == made.request_id or (self.client_id is not None and self.client_id == made.client_id)
        return same and self.instance == made.instance and self.at >= made.at - LEAD_SECONDS


class LabelLife(RuleBasedStateMachine):
    """What the logs of a model go through; the model of it is `made` and `lines`, in the order of the log."""

    def __init__(self) -> None:
        super().__init__()
        self._scratch = tempfile.TemporaryDirectory(prefix="sentinelml-labels-")
        self.place = Scenario(Path(self._scratch.name))
        self.now = NOW
        self.made: list[Made] = []
        self.lines: list[Line] = []
        card = self.place.card
        self.encoder = labels.LabelEncoder(card)
        self.input = LabelInput(card, instances_max=100, text_length_max=100)

    def teardown(self) -> None:
        """Leave nothing behind."""
        self._scratch.cleanup()

    @rule(instances=st.integers(1, 3), client_id=st.sampled_from(CLIENT_IDS))
    def predict(self, instances: int, client_id: str | None) -> None:
        """A request of some instances."""
        card, request_id = self.place.card, str(uuid.UUID(int=len(self.made) + 1, version=4))
        encode = predictions.PredictionEncoder(card).encode
        features = [1.5, 30, "de", True, None]
        moment = utc_text(self.now)
        self._append(
            predictions.folder(self.place.paths.live, card.name, card.version),
            predictions.PREFIX,
            header_line(predictions.columns(card)),
            [
                encode(request_id, moment, at, client_id, features, "yes", 0.75, [0.25, 0.75], 1.5)
                for at in range(instances)
            ],
        )
        self.made += [Made(request_id, client_id, at, self.now) for at in range(instances)]
        self._tick()

    @rule(data=st.data(), label=st.sampled_from(["yes", "no"]), by_client=st.booleans())
    def feed_back(self, data: st.DataObject, label: str, by_client: bool) -> None:
        """A label by /feedback: judged, encoded and appended as the gateway does; at times for what nobody has."""
        found = self.input.load({**self._named(data, by_client), "label": label})
        assert not isinstance(found, list)
        self._record(Line(found.request_id, found.client_id, found.instance, str(found.label), self.now))
        self._tick()

    @rule(data=st.data(), count=st.integers(1, 4), by_client=st.booleans())
    def import_file(self, data: st.DataObject, count: int, by_client: bool) -> None:
        """A file of labels: what the log says already is not recorded again."""
        found = {}
        for _ in range(count):
            named = self._named(data, by_client)
            label = data.draw(st.sampled_from(["yes", "no"]))
            line = Line(named.get("request_id"), named.get("client_id"), named["instance"], label, self.now)
            found.setdefault(line.key, line)
        path = self.place.root / "labels.csv"
        with open(path, "w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["request_id", "client_id", "instance", "label"])
            writer.writerows([[*line.key, line.label] for line in found.values()])
        done = import_labels(path, self.place.card, self.place.paths, GatewaySettings(), clock=lambda: self.now)
        fresh = [line for line in found.values() if self._newest(line.key) != line.label]
        assert (done.recorded, done.known) == (len(fresh), len(found) - len(fresh))
        self.lines += fresh
        self._tick()

    @rule(hours=st.sampled_from([1, 20, 30, 24 * 6]))
    def wait(self, hours: int) -> None:
        """Labels come late."""
        self.now += hours * HOUR

    @rule()
    def seal(self) -> None:
        """What is sealed is read from its copies."""
        assert not seal(self.place.paths.live, lambda: self.now).failures

    @invariant()
    def look_for_all(self) -> None:
        """More rows are wanted than there are: every label is found."""
        self.look(1000)

    @rule(rows=st.sampled_from([0, 1, 3, 6]))
    def look(self, rows: int) -> None:
        """A scheduled run's reading: every figure is that of the model."""
        end, start = utc_text(self.now), utc_text(self.now - DAY)
        found = read_live(
            self.place.paths.live,
            self.place.card,
            cache=ColumnCache(self.place.paths.state / "columns"),
            span_start=start,
            window_start=utc_text(self.now - HOUR),
            end=end,
            wanted=Wanted(rows, utc_text(self.now - REACH_DAYS * DAY)),
        )
        since = parse_utc(found.labels.since)
        self._check_counts(found, since)
        if found.labels.labelled < rows:
            # Nothing was missed: any other label is for nobody, or too old.
            reached = [made for made in self.made if made.at >= self.now - REACH_DAYS * DAY]
            assert found.labels.labelled == sum(self._label(made) is not None for made in reached)
        assert self._measured(found) == [
            self._label(made) for made in self._ordered(since) if made.at >= self.now - DAY or self._label(made)
        ]

    def _check_counts(self, found: LiveRows, since: float) -> None:
        counts, seen = found.labels, self._ordered(since)
        histories = [self._history(made) for made in seen]
        named = {id(line) for history in histories for line in history}
        effective = {
            id(line)
            for history in histories
            for before, line in zip([None, *history], history, strict=False)
            if before is None or before.label != line.label
        }
        corrected = sum(len({line.label for line in history}) > 1 for history in histories)
        newest = [(made, history[-1]) for made, history in zip(seen, histories, strict=True) if history]
        assert (counts.predictions, counts.labelled) == (len(seen), len(newest))
        assert counts.coverage == (len(newest) / len(seen) if seen else None)
        assert (counts.received, counts.repeated) == (len(named), len(named - effective))
        assert counts.corrected == corrected
        in_window = [line for line in self.lines if self.now - HOUR <= line.at < self.now]
        assert counts.elsewhere == sum(id(line) not in named for line in in_window)
        delays = [line.at - made.at for made, line in newest]
        if delays:
            assert counts.delay_seconds is not None
            assert counts.delay_seconds.p50 == pytest.approx(float(np.median(delays)))
            assert (counts.delay_seconds.minimum, counts.delay_seconds.maximum) == (min(delays), max(delays))
            latest = max(line.at for _, line in newest)
            assert counts.newest_received_at == utc_text(latest)
            assert counts.newest_age_seconds == self.now - latest
        else:
            assert counts.delay_seconds is counts.newest_received_at is counts.newest_age_seconds is None

    def _measured(self, found: LiveRows) -> list[str | None]:
        """The labels that quality is measured on."""
        column: Any = found.quality.columns["label"]
        return list(column.texts())

    def _ordered(self, since: float) -> list[Made]:
        """Predictions from then on, in the order of a run."""
        found = [made for made in self.made if since <= made.at < self.now]
        return sorted(found, key=lambda made: (made.at, made.request_id, made.instance))

    def _history(self, made: Made) -> list[Line]:
        """The lines for a prediction; the clock never goes back here, so they are in order."""
        return [line for line in self.lines if line.names(made)]

    def _label(self, made: Made) -> str | None:
        history = self._history(made)
        return history[-1].label if history else None

    def _newest(self, key: tuple[str | None, str | None, int]) -> str | None:
        return next((line.label for line in reversed(self.lines) if line.key == key), None)

    def _named(self, data: st.DataObject, by_client: bool) -> dict[str, Any]:
        """Which prediction a label is for: mostly one that is there."""
        instance = data.draw(st.integers(0, 3))
        if by_client:
            return {"client_id": data.draw(st.sampled_from([*CLIENT_IDS[1:], "order 9"])), "instance": instance}
        strangers = [str(uuid.UUID(int=10**9, version=4))]
        known = sorted({made.request_id for made in self.made})[-6:]
        return {"request_id": data.draw(st.sampled_from([*known, *strangers])), "instance": instance}

    def _record(self, line: Line) -> None:
        card = self.place.card
        folder = labels.folder(self.place.paths.live, card.name)
        payload = self.encoder.encode(*line.key, line.label, None, utc_text(line.at))
        self._append(folder, labels.PREFIX, header_line(labels.columns(card)), [payload])
        self.lines.append(replace(line))

    def _append(self, folder: Path, prefix: str, header: bytes, payloads: list[bytes]) -> None:
        writer = SegmentWriter(folder, prefix, header, durable=False, clock=lambda: self.now)
        writer.append(payloads)
        writer.close()

    def _tick(self) -> None:
        """No two things at the same moment: then the files' names would say which label is the newest."""
        self.now += 1


TestLabelLife = LabelLife.TestCase
TestLabelLife.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
