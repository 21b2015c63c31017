"""Composition roots: the only place that builds objects and knows the process.

`config.py` turns flags, environment and file into one checked `ServeConfig`;
`store.py` builds a member from it. May import all layers but `cli`.
"""
