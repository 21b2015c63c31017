"""What a running process tells about itself: log lines and metrics.

`logs` sets up structlog, `metrics` holds the numbers, `exposition` gives them
etcd's names for Prometheus. Imports nothing of twofold but `base`.
"""
