"""Quality without labels: what it would be if labels depended on the inputs as they did in the reference."""

from drift_engine.estimation.estimate import Estimator, estimate_quality, fit_estimator

__all__ = ["Estimator", "estimate_quality", "fit_estimator"]
