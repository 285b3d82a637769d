"""The gateway's metrics folder: what the workers count, in memory-mapped files that the exporter reads.

```
<Paths.gateway_metrics>/counter_<pid>.db      one pair per worker, in prometheus_client's format
<Paths.gateway_metrics>/histogram_<pid>.db
<Paths.gateway_metrics>/gauge_livesum_<pid>.db   removed when the worker is gone
<Paths.gateway_metrics>/counter_0.db             what workers that are gone had counted, folded into one
<Paths.gateway_metrics>/histogram_0.db           file so that scrapes stay fast
```
The gateway sets `PROMETHEUS_MULTIPROC_DIR` to this folder before anything imports prometheus_client, because
that library chooses at import whether its values live in files. For the same reason this module imports it
only inside `collect`, so that the gateway may import the names from here first. The exporter runs without
the variable and calls `collect`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Metric


@dataclass(frozen=True)
class Spec:
    """One metric of the gateway: its name as scraped, its help text and its label names in order."""

    name: str
    about: str
    labels: tuple[str, ...]


PREDICTIONS = Spec(
    "model_predictions_total",
    "Predictions answered and recorded, by the class that was predicted",
    ("model_name", "model_version", "predicted_class"),
)
PREDICTION_ERRORS = Spec(
    "model_prediction_errors_total",
    "Requests that were refused or failed, by kind of error",
    ("model_name", "model_version", "error_type"),
)
PREPROCESSING_SECONDS = Spec(
    "model_preprocessing_duration_seconds",
    "Time to parse and validate one request and to lay out its rows",
    ("model_name", "model_version"),
)
INFERENCE_SECONDS = Spec(
    "model_inference_duration_seconds",
    "Time inside the model for one request",
    ("model_name", "model_version"),
)
POSTPROCESSING_SECONDS = Spec(
    "model_postprocessing_duration_seconds",
    "Time to record one request's answers and to encode the response",
    ("model_name", "model_version"),
)
ROWS_IN_FLIGHT = Spec(
    "model_rows_in_flight",
    "Rows that are scored and not recorded yet",
    ("model_name", "model_version"),
)
LOAD_FAILURES = Spec(
    "model_load_failures_total",
    "Attempts to load a version that is to be in use, and that could not be; what served before goes on",
    ("model_name", "model_version"),
)
SHADOW_PREDICTIONS = Spec(
    "model_shadow_predictions_total",
    "Rows that a shadow version scored and recorded",
    ("model_name", "model_version"),
)
SHADOW_DROPPED = Spec(
    "model_shadow_dropped_total",
    "Rows that a shadow version did not score or record, by reason",
    ("model_name", "model_version", "reason"),
)
#: `reason` of a dropped row: too many wait, the model failed, the log could not be written, the process ended.
QUEUE_FULL, MODEL_FAILED, NOT_RECORDED, PROCESS_ENDED = "queue_full", "model_failed", "not_recorded", "process_ended"
#: `predicted_class` of a regression model, whose answers would make a series each.
VALUE = "value"
#: Upper bounds in seconds, 10 us to 10 s in steps of 1-2-5; they meet the alert lines 0.2, 1 and 5 s exactly.
DURATION_BUCKETS = (
    *(0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005),
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)

_OUR_FILE = re.compile(r"(counter|histogram|summary|gauge_[a-z]+)_[0-9]+\.(db|new)")
_COLLECT_ATTEMPTS = 5
#: Kinds that only grow: the sum of what is gone goes on counting.
_FOLDED = re.compile(r"(counter|histogram)_([0-9]+)\.db")
#: No process has this number.
_GONE = 0
#: How long a scrape waits for a fold, which takes milliseconds.
_FOLD_SECONDS_MAX = 1.0


class MetricsFolderError(Exception):
    """The folder cannot be used; the text is a sentence for the person at the terminal."""


def take(folder: Path, wait_seconds: float) -> int:
    """Make `folder` this gateway's own, for as long as the returned descriptor or a copy in a worker is open.

    Raises:
        MetricsFolderError: another gateway counts there and goes on doing so.
        OSError: the lock cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(folder.name + ".lock")
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if not _lock(fd, fcntl.LOCK_EX, wait_seconds):
        os.close(fd)
        raise MetricsFolderError(f"another gateway counts in {folder}; give this one a [paths] metrics of its own")
    return fd


