"""The peers: how each is installed, started and asked, and by how much the gateway means to be faster."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gateway.settings import GatewaySettings

Row = Mapping[str, float]
_MODEL = "fraud"


@dataclass(frozen=True)
class Dialect:
    """How a server wants to be asked, in JSON over POST, and where its answer has the probabilities.

    Attributes:
        one: body for one row; `many`: body for several.
        probabilities: of an answer to either, shape (rows, classes).
        is_tensors: it is the Open Inference Protocol, V2.
    """

    one_path: str
    many_path: str
    one: Callable[[Row], Any]
    many: Callable[[Sequence[Row]], Any]
    probabilities: Callable[[Any], list[list[float]]]
    is_tensors: bool = False

    def one_body(self, row: Row) -> bytes:
        """One row as the bytes of a request."""
        return json.dumps(self.one(row)).encode()

    def many_body(self, rows: Sequence[Row]) -> bytes:
        """Several rows as the bytes of a request."""
        return json.dumps(self.many(rows)).encode()


@dataclass(frozen=True)
class Start:
    """What a peer's start depends on. The model file is a joblib file called model.joblib."""

    python: Path
    port: int
    extra_ports: tuple[int, int]
    model: Path
    scratch: Path


@dataclass(frozen=True)
class Peer:
    """A server to compare with.

    Attributes:
        name: for the command line; `title`: for the table.
        environment: which requirements it runs with; None for the gateway's own.
        times: the gateway answers at least so many times as many requests per second; None for no target.
        variables: environment variables beside `BENCH_MODEL`.
    """

    name: str
    title: str
    environment: str | None
    dialect: Dialect
    times: float | None
    command: Callable[[Start], list[str]]
    variables: Callable[[Start], dict[str, str]] = lambda start: {}


def _values(rows: Sequence[Row]) -> list[list[float]]:
    return [list(row.values()) for row in rows]


def _by_class(answer: Any) -> list[list[float]]:
    return [list(item["probabilities"].values()) for item in answer.get("predictions", [answer])]


def _v2(rows: Sequence[Row], output: str) -> dict[str, Any]:
    values = _values(rows)
    data = [value for row in values for value in row]
    tensor = {"name": "predict", "shape": [len(values), len(values[0])], "datatype": "FP64", "data": data}
    return {"inputs": [tensor], "outputs": [{"name": output}]}


def _v2_probabilities(answer: Any) -> list[list[float]]:
    (output,) = answer["outputs"]
    width = output["shape"][1]
    return [output["data"][at : at + width] for at in range(0, len(output["data"]), width)]


def _same_route(path: str, many: Callable[[Sequence[Row]], Any], read: Callable[[Any], list[list[float]]]) -> Dialect:
    """A server that takes one row as a batch of one."""
    return Dialect(path, path, lambda row: many([row]), many, read)


def _in_tensors(output: str) -> Dialect:
    """The Open Inference Protocol. `output`: where the server has the probabilities."""
    path = f"/v2/models/{_MODEL}/infer"
    return replace(_same_route(path, partial(_v2, output=output), _v2_probabilities), is_tensors=True)


#: The gateway's own, which a Flask service would have too.
OBJECTS = Dialect("/predict", "/predict", dict, lambda rows: {"instances": list(rows)}, _by_class)
_TWO_ROUTES = Dialect("/predict", "/predict/batch", OBJECTS.one, OBJECTS.many, _by_class)
_MLSERVER = _in_tensors("predict_proba")
#: What MLServer is asked in, asked of the gateway: one tensor of numbers instead of objects with names.
TENSORS = _in_tensors("probabilities")
_BENTOML = _same_route("/predict", lambda rows: {"rows": _values(rows)}, lambda answer: list(answer))
_LITSERVE = _same_route("/predict", lambda rows: {"rows": _values(rows)}, lambda answer: list(answer["probabilities"]))


def _flask(start: Start) -> list[str]:
    usual = GatewaySettings()
    return [
        *(sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--bind", f"127.0.0.1:{start.port}"),
        *("--workers", str(usual.workers), "--threads", str(usual.threads), "--keep-alive", "75"),
        "benchmarks.peers.flask_app:app",
    ]


def _uvicorn(start: Start) -> list[str]:
    command = [str(start.python), "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(start.port)]
    return [*command, "--workers", "2", "--no-access-log", "benchmarks.peers.fastapi_app:app"]


def _csv(start: Start) -> dict[str, str]:
    return {"BENCH_CSV": str(start.scratch / "fastapi.csv")}


def _mlserver(start: Start) -> list[str]:
    folder = start.scratch / "mlserver"
    folder.mkdir(exist_ok=True)
    http, (grpc, metrics) = start.port, start.extra_ports
    settings = {
        "debug": False,
        "parallel_workers": 2,
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "metrics_dir": str(folder / "metrics"),
        "environments_dir": str(folder / "environments"),
    }
    model = {
        "name": _MODEL,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(start.model)},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return [str(start.python.with_name("mlserver")), "start", str(folder)]


def _bentoml(start: Start) -> list[str]:
    command = [str(start.python.with_name("bentoml")), "serve", "benchmarks.peers.bentoml_app:Fraud"]
    return [*command, "--host", "127.0.0.1", "--port", str(start.port)]


def _bentoml_variables(start: Start) -> dict[str, str]:
    return {"BENTOML_HOME": str(start.scratch / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}


def _litserve(start: Start) -> list[str]:
    return [str(start.python), "-m", "benchmarks.peers.litserve_app"]


PEERS = (
    Peer("flask", "bare Flask and the model", None, OBJECTS, 10, _flask),
    Peer("fastapi", "FastAPI, scikit-learn, CSV", "fastapi", _TWO_ROUTES, 6, _uvicorn, _csv),
    Peer(
        "fastapi-compiled",
        "FastAPI, treelite, CSV",
        "fastapi",
        _TWO_ROUTES,
        None,
        _uvicorn,
        lambda start: {**_csv(start), "BENCH_SCORER": "treelite"},
    ),
    Peer("mlserver", "MLServer", "mlserver", _MLSERVER, 10, _mlserver),
    Peer("bentoml", "BentoML", "bentoml", _BENTOML, 10, _bentoml, _bentoml_variables),
    Peer("litserve", "LitServe", "litserve", _LITSERVE, 10, _litserve, lambda start: {"BENCH_PORT": str(start.port)}),
)
