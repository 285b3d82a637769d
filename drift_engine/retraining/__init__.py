"""`python -m drift_engine retrain`: a candidate of the same pipeline, and the champion, on rows that neither knew."""
