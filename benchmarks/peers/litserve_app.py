"""LitServe: an API class with two workers, without batching across requests."""

from __future__ import annotations

import os
from typing import Any

import joblib
import litserve
import numpy as np


class Fraud(litserve.LitAPI):
    """The model in the server's own terms."""

    def setup(self, device: str) -> None:
        """Load the model in each worker."""
        self.model = joblib.load(os.environ["BENCH_MODEL"])
        del self.model.feature_names_in_

    # An annotation of `request` would decide how the route parses it; without one it is the JSON body.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """JSON to an array of rows."""
        return np.array(request["rows"])

    def predict(self, x: Any) -> Any:
        """Probabilities, shape (rows, classes)."""
        return self.model.predict_proba(x)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """An array to JSON."""
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Fraud(), accelerator="cpu", workers_per_device=2)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
