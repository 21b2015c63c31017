"""Small modules without state that every layer may use.

Pure code (`raft`, `witness.record`, `witness.rules`) uses only `errors`,
`invariant` and `ids` of these.
"""
