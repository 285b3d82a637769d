"""The Open Inference Protocol V2 (JSON over HTTP, and its binary tensor data extension) under `/v2`.

A request's tensors become rows for the same validation, model and log as any other request's; only what is around
them differs. `docs/open_inference_v2.md` says what goes where.
"""
