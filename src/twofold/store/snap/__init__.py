"""The whole state as a stream of chunks, for a member that lags too far behind.

`reader` cuts it, `writer` checks it and builds a backend; `stream` is the format.
Knows backends only by the two Protocols in `stream`.
"""
