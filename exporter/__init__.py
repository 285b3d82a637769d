"""The exporter: Prometheus metrics, the report library and a small JSON API, from files that others wrote.

It computes no verdict and holds no state that matters: what it shows is in the newest run results, the
registry, the gateway's metrics folder and the heartbeats. `python -m exporter` starts it.
"""
