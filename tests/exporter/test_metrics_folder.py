"""The gateway's metrics folder, written by real processes and read by another."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client import Metric

from gateway import metrics_folder
from gateway.metrics_folder import MetricsFolderError, collect, prepare
from tests.exporter.site import Scrape, Site

ROOT = Path(__file__).resolve().parents[2]
#: What a gateway worker does: the variable first, then prometheus_client, then some counting.
WORKER = """
import sys
from gateway import metrics_folder as folder
assert "prometheus_client" not in sys.modules, "the names can be imported before the variable is set"
import os
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from prometheus_client import Counter, Histogram
predictions = Counter(folder.PREDICTIONS.name, folder.PREDICTIONS.about, folder.PREDICTIONS.labels)
inference = Histogram(
    folder.INFERENCE_SECONDS.name, folder.INFERENCE_SECONDS.about, folder.INFERENCE_SECONDS.labels,
    buckets=folder.DURATION_BUCKETS,
)
predictions.labels("fraud", "1", "yes").inc(float(sys.argv[2]))
inference.labels("fraud", "1").observe(0.003)
"""


def work(folder: Path, predictions: int) -> None:
    """One worker's life: it counts, and leaves its files behind."""
    command = [sys.executable, "-c", WORKER, str(folder), str(predictions)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)


def total(families: list[Metric]) -> float:
    """The predictions counted by all workers."""
    return sum(s.value for family in families for s in family.samples if s.name == "model_predictions_total")


def test_what_workers_counted_is_summed_and_dead_ones_still_count(site: Site) -> None:
    """Counters go on over a worker's death; durations keep their buckets."""
    folder = site.paths.gateway_metrics
    prepare(folder)
    work(folder, 3)
    work(folder, 4)
    scrape = Scrape(site.sources())
    assert scrape.get("model_predictions_total", predicted_class="yes") == 7
    assert scrape.get("model_inference_duration_seconds_count") == 2
    assert scrape.get("model_inference_duration_seconds_bucket", le="0.002") == 0
    assert scrape.get("model_inference_duration_seconds_bucket", le="0.005") == 2
    # It changes from scrape to scrape.
    work(folder, 5)
    assert Scrape(site.sources()).get("model_predictions_total", predicted_class="yes") == 12


@pytest.mark.parametrize(
    ("content", "is_damage"),
    [(b"", False), (b"\0" * 65536, False), (b"\x01\x02", True), (b"\xff\xff\xff\x7f" + b"\xff" * 4092, True)],
    ids=["empty", "just made", "cut", "garbage"],
)
def test_an_unreadable_file_leaves_the_others_and_only_damage_is_counted(
    site: Site, content: bytes, is_damage: bool
) -> None:
    """One bad file used to fail a whole scrape; a worker that just starts has an empty one, which is no damage."""
    folder = site.paths.gateway_metrics
    prepare(folder)
    work(folder, 3)
    (folder / "counter_999999.db").write_bytes(content)
    scrape = Scrape(site.sources())
    assert scrape.get("model_predictions_total", predicted_class="yes") == 3
    assert scrape.of("sentinel_exporter_errors_total", source="gateway_metrics") == is_damage


def test_every_cut_of_a_file_leaves_the_others(tmp_path: Path) -> None:
    """Cut anywhere, a file never raises and never takes another worker's counts along."""
    folder = tmp_path / "metrics"
    prepare(folder)
    work(folder, 3)
    whole = next(folder.glob("counter_*.db")).read_bytes()
    victim = folder / "counter_999999.db"
    for length in range(400):
        victim.write_bytes(whole[:length])
        assert total(collect(folder)) in (3, 6)


def test_files_that_vanish_while_they_are_read_do_no_harm(tmp_path: Path) -> None:
    """A starting gateway empties the folder under a scrape."""
    folder = tmp_path / "metrics"
    prepare(folder)
    work(folder, 3)
    whole = next(folder.glob("counter_*.db")).read_bytes()
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            for number in range(20):
                (folder / f"counter_{900_000 + number}.db").write_bytes(whole)
            for number in range(20):
                (folder / f"counter_{900_000 + number}.db").unlink()

    thread = threading.Thread(target=churn)
    thread.start()
    damaged: list[Path] = []
    try:
        for _ in range(200):
            try:
                assert total(collect(folder, damaged.append)) >= 3
            except MetricsFolderError:
                # Allowed under this much churn; the exporter gives its last good answer then.
                continue
    finally:
        done.set()
        thread.join()


def test_before_the_gateway_ever_ran_there_is_nothing(tmp_path: Path) -> None:
    """An absent folder is no error."""
    assert collect(tmp_path / "absent") == []


def test_a_folder_that_went_away_keeps_the_last_answer(site: Site) -> None:
    """Somebody cleans up shared memory: the counts do not fall to nothing, and it is counted until it is mended."""
    folder = site.paths.gateway_metrics
    prepare(folder)
    work(folder, 3)
    sources = site.sources()
    Scrape(sources)
    shutil.rmtree(folder)
    scrape = Scrape(sources)
    assert scrape.get("model_predictions_total", predicted_class="yes") == 3
    assert scrape.of("sentinel_exporter_errors_total", source="gateway_metrics") == 1
    assert "restart the gateway" in sources.failing()["gateway_metrics"]
    prepare(folder)
    work(folder, 1)
    assert Scrape(sources).get("model_predictions_total", predicted_class="yes") == 1
    assert sources.failing() == {}


def test_preparing_removes_what_earlier_masters_left(tmp_path: Path) -> None:
    """A new gateway starts at zero, in a folder that only its user can enter."""
    folder = tmp_path / "deep" / "metrics"
    prepare(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    work(folder, 3)
    assert list(folder.iterdir())
    prepare(folder)
    assert list(folder.iterdir()) == []


def test_preparing_never_deletes_foreign_files(tmp_path: Path) -> None:
    """A mistyped path in the settings must not cost anybody a file."""
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "counter_1.db").write_bytes(b"")
    with pytest.raises(MetricsFolderError, match=r"thesis\.tex"):
        prepare(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_1.db", "thesis.tex"]


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """In a folder that all users share, the name may have been taken by somebody else."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MetricsFolderError, match="not this user's"):
        prepare(tmp_path / "link")


def test_buckets_meet_the_alert_lines() -> None:
    """A quantile is exact at a bucket's bound, so the lines of the alerts are such bounds."""
    assert {0.2, 1.0, 5.0} <= set(metrics_folder.DURATION_BUCKETS)
    assert list(metrics_folder.DURATION_BUCKETS) == sorted(metrics_folder.DURATION_BUCKETS)
