"""From the logs on disk to tables in memory: segments, columnar copies, spans, recorded inputs."""
