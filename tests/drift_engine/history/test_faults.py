"""Nothing of the history is lost, or made worse, whatever happens."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drift_engine.history.label_index import read_index
from drift_engine.results.days import DayError, DayStore
from gateway.log import retention, seal
from gateway.log.settings import LogSettings
from tests.drift_engine.history.place import (
    DAY,
    NOBODY,
    TODAY,
    anew,
    day_text,
    days,
    history,
    orphaned,
    records,
    said,
    scenario,
)
from tests.drift_engine.scenario import NOW, Scenario, rows
from tests.drift_engine.test_reproduce import registered


def test_what_expired_keeps_its_record_and_nothing_worse_replaces_one(tmp_path: Path) -> None:
    """Its rows to look at go with the log, and what nobody can tell any more is not called an orphan."""
    made, told = scenario(tmp_path)
    made.label(told[3][0], told[3][1], received=NOW - 50)
    history(made)
    before = records(made)
    retention.expire(made.paths.live, LogSettings(retention_days=2.3), NOW)
    gone = [path for path in made.paths.live.glob("loans/1/*") if path.is_file()]
    assert len(gone) == 3
    made.label([told[3][0][0], *NOBODY], ["no"] * 4, received=NOW - 20)
    assert day_text(3) not in days(history(made))
    after = records(made)
    assert after[day_text(3)] == before[day_text(3)]
    store = DayStore(made.paths.reports)
    assert store.reviews("loans", "1") == [day_text(back) for back in (2, 1, 0)]
    assert orphaned(made) is None
    # A segment that was deleted behind our back, and labels that ask for its day.
    victim = next(path for path in made.paths.live.glob("loans/1/*.csv") if day_text(2) in path.read_text())
    victim.unlink()
    made.label(told[2][0][:5], told[2][1][:5], received=NOW - 10)
    history(made)
    assert records(made)[day_text(2)] == before[day_text(2)]


def test_lost_and_damaged_files_are_made_again(tmp_path: Path) -> None:
    """Records, reviews and the index of labels: all from the log, to the same figures."""
    made, told = scenario(tmp_path)
    made.label(told[3][0], told[3][1], received=NOW - 50)
    history(made)
    expected = said(records(made))
    folder = DayStore(made.paths.reports).folder("loans", "1")
    (folder / f"{day_text(3)}.json").unlink()
    (folder / f"{day_text(2)}.json").write_bytes(b'{"model_name": "loa')
    (folder / f"{day_text(1)}.review.json").unlink()
    with pytest.raises(DayError):
        DayStore(made.paths.reports).read("loans", "1", day_text(2))
    assert days(history(made)) == [day_text(back) for back in (3, 2, 1, 0)]
    assert said(records(made)) == expected
    (made.paths.state / "history" / "loans.json").write_bytes(b"[")
    assert days(history(made)) == [day_text(0)]
    assert said(records(made)) == expected
    assert read_index(made.paths.state, "loans").orphaned == 0


@pytest.mark.parametrize("point", range(1, 12))
def test_a_crash_at_any_write_leaves_what_the_next_job_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    """The index, reviews and records are written one after the other; each of them may be the last."""
    made, told = scenario(tmp_path)
    history(made)
    made.label(told[3][0], told[3][1], received=NOW - 50)
    made.label([*told[1][0], *NOBODY], [*told[1][1], *["no"] * 3], received=NOW - 40)
    writes = Writes(point)
    for module in ("drift_engine.results.days", "drift_engine.history.label_index"):
        monkeypatch.setattr(f"{module}.write_atomically", writes)
    with pytest.raises(Crash) if point <= 8 else _nothing():
        history(made)
    monkeypatch.undo()
    history(made)
    assert said(records(made)) == anew(made)
    assert orphaned(made) == 3


class Crash(Exception):
    """The process ends here."""


class Writes:
    """Lets the first writes through; the process dies before the Nth."""

    def __init__(self, point: int) -> None:
        self.left = point

    def __call__(self, target: Path, data: bytes) -> None:
        self.left -= 1
        if not self.left:
            raise Crash
        target.write_bytes(data)


def _nothing() -> Any:
    return contextlib.nullcontext()


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_the_history_is_what_the_logs_say(tmp_path: Path, seed: int) -> None:
    """Answers, labels, corrections, repeats and orphans in any order, a job now and then: as if made from nothing."""
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    made = registered(Scenario(tmp_path).reference(rows(500, 1)))
    ids: list[str] = []
    for step in range(12):
        if step == 0 or rng.random() < 0.5:
            back, count = int(rng.integers(0, 6)), int(rng.integers(1, 60))
            ids += made.log(
                rows(count, step), start=TODAY - back * DAY + 100 * step + 0.5, seconds=float(rng.integers(5, 3600))
            )
        chosen = [str(key) for key in rng.choice([*ids, *NOBODY], int(rng.integers(1, 40)))]
        made.label(chosen, rng.choice(["yes", "no"], len(chosen)).tolist(), received=NOW - 1000 + step)
        seal.seal(made.paths.live, lambda: NOW)
        if rng.random() < 0.5:
            history(made)
    history(made)
    assert said(records(made)) == anew(made)
