"""Workers come and go; what they counted stays, in a folder that does not grow."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from gateway import metrics_folder
from gateway.metrics_folder import collect, fold, prepare
from tests.models import register_numbers
from tests.processes import children
from tests.running import Place, gateway, gateway_metrics, request
from tests.tools import wait_until

ROW = {f"x{index}": 0.5 for index in range(5)}


def leave(folder: Path, pid: int, predictions: float) -> None:
    """The files that a worker of this number leaves behind."""
    spec, histogram = metrics_folder.PREDICTIONS, metrics_folder.INFERENCE_SECONDS
    counter = MmapedDict(str(folder / f"counter_{pid}.db"))
    counter.write_value(mmap_key(spec.name, spec.name, spec.labels, ("m", "1", "yes"), spec.about), predictions, 0.0)
    counter.close()
    durations = MmapedDict(str(folder / f"histogram_{pid}.db"))
    for sample, labels, value in (("_sum", {}, 0.5 * predictions), ("_bucket", {"le": "1.0"}, predictions)):
        names, values = (*histogram.labels, *labels), ("m", "1", *labels.values())
        key = mmap_key(histogram.name, histogram.name + sample, names, values, histogram.about)
        durations.write_value(key, value, 0.0)
    durations.close()


def samples(families: list[Metric]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels."""
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def counted(folder: Path) -> float:
    """The predictions counted by all workers, alive or gone."""
    return sum(value for (name, _), value in samples(collect(folder)).items() if name == "model_predictions_total")


def test_a_fold_changes_no_sum(tmp_path: Path) -> None:
    """Again and again: what is gone is in one file of each kind, what lives is left alone."""
    folder = tmp_path / "metrics"
    prepare(folder)
    leave(folder, 7, 1.5)
    for pid in range(100, 140):
        leave(folder, pid, pid)
        before = samples(collect(folder))
        fold(folder, is_alive=lambda pid: pid == 7)
        assert samples(collect(folder)) == before
    assert sorted(path.name for path in folder.iterdir()) == [
        "counter_0.db",
        "counter_7.db",
        "histogram_0.db",
        "histogram_7.db",
    ]
    assert counted(folder) == 1.5 + sum(range(100, 140))


def test_no_scrape_sees_a_fold(tmp_path: Path) -> None:
    """Neither twice nor missing: a counter that dips would be taken for a restart and doubled."""
    folder = tmp_path / "metrics"
    prepare(folder)
    leave(folder, 7, 1)
    seen: list[float] = []
    stop = threading.Event()

    def scrape() -> None:
        while not stop.is_set():
            seen.append(counted(folder))

    scraper = threading.Thread(target=scrape)
    scraper.start()
    for pid in range(100, 160):
        leave(folder, pid, 1)
        before = len(seen)
        wait_until(lambda before=before: len(seen) > before, 10, "a scrape")  # type: ignore[misc]
        fold(folder, is_alive=lambda pid: pid == 7)
    stop.set()
    scraper.join()
    assert seen == sorted(seen)
    assert counted(folder) == 61


def test_a_scrape_that_hangs_delays_a_fold_and_nothing_else(tmp_path: Path) -> None:
    """The master never waits for the exporter; the next fold catches up."""
    folder = tmp_path / "metrics"
    prepare(folder)
    leave(folder, 100, 1)
    reader = os.open(folder, os.O_RDONLY)
    fcntl.flock(reader, fcntl.LOCK_SH)
    fold(folder, is_alive=lambda _: False)
    assert (folder / "counter_100.db").exists()
    os.close(reader)
    leave(folder, 101, 2)
    fold(folder, is_alive=lambda _: False)
    assert sorted(path.name for path in folder.iterdir()) == ["counter_0.db", "histogram_0.db"]
    assert counted(folder) == 3


def test_a_damaged_file_is_left_for_the_exporter_to_report(tmp_path: Path) -> None:
    """It is not folded, not removed, and takes nothing along."""
    folder = tmp_path / "metrics"
    prepare(folder)
    leave(folder, 100, 1)
    (folder / "counter_101.db").write_bytes(b"\xff\xff\xff\x7f" + b"\xff" * 4092)
    fold(folder, is_alive=lambda _: False)
    unreadable: list[Path] = []
    collect(folder, unreadable.append)
    assert [path.name for path in unreadable] == ["counter_101.db"]
    assert counted(folder) == 1


def test_killed_workers_leave_their_counts_and_no_files(tmp_path: Path) -> None:
    """With the real gateway: kill -9 of each worker after each answer, and every answer stays counted."""
    place = Place(tmp_path, settings={"SENTINEL_GATEWAY_WORKERS": "1"})
    register_numbers(place.registry, tmp_path / "in", rows=300)

    def total() -> float:
        return gateway_metrics(place).get("model_predictions_total", 0)

    with gateway(place) as running:
        for killed in range(1, 4):
            wait_until(lambda: request(place.gateway_port, "POST", "/predict", ROW).status == 200, 30, "an answer")
            wait_until(lambda killed=killed: total() == killed, 10, "it to be counted")  # type: ignore[misc]
            (pid,) = children(running.process.pid)
            os.kill(pid, signal.SIGKILL)
            gone = place.paths.gateway_metrics / f"counter_{pid}.db"
            wait_until(lambda gone=gone: not gone.exists(), 10, "its files to be folded")  # type: ignore[misc]
            assert total() == killed
