"""How long comparing two tables takes, from the interpreter's start to the verdict: `python -m benchmarks.compare`.

Beside it, in the same minute, what the interpreter and the libraries that it needs take without any work, and a
process that runs Evidently's DataDriftPreset on the same files: wall seconds, the median and the fastest.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

_IMPORTS = "import numpy, pandas, pyarrow, scipy.special"
_PRESET = """
import sys, pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
reference, current = (pd.read_csv(path) for path in sys.argv[1:])
Report([DataDriftPreset()]).run(current, reference).dict()
"""


def main() -> None:
    """Make the files, run each command in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [str(_written(Path(folder), seed, options.rows, options.columns)) for seed in (1, 2)]
        commands = {
            "imports alone": ["-c", _IMPORTS],
            "compare": ["-m", "drift_engine", "compare", *files, "--format", "json", "--no-report"],
            "Evidently's preset": ["-c", _PRESET, *files],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.repeats):
            for name, arguments in commands.items():
                seconds[name].append(_timed([sys.executable, *arguments]))
    print(f"{options.rows} x {options.columns}, {options.repeats} runs each, seeds 1 and 2")
    for name, found in seconds.items():
        print(f"  {name:<20} median {statistics.median(found):6.2f} s   fastest {min(found):6.2f} s")


def _written(folder: Path, seed: int, rows: int, columns: int) -> Path:
    """Four of five columns numbers, the others categories."""
    rng = np.random.default_rng(seed)
    table = {
        f"c{index}": rng.choice(list("abcdefg"), rows) if index % 5 == 4 else rng.normal(size=rows)
        for index in range(columns)
    }
    path = folder / f"{seed}.csv"
    pd.DataFrame(table).to_csv(path, index=False)
    return path


def _timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
