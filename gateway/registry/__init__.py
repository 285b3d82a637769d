"""Contract 0: the model registry, `models/<name>/<version>/` and `data/reference/<name>/<version>.parquet`.

`card` is the format (what `model.json` says), `pointer` what serves, `store` the folder layout, `artifact`
the model file and its hash, `performance` how a model's quality is measured, `register` the command that
writes all of it, `changes` what is done to the pointer afterwards. Format page: docs/formats/model_registry.md.
"""

from gateway.registry.card import Feature, Metric, ModelCard, RegistryError
from gateway.registry.pointer import Serving
from gateway.registry.store import Registry

__all__ = ["Feature", "Metric", "ModelCard", "Registry", "RegistryError", "Serving"]
