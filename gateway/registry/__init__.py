"""Contract 0: the model registry, `models/<name>/<version>/` and `data/reference/<name>/<version>.parquet`.

`card` is the format (what `model.json` says), `store` the folder layout and the serving pointer, `artifact`
the model file and its hash, `performance` how a model's quality is measured, `register` the command that
writes all of it. Format page: docs/formats/model_registry.md.
"""

from gateway.registry.card import Feature, Metric, ModelCard, RegistryError
from gateway.registry.store import Registry, Serving

__all__ = ["Feature", "Metric", "ModelCard", "Registry", "RegistryError", "Serving"]
