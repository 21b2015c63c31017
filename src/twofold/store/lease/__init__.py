"""Leases: which exist, how long they are granted for, what hangs on them.

No clock here: how much of a lease is left is the leader's business (`member`).
"""
