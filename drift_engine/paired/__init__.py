"""Two models on the same rows: is one of them better, by more than chance? Used by `retraining` and `replay`."""
