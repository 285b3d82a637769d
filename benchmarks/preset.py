"""Two tables compared by the drift engine and by Evidently's `DataDriftPreset`, each in a process of its own.

`python -m benchmarks.preset ours|evidently MODELS REFERENCE WINDOW PAGE` compares two Parquet files, writes the page
and prints one JSON object; `benchmarks.drift` runs it. Both sides read the same files and write a complete HTML page.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gateway.registry import ModelCard, Registry
from gateway.registry.columns import feature_column

#: What both sides find is of no interest here, but that they looked at every column is.
Found = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; the statistics' CPU time is on the JSON line, that of the process is for the caller to measure."""
    side, models, reference, window, page = sys.argv[1:] if arguments is None else arguments
    registry = Registry(Path(models), Path(models) / "none")
    (name, version), *_ = registry.serving().versions.items()
    card = registry.card(name, version)
    compare = {"ours": _ours, "evidently": _evidently}[side]
    print(json.dumps(compare(card, Path(reference), Path(window), Path(page))))
    return 0


def _ours(card: ModelCard, reference_path: Path, window_path: Path, page: Path) -> Found:
    import pyarrow as pa

    from drift_engine import evidently_report
    from drift_engine.findings import judge
    from drift_engine.reference import read_columns
    from drift_engine.settings import DriftSettings
    from drift_engine.subjects import input_subjects
    from drift_engine.table import sample

    # As a run has it: the C library's allocator gives back what is freed.
    pa.set_memory_pool(pa.system_memory_pool())
    settings = DriftSettings()
    columns = {feature_column(feature.name): True for feature in card.features}
    subjects = input_subjects(card, settings)

    def look() -> tuple[evidently_report.Comparison, float]:
        reference, window = read_columns(reference_path, columns), read_columns(window_path, columns)
        judged, seconds = _timed(lambda: judge(subjects, reference, window, settings.alpha, settings))
        by_name = {subject.name: subject for subject in subjects}
        comparison = evidently_report.Comparison(
            card=card,
            judged=tuple((by_name[item.finding.column], item.finding) for item in judged),
            reference=sample(reference, settings.plot_sample_rows, settings.seed),
            window=sample(window, settings.plot_sample_rows, settings.seed),
            reference_labelled=None,
            window_labelled=None,
            columns_max=settings.plot_columns_max,
        )
        return comparison, seconds

    # All rows are gone before the samples are drawn.
    comparison, seconds = look()
    page.write_text(evidently_report.render(comparison).html)
    drifted = sum(finding.detected is True for _, finding in comparison.judged)
    return {"scores_cpu_seconds": seconds, "columns": len(comparison.judged), "drifted": drifted}


def _evidently(card: ModelCard, reference_path: Path, window_path: Path, page: Path) -> Found:
    import warnings

    import pandas as pd

    warnings.simplefilter("ignore")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = [feature_column(feature.name) for feature in card.features]
    definition = DataDefinition(numerical_columns=names)
    reference, window = (
        Dataset.from_pandas(pd.read_parquet(path, columns=names), data_definition=definition)
        for path in (reference_path, window_path)
    )
    snapshot, seconds = _timed(lambda: Report([DataDriftPreset()]).run(window, reference))
    snapshot.save_html(str(page))
    drifted = json.loads(snapshot.json())["metrics"][0]["value"]["count"]
    return {"scores_cpu_seconds": seconds, "columns": len(names), "drifted": int(drifted)}


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    found = work()
    return found, time.process_time() - started


if __name__ == "__main__":
    sys.exit(main())
