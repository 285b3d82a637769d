"""The one-way flow: client, gateway, log, drift engine, results, exporter. Imports point upstream only."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: What other processes may import: the formats of the files that processes share, and how settings are read.
CONTRACTS = (
    "gateway.clock",
    "gateway.files",
    "gateway.heartbeat",
    "gateway.locks",
    "gateway.label_settings",
    "gateway.log",
    "gateway.metrics_folder",
    "gateway.pacing",
    "gateway.process_group",
    "gateway.registry",
    "gateway.settings",
    "gateway.tokens",
    "drift_engine.actions.settings",
    "drift_engine.results",
    "drift_engine.run_requests",
)
#: Which packages each part may import contracts of: those upstream of it.
UPSTREAM = {
    "gateway": (),
    "drift_engine": ("gateway",),
    "exporter": ("gateway", "drift_engine"),
    "scheduler": ("gateway", "drift_engine"),
}
#: Nothing that runs in production may need these.
LEAVES = ("demo", "benchmarks", "tests", "deploy")


def part_of(module: str) -> str:
    """The top-level package of a dotted name."""
    return module.partition(".")[0]


def is_contract(module: str) -> bool:
    """Whether a dotted name is a contract module or lies inside a contract package."""
    return any(module == contract or module.startswith(contract + ".") for contract in CONTRACTS)


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the parts that run in production, as (dotted name, file)."""
    for part in UPSTREAM:
        for path in [ROOT / f"{part}.py", *sorted((ROOT / part).rglob("*.py"))]:
            if path.exists():
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every absolute import in a file, lazy ones too, as (line, dotted name)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_imports_point_upstream_and_only_to_contracts() -> None:
    """A part may use what lies upstream of it, and of that only the contract modules."""
    wrong = []
    for module, path in modules():
        for line, imported in imports(path):
            other, own = part_of(imported), part_of(module)
            if other in LEAVES or (
                other in UPSTREAM and other != own and not (other in UPSTREAM[own] and is_contract(imported))
            ):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {imported}")
    assert not wrong


def test_contract_modules_need_nothing_private() -> None:
    """Whoever imports a contract must not drag in the process that it belongs to."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {imported}"
        for module, path in modules()
        if is_contract(module)
        for line, imported in imports(path)
        if part_of(imported) in UPSTREAM and not is_contract(imported)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("gateway.serving.app", "pandas pyarrow evidently plotly"),
        ("exporter.app", "pandas pyarrow evidently plotly sklearn"),
        ("scheduler", "pandas pyarrow evidently plotly sklearn"),
    ],
)
def test_long_lived_processes_start_without_the_heavy_libraries(module: str, forbidden: str) -> None:
    """The gateway runs from its lean requirements; the exporter and the scheduler compute nothing."""
    script = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {forbidden.split()!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import {module}
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
