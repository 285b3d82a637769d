"""What the gateway is compared with: the same model behind other servers, written as their own documentation shows.

Each `*_app.py` runs in an environment of its own (`installation`) and knows of the benchmark only the variables
`BENCH_MODEL`, a joblib file, and `BENCH_...` of its own. `catalogue` says how each is started and asked.
"""
