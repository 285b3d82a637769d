"""Settings: defaults, file, environment in that order of precedence, and every fault at once."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import typing
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.settings import GatewaySettings, InvalidSettings, Paths, load, setting

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, text: str) -> Path:
    """A settings file."""
    path = folder / "sentinel.toml"
    path.write_text(text)
    return path


def test_no_file_is_needed() -> None:
    """The defaults serve on loopback, durably."""
    paths, settings = load(Paths, GatewaySettings, environ={}, file=None)
    assert (paths.live, settings.host, settings.port) == (Path("data/live"), "127.0.0.1", 8000)
    assert settings.durability == "power"


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    """File over default, variable over file."""
    file = write(tmp_path, '[gateway]\nport = 9000\nworkers = 3\n[paths]\ndata = "elsewhere"\n')
    paths, settings = load(Paths, GatewaySettings, environ={"SENTINEL_GATEWAY_PORT": "9001"}, file=file)
    assert (paths.data, settings.port, settings.workers) == (Path("elsewhere"), 9001, 3)


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    """Nobody fixes one line to be told of the next."""
    file = write(tmp_path, '[gateway]\nport = 0\nworkers = "two"\ncolour = 1\n[nonsense]\n')
    with pytest.raises(InvalidSettings) as caught:
        load(GatewaySettings, environ={"SENTINEL_GATEWAY_DURABILITY": "often"}, file=file)
    text = str(caught.value)
    for part in ("port", "workers", "colour", "[nonsense]", "SENTINEL_GATEWAY_DURABILITY"):
        assert part in text
    assert len(caught.value.faults) == 5


def test_a_named_file_that_is_absent_is_a_fault(tmp_path: Path) -> None:
    """An absent default file is fine, an absent chosen one is a mistake."""
    with pytest.raises(InvalidSettings, match="no such settings file"):
        load(Paths, environ={"SENTINEL_SETTINGS": str(tmp_path / "missing.toml")})


def test_a_file_that_is_not_toml_is_a_fault(tmp_path: Path) -> None:
    """With the parser's own words."""
    with pytest.raises(InvalidSettings, match=r"sentinel\.toml"):
        load(Paths, environ={}, file=write(tmp_path, "[gateway\n"))


def test_two_installations_do_not_share_a_metrics_folder(tmp_path: Path) -> None:
    """The default folder is named after the data folder."""
    assert Paths(data=tmp_path / "a").gateway_metrics != Paths(data=tmp_path / "b").gateway_metrics


def test_a_variable_that_means_nothing_is_a_fault() -> None:
    """A typing error in the environment is found like one in the file: an unknown key, an unknown section."""
    environ = dict.fromkeys(("SENTINEL_GATEWAY_PROT", "SENTINEL_FOO", "SENTINEL_gateway_port", "SENTINEL_PATHS"), "1")
    with pytest.raises(InvalidSettings) as caught:
        load(Paths, GatewaySettings, environ=environ)
    by_variable = {fault.partition(":")[0]: fault for fault in caught.value.faults}
    assert by_variable.keys() == environ.keys()
    known = [f"SENTINEL_GATEWAY_{field.name.upper()}" for field in dataclasses.fields(GatewaySettings)]
    assert by_variable["SENTINEL_GATEWAY_PROT"] == (
        f"SENTINEL_GATEWAY_PROT: no such setting; known are {', '.join(known)}"
    )
    assert "SENTINEL_<SECTION>_<KEY>" in by_variable["SENTINEL_FOO"]


def test_variables_of_other_processes_and_programs_are_not_judged(tmp_path: Path) -> None:
    """Every process knows the keys of its own sections only."""
    file = write(tmp_path, "")
    others = {"SENTINEL_SETTINGS": str(file), "SENTINEL_SCHEDULER_NONSENSE": "1", "SENTINELS": "1", "PORT": "x"}
    (paths,) = load(Paths, environ=others)
    assert paths == Paths()


@dataclass(frozen=True)
class GatewayWarmSettings:
    """A section whose name begins with another's."""

    section: typing.ClassVar[str] = "gateway_warm"

    rows: int = setting(1, "rows to warm up with")


def test_a_section_may_begin_with_the_name_of_another() -> None:
    """Its keys are no unknown keys of the shorter one; a typing error is told with the longer one's keys."""
    environ = {"SENTINEL_GATEWAY_WARM_ROWS": "5", "SENTINEL_GATEWAY_PORT": "9001"}
    gateway, warm = load(GatewaySettings, GatewayWarmSettings, environ=environ)
    assert (gateway.port, warm.rows) == (9001, 5)
    with pytest.raises(InvalidSettings) as caught:
        load(GatewaySettings, GatewayWarmSettings, environ={"SENTINEL_GATEWAY_WARM_ROW": "5"})
    assert caught.value.faults == ["SENTINEL_GATEWAY_WARM_ROW: no such setting; known are SENTINEL_GATEWAY_WARM_ROWS"]


def test_the_scheduler_refuses_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    """One plain sentence that names it, exit code 2."""
    data = tmp_path / "data"
    data.write_text("")
    refused = subprocess.run(
        [sys.executable, "scheduler.py", "--once"],
        cwd=ROOT, env=os.environ | {"SENTINEL_PATHS_DATA": str(data)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"scheduler: the data folder {data} cannot be used: ")
    assert refused.stderr.count("\n") == 1
