"""Contract 3: run results, `reports/<name>/<version>/<run_id>/{report.html,result.json}` and `latest.json`.

`schema` is what a result says, `store` where it lies and in which order it is written.
Format page: docs/formats/run_results.md.
"""

from drift_engine.results.schema import Result
from drift_engine.results.store import Latest, ResultStore

__all__ = ["Latest", "Result", "ResultStore"]
