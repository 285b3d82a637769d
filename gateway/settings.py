"""Settings of every process: one optional `sentinel.toml`, every key overridable by the environment.

A section of the file is one frozen dataclass; the key `port` of section `[gateway]` is overridden by
`SENTINEL_GATEWAY_PORT`. `load` reads the sections that a process needs and raises one `InvalidSettings`
with every fault in it, keys and variables that do not exist included. Nothing is read at import.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
import tomllib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, overload

SETTINGS_FILE = "sentinel.toml"
#: Names another file. The one variable that is no key of a section.
SETTINGS_VARIABLE = "SENTINEL_SETTINGS"
_PREFIX = "SENTINEL_"
#: Sections that exist. A section that no process knows is a typing error, and is reported by each of them.
SECTIONS = ("paths", "gateway", "log", "labels", "drift", "scheduler", "exporter", "incidents", "retraining")

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


class InvalidSettings(ValueError):
    """Settings that cannot be used. `faults` holds one sentence per fault, all of them."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("invalid settings:\n" + "\n".join(f"  - {fault}" for fault in faults))
        self.faults = faults


def setting(
    default: Any,
    about: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    parse: Callable[[Any], Any] | None = None,
    file_only: bool = False,
) -> Any:
    """One key of a section: its default, what it is for, and the values it accepts (bounds inclusive).

    `parse` reads what is no single value, such as a table of tables; it raises ValueError with every fault.
    `file_only`: the environment may not set it, since it names a program to run.
    """
    metadata = {"about": about, "minimum": minimum, "maximum": maximum, "choices": choices, "parse": parse}
    return field(default=default, metadata=metadata | {"file_only": file_only})


@dataclass(frozen=True)
class Paths:
    """Section `[paths]`: where the processes share their files. Relative paths start at the working directory."""

    section: typing.ClassVar[str] = "paths"

    data: Path = setting(Path("data"), "holds live/, reference/ and state/")
    models: Path = setting(Path("models"), "the model registry")
    reports: Path = setting(Path("reports"), "results and reports of drift runs")
    metrics: Path | None = setting(None, "the gateway's metrics folder; by default one in memory, per data folder")

    @property
    def live(self) -> Path:
        """The prediction and label logs."""
        return self.data / "live"

    @property
    def reference(self) -> Path:
        """The references, one Parquet file per model version."""
        return self.data / "reference"

    @property
    def state(self) -> Path:
        """Heartbeats, locks and the spool of run requests: small files that may be deleted at rest."""
        return self.data / "state"

    @property
    def gateway_metrics(self) -> Path:
        """The folder of the gateway's metric files.

        In memory where the system has /dev/shm: a full disk under a memory-mapped file kills its writer
        by SIGBUS, so these files must not share a disk with the data.
        """
        if self.metrics is not None:
            return self.metrics
        memory = Path("/dev/shm")
        base = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
        name = f"sentinelml-{os.getuid()}-{abs_hash(self.data)}"
        return base / name


