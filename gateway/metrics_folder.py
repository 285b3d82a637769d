"""The gateway's metrics folder: what the workers count, in memory-mapped files that the exporter reads.

```
<Paths.gateway_metrics>/counter_<pid>.db      one pair per worker, in prometheus_client's format
<Paths.gateway_metrics>/histogram_<pid>.db
```
The gateway sets `PROMETHEUS_MULTIPROC_DIR` to this folder before anything imports prometheus_client, because
that library chooses at import whether its values live in files. For the same reason this module imports it
only inside `collect`, so that the gateway may import the names from here first. The exporter runs without
the variable and calls `collect`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
import time
from collections.abc import Callable
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

_OUR_FILE = re.compile(r"(counter|histogram|summary|gauge_[a-z]+)_[0-9]+\.db")
_COLLECT_ATTEMPTS = 5


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
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(fd)
                raise MetricsFolderError(
                    f"another gateway counts in {folder}; give this one a [paths] metrics of its own"
                ) from None
            time.sleep(0.1)


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


def collect(folder: Path, unreadable: Callable[[Path], None] = lambda path: None) -> list[Metric]:
    """The sums over all workers' files, one family per metric, sorted by name; empty before the gateway ran.

    A file that is empty or gone is left out, a damaged one is left out and passed to `unreadable`; neither
    fails the rest.
    Must be called in a process that imported prometheus_client without `PROMETHEUS_MULTIPROC_DIR`.

    Raises:
        MetricsFolderError: files kept vanishing while they were read.
        OSError: the folder cannot be listed.
    """
    from prometheus_client.multiprocess import MultiProcessCollector

    if not folder.is_dir():
        return []
    for _ in range(_COLLECT_ATTEMPTS):
        names = sorted(path.name for path in folder.iterdir() if _OUR_FILE.fullmatch(path.name))
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
