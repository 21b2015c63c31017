"""The network front: gRPC over HTTP/2 and plain HTTP on one port.

`port.py` is all that handlers need. `server.py` listens, `sniffer.py` tells
HTTP/2 from HTTP/1.1, `connection.py` reads frames, `streams.py` holds what one
HTTP/2 stream is (a unary call, a message stream, an HTTP exchange), `sending.py`
writes under flow control, `http1.py` speaks HTTP/1.1, `tls.py` makes contexts.
Imports nothing of twofold but `base`. Start at `port.py`, then `connection.py`.
"""
