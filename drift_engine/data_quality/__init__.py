"""What is wrong with the data itself: gaps, impossible values, stuck columns, repeated rows, foreign or damaged files.

A finding here does not ask whether a distribution moved, and does not raise the drift verdict. Where chance could make
one (a run of equal values, repeated rows), it has a budget of its own, as large as the run's for drift; the others are
what the column's checks found, or hold whatever chance does.
"""