@dataclass(frozen=True)
class GatewaySettings:
    """Section `[gateway]`."""

    section: typing.ClassVar[str] = "gateway"

    host: str = setting("127.0.0.1", "address to listen on")
    port: int = setting(8000, "port to listen on", minimum=1, maximum=65535)
    workers: int = setting(2, "worker processes", minimum=1, maximum=256)
    threads: int = setting(8, "threads per worker", minimum=1, maximum=256)
    durability: str = setting(
        "power",
        "when an answer counts as recorded: 'power' waits for the disk (fdatasync), 'process' for the kernel",
        choices=("power", "process"),
    )
    append_timeout_seconds: float = setting(
        10.0, "how long a request waits for its log line before it is refused with 503", minimum=0.1, maximum=300
    )
    segment_bytes_max: int = setting(
        64 * 1024**2, "a log file that would grow beyond this is closed and a new one begun", minimum=4096
    )
    segment_age_seconds: float = setting(
        3600.0, "a log file that was begun this long ago is closed and a new one begun", minimum=1
    )
    body_bytes_max: int = setting(16 * 1024 * 1024, "largest accepted request body", minimum=1024)
    instances_max: int = setting(10_000, "most instances in one request", minimum=1)
    text_length_max: int = setting(4096, "longest accepted text value, in characters", minimum=1)
    receive_seconds: float = setting(
        30.0, "how long a client may take to send one request, or to take its answer", minimum=1, maximum=3600
    )
    tokens_file: Path | None = setting(
        None, "file of '<name> <token>' lines: without one of these tokens only /health answers"
    )
    requests_per_second_max: float = setting(
        0.0, "requests a second that each token may make of each worker; 0 for no limit", minimum=0
    )
    in_flight_max: int = setting(512, "requests under way in a worker beyond which it refuses more with 503", minimum=1)
    access_log: str = setting(
        "refused", "which requests get a JSON line in the access log", choices=("off", "refused", "all")
    )
    access_log_file: Path | None = setting(None, "the access log; standard error unless given")
    refusal_examples: bool = setting(
        True, "whether the refusal log shows, by cause, a value that was refused, shortened"
    )
    tls_certificate_file: Path | None = setting(None, "serve HTTPS with this certificate chain (PEM)")
    tls_key_file: Path | None = setting(None, "private key of the certificate (PEM)")
    drain_seconds: int = setting(30, "how long a stopping worker may finish its requests", minimum=1, maximum=3600)
    reload_seconds: float = setting(
        1.0, "how often a worker looks for a change in the registry", minimum=0.05, maximum=3600
    )


