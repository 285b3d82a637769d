"""Settings: defaults, file, environment in that order of precedence, and every fault at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import GatewaySettings, InvalidSettings, Paths, load


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