def prepare(folder: Path) -> None:
    """Create `folder`, or empty it of the files of an earlier master. Call it before the workers start.

    Raises:
        MetricsFolderError: it is not ours alone (another owner, a link, files that this program never makes).
        OSError: it cannot be created or emptied.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
        return
    except FileExistsError:
        pass
    # The folder usually lies in /dev/shm, where any user of the host may create the name before us.
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
        raise MetricsFolderError(f"{folder} is not this user's folder; name another one as [paths] metrics")
    foreign = sorted(path.name for path in folder.iterdir() if not _OUR_FILE.fullmatch(path.name))
    if foreign:
        raise MetricsFolderError(
            f"{folder} holds files that are not metrics ({', '.join(foreign[:3])}); "
            "name an empty folder as [paths] metrics"
        )
    for path in folder.iterdir():
        path.unlink(missing_ok=True)


def _exists(pid: int) -> bool:
    """Whether there is a process of this number; perhaps another one than meant, and then the next call is right."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def fold(folder: Path, is_alive: Callable[[int], bool] = _exists) -> None:
    """Add what processes that are gone have counted to one file of each kind, and remove their files.

    Call it in the master when a worker has ended. While a scrape reads the folder nothing is done: the next call
    catches up. A file that cannot be read is left for the exporter to report.

    Raises:
        OSError: the folder cannot be written.
    """
    with _locked(folder, fcntl.LOCK_EX, wait_seconds=0) as locked:
        if not locked:
            return
        gone: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()):
            match = _FOLDED.fullmatch(path.name)
            if match and int(match[2]) != _GONE and not is_alive(int(match[2])) and _is_whole(path, lambda _: None):
                gone.setdefault(match[1], []).append(path)
        for kind, paths in gone.items():
            _fold_into(folder / f"{kind}_{_GONE}.db", paths)


def _fold_into(target: Path, paths: list[Path]) -> None:
    """Replace `target` by its sum with `paths`, and remove those."""
    from prometheus_client.mmap_dict import MmapedDict

    sums: dict[str, tuple[float, float]] = {}
    for path in [target, *paths] if target.exists() else paths:
        for key, value, timestamp, _ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
            before, latest = sums.get(key, (0.0, 0.0))
            sums[key] = before + value, max(latest, timestamp)
    new = target.with_suffix(".new")
    new.unlink(missing_ok=True)
    values = MmapedDict(str(new))  # type: ignore[no-untyped-call]
    for key, (value, timestamp) in sums.items():
        values.write_value(key, value, timestamp)  # type: ignore[no-untyped-call]
    values.close()  # type: ignore[no-untyped-call]
    new.replace(target)
    for path in paths:
        path.unlink()


@contextlib.contextmanager
def _locked(folder: Path, how: int, wait_seconds: float) -> Iterator[bool]:
    """Hold the folder's lock for the block, if it can be had in time. Scrapes share it, a fold has it alone."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield _lock(fd, how, wait_seconds)
    finally:
        os.close(fd)


def _lock(fd: int, how: int, wait_seconds: float) -> bool:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)


def collect(folder: Path, unreadable: Callable[[Path], None] = lambda path: None) -> list[Metric]:
    """The sums over all workers' files, one family per metric, sorted by name; empty before the gateway ran.

    A file that is empty or gone is left out, a damaged one is left out and passed to `unreadable`; neither
    fails the rest.
    Must be called in a process that imported prometheus_client without `PROMETHEUS_MULTIPROC_DIR`.

    Raises:
        MetricsFolderError: files kept vanishing while they were read.
        OSError: the folder cannot be listed.
    """
    if not folder.is_dir():
        return []
    # Without the lock after that time: a master that stands still in the middle of a fold must not stop scrapes.
    with _locked(folder, fcntl.LOCK_SH, _FOLD_SECONDS_MAX):
        return _merge(folder, unreadable)


def _merge(folder: Path, unreadable: Callable[[Path], None]) -> list[Metric]:
    from prometheus_client.multiprocess import MultiProcessCollector

    for _ in range(_COLLECT_ATTEMPTS):
        names = sorted(path.name for path in folder.glob("*.db") if _OUR_FILE.fullmatch(path.name))
        whole = [folder / name for name in names if _is_whole(folder / name, unreadable)]
        try:
            families = MultiProcessCollector.merge([str(path) for path in whole])  # type: ignore[no-untyped-call]
        except (OSError, struct.error):
            # A file went away (a starting gateway empties the folder) after it was found whole: look again.
            continue
        return sorted(families, key=lambda family: family.name)
    raise MetricsFolderError(f"the files of {folder} kept changing while they were read")


def _is_whole(path: Path, unreadable: Callable[[Path], None]) -> bool:
    """Whether prometheus_client can read `path` to its end; one that it cannot read fails a whole merge."""
    from prometheus_client.mmap_dict import MmapedDict

    try:
        if path.stat().st_size == 0:
            # A worker that is just starting, or one that died right there: nothing was counted in it.
            return False
        for key, *_ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
            _metric, _sample, _labels, _about = json.loads(key)
    except FileNotFoundError:
        return False
    except (OSError, struct.error, RuntimeError, ValueError, TypeError):
        unreadable(path)
        return False
    return True