@overload
def load(first: type[A], /, *, environ: Mapping[str, str] | None = None, file: Path | None = None) -> tuple[A]: ...
@overload
def load(
    first: type[A], second: type[B], /, *, environ: Mapping[str, str] | None = None, file: Path | None = None
) -> tuple[A, B]: ...
@overload
def load(
    first: type[A],
    second: type[B],
    third: type[C],
    /,
    *,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> tuple[A, B, C]: ...
@overload
def load(
    first: type[A],
    second: type[B],
    third: type[C],
    fourth: type[D],
    /,
    *,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> tuple[A, B, C, D]: ...
def load(*sections: Any, environ: Mapping[str, str] | None = None, file: Path | None = None) -> tuple[Any, ...]:
    """Read the given section classes from `file` and the environment.

    Args:
        sections: frozen dataclasses with a class variable `section` and fields made by `setting`.
        environ: the environment, `os.environ` unless given.
        file: the TOML file; `$SENTINEL_SETTINGS` or ./sentinel.toml unless given. An absent default file is fine.

    Raises:
        InvalidSettings: with every fault of the file and of the environment.
    """
    environ = os.environ if environ is None else environ
    document, faults = _read_file(environ, file)
    values = [_read_section(section, document, environ, faults) for section in sections]
    faults.extend(_unknown_variables(sections, environ))
    if faults:
        raise InvalidSettings(faults)
    return tuple(section(**found) for section, found in zip(sections, values, strict=True))


def convert(section: type[Any], key: str, raw: Any) -> Any:
    """A value for `key` of a section class, of the key's type and within its bounds. Raises ValueError."""
    spec = next(spec for spec in dataclasses.fields(section) if spec.name == key)
    return _convert(raw, typing.get_type_hints(section)[key], spec.metadata)


def abs_hash(path: Path) -> str:
    """A short stable name for an absolute path, so that two installations on one host do not share a folder."""
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]


def _read_file(environ: Mapping[str, str], file: Path | None) -> tuple[dict[str, Any], list[str]]:
    named = file is not None or SETTINGS_VARIABLE in environ
    path = file or Path(environ.get(SETTINGS_VARIABLE, SETTINGS_FILE))
    if not path.exists():
        return {}, [f"{path}: no such settings file"] if named else []
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        return {}, [f"{path}: {error}"]
    faults = [
        f"{path}: unknown section [{name}]; known are {', '.join(SECTIONS)}"
        for name in document
        if name not in SECTIONS
    ]
    return document, faults


def _read_section(
    section: type[Any], document: dict[str, Any], environ: Mapping[str, str], faults: list[str]
) -> dict[str, Any]:
    name = section.section
    table = document.get(name, {})
    if not isinstance(table, dict):
        faults.append(f"[{name}] must be a table")
        table = {}
    hints = typing.get_type_hints(section)
    fields = {spec.name: spec for spec in dataclasses.fields(section)}
    faults.extend(f"[{name}] unknown key {key!r}; known are {', '.join(fields)}" for key in table if key not in fields)
    found: dict[str, Any] = {}
    for key, spec in fields.items():
        variable = _variable(name, key)
        if variable in environ and spec.metadata["file_only"]:
            faults.append(f"{variable}: only the settings file may set this: [{name}] {key}")
            continue
        if variable in environ:
            raw, origin = environ[variable], variable
        elif key in table:
            raw, origin = table[key], f"[{name}] {key}"
        else:
            continue
        try:
            found[key] = _convert(raw, hints[key], spec.metadata)
        except ValueError as error:
            faults.append(f"{origin}: {error}")
    return found


def _unknown_variables(sections: tuple[Any, ...], environ: Mapping[str, str]) -> Iterator[str]:
    """A fault for each variable of ours that nobody reads. Keys of other processes' sections are theirs to judge."""
    keys = {section.section: [spec.name for spec in dataclasses.fields(section)] for section in sections}
    for variable in sorted(environ):
        if not variable.startswith(_PREFIX) or variable == SETTINGS_VARIABLE:
            continue
        # One section's name may begin with another's: whichever has the key is meant, else the longest.
        homes = [name for name in (*SECTIONS, *keys) if variable.startswith(_variable(name, ""))]
        if not homes:
            yield f"{variable}: no such setting; variables are {_PREFIX}<SECTION>_<KEY>, of {', '.join(SECTIONS)}"
        elif all(name in keys and variable not in _variables(name, keys[name]) for name in homes):
            name = max(homes, key=len)
            yield f"{variable}: no such setting; known are {', '.join(_variables(name, keys[name]))}"


def _variables(section: str, keys: list[str]) -> list[str]:
    return [_variable(section, key) for key in keys]


def _variable(section: str, key: str) -> str:
    return f"{_PREFIX}{section}_{key}".upper()


def _convert(raw: Any, hint: Any, metadata: Mapping[str, Any]) -> Any:
    """Turn a TOML value or an environment string into the type of its field, or raise ValueError."""
    if metadata["parse"] is not None:
        return metadata["parse"](raw)
    if isinstance(hint, types.UnionType):
        hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
    value = _to_type(raw, hint)
    choices, minimum, maximum = metadata["choices"], metadata["minimum"], metadata["maximum"]
    if choices is not None and value not in choices:
        raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
    if minimum is not None and not value >= minimum:
        raise ValueError(f"{value} is below the minimum {minimum}")
    if maximum is not None and not value <= maximum:
        raise ValueError(f"{value} is above the maximum {maximum}")
    return value


def _to_type(raw: Any, hint: Any) -> Any:
    if hint is bool:
        if isinstance(raw, bool):
            return raw
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if isinstance(raw, str) and raw.lower() in words:
            return words[raw.lower()]
        raise ValueError(f"{raw!r} is not true or false")
    if isinstance(raw, bool):
        raise ValueError(f"{raw!r} is not of type {hint.__name__}")
    if hint is int:
        if isinstance(raw, int):
            return raw
        if isinstance(raw, str) and raw.strip().lstrip("+-").isdigit():
            return int(raw)
        raise ValueError(f"{raw!r} is not a whole number")
    if hint is float:
        if isinstance(raw, int | float):
            return float(raw)
        try:
            return float(raw)
        except (TypeError, ValueError):
            raise ValueError(f"{raw!r} is not a number") from None
    if hint in (str, Path):
        if not isinstance(raw, str) or not raw:
            raise ValueError(f"{raw!r} is not a text")
        return hint(raw)
    raise TypeError(f"settings cannot hold {hint}")
