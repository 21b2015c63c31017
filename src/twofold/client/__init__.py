"""A small asynchronous etcd client for our own commands and system tests.

It speaks gRPC over HTTP/2 itself, so running twofold needs no gRPC library.
May import `proto` and `base`. Start in `kv.py`; `http2.py` is the wire.
"""
