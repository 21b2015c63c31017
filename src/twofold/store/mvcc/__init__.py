"""Revisions: the key index, reads, transactions, watches, compaction, hashes.

Imports `backend`, `store.errors`, `proto`; knows leases only by a Protocol.
Start with `store` (what others call), then `index` and `txn`.
"""
